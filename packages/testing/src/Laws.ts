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
import * as Policies from "./internal/laws/policy.ts"
import * as Schedules from "./internal/laws/schedule.ts"
import * as Trip from "./internal/laws/trip.ts"

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
}

/**
 * A law that does not hold. The message has the reason and the smallest input that was found.
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
 * Checks all laws of a suite and returns their number. Fails with the first law that is broken.
 *
 * @category running
 * @since 0.1.0
 */
export const check = (laws: ReadonlyArray<Law>): Effect.Effect<number, Broken> =>
  Effect.as(
    Effect.forEach(laws, (law) => law.check, { discard: true }),
    laws.length
  )

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
 * runs once if it succeeds, and ends before the call does.
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
 * await Effect.runPromise(Laws.check(Laws.policy("careful", Effect.succeed(careful)))) // => 8
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
