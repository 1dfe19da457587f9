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

/** A sender with one rule per client, for all shards: a budget of a client of one service. */
export const byRule = (name: string, title: string, make: (client: Client) => Rule): Sender => ({
  name,
  title,
  make: (client) => Effect.sync(() => sendBy(make(client), client))
})

/** A sender with one rule per client and shard, as users have one breaker and one bulkhead per backend. */
export const byRuleOfKey = (name: string, title: string, make: (client: Client) => Rule): Sender => ({
  name,
  title,
  make: (client) =>
    Effect.sync(() => {
      const rules: Array<Rule> = []
      const sendTo = perKey(() => {
        const rule = make(client)
        rules.push(rule)
        return sendBy(rule, client)
      })
      client.circuits(() => {
        const count = { closed: 0, open: 0, halfOpen: 0 }
        for (const { circuit } of rules) if (circuit !== undefined) count[circuit()] += 1
        return count
      })
      return (call) => sendTo(call.key)(call)
    })
})

/** One of each key, made when the key is first used. */
export const perKey = <A>(make: () => A): ((key: string) => A) => {
  const made = new Map<string, A>()
  return (key) => {
    const found = made.get(key)
    if (found !== undefined) return found
    const value = make()
    made.set(key, value)
    return value
  }
}

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
