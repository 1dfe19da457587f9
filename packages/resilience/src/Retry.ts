/**
 * Retries transient errors, and nothing else.
 *
 * A retry that gave up fails with the same error, typed as exhausted, so a second `Retry.transient` or a `Policy` with
 * a retry around it does not compile. `Effect.retry` does not read the mark: around a protected call it compiles,
 * multiplies attempts and repeats rejections. The schedule decides when to retry, and a budget, as its last combinator,
 * decides whether.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Event from "./Event.ts"
import { gatedScheduleOf } from "./engine/budget.ts"
import * as Retrying from "./engine/retry.ts"
import * as Decision from "./machine/Retry.ts"
import { dual } from "./runtime/dual.ts"
import * as Check from "./runtime/options.ts"
import * as Transient from "./Transient.ts"
import type * as Types from "./Types.ts"

/**
 * An attempt that failed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt {
  /** The number of the attempt, from 1. */
  readonly attempt: number
  /** Its error; with `while`, its value. */
  readonly error: unknown
  /** Time since the first attempt started. */
  readonly elapsed: Duration.Duration
  /** The delay before the next attempt; `undefined` when there is none. */
  readonly delay: Duration.Duration | undefined
}

/**
 * Why a retry gave up.
 *
 * @category models
 * @since 0.1.0
 */
export interface GiveUp {
  /** The reason. */
  readonly reason: Event.GiveUpReason
  /** The error that the retry gave up on. */
  readonly error: unknown
  /** Attempts that started. */
  readonly attempts: number
  /** Time since the first attempt started. */
  readonly elapsed: Duration.Duration
  /** The last attempts, in order, as many as the option `history` keeps. */
  readonly history: ReadonlyArray<Attempt>
}

/**
 * Options of a retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in Value = unknown> {
  /**
   * Retries only errors that prove that no work was done (`Transient.isUnprocessed`), for work that is not idempotent.
   * Default: `false`.
   */
  readonly unprocessedOnly?: boolean | undefined
  /** An error whose `retryAfter` is longer than this ends the retry. A duration of zero or more. Default: 1 minute. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /**
   * How many of the last attempts {@link GiveUp} lists. A running retry, and the cause of one that gave up, hold their
   * errors in memory. An integer >= 0. Default: 10, more than the attempts of most schedules.
   */
  readonly history?: number | undefined
  /** Runs after each decision to retry, before the delay; the deadline interrupts it. */
  readonly onRetry?: ((attempt: Attempt) => Effect.Effect<unknown>) | undefined
  /** Retries a success while this is `true` for its value. When the retry gives up, the caller gets the last value. */
  readonly while?: { of(value: Value): boolean }["of"] | undefined
  /** The name in events. Default: `"Retry"`. */
  readonly name?: string | undefined
}

type HasWhile<O> = O extends { readonly while: (value: infer _V) => boolean } ? true : false

type TakesValue<A, O> = O extends { readonly while: (value: infer V) => boolean }
  ? [A] extends [V]
    ? unknown
    : "The `while` predicate does not accept this effect's success type"
  : unknown

/** The service of a budget among the requirements of a schedule that has lost the mark of `gated`. */
type UngatedBudget<S> = S extends { readonly "~effect-resilience/RetryBudget/Gated": unknown }
  ? never
  : S extends Schedule.Schedule<infer _O, infer _I, infer _E, infer Env>
    ? 0 extends 1 & Env
      ? never
      : Extract<Env, { readonly Service: { readonly "~effect-resilience/RetryBudget": unknown } }>
    : never

type ChargesEveryStep<S> = [UngatedBudget<S>] extends [never]
  ? unknown
  : "`gated` must be the last combinator of the schedule: what comes after it would not be paid for"

/**
 * `unknown` when an effect that fails with `E` has something to retry; otherwise a literal type whose text says why
 * not.
 *
 * @category utility types
 * @since 0.1.0
 */
export type HasSomethingToRetry<E> = [Transient.TransientOf<E>] extends [never]
  ? unknown extends E
    ? "The error type of this effect is `unknown`: narrow it first, for example with Effect.mapError"
    : [Transient.ExhaustedOf<E>] extends [never]
      ? "No error of this effect is Transient: there is nothing to retry"
      : AlreadyRetried
  : OnlyTimedOutAgain<E> extends true
    ? AlreadyRetried
    : unknown

