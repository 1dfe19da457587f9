/**
 * Stops calls to a failing dependency and probes it for recovery.
 *
 * A circuit is *closed* while calls succeed, *open* while calls are rejected at once, and *half-open* while a few
 * probes decide whether it closes or opens again. There is one circuit per key; calls without a key share a circuit.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Change from "./Change.ts"
import * as Event from "./Event.ts"
import { BreakerCall, BreakerEngine, type BreakerSettings } from "./engine/breaker.ts"
import { BreakerHold } from "./engine/breakerHold.ts"
import * as Changes from "./engine/changes.ts"
import type { CircuitSettings } from "./engine/circuits.ts"
import * as FromConfig from "./engine/config.ts"
import * as Instances from "./engine/instances.ts"
import * as Keyed from "./engine/keyed.ts"
import * as OpenTime from "./engine/openTime.ts"
import * as Protecting from "./engine/protect.ts"
import { setCommand, type Tunable, TunedKey, Tuner } from "./engine/retune.ts"
import { toJson } from "./engine/settingsJson.ts"
import * as Snapshots from "./engine/snapshots.ts"
import * as Streams from "./engine/stream.ts"
import { watch } from "./engine/watchConfig.ts"
import * as Outcome from "./Outcome.ts"
import * as Rejection from "./Rejection.ts"
import * as Time from "./runtime/clock.ts"
import { EngineKey } from "./runtime/frame.ts"
import * as Check from "./runtime/options.ts"
import type * as Stats from "./Stats.ts"
import * as TripPolicy from "./TripPolicy.ts"
import type * as Types from "./Types.ts"
import { defaultKey } from "./Types.ts"

/**
 * Options of a circuit breaker.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `trip` | a `TripPolicy` | `standard`: 80 % of 20 or more calls in 10 seconds, or 10 in a row over at least 2 seconds |
 * | `openFor` | a duration above zero, {@link OpenFor}, or a `Schedule` | 50 milliseconds that grow by a factor of 1.1 with each opening in a row to at most 1 second, +-20 % |
 * | `maxRetryAfter` | a duration above zero | 10 minutes |
 * | `probes` | see {@link Probes} | 1 permitted, 1 success, lease of 500 ms |
 * | `recovery` | `"immediate"` or `"ramp"` | `"immediate"` |
 * | `keys` | see `Types.KeyOptions` | 10,000 keys, 1 hour |
 * | `failures`, `ignore`, `others`, `throttled`, `failWhen`, `classify` | see `Outcome.Classification` | transient errors, defects |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Outcome.Classification {
  /** When to open. Default: `TripPolicy.standard`. */
  readonly trip?: TripPolicy.Any | undefined
  /**
   * How long the circuit stays open, with a jitter of 20 %. {@link OpenFor} sets jitter and growth; a `Schedule` gets
   * the number of the opening in a row as its input. Default: 50 milliseconds that grow by a factor of 1.1 with each opening in a row to at most 1 second.
   */
  readonly openFor?: Duration.Input | OpenFor | OpenSchedule | undefined
  /**
   * The longest open time that a `retryAfter` of the failure may ask for, before jitter; it can only lengthen. A
   * `retryAfter` is the shortest open time: jitter adds up to 20 %, or less with a smaller jitter of `openFor`. Default: 10 minutes.
   */
  readonly maxRetryAfter?: Duration.Input | undefined
  /** How a half-open circuit decides. */
  readonly probes?: Probes | undefined
  /**
   * What a circuit admits after its probes have closed it: every call, or with `"ramp"` up to half as many at once as were usual, at least
   * 2, and one more with each success, until all calls have room. Further calls are rejected with `CircuitOpen`, whose evidence is
   * `recovery.ramp`. One call more is admitted after each `probes.lease` without a success, and every call after two seconds
   * without one. A command of an operator closes it at once. It does not change live. Default: `"immediate"`.
   */
  readonly recovery?: "immediate" | "ramp" | undefined
  /** Limits on the state that is kept per key. */
  readonly keys?: Types.KeyOptions | undefined
}

