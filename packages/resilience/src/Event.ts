/**
 * Reports what policies do: one typed union of events, as a stream per policy and as one stream for all policies.
 *
 * Events are created only while a listener exists. A listener runs in its own fiber behind its own queue, so it may
 * call the policy that it listens to, and a slow listener loses its oldest events instead of delaying calls.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Change } from "./Change.ts"
import type { Evidence, Rejection } from "./Rejection.ts"
import * as Broadcast from "./runtime/broadcast.ts"

interface Base<Tag extends string> {
  readonly _tag: Tag
  /** The name of the policy. */
  readonly policy: string
  /** The key of the call; `"default"` for a call without a key. */
  readonly key: string
  /** Wall time, in milliseconds since the epoch. */
  readonly at: number
}

/**
 * The states of a circuit as users see them.
 *
 * @category models
 * @since 0.1.0
 */
export type CircuitState = "closed" | "open" | "half-open" | "isolated" | "disabled"

/**
 * Emitted when a circuit changed its state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transition extends Base<"Transition"> {
  /** The state before. */
  readonly from: CircuitState
  /** The state now. */
  readonly to: CircuitState
  /**
   * `"tripped"`: the trip policy opened the circuit; `"probes"`: the probes closed or reopened it; `"time"`: the open
   * time was over and a probe was admitted; `"control"`: an operator or a restore; `"fleet"`: the members of a fleet
   * together, see `Shared`.
   */
  readonly cause: "tripped" | "probes" | "time" | "control" | "fleet"
  /** Why the circuit opened; set when `to` is `"open"`, except after a restore from a snapshot without it. */
  readonly evidence?: Evidence
  /** How long the circuit stays open; set when `to` is `"open"`. */
  readonly openFor?: Duration.Duration
  /** The number of the opening in a row, from 1; set when `to` is `"open"`. */
  readonly openings?: number
  /**
   * Time since the circuit left closed, through probes that failed: how long the outage has lasted. Set when `to` or
   * `from` is `"open"` or `"half-open"`.
   */
  readonly unhealthySince?: Duration.Duration
}

/**
 * Emitted when a policy rejected a call, or a deadline ended it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rejected extends Base<"Rejected"> {
  /** The error that the caller gets. */
  readonly rejection: Rejection
}

/**
 * Emitted when a retry was scheduled: the budget is charged, and the next attempt starts after `delay`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryScheduled extends Base<"RetryScheduled"> {
  /** The number of the attempt that failed, from 1. */
  readonly attempt: number
  /** The delay before the next attempt. */
  readonly delay: Duration.Duration
  /** The error of the failed attempt; with `while`, its value. */
  readonly error: unknown
}

/**
 * Why a retry gave up.
 *
 * - `"attempts"`: the schedule ended, or its next delay is infinite.
 * - `"budget"`: the balance of the budget was too low.
 * - `"deadline"`: the delay would have outlasted the deadline, or the deadline ended a later attempt.
 * - `"rejected"`: a policy rejected a later attempt, or its open circuit would have rejected it.
 * - `"retryAfter"`: the dependency asked for a longer delay than `maxRetryAfter`.
 *
 * @category models
 * @since 0.1.0
 */
export type GiveUpReason = "attempts" | "budget" | "deadline" | "rejected" | "retryAfter"

/**
 * Emitted when a retry gave up. The caller gets the last failure of the dependency; with `while`, the last value.
 *
 * @category models
 * @since 0.1.0
 */
export interface GaveUp extends Base<"GaveUp"> {
  /** Why the retry gave up. */
  readonly reason: GiveUpReason
  /** Attempts that started. */
  readonly attempts: number
  /** Time since the first attempt started. */
  readonly elapsed: Duration.Duration
  /** The error that the retry gave up on; with `while`, the value. */
  readonly error: unknown
}

/**
 * Emitted when a failure was classified as `"ignored"`. Not emitted for rejections and interruptions, which always are.
 *
 * @category models
 * @since 0.1.0
 */
