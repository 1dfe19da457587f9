/**
 * Lists the policies that live in a program: what each is called, how it is set, what it does, and how to operate it.
 *
 * Every policy, breaker, bulkhead, rate limit, budget and stale fallback enters the registry when it is created, by `make` or by a layer.
 * Metrics, health, dashboards and operators read it. A call never does.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Bulkhead from "./Bulkhead.ts"
import * as Change from "./Change.ts"
import type * as CircuitBreaker from "./CircuitBreaker.ts"
import type * as Event from "./Event.ts"
import * as Changes from "./engine/changes.ts"
import * as Instances from "./engine/instances.ts"
import { tunedOf } from "./engine/retune.ts"
import type * as Policy from "./Policy.ts"
import type * as RateLimit from "./RateLimit.ts"
import type * as RetryBudget from "./RetryBudget.ts"
import * as Broadcast from "./runtime/broadcast.ts"
import * as Time from "./runtime/clock.ts"
import { attempt, messageOf } from "./runtime/read.ts"
import type * as Stats from "./Stats.ts"
import type { RestoreOptions } from "./Types.ts"

/**
 * What a policy is: the module that created it.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = Change.Kind

/**
 * The snapshot of a policy of any kind.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot =
  | Policy.Snapshot
  | CircuitBreaker.Snapshot
  | RetryBudget.Snapshot
  | Bulkhead.Snapshot
  | RateLimit.Snapshot

/**
 * One live policy.
 *
 * **Details** The entry keeps the policy from being collected, so do not keep entries: read {@link all} again.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly name: string
  readonly kind: Kind
  /**
   * Its number among the policies of its name in this registry, from 1. A policy that was created again (in a second runtime,
   * after a hot reload) has the next number.
   */
  readonly instance: number
  /**
   * The settings, defaults filled in: those of a policy under `retry`, `budget`, `breaker` and so on, durations in milliseconds.
   * What has no limit is left out, and so are functions. A schedule that is no `Retry.backoff` is `"custom"`.
   */
  readonly settings: Schema.JsonObject
  /** The stats of every key in memory. */
  readonly stats: Effect.Effect<ReadonlyArray<Stats.Stats>>
  /** The durations of its attempts since it was created, as a histogram; `undefined` for a kind that makes no attempts. */
  readonly durations: Effect.Effect<Stats.Durations> | undefined
  /** What its fleet has told, as `policy.fleet`; it yields `undefined` for a policy that shares nothing. */
  readonly fleet: Effect.Effect<Stats.Fleet | undefined>
  /** Its events, from the moment the stream is run; those of a stale fallback are in `Event.stream` only. */
  readonly events: Stream.Stream<Event.Event>
  /** The commands that the policy has the parts for. `set` takes the values of its kind, as data. */
  readonly control: Control
  /** Its state as data, and how to restore it: of its own kind only. `undefined` for a kind without. */
  readonly snapshot: Effect.Effect<Snapshot> | undefined
  readonly restore: ((snapshot: Snapshot, options?: RestoreOptions) => Effect.Effect<void>) | undefined
}

/**
 * The commands of a policy of any kind.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control extends Partial<Omit<Policy.Control, "set">> {
  /** Changes settings: as data, durations in milliseconds or as text. */
  readonly set?: (values: Schema.JsonObject, why?: Change.Why) => Effect.Effect<Change.Change>
}

/**
 * Emitted when a policy was created, and when it has left: its scope was closed, or it was collected.
 *
 * @category models
 * @since 0.1.0
 */
export interface Registration {
  readonly _tag: "Registered" | "Unregistered"
  readonly name: string
  readonly kind: Kind
  readonly instance: number
}

/**
 * Lists the policies of one program.
 *
 * @category services
 * @since 0.1.0
 */
export interface Registry {
  readonly [RegistryTypeId]: typeof RegistryTypeId
}

