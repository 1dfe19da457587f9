/**
 * Everything that one dependency needs, in the one order that is safe.
 *
 * Outermost first: deadline, retry with its budget, circuit breaker, bulkhead, timeout, call. No permit is held during a
 * pause, a full bulkhead never counts against the dependency, a probe never stands in a queue, and each attempt is one
 * outcome. The error type shows only what is configured. For another order compose the single policies with `pipe`.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Stream from "effect/Stream"
import type * as Bulkhead from "./Bulkhead.ts"
import type * as CircuitBreaker from "./CircuitBreaker.ts"
import * as Event from "./Event.ts"
import * as Budget from "./internal/budget.ts"
import * as Circuits from "./internal/circuit.ts"
import * as ConfigOf from "./internal/config.ts"
import * as Gates from "./internal/gate.ts"
import { Reporter } from "./internal/hub.ts"
import type { KeysOptions } from "./internal/keyed.ts"
import * as Options_ from "./internal/options.ts"
import * as Engine from "./internal/policy.ts"
import * as Protecting from "./internal/protect.ts"
import * as Retrying from "./internal/retry.ts"
import type * as Counters from "./internal/stats.ts"
import * as Time from "./internal/time.ts"
import type { AnyEffect, Named, NoOther, SureSchedule } from "./internal/types.ts"
import * as Outcome from "./Outcome.ts"
import * as Rejection from "./Rejection.ts"
import * as Retry from "./Retry.ts"
import * as RetryBudget from "./RetryBudget.ts"
import type * as Transient from "./Transient.ts"

/**
 * The parts of a policy. Each is there only when it is given.
 *
 * **Details**
 *
 * | part | what | default when given as `{}` |
 * |---|---|---|
 * | `deadline` | time for the whole | |
 * | `retry` | a schedule, or one with options | |
 * | `budget` | what retries may cost | ratio 0.2, 1 a second, over 2 seconds |
 * | `breaker` | a circuit per key | see `CircuitBreaker.Options` |
 * | `bulkhead` | permits per key | `maxConcurrent` must be given |
 * | `timeout` | time for one attempt | |
 * | `keys` | how much keyed state is kept | 10,000 keys, 1 hour |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Time for the whole: attempts, pauses and waits together. A duration above zero. */
  readonly deadline?: Duration.Input | undefined
  /** When to try again. Never a gated schedule: the policy has `budget` for that. */
  readonly retry?: SureSchedule | RetryOptions | undefined
  /** What retries may cost: a budget of this policy's own, or the service of one that several policies share. */
  readonly budget?: RetryBudget.Options | BudgetService | undefined
  /** When to stop calling. */
  readonly breaker?: Omit<CircuitBreaker.Options, "keys"> | undefined
  /** How many calls at once. */
  readonly bulkhead?: Omit<Bulkhead.Options, "keys"> | undefined
  /** Time for one attempt. A duration above zero, at most the deadline. */
  readonly timeout?: Duration.Input | undefined
  /** How much keyed state is kept. */
  readonly keys?: Keys | undefined
}

/**
 * A schedule with options of the retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryOptions extends Omit<Retry.Options, "while" | "name"> {
  readonly schedule: SureSchedule
}

/**
 * The service of a retry budget: a class made by `RetryBudget.Service`.
 *
 * @category models
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: which service it is does not matter here
export type BudgetService = Context.Key<any, RetryBudget.RetryBudget>

/**
 * How much keyed state is kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Keys extends KeysOptions {}

/**
 * What may be said for one protected effect: its key, and a judgement of its own in place of the breaker's.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectOptions extends Outcome.Judgement {
  /** Which circuit and which permits. Default: `"default"`. */
  readonly key?: string | undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// What the types say
// ---------------------------------------------------------------------------------------------------------------------

/** A part that may be there counts as there: the error type says too much rather than too little. */
type Has<O, Part extends keyof Options> = Part extends keyof O ? ([O[Part]] extends [undefined] ? false : true) : false

