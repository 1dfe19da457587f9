/**
 * So many calls at once, so many waiting, and the rest refused at once: one slow dependency does not take every fiber.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import * as Event from "./Event.ts"
import * as ConfigOf from "./internal/config.ts"
import { unprepared } from "./internal/frame.ts"
import * as Gates from "./internal/gate.ts"
import { Reporter } from "./internal/hub.ts"
import { keep } from "./internal/keep.ts"
import { Keyed, type KeysOptions } from "./internal/keyed.ts"
import * as Options_ from "./internal/options.ts"
import * as Protecting from "./internal/protect.ts"
import type { AnyEffect, AnyFiber, Named } from "./internal/types.ts"
import * as Rejection from "./Rejection.ts"

/**
 * Options of a bulkhead.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `maxConcurrent` | an integer >= 1 | none: it must be given |
 * | `maxQueued` | an integer >= 0 | 0: nobody waits |
 * | `maxWait` | a duration of zero or more | as long as the deadline allows |
 * | `keys` | see {@link Keys} | 10,000 keys, 1 hour |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Calls that may run at the same time, per key. An integer >= 1. */
  readonly maxConcurrent: number
  /** Calls that may wait for a permit, per key, first come first served. An integer >= 0. Default: 0. */
  readonly maxQueued?: number | undefined
  /** How long a call may wait. Needs `maxQueued`. Default: as long as the deadline allows. */
  readonly maxWait?: Duration.Input | undefined
  /** How much keyed state is kept. */
  readonly keys?: Keys | undefined
}

/**
 * How much keyed state is kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Keys extends KeysOptions {}

/**
 * What a bulkhead holds at a moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  readonly running: number
  readonly waiting: number
  readonly maxConcurrent: number
}

/**
 * What may be said for one protected effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectOptions {
  /** Which compartment: each key has `maxConcurrent` permits of its own. Default: `"default"`. */
  readonly key?: string | undefined
}

/**
 * Protects an effect, or makes a function that does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protect<R2> {
  <Arg extends AnyEffect | ProtectOptions>(
    arg: Arg,
    options?: ProtectOptions
  ): [Arg] extends [Effect.Effect<infer A, infer E, infer R>]
    ? Effect.Effect<A, E | Rejection.BulkheadFull, R | R2>
    : Apply<R2>
}

/**
 * A function that protects effects with options already given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<R2> {
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Rejection.BulkheadFull, R | R2>
}

/**
 * Wraps a function that returns an effect; the key may come from its arguments.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fn<R2> {
  <Args extends ReadonlyArray<unknown>, A, E, R>(
    f: (...args: Args) => Effect.Effect<A, E, R>,
    options?: { readonly key?: ((...args: Args) => string) | undefined }
  ): (...args: Args) => Effect.Effect<A, E | Rejection.BulkheadFull, R | R2>
}

/**
 * A bulkhead at work.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bulkhead<R = never> {
  /** Protects an effect: it runs with a permit, waits for one, or is refused with `BulkheadFull`. */
  readonly protect: Protect<R>
  /** Protects every call of a function. */
  readonly fn: Fn<R>
  /** Calls running and waiting. */
  readonly state: (key?: string) => Effect.Effect<State, never, R>
  /** Changes the permits of every key. Fewer permits interrupt nobody: the running calls end first. */
  readonly resize: (maxConcurrent: number) => Effect.Effect<void, never, R>
  /** What this bulkhead does, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
}

interface Entry extends Gates.Cell {
  /** When it was made: a gate at which nobody stands has no past, and may be forgotten at any time. */
  lastUsed: number
}

/** One call through one gate. */
class Call extends Protecting.Guarded<Engine> implements Gates.Pass {
  declare held: boolean
  declare place: Gates.Pass["place"]
  declare wake: Gates.Pass["wake"]
  declare private cell: Entry | undefined

  constructor(
    engine: Engine | undefined,
    service: Protecting.Service | undefined,
    self: AnyEffect,
    told: Protecting.Told
  ) {
    super(engine, service, self, told)
    this.held = false
    this.place = undefined
    this.wake = undefined
    this.cell = undefined
  }

  protected copy(): Call {
    return new Call(this.engine, this.service, this.self, this.told)
  }

  protected refused(engine: Engine, fiber: AnyFiber): undefined {
    this.cell = engine.cells.get(this.told.key, fiber)
  }

  enter(fiber: AnyFiber): AnyEffect {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return unprepared
    const wait = engine.gates.enter(cell, this, fiber)
    return wait === undefined ? this.self : Effect.flatMap(wait, () => this.self)
  }