/**
 * The property key that identifies a registry.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const RegistryTypeId: "~effect-resilience/Policies/Registry" = Instances.TypeId

/**
 * The registry that policies enter when they are created. By default the process has one.
 *
 * **When to use** To keep two programs in one process apart, or two tests: see {@link layer}.
 *
 * @category services
 * @since 0.1.0
 */
// What a registry holds is no concern of its users: outside the engine the type is opaque.
export const CurrentRegistry = Instances.Current as unknown as Context.Reference<Registry>

/**
 * Creates an empty registry.
 *
 * @category services
 * @since 0.1.0
 */
export const makeRegistry = (): Registry => new Instances.Instances()

/**
 * An empty registry for the layers and effects below it.
 *
 * **Example** (Two programs that have a policy of one name)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Policies, Policy } from "effect-resilience"
 *
 * class Search extends Policy.Service<Search>()("app/Search", { timeout: "1 second" }) {}
 *
 * const names = Effect.map(Policies.all, (entries) => entries.map((entry) => entry.name))
 * const live = Search.layer.pipe(Layer.provideMerge(Policies.layer))
 * await Effect.runPromise(names.pipe(Effect.provide(live))) // => ["app/Search"]
 * await Effect.runPromise(names.pipe(Effect.provide(Policies.layer))) // => []
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const layer: Layer.Layer<never> = Layer.fresh(Layer.sync(CurrentRegistry, makeRegistry))

/** The members that kinds have in common, where they have them. */
interface Members {
  readonly allStats?: Effect.Effect<ReadonlyArray<Stats.Stats>>
  readonly durations?: Effect.Effect<Stats.Durations>
  readonly fleet?: Effect.Effect<Stats.Fleet | undefined>
  readonly events?: Stream.Stream<Event.Event>
  readonly control?: Control
  readonly resize?: Policy.Control["resize"]
  readonly snapshot?: Effect.Effect<Snapshot>
  readonly restore?: (snapshot: Snapshot, options?: RestoreOptions) => Effect.Effect<void>
}

const none: Effect.Effect<ReadonlyArray<Stats.Stats>> = Effect.succeed([])

/** The commands that the policy has the parts for. */
const controlOf = ({ control, resize }: Members, desk: Changes.Desk | undefined): Control => {
  const all = Object.entries({ ...(resize === undefined ? {} : { resize }), ...control })
  return Object.fromEntries(all.filter(([action]) => desk?.has(action as Changes.GivenAction)))
}

/** @internal */
export const toEntry = ({ desk, kind, name, number, policy, settings }: Instances.Instance): ReadonlyArray<Entry> => {
  // What is registered are the members that `make` returns.
  const members = policy() as Members | undefined
  if (members === undefined) return []
  const { allStats = none, durations, events = Stream.empty, fleet = Effect.undefined, restore, snapshot } = members
  return [
    {
      name,
      kind,
      instance: number,
      settings,
      stats: allStats,
      durations,
      fleet,
      events,
      control: controlOf(members, desk()),
      snapshot,
      restore
    }
  ]
}

/**
 * Every live policy, in the order in which they were created.
 *
 * **Details** A policy is listed until the scope in which it was created closes (that of its layer, or the one around `make`).
 * One that was created in no scope is listed until it is garbage-collected.
 *
 * **Example** (What lives here)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policies, Policy } from "effect-resilience"
 *
 * class Search extends Policy.Service<Search>()("app/Search", { timeout: "1 second", bulkhead: { maxConcurrent: 5 } }) {}
 *
 * const program = Effect.gen(function*() {
 *   const [search] = yield* Policies.all
 *   return search?.settings["timeout"]
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Search.layer))) // => 1000
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const all: Effect.Effect<ReadonlyArray<Entry>> = Effect.map(Instances.current, ({ all }) => all.flatMap(toEntry))

/**
 * The live policy of a name; the one that was created last if there are several.
 *
 * @category getters
 * @since 0.1.0
 */
export const find = (name: string): Effect.Effect<Option.Option<Entry>> =>
  Effect.map(Instances.current, (known) => Option.fromUndefinedOr(known.named(name).flatMap(toEntry).at(-1)))

