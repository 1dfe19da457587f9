/**
 * Tries again what another try may cure, and nothing else.
 *
 * Only errors marked as transient are retried. What a retry gives up on comes back as the same error, typed as
 * exhausted, so that no second `Retry.transient` and no `Policy` with a retry can be put around it. (Effect's own
 * `Effect.retry` does not look at the mark: around a protected call it compiles, multiplies attempts and repeats
 * rejections.) A schedule says when; a budget, as its last combinator, says whether.
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
import * as Budget from "./internal/budget.ts"
import { Protected } from "./internal/frame.ts"
import { reporterOf } from "./internal/hub.ts"
import { keep } from "./internal/keep.ts"
import * as Options_ from "./internal/options.ts"
import * as Protecting from "./internal/protect.ts"
import * as Retrying from "./internal/retry.ts"
import * as Time from "./internal/time.ts"
import type { AnyEffect, AnyFiber, AnySchedule, NoOther } from "./internal/types.ts"
import type * as Rejection from "./Rejection.ts"
import { defaultKey } from "./Rejection.ts"
import * as Transient from "./Transient.ts"

/**
 * An attempt that failed: its number from 1, its error, the time since the first attempt began, and the pause that
 * follows (`undefined` when none does).
 *
 * @category models
 * @since 0.1.0
 */
export interface Attempt extends Retrying.Attempt {}

/**
 * Why a retry gave up, with the history of its attempts.
 *
 * @category models
 * @since 0.1.0
 */
export interface GiveUp extends Retrying.GiveUp {}

/**
 * Options of a retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in Value = unknown> {
  /** Retries only errors known to have been refused before any work was done: for work that is not idempotent. Default: `false`. */
  readonly unprocessedOnly?: boolean | undefined
  /** An error that asks for a longer pause than this (`retryAfter`) ends the retry. A duration of zero or more. Default: 1 minute. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /** Runs after each decision to retry, before the pause. */
  readonly onRetry?: ((attempt: Attempt) => Effect.Effect<unknown>) | undefined
  /** Retries a success too, while this holds for its value. When the retry gives up, the caller gets the last value. */
  readonly while?: { of(value: Value): boolean }["of"] | undefined
  /** The name in events. Default: `"Retry"`. */
  readonly name?: string | undefined
}

type HasWhile<O> = O extends { readonly while: (value: infer _V) => boolean } ? true : false

type TakesValue<A, O> = O extends { readonly while: (value: infer V) => boolean }
  ? [A] extends [V]
    ? true
    : false
  : true

/** A budget's service among the requirements of a schedule that has lost the mark of its gate. */
type UngatedBudget<S> =
  S extends Schedule.Schedule<infer _O, infer _I, infer _E, infer Env>
    ? 0 extends 1 & Env
      ? never
      : Extract<Env, { readonly Service: { readonly "~effect-resilience/RetryBudget": unknown } }>
    : never

type IsGated<S> = S extends { readonly [Budget.GatedTypeId]: unknown } ? true : false

/**
 * `unknown` when an effect that fails with `E` may be retried on the schedule `S`; otherwise an English sentence that
 * says why not.
 *
 * @category type-level
 * @since 0.1.0
 */
export type CanRetry<A, E, S, O> =
  IsGated<S> extends true
    ? HasSomething<A, E, S, O>
    : [UngatedBudget<S>] extends [never]
      ? HasSomething<A, E, S, O>
      : "`gated` must be the last combinator of the schedule: what comes after it would not be paid for"

type HasSomething<A, E, S, O> =
  TakesValue<A, O> extends false
    ? "`while` does not take the value of this effect"
    : HasWhile<O> extends true
      ? unknown
      : [Transient.TransientOf<E>] extends [never]
        ? unknown extends E
          ? "The errors of this effect have no type: give them one, for example with Effect.mapError"
          : [Transient.ExhaustedOf<E>] extends [never]
            ? "No error of this effect is Transient: there is nothing to retry"
            : AlreadyRetried
        : OnlyTimedOutAgain<E> extends true
          ? AlreadyRetried
          : S extends Schedule.Schedule<infer _Out, infer Input, infer _E, infer _Env>
            ? [Transient.TransientOf<E>] extends [Input]
              ? unknown
              : "The schedule does not take the errors of this effect as its input"
            : unknown

type AlreadyRetried = "The errors of this effect have already been retried: a retry around a retry multiplies the load"

