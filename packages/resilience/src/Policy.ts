/**
 * Combines everything that one dependency needs, in the one order that is safe.
 *
 * Outermost first: deadline, retry with its budget, hedge, circuit breaker, rate limit, bulkhead, timeout, call. No permit is held during a delay, a
 * full bulkhead never counts against the dependency, no probe waits in a queue, and each attempt is one outcome. The error type
 * shows only what is configured. For another order compose the single policies with `pipe`.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Bulkhead from "./Bulkhead.ts"
import type * as Change from "./Change.ts"
import * as CircuitBreaker from "./CircuitBreaker.ts"
import * as Event from "./Event.ts"
import { inScope } from "./engine/acquire.ts"
import type { AdaptiveSettings } from "./engine/adaptive.ts"
import { type BudgetSettings, gatedScheduleOf } from "./engine/budget.ts"
import * as Changes from "./engine/changes.ts"
import * as FromConfig from "./engine/config.ts"
import * as Instances from "./engine/instances.ts"
import * as Keyed from "./engine/keyed.ts"
import { checkMode, type ModeSettings } from "./engine/modes.ts"
import { PolicyCall, PolicyEngine, type PolicySettings } from "./engine/policy.ts"
import { Hedger } from "./engine/policyHedge.ts"
import { PolicyHold, permitOf } from "./engine/policyHold.ts"
import * as Protecting from "./engine/protect.ts"
import { Reporter } from "./engine/reporter.ts"
import type { RetrySettings } from "./engine/retry.ts"
import { setCommand, type Tuned, TunedKey, Tuner } from "./engine/retune.ts"
import { toJson } from "./engine/settingsJson.ts"
import { Steer } from "./engine/shadow.ts"
import * as Snapshots from "./engine/snapshots.ts"
import * as Streams from "./engine/stream.ts"
import type { Counts } from "./engine/sums.ts"
import { watch } from "./engine/watchConfig.ts"
import * as Hedge from "./Hedge.ts"
import * as Outcome from "./Outcome.ts"
import * as RateLimit from "./RateLimit.ts"
import * as Rejection from "./Rejection.ts"
import * as Retry from "./Retry.ts"
import * as RetryBudget from "./RetryBudget.ts"
import * as Rollout from "./Rollout.ts"
import * as Time from "./runtime/clock.ts"
import { EngineKey } from "./runtime/frame.ts"
import * as Check from "./runtime/options.ts"
import { attempt, has, read } from "./runtime/read.ts"
import type { AnyFiber } from "./runtime/types.ts"
import * as Shared from "./Shared.ts"
import type * as Stats from "./Stats.ts"
import * as Timeout from "./Timeout.ts"
import type * as Transient from "./Transient.ts"
import type * as Types from "./Types.ts"
import { defaultKey } from "./Types.ts"

/**
 * The parts of a policy; a part that is not configured does nothing.
 *
 * **Details**
 *
 * | part | meaning | default of `{}` |
 * |---|---|---|
 * | `deadline` | time for the whole call | |
 * | `retry` | a schedule, or one with options | |
 * | `budget` | how many retries and hedges are allowed | see `RetryBudget.Options` |
 * | `hedge` | when a second attempt starts beside a slow first one | `"p95"`, see `Hedge.PolicyOptions` |
 * | `breaker` | a circuit per key | see `CircuitBreaker.Options` |
 * | `rateLimit` | tokens per key | `limit` and `window` are required |
 * | `bulkhead` | permits per key | `maxConcurrent` is required |
 * | `adaptive` | in place of breaker, bulkhead and budget: it finds the limit, the pace of probes and the price of retries itself | `{ wait: true }`; needs `timeout` |
 * | `timeout` | time for one attempt | |
 * | `mode` | whether calls are enforced, observed or left alone | `"enforce"` |
 * | `rollout` | the share of the traffic that is enforced, the rest is observed | |
 * | `keys` | limits on the state per key | 10,000 keys, 1 hour |
 * | `stats` | the window of `recent`, 1 second to 10 minutes | 10 seconds |
 * | `shared` | what the processes of a fleet share, see `Shared.Options` | nothing |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Time for the whole call: attempts, delays and waits together. A duration above zero. */
  readonly deadline?: Duration.Input | undefined
  /** When to retry. Not a gated schedule: the policy charges its own `budget`. */
  readonly retry?: Types.InfallibleSchedule | RetryOptions | undefined
  /**
   * When a second attempt starts beside a slow first one, for calls that may run twice at the same time. The first success is the
   * result, and both attempts have a permit and an outcome of their own. Each hedge takes a token of the `budget`, which is required
   * beside a `retry`; without a `retry` it is a budget with its defaults. With `adaptive` its tokens pay.
   */
  readonly hedge?: Hedge.PolicyOptions | undefined
  /**
   * How many retries are allowed: a budget of this policy alone, or the service of one that several policies share. With
   * `per: "key"` each key has a balance of its own, within the limits of `keys`.
   */
  readonly budget?: Omit<RetryBudget.Options, "keys"> | BudgetService | undefined
  /** When to stop calls. */
  readonly breaker?: Omit<CircuitBreaker.Options, "keys"> | undefined
  /** How many attempts start within a time: each attempt, retries and hedges included, takes a token. */
  readonly rateLimit?: Omit<RateLimit.Options, "keys"> | undefined
  /** How many calls run at once. */
  readonly bulkhead?: Omit<Bulkhead.Options, "keys" | "limit"> | undefined
  /**
   * In place of a breaker, a bulkhead and a budget: finds out from the latencies and failures of each key how many calls may be in
   * flight, when to send probes only, and what a retry costs. It needs `timeout`, and uses `deadline`.
   */
  readonly adaptive?: AdaptiveOptions | undefined
  /** Time for one attempt. A duration above zero, at most the deadline, and above twice a `hedge.after` that is a duration. */
  readonly timeout?: Duration.Input | undefined
  /**
   * Whether calls are protected. Default: `"enforce"`.
   *
   * - `"enforce"`: they are.
   * - `"observe"`: every part decides about each call as it would, and nothing happens to the call: it is neither rejected, queued,
   *   delayed, repeated nor ended by a limit. What would have happened is in `stats().would`, in events and in metrics.
   * - `"off"`: calls run as if there were no policy, and are not counted.
   */
  readonly mode?: Mode | undefined
  /** Which share of the traffic is enforced; the rest is observed. Not with a `mode` other than `"enforce"`. */
  readonly rollout?: Rollout.Options | undefined
  /** Limits on the state that is kept per key. */
  readonly keys?: Types.KeyOptions | undefined
  /** What the stats of this policy measure. */
  readonly stats?: StatsOptions | undefined
  /**
   * What the processes of a fleet share in the background; the layer of the policy then requires a `Shared.Board`. Without it nothing
   * is shared, and nothing required.
   */
  readonly shared?: Shared.Options | undefined
}

/**
 * Options of the adaptive part of a policy. Nothing has to be set: its rules use the `timeout` and the `deadline` of the policy, and
 * learn the rest.
 *
 * **Details** The classification says which outcomes are failures, as for a breaker. A throttled error, an unprocessed error with
 * `retryAfter`, and a `BulkheadFull` of another service count as late answers and not as failures, whatever the classification says.
 *
 * While calls are limited or paced, more important ones come first: see `criticality` of `Propagation`.
 *
 * `retry` of the policy needs no numbers either: of a `Retry.backoff` that does not set them, `base` is a tenth of the deadline, `cap`
 * the deadline and `times` 3.
 *
 * @category models
 * @since 0.1.0
 */
export interface AdaptiveOptions extends Outcome.Classification {
  /**
   * Whether a call for which there is no room waits. The oldest call is served first while a whole `timeout` is left before its
   * deadline, otherwise the newest. While calls are paced, and after an outage, a call waits until less time than an answer takes is left
   * before its deadline; under any other limit, for half of the `timeout` at most. It is rejected at once when the next probe would come
   * too late, or 10,000 calls of its key wait. `false` rejects every such call at once, for callers that have something better to do,
   * such as a fallback. Default: `true`.
   */
  readonly wait?: boolean | undefined
}

/**
 * Whether the calls of a policy are enforced, observed or left alone.
 *
 * @category models
 * @since 0.1.0
 */
export type Mode = "enforce" | "observe" | "off"

/**
 * What the stats of a policy measure.
 *
 * @category models
 * @since 0.1.0
 */
export interface StatsOptions {
  /**
   * How far back `recent` reaches, with its success rate and its latencies. A duration from 1 second to 10 minutes. Default:
   * 10 seconds.
   */
  readonly window?: Duration.Input | undefined
}

