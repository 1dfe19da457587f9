/**
 * Stops calling a dependency that is failing, and finds out gently when it is well again.
 *
 * A circuit is *closed* while the dependency is well, *open* while calls are refused at once, and *half-open* while a few
 * probes decide which of the two it will be. There is one circuit per key; without a key there is one in all.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Event from "./Event.ts"
import * as Circuits from "./internal/circuit.ts"
import * as ConfigOf from "./internal/config.ts"
import { unprepared } from "./internal/frame.ts"
import { Reporter } from "./internal/hub.ts"
import { keep } from "./internal/keep.ts"
import { Keyed, type KeysOptions } from "./internal/keyed.ts"
import * as Options_ from "./internal/options.ts"
import * as Protecting from "./internal/protect.ts"
import * as Time from "./internal/time.ts"
import type { AnyEffect, AnyFiber, Named, NoOther } from "./internal/types.ts"
import * as Circuit from "./machine/Circuit.ts"
import * as Outcome from "./Outcome.ts"
import * as Rejection from "./Rejection.ts"

/**
 * Options of a circuit breaker.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `trip` | a `TripPolicy` | `standard`: most of at least 20 calls in 10 seconds, or 10 in a row over half a second |
 * | `openFor` | a duration above zero, growth options, or a `Schedule` | 1 second, +-20 % |
 * | `maxRetryAfter` | a duration above zero | 10 minutes |
 * | `probes` | see {@link Probes} | 1 permitted, 1 success, lease of 10 seconds |
 * | `keys` | see {@link Keys} | 10,000 keys, 1 hour |
 * | `failures`, `ignore`, `failWhen`, `classify` | see `Outcome.Judgement` | transient errors and defects count |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Outcome.Judgement {
  /** When to open. Default: `TripPolicy.standard`. */
  readonly trip?: Circuits.AnyTripPolicy | undefined
  /**
   * How long to stay open, with a jitter of 20 %. Give {@link OpenFor} to say the jitter yourself or to have openings grow,
   * or a `Schedule` whose input is the number of the opening. Default: 1 second.
   */
  readonly openFor?: Duration.Input | OpenFor | Circuits.OpenSchedule | undefined
  /** A `retryAfter` on the failure that opens the circuit lengthens the open time, at most to this. Default: 10 minutes. */
  readonly maxRetryAfter?: Duration.Input | undefined
  /** How a half-open circuit decides. */
  readonly probes?: Probes | undefined
  /** How much keyed state is kept. */
  readonly keys?: Keys | undefined
}

/**
 * How long a circuit stays open: `initial`, times `factor` for each further opening in a row, at most `max`, each time
 * moved by up to `jitter` of itself. The row ends when the circuit has stayed closed as long as it was last open.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenFor {
  /** The first opening. A duration above zero. */
  readonly initial: Duration.Input
  /** Growth per opening in a row, in [1, 1000]. Default: 1, which is none. */
  readonly factor?: number | undefined
  /** The longest opening of those that grow, before jitter. Default: 60 seconds, or `initial` if that is longer. */
  readonly max?: Duration.Input | undefined
  /** Share of the open time by which it varies up or down, in [0, 1]. Default: 0.2. */
  readonly jitter?: number | undefined
}

/**
 * How a half-open circuit decides: `permitted` probes at the most, of which `successes` close it. It opens again as soon
 * as so many can no longer succeed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Probes {
  /** Probes in one half-open period, an integer >= 1. Default: 1. */
  readonly permitted?: number | undefined
  /** Successes that close the circuit, an integer in [1, permitted]. Default: 1. */
  readonly successes?: number | undefined
  /** A probe that has not ended after this gives its place to another. A duration above zero. Default: 10 seconds. */
  readonly lease?: Duration.Input | undefined
}

/**
 * How much keyed state is kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Keys extends KeysOptions {}

/**
 * The state of one circuit.
 *
 * @category models
 * @since 0.1.0
 */
export type State = Circuits.CircuitView

/**
 * What may be said for one protected effect: its key, and a judgement of its own in place of the breaker's.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProtectOptions extends Outcome.Judgement {
  /** Which circuit. Default: `"default"`. */
  readonly key?: string | undefined
}