/** A timeout around a retry makes a new transient error, and to retry that would repeat the retry inside. */
type OnlyTimedOutAgain<E> = [Transient.ExhaustedOf<E>] extends [never]
  ? false
  : [Exclude<Transient.TransientOf<E>, Rejection.TimedOut>] extends [never]
    ? true
    : false

/**
 * The error type after a retry: permanent errors as they are, transient ones exhausted, and the errors of the schedule.
 *
 * @category type-level
 * @since 0.1.0
 */
export type ErrorAfter<E, S> = [S] extends [infer T] ? Transient.AfterRetry<E> | Schedule.Error<T> : never

/**
 * A function that retries effects.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<S, O> {
  <A, E, R>(
    self: Effect.Effect<A, E, R> & CanRetry<A, E, S, O>
  ): Effect.Effect<A, ErrorAfter<E, S>, R | Schedule.Env<S>>
}

/**
 * Retries an effect while it fails with a transient error, as the schedule says.
 *
 * **Details** Permanent errors, rejections of policies, defects and interruption are never retried. The pause is the
 * schedule's, but never shorter than a `retryAfter` of the error; a pause that would outlast the deadline is not begun.
 * When a later attempt is refused by a policy, the caller gets the last real failure. `Retry.gaveUp` reads off the cause
 * why the retry ended.
 *
 * **Gotchas** A schedule without an end (`Schedule.exponential` alone) retries for ever: give it `Schedule.upTo`, or use
 * {@link backoff}, which has one.
 *
 * **Example** (Retrying what may succeed)
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
 * **Example** (Retrying on a value)
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
  <S extends AnySchedule, const O extends Options = {}>(
    schedule: S,
    options?: O & Options & NoOther<O, Options>
  ): Apply<S, O>
  <A, E, R, S extends AnySchedule, const O extends Options<A> = {}>(
    self: Effect.Effect<A, E, R> & CanRetry<A, E, S, O>,
    schedule: S,
    options?: O & Options<A> & NoOther<O, Options>
  ): Effect.Effect<A, ErrorAfter<E, S>, R | Schedule.Env<S>>
} = Protecting.dual((schedule, options) => retry(schedule, options))

/** A retry with its options checked. */
class Plan extends Retrying.Plan {
  readonly name: string
  readonly gate: Budget.Gate | undefined
  readonly again: ((value: unknown) => boolean) | undefined

  constructor(schedule: AnySchedule, options: Options | undefined) {
    const where = "Retry.transient"
    if (options !== undefined) Options_.known(where, options, [...Retrying.names, "while", "name"])
    const gate = Budget.gateOf(schedule)
    super(where, gate === undefined ? schedule : gate.schedule, options)
    this.gate = gate
    this.name = Options_.nonEmpty(where, "name", options?.name ?? "Retry")
    this.again = options?.while
    if (this.again !== undefined && typeof this.again !== "function") {
      Options_.reject(where, "while", "a function", this.again)
    }
  }
}

/** A retried effect: the frame of the attempt in flight. What only a failure needs is made at the first failure. */
class Retried extends Protected {
  declare private readonly plan: Plan
  declare private readonly self: AnyEffect
  declare private budget: Budget.Budget | undefined
  declare private started: number
  declare private metadata: Schedule.Metadata | undefined
  declare private retrying: Retrying.Retrying | undefined

  constructor(plan: Plan, self: AnyEffect) {
    super()
    this.plan = plan
    this.self = self
    this.budget = undefined
    this.started = NaN
    this.metadata = undefined
    this.retrying = undefined
  }

  protected copy(): Retried {
    return new Retried(this.plan, this.self)
  }

  protected prepare(fiber: AnyFiber): undefined {
    this.budget = this.plan.gate?.budget(fiber)
    this.started = Time.monotonicMillis(fiber)
    this.metadata = undefined
    this.retrying = undefined
  }

  enter(): AnyEffect {
    if (this.metadata !== undefined) {
      return Effect.provideService(this.self, Schedule.CurrentMetadata, this.metadata)
    }
    this.budget?.deposit(this.started)
    return this.self
  }

  succeeded(value: unknown, fiber: AnyFiber): AnyEffect | undefined {
    return this.plan.again?.(value) === true
      ? this.deciding(fiber).unsatisfied(value, fiber, (metadata) => this.attempt(metadata))
      : undefined
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    return this.deciding(fiber).failed(cause, fiber, (metadata) => this.attempt(metadata))
  }

  private attempt(metadata: Schedule.Metadata): AnyEffect {
    this.metadata = metadata
    return this.again()
  }