/**
 * Sets how long a circuit stays open, and how openings in a row grow.
 *
 * **Details** The n-th opening in a row lasts `initial * factor^(n-1)`, at most `max`, and then varies by up to
 * `jitter` of that time. The next opening is the first again when the circuit has stayed closed for the length of its
 * last opening.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenFor {
  /** How long the first opening lasts. A duration above zero. */
  readonly initial: Duration.Input
  /**
   * The factor by which each opening in a row is longer than the one before, in [1, 1000]. Default: 1, which is no
   * growth.
   */
  readonly factor?: number | undefined
  /**
   * The longest opening before jitter; requires `factor` above 1. Default: 60 seconds, or `initial` if that is longer.
   */
  readonly max?: Duration.Input | undefined
  /** Share of the open time by which it varies up or down, in [0, 1]. Default: 0.2. */
  readonly jitter?: number | undefined
}

/**
 * Sets how a half-open circuit decides: it admits up to `permitted` probes and closes after `successes` of them have
 * succeeded. It opens again as soon as `successes` can no longer be reached.
 *
 * **Details** A probe that is ignored (interrupted, or rejected further inside) frees its slot and decides nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probes {
  /** Probes in one half-open period, an integer >= 1. Default: 1. */
  readonly permitted?: number | undefined
  /** Successes that close the circuit, an integer in [1, permitted]. Default: 1. */
  readonly successes?: number | undefined
  /**
   * After this time another call may probe; the result of the first still counts. A duration above zero.
   * Default: 500 ms, so that a half-open circuit lets a call through at least twice a second.
   */
  readonly lease?: Duration.Input | undefined
}

/**
 * A schedule of open times; its input is the number of the opening in a row. A schedule that has ended, or failed, keeps
 * its last delay.
 *
 * **Details** The n-th opening lasts as long as the n-th delay. A schedule that reads the calendar, such as
 * `Schedule.cron`, does so at the time of the opening: the circuit is open until the next mark.
 *
 * @category models
 * @since 0.1.0
 */
export type OpenSchedule = Schedule.Schedule<unknown, number, unknown>

/**
 * The state of one circuit.
 *
 * @category models
 * @since 0.1.0
 */
export type State = Stats.Circuit

/**
 * Options of one protected effect: its key, and a classification in place of the breaker's.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectOptions extends Outcome.Classification {
  /** The key of the circuit. Default: `"default"`. */
  readonly key?: string | undefined
}

/**
 * Lets an operator change the circuit of a key; without a key, the circuits of all keys, those to come included.
 * `isolate` (resilience4j: `FORCED_OPEN`) and `disable` (`DISABLED`) hold until another command; the others take effect
 * once.
 *
 * **Details** Each command returns the {@link Change.Change} that it has added to the record: see `Policies.changes`. With `for`
 * the circuit is afterwards what it would be without the command, as after `Policies.undo`.
 *
 * The last command counts: after `isolate()`, `close({ key: "eu" })` admits the calls of that key only, and `close()`
 * those of every key. A command for a key creates its circuit, also when `maxKeys` is reached, and is kept as long as it
 * holds. Each change of a circuit in memory emits a `Transition` event with the cause `"control"`. A key that is no string, a
 * `reason` or `by` that is too long or no single line, and a `for` that is no duration above zero throw a `RangeError`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control<R = never> {
  /** Rejects every call of the key, or of all keys, until `close`, `reset`, `open` or `disable`. */
  readonly isolate: (target?: Change.Target) => Effect.Effect<Change.Change, never, R>
  /**
   * Opens the circuit as if it had tripped, for as long as its next opening would last; a probe decides then. With `for` it is
   * open for exactly that time, and then what it would be without the command.
   */
  readonly open: (target?: Change.Target) => Effect.Effect<Change.Change, never, R>
  /** Closes the circuit with an empty trip state. Does nothing to a closed circuit. */
  readonly close: (target?: Change.Target) => Effect.Effect<Change.Change, never, R>
  /**
   * Closes the circuit with an empty trip state, and forgets its openings in a row; applies to a closed circuit too.
   */
  readonly reset: (target?: Change.Target) => Effect.Effect<Change.Change, never, R>
  /** Lets every call through and counts nothing, until `enable`, `close`, `reset`, `open` or `isolate`. */
  readonly disable: (target?: Change.Target) => Effect.Effect<Change.Change, never, R>
  /** Ends `disable`: closes the circuit with an empty trip state. Does nothing to a circuit in another state. */
  readonly enable: (target?: Change.Target) => Effect.Effect<Change.Change, never, R>
  /**
   * Changes settings for the calls to come, of every key: values have the names of those of `layerConfig`. Windows, counts, queues and
   * running calls are kept. Throws a `RangeError` for what is no setting or cannot change live; a value that is out of range dies with
   * the error of construction when the effect runs. Nothing is changed then.
   */
  readonly set: (values: Values, why?: Change.Why) => Effect.Effect<Change.Change, never, R>
}

