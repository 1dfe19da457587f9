/**
 * Laws for parts that you write yourself: trip policies, schedules, classifications, hooks, fallbacks and policies.
 *
 * A suite is a list of named laws. In vitest each law can be a test; in plain code {@link check} runs all of them.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type { Outcome, Rejection, Retry, RetryBudget, Transient, TripPolicy } from "effect-resilience"
import * as Calls from "./internal/laws/calls.ts"
import * as Law_ from "./internal/laws/law.ts"
import * as Modelled from "./internal/laws/models.ts"
import * as Policies from "./internal/laws/policy.ts"
import * as Schedules from "./internal/laws/schedule.ts"
import * as Trip from "./internal/laws/trip.ts"
import type * as Models from "./Models.ts"

/**
 * One law of one subject.
 *
 * @category models
 * @since 0.1.0
 */
export interface Law {
  readonly name: string
  /** Fails with `Broken` when the law does not hold. */
  readonly check: Effect.Effect<void, Broken>
  /** Checks the law for one input, such as `input` of a {@link Broken}. */
  readonly replay: (input: unknown) => Effect.Effect<void, Broken>
}

/**
 * Options of every suite.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Random inputs per law, an integer >= 1. Default: 100. */
  readonly runs?: number | undefined
  /** What the inputs are drawn from. Default: 0, so that a test never flakes. */
  readonly seed?: string | number | undefined
  /**
   * Real time after which a program of a law is stopped, which breaks the law. Default: `TimeLimit.TimeLimit`, or
   * 2 seconds.
   */
  readonly timeLimit?: Duration.Input | undefined
}

/**
 * A law that does not hold. The message has the reason, the smallest input that was found, and the code that replays it.
 *
 * @category errors
 * @since 0.1.0
 */
export interface Broken extends Cause.YieldableError {
  readonly _tag: "Broken"
  readonly subject: string
  readonly law: string
  readonly reason: string
  /** The smallest input that was found for it; `undefined` for a law without one. */
  readonly input: unknown
  readonly seed: string | number
}

/**
 * The class of {@link Broken}.
 *
 * @category errors
 * @since 0.1.0
 */
export const Broken: new (fields: Pick<Broken, "subject" | "law" | "reason" | "input" | "seed">) => Broken = Law_.Broken

/**
 * Checks all laws of a suite and returns their number. Fails with the first law that is broken. Throws a `RangeError`
 * if there are none.
 *
 * @category running
 * @since 0.1.0
 */
export const check = (laws: ReadonlyArray<Law>): Effect.Effect<number, Broken> => {
  if (laws.length === 0) throw new RangeError("Laws.check: there are no laws to check")
  return Effect.as(
    Effect.forEach(laws, (law) => law.check, { discard: true }),
    laws.length
  )
}

/**
 * Checks one law of a suite for one input, for a regression test. The message of {@link Broken} has the call. Throws a
 * `RangeError` if the suite has no such law.
 *
 * @category running
 * @since 0.1.0
 */
export const replay = (laws: ReadonlyArray<Law>, law: string, input?: unknown): Effect.Effect<void, Broken> => {
  const found = laws.find(({ name }) => name === law)
  if (found === undefined) throw new RangeError(`Laws.replay: there is no law ${JSON.stringify(law)}`)
  return found.replay(input)
}

/**
 * The laws of a trip policy: total, finite, deterministic and bounded, with nothing stored outside its state. It never
 * trips without failures or slow calls, and it trips in an outage.
 *
 * **When to use** For every trip policy of your own.
 *
 * **Example** (In a test file)
 *
 * ```ts no-run
 * import { describe, it } from "@effect/vitest"
 * import { TripPolicy } from "effect-resilience"
 * import { Laws } from "@effect-resilience/testing"
 *
 * describe("my policy", () => {
 *   for (const law of Laws.tripPolicy("mine", TripPolicy.consecutive(5))) it.effect(law.name, () => law.check)
 * })
 * ```
 *
 * **Example** (A policy that stores its count outside its state)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TripPolicy } from "effect-resilience"
 * import { Laws } from "@effect-resilience/testing"
 *
 * let failures = 0
 * const mine = TripPolicy.make({
 *   name: "mine",
 *   initial: () => ({}),
 *   record: (_, failed) => { failures = failed ? failures + 1 : 0 },
 *   trips: () => failures >= 5
 * })
 *
 * const broken = await Effect.runPromise(Effect.flip(Laws.check(Laws.tripPolicy("mine", mine))))
 * broken.law // => "circuits do not share state"
 * ```
 *
 * @category suites
 * @since 0.1.0
 */