/** The errors of one attempt. */
type Attempted<E, O> = Has<O, "timeout"> extends true ? E | Rejection.TimedOut : E

/**
 * The error type of a protected effect: its own errors, exhausted if the policy retries, and a rejection for each part
 * that may refuse.
 *
 * @category type-level
 * @since 0.1.0
 */
export type ErrorOf<E, O> = [O] extends [infer P]
  ?
      | (Has<P, "retry"> extends true ? Transient.AfterRetry<Attempted<E, P>> : Attempted<E, P>)
      | (Has<P, "breaker"> extends true ? Rejection.CircuitOpen : never)
      | (Has<P, "bulkhead"> extends true ? Rejection.BulkheadFull : never)
      | (Has<P, "deadline"> extends true ? Rejection.DeadlineExceeded : never)
  : never

/** The breaker's own judgement. */
type Judgement<O> = O extends { readonly breaker: infer B } ? B : {}

type ScheduleOf<O> = O extends { readonly retry?: infer S }
  ? NonNullable<S> extends { readonly schedule: infer Inner }
    ? Inner
    : NonNullable<S>
  : never

/**
 * `unknown` when the policy makes sense for an effect that succeeds with `A` and fails with `E`; otherwise an English
 * sentence that says why not.
 *
 * @category type-level
 * @since 0.1.0
 */
export type CanProtect<A, E, O, J> =
  Has<O, "retry"> extends true
    ? unknown extends Retry.CanRetry<A, Attempted<E, O>, ScheduleOf<O>, {}>
      ? CanTrip<A, E, O, J>
      : Retry.CanRetry<A, Attempted<E, O>, ScheduleOf<O>, {}>
    : CanTrip<A, E, O, J>

type CanTrip<A, E, O, J> = Has<O, "breaker"> extends true ? Outcome.CanTrip<A, Attempted<E, O>, J> : unknown

/**
 * `unknown` when the parts make a policy; otherwise an English sentence that says why not.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Sensible<O> =
  unknown extends NoOther<O, Options>
    ? ScheduleOf<O> extends { readonly [RetryBudget.GatedTypeId]: unknown }
      ? [ScheduleOf<O>] extends [never]
        ? Whole<O>
        : "The schedule of `retry` is gated: a policy pays from its own `budget`, give the budget there"
      : 0 extends 1 & Schedule.Env<ScheduleOf<O>>
        ? Whole<O>
        : [Schedule.Env<ScheduleOf<O>>] extends [never]
          ? Whole<O>
          : "The schedule of `retry` needs a service: a policy takes a schedule that needs none"
    : NoOther<O, Options>

type Whole<O> =
  Has<O, "budget"> extends true
    ? Has<O, "retry"> extends true
      ? unknown
      : "A `budget` pays for retries: give `retry` too, or leave `budget` out"
    : true extends Has<O, "deadline"> | Has<O, "retry"> | Has<O, "breaker"> | Has<O, "bulkhead"> | Has<O, "timeout">
      ? unknown
      : "A policy needs at least one of deadline, retry, breaker, bulkhead and timeout"

/**
 * The service that a policy needs for its budget, if it shares one.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Requires<O> = O extends { readonly budget: Context.Key<infer I, RetryBudget.RetryBudget> } ? I : never

/**
 * Protects an effect, or makes a function that does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protect<O, R2> {
  <const Arg extends AnyEffect | ProtectOptions, const Call extends object = {}>(
    arg: Arg & Refused<Arg, O, Outcome.Effective<Judgement<O>, Call>>,
    options?: Call & CallOptions<Arg, O> & NoOther<Call, ProtectOptions>
  ): Protected<Arg, O, R2>
}

type CallOptions<Arg, O> = [Arg] extends [Effect.Effect<infer A, infer E, infer _R>]
  ? { readonly key?: string | undefined } & Outcome.Judgement<A, Attempted<E, O>>
  : {}

type Refused<Arg, O, J> = [Arg] extends [Effect.Effect<infer A, infer E, infer _R>]
  ? CanProtect<A, E, O, J>
  : NoOther<Arg, ProtectOptions>

type Protected<Arg, O, R2> = [Arg] extends [Effect.Effect<infer A, infer E, infer R>]
  ? Effect.Effect<A, ErrorOf<E, O>, R | R2>
  : Apply<O, Outcome.Effective<Judgement<O>, Arg>, R2>

/**
 * A function that protects effects with options already given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<O, J, R2> {
  <A, E, R>(self: Effect.Effect<A, E, R> & CanProtect<A, E, O, J>): Effect.Effect<A, ErrorOf<E, O>, R | R2>
}

/**
 * Wraps a function that returns an effect; the key may come from its arguments.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fn<O, R2> {
  <Args extends ReadonlyArray<unknown>, A, E, R>(
    f: ((...args: Args) => Effect.Effect<A, E, R>) & CanProtect<A, E, O, Judgement<O>>,
    options?: { readonly key?: ((...args: Args) => string) | undefined }
  ): (...args: Args) => Effect.Effect<A, ErrorOf<E, O>, R | R2>
}

// ---------------------------------------------------------------------------------------------------------------------
// What a policy tells and takes
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Counts since a key was first used. `calls` counts originals; `successes`, `failures` and `ignored` count attempts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Totals extends Counters.Totals {}

/**
 * Success rate and latencies of the attempts of the recent past; `undefined` when there were none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recent extends Counters.Recent {}

/**
 * One key of a policy at a moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly policy: string
  readonly key: string
  /** The circuit, with its state and since when; `undefined` without a breaker. */
  readonly circuit: CircuitBreaker.State | undefined
  /** Attempts running. */
  readonly running: number
  /** Attempts waiting for a permit. */
  readonly waiting: number
  /** Permits in all; `undefined` without a bulkhead. */
  readonly maxConcurrent: number | undefined
  /** Retries that may be decided now, for all keys together; `undefined` without a budget. */
  readonly balance: number | undefined
  readonly totals: Totals
  readonly recent: Recent
}