/**
 * Permission for one call that cannot be wrapped as an effect. Report its outcome with `succeed`, `fail` or `ignore`;
 * only the first report counts. If the scope closes first, the outcome is `"ignored"`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Permit {
  /** Reports a success. */
  readonly succeed: Effect.Effect<void>
  /** Reports a failure; `retryAfter`, a finite duration of zero or more, may lengthen the open time. */
  readonly fail: (options?: { readonly retryAfter?: Duration.Input | undefined }) => Effect.Effect<void>
  /** Reports that the call says nothing about the dependency. */
  readonly ignore: Effect.Effect<void>
}

/**
 * The circuits of a snapshot.
 *
 * @internal
 */
export const circuitsFields = {
  /**
   * The state in which the circuits of all other keys begin: `"closed"` unless an operator isolated or disabled every key.
   * A restore without it keeps the present one.
   */
  base: Schema.optionalKey(Schema.Literals(["closed", "isolated", "disabled"])),
  circuits: Schema.Array(
    Schema.Struct({
      key: Schema.String,
      state: Schema.Literals(["closed", "open", "isolated", "disabled"]),
      /** Milliseconds in this state. */
      since: Snapshots.NonNegative,
      /** Milliseconds since its last call ended. Default: 0. */
      idle: Schema.optionalKey(Snapshots.NonNegative),
      /** Milliseconds until the first probe, while open. */
      retryAfter: Snapshots.NonNegative,
      /** How long the last opening was meant to last, in milliseconds. */
      openFor: Snapshots.NonNegative,
      openings: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0)),
      /** Milliseconds since the circuit left closed, while it is open. */
      unhealthySince: Schema.optionalKey(Snapshots.NonNegative),
      /** The parts of the trip policy that opened it, which judge its probes. */
      openedBy: Schema.optionalKey(Schema.Array(Schema.String)),
      /** Why it opened. */
      evidence: Schema.optionalKey(Rejection.Evidence),
      /** What the trip policy has counted, while closed: the states of its parts by name. */
      trip: Schema.optionalKey(TripPolicy.Saved)
    })
  )
}

/**
 * Describes the circuits of a breaker at one moment as JSON-safe data, to restore them after a restart.
 *
 * **Details** Times are ages in milliseconds; `at` is the only moment. The trip state of a closed circuit is part of it, if its trip
 * policy has `toJson`, as the built-in ones have. A half-open circuit is saved as open with its open time over, so its next call is
 * a probe. Version 1 had no trip states, and can still be restored.
 *
 * @category models
 * @since 0.1.0
 */
export const Snapshot = Schema.Struct({
  version: Schema.Literals([1, 2]),
  /** Wall time, in milliseconds since the epoch. */
  at: Schema.Finite,
  ...circuitsFields
})

