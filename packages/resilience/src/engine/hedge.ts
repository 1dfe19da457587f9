/** Hedges at run time: what all of them have in common, and those of an effect alone. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Machine from "../machine/Hedge.ts"
import * as Decision from "../machine/Retry.ts"
import * as Tokens from "../machine/Tokens.ts"
import * as Time from "../runtime/clock.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import { defaultKey } from "../Types.ts"
import * as Deadline from "./deadline.ts"
import { CurrentAllowance } from "./propagated.ts"
import { type Lane, type Plan, Race, type Result } from "./race.ts"
import { type Reporter, reporterOf } from "./reporter.ts"

/** May this fiber make another attempt, as the request that it serves has it? */
export const allows = (fiber: AnyFiber): boolean => {
  const allowance = fiber.getRef(CurrentAllowance)
  return allowance === undefined || allowance.left >= 1
}

export const spend = (fiber: AnyFiber): void => {
  const allowance = fiber.getRef(CurrentAllowance)
  if (allowance !== undefined) allowance.left -= 1
}

export const report = (reporter: Reporter, key: string, result: Result, delay: number, fiber: AnyFiber): void => {
  if (!reporter.hasListeners) return
  const { policy } = reporter
  const at = Time.epochMillis(fiber)
  reporter.emit({ _tag: "Hedged", policy, key, at, result, delay: Duration.millis(delay) }, fiber)
}

export interface HedgeEffectSettings {
  readonly name: string
  /** Milliseconds, or the name of a quantile such as `"p95"`. */
  readonly after: number | string
  /** Hedges per call. */
  readonly ratio: number
}

/** Hedges that may be saved up, and that there are in the beginning. */
const capacity = 10
const initial = 1

/** What all runs of the effects of one combinator have in common. */
class Alone implements Decision.Answered {
  readonly settings: HedgeEffectSettings
  readonly state: Machine.Hedge
  readonly tokens: Tokens.Tokens
  answeredFrom = Decision.neverAnswered

  constructor(settings: HedgeEffectSettings) {
    this.settings = settings
    this.state = Machine.make(settings.after)
    this.tokens = Tokens.make({ ratio: settings.ratio, capacity, initial, perSecond: 0 })
  }
}

const endOf = (exit: Exit.Exit<unknown, unknown>): "answered" | "failed" | "cut" =>
  Exit.isSuccess(exit) ? "answered" : Cause.hasInterruptsOnly(exit.cause) ? "cut" : "failed"

const raceAlone = (alone: Alone, self: AnyEffect, fiber: AnyFiber): AnyEffect => {
  const { settings, state, tokens } = alone
  const startedAt = Time.monotonicMillis(fiber)
  Tokens.deposit(tokens, startedAt)
  const delay = Machine.delayAt(state, settings.after, startedAt)
  let wasLate = false
  let hedgedAfter = 0

  const attempt = (lane: Lane, from: number, isFirst: boolean): AnyEffect =>
    Effect.onExit(lane.scoped(self), (exit) => {
      const now = Time.monotonicMillis(fiber)
      const how = endOf(exit)
      const late = isFirst && wasLate
      if (how === "answered") lane.wins()
      Machine.ended(state, how, late, Decision.isOvertaken(alone, from), now - from, delay, now)
      if (how === "answered") Decision.answered(alone, from)
      return Effect.void
    })

  const plan: Plan = {
    first: (race, lane) => {
      race.arm(delay)
      return attempt(lane, startedAt, true)
    },
    wait: () => {
      const now = Time.monotonicMillis(fiber)
      if (Deadline.remaining(fiber) <= 0) return Infinity
      const again = wasLate
      if (!again) Machine.becameLate(state)
      wasLate = true
      if (
        !Machine.mayStart(state, settings.after, Decision.isOvertaken(alone, startedAt), again) ||
        !allows(fiber) ||
        !Tokens.tryWithdraw(tokens, 1, now)
      ) {
        return delay
      }
      spend(fiber)
      hedgedAfter = now - startedAt
      return undefined
    },
    hedge: (lane) => attempt(lane, Time.monotonicMillis(fiber), false),
    onResult: (result) => {
      if (result !== "undecided") Machine.decided(state, result === "won", Time.monotonicMillis(fiber))
      report(reporterOf(settings.name, fiber), defaultKey, result, hedgedAfter, fiber)
    }
  }
  return new Race(plan, fiber).run
}

/** The combinator: what it learns of one effect it uses for all. */
export const hedge = (settings: HedgeEffectSettings): ((self: AnyEffect) => AnyEffect) => {
  const alone = new Alone(settings)
  return (self) => Effect.withFiber((fiber) => raceAlone(alone, self, fiber))
}