  private deciding(fiber: AnyFiber): Retrying.Retrying {
    this.retrying ??= new Retrying.Retrying(
      this.plan,
      {
        key: defaultKey,
        budget: this.budget,
        reporter: reporterOf(this.plan.name, fiber)
      },
      this.started,
      fiber
    )
    return this.retrying
  }
}

let kept = false

const retry = (schedule: AnySchedule, options: Options | undefined) => {
  const plan = new Plan(schedule, options)
  // Here and not in the module, of which other parts are used without a retry.
  if (!kept) keep(new Retried(plan, Effect.void))
  kept = true
  return (self: AnyEffect): AnyEffect => new Retried(plan, self)
}

/**
 * The random part of a backoff.
 *
 * - `"full"`: anything between zero and the exponential delay; least load on the dependency.
 * - `"equal"`: half the exponential delay, and up to as much again.
 * - `"decorrelated"`: anything between the base and three times the last delay.
 * - `"none"`: the exponential delay.
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
  /** The first delay before jitter. A duration above zero. Default: 100 millis. */
  readonly base?: Duration.Input | undefined
  /** No delay is longer than this. A duration of at least `base`. Default: 5 seconds. */
  readonly cap?: Duration.Input | undefined
  /** Retries, an integer >= 0; 0 means no retry. Default: 2. */
  readonly times?: number | undefined
  /** Default: `"full"`. */
  readonly jitter?: Jitter | undefined
}

const jitters: ReadonlyArray<Jitter> = ["full", "equal", "decorrelated", "none"]

/**
 * An exponential backoff with jitter, a cap and an end: the schedule that most retries want.
 *
 * **Details** Without jitter the n-th delay is `base * 2^(n-1)`, at most `cap`. A `retryAfter` of the error is a lower
 * bound that may exceed the cap. Defaults: 2 retries, 100 ms doubling to 5 seconds, full jitter.
 *
 * **Example** (The delays of a backoff)
 *
 * ```ts
 * import { Retry } from "effect-resilience"
 *
 * const schedule = Retry.backoff({ base: "100 millis", cap: "2 seconds", times: 3, jitter: "equal" })
 * ```
 *
 * @category schedules
 * @since 0.1.0
 */
export const backoff = (options: Backoff = {}): Schedule.Schedule<Duration.Duration> => {
  const { defaults } = Retrying
  const where = "Retry.backoff"
  Options_.known(where, options, ["base", "cap", "times", "jitter"])
  const times = Options_.integer(where, "times", options.times ?? defaults.times, 0)
  const base = Options_.millis(where, "base", options.base ?? defaults.base)
  const cap = Options_.millis(
    where,
    "cap",
    options.cap ?? Duration.millis(Math.max(base, Duration.toMillis(Duration.fromInputUnsafe(defaults.cap))))
  )
  if (cap < base) Options_.reject(where, "cap", `at least base (${base} ms)`, cap)
  const jitter = options.jitter ?? defaults.jitter
  if (!jitters.includes(jitter)) Options_.reject(where, "jitter", `one of ${jitters.join(", ")}`, jitter)
  const schedule = Schedule.fromStepWithMetadata(
    Effect.withFiber((fiber) => {
      const random = fiber.getRef(Random.Random)
      let previous = base
      return Effect.succeed(({ attempt, input }: Schedule.InputMetadata<unknown>) => {
        if (attempt > times) return Cause.done(Duration.millis(previous))
        const exponential = Math.min(cap, base * 2 ** (attempt - 1))
        previous = jittered(jitter, exponential, base, cap, previous, random.nextDoubleUnsafe())
        const asked = Transient.retryAfter(input)
        const delay = Duration.millis(asked === undefined ? previous : Math.max(previous, Duration.toMillis(asked)))
        return Effect.succeed<[Duration.Duration, Duration.Duration]>([delay, delay])
      })
    })
  )
  backoffs.set(schedule, options)
  return schedule
}

/** The options of the schedules that {@link backoff} made, for `Config` to change some of them. */
const backoffs = new WeakMap<object, Backoff>()

/** @internal */
export const backoffOf = (schedule: object): Backoff | undefined => backoffs.get(schedule)

const jittered = (jitter: Jitter, exponential: number, base: number, cap: number, previous: number, random: number) => {
  switch (jitter) {
    case "full":
      return exponential * random
    case "equal":
      return exponential * (0.5 + 0.5 * random)
    case "decorrelated":
      return Math.min(cap, base + random * (previous * 3 - base))
    case "none":
      return exponential
  }
}

/**
 * Why a retry gave up on this cause: reason, attempts, time and history. Nothing when no retry did.
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
