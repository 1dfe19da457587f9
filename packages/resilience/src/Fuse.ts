/**
 * Slows loops and workers down together, or stops them together: a fuse counts shorts, trips at a number of them, and then every caller
 * of `short` pauses. One that is reset by hand stays broken, and the workers under it are interrupted.
 *
 * A circuit breaker rejects calls to a dependency, and decides by their results. A fuse rejects nothing, and decides by what the program
 * says: `short` where something went wrong.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as FromConfig from "./engine/config.ts"
import { FuseEngine, type FuseSettings } from "./engine/fuse.ts"
import { FuseMember } from "./engine/fuseFleet.ts"
import * as Instances from "./engine/instances.ts"
import * as Protecting from "./engine/protect.ts"
import * as Time from "./runtime/clock.ts"
import { EngineKey } from "./runtime/frame.ts"
import * as Check from "./runtime/options.ts"
import * as Shared from "./Shared.ts"
import type * as Types from "./Types.ts"

const module = "Fuse"

/**
 * Options of a fuse.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `shorts` | an integer >= 1 | required |
 * | `pause` | a finite duration of zero or more | 1 second |
 * | `factor` | a number >= 1 | 1 |
 * | `maxPause` | a finite duration of at least `pause` | 1 minute, or `pause` if that is longer |
 * | `jitter` | [0, 1] | 0.1 |
 * | `reset` | `"auto"`, `"manual"` | `"auto"` |
 * | `shared` | | `false` |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Shorts that trip the fuse. */
  readonly shorts: number
  /** How long callers of `short` pause after the first trip. Default: 1 second. */
  readonly pause?: Duration.Input | undefined
  /** By how much the pause grows with each trip, until `resetBackoff`. Default: 1, which is no growth. */
  readonly factor?: number | undefined
  /** The longest pause that growth leads to. Default: 1 minute. */
  readonly maxPause?: Duration.Input | undefined
  /** How far a pause is spread: 0.1 is up to 10 % shorter or longer. Default: 0.1. */
  readonly jitter?: number | undefined
  /** Whether the fuse counts again after the pause, or stays broken until `reset`. Default: `"auto"`. */
  readonly reset?: "auto" | "manual" | undefined
  /**
   * Adds up shorts over the processes of a fleet, and trips and resets in all of them, in the background: the layer then requires a
   * `Shared.Board`. Without one it does as well as alone. Default: `false`.
   */
  readonly shared?: boolean | undefined
}

/**
 * The options of a fuse that can be read from `Config`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConfigValues {
  readonly shorts?: number
  readonly pause?: Duration.Duration
  readonly factor?: number
  readonly maxPause?: Duration.Duration
  readonly jitter?: number
}

/**
 * Options of `short` and `trip`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ShortOptions {
  /** The pause of the trip that this causes, when the dependency said how long. It is never shorter. A finite duration of zero or more. */
  readonly for?: Duration.Input | undefined
}

/**
 * What a fuse has counted.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  /** Shorts since the last trip or reset. */
  readonly shorts: number
  /** Shorts since the fuse was created, those during a pause too. */
  readonly totalShorts: number
  readonly trips: number
  /** How long the next pause will be, without jitter. */
  readonly pause: Duration.Duration
  /** What is left of the pause. */
  readonly left: Duration.Duration
  /** Tripped, and not reset by hand. Never of a fuse that resets itself. */
  readonly broken: boolean
}

/**
 * The fuse is broken: `untilBroken` has interrupted the work.
 *
 * @category errors
 * @since 0.1.0
 */
export class FuseBroken extends Schema.TaggedError<FuseBroken>("effect-resilience/FuseBroken")("FuseBroken", {
  fuse: Schema.String
}) {
  override get message(): string {
    return `${this.fuse}: the fuse is broken`
  }
}

/**
 * The members of a fuse. `R` is what they require: nothing after {@link make}, the service for the statics of a {@link Service} class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Members<R = never> {
  /**
   * Counts that something went wrong. When that trips the fuse, or the fuse has been tripped, it pauses. `true` when it has paused, or
   * when the fuse is broken: the moment to look whether the work should go on.
   */
  readonly short: (options?: ShortOptions) => Effect.Effect<boolean, never, R>
  /** Trips at once, and pauses. */
  readonly trip: (options?: ShortOptions) => Effect.Effect<boolean, never, R>
  /** Ends the pause of every caller, mends a broken fuse, and counts from the beginning. Totals, and the growth of the pause, stay. */
  readonly reset: Effect.Effect<void, never, R>
  /** Lets the pause begin with `pause` again: call it when the work succeeds. */
  readonly resetBackoff: Effect.Effect<void, never, R>
  readonly state: Effect.Effect<State, never, R>
  /** The state after each trip and each reset. A listener that falls behind by 1,024 changes loses the oldest. */
  readonly changes: Stream.Stream<State, never, R>
  /** Returns when the fuse is broken; of a fuse that resets itself at its next trip. */
  readonly awaitBroken: Effect.Effect<void, never, R>
  /** Interrupts the effect when the fuse breaks, and fails with `FuseBroken`. */
  readonly untilBroken: <A, E, R2>(self: Effect.Effect<A, E, R2>) => Effect.Effect<A, E | FuseBroken, R | R2>
}

