/**
 * Limits how long a whole call may take: all attempts, delays and waits together.
 *
 * The deadline is part of the fiber's context, so all work inside can read how much time is left. A retry does not
 * start a delay that would outlast the deadline, and a bulkhead lets no call wait past it. A deadline inside another
 * deadline can only be earlier. A deadline applies while its owner waits: it no longer limits a detached fiber that
 * outlives the owner.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Current from "./engine/deadline.ts"
import { reporterOf } from "./engine/reporter.ts"
import { runWithin } from "./engine/timeLimit.ts"
import * as Rejection from "./Rejection.ts"
import * as Time from "./runtime/clock.ts"
import { dual, isEffect } from "./runtime/dual.ts"
import * as Check from "./runtime/options.ts"
import type { AnyFiber } from "./runtime/types.ts"
import { defaultKey } from "./Types.ts"

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
 * Interrupts the work when `duration` is over, and fails with `DeadlineExceeded`.
 *
 * **When to use** Around a whole call with its retries. To limit one attempt use `Timeout.after`.
 *
 * **Details** `duration` is zero or more and may be infinite; otherwise a `RangeError` is thrown. The work is
 * interrupted and its end awaited, as with `Timeout.after`. When no time is left at the start, the work does not start,
 * and `started` of the error is `false`.
 *
 * **Example** (A deadline around a retry)
 *
 * ```ts
 * import { Effect, Option, Schedule } from "effect"
 * import { Deadline, Retry, Transient } from "effect-resilience"
 *
 * class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
 *
 * // The second delay would outlast the deadline, so it does not start and the error of the dependency is returned.
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
} = dual("Deadline.within", (duration, options) => make(duration, options))

const make = (duration: Duration.Input, options: Options | undefined) => {
  const where = Check.namedBy("Deadline.within", options)
  if (options !== undefined) Check.noUnknown(where, options, ["name"])
  const limit = Check.millis(where, "duration", duration, { zero: true, infinite: true })
  const policy = Check.nonEmpty(where, "name", Check.orDefault(options?.name, "Deadline"))
  const deadline = Duration.millis(limit)
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Rejection.DeadlineExceeded, R> =>
    Effect.withFiber((fiber) => {
      if (Math.min(limit, Current.remaining(fiber)) <= 0) return fail(policy, deadline, fiber)
      const inside = Current.nested(fiber, Time.monotonicMillis(fiber) + limit)
      return runWithin<A, E | Rejection.DeadlineExceeded>(self, limit, inside, fiber, policy, () =>
        Exit.fail(rejection(policy, deadline, true, fiber))
      )
    })
}

const rejection = (policy: string, deadline: Duration.Duration, started: boolean, fiber: AnyFiber) => {
  const error = Rejection.deadlineExceeded({ policy, key: defaultKey, deadline, started })
  reporterOf(policy, fiber).rejected(defaultKey, error, fiber)
  return error
}

const fail = (policy: string, deadline: Duration.Duration, fiber: AnyFiber) =>
  Effect.fail(rejection(policy, deadline, false, fiber))

/**
 * Returns the time that is left: infinite without a deadline, zero when it has passed.
 *
 * **When to use** To pass the deadline on, as a header of a request for example.
 *
 * **Example** (Sending the remaining time to a server)
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
 * Removes the deadline from the work inside.
 *
 * **When to use** For work whose retries and waits must ignore the caller's deadline: an audit record, a clean-up. Work
 * in a detached fiber does not need it, because a deadline no longer applies when its owner stops waiting.
 *
 * **Gotchas** Retries and bulkheads inside see no deadline, but the owner of the deadline still interrupts the work
 * when its time is over.
 *
 * **Example** (Recording without a deadline)
 *
 * ```ts
 * import { Duration, Effect } from "effect"
 * import { Deadline } from "effect-resilience"
 *
 * const left = Deadline.remaining.pipe(Effect.map(Duration.isFinite))
 * await Effect.runPromise(left.pipe(Deadline.detached, Deadline.within("1 second"))) // => false
 * ```
 *
 * @category deadlines
 * @since 0.1.0
 */
export const detached = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(
    isEffect(self) ? self : Check.invalid("Deadline.detached", "the argument", "an Effect", self),
    Current.Current,
    undefined
  )

/**
 * Rejects the work with `DeadlineExceeded` when less than `minimum` is left before the deadline.
 *
 * **When to use** For work that takes a known time, such as a query of at least 200 ms, and would be interrupted.
 *
 * **Details** `minimum` is a finite duration above zero; otherwise a `RangeError` is thrown. `started` of the error is
 * `false`. Without a deadline the work always starts.
 *
 * **Example** (No query in the last 200 milliseconds)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Deadline } from "effect-resilience"
 *
 * const query = Effect.succeed("rows").pipe(Deadline.atLeast("200 millis"))
 * const error = await Effect.runPromise(query.pipe(Deadline.within("100 millis"), Effect.flip))
 * error.started // => false
 * ```
 *
 * @category deadlines
 * @since 0.1.0
 */
export const atLeast: {
  (
    minimum: Duration.Input,
    options?: Options
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Rejection.DeadlineExceeded, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    minimum: Duration.Input,
    options?: Options
  ): Effect.Effect<A, E | Rejection.DeadlineExceeded, R>
} = dual("Deadline.atLeast", (minimum, options) => makeAtLeast(minimum, options))

const makeAtLeast = (minimum: Duration.Input, options: Options | undefined) => {
  const where = Check.namedBy("Deadline.atLeast", options)
  if (options !== undefined) Check.noUnknown(where, options, ["name"])
  const needed = Check.millis(where, "minimum", minimum)
  const policy = Check.nonEmpty(where, "name", Check.orDefault(options?.name, "Deadline"))
  return <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Rejection.DeadlineExceeded, R> =>
    Effect.withFiber((fiber): Effect.Effect<A, E | Rejection.DeadlineExceeded, R> => {
      const left = Current.remaining(fiber)
      return left < needed ? fail(policy, Duration.millis(Math.max(0, left)), fiber) : self
    })
}
