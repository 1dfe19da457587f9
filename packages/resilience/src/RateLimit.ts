/**
 * Limits how many calls start within a time; further calls wait for their turn, or fail immediately.
 *
 * For a quota of the dependency, such as 100 requests a second. Each key has tokens and a queue of its own.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as Change from "./Change.ts"
import * as Event from "./Event.ts"
import * as FromConfig from "./engine/config.ts"
import * as Instances from "./engine/instances.ts"
import * as Keyed from "./engine/keyed.ts"
import * as Protecting from "./engine/protect.ts"
import { RateLimitCall, RateLimitEngine, type RateLimitSettings } from "./engine/rateLimit.ts"
import type { RateSettings } from "./engine/rates.ts"
import { setCommand, type Tuned, TunedKey, Tuner } from "./engine/retune.ts"
import { toJson } from "./engine/settingsJson.ts"
import * as Snapshots from "./engine/snapshots.ts"
import * as Streams from "./engine/stream.ts"
import { watch } from "./engine/watchConfig.ts"
import type * as Rejection from "./Rejection.ts"
import * as Time from "./runtime/clock.ts"
import { EngineKey } from "./runtime/frame.ts"
import * as Check from "./runtime/options.ts"
import type * as Stats from "./Stats.ts"
import type * as Types from "./Types.ts"
import { defaultKey } from "./Types.ts"

/**
 * Options of a rate limit.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `limit` | an integer >= 1 | required |
 * | `window` | a finite duration above zero | required |
 * | `burst` | an integer >= 1 | the limit |
 * | `maxWait` | a finite duration of zero or more | 0, so no call waits |
 * | `keys` | see `Types.KeyOptions` | 10,000 keys, 1 hour |
 *
 * The limit is a token bucket: it holds `burst` tokens, `limit` tokens flow into it in each `window`, evenly, and each call takes one.
 *
 * **Gotchas** After an idle time `burst` calls start at once, and `limit` more within the window that follows. Where no `window` may have
 * more than `limit` calls, wherever it begins, `burst` plus `limit` must be the quota.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Calls that may start in each `window`, per key. An integer >= 1. */
  readonly limit: number
  /** The time in which `limit` tokens come. A finite duration above zero. */
  readonly window: Duration.Input
  /** Tokens that can be saved up: calls that may start at once after an idle time. An integer >= 1. Default: the limit. */
  readonly burst?: number | undefined
  /**
   * How long a call may wait for its token, in the order of arrival. A call whose token would come later, or after its deadline, is
   * rejected at once. So up to `limit * maxWait / window` calls wait, rounded up. A finite duration of zero or more. Default: 0.
   */
  readonly maxWait?: Duration.Input | undefined
  /** Limits on the state that is kept per key. A key with fewer tokens than `burst` is never dropped. */
  readonly keys?: Types.KeyOptions | undefined
}

/**
 * Options of one protected effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectOptions {
  /** The key of the tokens. Default: `"default"`. */
  readonly key?: string | undefined
}

/**
 * The options of a rate limit that can be read from `Config`; an option that is not set keeps the value of the class.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigValues {
  /** Calls that may start in each `window`. */
  readonly limit?: number
  readonly window?: Duration.Duration
  /** Tokens that can be saved up. */
  readonly burst?: number
  /** How long a call may wait. */
  readonly maxWait?: Duration.Duration
}

/**
 * The settings of a rate limit that `control.set` changes; what is left out stays as it is. Tokens are kept, at most the new `burst`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Values {
  /** Calls that may start in each `window`, per key. A `burst` that was not set follows it. */
  readonly limit?: number | undefined
  readonly window?: Duration.Input | undefined
  /** Tokens that can be saved up. */
  readonly burst?: number | undefined
  /** How long a call may wait. Those that wait keep their time, and are rejected when their token would now come after it. */
  readonly maxWait?: Duration.Input | undefined
}

/**
 * Lets an operator change the settings of a rate limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control<R = never> {
  /**
   * Changes settings for every key: values have the names of those of `layerConfig`. Tokens, counts and queues are kept. Throws a
   * `RangeError` for what is no setting or cannot change live; a value that is out of range dies with the error of construction when
   * the effect runs. Nothing is changed then.
   */
  readonly set: (values: Values, why?: Change.Why) => Effect.Effect<Change.Change, never, R>
}