/**
 * A schedule with options of the retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions extends Omit<Retry.Options, "while" | "name"> {
  readonly schedule: Types.InfallibleSchedule
  /**
   * Retries a success while this is `true` for its value, such as a response with status 503; when the retry gives up, the
   * caller gets the last value. With `unprocessedOnly` only a value with `unprocessed: true` is retried.
   *
   * **Details** It does not change what the breaker counts: for that set `failWhen` too. Elements of a stream are not values of
   * a call, and are never retried.
   */
  readonly retryWhen?: Bivariant<unknown, boolean> | undefined
}

/** A function whose parameter may be narrower: it is checked against each protected effect. */
type Bivariant<In, Out> = { of(value: In): Out }["of"]

/**
 * The service of a retry budget: a class made by `RetryBudget.Service`.
 *
 * @category models
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: which service it is does not matter here
export type BudgetService = Context.Key<any, RetryBudget.RetryBudget>

/**
 * Options of one protected effect: its key, whether it may be repeated, and a classification in place of the breaker's.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectOptions extends Outcome.Classification {
  /** Which circuit and which permits. Default: `"default"`. */
  readonly key?: string | undefined
  /**
   * `false`: one attempt, whose errors stay transient. `"unprocessed"`: retries only errors that prove that no work was done,
   * as `unprocessedOnly` does for all calls. Default: as the policy.
   */
  readonly retry?: false | "unprocessed" | undefined
  /**
   * Whether the effect may run twice at the same time, so that a policy with a `hedge` may hedge it. A call with `retry` is never
   * hedged. Default: as the `hedge` of the policy says, which is `false` unless set.
   */
  readonly idempotent?: boolean | undefined
  /**
   * The tenant of the call, such as a customer. Of the calls that wait for a permit, tenants take turns: see `tenant` of
   * `Bulkhead.ProtectOptions`. A policy without a `bulkhead` does not read it. Default: none.
   */
  readonly tenant?: string | undefined
}

/**
 * Options of what has a key and nothing else.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeyOption {
  /** Which circuit and which permits. Default: `"default"`. */
  readonly key?: string | undefined
}

/**
 * The options of the retry of a policy that can be read from `Config`: those of its `Retry.backoff`, and its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryConfigValues extends Retry.BackoffConfigValues {
  /** A longer `retryAfter` of an error ends the retry. */
  readonly maxRetryAfter?: Duration.Duration
  /** Attempts that are kept for the history. */
  readonly history?: number
  /** Whether only errors are retried that prove that no work was done. */
  readonly unprocessedOnly?: boolean
}

/**
 * The options of the adaptive part of a policy that can be read from `Config`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AdaptiveConfigValues {
  readonly wait?: boolean
}

/**
 * The options of a policy that can be read from `Config`; what is not set stays as the class has it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigValues {
  readonly mode?: Mode
  /** The share of a rollout that the class has. */
  readonly rollout?: { readonly percent?: number }
  readonly deadline?: Duration.Duration
  readonly timeout?: Duration.Duration
  /** `after` is a duration, or a percentage such as `p95`. */
  readonly hedge?: { readonly after?: Hedge.After; readonly idempotent?: boolean }
  readonly retry?: RetryConfigValues
  readonly budget?: RetryBudget.ConfigValues
  readonly breaker?: CircuitBreaker.ConfigValues
  readonly bulkhead?: Bulkhead.ConfigValues
  readonly rateLimit?: RateLimit.ConfigValues
  readonly adaptive?: AdaptiveConfigValues
}

// ---------------------------------------------------------------------------------------------------------------------
// What the types say
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A part of a policy that changes the types of protected effects.
 *
 * @category models
 * @since 0.1.0
 */
export type Part = "deadline" | "retry" | "breaker" | "rateLimit" | "bulkhead" | "adaptive" | "timeout"

/**
 * The parts among the options. An optional part counts: the error type names too much rather than too little.
 *
 * @category utility types
 * @since 0.1.0
 */
export type PartsOf<O> = {
  [K in Part]: K extends keyof O ? ([O[K]] extends [undefined] ? never : K) : never
}[Part] extends infer P extends Part
  ? P
  : never

type ScheduleOf<O> = O extends { readonly retry?: infer S }
  ? NonNullable<S> extends { readonly schedule: infer Inner }
    ? Inner
    : NonNullable<S>
  : never

type InputOf<O> = [ScheduleOf<O>] extends [Schedule.Schedule<infer _Out, infer Input, infer _E, infer _Env>]
  ? Input
  : unknown

/** The part that has the classification. */
type ClassifyingOf<O> = O extends { readonly breaker: infer B } ? B : O extends { readonly adaptive: infer A } ? A : {}

/**
 * What a policy demands of the effects that it protects: the classification of its breaker, as `input` the errors that its
 * schedule takes, if not all, and the function `retryWhen` of its retry. `{}` when it demands nothing.
 *
 * @category utility types
 * @since 0.1.0
 */
export type RulesOf<O> = WithRetryWhen<
  O,
  unknown extends InputOf<O>
    ? Outcome.ClassificationOf<ClassifyingOf<O>>
    : Outcome.ClassificationOf<ClassifyingOf<O>> & { readonly input: InputOf<O> }
>

type WithRetryWhen<O, Rules> = O extends { readonly retry: { readonly retryWhen: infer When extends Predicate } }
  ? Rules & { readonly retryWhen: When }
  : Rules

type Predicate = (value: never) => boolean

type TakesValue<A, Rules> = Rules extends { readonly retryWhen: (value: infer V) => boolean }
  ? [A] extends [V]
    ? unknown
    : "The `retryWhen` predicate does not accept this effect's success type"
  : unknown

type InputRule<Rules> = Rules extends { readonly input: infer Input } ? Input : unknown

/** The errors of one attempt. */
type AttemptErrors<E, P> = "timeout" extends P ? E | Timeout.TimedOut : E

/**
 * The errors that must give the policy something to do: those of the effect, without the `TimedOut` that the policy
 * itself adds. An effect whose only errors are rejections, or that has none, can still hang: there `TimedOut` counts.
 */
type OwnErrors<E, P> = [Exclude<E, Rejection.Rejection>] extends [never] ? AttemptErrors<E, P> : E

/**
 * The error type of a protected effect: its own errors, exhausted if the policy retries, and a rejection for each part
 * that may reject.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ErrorOf<E, P> = [P] extends [infer Q] // so that the compiler shows the union and not its name
  ?
      | ("retry" extends Q ? Transient.AfterRetry<AttemptErrors<E, Q>> : AttemptErrors<E, Q>)
      | (Q extends "breaker" | "adaptive" ? Rejection.CircuitOpen : never)
      | (Q extends "rateLimit" ? Rejection.RateLimited : never)
      | (Q extends "bulkhead" | "adaptive" ? Rejection.BulkheadFull : never)
      | ("deadline" extends Q ? Rejection.DeadlineExceeded : never)
  : never

/**
 * `unknown` when the policy makes sense for an effect that succeeds with `A` and fails with `E`; otherwise an English
 * sentence that says why not.
 *
 * **Details** The errors of the effect itself decide: a `timeout` of the policy gives a permanent error nothing to retry.
 * An effect without errors may be protected by a policy with a `timeout`, because it can hang.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanProtect<A, E, P, Rules, R = never> = Types.First<
  [
    ...("retry" extends P
      ? [
          Types.RequireEffect<E, R>,
          TakesValue<A, Rules>,
          Rules extends { readonly retryWhen: Predicate } ? unknown : Retry.HasSomethingToRetry<OwnErrors<E, P>>,
          Retry.TakesErrors<AttemptErrors<E, P>, InputRule<Rules>>
        ]
      : []),
    ...("breaker" extends P ? [Outcome.CanTrip<A, AttemptErrors<E, P>, Rules, R, OwnErrors<E, P>>] : []),
    // It has a timeout, and that is always something to judge by.
    ...("adaptive" extends P ? [Outcome.CanTrip<A, AttemptErrors<E, P>, Rules, R, AttemptErrors<E, P>>] : [])
  ]
>

/**
 * `unknown` when the parts make a policy; otherwise an English sentence that says why not.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Sensible<O> = Types.First<
  [
    Types.NoUnknownOptions<
      O,
      Options,
      | "retry"
      | "breaker"
      | "rateLimit"
      | "bulkhead"
      | "adaptive"
      | "budget"
      | "hedge"
      | "probes"
      | "openFor"
      | "keys"
      | "stats"
      | "rollout"
      | "shared"
    >,
    [ScheduleOf<O>] extends [never]
      ? unknown
      : ScheduleOf<O> extends { readonly [RetryBudget.GatedTypeId]: unknown }
        ? "The schedule of `retry` is gated: a policy charges its own `budget`, give the budget there"
        : 0 extends 1 & Schedule.Env<ScheduleOf<O>>
          ? unknown
          : [Schedule.Env<ScheduleOf<O>>] extends [never]
            ? unknown
            : "The schedule of `retry` needs a service: a policy takes a schedule that needs none",
    IsSure<O, "adaptive"> extends true ? FitsAdaptive<O> : unknown,
    IsGiven<O, "budget"> extends true
      ? true extends IsGiven<O, "retry"> | IsGiven<O, "hedge">
        ? unknown
        : "A `budget` pays for retries and hedges: give `retry` or `hedge` too, or leave `budget` out"
      : IsGiven<O, "hedge"> extends true
        ? IsGiven<O, "retry"> extends true
          ? IsGiven<O, "adaptive"> extends true
            ? unknown
            : "A `hedge` beside a `retry` needs a `budget`, which pays for both"
          : unknown
        : [PartsOf<O>] extends [never]
          ? "A policy needs at least one of deadline, retry, hedge, breaker, rateLimit, bulkhead, adaptive and timeout"
          : unknown
  ]
>

/** Options whose type does not say whether there is a part are checked when the policy is made. */
type IsSure<O, Field extends keyof Options> = Field extends keyof O
  ? undefined extends O[Field]
    ? false
    : true
  : false

