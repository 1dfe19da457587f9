/**
 * Limits how long one attempt may take.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Deadline from "./engine/deadline.ts"
import * as Overrun from "./engine/overrun.ts"
import { reporterOf } from "./engine/reporter.ts"
import { runWithin } from "./engine/timeLimit.ts"
import * as Outcome from "./Outcome.ts"
import * as Rejection from "./Rejection.ts"
import * as Time from "./runtime/clock.ts"
import { dual } from "./runtime/dual.ts"
import * as Check from "./runtime/options.ts"
import { stackless } from "./runtime/stackless.ts"
import * as Transient from "./Transient.ts"
import { defaultKey } from "./Types.ts"

/**
 * An attempt took longer than its timeout and was interrupted. Whether the work was done is not known.
 *
 * **Details** Unlike a rejection it says something about the dependency, so it is transient and counts as a failure.
 * `after` is the limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class TimedOut extends Transient.TaggedError<TimedOut>("effect-resilience/TimedOut")("TimedOut", {
  policy: Schema.String,
  key: Schema.String,
  after: Schema.Duration
}) {
  override get message(): string {
    return `${Rejection.label(this)}: no result within ${Rejection.formatDuration(this.after)}`
  }
}

// What no breaker takes for a response, whatever its `failures` are.
Object.defineProperty(TimedOut.prototype, Outcome.TimedOutTypeId, { value: true })

/** @internal */
export const timedOut = stackless<Pick<TimedOut, "policy" | "key" | "after">, TimedOut>(
  TimedOut.prototype,
  function (fields) {
    this._tag = "TimedOut"
    this.policy = fields.policy
    this.key = fields.key
    this.after = fields.after
  },
  { policy: "", key: defaultKey, after: Duration.zero }
)

/**
 * Options of a timeout.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name in errors and events. Default: `"Timeout"`. */
  readonly name?: string | undefined
}

/**
 * Interrupts the work after `duration`, and fails with `TimedOut`.
 *
 * **When to use** Around one attempt, inside a retry. To limit the whole call use `Deadline.within`.
 *
 * **Details** `duration` is above zero and may be infinite; otherwise a `RangeError` is thrown. Inside the work,
 * `Deadline.remaining` is the time that is left.
 *
 * The caller gets the result when the work has ended, finalizers included, so a permit for the work is held as long as
 * the work runs. Work in an uninterruptible region (a commit, a finalizer) completes the region first. If the work is
 * then complete, its own result is returned, because reporting completed work as a timeout would make callers repeat
 * it. If it waits or starts another region instead, it is interrupted. The limit never fires early. A failure during the interruption, of a finalizer for example, is returned as it is.
 *
 * **Example** (Giving up on a slow call)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Timeout } from "effect-resilience"
 *
 * const slow = Effect.sleep("1 minute").pipe(Timeout.after("10 millis"), Effect.flip)
 * const error = await Effect.runPromise(slow)
 * error.message // => "Timeout: no result within 10ms"
 * ```
 *
 * @category timeouts
 * @since 0.1.0
 */
export const after: {
  (
    duration: Duration.Input,
    options?: Options
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | TimedOut, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    duration: Duration.Input,
    options?: Options
  ): Effect.Effect<A, E | TimedOut, R>
} = dual("Timeout.after", (duration, options) => make(duration, options))

const make = (duration: Duration.Input, options: Options | undefined) => {
  const where = Check.namedBy("Timeout.after", options)
  if (options !== undefined) Check.noUnknown(where, options, ["name"])
  const limit = Check.millis(where, "duration", duration, { infinite: true })
  const policy = Check.nonEmpty(where, "name", Check.orDefault(options?.name, "Timeout"))
  const error = Duration.millis(limit)
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | TimedOut, R> =>
    Effect.withFiber((fiber) => {
      const deadline = Deadline.nested(fiber, Time.monotonicMillis(fiber) + limit)
      return runWithin<A, E | TimedOut>(self, limit, deadline, fiber, policy, () => {
        reporterOf(policy, fiber).timedOut(defaultKey, error, fiber)
        return Exit.fail(timedOut({ policy, key: defaultKey, after: error }))
      })
    })
}

/**
 * Whether a warning is logged when work still runs one second after its time limit has interrupted it.
 *
 * **Details** The limit may be a timeout or a deadline, also that of a `Policy`. Such work is in an uninterruptible
 * region or in a slow finalizer, and the caller waits for it, with its permit. The warning is logged once for each name
 * of a policy. The default is `false` if the environment variable `NODE_ENV` is `production` when the first limit
 * fires, otherwise `true`.
 *
 * **Gotchas** A promise that ignores the interruption is not work of the fiber and causes no warning: see the page on
 * promises in the documentation.
 *
 * **Example** (No warnings in a program)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Timeout } from "effect-resilience"
 *
 * const commit = Effect.uninterruptible(Effect.sleep("20 millis"))
 * const program = commit.pipe(Timeout.after("10 millis"))
 * await Effect.runPromise(program.pipe(Effect.provideService(Timeout.WarnOfOverrun, false)))
 * ```
 *
 * @category references
 * @since 0.1.0
 */
export const WarnOfOverrun: Context.Reference<boolean> = Overrun.WarnOfOverrun
