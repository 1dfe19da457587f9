/**
 * What policies do, as it happens: one typed union, as a stream per policy and one for all policies of a program.
 *
 * An event is made only while somebody listens. A listener runs in its own fiber, behind a queue of its own, so it may
 * call the policy it listens to, and a slow one loses its own oldest events instead of holding up a call.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { Evidence, Rejection } from "./Rejection.ts"

interface Base<Tag extends string> {
  readonly _tag: Tag
  /** The policy's name. */
  readonly policy: string
  /** The key of the call; `"default"` when it named none. */
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
 * A circuit changed its state.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transition extends Base<"Transition"> {
  readonly from: CircuitState
  readonly to: CircuitState
  /** `"tripped"`: enough evidence; `"probes"`: the probes decided; `"time"`: the open time was over; `"control"`: an operator. */
  readonly cause: "tripped" | "probes" | "time" | "control"
  /** What the circuit had seen, when it opened. */
  readonly evidence?: Evidence
  /** How long it stays open, when it opened. */
  readonly openFor?: Duration.Duration
  /** Which opening in a row it is, when it opened: 1 after a healthy stretch. */
  readonly openings?: number
}

/**
 * A policy refused a call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rejected extends Base<"Rejected"> {
  readonly rejection: Rejection
}

/**
 * A retry was decided: its price is paid, and it follows after `delay`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RetryScheduled extends Base<"RetryScheduled"> {
  /** Attempts made so far. */
  readonly attempt: number
  readonly delay: Duration.Duration
  readonly error: unknown
}

/**
 * Why a retry gave up: no attempts left, no budget, no time before the deadline, a later attempt was rejected by a
 * policy, or the dependency asked for a longer pause than allowed.
 *
 * @category models
 * @since 0.1.0
 */
export type GiveUpReason = "attempts" | "budget" | "deadline" | "rejected" | "retryAfter"

/**
 * A retry gave up; the caller gets the last real failure.
 *
 * @category models
 * @since 0.1.0
 */
export interface GaveUp extends Base<"GaveUp"> {
  readonly reason: GiveUpReason
  readonly attempts: number
  readonly elapsed: Duration.Duration
  readonly error: unknown
}

/**
 * A failure was not counted, because it says nothing about the dependency.
 *
 * @category models
 * @since 0.1.0
 */
export interface FailureIgnored extends Base<"FailureIgnored"> {
  readonly failure: Cause.Cause<unknown>
}

/**
 * A retry budget had nothing left for a retry.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetExhausted extends Base<"BudgetExhausted"> {
  /** What is left, in fractions of one retry. */
  readonly balance: number
}

/**
 * An attempt took too long and was interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export interface TimedOut extends Base<"TimedOut"> {
  readonly after: Duration.Duration
}

/**
 * A fallback answered in place of the dependency.
 *
 * @category models
 * @since 0.1.0
 */
export interface FallbackUsed extends Base<"FallbackUsed"> {
  readonly error: unknown
}

/**
 * Everything that policies tell.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | Transition
  | Rejected
  | RetryScheduled
  | GaveUp
  | FailureIgnored
  | BudgetExhausted
  | TimedOut
  | FallbackUsed

/**
 * The key of a hub's mark.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const HubTypeId = "~effect-resilience/Event/Hub" as const

/**
 * Distributes events to its listeners, which are streams ({@link streamFrom}).
 *
 * @category services
 * @since 0.1.0
 */
export interface Hub {
  readonly [HubTypeId]: typeof HubTypeId
}

/** A listener runs inside a call: it must neither throw nor call a policy. The streams of this module only enqueue. */
type Listener = (event: Event) => void

class HubWithListeners implements Hub {
  readonly [HubTypeId] = HubTypeId
  readonly listeners = new Set<Listener>()
}

/**
 * Creates a hub without listeners.
 *
 * @category services
 * @since 0.1.0
 */
export const makeHub = (): Hub => new HubWithListeners()

/** @internal */
export const listenersOf = (hub: Hub): Set<Listener> => {
  if (hub instanceof HubWithListeners) return hub.listeners
  throw new TypeError("Event: this hub was not made by Event.makeHub")
}

/**
 * The hub of the program: every policy reports to the one it finds here when it is made. One for the process by default;
 * provide another to keep two programs (or two tests) apart.
 *
 * @category services
 * @since 0.1.0
 */
export const CurrentHub = Context.Reference<Hub>("effect-resilience/Event/CurrentHub", { defaultValue: makeHub })

/** Events that one listener may lag behind before it loses the oldest. */
const lag = 1024

/**
 * The events of a hub, from the moment the stream is run.
 *
 * @category streams
 * @since 0.1.0
 */
export const streamFrom = (hub: Hub): Stream.Stream<Event> =>
  Stream.callback<Event>(
    (queue) =>
      Effect.acquireRelease(
        Effect.sync(() => {
          const listener = (event: Event): void => {
            Queue.offerUnsafe(queue, event)
          }
          listenersOf(hub).add(listener)
          return listener
        }),
        (listener) => Effect.sync(() => listenersOf(hub).delete(listener))
      ),
    { bufferSize: lag, strategy: "sliding" }
  )

/**
 * The events of all policies of the program, from the moment the stream is run.
 *
 * **Details** A listener that lags more than 1,024 events behind loses the oldest.
 *
 * **Example** (Watching everything)
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