/**
 * Commands of an operator. Those on the circuit do nothing in a policy without a breaker, `resize` nothing in one without
 * a bulkhead.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control<R = never> extends CircuitBreaker.Control<R> {
  /** Changes the permits of every key. */
  readonly resize: (maxConcurrent: number) => Effect.Effect<void, never, R>
}

/**
 * A policy at work. `R` is what its members need: nothing for one from {@link make}, the service for the statics of a
 * {@link Service} class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policy<O = Options, R = never> {
  /** Protects an effect: `effect.pipe(policy.protect)`, or with options `effect.pipe(policy.protect({ key }))`. */
  readonly protect: Protect<O, R>
  /** Protects every call of a function. */
  readonly fn: Fn<O, R>
  /** What a key has seen and holds. */
  readonly stats: (key?: string) => Effect.Effect<Stats, never, R>
  /** The stats of every key that is kept. */
  readonly allStats: Effect.Effect<ReadonlyArray<Stats>, never, R>
  /** What this policy does, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
  /** Commands of an operator. */
  readonly control: Control<R>
}

// ---------------------------------------------------------------------------------------------------------------------
// At work
// ---------------------------------------------------------------------------------------------------------------------

const where = "Policy"

const planOf = (retry: NonNullable<Options["retry"]>): Retrying.Plan => {
  const options = Schedule.isSchedule(retry) ? undefined : retry
  if (options !== undefined) {
    const given: unknown = options
    if (typeof given !== "object" || given === null || !("schedule" in given)) {
      Options_.reject(where, "retry", "a Schedule, such as Retry.backoff(), or options with one", given)
    }
    Options_.known(`${where}.retry`, options, ["schedule", ...Retrying.names])
  }
  // Whatever it takes as input: the types of `protect` see to it that the errors fit.
  const schedule = (options === undefined ? retry : options.schedule) as Schedule.Schedule<unknown>
  if (Budget.gateOf(schedule) !== undefined) {
    throw new RangeError(`${where}.retry: schedule must not be gated, got one that is: give the budget as \`budget\``)
  }
  return new Retrying.Plan(`${where}.retry`, schedule, options)
}