export interface FailureIgnored extends Base<"FailureIgnored"> {
  /** The cause with which the call failed. */
  readonly failure: Cause.Cause<unknown>
}

/**
 * Emitted when the balance of a retry budget was too low for a retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetExhausted extends Base<"BudgetExhausted"> {
  /** The tokens: fewer than the retry takes, which is one, or `timeoutCost` after a timeout. */
  readonly balance: number
}

/**
 * Emitted when a timeout ended an attempt.
 *
 * @category models
 * @since 0.1.0
 */
export interface TimedOut extends Base<"TimedOut"> {
  /** The limit of the timeout. */
  readonly after: Duration.Duration
}

/**
 * Emitted when a hedge has ended: the second attempt that was started beside a slow first one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Hedged extends Base<"Hedged"> {
  /**
   * `"won"`: its success is the result of the call. `"lost"`: the first attempt was faster, both failed, or one ended with a defect.
   * `"undecided"`: the call was interrupted, or the policy only observes.
   */
  readonly result: "won" | "lost" | "undecided"
  /** How long the first attempt had run when the hedge started. */
  readonly delay: Duration.Duration
}

/**
 * Emitted when a fallback replaced an error.
 *
 * @category models
 * @since 0.1.0
 */
export interface FallbackUsed extends Base<"FallbackUsed"> {
  /** The error that was replaced. */
  readonly error: unknown
}

/**
 * Emitted when a command was given to a policy, and when one was undone or has expired.
 *
 * @category models
 * @since 0.1.0
 */
export interface Changed extends Base<"Changed"> {
  /** The key; `"(all)"` for a command for every key. */
  readonly key: string
  /** The line of the record. */
  readonly change: Change
}

/**
 * Emitted when an adaptive policy, the `limit` of a bulkhead, or the `recovery` of a breaker began to limit its calls, lowered the limit, or lifted it. A limit that grows emits nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface LimitChanged extends Base<"LimitChanged"> {
  /** Attempts that may be in flight now; not set when the limit was lifted. */
  readonly limit?: number
  /** The limit before; not set when there was none. */
  readonly before?: number
  /** Which rule decided, and on which figures. */
  readonly evidence: Evidence
}

/**
 * Emitted when a policy that shares has heard nothing of its board for 2.5 seconds, or could not reach it from the start: from now on it
 * decides as if it were alone.
 *
 * @category models
 * @since 0.1.0
 */
export interface BoardLost extends Base<"BoardLost"> {
  /** `"(all)"`. */
  readonly key: string
  /** What keeps the board. */
  readonly board: string
}

/**
 * Emitted when a board that was lost has answered again.
 *
 * @category models
 * @since 0.1.0
 */
export interface BoardFound extends Base<"BoardFound"> {
  /** `"(all)"`. */
  readonly key: string
  /** What keeps the board. */
  readonly board: string
  /** Time since it was lost. */
  readonly away: Duration.Duration
}

/**
 * Emitted when the board says that the fleet has opened the circuit of a key; this process need not have called the key.
 *
 * @category models
 * @since 0.1.0
 */
export interface FleetOpened extends Base<"FleetOpened"> {
  /** Time until the opening of the fleet is over. */
  readonly openFor: Duration.Duration
  /** The calls and failures of all members, the witnesses with calls, and those of them with bad evidence. */
  readonly evidence: Evidence
}

/**
 * The member of a fleet that holds the lease for its probes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Prober {
  /** Its name, as in `member` of its own `fleet`: another one each time that the policy is built. */
  readonly member: string
  /** The `witness` that was set for it, such as its host; the name of the member if none was. */
  readonly witness: string
}

/**
 * Emitted when this process was given the lease for the probe of its fleet: its next call of the key is the probe.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProbeLeased extends Base<"ProbeLeased"> {
  /** Time until the lease is over. */
  readonly lease: Duration.Duration
  /** This member, as the others see it in their `fleet`. */
  readonly prober: Prober
}