/** What goes with `adaptive`. */
type FitsAdaptive<O> =
  IsGiven<O, "timeout"> extends false
    ? "`adaptive` needs `timeout`: how long an answer may take is what it cannot find out"
    : IsSure<O, "breaker"> extends true
      ? "`adaptive` sends probes where a `breaker` would open: leave `breaker` out"
      : IsSure<O, "bulkhead"> extends true
        ? "`adaptive` limits calls as a `bulkhead` does: leave `bulkhead` out, or put a Bulkhead around the effect"
        : IsSure<O, "budget"> extends true
          ? "`adaptive` pays for retries: leave `budget` out"
          : unknown

type IsGiven<O, Field extends keyof Options> = Field extends keyof O
  ? [O[Field]] extends [undefined]
    ? false
    : true
  : false

/**
 * The services that the layer of a policy requires: that of a budget that several policies share, and the board of a fleet.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Requires<O> =
  | (O extends { readonly budget: Context.Key<infer I, RetryBudget.RetryBudget> } ? I : never)
  | (O extends { readonly shared: object } ? Shared.Board : never)

/** A member of a fleet leaves it when its scope closes. */
type RequiresToMake<O> = Requires<O> | (O extends { readonly shared: object } ? Scope.Scope : never)

/**
 * Protects an effect: `effect.pipe(policy.protect)`, or `effect.pipe(policy.protect(options))`. Further arguments are ignored, so
 * it is a transformer of `Effect.fn` as it stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protect<P extends Part, Rules, R2> {
  <const Arg extends Types.AnyEffect | ProtectOptions | Types.NotAnEffect>(
    arg: Arg & Refused<Arg, P, Rules>,
    ...ignored: ReadonlyArray<unknown>
  ): Protected<Arg, P, Rules, R2>
}

type Refused<Arg, P extends Part, Rules> = [Arg] extends [Effect.Effect<infer A, infer E, infer _R>]
  ? CanProtect<A, E, P, Rules>
  : Types.OptionsOfCall<Arg, ProtectOptions>

type Protected<Arg, P extends Part, Rules, R2> = [Arg] extends [Effect.Effect<infer A, infer E, infer R>]
  ? Effect.Effect<A, ErrorOf<E, P>, R | R2>
  : Apply<PartsOfCall<P, Arg>, EffectiveRules<Rules, Arg>, R2>

/** The parts that apply to a call. */
type PartsOfCall<P extends Part, Call> = Call extends { readonly retry: false } ? Exclude<P, "retry"> : P

/** The classification of a call replaces that of the policy; what the retry demands stays. */
type EffectiveRules<Rules, Call> = Outcome.Effective<Rules, Call> & Kept<Rules, "input"> & Kept<Rules, "retryWhen">

type Kept<Rules, Name extends string> = Rules extends { readonly [K in Name]: unknown } ? Pick<Rules, Name> : unknown

/**
 * A function that protects effects with options already given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<P extends Part, Rules, R2> {
  <A, E, R>(
    self: Effect.Effect<A, E, R> & CanProtect<A, E, P, Rules, R>,
    ...ignored: ReadonlyArray<unknown>
  ): Effect.Effect<A, ErrorOf<E, P>, R | R2>
}

/**
 * Wraps a function that returns an effect; the key may be computed from its arguments.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fn<P extends Part, Rules, R2> {
  <Args extends ReadonlyArray<unknown>, A, E, R>(
    f: ((...args: Args) => Effect.Effect<A, E, R>) & CanProtect<A, E, P, Rules, R>,
    options?: { readonly key?: ((...args: Parameters<(...args: Args) => unknown>) => string) | undefined }
  ): (...args: Args) => Effect.Effect<A, ErrorOf<E, P>, R | R2>
}

/**
 * Protects a stream: `stream.pipe(policy.protectStream)`, or `stream.pipe(policy.protectStream(options))`. The errors of the
 * stream are checked as those of an effect.
 *
 * **Example** (A stream that is opened again, and closed by its consumer)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Policy, Retry, Transient } from "effect-resilience"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 *
 * let openings = 0
 * const events = Stream.suspend((): Stream.Stream<number, Down> =>
 *   ++openings === 1 ? Stream.fail(new Down()) : Stream.make(1, 2, 3)
 * )
 * const program = Effect.gen(function*() {
 *   const feed = yield* Policy.make("feed", { retry: Retry.backoff({ base: "1 millis" }), breaker: {} })
 *   const seen = yield* events.pipe(feed.protectStream, Stream.take(2), Stream.runCollect)
 *   const { failures, successes } = (yield* feed.stats()).totals
 *   return { seen, failures, successes }
 * })
 * await Effect.runPromise(program) // => { seen: [1, 2], failures: 1, successes: 1 }
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectStream<P extends Part, Rules, R2> {
  <const Arg extends Types.AnyStream | ProtectOptions | Types.AnyEffect>(
    arg: Arg & RefusedStream<Arg, P, Rules>
  ): ProtectedStream<Arg, P, Rules, R2>
}

/** No element is judged: what a policy says about values does not apply. */
type StreamRules<Rules> = Omit<Rules, "failWhen" | "retryWhen">

type RefusedStream<Arg, P extends Part, Rules> = [Arg] extends [Stream.Stream<infer _A, infer E, infer R>]
  ? CanProtect<never, E, P, StreamRules<Rules>, R>
  : Types.OptionsOfStream<Arg, ProtectOptions>

type ProtectedStream<Arg, P extends Part, Rules, R2> = [Arg] extends [Stream.Stream<infer A, infer E, infer R>]
  ? Stream.Stream<A, ErrorOf<E, P>, R | R2>
  : ApplyStream<PartsOfCall<P, Arg>, EffectiveRules<Rules, Arg>, R2>

/**
 * Protects streams with options that are already set: the result of `policy.protectStream(options)`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApplyStream<P extends Part, Rules, R2> {
  <A, E, R>(
    self: Stream.Stream<A, E, R> & CanProtect<never, E, P, StreamRules<Rules>, R>
  ): Stream.Stream<A, ErrorOf<E, P>, R | R2>
}

// ---------------------------------------------------------------------------------------------------------------------
// Stats and control
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Commands of an operator, each for one key, or for all keys when none is given. Those on the circuit throw a `RangeError` in a
 * policy without a breaker or an adaptive part, and `resize` in one without a bulkhead. An adaptive part has a circuit that only an
 * operator opens; `close` and `reset` lift its limits and its pacing, and `disable` lets every call through uncounted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control<R = never> extends Omit<CircuitBreaker.Control<R>, "set"> {
  /**
   * The same commands for this process only, although the policy shares its breaker with a fleet. A command that the fleet is given
   * later holds here too.
   */
  readonly local: Omit<CircuitBreaker.Control<R>, "set">
  /** Changes the permits of a key, an integer >= 1; without a key, those of all keys, those to come included. */
  readonly resize: (maxConcurrent: number, target?: Change.Target) => Effect.Effect<Change.Change, never, R>
  /**
   * Changes the mode of a key, or of every key, those to come included. The mode of a key counts before that of all keys, and both
   * before what is configured, a rollout included. A call ends in the mode in which it began.
   */
  readonly mode: (mode: Mode, target?: Change.Target) => Effect.Effect<Change.Change, never, R>
  /**
   * Changes settings for the calls to come, of every key: values have the names of those of `layerConfig`. Windows, counts, balances,
   * queues and running calls are kept; a call that runs keeps its timeout and its deadline.
   *
   * **Details** Values are merged over the options of the policy and all that was set before, and checked together as at
   * construction. A part that the policy does not have cannot be added. Throws a `RangeError` for what is no setting or cannot change
   * live; a value that is out of range dies with the error of construction when the effect runs. Nothing is changed then.
   */
  readonly set: (values: Values, why?: Change.Why) => Effect.Effect<Change.Change, never, R>
}