type AlreadyRetried = "The errors of this effect have already been retried: a retry around a retry multiplies the load"

/** `Timeout.TimedOut` by its fields, because policies do not import each other. */
interface TimedOut {
  readonly _tag: "TimedOut"
  readonly policy: string
  readonly key: string
  readonly after: Duration.Duration
}

/** A timeout around a retry fails with a new transient error. A retry of that error would repeat the retry inside. */
type OnlyTimedOutAgain<E> = [Transient.ExhaustedOf<E>] extends [never]
  ? false
  : [Exclude<Transient.TransientOf<E>, TimedOut>] extends [never]
    ? true
    : false

/**
 * `unknown` when a schedule with the input `Input` accepts the transient errors of `E`; otherwise a literal type whose
 * text says that it does not.
 *
 * @category utility types
 * @since 0.1.0
 */
export type TakesErrors<E, Input> = [Transient.TransientOf<E>] extends [Input]
  ? unknown
  : "The schedule does not accept the errors of this effect as its input"

type InputOf<S> = S extends Schedule.Schedule<infer _Out, infer Input, infer _E, infer _Env> ? Input : unknown

/** For a wrong option the compiler reports the overload that takes the effect first, and so the schedule as the error. */
type WrongOption =
  "If this is a Schedule, an option beside it is wrong: there are unprocessedOnly, maxRetryAfter, onRetry, while, history and name. "

/**
 * `unknown` when an effect that fails with `E` may be retried on the schedule `S`; otherwise a literal type whose text
 * says why not.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanRetry<A, E, S, O, R = never> = Types.First<
  HasWhile<O> extends true
    ? [ChargesEveryStep<S>, TakesValue<A, O>]
    : [ChargesEveryStep<S>, Types.RequireEffect<E, R, WrongOption>, HasSomethingToRetry<E>, TakesErrors<E, InputOf<S>>]
>

/**
 * The error type after a retry: permanent errors as they are, transient errors exhausted, and the errors of the
 * schedule.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ErrorAfter<E, S> = [S] extends [infer T] ? Transient.AfterRetry<E> | Schedule.Error<T> : never

/**
 * Retries effects: the result of {@link transient} without an effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<S, O> {
  <A, E, R>(
    self: Effect.Effect<A, E, R> & CanRetry<A, E, S, O, R>
  ): Effect.Effect<A, ErrorAfter<E, S>, R | Schedule.Env<S>>
}

/**
 * Retries an effect on a schedule while it fails with a transient error.
 *
 * **When to use** For work that may be done twice. For other work set `unprocessedOnly`.
 *
 * **Details** Permanent errors, rejections of policies, defects and interruptions are never retried. The delay is that
 * of the schedule. If the error asks for a longer one (`retryAfter`), it is that plus a random part of up to 20 %, so
 * that clients do not return at the same moment. A delay never ends early, and one that would outlast the deadline does
 * not start. When a policy rejects a later attempt, the caller gets the last failure of the dependency. {@link gaveUp} reads from
 * the cause why the retry gave up. A bad option throws a `RangeError`. For the options see {@link Options}.
 *
 * **Gotchas** A schedule without an end, such as `Schedule.exponential` alone, sets no limit on the attempts: add `Schedule.upTo`, or
 * use {@link backoff}.
 *
 * **Example** (Two failures, then a success)
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Retry, Transient } from "effect-resilience"
 *
 * class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
 *
 * let tries = 0
 * const call = Effect.suspend(() => ++tries < 3 ? Effect.fail(new Busy()) : Effect.succeed(tries))
 * await Effect.runPromise(call.pipe(Retry.transient(Schedule.recurs(5)))) // => 3
 * ```
 *
 * **Example** (Polling until a value is final)
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Retry } from "effect-resilience"
 *
 * let polls = 0
 * const job = Effect.sync(() => ++polls < 3 ? "pending" : "done")
 * await Effect.runPromise(
 *   job.pipe(Retry.transient(Schedule.recurs(9), { while: (state: string) => state === "pending" }))
 * ) // => "done"
 * ```
 *
 * @category retrying
 * @since 0.1.0
 */