/**
 * Emitted when this process gives permits of its fleet back because the members want more than there are.
 *
 * @category models
 * @since 0.1.0
 */
export interface ShareLowered extends Base<"ShareLowered"> {
  /** Calls that this process may run now. */
  readonly permits: number
  /** Calls that it might run before. */
  readonly before: number
}

/**
 * Emitted when this process gives a part of the rate of its fleet back because the members want more than there is.
 *
 * @category models
 * @since 0.1.0
 */
export interface RateLowered extends Base<"RateLowered"> {
  /** Calls of this process that may start in each window now. */
  readonly limit: number
  /** Calls that might start in each window before. */
  readonly before: number
}

/**
 * Emitted when members of the fleet have other settings of what is shared, as during a deploy.
 *
 * @category models
 * @since 0.1.0
 */
export interface SettingsDiffered extends Base<"SettingsDiffered"> {
  /** `"(all)"`. */
  readonly key: string
}

/**
 * What a policy that shares emits of its fleet.
 *
 * @category models
 * @since 0.1.0
 */
export type OfFleet = BoardLost | BoardFound | FleetOpened | ProbeLeased | ShareLowered | RateLowered | SettingsDiffered

/**
 * Emitted by a stream that fell behind, in place of the events that it lost. `policy`, `key` and `at` are those of the
 * first of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventsLost extends Base<"EventsLost"> {
  /** The number of events that this stream lost here. */
  readonly count: number
}

/**
 * What enforcement emits of calls and circuits.
 *
 * @category models
 * @since 0.1.0
 */
export type Decided =
  | Transition
  | LimitChanged
  | Rejected
  | RetryScheduled
  | GaveUp
  | FailureIgnored
  | BudgetExhausted
  | TimedOut
  | Hedged
  | FallbackUsed

/**
 * Emitted when a policy in mode `"observe"` would have done something, or when a candidate would have: nothing was done.
 *
 * @category models
 * @since 0.1.0
 */
export interface Observed extends Base<"Observed"> {
  /** What enforcement would have emitted. */
  readonly event: Decided
  /** The name of the candidate; not set when the policy itself observes. */
  readonly candidate?: string
}

/**
 * Every event that a policy emits, and {@link EventsLost}.
 *
 * @category models
 * @since 0.1.0
 */
export type Event = Decided | Changed | Observed | OfFleet | EventsLost

/**
 * The property key that identifies a hub.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const HubTypeId = "~effect-resilience/Event/Hub" as const

/**
 * Distributes events to its listeners. A stream of {@link streamFrom} is a listener while it runs.
 *
 * @category services
 * @since 0.1.0
 */
export interface Hub {
  readonly [HubTypeId]: typeof HubTypeId
}

class HubWithListeners implements Hub {
  readonly [HubTypeId] = HubTypeId
  readonly listeners = new Set<Broadcast.Listener<Event>>()
  /** The hub of the program, for the hub of one policy. */
  program: HubWithListeners | undefined = undefined
  /** Events that streams of this hub have lost, by policy. */
  readonly lost = new Map<string, number>()

  readonly countLost = (event: Event): void => {
    this.lost.set(event.policy, (this.lost.get(event.policy) ?? 0) + 1)
    this.program?.countLost(event)
  }
}

/**
 * Creates a hub without listeners.
 *
 * @category services
 * @since 0.1.0
 */
export const makeHub = (): Hub => new HubWithListeners()

const ofThisModule = (hub: Hub): HubWithListeners => {
  if (hub instanceof HubWithListeners) return hub
  throw new TypeError("Event: this hub was not made by Event.makeHub")
}

/** @internal */
export const listenersOf = (hub: Hub): Set<Broadcast.Listener<Event>> => ofThisModule(hub).listeners

/**
 * The number of events of a policy that streams of this hub have lost; one that two streams have lost counts twice.
 *
 * @internal
 */
export const lostOf = (hub: Hub, policy: string): number => ofThisModule(hub).lost.get(policy) ?? 0