/**
 * The settings of the retry of a policy that `control.set` changes: those of its `Retry.backoff`, and its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryValues extends Retry.Backoff {
  /** A longer `retryAfter` of an error ends the retry. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /** Attempts that are kept for the history. */
  readonly history?: number | undefined
  /** Whether only errors are retried that prove that no work was done. */
  readonly unprocessedOnly?: boolean | undefined
}

/**
 * The settings of a policy that `control.set` changes; what is left out stays as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Values {
  /** The configured mode. One that `control.mode` has set counts before it. */
  readonly mode?: Mode | undefined
  /** The share of a rollout that the policy has. */
  readonly rollout?: { readonly percent?: number | undefined } | undefined
  readonly deadline?: Duration.Input | undefined
  readonly timeout?: Duration.Input | undefined
  readonly hedge?: Hedge.PolicyOptions | undefined
  readonly retry?: RetryValues | undefined
  /** Those of the policy's own budget: a shared one is set through its own `control`. */
  readonly budget?: RetryBudget.Values | undefined
  readonly breaker?: CircuitBreaker.Values | undefined
  readonly bulkhead?: Bulkhead.Values | undefined
  readonly rateLimit?: RateLimit.Values | undefined
  readonly adaptive?: { readonly wait?: boolean | undefined } | undefined
}

/** What an adaptive policy has learned. */
const Learned = Snapshots.NonNegative

/**
 * Describes the state of a policy at one moment as JSON-safe data, to restore it after a restart: its circuits with what their trip
 * policies have counted, the balances of its own budget, the permits that `resize` has changed, the tokens of its rate limit, and what an adaptive part has learned.
 *
 * **Details** It has the parts that the policy has. A shared budget has a snapshot of its own. Stats are not part of it.
 *
 * @category models
 * @since 0.1.0
 */
export const Snapshot = Schema.Struct({
  version: Schema.Literal(2),
  /** Wall time, in milliseconds since the epoch. */
  at: Schema.Finite,
  breaker: Schema.optionalKey(Schema.Struct(CircuitBreaker.circuitsFields)),
  budget: Schema.optionalKey(Schema.Struct(RetryBudget.balancesFields)),
  bulkhead: Schema.optionalKey(Schema.Struct(Bulkhead.permitsFields)),
  rateLimit: Schema.optionalKey(Schema.Struct(RateLimit.tokensFields)),
  /** What an adaptive policy has learned of its keys; times in milliseconds. */
  adaptive: Schema.optionalKey(
    Schema.Struct({
      keys: Schema.Array(
        Schema.Struct({
          key: Schema.String,
          /** The mean latency of good answers. */
          mean: Learned,
          /** The usual share of late answers. */
          late: Learned,
          /** The usual number of calls in flight. */
          inFlight: Learned,
          /** Recent calls. */
          calls: Learned,
          /** What retries may cost. */
          tokens: Learned,
          /** The gap between probes, the age of the outage, and whether it began with failures; of a key that was paced. */
          gap: Schema.optionalKey(Learned),
          down: Schema.optionalKey(Learned),
          failing: Schema.optionalKey(Schema.Boolean),
          /** Its evidence: failures in a row, and the shares of late answers and of attempts without an answer. */
          failures: Schema.optionalKey(Learned),
          lateNow: Schema.optionalKey(Learned),
          noAnswer: Schema.optionalKey(Learned)
        })
      )
    })
  )
})

/**
 * The type of a snapshot.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot = typeof Snapshot.Type

/**
 * A policy with the parts `P` and the {@link RulesOf | rules} of its options. `R` is what its members require: nothing for one from
 * {@link make}, the service for the statics of a {@link Service} class.
 *
 * **Example** (A permit for a socket, and a consumer that waits until a call would be admitted)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policy } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const broker = yield* Policy.make("broker", { breaker: {}, bulkhead: { maxConcurrent: 1 } })
 *   const inUse = yield* Effect.scoped(Effect.gen(function*() {
 *     const permit = yield* broker.acquire()
 *     yield* permit.succeed // the socket is open, and answers
 *     return (yield* broker.stats()).running
 *   }))
 *   yield* broker.admitted() // returns at once: the permit is free again
 *   return inUse
 * })
 * await Effect.runPromise(program) // => 1
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy<P extends Part = never, Rules = {}, R = never> {
  /** Protects an effect: `effect.pipe(policy.protect)`, or with options `effect.pipe(policy.protect({ key }))`. */
  readonly protect: Protect<P, Rules, R>
  /** Protects every call of a function. */
  readonly fn: Fn<P, Rules, R>
  /**
   * Protects a stream: each run of it is one call, from the first pull to its end, with one permit.
   *
   * **Details** `deadline`, `retry` and `timeout` apply to the time before the first element: a stream that fails then is opened
   * again, and one that has emitted an element never is. A stream that fails is classified by its error. One that ends, or that
   * its consumer closes early, is a success; one that is interrupted is ignored. Latencies are those of the first element, and
   * the first element of a probe is its success. To limit the whole life of a stream use `Stream.timeout` or `Deadline`.
   */
  readonly protectStream: ProtectStream<P, Rules, R>
  /**
   * Acquires what a call needs for what cannot be wrapped as an effect, such as a socket, and holds it until the scope closes.
   * The exit of the scope is that of the call, unless the permit reports an outcome before.
   *
   * **Details** `deadline` limits the wait for a permit. `retry` and `timeout` do not apply. A scope that closes with a success
   * is a success; otherwise the cause is classified as that of a protected effect.
   */
  readonly acquire: (
    options?: KeyOption
  ) => Effect.Effect<CircuitBreaker.Permit, ErrorOf<never, Exclude<P, "timeout">>, Scope.Scope | R>
  /**
   * Returns when a call would be admitted at once: the circuit admits it, a token is there and a permit is free. For consumers that take work only
   * then. It holds no permit, no probe's slot and no place in the queue, and is advice: another call may be first.
   */
  readonly admitted: (options?: KeyOption) => Effect.Effect<void, never, R>
  /** The stats of one key. */
  readonly stats: (key?: string) => Effect.Effect<Stats.Stats, never, R>
  /** The stats of every key that is kept, and as key `"(evicted)"` the totals of those that were. */
  readonly allStats: Effect.Effect<ReadonlyArray<Stats.Stats>, never, R>
  /** The durations of all attempts since the policy was created, all keys together, as a histogram. */
  readonly durations: Effect.Effect<Stats.Durations, never, R>
  /** The fleet of this policy; `undefined` if the policy shares nothing. */
  readonly fleet: Effect.Effect<Stats.Fleet | undefined, never, R>
  /** The events of this policy, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
  /** Commands of an operator. */
  readonly control: Control<R>
  /** Returns the state as data; see `CircuitBreaker.snapshot` for what is consistent in it. */
  readonly snapshot: Effect.Effect<Snapshot, never, R>
  /**
   * Restores the state of a snapshot, aged by the wall time since it was taken; see `CircuitBreaker.restore`. Parts that this policy
   * does not have are left out, and keys that the snapshot does not have stay as they are. Dies with a `RangeError` that names the
   * field when a value is no snapshot's, and then changes nothing.
   */
  readonly restore: (snapshot: Snapshot, options?: Types.RestoreOptions) => Effect.Effect<void, never, R>
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

const module = "Policy"

const resolveRetry = (
  where: string,
  retry: NonNullable<Options["retry"]>,
  known: Retry.Backoff | undefined
): RetrySettings => {
  const here = Check.inside(where, "retry")
  const options = Check.isSchedule(retry) ? undefined : retry
  if (options !== undefined) {
    const given: unknown = options
    if (!has(given, "schedule")) {
      Check.invalid(where, "retry", "a Schedule, such as Retry.backoff(), or options with one", given)
    }
    Check.noUnknown(here, options, ["schedule", "retryWhen", ...Retry.optionNames])
    const { retryWhen } = options
    if (retryWhen !== undefined && typeof retryWhen !== "function") {
      Check.invalid(here, "retryWhen", "a function", retryWhen)
    }
  }
  const schedule = options === undefined ? retry : options.schedule
  if (gatedScheduleOf(schedule) !== undefined) {
    throw new RangeError(`${here}: schedule must not be gated, got one that is: give the budget as \`budget\``)
  }
  const given = Check.isSchedule(schedule) ? Retry.backoffOf(schedule as object) : undefined
  return Retry.resolve(
    here,
    given === undefined || known === undefined ? schedule : Retry.backoff(backoffWith(given, known)),
    options
  )
}

/** A backoff with what is known of the policy in place of the defaults. A `base` of the user's keeps the `cap` that goes with it. */
const backoffWith = (given: Retry.Backoff, { base, cap, times }: Retry.Backoff): Retry.Backoff => ({
  ...given,
  times: given.times ?? times,
  ...(given.base === undefined && given.cap === undefined ? { base, cap } : {})
})