export const transient: {
  <S extends Types.AnySchedule, const O extends Options = {}>(
    schedule: S,
    options?: O & Options & Types.NoUnknownOptions<O, Options>
  ): Apply<S, O>
  <A, E, R, S extends Types.AnySchedule, const O extends Options<A> = {}>(
    self: Effect.Effect<A, E, R> & CanRetry<A, E, S, O, R>,
    schedule: S,
    options?: O & Options<A> & Types.NoUnknownOptions<O, Options>
  ): Effect.Effect<A, ErrorAfter<E, S>, R | Schedule.Env<S>>
} = dual("Retry.transient", (schedule, options) => Retrying.retry(resolveTransient(schedule, options)))

/**
 * The settings of a retry; the defaults stand here.
 *
 * @internal
 */
export const resolve = (where: string, schedule: unknown, options: Options = {}): Retrying.RetrySettings => {
  const { history = 10, maxRetryAfter, onRetry, unprocessedOnly = false } = options
  if (!Check.isSchedule(schedule)) Check.invalid(where, "schedule", "a Schedule", schedule)
  if (typeof unprocessedOnly !== "boolean") Check.invalid(where, "unprocessedOnly", "true or false", unprocessedOnly)
  if (onRetry !== undefined) Check.callback(where, "onRetry", "a function that returns an Effect", onRetry)
  const given = backoffOf(schedule as object)
  return {
    where,
    // `Schedule.isSchedule` has just checked it.
    schedule: schedule as Types.AnySchedule,
    backoff: given && resolveBackoff(given),
    unprocessedOnly,
    maxRetryAfter: Check.millis(where, "maxRetryAfter", Check.orDefault(maxRetryAfter, "1 minute"), {
      zero: true,
      infinite: true
    }),
    history: Check.integer(where, "history", history, 0),
    onRetry
  }
}

/** @internal */
export const optionNames = ["unprocessedOnly", "maxRetryAfter", "history", "onRetry"]

const resolveTransient = (schedule: unknown, options: Options | undefined): Retrying.RetryEffectSettings => {
  const where = Check.namedBy("Retry.transient", options)
  if (options !== undefined) Check.noUnknown(where, options, [...optionNames, "while", "name"])
  const gated = gatedScheduleOf(schedule)
  const settings = resolve(where, gated === undefined ? schedule : gated.schedule, options)
  const name = Check.nonEmpty(where, "name", Check.orDefault(options?.name, "Retry"))
  if (options?.while !== undefined) Check.callback(where, "while", Check.predicate, options.while)
  return { ...settings, name, gated, while: options?.while }
}

/**
 * Selects how a backoff randomizes its delays.
 *
 * - `"full"`: between zero and the exponential delay, which spreads the load most
 * - `"equal"`: between half of the exponential delay and all of it
 * - `"decorrelated"`: between `base` and three times the last delay, at most `cap`
 * - `"none"`: the exponential delay
 *
 * Source: M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
 *
 * @category models
 * @since 0.1.0
 */
export type Jitter = "full" | "equal" | "decorrelated" | "none"

/**
 * Options of {@link backoff}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Backoff {
  /** The first delay, before jitter. A finite duration above zero. Default: 100 millis. */
  readonly base?: Duration.Input | undefined
  /** The longest delay. A finite duration of at least `base`. Default: 5 seconds, or `base` if that is longer. */
  readonly cap?: Duration.Input | undefined
  /** Retries, an integer >= 0; 0 means no retry. Default: 2. */
  readonly times?: number | undefined
  /** How delays are randomized. Default: `"full"`. */
  readonly jitter?: Jitter | undefined
}

/**
 * The options of a backoff that can be read from `Config`; an option that is not set keeps the value of the class.
 *
 * @category models
 * @since 0.1.0
 */
export interface BackoffConfigValues {
  /** The first delay, before jitter. */
  readonly base?: Duration.Duration
  /** The longest delay. */
  readonly cap?: Duration.Duration
  /** Retries. */
  readonly times?: number
  /** How delays are randomized. */
  readonly jitter?: Jitter
}

const jitters: ReadonlyArray<Jitter> = ["full", "equal", "decorrelated", "none"]