/**
 * Counts what streams of the hub of one policy lose as lost by the program's hub, too.
 *
 * @internal
 */
export const countLostIn = (local: Hub, program: Hub): void => {
  ofThisModule(local).program = ofThisModule(program)
}

/**
 * The hub to which the policies of a program emit.
 *
 * **When to use** To keep the events of two programs, or of two tests, apart: provide a hub from {@link makeHub}.
 *
 * **Details** A policy that is created (by `make` or a layer) emits to the hub that it finds at its creation. A
 * combinator such as `Retry.transient` or `Timeout.after` looks the hub up on each call. By default the process has one
 * hub.
 *
 * @category services
 * @since 0.1.0
 */
export const CurrentHub = Context.Reference<Hub>("effect-resilience/Event/CurrentHub", { defaultValue: makeHub })

/** Events buffered per listener before it loses the oldest. */
const capacity = 1024

/**
 * Creates a stream of the events of a hub, from the moment the stream is run.
 *
 * **Details** Up to 1,024 events are buffered per stream. A stream that falls further behind loses the oldest events, and
 * emits {@link EventsLost} in their place.
 *
 * When the scope closes in which the stream was forked, the events that were emitted before are still handled, as long as
 * the handler does not wait: for time or for an answer from outside the scope does not stay open.
 *
 * @category streams
 * @since 0.1.0
 */
export const streamFrom = (hub: Hub): Stream.Stream<Event> =>
  Stream.suspend(() =>
    Broadcast.subscribe<Event, Event>(listenersOf(hub), {
      capacity,
      select: (event) => event,
      onLost: ofThisModule(hub).countLost,
      lost: ({ at, key, policy }, count) => ({ _tag: "EventsLost", policy, key, at, count })
    })
  )

/**
 * What `select` returns of the events of a hub. Other events take no room in its buffer.
 *
 * @internal
 */
export const selectFrom = <A extends Event>(hub: Hub, select: (event: Event) => A | undefined): Stream.Stream<A> =>
  Stream.suspend(() =>
    Broadcast.subscribe<Event, A>(listenersOf(hub), { capacity, select, onLost: ofThisModule(hub).countLost })
  )

/**
 * The transitions of a hub: a flood of rejections costs none.
 *
 * @internal
 */
export const transitionsFrom = (hub: Hub): Stream.Stream<Transition> =>
  selectFrom(hub, (event) => (event._tag === "Transition" ? event : undefined))

/**
 * The events of all policies of the program, from the moment the stream is run.
 *
 * **Details** It reads {@link CurrentHub} when it is run. For its buffer see {@link streamFrom}.
 *
 * **Example** (Logging transitions)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Event } from "effect-resilience"
 *
 * const log = Event.stream.pipe(
 *   Stream.filter((event) => event._tag === "Transition"),
 *   Stream.runForEach((event) => Effect.log(`${event.policy}: ${event.from} -> ${event.to}`))
 * )
 * const program = Effect.forkChild(log)
 * ```
 *
 * @category streams
 * @since 0.1.0
 */
export const stream: Stream.Stream<Event> = Stream.unwrap(Effect.map(CurrentHub, streamFrom))

/**
 * Returns how many events the streams of the program have lost because they fell behind, since its hub was created.
 *
 * **Details** It reads {@link CurrentHub}. It counts the losses of all streams together: those of {@link stream}, and those of
 * the `events` and `transitions` of the policies that emit to this hub. An event that two streams lost counts twice. In place
 * of what it lost a stream emits {@link EventsLost}.
 *
 * **Example** (A healthy program loses none)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Event } from "effect-resilience"
 *
 * await Effect.runPromise(Event.lost) // => 0
 * ```
 *
 * @category streams
 * @since 0.1.0
 */
export const lost: Effect.Effect<number> = Effect.map(CurrentHub, (hub) =>
  Array.from(ofThisModule(hub).lost.values()).reduce((sum, count) => sum + count, 0)
)