export const tripPolicy = <S>(
  name: string,
  policy: TripPolicy.TripPolicy<S>,
  options: Options & {
    /** The number of calls that fill the state, and of failures in a row that trip it. Default: 20,000. */
    readonly calls?: number | undefined
  } = {}
): ReadonlyArray<Law> => Trip.tripPolicy(name, policy, options)

/**
 * The laws of a threshold: a trip policy trips at `failures` failures within `within`, and not before.
 *
 * **When to use** Beside {@link tripPolicy}, which knows no threshold. It finds a limit that is off by one, and a window
 * that is emptied in place of sliding.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `failures` | an integer >= 1 | |
 * | `within` | a duration above zero | no window: time does not matter |
 * | `resolution` | [0, 1), a share of `within` | 0.1 |
 *
 * All calls fail. Failures of the last `(1 - resolution) * within` must count, those that are `within` old or older must
 * not, and a window may do as it likes with those between, because it may count in buckets.
 *
 * **Example** (A window that is emptied every second)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TripPolicy } from "effect-resilience"
 * import { Laws } from "@effect-resilience/testing"
 *
 * const tumbling = TripPolicy.make({
 *   name: "tumbling",
 *   initial: () => ({ second: 0, failures: 0 }),
 *   record: (state, failed, _, now) => {
 *     const second = Math.floor(now / 1000)
 *     if (second !== state.second) Object.assign(state, { second, failures: 0 })
 *     if (failed) state.failures += 1
 *   },
 *   trips: ({ failures }) => failures >= 3
 * })
 * const laws = Laws.trips("tumbling", tumbling, { failures: 3, within: "1 second" })
 * const broken = await Effect.runPromise(Effect.flip(Laws.check(laws)))
 * broken.law // => "trips at failure 3 within 1000 ms, and not before"
 * ```
 *
 * @category suites
 * @since 0.1.0
 */
export const trips = <S>(
  name: string,
  policy: TripPolicy.TripPolicy<S>,
  options: Options & {
    /** Failures at which it trips. */
    readonly failures: number
    /** The window that the failures are in. */
    readonly within?: Duration.Input | undefined
    /** The share of the window for which it may be early with forgetting a failure. */
    readonly resolution?: number | undefined
  }
): ReadonlyArray<Law> => Trip.trips(name, policy, options)

/**
 * The laws of a schedule: delays are finite and >= 0, it ends (unless `times` is `Infinity`), calls share nothing, and
 * it decides without waiting.
 *
 * **Example** (A backoff without an end)
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Laws } from "@effect-resilience/testing"
 *
 * const mine = Schedule.exponential("100 millis")
 * const broken = await Effect.runPromise(Effect.flip(Laws.check(Laws.schedule("mine", mine, { times: 20 }))))
 * broken.law // => "ends"
 * ```
 *
 * @category suites
 * @since 0.1.0
 */
export const schedule = <Out, In>(
  name: string,
  schedule: Schedule.Schedule<Out, In, unknown>,
  options: Options & {
    /** The longest delay allowed. Default: no cap. */
    readonly cap?: Duration.Input | undefined
    /** Decisions after which it must have ended; `Infinity` for a schedule that never ends. Default: 1,000. */
    readonly times?: number | undefined
    /** The input of the n-th decision, from 1. Default: n, as for the open time of a circuit. */
    readonly input?: ((attempt: number) => In) | undefined
  } = {}
): ReadonlyArray<Law> => Schedules.schedule(name, schedule, options)

/**
 * The laws of a schedule with a retry budget: `gated` is the last combinator, and each retry, and nothing else, costs
 * one token. The compiler cannot check this for a budget from `RetryBudget.make`.
 *
 * **Example** (With a limit after the gate, tokens are spent and not used)
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Laws } from "@effect-resilience/testing"
 *
 * const laws = Laws.gated("mine", (budget) =>
 *   Schedule.exponential("10 millis").pipe(budget.gated, Schedule.upTo({ times: 2 }))
 * )
 * const broken = await Effect.runPromise(Effect.flip(Laws.check(laws)))
 * broken.law // => "`gated` is the last combinator"
 * ```
 *
 * @category suites
 * @since 0.1.0
 */
export const gated = (
  name: string,
  schedule: (budget: RetryBudget.RetryBudget) => Schedule.Schedule<unknown, unknown>,
  options: Options = {}
): ReadonlyArray<Law> => Schedules.gated(name, schedule, options)

/**
 * The laws of a classification (`classify`, `failures`, `ignore`, `failWhen`): it is total and deterministic, ignores
 * rejections and interruptions, never counts a defect as a success, and returns both success and failure.
 *
 * **Example** (A classification that never returns failure)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Laws } from "@effect-resilience/testing"
 *
 * const mine = Laws.classification("mine", { failures: ["Down"] }, { values: ["ok"], errors: [{ _tag: "down" }] })
 * const broken = await Effect.runPromise(Effect.flip(Laws.check(mine)))
 * broken.law // => "returns both success and failure"
 * ```
 *
 * @category suites
 * @since 0.1.0
 */