/**
 * The type of a snapshot.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot = typeof Snapshot.Type

/**
 * The options of a breaker that can be read from `Config`; an option that is not set keeps the value of the class.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigValues {
  /**
   * The trip policy, by its name in `TripPolicy` and its options. Without a `type` that of the class with other numbers, each of which
   * one part of it must have.
   */
  readonly trip?:
    | {
        readonly type: "consecutive"
        readonly failures: number
        readonly minDuration?: Duration.Duration
        readonly forgetAfter?: Duration.Duration
      }
    | ({ readonly type: "failureRate" } & WindowValues)
    | ({ readonly type: "slowCallRate"; readonly slowerThan: Duration.Duration } & WindowValues)
    | ({ readonly type?: never } & TripNumbers & WindowValues)
  /** How long the first opening lasts; growth and jitter keep the values of the class. */
  readonly openFor?: Duration.Duration
  /** The factor by which each opening in a row is longer than the one before: `factor` of {@link OpenFor}. */
  readonly openForFactor?: number
  /** The longest opening before jitter: `max` of {@link OpenFor}. */
  readonly openForMax?: Duration.Duration
  /** Share of the open time by which it varies: `jitter` of {@link OpenFor}. */
  readonly openForJitter?: number
  /** The longest open time that a `retryAfter` may ask for. */
  readonly maxRetryAfter?: Duration.Duration
  /** How a half-open circuit decides. */
  readonly probes?: { readonly permitted?: number; readonly successes?: number; readonly lease?: Duration.Duration }
}

/**
 * The settings of a circuit that `control.set` changes; what is left out stays as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Values {
  /**
   * The trip policy: one of your own or of `TripPolicy`, or as data its type and options. Without a `type` the present one with other
   * numbers, each of which one part of it must have. The evidence is kept as far as `adopt` of the new one allows.
   */
  readonly trip?: TripPolicy.Any | TripValues | undefined
  /** How long the first opening lasts; growth and jitter stay as they are. An open circuit keeps its time. */
  readonly openFor?: Duration.Input | undefined
  /** The factor by which each opening in a row is longer than the one before: `factor` of {@link OpenFor}. */
  readonly openForFactor?: number | undefined
  /** The longest opening before jitter: `max` of {@link OpenFor}. */
  readonly openForMax?: Duration.Input | undefined
  /** Share of the open time by which it varies: `jitter` of {@link OpenFor}. */
  readonly openForJitter?: number | undefined
  /** The longest open time that a `retryAfter` may ask for. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /** How a half-open circuit decides. */
  readonly probes?: Probes | undefined
}

/**
 * A trip policy as data.
 *
 * @category models
 * @since 0.1.0
 */
export type TripValues =
  | { readonly type: "any" | "all"; readonly policies: ReadonlyArray<TripPolicy.Any | TripValues> }
  | {
      readonly type?: "consecutive" | "failureRate" | "slowCallRate" | undefined
      readonly failures?: number | undefined
      readonly minDuration?: Duration.Input | undefined
      readonly forgetAfter?: Duration.Input | undefined
      readonly slowerThan?: Duration.Input | undefined
      readonly threshold?: number | undefined
      readonly window?: Duration.Input | undefined
      readonly calls?: number | undefined
      readonly minimumCalls?: number | undefined
    }

interface TripNumbers {
  readonly failures?: number
  readonly minDuration?: Duration.Duration
  readonly forgetAfter?: Duration.Duration
  readonly slowerThan?: Duration.Duration
}

interface WindowValues {
  readonly threshold?: number
  readonly window?: Duration.Duration
  readonly calls?: number
  readonly minimumCalls?: number
}