/** With nothing to configure, the backoff of an adaptive policy is that of its deadline. */
const adaptiveBackoff = (deadline: number): Retry.Backoff => ({
  times: 3,
  ...(deadline === Infinity ? {} : { base: deadline / 10, cap: deadline })
})

const resolveAdaptive = (where: string, options: Options): AdaptiveSettings | undefined => {
  const { adaptive, breaker, budget, bulkhead, timeout } = options
  if (adaptive === undefined) return undefined
  const here = Check.inside(where, "adaptive")
  Check.noUnknown(here, adaptive, ["wait", ...Check.classificationNames])
  Check.classification(here, adaptive)
  const { wait = true } = adaptive
  if (typeof wait !== "boolean") Check.invalid(here, "wait", "true or false", wait)
  if (timeout === undefined) {
    throw new RangeError(`${where}: adaptive needs timeout, got none: it cannot find out how long an answer may take`)
  }
  for (const [part, given] of Object.entries({ breaker, bulkhead, budget })) {
    if (given === undefined) continue
    throw new RangeError(`${where}: adaptive stands in the place of ${part}, got both: leave ${part} out`)
  }
  return { wait }
}

const isService = (budget: Options["budget"]): budget is BudgetService => attempt(() => Context.isKey(budget), false)

/** The budget of a policy: its balances have the limits of the policy's keys. */
const resolveBudget = (
  where: string,
  budget: Omit<RetryBudget.Options, "keys">,
  keys: Keyed.KeySettings
): BudgetSettings => {
  Check.noUnknown(where, budget, RetryBudget.budgetOptionNames)
  const settings = RetryBudget.resolveBudget(where, budget)
  return { ...settings, keys: settings.keys && keys }
}

const resolveWindow = (where: string, options: StatsOptions = {}): number => {
  Check.noUnknown(Check.inside(where, "stats"), options, ["window"])
  const given = Check.orDefault<Duration.Input>(options.window, "10 seconds")
  const allowed = "a duration from 1 second to 10 minutes"
  const window = Check.millis(where, "stats.window", given, { allowed })
  return window >= 1000 && window <= 600_000 ? window : Check.invalid(where, "stats.window", allowed, given)
}

const resolveMode = (where: string, { mode, rollout }: Options): ModeSettings => {
  const resolved = checkMode(where, Check.orDefault(mode, "enforce"))
  if (rollout === undefined) return { mode: resolved, rollout: undefined }
  const here = Check.inside(where, "rollout")
  Check.noUnknown(here, rollout, ["percent", "by"])
  if (resolved !== "enforce") {
    throw new RangeError(
      `${where}: rollout sets the share that is enforced and needs mode "enforce", got "${resolved}"`
    )
  }
  const by = Check.orDefault(rollout.by, "instance")
  if (by !== "instance" && by !== "key") {
    Check.callback(here, "by", `"instance", "key" or a function that returns the name of a unit for a key`, by)
  }
  return { mode: resolved, rollout: { percent: Check.inRange(here, "percent", rollout.percent, 0, 100), by } }
}

const optionNames = [
  "deadline",
  "retry",
  "hedge",
  "budget",
  "breaker",
  "rateLimit",
  "bulkhead",
  "adaptive",
  "timeout",
  "mode",
  "rollout",
  "keys",
  "stats",
  "shared"
]

/** The options of settings, for what is made like a live policy. */
const optionsOf = new WeakMap<PolicySettings, Options>()

/** The settings of a policy; the defaults of its parts stand in their modules. */
const resolve = (name: string, options: Options): PolicySettings => {
  const where = Check.named(module, Check.nonEmpty(module, "name", name))
  const inBreaker = Check.inside(where, "breaker")
  const inBulkhead = Check.inside(where, "bulkhead")
  const inRateLimit = Check.inside(where, "rateLimit")
  Check.noUnknown(where, options, optionNames)
  const { adaptive, breaker, budget, bulkhead, deadline, hedge, rateLimit, retry, timeout } = options
  if ([adaptive, breaker, bulkhead, deadline, hedge, rateLimit, retry, timeout].every((part) => part === undefined)) {
    throw new RangeError(
      `${where}: give at least one of deadline, retry, hedge, breaker, rateLimit, bulkhead, adaptive and timeout, got none`
    )
  }
  if (budget !== undefined && retry === undefined && hedge === undefined) {
    throw new RangeError(`${where}: budget pays for retries and hedges and needs one of them, got none`)
  }
  if (hedge !== undefined && retry !== undefined && budget === undefined && adaptive === undefined) {
    throw new RangeError(`${where}: hedge beside retry needs budget, which pays for both, got none`)
  }
  if (breaker !== undefined) {
    Check.noUnknown(inBreaker, breaker, CircuitBreaker.circuitOptionNames)
    Check.classification(inBreaker, breaker)
  }
  if (bulkhead !== undefined) Check.noUnknown(inBulkhead, bulkhead, Bulkhead.permitOptionNames)
  if (rateLimit !== undefined) Check.noUnknown(inRateLimit, rateLimit, RateLimit.rateOptionNames)
  const limits = {
    timeout: timeout === undefined ? Infinity : Check.millis(where, "timeout", timeout),
    deadline: deadline === undefined ? Infinity : Check.millis(where, "deadline", deadline)
  }
  if (limits.timeout !== Infinity && limits.timeout > limits.deadline) {
    throw new RangeError(
      `${where}: timeout must be at most the deadline (${limits.deadline} ms), got ${limits.timeout} ms: the deadline would always fire first`
    )
  }
  const keys = Keyed.resolve(where, options.keys)
  const shared = resolveShared(where, options)
  const classifying = breaker ?? adaptive
  const settings: PolicySettings = {
    classify: Outcome.classifier(Outcome.isClassification(classifying) ? classifying : undefined),
    // Compared with `undefined`, because a part that is `null`, "" or NaN is a mistake and not an absent part.
    breaker: breaker === undefined ? undefined : CircuitBreaker.resolveCircuit(inBreaker, breaker),
    bulkhead: bulkhead === undefined ? undefined : Bulkhead.resolvePermits(inBulkhead, bulkhead),
    rateLimit: rateLimit === undefined ? undefined : RateLimit.resolveRate(inRateLimit, rateLimit),
    adaptive: resolveAdaptive(where, options),
    retry:
      retry === undefined
        ? undefined
        : resolveRetry(where, retry, adaptive === undefined ? undefined : adaptiveBackoff(limits.deadline)),
    retryWhen: retry !== undefined && "retryWhen" in retry ? retry.retryWhen : undefined,
    ...(hedge === undefined ? {} : { hedge: Hedge.resolvePart(Check.inside(where, "hedge"), hedge, limits.timeout) }),
    budget:
      isService(budget) || (budget === undefined && (hedge === undefined || adaptive !== undefined))
        ? undefined
        : {
            ...resolveBudget(Check.inside(where, "budget"), budget === undefined ? {} : budget, keys),
            ...(shared?.budget === true ? { sharedFloor: true } : {})
          },
    keys,
    window: resolveWindow(where, options.stats),
    ...resolveMode(where, options),
    ...limits,
    ...(shared === undefined ? {} : { shared })
  }
  optionsOf.set(settings, options)
  return settings
}

/** What is shared of a policy. */
const resolveShared = (where: string, options: Options): Shared.Settings | undefined => {
  const { breaker, budget, bulkhead, deadline, rateLimit, shared, timeout } = options
  if (shared === undefined) return undefined
  const here = Check.inside(where, "shared")
  const settings = Shared.resolve(here, shared)
  if (settings.breaker !== undefined && breaker === undefined) {
    throw new RangeError(`${here}: breaker needs the breaker of the policy, got none`)
  }
  if (settings.bulkhead !== undefined && bulkhead === undefined) {
    throw new RangeError(`${here}: bulkhead needs the bulkhead of the policy, got none`)
  }
  if (settings.bulkhead !== undefined && timeout === undefined && deadline === undefined) {
    throw new RangeError(
      `${here}: bulkhead needs a timeout or a deadline, so that a call ends before the lease of its permit`
    )
  }
  if (settings.rateLimit !== undefined && rateLimit === undefined) {
    throw new RangeError(`${here}: rateLimit needs the rateLimit of the policy, got none`)
  }
  if (settings.budget) refuseBudget(here, budget)
  return settings
}

/** The floor of a budget that a fleet can share. */
const refuseBudget = (here: string, budget: Options["budget"]): void => {
  if (budget === undefined) throw new RangeError(`${here}: budget needs the budget of the policy, got none`)
  if (isService(budget)) {
    throw new RangeError(`${here}: budget needs a budget of the policy's own, got the service ${budget.key}`)
  }
  const { minPerSecond = 0, per } = budget
  if (!(minPerSecond > 0)) {
    throw new RangeError(`${here}: budget needs a budget with minPerSecond above 0, got ${minPerSecond}`)
  }
  if (per === "key") {
    throw new RangeError(`${here}: budget needs one balance for all keys, got one for each key`)
  }
}