const isService = (budget: Options["budget"]): budget is BudgetService => Context.isKey(budget)

/** The parts of a policy from its options, each checked. */
const engineOf = (
  name: string,
  options: Options,
  program: Event.Hub,
  shared: Budget.Budget | undefined
): Engine.Engine => {
  Options_.nonEmpty(where, "name", name)
  Options_.known(where, options, ["deadline", "retry", "budget", "breaker", "bulkhead", "timeout", "keys"])
  const { breaker, budget, bulkhead, deadline, retry, timeout } = options
  if ([breaker, bulkhead, deadline, retry, timeout].every((part) => part === undefined)) {
    throw new RangeError(`${where}: give at least one of deadline, retry, breaker, bulkhead and timeout, got none`)
  }
  if (budget !== undefined && retry === undefined) {
    throw new RangeError(`${where}: budget pays for retries and needs retry, got none`)
  }
  if (breaker !== undefined) {
    Options_.known(`${where}.breaker`, breaker, [...Circuits.names, ...Options_.judgementNames])
    Options_.judgement(`${where}.breaker`, breaker)
  }
  if (bulkhead !== undefined) Options_.known(`${where}.bulkhead`, bulkhead, Gates.names)
  const limits = {
    timeout: timeout === undefined ? Infinity : Options_.millis(where, "timeout", timeout),
    deadline: deadline === undefined ? Infinity : Options_.millis(where, "deadline", deadline)
  }
  if (limits.timeout !== Infinity && limits.timeout > limits.deadline) {
    throw new RangeError(
      `${where}: timeout must be at most the deadline (${limits.deadline} ms), got ${limits.timeout} ms: an attempt could never use it up`
    )
  }
  const reporter = new Reporter(name, Event.makeHub(), program)
  const own = budget === undefined || isService(budget) ? undefined : budget
  return new Engine.Engine(where, options.keys, {
    reporter,
    judge: Outcome.judge(Outcome.isJudgement(breaker) ? breaker : undefined),
    circuits: breaker && new Circuits.Circuits(`${where}.breaker`, breaker, reporter),
    gates: bulkhead && new Gates.Gates(`${where}.bulkhead`, bulkhead, reporter),
    retry: retry && planOf(retry),
    budget: shared ?? (own && new Budget.Budget(`${where}.budget`, own, reporter)),
    ...limits
  })
}

/** Every check of the options, without making anything that lasts. */
const check = (name: string, options: Options): void => {
  engineOf(name, options, Event.makeHub(), undefined)
}

/** The policy, with the shared budget found in the context if it has one. */
const build = <O>(name: string, options: Options): Effect.Effect<Policy<O>, Config.ConfigError, Requires<O>> =>
  Effect.withFiber((fiber) => {
    const hub = fiber.getRef(Event.CurrentHub)
    const shared = isService(options.budget)
      ? RetryBudget.engineOf(Context.getUnsafe(fiber.context, options.budget))
      : undefined
    return ConfigOf.checked(() => makeWith<O>(engineOf(name, options, hub, shared)))
  })

const makeWith = <O>(engine: Engine.Engine): Policy<O> => {
  const protect = Protecting.by(where, (self, told) => new Engine.Call(engine, undefined, self, told))

  const members: Policy<O> = {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as unknown as Protect<O, never>,
    fn: Protecting.fn(where, protect) as unknown as Fn<O, never>,
    stats: (key = Rejection.defaultKey) => Time.withNow((now, fiber) => engine.stats(key, now, fiber)),
    allStats: Time.withNow((now, fiber) => engine.allStats(now, fiber)),
    events: Event.streamFrom(engine.parts.reporter.own),
    control: {
      ...Circuits.commands((key, command, now, fiber) => engine.control(key, command, now, fiber)),
      resize: (maxConcurrent) => {
        Options_.integer(`${where}.control.resize`, "maxConcurrent", maxConcurrent, 1)
        return Effect.sync(() => engine.resize(maxConcurrent))
      }
    }
  }
  return Object.assign(members, { [Protecting.EngineKey]: engine })
}

