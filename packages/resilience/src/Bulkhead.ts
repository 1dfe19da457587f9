/**
 * Limits how many calls run at once and how many may queue; further calls fail immediately.
 *
 * A slow dependency can then no longer tie up every fiber. Each key has permits and a queue of its own.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Change from "./Change.ts"
import * as ConcurrencyLimit from "./ConcurrencyLimit.ts"
import * as Event from "./Event.ts"
import { inScope } from "./engine/acquire.ts"
import { BulkheadCall, BulkheadEngine, type BulkheadSettings } from "./engine/bulkhead.ts"
import { BulkheadHold } from "./engine/bulkheadHold.ts"
import * as Changes from "./engine/changes.ts"
import * as FromConfig from "./engine/config.ts"
import * as Instances from "./engine/instances.ts"
import * as Keyed from "./engine/keyed.ts"
import type * as Permits from "./engine/permits.ts"
import * as Protecting from "./engine/protect.ts"
import { setCommand, type Tuned, TunedKey, Tuner } from "./engine/retune.ts"
import { toJson } from "./engine/settingsJson.ts"
import * as Snapshots from "./engine/snapshots.ts"
import * as Streams from "./engine/stream.ts"
import { watch } from "./engine/watchConfig.ts"
import type * as Rejection from "./Rejection.ts"
import { EngineKey } from "./runtime/frame.ts"
import * as Check from "./runtime/options.ts"
import { read } from "./runtime/read.ts"
import type * as Stats from "./Stats.ts"
import type * as Types from "./Types.ts"
import { defaultKey } from "./Types.ts"

/**
 * Options of a bulkhead.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `maxConcurrent` | an integer >= 1 | required |
 * | `maxQueued` | an integer >= 0 | 0, so no call waits |
 * | `maxWait` | a duration of zero or more | until the deadline |
 * | `limit` | a `ConcurrencyLimit` | none |
 * | `keys` | see `Types.KeyOptions` | 10,000 keys, 1 hour |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Calls that may run at the same time, per key. An integer >= 1. */
  readonly maxConcurrent: number
  /** Calls that may wait for a permit, per key, in the order of their arrival. An integer >= 0. Default: 0. */
  readonly maxQueued?: number | undefined
  /**
   * How long a call may wait; above zero it requires `maxQueued`. A duration of zero or more. Default: until the
   * deadline.
   */
  readonly maxWait?: Duration.Input | undefined
  /**
   * A limit below `maxConcurrent` that each key finds out from the latencies of its calls: `ConcurrencyLimit.adaptive`. It is not kept in
   * snapshots, and does not change live. Default: none.
   */
  readonly limit?: ConcurrencyLimit.ConcurrencyLimit | undefined
  /** Limits on the state that is kept per key. */
  readonly keys?: Types.KeyOptions | undefined
}

/**
 * The calls of a bulkhead at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  /** Calls with a permit. */
  readonly running: number
  /** Calls in the queue. */
  readonly waiting: number
  /** Permits of this key in total. */
  readonly maxConcurrent: number
}

/**
 * Options of one protected effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectOptions {
  /** The key of the permits. Default: `"default"`. */
  readonly key?: string | undefined
  /**
   * The tenant of the call, such as a customer. Of the calls of one key and one criticality that wait, tenants take turns, and within
   * a tenant the order is that of arrival; in a full queue, a tenant with more calls in it loses a place to one with fewer. Calls without
   * a tenant count together as one tenant. Default: none.
   */
  readonly tenant?: string | undefined
}

/**
 * The options of a bulkhead that can be read from `Config`; an option that is not set keeps the value of the class.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigValues {
  /** Calls that may run at the same time. */
  readonly maxConcurrent?: number
  /** Calls that may wait for a permit. */
  readonly maxQueued?: number
  /** How long a call may wait. */
  readonly maxWait?: Duration.Duration
}