/** Creates the policy; a shared budget is found in the context. */
const build = <O>(
  origin: Instances.Origin,
  name: string,
  options: Options,
  settings: PolicySettings,
  configured: ConfigValues
): Effect.Effect<Policy<PartsOf<O>, RulesOf<O>>, never, RequiresToMake<O>> =>
  Effect.withFiber((fiber) => {
    const { budget } = options
    const shared = isService(budget) ? RetryBudget.engineOf(Context.getUnsafe(fiber.context, budget)) : undefined
    // A shared budget has settings of its own, under its own name.
    const described = (settings: PolicySettings) => (isService(budget) ? { ...settings, budget: budget.key } : settings)
    const where = Check.named(module, name)
    const instance = fiber.getRef(Rollout.Instance)
    const scope = Option.getOrUndefined(Context.getOption(fiber.context, Scope.Scope))
    let steer: Steer | undefined
    let joining: PolicyEngine | undefined
    const created = Instances.create(origin, module, name, described(settings), (hub, desk) => {
      const reporter = new Reporter(name, Event.makeHub(), hub)
      const engine = new PolicyEngine(where, reporter, settings, shared, Timeout.timedOut, instance)
      if (settings.hedge !== undefined) engine.hedging = new Hedger(engine, false)
      steer = new Steer(engine)
      joining = engine
      const tuner = new Tuner({
        id: name,
        where,
        schema: FromConfig.PolicyValues,
        options,
        configured,
        settings,
        optionNames,
        refuseParts: (values, options) => refuseParts(where, values, options),
        refuse: (values, options) => refuseLive(where, values, options),
        toOptions: (values, options) => toOptions(options, values),
        resolve: (options) => resolve(name, options),
        describe: (settings) => toJson(described(settings)),
        apply: (settings, now) => engine.retune(settings, now)
      })
      return makeWith<PartsOf<O>, RulesOf<O>>(engine, { tuner, desk })
    })
    const isUnnamed = settings.rollout?.by === "instance" && Rollout.isRandomName(instance)
    return Effect.tap(created, () =>
      Effect.andThen(
        scope === undefined
          ? Effect.void
          : Scope.addFinalizer(
              scope,
              Effect.sync(() => steer?.close())
            ),
        Effect.andThen(
          isUnnamed ? Effect.logWarning(unnamed(name)) : Effect.void,
          joining === undefined || settings.shared === undefined ? Effect.void : join(joining, settings.shared)
        )
      )
    )
  })

/** Joins the fleet of a policy. The type of the options says that the context has both services. */
const join = (engine: PolicyEngine, shared: Shared.Settings): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    const board = Context.getUnsafe(fiber.context, Shared.Board)
    const scope = Context.getUnsafe(fiber.context, Scope.Scope)
    return Effect.flatMap(Shared.randomId, (id) =>
      Effect.provideService(engine.join(shared, board, id), Scope.Scope, scope)
    )
  })

const unnamed = (name: string): string =>
  `${name}: the rollout is by instance, and this process has no name that survives a restart: HOSTNAME is not set. Its arm is random ` +
  "until it restarts. Set HOSTNAME, or provide Rollout.Instance."

/** Refuses values of a part that the policy does not have, or shares. */
const refuseParts = (where: string, values: object, options: Options): void => {
  for (const part of Object.keys(values)) {
    if (isConfigurable(options, part)) continue
    const { budget } = options
    throw new RangeError(
      part === "budget" && isService(budget)
        ? `${where}: the budget is ${budget.key}, which others share: set it there`
        : `${where}: ${part} cannot be added while the policy runs: it was created without` +
            (part === "rollout" ? "" : ", and so were the error types of its callers")
    )
  }
}

/** Refuses values in place of a schedule of the user's. */
const refuseLive = (where: string, { breaker, retry }: ConfigValues, options: Options): void => {
  if (breaker !== undefined) CircuitBreaker.refuseLive(where, "breaker.", { ...breaker }, options.breaker?.openFor)
  if (retry === undefined || options.retry === undefined) return
  const name = FromConfig.backoffNames.find((name) => retry[name] !== undefined)
  const schedule = Schedule.isSchedule(options.retry) ? options.retry : (options.retry as RetryOptions).schedule
  if (name === undefined || Retry.backoffOf(schedule as object) !== undefined) return
  throw new RangeError(
    `${where}: retry.${name} cannot change while the policy runs: the schedule of the retry is no Retry.backoff`
  )
}

/** The options of one call. */
const callOptionNames = [...Protecting.callOptionNames, "retry", "idempotent", "tenant"]

const readSnapshot = Snapshots.reader(Snapshot)

const makeWith = <P extends Part, Rules>(engine: PolicyEngine, tuned: Tuned): Policy<P, Rules> => {
  const desk = engine.operate(tuned.desk, tuned.tuner.plug)
  const where = Check.named(module, engine.reporter.policy)
  const protect = Protecting.protectWith(
    where,
    (self, options) => new PolicyCall(engine, undefined, self, options),
    callOptionNames
  )
  const members: Policy<P, Rules> = {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as Protect<P, Rules, never>,
    fn: Protecting.fnWith(where, protect) as Fn<P, Rules, never>,
    protectStream: Streams.protecting(
      where,
      (work, options) => new PolicyHold(engine, undefined, work, options),
      callOptionNames
    ) as ProtectStream<P, Rules, never>,
    acquire: (options) => {
      const key = Protecting.keyOf(where, "acquire", options)
      const call = { ...Protecting.defaultOptions, key, retry: false, idempotent: false } as const
      return Effect.map(
        inScope(() => new PolicyHold(engine, undefined, Effect.void, call)),
        (hold) => permitOf(Check.inside(where, "Permit.fail"), hold)
      )
    },
    admitted: (options) => engine.admitted(Protecting.keyOf(where, "admitted", options)),
    stats: (key = defaultKey) => {
      Check.key(Check.inside(where, "stats"), key)
      return Time.withNow((now, fiber) => engine.stats(key, now, fiber))
    },
    allStats: Time.withNow((now, fiber) => engine.allStats(now, fiber)),
    durations: Effect.sync(() => engine.durations()),
    fleet: Time.withNow((now) => engine.fleetView(now)),
    events: Event.streamFrom(engine.reporter.local),
    control: {
      ...Changes.circuitCommands(where, desk),
      local: Changes.circuitCommands(where, desk, "control.local"),
      resize: Changes.resizeCommand(Check.inside(where, "control.resize"), desk),
      set: setCommand(Check.inside(where, "control.set"), tuned),
      mode: (mode, target) => {
        const here = Check.inside(where, "control.mode")
        return Changes.command(here, desk, "mode", { mode: checkMode(here, mode) }, target)
      }
    },
    ...Snapshots.members(
      Check.inside(where, "restore"),
      readSnapshot,
      (moment) => engine.snapshot(moment),
      (snapshot, at, ages, now, fiber) => engine.restore(at, snapshot, ages, now, fiber)
    )
  }
  return Object.assign(members, { [EngineKey]: engine, [TunedKey]: tuned })
}

/**
 * Creates a policy.
 *
 * **When to use** For scripts, tests, and policies that are created at run time. Otherwise prefer {@link Service}.
 *
 * **Details** Throws a `RangeError` at once when an option is out of range.
 *
 * **Example** (A policy in a script)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policy, Retry, Transient } from "effect-resilience"
 *
 * class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
 *
 * const program = Effect.gen(function*() {
 *   const search = yield* Policy.make("search", {
 *     retry: Retry.backoff({ base: "1 millis" }),
 *     bulkhead: { maxConcurrent: 10 },
 *     timeout: "1 second"
 *   })
 *   let tries = 0
 *   const call = Effect.suspend(() => ++tries < 3 ? Effect.fail(new Busy()) : Effect.succeed("found"))
 *   return yield* call.pipe(search.protect)
 * })
 * await Effect.runPromise(program) // => "found"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends Options>(
  name: string,
  options: O & Options & Sensible<O>
): Effect.Effect<Policy<PartsOf<O>, RulesOf<O>>, never, RequiresToMake<O>> => {
  const given: Options = options
  return build<O>("made", name, given, resolve(name, given), {})
}

/**
 * Protects an effect that waits instead of being rejected: when the circuit is open, the bulkhead is full or no token is left, it waits until a call
 * would be admitted, and calls again.
 *
 * **When to use** Where a rejection costs something: a handler of a queue that counts deliveries, an activity of a workflow whose
 * failure is stored. For work that has a caller who waits, prefer `protect`.
 *
 * **Details** It waits only while the effect has not started, and holds nothing meanwhile; see `admitted`. Every other error is
 * that of a protected effect, also a rejection by another policy inside the effect. Each try has the deadline of the policy, and
 * an outer deadline ends the wait.
 *
 * **Gotchas** While an operator isolates the circuit, it waits without an end. Limit it with `Effect.timeout`.
 *
 * **Example** (A letter that waits for the end of an outage)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policy, Transient, TripPolicy } from "effect-resilience"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 * let sends = 0
 * const send = Effect.suspend(() => ++sends === 1 ? Effect.fail(new Down()) : Effect.succeed("sent"))
 *
 * const program = Effect.gen(function*() {
 *   const mail = yield* Policy.make("mail", { breaker: { trip: TripPolicy.consecutive(1), openFor: "5 millis" } })
 *   yield* Effect.exit(send.pipe(mail.protect)) // the circuit opens
 *   return yield* send.pipe(Policy.whenAdmitted(mail)) // Effect<string, Down>
 * })
 * await Effect.runPromise(program) // => "sent"
 * ```
 *
 * @category protecting
 * @since 0.1.0
 */