export const classification = <A, E>(
  name: string,
  classification: Outcome.Classification<A, E>,
  options: Options & {
    /** Values with which calls succeed. */
    readonly values: ReadonlyArray<A>
    /** Errors with which calls fail. */
    readonly errors: ReadonlyArray<E>
  }
): ReadonlyArray<Law> => Calls.classification(name, classification, options)

/**
 * The laws of an `onRetry` hook: it never fails, does not delay the retry, and ends when it is interrupted.
 *
 * @category suites
 * @since 0.1.0
 */
export const onRetry = (
  name: string,
  hook: (attempt: Retry.Attempt) => Effect.Effect<unknown, unknown>,
  options: Options & {
    /** The longest time that it may take. Default: 1 second. */
    readonly within?: Duration.Input | undefined
    /** Errors to call it with. Default: one transient error. */
    readonly errors?: ReadonlyArray<unknown> | undefined
  } = {}
): ReadonlyArray<Law> => Calls.onRetry(name, hook, options)

/**
 * The laws of a fallback: it handles every rejection within its time and without a defect, and ends when it is
 * interrupted.
 *
 * @category suites
 * @since 0.1.0
 */
export const fallback = <E = never>(
  name: string,
  answer: (error: E | Rejection.Rejection) => Effect.Effect<unknown, unknown>,
  options: Options & {
    /** The longest time that it may take. Default: 1 second. */
    readonly within?: Duration.Input | undefined
    /** Further errors that it handles, in addition to rejections. */
    readonly errors?: ReadonlyArray<E> | undefined
  } = {}
): ReadonlyArray<Law> => Calls.fallback(name, answer, options)

/**
 * The error of the work that {@link policy} protects. It is transient.
 *
 * @category errors
 * @since 0.1.0
 */
export interface LawError extends Cause.YieldableError, Transient.Transient {
  readonly _tag: "LawError"
}

/**
 * The class of {@link LawError}.
 *
 * @category errors
 * @since 0.1.0
 */
export const LawError: new () => LawError = Policies.LawError

/**
 * The laws of a policy around a call: values, errors and defects pass unchanged; the work sees the context of the call,
 * runs once if it succeeds, and ends before the call does. Every call ends, also after one that failed, died or was
 * interrupted.
 *
 * **When to use** For a policy of your own, or a composition of several. Each law makes a new policy, which must admit
 * a single call.
 *
 * **Example** (A composition of two policies)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Deadline, Timeout } from "effect-resilience"
 * import { Laws } from "@effect-resilience/testing"
 *
 * const careful = <A, E, R>(work: Effect.Effect<A, E, R>) =>
 *   work.pipe(Timeout.after("1 day"), Deadline.within("2 days"))
 *
 * await Effect.runPromise(Laws.check(Laws.policy("careful", Effect.succeed(careful)))) // => 9
 * ```
 *
 * @category suites
 * @since 0.1.0
 */
export const policy = (
  name: string,
  make: Effect.Effect<
    (work: Effect.Effect<unknown, LawError>) => Effect.Effect<unknown, unknown>,
    unknown,
    Scope.Scope
  >,
  options: Options = {}
): ReadonlyArray<Law> => Policies.policy(name, make, options)

/**
 * The laws of a limiter, by its model: see `Models.limiter` for what is checked and for the options. The input of a
 * broken law is a sequence of commands.
 *
 * **Example** (A bulkhead of this library)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 * import { Laws } from "@effect-resilience/testing"
 *
 * const limits = { maxConcurrent: 2, maxQueued: 1 }
 * const make = Effect.map(Bulkhead.make("printer", limits), ({ protect, state }) => ({
 *   protect: (work: Effect.Effect<unknown, Laws.LawError>) => protect(work),
 *   state: state()
 * }))
 * await Effect.runPromise(Laws.check(Laws.limiter("printer", { make, ...limits, runs: 20 }))) // => 1
 * ```
 *
 * @category suites
 * @since 0.1.0
 */
export const limiter = (name: string, options: Options & Models.LimiterOptions): ReadonlyArray<Law> =>
  Modelled.limiter(name, options)

/**
 * The laws of a circuit breaker, by its model, and that a listener may call the breaker that it listens to: see
 * `Models.breaker` for what is checked and for the options. The input of a broken law is a sequence of commands.
 *
 * @category suites
 * @since 0.1.0
 */
export const breaker = (name: string, options: Options & Models.BreakerOptions): ReadonlyArray<Law> =>
  Modelled.breaker(name, options)