/**
 * The settings of a bulkhead that `control.set` changes; what is left out stays as it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Values {
  /**
   * Calls that may run at the same time, per key. More permits wake waiting calls at once, in the order of their arrival; with fewer
   * the calls that run go on. A `resize` in force holds over it.
   */
  readonly maxConcurrent?: number | undefined
  /** Calls that may wait for a permit. Those that wait stay in the queue. */
  readonly maxQueued?: number | undefined
  /** How long a call may wait. Those that wait keep their time. */
  readonly maxWait?: Duration.Input | undefined
}

/**
 * Lets an operator change the settings of a bulkhead.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control<R = never> {
  /**
   * Changes settings for the calls to come, of every key: values have the names of those of `layerConfig`. Windows, counts, queues and
   * running calls are kept. Throws a `RangeError` for what is no setting or cannot change live; a value that is out of range dies with
   * the error of construction when the effect runs. Nothing is changed then.
   */
  readonly set: (values: Values, why?: Change.Why) => Effect.Effect<Change.Change, never, R>
}

/**
 * Protects an effect: `effect.pipe(bulkhead.protect)`, or `effect.pipe(bulkhead.protect({ key }))`. Further arguments
 * are ignored, so it is a transformer of `Effect.fn` as it stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protect<R2> {
  <Arg extends Types.AnyEffect | ProtectOptions | Types.NotAnEffect>(
    arg: Arg & Refused<Arg>,
    ...ignored: ReadonlyArray<unknown>
  ): [Arg] extends [Effect.Effect<infer A, infer E, infer R>]
    ? Effect.Effect<A, E | Rejection.BulkheadFull, R | R2>
    : Apply<R2>
}

type Refused<Arg> = [Arg] extends [Types.AnyEffect] ? unknown : Types.OptionsOfCall<Arg, ProtectOptions>

/**
 * Protects effects with options that are already set: the result of `bulkhead.protect(options)`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<R2> {
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    ...ignored: ReadonlyArray<unknown>
  ): Effect.Effect<A, E | Rejection.BulkheadFull, R | R2>
}

/**
 * Wraps a function that returns an effect, so that each call is protected. `key` computes the key from the arguments.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fn<R2> {
  <Args extends ReadonlyArray<unknown>, A, E, R>(
    f: (...args: Args) => Effect.Effect<A, E, R>,
    options?: { readonly key?: ((...args: Parameters<(...args: Args) => unknown>) => string) | undefined }
  ): (...args: Args) => Effect.Effect<A, E | Rejection.BulkheadFull, R | R2>
}

/**
 * Protects a stream: `stream.pipe(bulkhead.protectStream)`, or `stream.pipe(bulkhead.protectStream({ key }))`.
 *
 * **Example** (A permit while a stream runs)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Bulkhead } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const cursors = yield* Bulkhead.make("cursors", { maxConcurrent: 1 })
 *   const running = Effect.map(cursors.state(), (state) => state.running)
 *   const rows = Stream.make("a", "b").pipe(cursors.protectStream)
 *   const during = yield* rows.pipe(Stream.mapEffect(() => running), Stream.runCollect)
 *   return [during, yield* running]
 * })
 * await Effect.runPromise(program) // => [[1, 1], 0]
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectStream<R2> {
  <Arg extends Types.AnyStream | ProtectOptions | Types.AnyEffect>(
    arg: Arg & ([Arg] extends [Types.AnyStream] ? unknown : Types.OptionsOfStream<Arg, ProtectOptions>)
  ): [Arg] extends [Stream.Stream<infer A, infer E, infer R>]
    ? Stream.Stream<A, E | Rejection.BulkheadFull, R | R2>
    : ApplyStream<R2>
}

/**
 * Protects streams with options that are already set: the result of `bulkhead.protectStream(options)`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApplyStream<R2> {
  <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E | Rejection.BulkheadFull, R | R2>
}

const PermitCount = Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))

/**
 * The permits of a snapshot.
 *
 * @internal
 */
export const permitsFields = {
  /** The permits of every key, if `resize` has changed them. */
  maxConcurrent: Schema.optionalKey(PermitCount),
  /** The keys with permits of their own. */
  keys: Schema.Array(Schema.Struct({ key: Schema.String, maxConcurrent: PermitCount }))
}

