/** Senders from rules: published formulas as functions of time, random numbers and past results. */
import * as Effect from "effect/Effect"
import type { Call, Circuits, Client, Failure, Sender } from "../Sender.ts"

/** A local rejection, which a rule may retry like a failure of the dependency. */
export type Cause = Failure["reason"] | "rejected"

/** The rule of one client. Moments and delays in milliseconds. */
export interface Rule {
  /** Whether an attempt may be sent now; if so, it counts as sent. */
  readonly admits?: (now: number) => boolean
  /** Called when an attempt has ended; `before` is the failure of the previous attempt. */
  readonly ended?: (now: number, cause: Cause | undefined, attempt: number, before: Cause | undefined) => void
  /** The delay before the next attempt, or `undefined` if the call fails. */
  readonly retry?: (now: number, cause: Cause, attempt: number) => number | undefined
  /** The state of its circuit, if it has one. */
  readonly circuit?: () => keyof Circuits
}

const rejected = Effect.fail("rejected")

const sendBy =
  (rule: Rule, client: Client) =>
  (call: Call): Effect.Effect<void, unknown> => {
    const attempt = (n: number, before: Cause | undefined): Effect.Effect<void, unknown> =>
      Effect.suspend(() => {
        if (rule.admits?.(client.now()) === false) return next(n, "rejected")
        return Effect.matchEffect(call.limited, {
          onSuccess: () => {
            rule.ended?.(client.now(), undefined, n, before)
            return Effect.void
          },
          onFailure: ({ reason }) => {
            rule.ended?.(client.now(), reason, n, before)
            return next(n, reason)
          }
        })
      })
    const next = (n: number, cause: Cause): Effect.Effect<void, unknown> => {
      const now = client.now()
      const delay = rule.retry?.(now, cause, n)
      if (delay === undefined || now + delay >= call.due) return cause === "rejected" ? rejected : Effect.fail(cause)
      return delay === 0 ? attempt(n + 1, cause) : Effect.andThen(Effect.sleep(delay), attempt(n + 1, cause))
    }
    return attempt(1, undefined)
  }

export const byRule = (name: string, title: string, make: (client: Client) => Rule): Sender => ({
  name,
  title,
  make: (client) =>
    Effect.sync(() => {
      const rule = make(client)
      const { circuit } = rule
      if (circuit !== undefined) client.circuits(() => ({ closed: 0, open: 0, halfOpen: 0, [circuit()]: 1 }))
      return sendBy(rule, client)
    })
})

/** Limits a rule to `permits` attempts at once and rejects further ones. */
export const limitedTo = (permits: number, rule: Rule): Rule => {
  let running = 0
  return {
    ...rule,
    admits: (now) => {
      if (running >= permits || rule.admits?.(now) === false) return false
      running += 1
      return true
    },
    ended: (now, cause, attempt, before) => {
      running -= 1
      rule.ended?.(now, cause, attempt, before)
    }
  }
}