export const whenAdmitted = <P extends Part, Rules, R2>(
  policy: Policy<P, Rules, R2>,
  options: KeyOption = {}
): (<A, E, R>(
  self: Effect.Effect<A, E, R> & CanProtect<A, E, P, Rules, R>
) => Effect.Effect<A, ErrorOf<E, Exclude<P, "breaker" | "rateLimit" | "bulkhead" | "adaptive">>, R | R2>) => {
  const key = Protecting.keyOf(module, "whenAdmitted", options)
  const admitted = policy.admitted({ key })
  // The signature has checked that the policy makes sense for the effect.
  const protect = policy.protect({ key } as {}) as (self: Types.AnyEffect) => Types.AnyEffect
  return (self) =>
    Effect.suspend(() => {
      let started = false
      const call = protect(
        Effect.suspend(() => {
          started = true
          return self
        })
      )
      const isWaiting = (error: unknown): boolean => !started && refusals.some((refusal) => error instanceof refusal)
      const loop: Types.AnyEffect = Effect.catchIf(call, isWaiting, () => Effect.andThen(admitted, loop))
      return loop
    })
}

/** The rejections after which {@link whenAdmitted} waits. */
const refusals = [Rejection.CircuitOpen, Rejection.BulkheadFull, Rejection.RateLimited]

// ---------------------------------------------------------------------------------------------------------------------
// Candidates
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Other settings for a policy, to be tried beside it: options over those of the policy. An option of a part replaces that option,
 * a part that the policy does not have is added.
 *
 * @category models
 * @since 0.1.0
 */
export interface CandidateOptions extends Omit<Options, "mode" | "rollout" | "budget"> {
  /** The name of the candidate, in its events. Default: `"candidate"`. */
  readonly name?: string | undefined
  readonly budget?: Omit<RetryBudget.Options, "keys"> | undefined
}

/**
 * What one side of a comparison has done, or would have done.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decisions {
  /** Calls rejected, or ended by the deadline, by the tag of the rejection. */
  readonly rejections: Readonly<Record<Rejection.Rejection["_tag"], number>>
  readonly retries: number
  readonly hedges: number
  /** Calls on which the retry gave up. */
  readonly giveUps: number
  /** Attempts that the timeout ended. */
  readonly timeouts: number
  /** How often a circuit opened. */
  readonly openings: number
}

/**
 * What a candidate would have done beside what its policy has done, all keys together, since the candidate was created.
 *
 * @category models
 * @since 0.1.0
 */
export interface CandidateReport {
  readonly policy: string
  readonly candidate: string
  /** Calls that the candidate has seen. */
  readonly calls: number
  /**
   * Calls that the policy rejected before an attempt: they say nothing about the dependency, and the candidate drops them. The greater
   * their share, the less the comparison says.
   */
  readonly unknown: number
  /** What the policy has done; of calls that it observed, what it would have done. */
  readonly live: Decisions
  /** What the candidate would have done. */
  readonly would: Decisions
  /** `would` minus `live`. */
  readonly difference: Decisions
}

/**
 * Settings that are tried beside a policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface Candidate {
  readonly name: string
  /** The stats of one key, as the candidate would have them. */
  readonly stats: (key?: string) => Effect.Effect<Stats.Stats>
  /** Both sides, and the difference. */
  readonly report: Effect.Effect<CandidateReport>
}

const candidateOf = (options: Options, { name: _, ...over }: CandidateOptions): Options => {
  const merged: Record<string, unknown> = { ...options, mode: undefined, rollout: undefined }
  for (const [part, value] of Object.entries(over)) {
    if (value === undefined) continue
    const before = merged[part]
    const isSchedule = part === "retry" && Check.isSchedule(value)
    merged[part] =
      isSchedule && isOptions(before)
        ? { ...before, schedule: value }
        : isOptions(before) && isOptions(value)
          ? { ...before, ...value }
          : value
  }
  // Each field is that of the options, or a value for the same field.
  return merged as Options
}

/** Plain options of a part: no schedule, no duration and no service. */
const isOptions = (value: unknown): value is object =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

const decisionsOf = (counts: Counts): Decisions => ({
  rejections: {
    CircuitOpen: counts.circuitOpen,
    BulkheadFull: counts.bulkheadFull,
    RateLimited: counts.rateLimited,
    DeadlineExceeded: counts.deadlineExceeded
  },
  retries: counts.retries,
  hedges: counts.hedges,
  giveUps:
    counts.gaveUpAttempts +
    counts.gaveUpBudget +
    counts.gaveUpDeadline +
    counts.gaveUpRejected +
    counts.gaveUpRetryAfter,
  timeouts: counts.timeouts,
  openings: counts.openings
})

const minus = (a: Decisions, b: Decisions): Decisions => ({
  rejections: {
    CircuitOpen: a.rejections.CircuitOpen - b.rejections.CircuitOpen,
    BulkheadFull: a.rejections.BulkheadFull - b.rejections.BulkheadFull,
    RateLimited: a.rejections.RateLimited - b.rejections.RateLimited,
    DeadlineExceeded: a.rejections.DeadlineExceeded - b.rejections.DeadlineExceeded
  },
  retries: a.retries - b.retries,
  hedges: a.hedges - b.hedges,
  giveUps: a.giveUps - b.giveUps,
  timeouts: a.timeouts - b.timeouts,
  openings: a.openings - b.openings
})

/**
 * Tries other settings beside a live policy, on the same calls, until the scope closes: they decide and do nothing.
 *
 * **When to use** Before a threshold, a limit or a number of retries is changed: to see how many more calls would be rejected, retried
 * or timed out.
 *
 * **Details** The candidate follows the real attempts of the policy, with circuits, permits and a budget of its own that begin anew. Its
 * events are emitted as `Observed` with its name. Dies with a `RangeError` when an option is out of range, because the options of a
 * policy from `Config` are known only when it is built.
 *
 * **Gotchas** What the policy prevents says nothing about the dependency: a call that it rejects is counted as `unknown`, and of an
 * attempt that its timeout ends it is not known how long it would have taken. A candidate that is stricter than its policy is told
 * exactly; of one that is less strict the report is an estimate. Beside a policy in mode `"observe"` every candidate is told exactly.
 *
 * **Example** (Would a shorter timeout hurt?)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policy } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const search = yield* Policy.make("search", { timeout: "1 second" })
 *   const candidate = yield* Policy.candidate(search, { timeout: "5 millis" })
 *   yield* Effect.sleep("20 millis").pipe(search.protect)
 *   const { difference } = yield* candidate.report
 *   return difference.timeouts
 * })
 * await Effect.runPromise(Effect.scoped(program)) // => 1
 * ```
 *
 * @category candidates
 * @since 0.1.0
 */
export const candidate = <P extends Part, Rules, R>(
  policy: Policy<P, Rules, R>,
  options: CandidateOptions
): Effect.Effect<Candidate, never, R | Scope.Scope> => {
  const where = Check.inside(module, "candidate")
  for (const option of ["mode", "rollout"]) {
    if (has(options, option)) throw new RangeError(`${where}: a candidate only decides, it has no ${option}`)
  }
  Check.noUnknown(where, options, ["name", ...optionNames])
  const name = Check.nonEmpty(where, "name", Check.orDefault(options.name, "candidate"))
  return Effect.withFiber((fiber) => {
    const engine = engineIn(policy, fiber)
    const steer = engine?.beside
    const live = engine && optionsOf.get(engine.settings)
    if (engine === undefined || live === undefined || !(steer instanceof Steer)) {
      return Effect.die(new TypeError(`${where}: the policy must be one of Policy.make or of a Policy.Service class`))
    }
    const settings = resolve(`${engine.reporter.policy} candidate ${name}`, candidateOf(live, options))
    const added = Effect.acquireRelease(
      Effect.sync(() => steer.add(name, settings, Time.monotonicMillis(fiber))),
      ({ remove }) => Effect.sync(remove)
    )
    return Effect.map(added, ({ report, shadow }): Candidate => {
      return {
        name,
        stats: (key = defaultKey) => {
          Check.key(Check.inside(where, "stats"), key)
          return Time.withNow((now, fiber) => shadow.engine.stats(key, now, fiber))
        },
        report: Time.withNow((now) => {
          const counts = report(now)
          const live = decisionsOf(counts.live)
          const would = decisionsOf(counts.candidate)
          return {
            policy: engine.reporter.policy,
            candidate: name,
            calls: shadow.calls,
            unknown: shadow.unknown,
            live,
            would,
            difference: minus(would, live)
          }
        })
      }
    })
  }) as Effect.Effect<Candidate, never, R | Scope.Scope>
}