/**
 * Commands of an operator, on one circuit. They hold until the next command (`isolate`, `disable`) or take effect once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control<R = never> {
  /** Refuses every call until `close`, `reset` or `disable`. */
  readonly isolate: (key?: string) => Effect.Effect<void, never, R>
  /** Closes a circuit that is not closed, with fresh evidence; `reset` gives a closed one fresh evidence too. */
  readonly close: (key?: string) => Effect.Effect<void, never, R>
  /** Closes the circuit and forgets its past openings. */
  readonly reset: (key?: string) => Effect.Effect<void, never, R>
  /** Lets every call through and counts nothing, until `enable`, `close`, `reset` or `isolate`. */
  readonly disable: (key?: string) => Effect.Effect<void, never, R>
  /** Ends `disable`. */
  readonly enable: (key?: string) => Effect.Effect<void, never, R>
}

/**
 * Leave to make one call, for work that cannot be wrapped as an effect. Say how the call ended with one of the three; the
 * first word counts. A permit whose scope closes unsaid is ignored.
 *
 * @category models
 * @since 0.1.0
 */
export interface Permit {
  readonly succeed: Effect.Effect<void>
  readonly fail: (options?: { readonly retryAfter?: Duration.Input | undefined }) => Effect.Effect<void>
  readonly ignore: Effect.Effect<void>
}

/**
 * The circuits of a breaker at a moment, as JSON-safe data, for a restart to go on from.
 *
 * @category models
 * @since 0.1.0
 */
export const Snapshot = Schema.Struct({
  version: Schema.Literal(1),
  /** Wall time, in milliseconds since the epoch. */
  at: Schema.Finite,
  circuits: Schema.Array(
    Schema.Struct({
      key: Schema.String,
      state: Schema.Literals(["closed", "open", "isolated", "disabled"]),
      /** Milliseconds in this state. */
      since: Schema.Finite,
      /** Milliseconds until the first probe, while open. */
      retryAfter: Schema.Finite,
      /** How long the last opening was meant to last, in milliseconds. */
      openFor: Schema.Finite,
      openings: Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))
    })
  )
})

/**
 * @category models
 * @since 0.1.0
 */
export type Snapshot = typeof Snapshot.Type

/**
 * Protects an effect, or makes a function that does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Protect<Own, R2> {
  <const Arg extends AnyEffect | ProtectOptions, const Call extends object = {}>(
    arg: Arg & Refused<Arg, Outcome.Effective<Own, Call>>,
    options?: Call & CallOptions<Arg> & NoOther<Call, ProtectOptions>
  ): Protected<Arg, Own, R2>
}

type CallOptions<Arg> = [Arg] extends [Effect.Effect<infer A, infer E, infer _R>]
  ? { readonly key?: string | undefined } & Outcome.Judgement<A, E>
  : {}

type Refused<Arg, J> = [Arg] extends [Effect.Effect<infer A, infer E, infer _R>]
  ? Outcome.CanTrip<A, E, J>
  : NoOther<Arg, ProtectOptions>

type Protected<Arg, Own, R2> = [Arg] extends [Effect.Effect<infer A, infer E, infer R>]
  ? Effect.Effect<A, E | Rejection.CircuitOpen, R | R2>
  : Apply<Outcome.Effective<Own, Arg>, R2>

/**
 * A function that protects effects with options already given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<J, R2> {
  <A, E, R>(
    self: Effect.Effect<A, E, R> & Outcome.CanTrip<A, E, J>
  ): Effect.Effect<A, E | Rejection.CircuitOpen, R | R2>
}

/**
 * Wraps a function that returns an effect; the key may come from its arguments.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fn<Own, R2> {
  <Args extends ReadonlyArray<unknown>, A, E, R>(
    f: ((...args: Args) => Effect.Effect<A, E, R>) & Outcome.CanTrip<A, E, Own>,
    options?: { readonly key?: ((...args: Args) => string) | undefined }
  ): (...args: Args) => Effect.Effect<A, E | Rejection.CircuitOpen, R | R2>
}

/**
 * A circuit breaker at work. `R` is what its members need: nothing for one from {@link make}, the service for the statics
 * of a {@link Service} class.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitBreaker<Own = Options, R = never> {
  /** Protects an effect: `effect.pipe(breaker.protect)`, or with options `effect.pipe(breaker.protect({ key }))`. */
  readonly protect: Protect<Own, R>
  /** Protects every call of a function. */
  readonly fn: Fn<Own, R>
  /** Takes leave for one call that cannot be wrapped. */
  readonly acquire: (options?: {
    readonly key?: string | undefined
  }) => Effect.Effect<Permit, Rejection.CircuitOpen, Scope.Scope | R>
  /** The state of one circuit. A key that nobody has used is closed. */
  readonly state: (key?: string) => Effect.Effect<State, never, R>
  /** The states of all circuits that are kept. */
  readonly states: Effect.Effect<ReadonlyArray<State & { readonly key: string }>, never, R>
  /** What this breaker does, from the moment the stream is run. */
  readonly events: Stream.Stream<Event.Event, never, R>
  /** Changes of state, from the moment the stream is run. */
  readonly transitions: Stream.Stream<Event.Transition, never, R>
  /** Commands of an operator. */
  readonly control: Control<R>
  /** The circuits as data; evidence of closed circuits is not part of it. */
  readonly export: Effect.Effect<Snapshot, never, R>
  /** Takes over the circuits of a snapshot, as old as they have become since: an open time that is over is over. */
  readonly hydrate: (snapshot: Snapshot) => Effect.Effect<void, never, R>
}