/**
 * Protects an effect: `effect.pipe(limit.protect)`, or `effect.pipe(limit.protect({ key }))`. Further arguments are ignored, so it is a
 * transformer of `Effect.fn` as it stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protect<R2> {
  <Arg extends Types.AnyEffect | ProtectOptions | Types.NotAnEffect>(
    arg: Arg & Refused<Arg>,
    ...ignored: ReadonlyArray<unknown>
  ): [Arg] extends [Effect.Effect<infer A, infer E, infer R>]
    ? Effect.Effect<A, E | Rejection.RateLimited, R | R2>
    : Apply<R2>
}

type Refused<Arg> = [Arg] extends [Types.AnyEffect] ? unknown : Types.OptionsOfCall<Arg, ProtectOptions>

/**
 * Protects effects with options that are already set: the result of `limit.protect(options)`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<R2> {
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    ...ignored: ReadonlyArray<unknown>
  ): Effect.Effect<A, E | Rejection.RateLimited, R | R2>
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
  ): (...args: Args) => Effect.Effect<A, E | Rejection.RateLimited, R | R2>
}

/**
 * Protects a stream, which takes one token when it is run: `stream.pipe(limit.protectStream)`, or
 * `stream.pipe(limit.protectStream({ key }))`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectStream<R2> {
  <Arg extends Types.AnyStream | ProtectOptions | Types.AnyEffect>(
    arg: Arg & ([Arg] extends [Types.AnyStream] ? unknown : Types.OptionsOfStream<Arg, ProtectOptions>)
  ): [Arg] extends [Stream.Stream<infer A, infer E, infer R>]
    ? Stream.Stream<A, E | Rejection.RateLimited, R | R2>
    : ApplyStream<R2>
}

/**
 * Protects streams with options that are already set: the result of `limit.protectStream(options)`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApplyStream<R2> {
  <A, E, R>(self: Stream.Stream<A, E, R>): Stream.Stream<A, E | Rejection.RateLimited, R | R2>
}

/**
 * The tokens of a snapshot.
 *
 * @internal
 */
export const tokensFields = {
  /** The keys that do not have all their tokens. */
  keys: Schema.Array(
    Schema.Struct({ key: Schema.String, tokens: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(0)) })
  )
}

/**
 * Describes the tokens as JSON-safe data, so that a restart does not begin with a full burst.
 *
 * @category models
 * @since 0.1.0
 */
export const Snapshot = Schema.Struct({
  version: Schema.Literal(2),
  /** Wall time, in milliseconds since the epoch. */
  at: Schema.Finite,
  ...tokensFields
})

/**
 * The type of a snapshot.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot = typeof Snapshot.Type

/**
 * A rate limit. `R` is what its members require: nothing for a rate limit from {@link make}, the service for the statics of a
 * {@link Service} class.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLimit<R = never> {
  /** Protects an effect: it runs with a token, waits for one, or is rejected with `RateLimited`. */
  readonly protect: Protect<R>
  /** Protects every call of a function. */
  readonly fn: Fn<R>
  /** Protects a stream: it takes a token when it is run. */
  readonly protectStream: ProtectStream<R>
  /** Takes a token for what cannot be wrapped as an effect. It waits and is rejected as a protected call. */
  readonly take: (options?: ProtectOptions) => Effect.Effect<void, Rejection.RateLimited, R>
  /**
   * Returns when a call would have a token without waiting, for consumers that take work only then. It takes no token and no place in
   * the queue, and is advice: another call may be first.
   */
  readonly admitted: (options?: ProtectOptions) => Effect.Effect<void, never, R>
  /** Returns the tokens and the waiting calls of a key. */
  readonly state: (key?: string) => Effect.Effect<Stats.RateLimit, never, R>
  /** Returns the stats of one key. A rate limit counts calls and rejections, and no results. */
  readonly stats: (key?: string) => Effect.Effect<Stats.Stats, never, R>
  /** Returns the stats of every key that is kept, and as key `"(evicted)"` the totals of those that were. */
  readonly allStats: Effect.Effect<ReadonlyArray<Stats.Stats>, never, R>
  /** Commands of an operator on its settings. */
  readonly control: Control<R>
  /** The events of this rate limit, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
  /** Returns the tokens as data. */
  readonly snapshot: Effect.Effect<Snapshot, never, R>
  /**
   * Restores the tokens of a snapshot, with those that have come in the wall time since. Dies with a `RangeError` that names the field
   * when a value is no snapshot's, and then changes nothing.
   */
  readonly restore: (snapshot: Snapshot, options?: Types.RestoreOptions) => Effect.Effect<void, never, R>
}