/** The engine of a policy, or of the service in the context of a fiber. */
const engineIn = (policy: object, fiber: AnyFiber): PolicyEngine | undefined => {
  const instance: unknown = has(policy, EngineKey)
    ? policy
    : attempt(() => Context.getOrUndefined(fiber.context, policy as Context.Key<never, unknown>), undefined)
  const engine = read(instance, EngineKey)
  return engine instanceof PolicyEngine ? engine : undefined
}

/**
 * The statics of a policy's service class. `Budget` is the service of a shared budget.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, Id extends string, P extends Part, Rules, Budget>
  extends Context.ServiceClass<Self, Id, Policy<P, Rules>>,
    Policy<P, Rules, Self> {
  /** The policy with the options of the class. */
  readonly layer: Layer.Layer<Self, never, Budget>
  /**
   * The policy with options from `Config` over those of the class: everything below a path, or a `Config` per option.
   * Parts that the class does not have are not added: they would be missing from the error type.
   */
  readonly layerConfig: (config: Types.ConfigSource<ConfigValues>) => Layer.Layer<Self, Config.ConfigError, Budget>
  /**
   * Watches the source of `layerConfig`: a value that changes arrives as a change by `"config"`, in place of the one before. What
   * `layerConfig` would refuse is logged, once for each error, and the values before are kept. A value that disappears is again that of
   * the class.
   */
  readonly watchConfig: <E = never, R = never>(
    config: Types.ConfigSource<ConfigValues>,
    options?: Types.WatchOptions<E, R>
  ) => Layer.Layer<never, never, Self | R>
}

/** The backoff with values over its options (over the defaults if it is another schedule), the rest as it is. */
const toRetry = (retry: NonNullable<Options["retry"]>, values: RetryConfigValues): Options["retry"] => {
  const options = Schedule.isSchedule(retry) ? undefined : retry
  const before = options?.schedule ?? (retry as Types.InfallibleSchedule)
  const given = Object.entries(values).filter(([, value]) => value !== undefined)
  const isBackoff = ([name]: readonly [string, unknown]): boolean => FromConfig.backoffNames.some((one) => one === name)
  const backoff = given.filter(isBackoff)
  const own = given.filter((one) => !isBackoff(one))
  const schedule =
    backoff.length === 0
      ? before
      : Retry.backoff({ ...Retry.backoffOf(before as object), ...Object.fromEntries(backoff) })
  return options === undefined && own.length === 0 ? schedule : { ...options, schedule, ...Object.fromEntries(own) }
}

/** Does the policy have the part? The options of a shared budget are those of its own class. */
const isConfigurable = (options: Options, part: unknown): boolean =>
  part === "mode" || (options[part as keyof Options] !== undefined && !(part === "budget" && isService(options.budget)))

/** The values as options; only those of the parts that the policy has. */
const toOptions = (options: Options, values: ConfigValues): Options => {
  const { breaker, budget, retry, ...rest } = values
  const given = {
    ...rest,
    budget: isService(options.budget) ? undefined : budget,
    breaker: breaker && FromConfig.toCircuitOptions(breaker, options.breaker ?? {}),
    retry: retry && options.retry && toRetry(options.retry, retry)
  }
  const known = Object.entries(given).filter(
    ([part]) => part === "mode" || options[part as keyof Options] !== undefined
  )
  return FromConfig.merge(options, Object.fromEntries(known))
}

/**
 * A policy as a service: declare once what a dependency needs, provide its layer in the app, and protect effects with it
 * anywhere.
 *
 * **Details** Throws a `RangeError` at once when an option is out of range. For the options see {@link Options}.
 *
 * **Example** (Everything a payment provider needs)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fallback, Policy, Retry, Transient, TripPolicy } from "effect-resilience"
 *
 * class GatewayTimeout extends Transient.TaggedError<GatewayTimeout>()("GatewayTimeout", {}) {}
 *
 * class Payments extends Policy.Service<Payments>()("app/Payments", {
 *   deadline: "3 seconds",
 *   retry: Retry.backoff({ base: "100 millis", cap: "2 seconds", times: 2 }),
 *   budget: { ratio: 0.2 },
 *   breaker: { trip: TripPolicy.any(TripPolicy.standard, TripPolicy.slowCallRate({ slowerThan: "800 millis" })) },
 *   bulkhead: { maxConcurrent: 20, maxQueued: 40, maxWait: "500 millis" },
 *   timeout: "1 second"
 * }) {}
 *
 * const charge = (order: string): Effect.Effect<string, GatewayTimeout> => Effect.succeed(`paid ${order}`)
 *
 * const program = charge("tea").pipe(
 *   Payments.protect,
 *   Fallback.orElse((rejection) => Effect.succeed(`later: ${rejection._tag}`)),
 *   Effect.provide(Payments.layer)
 * )
 * await Effect.runPromise(program) // => "paid tea"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Service =
  <Self = never>() =>
  <const Id extends string, const O extends Options>(
    id: Id,
    options: O & Options & Sensible<O>
  ): Types.RequireSelf<Self, "Policy", Class<Self, Id, PartsOf<O>, RulesOf<O>, Requires<O>>> => {
    type P = PartsOf<O>
    type Rules = RulesOf<O>
    type Members = Class<Self, Id, P, Rules, Requires<O>>
    const given: Options = options
    const settings = resolve(id, given)
    const where = Check.named(module, id)
    const service = Context.Service<Self, Policy<P, Rules>>()(id)
    const inContext = Protecting.inContext(service)
    const protect = Protecting.protectWith(
      where,
      (self, options) => new PolicyCall(undefined, service, self, options),
      callOptionNames
    )
    const members: Omit<Members, keyof Context.ServiceClass<Self, Id, Policy<P, Rules>>> = {
      // The implementation handles effects of any type; the interface says which ones.
      protect: protect as Protect<P, Rules, Self>,
      fn: Protecting.fnWith(where, protect) as Fn<P, Rules, Self>,
      protectStream: Streams.protectingIn(where, service, callOptionNames) as ProtectStream<P, Rules, Self>,
      acquire: inContext.call((policy) => policy.acquire),
      admitted: inContext.call((policy) => policy.admitted),
      stats: inContext.call((policy) => policy.stats),
      allStats: inContext.effect((policy) => policy.allStats),
      durations: inContext.effect((policy) => policy.durations),
      fleet: inContext.effect((policy) => policy.fleet),
      events: inContext.stream((policy) => policy.events),
      control: {
        isolate: inContext.call((policy) => policy.control.isolate),
        open: inContext.call((policy) => policy.control.open),
        close: inContext.call((policy) => policy.control.close),
        reset: inContext.call((policy) => policy.control.reset),
        disable: inContext.call((policy) => policy.control.disable),
        enable: inContext.call((policy) => policy.control.enable),
        local: {
          isolate: inContext.call((policy) => policy.control.local.isolate),
          open: inContext.call((policy) => policy.control.local.open),
          close: inContext.call((policy) => policy.control.local.close),
          reset: inContext.call((policy) => policy.control.local.reset),
          disable: inContext.call((policy) => policy.control.local.disable),
          enable: inContext.call((policy) => policy.control.local.enable)
        },
        resize: inContext.call((policy) => policy.control.resize),
        mode: inContext.call((policy) => policy.control.mode),
        set: inContext.call((policy) => policy.control.set)
      },
      snapshot: inContext.effect((policy) => policy.snapshot),
      restore: inContext.call((policy) => policy.restore),
      layer: Layer.effect(service, build<O>("declared", id, given, settings, {})),
      layerConfig: (config) =>
        Layer.effect(
          service,
          Effect.flatMap(
            FromConfig.configured(
              id,
              FromConfig.PolicyValues,
              config,
              ([part]) => isConfigurable(given, part),
              (values) => ({ values, settings: resolve(id, toOptions(given, values)) })
            ),
            ({ settings, values }) => build<O>("declared", id, given, settings, values)
          )
        ),
      watchConfig: (config, watching) =>
        watch(where, id, service, FromConfig.PolicyValues, ([part]) => isConfigurable(given, part), config, watching)
    }
    return Object.assign(service, members) as unknown as Types.RequireSelf<Self, "Policy", Members>
  }