class Entry extends Circuits.Cell {
  declare lastUsed: number
  /** Calls admitted and not ended: their circuit must not be forgotten under them. */
  declare running: number

  constructor(key: string, trip: Circuits.AnyTripPolicy, now: number) {
    super(key, trip, now)
    this.lastUsed = Math.floor(now)
    this.running = 0
  }
}

/** One call through one circuit. */
class Call extends Protecting.Guarded<Engine> {
  declare private cell: Entry | undefined
  declare private era: number
  declare private ticket: number
  declare private started: number

  constructor(
    engine: Engine | undefined,
    service: Protecting.Service | undefined,
    self: AnyEffect,
    told: Protecting.Told
  ) {
    super(engine, service, self, told)
    this.cell = undefined
    this.era = 0
    this.ticket = 0
    this.started = NaN
  }

  protected copy(): Call {
    return new Call(this.engine, this.service, this.self, this.told)
  }

  protected refused(engine: Engine, fiber: AnyFiber): AnyEffect | undefined {
    const cell = engine.cells.get(this.told.key, fiber)
    const refusal = Circuit.passes(cell) ? undefined : engine.refusal(cell, fiber)
    if (refusal === undefined) this.cell = cell
    return refusal
  }

  enter(fiber: AnyFiber): AnyEffect {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return unprepared
    const { circuits } = engine
    // The clock is most of what a call costs: it is not read for what nobody asks.
    const now = circuits.timed || !Circuit.passes(cell) ? Time.monotonicMillis(fiber) : 0
    this.ticket = circuits.admit(cell, now, fiber)
    this.era = cell.era
    this.started = now
    cell.running += 1
    return this.self
  }

  succeeded(value: unknown, fiber: AnyFiber): undefined {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return
    this.settle(cell, engine, Protecting.judgeSuccess(this.told.judge ?? engine.judge, value), undefined, fiber)
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): undefined {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return
    const judged = Protecting.judgeSafely(this.told.judge ?? engine.judge, Exit.failCause(cause))
    this.settle(cell, engine, judged, cause, fiber)
  }

  private settle(
    cell: Entry,
    { circuits, reporter }: Engine,
    judged: Protecting.Judged,
    cause: Cause.Cause<unknown> | undefined,
    fiber: AnyFiber
  ): void {
    const now = Time.monotonicMillis(fiber)
    const { outcome } = judged
    this.cell = undefined
    cell.running -= 1
    cell.lastUsed = Math.floor(now)
    const retryAfter = cause !== undefined && outcome === "failure" ? Protecting.retryAfterOf(cause) : undefined
    const duration = circuits.timed ? now - this.started : 0
    circuits.settle(cell, this.era, this.ticket, outcome, duration, now, fiber, retryAfter)
    if (cause !== undefined && outcome === "ignored") reporter.ignored(cell.key, cause, fiber)
    if (judged.threw) throw judged.defect
  }
}

keep(new Call(undefined, undefined, Effect.void, Protecting.nothingTold))

class Engine {
  readonly circuits: Circuits.Circuits
  readonly cells: Keyed<Entry>
  readonly reporter: Reporter
  readonly judge: Protecting.Judge

