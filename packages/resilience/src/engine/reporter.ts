/** Emits the events of a policy to its own listeners and to the program's, at no cost when there are none. */
import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Event from "../Event.ts"
import * as Rejection from "../Rejection.ts"
import type * as Broadcast from "../runtime/broadcast.ts"
import * as Time from "../runtime/clock.ts"
import type { AnyFiber } from "../runtime/types.ts"

export class Reporter {
  readonly policy: string
  readonly local: Event.Hub
  /** Called after a circuit has changed its state: what must know of it, and of nothing else, makes no policy create events. */
  watchers: Set<() => void> | undefined
  private readonly localListeners: ReadonlySet<Broadcast.Listener<Event.Event>>
  private readonly globalListeners: ReadonlySet<Broadcast.Listener<Event.Event>>

  constructor(policy: string, local: Event.Hub, program: Event.Hub) {
    this.policy = policy
    this.local = local
    this.watchers = undefined
    Event.countLostIn(local, program)
    this.localListeners = Event.listenersOf(local)
    this.globalListeners = Event.listenersOf(program)
  }

  /** Read before an event is created. */
  get hasListeners(): boolean {
    return this.localListeners.size > 0 || this.globalListeners.size > 0
  }

  /** A circuit has changed its state. */
  changed(): void {
    if (this.watchers !== undefined) for (const watcher of this.watchers) watcher()
  }

  /** `fiber` is that of the call, whose span a listener may add to. */
  emit(event: Event.Event, fiber: AnyFiber): void {
    for (const listener of this.localListeners) listener(event, fiber)
    for (const listener of this.globalListeners) listener(event, fiber)
  }

  rejected(key: string, rejection: Rejection.Rejection, fiber: AnyFiber): void {
    if (!this.hasListeners) return
    this.emit({ _tag: "Rejected", policy: this.policy, key, at: Time.epochMillis(fiber), rejection }, fiber)
  }

  /** A failure that was not counted. Interruptions and rejections are no failures of the dependency. */
  ignored(key: string, cause: Cause.Cause<unknown>, fiber: AnyFiber): void {
    if (!this.hasListeners) return
    if (!cause.reasons.some((reason) => reason._tag === "Fail" && !Rejection.is(reason.error))) return
    this.emit({ _tag: "FailureIgnored", policy: this.policy, key, at: Time.epochMillis(fiber), failure: cause }, fiber)
  }

  /** A limit has begun, was lowered or lifted; `Infinity` is none. */
  limitChanged(key: string, limit: number, before: number, evidence: Rejection.Evidence, fiber: AnyFiber): void {
    if (!this.hasListeners) return
    const event: Event.LimitChanged = {
      _tag: "LimitChanged",
      policy: this.policy,
      key,
      at: Time.epochMillis(fiber),
      ...(limit === Infinity ? {} : { limit }),
      ...(before === Infinity ? {} : { before }),
      evidence
    }
    this.emit(event, fiber)
  }

  timedOut(key: string, after: Duration.Duration, fiber: AnyFiber): void {
    if (!this.hasListeners) return
    this.emit({ _tag: "TimedOut", policy: this.policy, key, at: Time.epochMillis(fiber), after }, fiber)
  }
}

/** For what only observes: its events reach the listeners of the real policy, marked as what would have happened. */
export class ObservingReporter extends Reporter {
  private readonly real: Reporter
  private readonly candidate: string | undefined

  constructor(real: Reporter, candidate: string | undefined) {
    const own = Event.makeHub()
    super(real.policy, own, own)
    this.real = real
    this.candidate = candidate
  }

  override get hasListeners(): boolean {
    return this.real.hasListeners
  }

  override emit(event: Event.Event, fiber: AnyFiber): void {
    // What decides beside a policy has no candidates and no fleet, and is given no commands of its own.
    switch (event._tag) {
      case "Observed":
      case "Changed":
      case "EventsLost":
      case "BoardLost":
      case "BoardFound":
      case "FleetOpened":
      case "ProbeLeased":
      case "ShareLowered":
      case "RateLowered":
      case "SettingsDiffered":
        return
    }
    const { candidate } = this
    const { at, key, policy } = event
    const observed: Event.Observed = { _tag: "Observed", policy, key, at, event }
    this.real.emit(candidate === undefined ? observed : { ...observed, candidate }, fiber)
  }
}

/** For a policy without a stream of its own: it emits to the program's hub. */
export const reporterOf = (policy: string, fiber: AnyFiber): Reporter =>
  new Reporter(policy, Event.makeHub(), fiber.getRef(Event.CurrentHub))
