/** What the work of a call can do, in all models. */

import { Model } from "@effect-resilience/testing"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type CircuitBreaker, Rejection, Transient } from "effect-resilience"
import type { Said } from "./circuit.ts"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

/** Asks for a pause. */
class Later extends Transient.TaggedError<Later>()("Later", { retryAfter: Schema.Duration }) {}

/** An answer: permanent, and proof that the dependency is alive. */
class Wrong extends Schema.TaggedError<Wrong>()("Wrong", {}) {}

export type WorkError = Down | Later | Wrong

export const pause = 3000

/** How work ends, the simplest first. */
export const endings = ["ok", "Down", "Wrong", "defect", "Later"] as const
export type Ending = (typeof endings)[number]

export const exitOf: Readonly<Record<Ending, Exit.Exit<string, WorkError>>> = {
  ok: Exit.succeed("ok"),
  Down: Exit.fail(new Down()),
  Wrong: Exit.fail(new Wrong()),
  Later: Exit.fail(new Later({ retryAfter: Duration.millis(pause) })),
  defect: Exit.die("a bug")
}

/** What that says about the dependency. */
export const saidBy: Readonly<Record<Ending, Said>> = {
  ok: "success",
  Down: "failure",
  Wrong: "success",
  Later: "failure",
  defect: "failure"
}

export interface CallerView {
  doing: "idle" | "waiting" | "working"
  last: string | undefined
  attempts: number
}

/** As {@link Model.describe}, with the reason for which a bulkhead was full. */
export const describe = (exit: Exit.Exit<unknown, unknown>): string => {
  const name = Model.describe(exit)
  const error = Option.getOrUndefined(Exit.findErrorOption(exit))
  return error instanceof Rejection.BulkheadFull ? `${name}: ${error.reason}` : name
}

export const idle = (): CallerView => ({ doing: "idle", last: undefined, attempts: 0 })

export const controls = Model.oneOf("reset", "isolate", "close", "disable", "enable")

/** Steps of time: around the limits of the settings, and a jump of an hour. */
export const time = Model.oneOf(1, 250, 500, 999, 1000, 2000, 4000, 3_600_000)

/** Where the wall clock is set, off the clock that runs. */
export const wallTime = Model.oneOf(0, -3_600_000, 3_600_000)

/** A circuit as its users see it, in numbers. */
export const circuitView = (state: CircuitBreaker.State) => ({
  tag: state._tag,
  since: Duration.toMillis(state.since),
  openings: state.openings,
  ...(state._tag === "open"
    ? { retryAfter: Duration.toMillis(state.retryAfter), unhealthySince: Duration.toMillis(state.unhealthySince) }
    : {}),
  ...(state._tag === "half-open"
    ? {
        unhealthySince: Duration.toMillis(state.unhealthySince),
        due: state.due,
        probing: state.probing,
        successes: state.successes
      }
    : {})
})