  succeeded(): undefined {
    this.leave()
  }

  failed(): undefined {
    this.leave()
  }

  private leave(): void {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return
    this.cell = undefined
    engine.gates.release(cell, this)
  }
}

keep(new Call(undefined, undefined, Effect.void, Protecting.nothingTold))

class Engine {
  readonly gates: Gates.Gates
  readonly cells: Keyed<Entry>
  readonly own: Event.Hub

  constructor(name: string, options: Options, program: Event.Hub) {
    Options_.nonEmpty("Bulkhead", "name", name)
    Options_.known("Bulkhead", options, [...Gates.names, "keys"])
    this.own = Event.makeHub()
    this.gates = new Gates.Gates("Bulkhead", options, new Reporter(name, this.own, program))
    this.cells = new Keyed<Entry>(
      "Bulkhead",
      options.keys,
      (key, now) => ({ ...this.gates.make(key), lastUsed: Math.floor(now) }),
      Gates.pinned
    )
  }
}

/**
 * Makes a bulkhead.
 *
 * **Details** Strictly first come, first served: a later call never overtakes one that waits. A waiting call that is
 * interrupted, or whose time is over, leaves the queue at once. Throws a `RangeError` at once when an option is out of
 * range.
 *
 * **Example** (One at a time)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const printer = yield* Bulkhead.make("printer", { maxConcurrent: 1, maxQueued: 1 })
 *   const print = (page: number) => Effect.as(Effect.sleep("1 millis"), page).pipe(printer.protect, Effect.flip, Effect.flip)
 *   const pages = [1, 2, 3].map((page) => print(page).pipe(Effect.catchTag("BulkheadFull", () => Effect.succeed("refused"))))
 *   return yield* Effect.all(pages, { concurrency: "unbounded" })
 * })
 * await Effect.runPromise(program) // => [1, 2, "refused"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (name: string, options: Options): Effect.Effect<Bulkhead> => {
  new Engine(name, options, Event.makeHub())
  return Effect.map(Event.CurrentHub, (hub) => makeWith(name, options, hub))
}

const makeWith = (name: string, options: Options, program: Event.Hub): Bulkhead => {
  const engine = new Engine(name, options, program)
  const protect = Protecting.by("Bulkhead", (self, told) => new Call(engine, undefined, self, told))
  const members: Bulkhead = {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as unknown as Protect<never>,
    fn: Protecting.fn("Bulkhead", protect) as unknown as Fn<never>,
    state: (key = Rejection.defaultKey) =>
      Effect.sync(() => {
        const gate = engine.cells.peek(key)?.gate
        return {
          running: gate?.running ?? 0,
          waiting: gate?.waiting ?? 0,
          maxConcurrent: engine.gates.maxConcurrent
        }
      }),
    resize: (maxConcurrent) => {
      Options_.integer("Bulkhead.resize", "maxConcurrent", maxConcurrent, 1)
      return Effect.sync(() => engine.gates.resize(maxConcurrent, engine.cells.all()))
    },
    events: Event.streamFrom(engine.own)
  }
  return Object.assign(members, { [Protecting.EngineKey]: engine })
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
  /** The bulkhead with options from `Config` over those of the class. */
  readonly layerConfig: (config: ConfigOf.Source<ConfigOf.BulkheadSettings>) => Layer.Layer<Self, Config.ConfigError>
}

/**
 * A bulkhead as a service.
 *
 * **Example** (Twenty calls to the database at once)
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
  <const Id extends string>(id: Id, options: Options): Named<Self, "Bulkhead", Class<Self, Id>> => {
    new Engine(id, options, Event.makeHub())
    const service = Context.Service<Self, Bulkhead>()(id)
    const inContext = Protecting.inContext(service)
    const protect = Protecting.by("Bulkhead", (self, told) => new Call(undefined, service, self, told))
    const members: Omit<Class<Self, Id>, keyof Context.ServiceClass<Self, Id, Bulkhead>> = {
      // The implementation handles effects of any type; the interface says which ones.
      protect: protect as unknown as Protect<Self>,
      fn: Protecting.fn("Bulkhead", protect) as unknown as Fn<Self>,
      state: inContext.call((bulkhead) => bulkhead.state),
      resize: inContext.call((bulkhead) => bulkhead.resize),
      events: inContext.stream((bulkhead) => bulkhead.events),
      ...ConfigOf.layers(
        service,
        options,
        ConfigOf.BulkheadSettings,
        (settings) => settings,
        (options, hub) => makeWith(id, options, hub)
      )
    }
    return Object.assign(service, members) as unknown as Named<Self, "Bulkhead", Class<Self, Id>>
  }