/**
 * Protects an effect: `effect.pipe(breaker.protect)`, or `effect.pipe(breaker.protect(options))`. Further arguments are
 * ignored, so it is a transformer of `Effect.fn` as it stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protect<C, R2> {
  <const Arg extends Types.AnyEffect | ProtectOptions | Types.NotAnEffect>(
    arg: Arg & Refused<Arg, C>,
    ...ignored: ReadonlyArray<unknown>
  ): Protected<Arg, C, R2>
}

type Refused<Arg, C> = [Arg] extends [Effect.Effect<infer A, infer E, infer _R>]
  ? Outcome.CanTrip<A, E, C>
  : Types.OptionsOfCall<Arg, ProtectOptions>

type Protected<Arg, C, R2> = [Arg] extends [Effect.Effect<infer A, infer E, infer R>]
  ? Effect.Effect<A, E | Rejection.CircuitOpen, R | R2>
  : Apply<Outcome.Effective<C, Arg>, R2>

/**
 * Protects effects with options that are already set: the result of `breaker.protect(options)`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<C, R2> {
  <A, E, R>(
    self: Effect.Effect<A, E, R> & Outcome.CanTrip<A, E, C, R>,
    ...ignored: ReadonlyArray<unknown>
  ): Effect.Effect<A, E | Rejection.CircuitOpen, R | R2>
}

/**
 * Wraps a function that returns an effect, so that each call is protected. `key` computes the key from the arguments.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fn<C, R2> {
  <Args extends ReadonlyArray<unknown>, A, E, R>(
    f: ((...args: Args) => Effect.Effect<A, E, R>) & Outcome.CanTrip<A, E, C, R>,
    options?: { readonly key?: ((...args: Parameters<(...args: Args) => unknown>) => string) | undefined }
  ): (...args: Args) => Effect.Effect<A, E | Rejection.CircuitOpen, R | R2>
}

/**
 * Protects a stream: `stream.pipe(breaker.protectStream)`, or `stream.pipe(breaker.protectStream(options))`. The errors of the
 * stream are checked as those of an effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectStream<C, R2> {
  <const Arg extends Types.AnyStream | ProtectOptions | Types.AnyEffect>(
    arg: Arg & RefusedStream<Arg, C>
  ): [Arg] extends [Stream.Stream<infer A, infer E, infer R>]
    ? Stream.Stream<A, E | Rejection.CircuitOpen, R | R2>
    : ApplyStream<Outcome.Effective<C, Arg>, R2>
}

/** No element is judged: a `failWhen` has nothing to count. */
type RefusedStream<Arg, C> = [Arg] extends [Stream.Stream<infer _A, infer E, infer R>]
  ? Outcome.CanTrip<never, E, Omit<C, "failWhen">, R>
  : Types.OptionsOfStream<Arg, ProtectOptions>

/**
 * Protects streams with options that are already set: the result of `breaker.protectStream(options)`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApplyStream<C, R2> {
  <A, E, R>(
    self: Stream.Stream<A, E, R> & Outcome.CanTrip<never, E, Omit<C, "failWhen">, R>
  ): Stream.Stream<A, E | Rejection.CircuitOpen, R | R2>
}

/**
 * A circuit breaker. `C` is its classification. `R` is what its members require: nothing for a breaker from
 * {@link make}, the service for the statics of a {@link Service} class.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitBreaker<C = {}, R = never> {
  /** Protects an effect: `effect.pipe(breaker.protect)`, or with options `effect.pipe(breaker.protect({ key }))`. */
  readonly protect: Protect<C, R>
  /** Protects every call of a function. */
  readonly fn: Fn<C, R>
  /**
   * Protects a stream: each run of it is one call, from the first pull to its end. A stream that fails is classified by its
   * error. One that ends, or that its consumer closes early, is a success, and one that is interrupted is ignored.
   *
   * **Details** The time of the call is that to the first element. The first element of a probe is its success, so that a
   * stream that stays open closes the circuit.
   */
  readonly protectStream: ProtectStream<C, R>
  /**
   * Returns when the circuit would admit a call, for consumers that take work only then. It takes no probe's slot, and is
   * advice: another call may be first.
   */
  readonly admitted: (options?: { readonly key?: string | undefined }) => Effect.Effect<void, never, R>
  /** Admits one call that cannot be wrapped as an effect. */
  readonly acquire: (options?: {
    readonly key?: string | undefined
  }) => Effect.Effect<Permit, Rejection.CircuitOpen, Scope.Scope | R>
  /** Returns the state of one circuit. The circuit of an unused key is closed. */
  readonly state: (key?: string) => Effect.Effect<State, never, R>
  /** Returns the states of all circuits in memory. */
  readonly states: Effect.Effect<ReadonlyArray<State & { readonly key: string }>, never, R>
  /** Returns the stats of one key. What only a policy measures, such as `recent`, is empty. */
  readonly stats: (key?: string) => Effect.Effect<Stats.Stats, never, R>
  /** Returns the stats of every key that is kept, and as key `"(evicted)"` the totals of those that were. */
  readonly allStats: Effect.Effect<ReadonlyArray<Stats.Stats>, never, R>
  /** The events of this breaker, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
  /** Changes of state, from the moment the stream is run. Other events do not take room in its buffer. */
  readonly transitions: Stream.Stream<Event.Transition, never, R>
  /** Commands of an operator. */
  readonly control: Control<R>
  /**
   * Returns the circuits as data, with what the trip policies of closed ones have counted. Every 2,048 keys other fibers have a turn, so
   * each circuit is consistent, and two of them may be of different moments; `at` is the last of these.
   */
  readonly snapshot: Effect.Effect<Snapshot, never, R>
  /**
   * Restores the circuits of a snapshot, aged by the wall time since it was taken: the open time may be over by now, and calls may have
   * left the window of a rate. What is left of the open time is at most what the options of this breaker allow. Circuits of other keys
   * stay as they are. Dies with a `RangeError` that names the field when a value is no snapshot's, and then changes nothing.
   */
  readonly restore: (snapshot: Snapshot, options?: Types.RestoreOptions) => Effect.Effect<void, never, R>
}

