/**
 * Replaces an error with the last good value of its key (stale-if-error, RFC 5861).
 *
 * By default it handles only rejections and exhausted errors, as `Fallback` does. Defects and interruptions are never handled.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Change from "./Change.ts"
import * as Event from "./Event.ts"
import * as FromConfig from "./engine/config.ts"
import { resolveWhen } from "./engine/fallback.ts"
import * as Instances from "./engine/instances.ts"
import { resolve as resolveKeys } from "./engine/keyed.ts"
import * as Protecting from "./engine/protect.ts"
import { Reporter } from "./engine/reporter.ts"
import { setCommand, type Tuned, TunedKey, Tuner } from "./engine/retune.ts"
import { toJson } from "./engine/settingsJson.ts"
import { StaleCall, StaleEngine, type StaleSettings } from "./engine/staleFallback.ts"
import { EngineKey } from "./runtime/frame.ts"
import * as Check from "./runtime/options.ts"
import type * as Stats from "./Stats.ts"
import type * as Types from "./Types.ts"
import { defaultKey } from "./Types.ts"

/**
 * Options of a fallback to the last good value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** A value older than this is not used. A duration above zero. */
  readonly maxAge: Duration.Input
  /** Values kept; when there are more, one of the oldest is dropped. An integer >= 1. Default: 10,000. */
  readonly maxKeys?: number | undefined
  /**
   * Which errors are handled: `"rejected"` (rejections and exhausted errors), `"neverStarted"` (errors that prove that no
   * work was done), `"any"`, or those for which a predicate is `true`. Default: `"rejected"`.
   */
  readonly when?: "rejected" | "neverStarted" | "any" | ((error: unknown) => boolean) | undefined
}

/**
 * The settings of a stale fallback that `control.set` changes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Values {
  /** A value older than this is not used. A value that was too old before is used again if it is still stored. */
  readonly maxAge?: Duration.Input | undefined
}

/**
 * Lets an operator change the settings of a stale fallback.
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
 * Options of one protected effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectOptions {
  /** Whose value. Default: `"default"`. */
  readonly key?: string | undefined
}

/**
 * Protects an effect: `effect.pipe(stale.protect)`, or `effect.pipe(stale.protect({ key }))`. Further arguments are ignored, so it
 * is a transformer of `Effect.fn` as it stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protect<A, R2> {
  <Arg extends Types.AnyEffect | ProtectOptions | Types.NotAnEffect>(
    arg: Arg & Refused<Arg, A>,
    ...ignored: ReadonlyArray<unknown>
  ): [Arg] extends [Effect.Effect<infer _A1, infer E, infer R>] ? Effect.Effect<A, E, R | R2> : Apply<A, R2>
}

/**
 * A function that protects effects with options already given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<A, R2> {
  <A1, E, R>(
    self: Effect.Effect<A1, E, R> & CanStore<A1, A>,
    ...ignored: ReadonlyArray<unknown>
  ): Effect.Effect<A, E, R | R2>
}

type Refused<Arg, A> = [Arg] extends [Effect.Effect<infer A1, infer _E, infer _R>]
  ? CanStore<A1, A>
  : Types.OptionsOfCall<Arg, ProtectOptions>

type CanStore<A1, A> = [A1] extends [A] ? unknown : "The values of this effect are not those that this fallback stores"

/**
 * A fallback that stores the last good value of each key.
 *
 * @category models
 * @since 0.1.0
 */
export interface StaleFallback<in out A, R = never> {
  /**
   * Stores the successes of an effect, and replaces its errors with the last one. The last one is that of the call that
   * began last, also when an earlier call ends later.
   */
  readonly protect: Protect<A, R>
  /** Drops the value of one key. A call that began before stores nothing. */
  readonly forget: (key?: string) => Effect.Effect<void, never, R>
  /** The stats of one key: calls that have ended, and as `totals.fallbacks` the errors that were replaced. */
  readonly stats: (key?: string) => Effect.Effect<Stats.Stats, never, R>
  /** The stats of every key that has a value, and as key `"(evicted)"` the totals of all other keys. */
  readonly allStats: Effect.Effect<ReadonlyArray<Stats.Stats>, never, R>
  /** Commands of an operator on its settings. */
  readonly control: Control<R>
}

const module = "StaleFallback"

const settingNames = ["maxAge", "maxKeys", "when"]

/** The settings of a stale fallback; the defaults stand here. */
const resolve = (name: string, options: Options): StaleSettings => {
  const where = Check.named(module, Check.nonEmpty(module, "name", name))
  Check.noUnknown(where, options, settingNames)
  const maxAge = Check.millis(where, "maxAge", options.maxAge, { infinite: true })
  if (options.maxKeys !== undefined) Check.integer(where, "maxKeys", options.maxKeys, 1)
  const keys = resolveKeys(where, { maxKeys: options.maxKeys, idleTimeToLive: Duration.millis(maxAge) })
  return { name, maxAge, when: resolveWhen(where, options.when), keys }
}