/**
 * Describes what `resize` has changed as JSON-safe data, to restore it after a restart.
 *
 * @category models
 * @since 0.1.0
 */
export const Snapshot = Schema.Struct({
  version: Schema.Literal(2),
  /** Wall time, in milliseconds since the epoch. */
  at: Schema.Finite,
  ...permitsFields
})

/**
 * The type of a snapshot.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot = typeof Snapshot.Type

/**
 * A bulkhead. `R` is what its members require: nothing for a bulkhead from {@link make}, the service for the statics of
 * a {@link Service} class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead<R = never> {
  /** Protects an effect: it runs with a permit, waits for one, or is rejected with `BulkheadFull`. */
  readonly protect: Protect<R>
  /** Protects every call of a function. */
  readonly fn: Fn<R>
  /**
   * Protects a stream: it acquires a permit when it is run, and releases it when it ends, fails, is interrupted or closed by
   * its consumer.
   */
  readonly protectStream: ProtectStream<R>
  /**
   * Acquires a permit for what cannot be wrapped as an effect, such as a socket, and releases it when the scope closes. It
   * waits and is rejected as a protected call.
   */
  readonly acquire: (options?: ProtectOptions) => Effect.Effect<void, Rejection.BulkheadFull, Scope.Scope | R>
  /**
   * Returns when a call would get a permit without waiting, for consumers that take work only then. It holds no permit and
   * no place in the queue, and is advice: another call may be first.
   */
  readonly admitted: (options?: { readonly key?: string | undefined }) => Effect.Effect<void, never, R>
  /** Returns the running and the waiting calls of a key. */
  readonly state: (key?: string) => Effect.Effect<State, never, R>
  /**
   * Changes the permits of a key, an integer >= 1; without a key, those of all keys, those to come included. Running calls
   * are not interrupted: fewer permits apply when enough calls have ended. The last command counts. It returns the change that it
   * has added to the record: see `Policies.changes`.
   */
  readonly resize: (maxConcurrent: number, target?: Change.Target) => Effect.Effect<Change.Change, never, R>
  /** Returns the stats of one key. A bulkhead counts calls and rejections, and no results. */
  readonly stats: (key?: string) => Effect.Effect<Stats.Stats, never, R>
  /** Returns the stats of every key that is kept, and as key `"(evicted)"` the totals of those that were. */
  readonly allStats: Effect.Effect<ReadonlyArray<Stats.Stats>, never, R>
  /** Commands of an operator on its settings. */
  readonly control: Control<R>
  /** The events of this bulkhead, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
  /** Returns what `resize` has changed as data. */
  readonly snapshot: Effect.Effect<Snapshot, never, R>
  /**
   * Resizes as a snapshot says. Dies with a `RangeError` that names the field when a value is no snapshot's, and then changes nothing.
   */
  readonly restore: (snapshot: Snapshot, options?: Types.RestoreOptions) => Effect.Effect<void, never, R>
}

const module = "Bulkhead"

/** The options of one call. */
const optionNames = ["key", "tenant"]

/**
 * The settings of permits; the defaults stand here.
 *
 * @internal
 */
export const resolvePermits = (where: string, options: Omit<Options, "keys" | "limit">): Permits.BulkheadSettings => {
  const { maxWait } = options
  const maxQueued = Check.integer(where, "maxQueued", Check.orDefault(options.maxQueued, 0), 0)
  const settings = {
    maxConcurrent: Check.integer(where, "maxConcurrent", options.maxConcurrent, 1),
    maxQueued,
    maxWait: maxWait === undefined ? Infinity : Check.millis(where, "maxWait", maxWait, { zero: true, infinite: true })
  }
  if (maxQueued === 0 && maxWait !== undefined && settings.maxWait > 0) {
    throw new RangeError(`${where}: maxWait requires maxQueued >= 1, got maxQueued 0: without a queue no call waits`)
  }
  return settings
}

