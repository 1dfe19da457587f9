/**
 * Injects faults into an effect or a service, from a plan and a seed: failures, defects, hangs, latency, lost and
 * replaced results. The same seed injects the same faults.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Check from "./internal/check.ts"
import { decorate } from "./internal/decorate.ts"
import * as Limit from "./internal/limit.ts"
import { random, seedOf } from "./internal/random.ts"
import { Exceeded } from "./TimeLimit.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Faults
// ---------------------------------------------------------------------------------------------------------------------

/**
 * When a fault is injected: at calls for which all of these conditions hold.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `rate` | [0, 1] | 1 |
 * | `calls` | numbers of calls from 1, at least one, or a predicate | every call |
 * | `during` | `from` and `until`, since the chaos was created; `from` < `until` | always |
 * | `delay` | a finite duration, or a distribution | none |
 *
 * @category models
 * @since 0.1.0
 */
export interface When {
  /** The probability at each call. */
  readonly rate?: number | undefined
  /** Which calls of a label, counted from 1. */
  readonly calls?: ReadonlyArray<number> | ((call: number) => boolean) | undefined
  /** A window of time, since the chaos was created. */
  readonly during?:
    | { readonly from?: Duration.Input | undefined; readonly until?: Duration.Input | undefined }
    | undefined
  /** The time from the call to the fault. */
  readonly delay?: Delay | undefined
}

/**
 * How long something takes: a fixed duration, or a distribution that is sampled at each call.
 *
 * @category models
 * @since 0.1.0
 */
export type Delay = Duration.Input | Distribution

/**
 * Draws a duration. `next` returns random numbers in [0, 1), which follow from the seed.
 *
 * @category models
 * @since 0.1.0
 */
export type Distribution = (next: () => number) => Duration.Duration

/**
 * One kind of fault. It may add the errors `E` and the results `A`, and it needs a result of type `In`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fault<out E = never, out A = never, in In = unknown> {
  /** Its name in the log. */
  readonly kind: string
  readonly when: When
  /** What happens in place of the call. */
  readonly apply: <A0 extends In, E0, R>(self: Effect.Effect<A0, E0, R>) => Effect.Effect<A0 | A, E0 | E, R>
}

/**
 * Makes a fault of your own.
 *
 * @category faults
 * @since 0.1.0
 */
export const fault = <E = never, A = never, In = unknown>(
  kind: string,
  apply: Fault<E, A, In>["apply"],
  when: When = {}
): Fault<E, A, In> => {
  const { calls, delay, during, rate = 1 } = when
  const where = `Chaos.${kind}`
  if (!(rate >= 0 && rate <= 1)) Check.refuse(where, "rate", "in [0, 1]", rate)
  if (Array.isArray(calls)) {
    if (calls.length === 0) Check.refuse(where, "calls", "at least one call, an integer >= 1", calls)
    for (const call of calls) Check.integer(where, "calls", call, 1)
  }
  const from = Check.millis(where, "during.from", during?.from ?? 0)
  const until = Check.millis(where, "during.until", during?.until ?? Infinity)
  if (!(from < until)) Check.refuse(where, "during.until", "later than during.from", during?.until)
  if (delay !== undefined && typeof delay !== "function") millis(where, "delay", delay)
  return { kind, when, apply }
}

/** A finite duration in milliseconds: what never comes is {@link hang}. */
const millis = (where: string, option: string, time: Duration.Input): number => {
  const millis = Check.millis(where, option, time)
  return Number.isFinite(millis) ? millis : Check.refuse(where, option, "a finite duration", time)
}

/**
 * Fails with an error in place of the call.
 *
 * @category faults
 * @since 0.1.0
 */
export const fail = <E>(error: () => E, when?: When): Fault<E> =>
  fault<E>("fail", () => Effect.suspend(() => Effect.fail(error())), when)

/**
 * Makes the call and loses its result: the work is done, but the call fails. A timeout or a broken connection looks
 * like this to the caller, and a retry then repeats work that is not idempotent.
 *
 * @category faults
 * @since 0.1.0
 */
export const lose = <E>(error: () => E, when?: When): Fault<E> =>
  fault<E>("lose", (self) => Effect.flatMap(self, () => Effect.fail(error())), when)