const module = "RateLimit"

/** The options of one call. */
const optionNames = ["key"]

/**
 * The settings of tokens; the defaults stand here.
 *
 * @internal
 */
export const resolveRate = (where: string, options: Omit<Options, "keys">): RateSettings => {
  const limit = Check.integer(where, "limit", options.limit, 1, Number.MAX_SAFE_INTEGER)
  return {
    limit,
    window: Check.millis(where, "window", options.window),
    burst: Check.integer(where, "burst", Check.orDefault(options.burst, limit), 1, Number.MAX_SAFE_INTEGER),
    maxWait: Check.millis(where, "maxWait", Check.orDefault<Duration.Input>(options.maxWait, 0), { zero: true })
  }
}

/** @internal */
export const rateOptionNames = ["limit", "window", "burst", "maxWait"]

/** The settings of a rate limit. */
const resolve = (name: string, options: Options): RateLimitSettings => {
  const where = Check.named(module, Check.nonEmpty(module, "name", name))
  Check.noUnknown(where, options, [...rateOptionNames, "keys"])
  return { ...resolveRate(where, options), keys: Keyed.resolve(where, options.keys) }
}

/**
 * Creates a rate limit.
 *
 * **When to use** For scripts, tests, and rate limits that are created at run time. Otherwise prefer {@link Service}. For a quota that
 * several processes use up together, and each call must know the exact count, use Effect's `RateLimiter` with its Redis store: it asks
 * the store for each call.
 *
 * **Details** Waiting calls are served strictly first in, first out. A call that is interrupted while it waits leaves the queue, and a
 * token that was taken for a call that then did not start is returned. Throws a `RangeError` when an option is out of range, before the
 * effect is run. For the options see {@link Options}.
 *
 * **Example** (Two calls in ten seconds)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RateLimit } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const limit = yield* RateLimit.make("geocoder", { limit: 2, window: "10 seconds", maxWait: "1 second" })
 *   const lookup = (place: string) =>
 *     Effect.succeed(place).pipe(limit.protect, Effect.catchTag("RateLimited", () => Effect.succeed("rejected")))
 *   return yield* Effect.all(["Rome", "Oslo", "Lima"].map(lookup))
 * })
 * await Effect.runPromise(program) // => ["Rome", "Oslo", "rejected"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (name: string, options: Options): Effect.Effect<RateLimit> => {
  const settings = resolve(name, options)
  return created("made", name, options, settings, {})
}

const readSnapshot = Snapshots.reader(Snapshot)

const created = (
  origin: Instances.Origin,
  name: string,
  options: Options,
  settings: RateLimitSettings,
  configured: ConfigValues
): Effect.Effect<RateLimit> =>
  Instances.create(origin, module, name, settings, (hub, desk) => {
    const engine = new RateLimitEngine(name, settings, hub)
    const tuner = new Tuner({
      id: name,
      where: Check.named(module, name),
      schema: FromConfig.RateLimitValues,
      options,
      configured,
      settings,
      optionNames: [...rateOptionNames, "keys"],
      toOptions: (values, options) => FromConfig.merge(options, values),
      resolve: (options) => resolve(name, options),
      describe: toJson,
      apply: (settings, now) => engine.retune(settings, now)
    })
    return makeWith(name, engine, { tuner, desk: engine.operate(desk, tuner.plug) })
  })

const makeWith = (name: string, engine: RateLimitEngine, tuned: Tuned): RateLimit => {
  const where = Check.named(module, name)
  const call = (self: Types.AnyEffect, options: Protecting.CallOptions) =>
    new RateLimitCall(engine, undefined, self, options)
  const protect = Protecting.protectWith(where, call, optionNames)
  const members: RateLimit = {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as Protect<never>,
    fn: Protecting.fnWith(where, protect) as Fn<never>,
    // As above.
    protectStream: Streams.protecting(where, call, optionNames) as ProtectStream<never>,
    take: (options) =>
      // As above: the work cannot fail.
      call(Effect.void, {
        ...Protecting.defaultOptions,
        key: Protecting.keyOf(where, "take", options)
      }) as Types.AnyEffect as Effect.Effect<void, Rejection.RateLimited>,
    admitted: (options) => engine.admitted(Protecting.keyOf(where, "admitted", options)),
    state: (key = defaultKey) => {
      Check.key(Check.inside(where, "state"), key)
      return Time.withNow((now) => engine.state(key, now))
    },
    stats: (key = defaultKey) => {
      Check.key(Check.inside(where, "stats"), key)
      return Time.withNow((now) => engine.stats(key, now))
    },
    allStats: Time.withNow((now) => engine.allStats(now)),
    control: { set: setCommand(Check.inside(where, "control.set"), tuned) },
    events: Event.streamFrom(engine.reporter.local),
    ...Snapshots.members(
      Check.inside(where, "restore"),
      readSnapshot,
      (moment) => engine.snapshot(moment),
      (snapshot, _, ages, now) => engine.restore(snapshot, ages, now)
    )
  }
  return Object.assign(members, { [EngineKey]: engine, [TunedKey]: tuned })
}

/**
 * The statics of a rate limit's service class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, Id extends string> extends Context.ServiceClass<Self, Id, RateLimit>, RateLimit<Self> {
  /** The rate limit with the options of the class. */
  readonly layer: Layer.Layer<Self>
  /**
   * The rate limit with options from `Config` in place of those of the class: everything below a path, or a `Config` per option. Fails
   * with a `ConfigError` when a value is out of range.
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
 * Declares a rate limit as a service class: provide its layer in the app, and protect effects with it anywhere.
 *
 * **When to use** For every rate limit of an app. A protected effect requires the service, so a missing layer does not compile.
 *
 * **Details** Throws a `RangeError` when an option is out of range, when the class is declared. For the options see {@link Options}.
 *
 * **Example** (Up to 100 calls a second, and a turn within half a second)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RateLimit } from "effect-resilience"
 *
 * class Geocoder extends RateLimit.Service<Geocoder>()("app/Geocoder", {
 *   limit: 100,
 *   window: "1 second",
 *   maxWait: "500 millis"
 * }) {}
 *
 * const program = Effect.succeed("41.9, 12.5").pipe(Geocoder.protect, Effect.provide(Geocoder.layer))
 * await Effect.runPromise(program) // => "41.9, 12.5"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Service =
  <Self = never>() =>
  <const Id extends string>(id: Id, options: Options): Types.RequireSelf<Self, "RateLimit", Class<Self, Id>> => {
    const where = Check.named(module, id)
    const service = Context.Service<Self, RateLimit>()(id)
    const inContext = Protecting.inContext(service)
    const protect = Protecting.protectWith(
      where,
      (self, options) => new RateLimitCall(undefined, service, self, options),
      optionNames
    )
    const members: Omit<Class<Self, Id>, keyof Context.ServiceClass<Self, Id, RateLimit>> = {
      // The implementation handles effects of any type; the interface says which ones.
      protect: protect as Protect<Self>,
      fn: Protecting.fnWith(where, protect) as Fn<Self>,
      protectStream: Streams.protectingIn(where, service, optionNames) as ProtectStream<Self>,
      take: inContext.call((limit) => limit.take),
      admitted: inContext.call((limit) => limit.admitted),
      state: inContext.call((limit) => limit.state),
      stats: inContext.call((limit) => limit.stats),
      allStats: inContext.effect((limit) => limit.allStats),
      control: { set: inContext.call((limit) => limit.control.set) },
      events: inContext.stream((limit) => limit.events),
      snapshot: inContext.effect((limit) => limit.snapshot),
      restore: inContext.call((limit) => limit.restore),
      ...FromConfig.layers(
        id,
        service,
        options,
        FromConfig.RateLimitValues,
        (values) => values,
        (options) => resolve(id, options),
        (settings, values) => created("declared", id, options, settings, values ?? {})
      ),
      watchConfig: (config, watching) =>
        watch(where, id, service, FromConfig.RateLimitValues, FromConfig.all, config, watching)
    }
    return Object.assign(service, members) as unknown as Types.RequireSelf<Self, "RateLimit", Class<Self, Id>>
  }