const module = "CircuitBreaker"

/**
 * The settings of a circuit; the defaults stand here.
 *
 * @internal
 */
export const resolveCircuit = (where: string, options: Omit<Options, "keys">): CircuitSettings => {
  const { maxRetryAfter, openFor, probes = {}, trip } = options
  const recovery = Check.orDefault(options.recovery, "immediate")
  if (recovery !== "immediate" && recovery !== "ramp")
    Check.invalid(where, "recovery", '"immediate" or "ramp"', recovery)
  const resolvedTrip: TripPolicy.TripPolicy = Check.tripPolicy(
    where,
    "trip",
    Check.orDefault(trip, TripPolicy.standard)
  )
  Check.noUnknown(Check.inside(where, "probes"), probes, ["permitted", "successes", "lease"])
  const permitted = Check.integer(where, "probes.permitted", Check.orDefault(probes.permitted, 1), 1)
  return {
    trip: resolvedTrip,
    probes: {
      permitted,
      successes: Check.integer(where, "probes.successes", Check.orDefault(probes.successes, 1), 1, permitted),
      lease: Check.millis(where, "probes.lease", Check.orDefault(probes.lease, "500 millis"))
    },
    openFor: OpenTime.resolve(where, openFor),
    maxRetryAfter: Check.millis(where, "maxRetryAfter", Check.orDefault(maxRetryAfter, "10 minutes"), {
      infinite: true
    }),
    ...(recovery === "ramp" ? { recovery } : {})
  }
}

/** @internal */
export const circuitOptionNames = [
  "trip",
  "openFor",
  "maxRetryAfter",
  "probes",
  "recovery",
  ...Check.classificationNames
]

/**
 * The settings of a breaker.
 *
 * @internal
 */
export const resolve = (name: string, options: Options): BreakerSettings => {
  const where = Check.named(module, Check.nonEmpty(module, "name", name))
  Check.noUnknown(where, options, [...circuitOptionNames, "keys"])
  Check.classification(where, options)
  return {
    ...resolveCircuit(where, options),
    classify: Outcome.classifier(Outcome.isClassification(options) ? options : undefined),
    keys: Keyed.resolve(where, options.keys)
  }
}

/**
 * Creates a circuit breaker.
 *
 * **When to use** For scripts, tests, and breakers that are created at run time. Otherwise prefer {@link Service}.
 *
 * **Details** Throws a `RangeError` when an option is out of range, before the effect is run. Each run of the effect
 * creates a breaker with circuits of its own. For the options see {@link Options}.
 *
 * **Example** (A breaker in a script)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CircuitBreaker, Transient, TripPolicy } from "effect-resilience"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 *
 * const program = Effect.gen(function*() {
 *   const breaker = yield* CircuitBreaker.make("search", { trip: TripPolicy.consecutive(2) })
 *   const call = Effect.fail(new Down()).pipe(breaker.protect, Effect.flip)
 *   return [yield* call, yield* call, yield* call].map((error) => error._tag)
 * })
 * await Effect.runPromise(program) // => ["Down", "Down", "CircuitOpen"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends Options = {}>(
  name: string,
  options?: O & Options & Types.NoUnknownOptions<O, Options, "probes" | "keys" | "openFor">
): Effect.Effect<CircuitBreaker<Outcome.ClassificationOf<O>>> => {
  const settings = resolve(name, Check.orDefault<Options>(options, {}))
  return created("made", name, Check.orDefault<Options>(options, {}), settings, {})
}

const created = <C>(
  origin: Instances.Origin,
  name: string,
  options: Options,
  settings: BreakerSettings,
  configured: ConfigValues
): Effect.Effect<CircuitBreaker<C>> =>
  Instances.create(origin, module, name, settings, (hub, desk) =>
    makeWith<C>(name, options, settings, configured, hub, desk)
  )

/**
 * Refuses values of a circuit whose open time is a schedule.
 *
 * @internal
 */