/**
 * A fuse from {@link make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fuse extends Members {
  /**
   * `short` for code without Effect: it counts, and returns the pause for the caller to keep. It never blocks. A broken fuse, whose
   * pause is over, returns an infinite duration.
   */
  readonly shortSync: (options?: ShortOptions) => Duration.Duration
}

/** What a fuse with these options requires. */
type BoardOf<O> = O extends { readonly shared: true } ? Shared.Board : never

type ScopeOf<O> = O extends { readonly shared: true } ? Shared.Board | Scope.Scope : never

interface NamedSettings extends FuseSettings {
  readonly name: string
}

const optionNames = ["shorts", "pause", "factor", "maxPause", "jitter", "reset", "shared"]

const resolve = (name: string, options: Options): NamedSettings => {
  const where = Check.named(module, name)
  Check.noUnknown(where, options, optionNames)
  const initial = Check.millis(where, "pause", Check.orDefault(options.pause, "1 second"), { zero: true })
  const given = Check.orDefault<Duration.Input>(options.maxPause, Math.max(60_000, initial))
  const max = Check.millis(where, "maxPause", given, { zero: true })
  if (max < initial) Check.invalid(where, "maxPause", "a duration of at least pause", given)
  const reset = Check.orDefault(options.reset, "auto")
  if (reset !== "auto" && reset !== "manual") Check.invalid(where, "reset", '"auto" or "manual"', reset)
  const { shared = false } = options
  if (typeof shared !== "boolean") Check.invalid(where, "shared", "true or false", shared)
  const factor = Check.inRange(where, "factor", Check.orDefault(options.factor, 1), 1, Infinity)
  if (factor === Infinity) Check.invalid(where, "factor", "a finite number >= 1", factor)
  return {
    name: Check.nonEmpty(module, "name", name),
    shorts: Check.integer(where, "shorts", options.shorts, 1),
    initial,
    factor,
    max,
    jitter: Check.inRange(where, "jitter", Check.orDefault(options.jitter, 0.1), 0, 1),
    manual: reset === "manual",
    shared
  }
}

const resolveShort = (where: string, options: ShortOptions | undefined): number | undefined => {
  if (options === undefined) return undefined
  Check.noUnknown(where, options, ["for"])
  return options.for === undefined ? undefined : Check.millis(where, "for", options.for, { zero: true })
}

const toMembers = (where: string, engine: FuseEngine, context: Context.Context<never>): Fuse => {
  const inShort = Check.inside(where, "short")
  const inTrip = Check.inside(where, "trip")
  const fuse: Fuse = {
    short: (options) => engine.count("short", resolveShort(inShort, options)),
    trip: (options) => engine.count("trip", resolveShort(inTrip, options)),
    reset: Time.withNow((now) => engine.reset(now)),
    resetBackoff: Effect.sync(() => engine.resetBackoff()),
    state: Time.withNow((now) => engine.state(now)),
    changes: engine.changes,
    awaitBroken: engine.broke,
    untilBroken: (self) =>
      Effect.raceFirst(
        self,
        Effect.flatMap(engine.broke, () => Effect.fail(new FuseBroken({ fuse: engine.name })))
      ),
    shortSync: (options) => {
      const time = resolveShort(inShort, options)
      const random = Context.get(context, Random.Random).nextDoubleUnsafe()
      const pause = engine.short(Time.millisIn(context), random, time)
      return pause === 0 && engine.fuse.broken ? Duration.infinity : Duration.millis(pause)
    }
  }
  return Object.assign(fuse, { [EngineKey]: engine })
}

/** What is created belongs to no call; a shared one reports until its scope closes. */
const create = (
  origin: Instances.Origin,
  settings: NamedSettings
): Effect.Effect<Fuse, never, Shared.Board | Scope.Scope> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const { name, ...described } = settings
    const engine = new FuseEngine(name, settings)
    const fuse = Instances.create(origin, module, name, described, () =>
      toMembers(Check.named(module, name), engine, context)
    )
    if (!settings.shared) return fuse
    return Effect.gen(function* () {
      const made = yield* fuse
      const member = new FuseMember(engine, yield* Shared.Board, yield* Shared.randomId)
      engine.teller = member
      yield* member.run
      return made
    })
  })