/**
 * Makes a policy.
 *
 * **When to use** When a service class would be too much: scripts, tests, policies made at run time. Otherwise prefer
 * {@link Service}.
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
): Effect.Effect<Policy<O>, never, Requires<O>> => {
  const given: Options = options
  check(name, given)
  // The options have just been checked.
  return Effect.orDie(build<O>(name, given))
}

/**
 * The statics of a policy's service class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, Id extends string, O extends Options>
  extends Context.ServiceClass<Self, Id, Policy<O>>,
    Policy<O, Self> {
  /** The policy with the options of the class. */
  readonly layer: Layer.Layer<Self, never, Requires<O>>
  /**
   * The policy with options from `Config` over those of the class: everything below a path, or a `Config` per option.
   * Parts that the class does not have are not added: they would be missing from the error type.
   */
  readonly layerConfig: (
    config: ConfigOf.Source<ConfigOf.PolicySettings>
  ) => Layer.Layer<Self, Config.ConfigError, Requires<O>>
}

/** The backoff with settings over its options (over the defaults if it is another schedule), the rest as it is. */
const scheduled = (retry: Options["retry"], settings: ConfigOf.RetrySettings): Options["retry"] => {
  const options = retry === undefined || Schedule.isSchedule(retry) ? undefined : retry
  const before = options?.schedule ?? retry
  const schedule = Retry.backoff({ ...(before && Retry.backoffOf(before)), ...settings })
  return options === undefined ? schedule : { ...options, schedule }
}

/** Settings as options; only of the parts that the policy has. */
const configured = (options: Options, settings: ConfigOf.PolicySettings): Options => {
  const { breaker, budget, retry, ...rest } = settings
  const given = {
    ...rest,
    budget: isService(options.budget) ? undefined : budget,
    breaker: breaker && ConfigOf.circuit(breaker, options.breaker ?? {}),
    retry: retry && scheduled(options.retry, retry)
  }
  const known = Object.entries(given).filter(([part]) => options[part as keyof Options] !== undefined)
  return ConfigOf.merge(options, Object.fromEntries(known))
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
 *   budget: { ratio: 0.2, minPerSecond: 1 },
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
  ): Named<Self, "Policy", Class<Self, Id, O>> => {
    const given: Options = options
    check(id, given)
    const service = Context.Service<Self, Policy<O>>()(id)
    const inContext = Protecting.inContext(service)
    const protect = Protecting.by(where, (self, told) => new Engine.Call(undefined, service, self, told))
    const members: Omit<Class<Self, Id, O>, keyof Context.ServiceClass<Self, Id, Policy<O>>> = {
      // The implementation handles effects of any type; the interface says which ones.
      protect: protect as unknown as Protect<O, Self>,
      fn: Protecting.fn(where, protect) as unknown as Fn<O, Self>,
      stats: inContext.call((policy) => policy.stats),
      allStats: inContext.effect((policy) => policy.allStats),
      events: inContext.stream((policy) => policy.events),
      control: {
        isolate: inContext.call((policy) => policy.control.isolate),
        close: inContext.call((policy) => policy.control.close),
        reset: inContext.call((policy) => policy.control.reset),
        disable: inContext.call((policy) => policy.control.disable),
        enable: inContext.call((policy) => policy.control.enable),
        resize: inContext.call((policy) => policy.control.resize)
      },
      layer: Layer.effect(service, Effect.orDie(build<O>(id, given))),
      layerConfig: (config) =>
        Layer.effect(
          service,
          Effect.flatMap(ConfigOf.load(ConfigOf.PolicySettings, config), (settings) =>
            Effect.flatMap(
              ConfigOf.checked(() => configured(given, settings)),
              (options) => build<O>(id, options)
            )
          )
        )
    }
    return Object.assign(service, members) as unknown as Named<Self, "Policy", Class<Self, Id, O>>
  }