/**
 * Creates a schedule of exponential delays with jitter, a longest delay and a number of retries.
 *
 * **Details** Without jitter the n-th delay is `base * 2^(n-1)`, at most `cap`. A `retryAfter` of the error is a lower
 * bound that may exceed `cap`, also under `Effect.retry`; unless `jitter` is `"none"`, up to 20 % are added. The defaults are 2 retries, 100 milliseconds doubling up to 5
 * seconds, and full jitter. Throws a `RangeError` when an option is out of range.
 *
 * **Example** (A retry after 1, 2 and 4 milliseconds)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Retry, Transient } from "effect-resilience"
 *
 * class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
 *
 * let attempts = 0
 * const call = Effect.suspend(() => ++attempts < 4 ? Effect.fail(new Busy()) : Effect.succeed(attempts))
 * const schedule = Retry.backoff({ base: "1 millis", times: 3, jitter: "none" })
 * await Effect.runPromise(call.pipe(Retry.transient(schedule))) // => 4
 * ```
 *
 * @category schedules
 * @since 0.1.0
 */
export const backoff = (options: Backoff = {}): Schedule.Schedule<Duration.Duration> => {
  const { base, cap, jitter, times } = resolveBackoff(options)
  const schedule = Schedule.fromStepWithMetadata(
    Effect.withFiber((fiber) => {
      const random = fiber.getRef(Random.Random)
      let previous = base
      return Effect.succeed(({ attempt, input }: Schedule.InputMetadata<unknown>) => {
        if (attempt > times) return Cause.done(Duration.millis(previous))
        const exponential = Math.min(cap, base * 2 ** (attempt - 1))
        previous = jittered(jitter, exponential, base, cap, previous, random.nextDoubleUnsafe())
        const asked = Transient.retryAfter(input)
        const requested = asked === undefined ? 0 : Duration.toMillis(asked)
        const spread = jitter === "none" || previous >= requested ? 0 : random.nextDoubleUnsafe()
        const delay = Duration.millis(Math.max(previous, Decision.spreadOut(requested, spread)))
        return Effect.succeed<[Duration.Duration, Duration.Duration]>([delay, delay])
      })
    })
  )
  return Object.assign(schedule, { [BackoffKey]: options })
}

/**
 * The settings of a backoff, durations in milliseconds; the defaults stand here.
 *
 * @internal
 */
export const resolveBackoff = (options: Backoff) => {
  const where = "Retry.backoff"
  Check.noUnknown(where, options, ["base", "cap", "times", "jitter"])
  const times = Check.integer(where, "times", Check.orDefault(options.times, 2), 0)
  const base = Check.millis(where, "base", Check.orDefault(options.base, "100 millis"))
  const cap = Check.millis(where, "cap", Check.orDefault(options.cap, Duration.millis(Math.max(base, 5000))))
  if (cap < base) Check.invalid(where, "cap", `at least base (${base} ms)`, cap)
  const jitter = Check.orDefault(options.jitter, "full")
  if (!jitters.includes(jitter)) Check.invalid(where, "jitter", `one of ${jitters.join(", ")}`, jitter)
  return { base, cap, jitter, times }
}

/** The property of a schedule of {@link backoff} that holds its options, which `Config` may replace. */
const BackoffKey = "~effect-resilience/Retry/backoff" as const

/** @internal */
export const backoffOf = (schedule: { readonly [BackoffKey]?: Backoff }): Backoff | undefined => schedule[BackoffKey]

const jittered = (jitter: Jitter, exponential: number, base: number, cap: number, previous: number, random: number) => {
  switch (jitter) {
    case "full":
      return exponential * random
    case "equal":
      return exponential * (0.5 + 0.5 * random)
    case "decorrelated":
      return base + random * (Math.min(cap, previous * 3) - base)
    case "none":
      return exponential
  }
}

/**
 * Reads from a cause why a retry gave up; `None` when no retry did.
 *
 * **Gotchas** The reason is an annotation of the cause. It is lost when the error is caught and failed with again.
 *
 * **Example** (Reading the history)
 *
 * ```ts
 * import { Effect, Option, Schedule } from "effect"
 * import { Retry, Transient } from "effect-resilience"
 *
 * class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
 *
 * const program = Effect.fail(new Busy()).pipe(
 *   Retry.transient(Schedule.recurs(2)),
 *   Effect.catchCause((cause) => Effect.succeed(Retry.gaveUp(cause)))
 * )
 * const gaveUp = Option.getOrThrow(await Effect.runPromise(program))
 * gaveUp.reason // => "attempts"
 * gaveUp.attempts // => 3
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const gaveUp = (cause: Cause.Cause<unknown>): Option.Option<GiveUp> =>
  Context.getOption(Cause.annotations(cause), Retrying.GaveUp)
