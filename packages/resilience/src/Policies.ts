/**
 * Lists the policies that live in a program: what each is called, how it is set, what it does, and how to operate it.
 *
 * Every policy, breaker, bulkhead, budget and stale fallback enters the registry when it is created, by `make` or by a layer.
 * Metrics, health, dashboards and operators read it. A call never does.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Bulkhead from "./Bulkhead.ts"
import type * as CircuitBreaker from "./CircuitBreaker.ts"
import type * as Event from "./Event.ts"
import * as Instances from "./engine/instances.ts"
import type * as Policy from "./Policy.ts"
import type * as RetryBudget from "./RetryBudget.ts"
import * as Broadcast from "./runtime/broadcast.ts"
import type * as Stats from "./Stats.ts"
import type { RestoreOptions } from "./Types.ts"

/**
 * What a policy is: the module that created it.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind = "Policy" | "CircuitBreaker" | "Bulkhead" | "RetryBudget" | "StaleFallback" | "TokenBudget"

/**
 * The snapshot of a policy of any kind.
 *
 * @category models
 * @since 0.1.0
 */
export type Snapshot = Policy.Snapshot | CircuitBreaker.Snapshot | RetryBudget.Snapshot | Bulkhead.Snapshot

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
  /** Its events, from the moment the stream is run; those of a stale fallback are in `Event.stream` only. */
  readonly events: Stream.Stream<Event.Event>
  /** The commands that this kind has. */
  readonly control: Partial<Policy.Control>
  /** Its state as data, and how to restore it: of its own kind only. `undefined` for a kind without. */
  readonly snapshot: Effect.Effect<Snapshot> | undefined
  readonly restore: ((snapshot: Snapshot, options?: RestoreOptions) => Effect.Effect<void>) | undefined
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
  readonly events?: Stream.Stream<Event.Event>
  readonly control?: Partial<Policy.Control>
  readonly resize?: Policy.Control["resize"]
  readonly snapshot?: Effect.Effect<Snapshot>
  readonly restore?: (snapshot: Snapshot, options?: RestoreOptions) => Effect.Effect<void>
}

const none: Effect.Effect<ReadonlyArray<Stats.Stats>> = Effect.succeed([])

/** @internal */
export const toEntry = ({ kind, name, number, policy, settings }: Instances.Instance): ReadonlyArray<Entry> => {
  // What is registered are the members that `make` returns.
  const members = policy() as Members | undefined
  if (members === undefined) return []
  const { allStats = none, control, durations, events = Stream.empty, resize, restore, snapshot } = members
  return [
    {
      name,
      kind,
      instance: number,
      settings,
      stats: allStats,
      durations,
      events,
      control: control ?? (resize === undefined ? {} : { resize }),
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