  constructor(name: string, options: Options, program: Event.Hub) {
    Options_.nonEmpty(where, "name", name)
    Options_.known(where, options, [...Circuits.names, "keys", ...Options_.judgementNames])
    Options_.judgement(where, options)
    this.reporter = new Reporter(name, Event.makeHub(), program)
    this.circuits = new Circuits.Circuits(where, options, this.reporter)
    this.judge = Outcome.judge(Outcome.isJudgement(options) ? options : undefined)
    this.cells = new Keyed<Entry>(
      where,
      options.keys,
      (key, now) => new Entry(key, this.circuits.trip, now),
      (entry, now) => entry.running > 0 || Circuits.pinned(entry, now)
    )
  }

  /** The refusal of a call that would not be admitted. */
  refusal(cell: Entry, fiber: AnyFiber): Effect.Effect<never, Rejection.CircuitOpen> | undefined {
    const now = Time.monotonicMillis(fiber)
    if (this.circuits.admits(cell, now)) return undefined
    cell.lastUsed = Math.floor(now)
    return this.circuits.reject(cell, now, fiber)
  }
}

const where = "CircuitBreaker"

/**
 * Makes a circuit breaker.
 *
 * **When to use** When a service class would be too much: scripts, tests, breakers made at run time. Otherwise prefer
 * {@link Service}.
 *
 * **Details** Throws a `RangeError` at once when an option is out of range.
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
  options?: O & Options & NoOther<O, Options>
): Effect.Effect<CircuitBreaker<O>> => {
  const given: Options = options ?? {}
  check(name, given)
  return Effect.map(Event.CurrentHub, (hub) => makeWith<O>(name, given, hub))
}

/** Every check of the options, without making anything that lasts. */
const check = (name: string, options: Options): void => {
  new Engine(name, options, Event.makeHub())
}

const makeWith = <O>(name: string, options: Options, program: Event.Hub): CircuitBreaker<O> => {
  const engine = new Engine(name, options, program)
  const { cells, circuits } = engine

  const protect = Protecting.by(where, (self, told) => new Call(engine, undefined, self, told))

  const acquire = (call?: { readonly key?: string | undefined }) =>
    Effect.acquireRelease(
      Effect.withFiber((fiber): Effect.Effect<Leave, Rejection.CircuitOpen> => {
        const now = Time.monotonicMillis(fiber)
        const cell = cells.get(call?.key ?? Rejection.defaultKey, fiber)
        cell.lastUsed = Math.floor(now)
        const ticket = circuits.admit(cell, now, fiber)
        return ticket === Circuit.Rejected
          ? circuits.reject(cell, now, fiber)
          : Effect.succeed(new Leave(circuits, cell, ticket, now))
      }),
      (leave) => leave.ignore
    )

  const members: CircuitBreaker<O> = {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as unknown as CircuitBreaker<O>["protect"],
    fn: Protecting.fn(where, protect) as unknown as CircuitBreaker<O>["fn"],
    acquire,
    state: (key = Rejection.defaultKey) =>
      Time.withNow((now) => {
        const cell = cells.peek(key)
        return cell === undefined ? { _tag: "closed", since: Duration.zero, openings: 0 } : circuits.view(cell, now)
      }),
    states: Time.withNow((now) => Array.from(cells.all(), (cell) => ({ key: cell.key, ...circuits.view(cell, now) }))),
    events: Event.streamFrom(engine.reporter.own),
    transitions: Event.streamFrom(engine.reporter.own).pipe(Stream.filter((event) => event._tag === "Transition")),
    control: Circuits.commands((key, command, now, fiber) =>
      circuits.control(cells.insist(key, now), command, now, fiber)
    ),
    export: Time.withNow((now, fiber) => ({
      version: 1,
      at: Time.epochMillis(fiber),
      // Without the entry that keys share when there is no room: it is nobody's state in particular.
      circuits: Array.from(cells.kept(), (cell) => Circuits.exported(cell, now))
    })),
    hydrate: (snapshot) =>
      Time.withNow((now, fiber) => {
        if (!isSnapshot(snapshot)) Options_.reject("CircuitBreaker.hydrate", "its argument", "a Snapshot", snapshot)
        const away = Math.max(0, Time.epochMillis(fiber) - snapshot.at)
        for (const one of snapshot.circuits) {
          const cell = cells.own(one.key, now)
          if (cell !== undefined) circuits.restore(cell, one, away, now, fiber)
        }
      })
  }
  return Object.assign(members, { [Protecting.EngineKey]: engine })
}