export const refuseLive = (
  where: string,
  path: string,
  values: { readonly [name: string]: unknown },
  openFor: Options["openFor"]
): void => {
  if (!Check.isSchedule(openFor)) return
  const name = ["openFor", "openForFactor", "openForMax", "openForJitter"].find((name) => values[name] !== undefined)
  if (name === undefined) return
  throw new RangeError(`${where}: ${path}${name} cannot change while the policy runs: the open time is a schedule`)
}

/** @internal */
export const tunable = (
  name: string,
  options: Options,
  settings: BreakerSettings,
  configured: ConfigValues,
  engine: BreakerEngine
): Tunable<Options, BreakerSettings> => {
  const where = Check.named(module, name)
  return {
    id: name,
    where,
    schema: FromConfig.CircuitValues,
    options,
    configured,
    settings,
    optionNames: [...circuitOptionNames, "keys"],
    refuse: (values, { openFor }) => refuseLive(where, "", { ...values }, openFor),
    toOptions: (values, options) => FromConfig.merge(options, FromConfig.toCircuitOptions(values, options)),
    resolve: (options) => resolve(name, options),
    describe: toJson,
    apply: (settings) => engine.retune(settings)
  }
}

const makeWith = <C>(
  name: string,
  options: Options,
  settings: BreakerSettings,
  configured: ConfigValues,
  program: Event.Hub,
  desk: Changes.Desk
): CircuitBreaker<C> => {
  const where = Check.named(module, name)
  const engine = new BreakerEngine(where, name, settings, program)
  const tuner = new Tuner(tunable(name, options, settings, configured, engine))
  const tuned = { tuner, desk }
  const protect = Protecting.protectWith(where, (self, options) => new BreakerCall(engine, undefined, self, options))
  const members: CircuitBreaker<C> = {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as Protect<C, never>,
    fn: Protecting.fnWith(where, protect) as Fn<C, never>,
    protectStream: Streams.protecting(
      where,
      (work, options) => new BreakerHold(engine, undefined, work, options)
      // As above.
    ) as ProtectStream<C, never>,
    admitted: (options) => engine.admitted(Protecting.keyOf(where, "admitted", options)),
    acquire: (options) => {
      const key = Protecting.keyOf(where, "acquire", options)
      return Effect.acquireRelease(
        Effect.withFiber((fiber) => engine.acquire(key, fiber)),
        (permit) => permit.ignore
      )
    },
    state: (key = defaultKey) => {
      Check.key(Check.inside(where, "state"), key)
      return Time.withNow((now) => engine.state(key, now))
    },
    states: Time.withNow((now) => engine.states(now)),
    stats: (key = defaultKey) => {
      Check.key(Check.inside(where, "stats"), key)
      return Time.withNow((now) => engine.stats(key, now))
    },
    allStats: Time.withNow((now) => engine.allStats(now)),
    events: Event.streamFrom(engine.reporter.local),
    transitions: Event.transitionsFrom(engine.reporter.local),
    control: {
      ...Changes.circuitCommands(where, engine.operate(desk, tuner.plug)),
      set: setCommand(Check.inside(where, "control.set"), tuned)
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

const readSnapshot = Snapshots.reader(Snapshot)

const statics = <Self, C>(id: string, service: Context.Service<Self, CircuitBreaker<C>>): CircuitBreaker<C, Self> => {
  const where = Check.named(module, id)
  const inContext = Protecting.inContext(service)
  const protect = Protecting.protectWith(where, (self, options) => new BreakerCall(undefined, service, self, options))
  return {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as Protect<C, Self>,
    fn: Protecting.fnWith(where, protect) as Fn<C, Self>,
    protectStream: Streams.protectingIn(where, service) as ProtectStream<C, Self>,
    admitted: inContext.call((breaker) => breaker.admitted),
    acquire: inContext.call((breaker) => breaker.acquire),
    state: inContext.call((breaker) => breaker.state),
    states: inContext.effect((breaker) => breaker.states),
    stats: inContext.call((breaker) => breaker.stats),
    allStats: inContext.effect((breaker) => breaker.allStats),
    events: inContext.stream((breaker) => breaker.events),
    transitions: inContext.stream((breaker) => breaker.transitions),
    control: {
      isolate: inContext.call((breaker) => breaker.control.isolate),
      open: inContext.call((breaker) => breaker.control.open),
      close: inContext.call((breaker) => breaker.control.close),
      reset: inContext.call((breaker) => breaker.control.reset),
      disable: inContext.call((breaker) => breaker.control.disable),
      enable: inContext.call((breaker) => breaker.control.enable),
      set: inContext.call((breaker) => breaker.control.set)
    },
    snapshot: inContext.effect((breaker) => breaker.snapshot),
    restore: inContext.call((breaker) => breaker.restore)
  }
}

/**
 * The statics of a breaker's service class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, Id extends string, C = {}>
  extends Context.ServiceClass<Self, Id, CircuitBreaker<C>>,
    CircuitBreaker<C, Self> {
  /** The breaker with the options of the class. */
  readonly layer: Layer.Layer<Self>
  /**
   * The breaker with options from `Config` in place of those of the class: everything below a path, or a `Config` per
   * option. Fails with a `ConfigError` when a value is out of range.
   */
  readonly layerConfig: (config: Types.ConfigSource<ConfigValues>) => Layer.Layer<Self, Config.ConfigError>
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

/**
 * Declares a circuit breaker as a service class: provide its layer in the app, and protect effects with it anywhere.
 *
 * **When to use** For every breaker of an app. A protected effect requires the service, so a missing layer does not
 * compile.
 *
 * **Details** Throws a `RangeError` when an option is out of range, when the class is declared. For the options see
 * {@link Options}.
 *
 * **Example** (One dependency, one circuit)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CircuitBreaker, Transient, TripPolicy } from "effect-resilience"
 *
 * class Unavailable extends Transient.TaggedError<Unavailable>()("Unavailable", {}) {}
 *
 * class Users extends CircuitBreaker.Service<Users>()("app/Users", {
 *   trip: TripPolicy.consecutive(5),
 *   openFor: "30 seconds"
 * }) {}
 *
 * const fetchUser = (id: number): Effect.Effect<string, Unavailable> =>
 *   id > 0 ? Effect.succeed(`user ${id}`) : Effect.fail(new Unavailable())
 *
 * const program = fetchUser(1).pipe(Users.protect, Effect.provide(Users.layer))
 * await Effect.runPromise(program) // => "user 1"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Service =
  <Self = never>() =>
  <const Id extends string, const O extends Options = {}>(
    id: Id,
    options?: O & Options & Types.NoUnknownOptions<O, Options, "probes" | "keys" | "openFor">
  ): Types.RequireSelf<Self, "CircuitBreaker", Class<Self, Id, Outcome.ClassificationOf<O>>> => {
    type C = Outcome.ClassificationOf<O>
    const given = Check.orDefault<Options>(options, {})
    const key = Context.Service<Self, CircuitBreaker<C>>()(id)
    const members: Omit<Class<Self, Id, C>, keyof Context.ServiceClass<Self, Id, CircuitBreaker<C>>> = {
      ...statics<Self, C>(id, key),
      ...FromConfig.layers(
        id,
        key,
        given,
        FromConfig.CircuitValues,
        FromConfig.toCircuitOptions,
        (options) => resolve(id, options),
        (settings, values) => created<C>("declared", id, given, settings, values ?? {})
      ),
      watchConfig: (config, options) =>
        watch(Check.named(module, id), id, key, FromConfig.CircuitValues, FromConfig.all, config, options)
    }
    return Object.assign(key, members) as unknown as Types.RequireSelf<Self, "CircuitBreaker", Class<Self, Id, C>>
  }
