/**
 * A limit on how long one attempt may take.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Deadline from "./internal/deadline.ts"
import { reporterOf } from "./internal/hub.ts"
import * as Options_ from "./internal/options.ts"
import * as Protecting from "./internal/protect.ts"
import * as Time from "./internal/time.ts"
import * as Limit from "./internal/timeout.ts"
import * as Rejection from "./Rejection.ts"

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
 * Interrupts the work after a time, and fails with `TimedOut`.
 *
 * **When to use** Around one attempt, inside a retry. For the time of the whole use `Deadline.within`.
 *
 * **Details** The answer comes when the work has really ended, finalizers included, so whoever holds a permit for the work
 * holds it as long as the work goes on. Work that cannot be interrupted when its time is over (a commit, a finalizer) ends
 * first, and if that was the end of it, keeps its own result: to call a done deed a timeout would have it done twice. What
 * fails while the work is being interrupted, a finalizer for one, comes back as it is. `TimedOut` is transient: whether the
 * work was done is not known.
 * Inside, the time left is the deadline (`Deadline.remaining`).
 *
 * **Example** (Giving up on a slow call)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Timeout } from "effect-resilience"
 *
 * const slow = Effect.sleep("1 minute").pipe(Timeout.after("10 millis"), Effect.flip)
 * const error = await Effect.runPromise(slow)
 * error.message // => "Timeout: no answer within 10ms"
 * ```
 *
 * @category timeouts
 * @since 0.1.0
 */
export const after: {
  (
    duration: Duration.Input,
    options?: Options
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Rejection.TimedOut, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    duration: Duration.Input,
    options?: Options
  ): Effect.Effect<A, E | Rejection.TimedOut, R>
} = Protecting.dual((duration, options) => make(duration, options))

const make = (duration: Duration.Input, options: Options | undefined) => {
  if (options !== undefined) Options_.known("Timeout.after", options, ["name"])
  const limit = Options_.millis("Timeout.after", "duration", duration, { infinite: true })
  const policy = Options_.nonEmpty("Timeout.after", "name", options?.name ?? "Timeout")
  const error = Duration.millis(limit)
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Rejection.TimedOut, R> =>
    Effect.withFiber((fiber) => {
      const deadline = Deadline.within(fiber, Time.monotonicMillis(fiber) + limit)
      return Limit.within<A, E | Rejection.TimedOut>(self, limit, deadline, fiber, () => {
        reporterOf(policy, fiber).timeoutFired(Rejection.defaultKey, error, fiber)
        return Exit.fail(Rejection.timedOut({ policy, key: Rejection.defaultKey, after: error }))
      })
    })
}