/** Registrations buffered per stream before it loses the oldest. */
const capacity = 1024

/**
 * Arrivals and departures, from the moment the stream is run.
 *
 * @category streams
 * @since 0.1.0
 */
export const registrations: Stream.Stream<Registration> = Stream.unwrap(
  Effect.map(Instances.current, ({ listeners }) =>
    Broadcast.subscribe<Instances.Change, Registration>(listeners, {
      capacity,
      select: ({ _tag, instance: { kind, name, number } }) => ({ _tag, name, kind, instance: number })
    })
  )
)

// ---------------------------------------------------------------------------------------------------------------------
// Changes
// ---------------------------------------------------------------------------------------------------------------------

const ledger: Effect.Effect<Changes.Ledger> = Effect.map(Instances.current, (known) => known.ledger)

/**
 * The record of the commands that were given to the policies of the program, the oldest first.
 *
 * **Details** A command of every kind adds a line, also one that altered nothing, and so does what ends a change: an undo, or its
 * expiry. Lines are never changed. The last 1,000 are kept, and those of changes that hold.
 *
 * **Example** (Who did what)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policies, Policy } from "effect-resilience"
 *
 * class Search extends Policy.Service<Search>()("app/Search", { breaker: {} }) {}
 *
 * const program = Effect.gen(function*() {
 *   yield* Search.control.isolate({ by: "ann", reason: "INC-7", for: "30 minutes" })
 *   return (yield* Policies.changes).map(({ action, by, policy, reason }) => `${by}: ${action} ${policy}, ${reason}`)
 * })
 * const live = Search.layer
 * await Effect.runPromise(program.pipe(Effect.provide(live))) // => ["ann: isolate app/Search, INC-7"]
 * ```
 *
 * @category changes
 * @since 0.1.0
 */
export const changes: Effect.Effect<ReadonlyArray<Change.Change>> = Effect.map(ledger, ({ all }) => all)

/**
 * The changes that hold now, the oldest first: circuits isolated, disabled or opened by a command, permits, modes and settings that
 * are not those of the code.
 *
 * **Details** A change no longer holds when it was undone, when it has expired, when a later `close`, `reset`, `enable` or `open`
 * of its circuit has ended it, and when its policy has left. One that a later change only covers still holds: it shows again when
 * the later one ends.
 *
 * @category changes
 * @since 0.1.0
 */
export const inForce: Effect.Effect<ReadonlyArray<Change.Change>> = Effect.flatMap(ledger, (ledger) =>
  Time.withNow((now) => ledger.inForce(now))
)

/**
 * Takes a change back: its policy is what it would be without it. Returns the line that records the undo.
 *
 * **Details** Changes may be undone in any order. A circuit becomes what it was, with its trip state, its openings in a row and the
 * moment when its open time ends; time has passed meanwhile, so an open time that would be over is over. Results of calls that began
 * before change nothing. If another change came later on the same circuit, the circuit stays as that one has set it.
 *
 * Fails with `Change.NotUndone` when the record has no such change, when it has ended already, and when it is itself an undo or an
 * expiry. Throws a `RangeError` at once when `by` or `reason` is too long or no single line.
 *
 * **Example** (An isolation that was a mistake)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policies, Policy } from "effect-resilience"
 *
 * class Search extends Policy.Service<Search>()("app/Search", { breaker: {} }) {}
 *
 * const program = Effect.gen(function*() {
 *   const change = yield* Search.control.isolate({ by: "ann", reason: "wrong cluster" })
 *   yield* Policies.undo(change.id, { by: "ann" })
 *   return (yield* Search.stats()).circuit?._tag
 * })
 * const live = Search.layer
 * await Effect.runPromise(program.pipe(Effect.provide(live))) // => "closed"
 * ```
 *
 * @category changes
 * @since 0.1.0
 */
export const undo = (
  id: number,
  why: Pick<Change.Why, "by" | "reason"> = {}
): Effect.Effect<Change.Change, Change.NotUndone> => {
  const run = Changes.undo(id, why)
  return Effect.flatMap(ledger, run)
}