/**
 * Creates a fuse.
 *
 * **When to use** For scripts, tests, and fuses that are created at run time. Otherwise prefer {@link Service}.
 *
 * **Details** Throws a `RangeError` at once when an option is out of range. A fuse with `shared: true` requires a `Shared.Board` and a
 * scope.
 *
 * **Example** (A loop that slows down)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fuse } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const uploads = yield* Fuse.make("uploads", { shorts: 3, pause: "5 millis" })
 *   const paused: Array<boolean> = []
 *   for (let failure = 0; failure < 4; failure++) paused.push(yield* uploads.short())
 *   return paused
 * })
 * await Effect.runPromise(program) // => [false, false, true, false]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends Options>(
  name: string,
  options: O & Options & Types.NoUnknownOptions<O, Options>
): Effect.Effect<Fuse, never, ScopeOf<O>> =>
  // One that is not shared requires nothing.
  create("made", resolve(name, options)) as Effect.Effect<Fuse, never, ScopeOf<O>>

/**
 * The statics of a fuse's service class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, Id extends string, RBoard = never>
  extends Context.ServiceClass<Self, Id, Fuse>,
    Members<Self> {
  /** The fuse with the options of the class. */
  readonly layer: Layer.Layer<Self, never, RBoard>
  /** The fuse with options from `Config` in place of those of the class. Fails with a `ConfigError` when a value is out of range. */
  readonly layerConfig: (config: Types.ConfigSource<ConfigValues>) => Layer.Layer<Self, Config.ConfigError, RBoard>
  /**
   * Runs workers at once until the scope of the layer closes or the fuse breaks: then all are interrupted, and their finalizers run.
   */
  readonly layerWorkers: <R>(
    workers: ReadonlyArray<Effect.Effect<unknown, never, R>>
  ) => Layer.Layer<never, never, Self | Exclude<R, Scope.Scope>>
}

const Values = Schema.Struct({
  shorts: Schema.optionalKey(Schema.Finite),
  pause: Schema.optionalKey(Schema.DurationFromString),
  factor: Schema.optionalKey(Schema.Finite),
  maxPause: Schema.optionalKey(Schema.DurationFromString),
  jitter: Schema.optionalKey(Schema.Finite)
})

/**
 * Declares a fuse as a service class: all that use its name count together, and pause or stop together.
 *
 * **Details** Throws a `RangeError` when an option is out of range, when the class is declared. For the options see {@link Options}.
 *
 * **Example** (Workers that stop together)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Fuse } from "effect-resilience"
 *
 * class Disk extends Fuse.Service<Disk>()("app/Disk", { shorts: 3, pause: 0, reset: "manual" }) {}
 *
 * const stopped: Array<string> = []
 * const worker = (name: string) =>
 *   Disk.short().pipe( // every turn finds the disk full
 *     Effect.andThen(Effect.sleep("1 millis")),
 *     Effect.forever,
 *     Effect.onInterrupt(() => Effect.sync(() => stopped.push(name)))
 *   )
 *
 * const workers = Disk.layerWorkers([worker("a"), worker("b")]).pipe(Layer.provideMerge(Disk.layer))
 * const program = Effect.gen(function*() {
 *   yield* Disk.awaitBroken
 *   yield* Effect.sleep("5 millis")
 *   return stopped.toSorted()
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(workers))) // => ["a", "b"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Service =
  <Self = never>() =>
  <const Id extends string, const O extends Options>(
    id: Id,
    options: O & Options & Types.NoUnknownOptions<O, Options>
  ): Types.RequireSelf<Self, "Fuse", Class<Self, Id, BoardOf<O>>> => {
    const service = Context.Service<Self, Fuse>()(id)
    const inContext = Protecting.inContext(service)
    const members: Omit<Class<Self, Id, BoardOf<O>>, keyof Context.ServiceClass<Self, Id, Fuse>> = {
      short: inContext.call((fuse) => fuse.short),
      trip: inContext.call((fuse) => fuse.trip),
      reset: inContext.effect((fuse) => fuse.reset),
      resetBackoff: inContext.effect((fuse) => fuse.resetBackoff),
      state: inContext.effect((fuse) => fuse.state),
      changes: inContext.stream((fuse) => fuse.changes),
      awaitBroken: inContext.effect((fuse) => fuse.awaitBroken),
      untilBroken: (self) => service.use((fuse) => fuse.untilBroken(self)),
      ...FromConfig.layers(
        id,
        service,
        options as Options,
        Values,
        (values) => values,
        (options) => resolve(id, options),
        // The type of the layer says what a shared one requires.
        (settings) => create("declared", settings) as Effect.Effect<Fuse>
      ),
      layerWorkers: (workers) => {
        const all = Effect.all(workers, { concurrency: "unbounded", discard: true })
        return Layer.effectDiscard(
          service.use((fuse) => Effect.forkScoped(Effect.ignore(fuse.untilBroken(Effect.scoped(all)))))
        )
      }
    }
    return Object.assign(service, members) as unknown as Types.RequireSelf<Self, "Fuse", Class<Self, Id, BoardOf<O>>>
  }