/**
 * Dies with a defect in place of the call.
 *
 * @category faults
 * @since 0.1.0
 */
export const die = (defect: () => unknown, when?: When): Fault =>
  fault("die", () => Effect.suspend(() => Effect.die(defect())), when)

/**
 * Never completes, until it is interrupted.
 *
 * **Details** A hang that is not interrupted within 1 minute of real time (or `TimeLimit.TimeLimit`) dies with
 * `TimeLimit.Exceeded`, which names the call, so that a test without a timeout around it ends.
 *
 * @category faults
 * @since 0.1.0
 */
export const hang = (when?: When): Fault => fault("hang", never, when)

/** The work of {@link hang}, by which it is known. */
const never: Fault["apply"] = () => Effect.never

/**
 * Delays the call, as a slow dependency or a slow network does.
 *
 * @category faults
 * @since 0.1.0
 */
export const latency = (delay: Delay, when?: Omit<When, "delay">): Fault =>
  fault("latency", (self) => self, { ...when, delay })

/**
 * Makes the call and replaces its result.
 *
 * @category faults
 * @since 0.1.0
 */
export const replace: {
  <A>(result: () => A, when?: When): Fault<never, A>
  <A, In>(result: (value: In) => A, when?: When): Fault<never, A, In>
} = <A, In>(result: (value: In) => A, when?: When): Fault<never, A, In> =>
  fault<never, A, In>("replace", (self) => Effect.map(self, result), when)

// ---------------------------------------------------------------------------------------------------------------------
// Distributions
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A uniform distribution between two durations.
 *
 * @category distributions
 * @since 0.1.0
 */
export const uniform = (min: Duration.Input, max: Duration.Input): Distribution => {
  const least = millis("Chaos.uniform", "min", min)
  const span = millis("Chaos.uniform", "max", max) - least
  if (!(span >= 0)) Check.refuse("Chaos.uniform", "max", "at least min", max)
  return (next) => Duration.millis(least + next() * span)
}

/**
 * An exponential distribution: the waiting time for events that occur at random.
 *
 * @category distributions
 * @since 0.1.0
 */
export const exponential = (mean: Duration.Input): Distribution => {
  const average = millis("Chaos.exponential", "mean", mean)
  return (next) => Duration.millis(-average * Math.log(1 - next()))
}

/**
 * A log-normal distribution, given by its median and its 99th percentile. Most measured latencies have this shape.
 *
 * @category distributions
 * @since 0.1.0
 */
export const logNormal = (options: { readonly p50: Duration.Input; readonly p99: Duration.Input }): Distribution => {
  const p50 = millis("Chaos.logNormal", "p50", options.p50)
  const p99 = millis("Chaos.logNormal", "p99", options.p99)
  if (!(p50 > 0)) Check.refuse("Chaos.logNormal", "p50", "above zero", options.p50)
  if (!(p99 >= p50)) Check.refuse("Chaos.logNormal", "p99", "at least p50", options.p99)
  const sigma = Math.log(p99 / p50) / normal99
  return (next) => {
    // Box and Muller: a normally distributed number from two uniformly distributed ones.
    const z = Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
    return Duration.millis(p50 * Math.exp(sigma * z))
  }
}

/** The 99th percentile of the normal distribution. */
const normal99 = 2.3263478740408408

// ---------------------------------------------------------------------------------------------------------------------
// Chaos
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The faults to inject, their limits, and the seed.
 *
 * **Details** At most one fault is injected into a call: the first whose conditions hold. A call beyond the blast
 * radius runs without a fault.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<F extends ReadonlyArray<AnyFault>> {
  readonly seed: string | number
  readonly faults: F
  readonly blastRadius?: BlastRadius | undefined
  /** The newest injections to keep in the log, an integer >= 0. Default: 10,000. */
  readonly logSize?: number | undefined
}

/**
 * Limits how many calls may get a fault, whatever the options of the faults are.
 *
 * @category models
 * @since 0.1.0
 */
export interface BlastRadius {
  /** The largest share of all calls so far, in (0, 1]. */
  readonly share?: number | undefined
  /** The most calls at the same time, an integer >= 1. */
  readonly concurrent?: number | undefined
  /** The most calls in all, an integer >= 1. */
  readonly total?: number | undefined
}

