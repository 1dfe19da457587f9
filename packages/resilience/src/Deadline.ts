/**
 * A limit on how long the whole may take: every attempt, every pause and every wait together.
 *
 * The deadline travels in the fiber's context, so whatever runs inside knows how much time is left: a retry does not begin
 * a pause that would outlast it, and a bulkhead does not let anybody wait past it. A deadline inside another can only be
 * earlier. It holds as long as somebody waits for the work: a fiber detached inside outlives it.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Current from "./internal/deadline.ts"
import { reporterOf } from "./internal/hub.ts"
import * as Options_ from "./internal/options.ts"
import * as Protecting from "./internal/protect.ts"
import * as Time from "./internal/time.ts"
import * as Limit from "./internal/timeout.ts"
import type { AnyFiber } from "./internal/types.ts"
import * as Rejection from "./Rejection.ts"

/**
 * Options of a deadline.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The name in errors and events. Default: `"Deadline"`. */
  readonly name?: string | undefined
}

/**
 * Gives the work so much time in all, and fails with `DeadlineExceeded` when it is over.
 *
 * **Details** The work is interrupted and waited for, as with `Timeout.after`. When no time is left to begin with, it does
 * not begin, and the error's `started` is `false`.
 *
 * **Example** (A deadline around a retry)
 *
 * ```ts
 * import { Effect, Option, Schedule } from "effect"
 * import { Deadline, Retry, Transient } from "effect-resilience"
 *
 * class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
 *
 * // The second pause would outlast the deadline: it is not begun, and the real error comes back at once.
 * const program = Effect.fail(new Busy()).pipe(
 *   Retry.transient(Schedule.exponential("20 millis", 100)),
 *   Deadline.within("1 second"),
 *   Effect.catchCause((cause) => Effect.succeed(Retry.gaveUp(cause)))
 * )
 * const gaveUp = Option.getOrThrow(await Effect.runPromise(program))
 * gaveUp.reason // => "deadline"
 * gaveUp.attempts // => 2
 * ```
 *
 * @category deadlines
 * @since 0.1.0
 */
export const within: {
  (
    duration: Duration.Input,
    options?: Options
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Rejection.DeadlineExceeded, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    duration: Duration.Input,
    options?: Options
  ): Effect.Effect<A, E | Rejection.DeadlineExceeded, R>
} = Protecting.dual((duration, options) => make(duration, options))

const make = (duration: Duration.Input, options: Options | undefined) => {
  if (options !== undefined) Options_.known("Deadline.within", options, ["name"])
  const limit = Options_.millis("Deadline.within", "duration", duration, { zero: true, infinite: true })
  const policy = Options_.nonEmpty("Deadline.within", "name", options?.name ?? "Deadline")
  const deadline = Duration.millis(limit)
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Rejection.DeadlineExceeded, R> =>
    Effect.withFiber((fiber) => {
      if (Math.min(limit, Current.remaining(fiber)) <= 0) return refuse(policy, deadline, fiber)
      const inside = Current.within(fiber, Time.monotonicMillis(fiber) + limit)
      return Limit.within<A, E | Rejection.DeadlineExceeded>(self, limit, inside, fiber, () =>
        Exit.fail(reject(policy, deadline, true, fiber))
      )
    })
}

const reject = (policy: string, deadline: Duration.Duration, started: boolean, fiber: AnyFiber) => {
  const rejection = Rejection.deadlineExceeded({ policy, key: Rejection.defaultKey, deadline, started })
  reporterOf(policy, fiber).rejected(Rejection.defaultKey, rejection, fiber)
  return rejection
}

const refuse = (policy: string, deadline: Duration.Duration, fiber: AnyFiber) =>
  Effect.fail(reject(policy, deadline, false, fiber))

/**
 * The time left; infinite without a deadline, zero when it has passed.
 *
 * **Example** (Telling a server how long its answer is wanted)
 *
 * ```ts
 * import { Duration, Effect } from "effect"
 * import { Deadline } from "effect-resilience"
 *
 * const left = Deadline.remaining.pipe(Effect.map(Duration.toSeconds), Effect.map(Math.round))
 * await Effect.runPromise(left) // => Infinity
 * await Effect.runPromise(left.pipe(Deadline.within("5 seconds"))) // => 5
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const remaining: Effect.Effect<Duration.Duration> = Effect.withFiber((fiber) =>
  Effect.succeed(Duration.millis(Math.max(0, Current.remaining(fiber))))
)

/**
 * Work that no deadline around it binds.
 *
 * **When to use** For work that must not end with its caller's patience: an audit record, a clean-up that the caller waits
 * for. Work that goes on after its caller needs none of this: a deadline binds nobody whose owner has stopped waiting.
 *
 * **Example** (Writing it down whatever the time)
 *
 * ```ts
 * import { Duration, Effect } from "effect"
 * import { Deadline } from "effect-resilience"
 *
 * const left = Deadline.remaining.pipe(Effect.map(Duration.isFinite))
 * await Effect.runPromise(left.pipe(Deadline.detached, Deadline.within("1 second"))) // => false
 * ```
 *
 * **Gotchas** Retries and bulkheads inside see no deadline; the one outside still interrupts the whole when its time is over.
 *
 * @category deadlines
 * @since 0.1.0
 */
export const detached = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Current.Current, undefined)

/**
 * Does not begin work for which less than `minimum` is left before the deadline.
 *
 * **When to use** For work that would surely be cut: a query that takes 200 ms at best.
 *
 * @category deadlines
 * @since 0.1.0
 */
export const atLeast = (minimum: Duration.Input, options?: Options) => {
  const needed = Options_.millis("Deadline.atLeast", "minimum", minimum)
  const policy = Options_.nonEmpty("Deadline.atLeast", "name", options?.name ?? "Deadline")
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Rejection.DeadlineExceeded, R> =>
    Effect.withFiber((fiber): Effect.Effect<A, E | Rejection.DeadlineExceeded, R> => {
      const left = Current.remaining(fiber)
      return left < needed ? refuse(policy, Duration.millis(Math.max(0, left)), fiber) : self
    })
}