const isSnapshot = Schema.is(Snapshot)

/** A permit: tells the circuit once how the call ended. */
class Leave implements Permit {
  readonly succeed: Effect.Effect<void>
  readonly fail: Permit["fail"]
  readonly ignore: Effect.Effect<void>

  constructor(circuits: Circuits.Circuits, cell: Entry, ticket: number, started: number) {
    const era = cell.era
    cell.running += 1
    let told = false
    const say = (outcome: Outcome.Outcome, retryAfter?: Duration.Input): Effect.Effect<void> =>
      Effect.withFiber((fiber) => {
        if (!told) {
          const asked =
            retryAfter === undefined
              ? undefined
              : Duration.millis(Options_.millis("CircuitBreaker.Permit.fail", "retryAfter", retryAfter, { zero: true }))
          told = true
          const now = Time.monotonicMillis(fiber)
          cell.running -= 1
          cell.lastUsed = Math.floor(now)
          circuits.settle(cell, era, ticket, outcome, now - started, now, fiber, asked)
        }
        return Effect.void
      })
    this.succeed = say("success")
    this.fail = (options) => say("failure", options?.retryAfter)
    this.ignore = say("ignored")
  }
}

const statics = <Self, O>(service: Context.Service<Self, CircuitBreaker<O>>): CircuitBreaker<O, Self> => {
  const inContext = Protecting.inContext(service)
  const protect = Protecting.by(where, (self, told) => new Call(undefined, service, self, told))
  return {
    // The implementation handles effects of any type; the interface says which ones.
    protect: protect as unknown as Protect<O, Self>,
    fn: Protecting.fn(where, protect) as unknown as Fn<O, Self>,
    acquire: inContext.call((breaker) => breaker.acquire),
    state: inContext.call((breaker) => breaker.state),
    states: inContext.effect((breaker) => breaker.states),
    events: inContext.stream((breaker) => breaker.events),
    transitions: inContext.stream((breaker) => breaker.transitions),
    control: {
      isolate: inContext.call((breaker) => breaker.control.isolate),
      close: inContext.call((breaker) => breaker.control.close),
      reset: inContext.call((breaker) => breaker.control.reset),
      disable: inContext.call((breaker) => breaker.control.disable),
      enable: inContext.call((breaker) => breaker.control.enable)
    },
    export: inContext.effect((breaker) => breaker.export),
    hydrate: inContext.call((breaker) => breaker.hydrate)
  }
}

/**
 * The statics of a breaker's service class.
 *
 * @category models
 * @since 0.1.0
 */
export interface Class<Self, Id extends string, O extends Options>
  extends Context.ServiceClass<Self, Id, CircuitBreaker<O>>,
    CircuitBreaker<O, Self> {
  /** The breaker with the options of the class. */
  readonly layer: Layer.Layer<Self>
  /**
   * The breaker with options from `Config` over those of the class: all of them below a path, or those you name.
   */
  readonly layerConfig: (config: ConfigOf.Source<ConfigOf.CircuitSettings>) => Layer.Layer<Self, Config.ConfigError>
}

/**
 * A circuit breaker as a service: declare it once as a class, provide its layer in the app, and protect effects with it
 * anywhere. An effect that it protects requires it, so forgetting the layer does not compile.
 *
 * **Details** Throws a `RangeError` at once when an option is out of range. For the options see {@link Options}.
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
    options?: O & Options & NoOther<O, Options>
  ): Named<Self, "CircuitBreaker", Class<Self, Id, O>> => {
    const given: Options = options ?? {}
    check(id, given)
    const key = Context.Service<Self, CircuitBreaker<O>>()(id)
    const members: Omit<Class<Self, Id, O>, keyof Context.ServiceClass<Self, Id, CircuitBreaker<O>>> = {
      ...statics<Self, O>(key),
      ...ConfigOf.layers(key, given, ConfigOf.CircuitSettings, ConfigOf.circuit, (options, hub) =>
        makeWith<O>(id, options, hub)
      )
    }
    return Object.assign(key, members) as unknown as Named<Self, "CircuitBreaker", Class<Self, Id, O>>
  }