/**
 * Creates a fallback to the last good value.
 *
 * **Example** (Yesterday's price in place of an error)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StaleFallback, Transient } from "effect-resilience"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 *
 * const program = Effect.gen(function*() {
 *   const prices = yield* StaleFallback.make<number>("prices", { maxAge: "1 day", when: "any" })
 *   const good = yield* Effect.succeed(42).pipe(prices.protect({ key: "tea" }))
 *   const stale = yield* Effect.fail(new Down()).pipe(prices.protect({ key: "tea" }))
 *   return [good, stale]
 * })
 * await Effect.runPromise(program) // => [42, 42]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(name: string, options: Options): Effect.Effect<StaleFallback<A>> => {
  const settings = resolve(name, options)
  return created("made", options, settings)
}

const created = <A>(
  origin: Instances.Origin,
  options: Options,
  settings: StaleSettings
): Effect.Effect<StaleFallback<A>> => {
  const { name } = settings
  return Instances.create(origin, module, name, described(settings), (hub, desk) => {
    const engine = new StaleEngine(settings)
    const tuner = new Tuner({
      id: name,
      where: Check.named(module, name),
      schema: FromConfig.StaleValues,
      options,
      configured: {},
      settings,
      optionNames: settingNames,
      toOptions: (values, options) => FromConfig.merge(options, values),
      resolve: (options) => resolve(name, options),
      describe: (settings) => toJson(described(settings)),
      apply: (settings) => engine.retune(settings)
    })
    engine.operate(desk, new Reporter(name, Event.makeHub(), hub), tuner.plug)
    return makeWith<A>(name, engine, { tuner, desk })
  })
}

/** Without the name, which the registry has anyway. */
const described = ({ name: _, ...settings }: StaleSettings) => settings

const optionNames = ["key"]

const makeWith = <A>(name: string, engine: StaleEngine, tuned: Tuned): StaleFallback<A> => {
  const where = Check.named(module, name)
  const protect = Protecting.protectWith(
    where,
    (self, { key }) => new StaleCall(engine, undefined, self, { key }),
    optionNames
  )
  const members: StaleFallback<A> = {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as Protect<A, never>,
    forget: (key = defaultKey) => {
      Check.key(Check.inside(where, "forget"), key)
      return Effect.sync(() => engine.forget(key))
    },
    stats: (key = defaultKey) => {
      Check.key(Check.inside(where, "stats"), key)
      return Effect.sync(() => engine.stats(key))
    },
    allStats: Effect.sync(() => engine.allStats()),
    control: { set: setCommand(Check.inside(where, "control.set"), tuned) }
  }
  return Object.assign(members, { [EngineKey]: engine, [TunedKey]: tuned })
}

/**
 * The statics of the service class of a stale fallback.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, A, Id extends string>
  extends Context.ServiceClass<Self, Id, StaleFallback<A>>,
    StaleFallback<A, Self> {
  /** The fallback with the options of the class. */
  readonly layer: Layer.Layer<Self>
}

/**
 * A fallback to the last good value, as a service.
 *
 * **Example** (The last good rates)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { StaleFallback } from "effect-resilience"
 *
 * class Rates extends StaleFallback.Service<Rates, number>()("app/Rates", { maxAge: "1 hour" }) {}
 *
 * await Effect.runPromise(Effect.succeed(1.08).pipe(Rates.protect, Effect.provide(Rates.layer))) // => 1.08
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Service =
  <Self, A>() =>
  <const Id extends string>(id: Id, options: Options): Class<Self, A, Id> => {
    const settings = resolve(id, options)
    const where = Check.named(module, id)
    const service = Context.Service<Self, StaleFallback<A>>()(id)
    const inContext = Protecting.inContext(service)
    const protect = Protecting.protectWith(
      where,
      (self, { key }) => new StaleCall(undefined, service, self, { key }),
      optionNames
    )
    const members: Omit<Class<Self, A, Id>, keyof Context.ServiceClass<Self, Id, StaleFallback<A>>> = {
      // The implementation handles effects of any type; the interface says which ones.
      protect: protect as Protect<A, Self>,
      forget: inContext.call((fallback) => fallback.forget),
      stats: inContext.call((fallback) => fallback.stats),
      allStats: inContext.effect((fallback) => fallback.allStats),
      control: { set: inContext.call((fallback) => fallback.control.set) },
      layer: Layer.effect(service, created<A>("declared", options, settings))
    }
    return Object.assign(service, members) as Class<Self, A, Id>
  }