/**
 * Any fault.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyFault = Fault<unknown, unknown, never>

type ErrorOf<F> = F extends Fault<infer E, infer _A, infer _In> ? E : never
type ResultOf<F> = F extends Fault<infer _E, infer A, infer _In> ? A : never
type NeedOf<F> = (F extends Fault<infer _E, infer _A, infer In> ? (need: In) => void : never) extends (
  need: infer In
) => void
  ? In
  : never

/**
 * One fault that was injected.
 *
 * @category models
 * @since 0.1.0
 */
export interface Injection {
  readonly label: string
  /** Which call of the label, counted from 1. */
  readonly call: number
  readonly kind: string
  /** Milliseconds since the chaos was created. */
  readonly at: number
  /** Milliseconds from the call to the fault. */
  readonly delay: number
}

/**
 * How many calls got a fault.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly calls: number
  readonly injected: number
  /** Calls that have a fault in progress. */
  readonly active: number
  /** Calls that got no fault because of the blast radius. */
  readonly spared: number
  /** Injections that are no longer in the log. */
  readonly forgotten: number
}

/**
 * Injects faults into effects, and records them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chaos<out E = never, out A = never, in In = unknown> {
  /**
   * Injects faults into an effect. The label names the place in the log; each label has its own random numbers, and its
   * own count of calls, so the number of labels should be small.
   */
  readonly inject: (
    label: string
  ) => <A0 extends In, E0, R>(self: Effect.Effect<A0, E0, R>) => Effect.Effect<A0 | A, E0 | E, R>
  /** The faults that were injected, in order: the newest `logSize`. */
  readonly log: Effect.Effect<ReadonlyArray<Injection>>
  readonly stats: Effect.Effect<Stats>
  /** Injects no further fault until `start`. Faults in progress continue. */
  readonly stop: Effect.Effect<void>
  readonly start: Effect.Effect<void>
}

const contains = ({ calls, during, rate = 1 }: When, call: number, at: number, draw: number): boolean => {
  if (draw >= rate) return false
  if (calls !== undefined && !(typeof calls === "function" ? calls(call) : calls.includes(call))) return false
  const { from = 0, until = Infinity } = during ?? {}
  return at >= Check.millis("Chaos", "during", from) && at < Check.millis("Chaos", "during", until)
}

const checked = (radius: BlastRadius): Required<{ [K in keyof BlastRadius]: number }> => {
  const { concurrent = Infinity, share = 1, total = Infinity } = radius
  if (!(share > 0 && share <= 1)) Check.refuse("Chaos", "blastRadius.share", "in (0, 1]", share)
  if (concurrent !== Infinity) Check.integer("Chaos", "blastRadius.concurrent", concurrent, 1)
  if (total !== Infinity) Check.integer("Chaos", "blastRadius.total", total, 1)
  return { concurrent, share, total }
}

/**
 * Makes chaos from faults and a seed. `inject` adds to the type of an effect the errors of the faults and the results
 * that replace its own.
 *
 * **When to use** To test how policies, fallbacks and callers react to a failing dependency: in a test with the
 * `TestClock`, or in a running environment with a blast radius.
 *
 * **Details** Every call has its own random numbers, which depend on the seed, the label and the number of the call
 * and on nothing else: not on the calls of other labels, on delays that were drawn, on `stop`, nor on the blast radius.
 * Time comes from `Clock`. Throws a `RangeError` if an option is out of range.
 *
 * **Gotchas** A blast radius counts the calls of all labels, so with one the faults also depend on the order of the
 * calls.
 *
 * **Example** (A dependency that fails for a second, then is slow)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 * import { Transient } from "effect-resilience"
 * import { Chaos } from "@effect-resilience/testing"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 *
 * const program = Effect.gen(function*() {
 *   const chaos = yield* Chaos.make({
 *     seed: 1,
 *     faults: [
 *       Chaos.fail(() => new Down(), { during: { until: "1 second" } }),
 *       Chaos.latency(Chaos.uniform("10 millis", "50 millis"), { rate: 0.5 })
 *     ],
 *     blastRadius: { total: 100 }
 *   })
 *   const call = Effect.succeed("answer").pipe(chaos.inject("search")) // Effect<string, Down>
 *   const first = yield* Effect.flip(call)
 *   yield* TestClock.adjust("1 second")
 *   return [first._tag, (yield* chaos.log).map(({ at, kind, label }) => `${at}: ${kind} at ${label}`)]
 * })
 * await Effect.runPromise(Effect.provide(program, TestClock.layer())) // => ["Down", ["0: fail at search"]]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const F extends ReadonlyArray<AnyFault>>(
  options: Options<F>
): Effect.Effect<Chaos<ErrorOf<F[number]>, ResultOf<F[number]>, NeedOf<F[number]>>> => {
  const radius = checked(options.blastRadius ?? {})
  const logSize = Check.integer("Chaos", "logSize", options.logSize ?? 10_000, 0)
  if (options.faults.length === 0) Check.refuse("Chaos", "faults", "at least one fault", options.faults)
  // The errors and results of the faults are in the return type; from here on their types are erased.
  const faults: ReadonlyArray<Fault> = options.faults as unknown as ReadonlyArray<Fault>
  return Effect.map(monotonicMillis, (began) => makeWith({ seed: options.seed, faults, radius, logSize }, began))
}

const monotonicMillis = Effect.map(Clock.monotonicTimeNanos, (nanos) => Number(nanos) / 1e6)

interface Plan {
  readonly seed: string | number
  readonly faults: ReadonlyArray<Fault>
  readonly radius: ReturnType<typeof checked>
  readonly logSize: number
}

/** The newest entries of a log. */
class Log {
  private readonly entries: Array<Injection> = []
  private readonly size: number
  written = 0