/**
 * Gives a command that comes as data, from a console or a command line: it is checked, and nothing is created.
 *
 * **Details** The name of a policy that does not live here, and a key that is not in memory, are refused. So are values out of
 * range, an action that the policy does not have the part for, a `by` that is empty, `"config"` or longer than 100 characters, a `reason`
 * longer than 500, and one that is no single line. If several live policies have the name, the command applies to all of them, or to none
 * if one refuses it; each has a line of its own in the record, and the last one is returned. `instance` chooses one of them.
 *
 * @category changes
 * @since 0.1.0
 */
export const command = (
  name: string,
  command: Change.Command
): Effect.Effect<Change.Change, Change.UnknownPolicy | Change.UnknownKey | Change.RefusedCommand> =>
  Effect.flatMap(Instances.current, (known): Commanded => {
    // What is no data may throw when it is read.
    const decoded = attempt(() => decodeCommand(command), undefined)
    if (decoded === undefined || Result.isFailure(decoded)) {
      const problem = decoded?.failure.message ?? "the command cannot be read as data"
      return Effect.fail(new Change.RefusedCommand({ policy: name, problem }))
    }
    const data = decoded.success
    const desks = known
      .named(name)
      .filter(({ number }) => data.instance === undefined || number === data.instance)
      .flatMap(({ desk }) => desk() ?? [])
    if (desks.length > 0) return Changes.runCommand(name, desks, data)
    const instance = data.instance === undefined ? {} : { instance: data.instance }
    return Effect.fail(new Change.UnknownPolicy({ policy: name, ...instance }))
  })

type Commanded = Effect.Effect<Change.Change, Change.UnknownPolicy | Change.UnknownKey | Change.RefusedCommand>

/**
 * Which of the policies of a name a preview is for.
 *
 * @category models
 * @since 0.1.0
 */
export interface PreviewOptions {
  /** The number of a policy among those of its name, as in `Entry.instance`. Default: the policy that was created last. */
  readonly instance?: number | undefined
}

/**
 * What values would change if they were set now, field by field, durations in milliseconds. Nothing is changed.
 *
 * **Details** The values are those of `control.set`, as data. Of several live policies of the name it is the one that was created
 * last, or the one with the number `instance`. What `set` would refuse fails with `Change.RefusedCommand`.
 *
 * **Example** (A timeout and a threshold)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policies, Policy } from "effect-resilience"
 *
 * class Search extends Policy.Service<Search>()("app/Search", { breaker: {}, timeout: "1 second" }) {}
 *
 * const program = Policies.preview("app/Search", { timeout: "2 seconds", breaker: { trip: { threshold: 0.5 } } })
 * await Effect.runPromise(program.pipe(Effect.provide(Search.layer))) // => [{ field: "breaker.trip.parts.0.threshold", before: 0.8, after: 0.5 }, { field: "timeout", before: 1000, after: 2000 }]
 * ```
 *
 * @category changes
 * @since 0.1.0
 */
export const preview = (
  name: string,
  values: Schema.JsonObject,
  { instance }: PreviewOptions = {}
): Effect.Effect<ReadonlyArray<Change.Difference>, Change.UnknownPolicy | Change.RefusedCommand> =>
  Effect.flatMap(Instances.current, (known): ReturnType<typeof preview> => {
    const tuned = known
      .named(name)
      .filter(({ number }) => instance === undefined || number === instance)
      .flatMap(({ policy }) => tunedOf(policy()) ?? [])
      .at(-1)
    const which = instance === undefined ? {} : { instance }
    if (tuned === undefined) return Effect.fail(new Change.UnknownPolicy({ policy: name, ...which }))
    const previewed = Result.try(() => tuned.tuner.preview(values))
    if (Result.isSuccess(previewed)) return Effect.succeed(previewed.success)
    return Effect.fail(new Change.RefusedCommand({ policy: name, problem: messageOf(previewed.failure) }))
  })

const decodeCommand = Schema.decodeUnknownResult(Change.Command)