/** @internal */
export const permitOptionNames = ["maxConcurrent", "maxQueued", "maxWait"]

const bulkheadOptionNames = [...permitOptionNames, "limit", "keys"]

/**
 * The settings of a bulkhead.
 *
 * @internal
 */
export const resolve = (name: string, options: Options): BulkheadSettings => {
  const where = Check.named(module, Check.nonEmpty(module, "name", name))
  Check.noUnknown(where, options, bulkheadOptionNames)
  const { limit } = options
  const isLimit = limit === undefined || typeof read(limit, ConcurrencyLimit.TypeId) === "function"
  if (!isLimit)
    Check.invalid(where, "limit", 'a limit such as ConcurrencyLimit.adaptive({ timeout: "1 second" })', limit)
  const settings = { ...resolvePermits(where, options), keys: Keyed.resolve(where, options.keys) }
  return limit === undefined ? settings : { ...settings, limit }
}

/**
 * Creates a bulkhead.
 *
 * **When to use** For scripts, tests, and bulkheads that are created at run time. Otherwise prefer {@link Service}.
 *
 * **Details** The queue is strictly first in, first out: a later call never overtakes a waiting call. A waiting call
 * that is interrupted, or whose `maxWait` or deadline has passed, leaves the queue immediately. Throws a `RangeError`
 * when an option is out of range, before the effect is run. For the options see {@link Options}.
 *
 * **Example** (One call at a time)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const printer = yield* Bulkhead.make("printer", { maxConcurrent: 1, maxQueued: 1 })
 *   const print = (page: number) => Effect.as(Effect.sleep("1 millis"), page).pipe(printer.protect, Effect.flip, Effect.flip)
 *   const pages = [1, 2, 3].map((page) => print(page).pipe(Effect.catchTag("BulkheadFull", () => Effect.succeed("rejected"))))
 *   return yield* Effect.all(pages, { concurrency: "unbounded" })
 * })
 * await Effect.runPromise(program) // => [1, 2, "rejected"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (name: string, options: Options): Effect.Effect<Bulkhead> => {
  const settings = resolve(name, options)
  return created("made", name, options, settings, {})
}

const readSnapshot = Snapshots.reader(Snapshot)

const created = (
  origin: Instances.Origin,
  name: string,
  options: Options,
  settings: BulkheadSettings,
  configured: ConfigValues
): Effect.Effect<Bulkhead> =>
  Instances.create(origin, module, name, settings, (hub, desk) => {
    const engine = new BulkheadEngine(name, settings, hub)
    const tuner = new Tuner({
      id: name,
      where: Check.named(module, name),
      schema: FromConfig.BulkheadValues,
      options,
      configured,
      settings,
      optionNames: bulkheadOptionNames,
      toOptions: (values, options) => FromConfig.merge(options, values),
      resolve: (options) => resolve(name, options),
      describe: toJson,
      apply: (settings, now) => engine.retune(settings, now)
    })
    return makeWith(name, engine, { tuner, desk })
  })

const makeWith = (name: string, engine: BulkheadEngine, tuned: Tuned): Bulkhead => {
  const where = Check.named(module, name)
  const protect = Protecting.protectWith(
    where,
    (self, options) => new BulkheadCall(engine, undefined, self, options),
    optionNames
  )
  const members: Bulkhead = {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as Protect<never>,
    fn: Protecting.fnWith(where, protect) as Fn<never>,
    protectStream: Streams.protecting(
      where,
      (work, options) => new BulkheadHold(engine, undefined, work, options),
      optionNames
      // As above.
    ) as ProtectStream<never>,
    acquire: (options) => {
      const call = Protecting.resolve(Check.inside(where, "acquire"), options ?? {}, optionNames)
      return Effect.asVoid(inScope(() => new BulkheadHold(engine, undefined, Effect.void, call)))
    },
    admitted: (options) => engine.admitted(Protecting.keyOf(where, "admitted", options)),
    state: (key = defaultKey) => {
      Check.key(Check.inside(where, "state"), key)
      return Effect.sync(() => engine.state(key))
    },
    stats: (key = defaultKey) => {
      Check.key(Check.inside(where, "stats"), key)
      return Effect.sync(() => engine.stats(key))
    },
    allStats: Effect.sync(() => engine.allStats()),
    resize: Changes.resizeCommand(Check.inside(where, "resize"), engine.operate(tuned.desk, tuned.tuner.plug)),
    control: { set: setCommand(Check.inside(where, "control.set"), tuned) },
    events: Event.streamFrom(engine.reporter.local),
    ...Snapshots.members(
      Check.inside(where, "restore"),
      readSnapshot,
      () => engine.snapshot(),
      (snapshot, _, __, now) => engine.restore(snapshot, now)
    )
  }
  return Object.assign(members, { [EngineKey]: engine, [TunedKey]: tuned })
}

/**
 * The statics of a bulkhead's service class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, Id extends string> extends Context.ServiceClass<Self, Id, Bulkhead>, Bulkhead<Self> {
  /** The bulkhead with the options of the class. */
  readonly layer: Layer.Layer<Self>
  /**
   * The bulkhead with options from `Config` in place of those of the class: everything below a path, or a `Config` per
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
 * Declares a bulkhead as a service class: provide its layer in the app, and protect effects with it anywhere.
 *
 * **When to use** For every bulkhead of an app. A protected effect requires the service, so a missing layer does not
 * compile.
 *
 * **Details** Throws a `RangeError` when an option is out of range, when the class is declared. For the options see
 * {@link Options}.
 *
 * **Example** (Up to 20 calls to the database at once)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 *
 * class Database extends Bulkhead.Service<Database>()("app/Database", {
 *   maxConcurrent: 20,
 *   maxQueued: 40,
 *   maxWait: "500 millis"
 * }) {}
 *
 * const program = Effect.succeed("row").pipe(Database.protect, Effect.provide(Database.layer))
 * await Effect.runPromise(program) // => "row"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Service =
  <Self = never>() =>
  <const Id extends string>(id: Id, options: Options): Types.RequireSelf<Self, "Bulkhead", Class<Self, Id>> => {
    const where = Check.named(module, id)
    const service = Context.Service<Self, Bulkhead>()(id)
    const inContext = Protecting.inContext(service)
    const protect = Protecting.protectWith(
      where,
      (self, options) => new BulkheadCall(undefined, service, self, options),
      optionNames
    )
    const members: Omit<Class<Self, Id>, keyof Context.ServiceClass<Self, Id, Bulkhead>> = {
      // The implementation handles effects of any type; the interface says which ones.
      protect: protect as Protect<Self>,
      fn: Protecting.fnWith(where, protect) as Fn<Self>,
      protectStream: Streams.protectingIn(where, service, optionNames) as ProtectStream<Self>,
      acquire: inContext.call((bulkhead) => bulkhead.acquire),
      admitted: inContext.call((bulkhead) => bulkhead.admitted),
      state: inContext.call((bulkhead) => bulkhead.state),
      stats: inContext.call((bulkhead) => bulkhead.stats),
      allStats: inContext.effect((bulkhead) => bulkhead.allStats),
      resize: inContext.call((bulkhead) => bulkhead.resize),
      control: { set: inContext.call((bulkhead) => bulkhead.control.set) },
      events: inContext.stream((bulkhead) => bulkhead.events),
      snapshot: inContext.effect((bulkhead) => bulkhead.snapshot),
      restore: inContext.call((bulkhead) => bulkhead.restore),
      ...FromConfig.layers(
        id,
        service,
        options,
        FromConfig.BulkheadValues,
        (values) => values,
        (options) => resolve(id, options),
        (settings, values) => created("declared", id, options, settings, values ?? {})
      ),
      watchConfig: (config, watching) =>
        watch(where, id, service, FromConfig.BulkheadValues, FromConfig.all, config, watching)
    }
    return Object.assign(service, members) as unknown as Types.RequireSelf<Self, "Bulkhead", Class<Self, Id>>
  }