  constructor(size: number) {
    this.size = size
  }

  add(injection: Injection): void {
    if (this.size > 0) this.entries[this.written % this.size] = injection
    this.written += 1
  }

  get forgotten(): number {
    return this.written - this.entries.length
  }

  get all(): ReadonlyArray<Injection> {
    const oldest = this.forgotten > 0 ? this.written % this.size : 0
    return [...this.entries.slice(oldest), ...this.entries.slice(0, oldest)]
  }
}

const hangLimit = 60_000

const makeWith = ({ faults, logSize, radius, seed }: Plan, began: number): Chaos => {
  /** Calls by label. */
  const sites = new Map<string, number>()
  const log = new Log(logSize)
  let calls = 0
  let active = 0
  let spared = 0
  let stopped = false

  /** The fault of a call, if any, and its delay in milliseconds. */
  const strike = (label: string, at: number) => {
    const call = (sites.get(label) ?? 0) + 1
    sites.set(label, call)
    calls += 1
    // Its own sequence for each call, so that what one call draws does not shift the others.
    const next = random(seedOf(seed, label, call))
    const draws = faults.map(next)
    const fault = faults.find(({ when }, i) => contains(when, call, at, draws[i] ?? 0))
    if (fault === undefined || stopped) return undefined
    if (active >= radius.concurrent || log.written >= radius.total || log.written + 1 > radius.share * calls) {
      spared += 1
      return undefined
    }
    const { kind, when } = fault
    const delay =
      when.delay === undefined
        ? 0
        : typeof when.delay === "function"
          ? millis(`Chaos.${kind}`, "the delay that was drawn", when.delay(next))
          : millis(`Chaos.${kind}`, "delay", when.delay)
    log.add({ label, call, kind, at, delay })
    active += 1
    return { call, delay, fault }
  }

  const ended = Effect.sync(() => {
    active -= 1
  })

  /** A hang that names itself when it is not interrupted. */
  const hanging = (label: string, call: number): Effect.Effect<never> =>
    Effect.flatMap(Limit.resolved(undefined, hangLimit), (limit) =>
      Effect.andThen(
        Limit.wait(limit),
        Effect.die(
          new Exceeded({
            tool: "Chaos",
            program: `the hang of ${label}, call ${call}`,
            limit: Duration.millis(limit)
          })
        )
      )
    )

  return {
    inject: (label) => (self) =>
      // Uninterruptible until the finalizer that counts the end of the fault is installed.
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(monotonicMillis, (now) => {
          const struck = strike(label, now - began)
          if (struck === undefined) return restore(self)
          const { call, delay, fault } = struck
          const faulty = Effect.suspend(() => (fault.apply === never ? hanging(label, call) : fault.apply(self)))
          return Effect.ensuring(restore(delay > 0 ? Effect.delay(faulty, delay) : faulty), ended)
        })
      ),
    log: Effect.sync(() => log.all),
    stats: Effect.sync(() => ({ calls, injected: log.written, active, spared, forgotten: log.forgotten })),
    stop: Effect.sync(() => {
      stopped = true
    }),
    start: Effect.sync(() => {
      stopped = false
    })
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Services
// ---------------------------------------------------------------------------------------------------------------------

/** The chaos whose errors and results are in the type of a member already. */
type ChaosFor<Member> =
  Member extends Effect.Effect<infer A, infer E, infer _R>
    ? Chaos<E, A, A>
    : Member extends (...args: infer _Args) => Effect.Effect<infer A, infer E, infer _R>
      ? Chaos<E, A, A>
      : never

type Exposed<Shape> = { [K in keyof Shape]: [ChaosFor<Shape[K]>] extends [never] ? never : K }[keyof Shape]

type Misfits<Shape, C> = { [K in Exposed<Shape>]: [C] extends [ChaosFor<Shape[K]>] ? never : K }[Exposed<Shape>]

/**
 * `unknown` if the type of each method of a service includes the errors and results of the chaos; otherwise a message.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Fits<Shape, C> = [Misfits<Shape, C>] extends [never]
  ? unknown
  : `The errors or results of this chaos are not in the type of \`${Misfits<Shape, C> & string}\`: give each method its own, with Chaos.layerMethods`

/**
 * Decorates a service: injects faults into each of its methods, labelled `service.method`. Members that are neither
 * effects nor functions that return effects stay unchanged.
 *
 * **Details** A call is struck once, also if its method calls another one of the service. `pipe` leads to the decorated
 * service. An `HttpClient` is struck at each request, labelled `effect/HttpClient.execute`, whatever method or derived
 * client sends it; a client that retries is struck at each attempt.
 *
 * **Gotchas** A method that returns another service, such as a client for one tenant, returns the real one.
 *
 * **Example** (A service that hangs)
 *
 * ```ts
 * import { Context, Effect, Layer } from "effect"
 * import { Chaos } from "@effect-resilience/testing"
 *
 * class Users extends Context.Service<Users, { readonly find: (id: number) => Effect.Effect<string> }>()("Users") {
 *   static readonly layer = Layer.succeed(Users, { find: (id) => Effect.succeed(`user ${id}`) })
 * }
 *
 * const program = Effect.gen(function*() {
 *   const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.hang({ calls: [2] })] })
 *   const find = (id: number) => Effect.timeoutOption(Users.use((users) => users.find(id)), "10 millis")
 *   const users = Chaos.layer(Users, chaos).pipe(Layer.provide(Users.layer))
 *   const found = yield* Effect.forEach([1, 2, 3], find).pipe(Effect.provide(users))
 *   return found.map((user) => user._tag)
 * })
 * await Effect.runPromise(program) // => ["Some", "None", "Some"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self, Shape extends object, C extends Chaos<unknown, unknown, never>>(
  service: Context.Key<Self, Shape>,
  chaos: C & Fits<Shape, C>
): Layer.Layer<Self, never, Self> => decorated(service, () => chaos)

/**
 * Decorates methods of a service, each with its own chaos, whose errors and results must be in the type of the method.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMethods = <Self, Shape extends object>(
  service: Context.Key<Self, Shape>,
  methods: { readonly [K in Exposed<Shape>]?: ChaosFor<Shape[K]> | undefined }
): Layer.Layer<Self, never, Self> => {
  const chaosOf = new Map<PropertyKey, unknown>(Object.entries(methods))
  if (chaosOf.size === 0) Check.refuse("Chaos.layerMethods", "methods", "at least one method", methods)
  return decorated(service, (name) => chaosOf.get(name))
}

const decorated = <Self, Shape extends object>(
  service: Context.Key<Self, Shape>,
  chaosOf: (name: PropertyKey) => unknown
): Layer.Layer<Self, never, Self> =>
  Layer.effect(
    service,
    Effect.map(service, (real) =>
      decorate(real, (name) => {
        // The types of `layer` and `layerMethods` check that it fits.
        const chaos = chaosOf(name) as Chaos | undefined
        return chaos?.inject(name === "" ? service.key : `${service.key}.${String(name)}`)
      })
    )
  )
