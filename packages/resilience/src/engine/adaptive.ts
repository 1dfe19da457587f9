/**
 * The adaptive part of a policy at run time: the machine with its line of waiting calls, its timers, rejections and events. It stands
 * in the place of the permits, and where it paces calls its key is seen as an open circuit.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import { viewOf, whyOf } from "../ConcurrencyLimit.ts"
import type * as Event from "../Event.ts"
import * as Machine from "../machine/Adaptive.ts"
import * as Limit from "../machine/adaptive/Limit.ts"
import { mostProbes } from "../machine/adaptive/Pacing.ts"
import * as RetryCost from "../machine/adaptive/RetryCost.ts"
import { need } from "../machine/adaptive/State.ts"
import * as Waiting from "../machine/adaptive/Waiting.ts"
import * as Circuit from "../machine/Circuit.ts"
import * as Queue from "../machine/Queue.ts"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import type { Past } from "./counters.ts"
import { rankOf } from "./criticality.ts"
import type { Reporter } from "./reporter.ts"
import * as Slices from "./slices.ts"
import * as Snapshots from "./snapshots.ts"
import type { Sums } from "./sums.ts"

export interface AdaptiveSettings {
  /** Whether calls wait for which there is no room. */
  readonly wait: boolean
}

type Refusal = Effect.Effect<never, Rejection.CircuitOpen | Rejection.BulkheadFull>
/** How a wait ends: with a rejection, or the call goes on. */
type WaitEnd = Refusal | Effect.Effect<void>

/** An attempt as the machine sees it, and its place in the line. */
export class Ticket extends Machine.Flight {
  /** The machine counts it as in flight. */
  held = false
  isFirst = false
  /** Its class; read only while calls are limited or paced. */
  rank = Queue.usual
  /** Its entry in the line, also after it has left the line. */
  waiter: Waiting.Waiter<Ticket> | undefined = undefined
  /** Ends the wait: with a place, or with a rejection. */
  wake: ((end?: WaitEnd) => void) | undefined = undefined
  /** Of a call that left the line without a place before its fiber was there to be woken. */
  waitEnd: WaitEnd | undefined = undefined
  /** The fiber that waits. */
  fiber: AnyFiber | undefined = undefined
  /** How it ended, for its retry. */
  how: RetryCost.Failed["how"] = "failed"
  latency = 0
}

/** What has been reported of a key. */
class Reported {
  mode: Machine.Mode = Machine.Free
  changedAt = Number.NEGATIVE_INFINITY
  limit = Number.POSITIVE_INFINITY
  why: Rejection.Evidence | undefined = undefined
  /** When the mode began, and how long the circuit of the key had been closed then. */
  since = 0
  closedBefore = 0
}

/** The state of a key with its line. */
export class AdaptiveState extends Machine.State {
  declare line: Waiting.Line<Ticket> | undefined
  declare cancelTimer: (() => void) | undefined
  /** When the timer fires. */
  declare firesAt: number
  /** Nothing until the first trouble. */
  declare reported: Reported | undefined

  constructor() {
    super()
    this.line = undefined
    this.cancelTimer = undefined
    this.firesAt = Infinity
    this.reported = undefined
  }
}

/** A key of a policy. */
export interface AdaptiveCell extends Circuit.Circuit<unknown> {
  readonly key: string
  adaptive: AdaptiveState | undefined
  /** Where rejections and openings are counted. */
  readonly history: Past
}

/** Milliseconds for which the circuit of a key was closed. */
const closedFor = (cell: AdaptiveCell, now: number): number => Circuit.timeIn(cell, now)[Circuit.Closed]!

/** A mode begins. */
const begin = (reported: Reported, cell: AdaptiveCell, now: number): void => {
  reported.since = now
  reported.closedBefore = closedFor(cell, now)
}

/** An attempt. */
export interface AdaptiveHolder {
  /** Created for its first call. */
  ticket: Ticket | undefined
  startedAt: number
}

interface AdaptiveCells {
  readonly ensure: (key: string, now: number) => AdaptiveCell
}

/** What a snapshot has of a key. Times are in milliseconds. */
interface AdaptiveKeySnapshot {
  readonly key: string
  readonly mean: number
  readonly late: number
  readonly inFlight: number
  readonly calls: number
  readonly tokens: number
  /** Set while calls are paced: the gap between probes, and the age of the outage. */
  readonly gap?: number
  readonly down?: number
  readonly failing?: boolean
  /** The evidence: failures in a row, and the shares of late answers and of attempts without an answer. */
  readonly failures?: number
  readonly lateNow?: number
  readonly noAnswer?: number
}

export interface AdaptiveSnapshot {
  readonly keys: ReadonlyArray<AdaptiveKeySnapshot>
}

const stateOf = (cell: AdaptiveCell): AdaptiveState => {
  cell.adaptive ??= new AdaptiveState()
  return cell.adaptive
}

export class Adaptive {
  private limits: Machine.Limits
  private wait: boolean
  private readonly reporter: Reporter
  /** Called when a key may admit a call that it did not; set while calls watch for it. */
  onFree: ((cell: AdaptiveCell) => void) | undefined

  constructor({ wait }: AdaptiveSettings, limits: Machine.Limits, reporter: Reporter) {
    this.wait = wait
    this.limits = limits
    this.reporter = reporter
    this.onFree = undefined
  }

  retune({ wait }: AdaptiveSettings, limits: Machine.Limits): void {
    this.wait = wait
    this.limits = limits
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Calls
  // -------------------------------------------------------------------------------------------------------------------

  /** When a call that started at `startedAt` has to have ended, as far as is known. */
  due(startedAt: number, deadline: number): number {
    return deadline === Infinity ? startedAt + this.limits.deadline : deadline
  }

  /** Sends an attempt. Returns `undefined` if it may go now; otherwise its wait, which fails with a rejection. */
  acquire(
    cell: AdaptiveCell,
    holder: AdaptiveHolder,
    isFirst: boolean,
    due: number,
    fiber: AnyFiber
  ): Effect.Effect<void, Rejection.BulkheadFull | Rejection.CircuitOpen> | undefined {
    if (cell.phase === Circuit.Disabled) return undefined
    const { limits } = this
    const state = stateOf(cell)
    const now = holder.startedAt
    const chance = fiber.getRef(Random.Random)
    if (isFirst) Machine.came(state, limits, now, chance)
    else Machine.look(state, limits, now, chance)
    if (state.control !== undefined) this.follow(cell, state, now, fiber)
    holder.ticket ??= new Ticket()
    const { ticket } = holder
    ticket.isFirst = isFirst
    ticket.waiter = undefined
    if (Machine.modeOf(state) !== Machine.Free && !this.admits(state, ticket, now, fiber)) {
      return this.enter(cell, state, ticket, now, due, fiber)
    }
    this.send(state, ticket, now, due, chance)
    return undefined
  }

  /** Calls are limited or paced: the more important ones come first. */
  private admits(state: AdaptiveState, ticket: Ticket, now: number, fiber: AnyFiber): boolean {
    const rank = rankOf(fiber)
    ticket.rank = rank
    if (state.line !== undefined && Waiting.isBehind(state.line, rank)) return false
    return Machine.admits(state, now, Queue.shares[rank], rank < Queue.usual)
  }

  private send(state: AdaptiveState, ticket: Ticket, now: number, due: number, chance: Machine.Chance): void {
    const { timeout } = this.limits
    ticket.held = true
    Machine.sent(state, ticket, now, ticket.isFirst, due - now >= timeout / 2, chance)
  }

  /** There is no room: waits, or is refused. */
  private enter(
    cell: AdaptiveCell,
    state: AdaptiveState,
    ticket: Ticket,
    now: number,
    due: number,
    fiber: AnyFiber
  ): Effect.Effect<void, Rejection.BulkheadFull | Rejection.CircuitOpen> {
    const { control } = state
    if (control === undefined || !this.wait) return this.reject(cell, state, "full", now, fiber)
    const until = Waiting.until(state, control, this.limits, now, due, ticket.rank)
    if (until <= now) return this.reject(cell, state, "deadline", now, fiber)
    state.line ??= Waiting.makeLine()
    ticket.waiter = Waiting.join(state.line, ticket, due, ticket.rank, (lower) =>
      this.endWait(lower.value, this.reject(cell, state, "full", now, fiber))
    )
    if (ticket.waiter === undefined) return this.reject(cell, state, "full", now, fiber)
    ticket.waitEnd = undefined
    ticket.fiber = fiber
    if (control.mode === Machine.Paced) this.arm(cell, state, now)
    return this.queued(cell, state, ticket, until - now, fiber)
  }

  private queued(
    cell: AdaptiveCell,
    state: AdaptiveState,
    ticket: Ticket,
    limit: number,
    fiber: AnyFiber
  ): Effect.Effect<void, Rejection.BulkheadFull | Rejection.CircuitOpen> {
    return Effect.callback((resume) => {
      if (ticket.held) return resume(Effect.void)
      if (ticket.waitEnd !== undefined) return resume(ticket.waitEnd)
      const { waiter } = ticket
      const cancel = Timer.start(fiber, limit, () => {
        ticket.wake = undefined
        if (waiter === undefined || state.line === undefined || !Waiting.leave(state.line, waiter)) return
        const now = Time.monotonicMillis(fiber)
        // What is left is less than a call takes.
        const isLast = now + need(state) >= waiter.due - 1e-3
        resume(this.reject(cell, state, isLast ? "deadline" : "wait", now, fiber))
      })
      ticket.wake = (end = Effect.void) => {
        ticket.wake = undefined
        cancel()
        fiber.currentDispatcher.scheduleTask(() => resume(end), 0)
      }
      return Effect.sync(() => {
        ticket.wake = undefined
        cancel()
      })
    })
  }

  /**
   * Wakes when the next probe is due. The timer runs on a fiber that waits, because one that has ended has the platform's clock and no
   * services. No timer waits for a probe to be late: where caches are cold, it would send a second probe for each that is answered late, and
   * 26 % were lost in place of 12 (seed 301, cold-30).
   */
  private arm(cell: AdaptiveCell, state: AdaptiveState, now: number): void {
    const { control, line } = state
    const fiber = line && Waiting.next(line, this.limits, now)?.value.fiber
    if (control === undefined || fiber === undefined || control.probing >= mostProbes(state)) return
    const at = control.nextAt
    if (state.cancelTimer !== undefined) {
      if (at >= state.firesAt) return
      state.cancelTimer()
      state.cancelTimer = undefined
    }
    state.firesAt = at
    // A hundredth of a millisecond, so that no clock is before that time when the timer fires.
    state.cancelTimer = Timer.start(fiber, Math.max(0, at - now) + 0.01, () => {
      state.cancelTimer = undefined
      const waiting = state.line && Waiting.any(state.line)?.value.fiber
      if (waiting !== undefined) this.admitWaiting(cell, state, Time.monotonicMillis(waiting), waiting)
    })
  }

  /**
   * The attempt was answered, or its work has ended: leaves what it held, and takes what its end says. `endedAt` is when it was answered.
   * Only the first end counts.
   */
  end(
    cell: AdaptiveCell,
    { ticket }: AdaptiveHolder,
    how: Machine.How,
    endedAt: number,
    now: number,
    fiber: AnyFiber
  ): void {
    const state = cell.adaptive
    if (ticket === undefined || state === undefined) return
    if (ticket.held) {
      ticket.held = false
      ticket.latency = endedAt - ticket.at
      ticket.how = how === "timeout" || how === "cut" ? "timeout" : how === "overloaded" ? how : "failed"
      Machine.ended(state, this.limits, ticket, endedAt, how, fiber.getRef(Random.Random))
      if (state.control !== undefined) {
        this.follow(cell, state, now, fiber)
        this.admitWaiting(cell, state, now, fiber)
      }
    } else if (ticket.waiter !== undefined && state.line !== undefined && Waiting.leave(state.line, ticket.waiter)) {
      if (state.line.length === 0) Machine.emptied(state)
    }
  }

  /** Takes what a retry of the attempt costs; `false` if it is not to be made. */
  tryRetry(cell: AdaptiveCell, { ticket }: AdaptiveHolder, fiber: AnyFiber): boolean {
    const state = cell.adaptive
    // Of a disabled key nothing is counted.
    if (state === undefined || ticket === undefined || cell.phase === Circuit.Disabled) return true
    if (RetryCost.pay(state, this.limits, ticket, rankOf(fiber) < Queue.usual)) return true
    const { reporter } = this
    if (reporter.hasListeners) {
      const at = Time.epochMillis(fiber)
      reporter.emit(
        { _tag: "BudgetExhausted", policy: reporter.policy, key: cell.key, at, balance: state.tokens },
        fiber
      )
    }
    return false
  }

  /** Takes what a hedge costs; `false` if it is not to be made: calls are limited or paced, or too few tokens are left. */
  tryHedge({ adaptive }: AdaptiveCell): boolean {
    if (adaptive === undefined) return true
    if (Machine.modeOf(adaptive) !== Machine.Free || adaptive.tokens < 1) return false
    adaptive.tokens -= 1
    return true
  }

  /** Milliseconds that an attempt takes at least. */
  needs({ adaptive }: AdaptiveCell): number {
    return adaptive === undefined ? 0 : need(adaptive)
  }

  /** Gives places to calls that wait; the hopeless leave at the old end. */
  private admitWaiting(cell: AdaptiveCell, state: AdaptiveState, now: number, fiber: AnyFiber): void {
    const { control, line } = state
    if (control === undefined) return
    if (line !== undefined && line.length > 0) {
      const chance = fiber.getRef(Random.Random)
      for (const rank of line.ranks) {
        for (let old = rank.first; old !== undefined; old = rank.first) {
          if (!Waiting.isHopeless(state, control, now, old.due)) break
          Waiting.leave(line, old)
          this.endWait(old.value, this.reject(cell, state, "deadline", now, fiber))
        }
      }
      const { limits } = this
      for (let next = Waiting.next(line, limits, now); next !== undefined; next = Waiting.next(line, limits, now)) {
        Machine.look(state, limits, now, chance)
        if (!Machine.admits(state, now, Waiting.shareOf(line, next), next.rank < Queue.usual)) {
          if (control.mode === Machine.Paced) this.arm(cell, state, now)
          break
        }
        Waiting.serve(line, next)
        this.send(state, next.value, now, next.due, chance)
        next.value.wake?.()
      }
      this.follow(cell, state, now, fiber)
      if (line.length === 0) Machine.emptied(state)
    } else Machine.emptied(state)
    this.onFree?.(cell)
  }

  private endWait(ticket: Ticket, end: WaitEnd): void {
    if (ticket.wake === undefined) ticket.waitEnd = end
    else ticket.wake(end)
  }

  /** Rejects all waiting calls: an operator has isolated the key, or opened its circuit. */
  rejectWaiting({ adaptive }: AdaptiveCell, rejection: () => Refusal | undefined): void {
    const line = adaptive?.line
    if (line === undefined) return
    for (let waiter = Waiting.any(line); waiter !== undefined; waiter = Waiting.any(line)) {
      const refusal = rejection()
      if (refusal === undefined) return
      Waiting.leave(line, waiter)
      this.endWait(waiter.value, refusal)
    }
  }

  /** All waiting calls go on, uncounted as those to come: an operator has disabled the key. */
  passWaiting({ adaptive }: AdaptiveCell): void {
    const line = adaptive?.line
    if (adaptive === undefined || line === undefined) return
    for (let waiter = Waiting.any(line); waiter !== undefined; waiter = Waiting.any(line)) {
      Waiting.leave(line, waiter)
      this.endWait(waiter.value, Effect.void)
    }
    Machine.emptied(adaptive)
  }

  private reject(
    cell: AdaptiveCell,
    state: AdaptiveState,
    reason: "full" | "wait" | "deadline",
    now: number,
    fiber: AnyFiber
  ): Refusal {
    const { policy } = this.reporter
    const { key } = cell
    const { control, reported } = state
    const evidence = reported?.why
    let rejection: Rejection.CircuitOpen | Rejection.BulkheadFull
    if (control !== undefined && control.mode === Machine.Paced) {
      const left = Math.max(0, Math.ceil(control.nextAt - now))
      rejection = Rejection.circuitOpen({
        policy,
        key,
        state: left > 0 ? "open" : "half-open",
        retryAfter: Duration.millis(left),
        evidence
      })
    } else {
      cell.history.BulkheadFull += 1
      const waiting = state.line?.length ?? 0
      const limit = control === undefined ? 0 : Limit.most(control)
      rejection = Rejection.bulkheadFull({
        policy,
        key,
        reason,
        running: state.inFlight,
        waiting,
        evidence: { trip: evidence?.trip ?? "adaptive.limit", figures: { ...evidence?.figures, limit } }
      })
    }
    this.reporter.rejected(key, rejection, fiber)
    return Effect.fail(rejection)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // What is reported
  // -------------------------------------------------------------------------------------------------------------------

  /** Reports what has changed about a key since the last time. */
  private follow(cell: AdaptiveCell, state: AdaptiveState, now: number, fiber: AnyFiber): void {
    const { control } = state
    if (control === undefined) return
    state.reported ??= new Reported()
    const { reported } = state
    const { mode: from } = reported
    const { mode } = control
    if (mode === from && (mode !== Machine.Limited || control.changedAt === reported.changedAt)) return
    const why = whyOf(state, this.limits)
    const pacedFor = this.pacedFor(cell, now)
    const before = reported.limit
    const { since } = reported
    if (mode !== from) begin(reported, cell, now)
    reported.mode = mode
    reported.changedAt = control.changedAt
    reported.limit = mode === Machine.Limited ? control.limit : Number.POSITIVE_INFINITY
    reported.why = mode === Machine.Free ? undefined : why
    if (mode === Machine.Paced) this.paced(cell, control, why, now, fiber)
    else {
      if (from === Machine.Paced) this.recovered(cell, pacedFor, now - since, fiber)
      if (reported.limit !== before) this.reporter.limitChanged(cell.key, reported.limit, before, why, fiber)
    }
  }

  private paced(
    { history, key }: AdaptiveCell,
    control: Machine.Control,
    evidence: Rejection.Evidence,
    now: number,
    fiber: AnyFiber
  ): void {
    history.openings += 1
    this.changed(
      key,
      {
        from: "closed",
        to: "open",
        cause: "tripped",
        evidence,
        openFor: Duration.millis(control.gap),
        openings: 1,
        unhealthySince: Duration.millis(Math.max(0, now - control.since))
      },
      fiber
    )
  }

  private recovered({ history, key }: AdaptiveCell, pacedFor: number, unhealthyFor: number, fiber: AnyFiber): void {
    history.times[Circuit.Open]! += pacedFor
    history.times[Circuit.Closed]! -= pacedFor
    this.changed(
      key,
      { from: "open", to: "closed", cause: "probes", unhealthySince: Duration.millis(unhealthyFor) },
      fiber
    )
  }

  /** The key is seen as a circuit that has changed. */
  private changed(
    key: string,
    change: Omit<Event.Transition, "_tag" | "policy" | "key" | "at">,
    fiber: AnyFiber
  ): void {
    const { reporter } = this
    if (reporter.hasListeners) {
      const at = Time.epochMillis(fiber)
      reporter.emit({ _tag: "Transition", policy: reporter.policy, key, at, ...change }, fiber)
    }
    reporter.changed()
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Operation
  // -------------------------------------------------------------------------------------------------------------------

  /** Begins anew: `reset` forgets what is usual too. */
  reset(cell: AdaptiveCell, forgets: boolean, now: number, fiber: AnyFiber): void {
    const state = cell.adaptive
    if (state === undefined) return
    Machine.restart(state, forgets)
    this.follow(cell, state, now, fiber)
    this.admitWaiting(cell, state, now, fiber)
  }

  /** A key that must not be dropped. */
  pinned({ adaptive }: AdaptiveCell): boolean {
    if (adaptive === undefined) return false
    return adaptive.inFlight > 0 || (adaptive.line?.length ?? 0) > 0 || Machine.modeOf(adaptive) === Machine.Paced
  }

  /** Milliseconds before a call would be admitted at once; `Infinity` until something changes. */
  admitsIn({ adaptive, phase }: AdaptiveCell, now: number): number {
    if (adaptive === undefined || phase === Circuit.Disabled || Machine.isFree(adaptive, now)) return 0
    const { control } = adaptive
    const isTimed = control !== undefined && control.mode === Machine.Paced && control.probing === 0
    return isTimed ? Math.max(0.01, control.nextAt - now) : Infinity
  }

  /**
   * Milliseconds for which the key was paced until now, and is still. The time that its circuit was isolated, disabled or opened by an
   * operator meanwhile is counted there.
   */
  private pacedFor(cell: AdaptiveCell, now: number): number {
    const reported = cell.adaptive?.reported
    return reported?.mode === Machine.Paced ? Math.max(0, closedFor(cell, now) - reported.closedBefore) : 0
  }

  /** The time that a paced key has spent as an open circuit, which its circuit counts as closed. */
  correct(cell: AdaptiveCell, times: ReadonlyArray<number>, now: number): ReadonlyArray<number> {
    const paced = this.pacedFor(cell, now)
    if (paced === 0) return times
    return times.map((time, phase) =>
      phase === Circuit.Open ? time + paced : phase === Circuit.Closed ? time - paced : time
    )
  }

  sum(cell: AdaptiveCell, sums: Sums, now: number): void {
    const state = cell.adaptive
    if (state === undefined) return
    sums.waiting += state.line?.length ?? 0
    const { control } = state
    if (control?.mode === Machine.Limited) sums.maxConcurrent += Limit.most(control)
    sums.addBalance(state.tokens, RetryCost.capacity(state))
    if (control?.mode !== Machine.Paced) return
    const paced = this.pacedFor(cell, now)
    sums.times[Circuit.Open]! += paced
    sums.times[Circuit.Closed]! -= paced
    if (cell.phase !== Circuit.Closed) return
    sums.circuits.closed -= 1
    sums.circuits[now < control.nextAt ? "open" : "half-open"] += 1
    if (now >= control.nextAt) sums.due += 1
    sums.unhealthy = Math.max(sums.unhealthy, now - control.since)
  }

  /** A paced key as a circuit; `undefined` if it is none. */
  circuitView(cell: AdaptiveCell, now: number): Stats.Circuit | undefined {
    const { adaptive, phase } = cell
    const control = adaptive?.control
    if (control === undefined || control.mode !== Machine.Paced || phase !== Circuit.Closed) return undefined
    const reported = adaptive?.reported
    const left = control.nextAt - now
    const common = {
      since: Duration.millis(reported === undefined ? 0 : Math.max(0, now - reported.since)),
      unhealthySince: Duration.millis(Math.max(0, now - control.since)),
      openings: 1,
      ...(reported?.why === undefined ? {} : { evidence: reported.why })
    }
    if (left > 0) return { _tag: "open", ...common, dueForProbe: false, retryAfter: Duration.millis(left) }
    const { probing } = control
    return { _tag: "half-open", ...common, due: probing === 0, dueForProbe: probing === 0, probing, successes: 0 }
  }

  view({ adaptive }: AdaptiveCell, now: number): Stats.Adaptive {
    const state = adaptive ?? new AdaptiveState()
    return viewOf(state, this.limits, now, state.reported?.why)
  }

  waitingOf({ adaptive }: AdaptiveCell): number {
    return adaptive?.line?.length ?? 0
  }

  balance({ adaptive }: AdaptiveCell): number {
    return (adaptive ?? new AdaptiveState()).tokens
  }

  capacity({ adaptive }: AdaptiveCell): number {
    return RetryCost.capacity(adaptive ?? new AdaptiveState())
  }

  // -------------------------------------------------------------------------------------------------------------------
  // Snapshots
  // -------------------------------------------------------------------------------------------------------------------

  *snapshot(cells: Snapshots.Cells<AdaptiveCell>, moment: Slices.Moment): Slices.Sliced<AdaptiveSnapshot> {
    const toSnapshot = ({ adaptive, key }: AdaptiveCell) => snapshotOf(key, adaptive, moment.now)
    return { keys: yield* Slices.collect(cells.values(), cells.size, toSnapshot) }
  }

  restore(cells: AdaptiveCells, { keys }: AdaptiveSnapshot, ages: Snapshots.Ages, now: number): void {
    for (const saved of keys) {
      const cell = cells.ensure(saved.key, now)
      // What is in flight has its place in the state that there is.
      if (cell.adaptive !== undefined && this.pinned(cell)) continue
      cell.adaptive = new AdaptiveState()
      restoreState(cell, cell.adaptive, saved, this.limits, ages, now)
    }
  }
}

const snapshotOf = (key: string, state: AdaptiveState | undefined, now: number): AdaptiveKeySnapshot | undefined => {
  if (state === undefined || Number.isNaN(state.mean)) return undefined
  const { control } = state
  return {
    key,
    mean: Snapshots.bounded(state.mean),
    late: Snapshots.bounded(state.usualLate),
    inFlight: Snapshots.bounded(state.usualInFlight),
    calls: Snapshots.bounded(state.calls),
    tokens: Snapshots.bounded(state.tokens),
    ...(control?.mode === Machine.Paced
      ? {
          gap: Snapshots.bounded(control.gap),
          down: Snapshots.bounded(now - control.since),
          failing: control.failing,
          failures: Snapshots.bounded(state.failuresInRow),
          lateNow: Snapshots.bounded(state.late),
          noAnswer: Snapshots.bounded(state.noAnswer)
        }
      : {})
  }
}

const restoreState = (
  cell: AdaptiveCell,
  state: AdaptiveState,
  saved: AdaptiveKeySnapshot,
  limits: Machine.Limits,
  ages: Snapshots.Ages,
  now: number
): void => {
  state.mean = saved.mean
  state.usualLate = Math.min(1, saved.late)
  state.usualInFlight = saved.inFlight
  state.calls = saved.calls
  state.callsAt = now
  state.tokens = Math.min(saved.tokens, RetryCost.capacity(state))
  if (saved.gap === undefined || Snapshots.age(0, ages) > ages.timeToLive) return
  // The next call is a probe. An outage of which nothing was heard meanwhile has not become longer for it.
  const control = new Machine.Control()
  control.mode = Machine.Paced
  control.gap = saved.gap
  control.since = now - (saved.down ?? 0)
  control.failing = saved.failing === true
  control.nextAt = now
  control.changedAt = now
  state.control = control
  state.failuresInRow = saved.failures ?? 0
  state.failingSince = control.since
  state.late = Math.min(1, saved.lateNow ?? 0)
  state.noAnswer = Math.min(1, saved.noAnswer ?? 0)
  state.reported = new Reported()
  state.reported.mode = Machine.Paced
  state.reported.why = whyOf(state, limits)
  begin(state.reported, cell, now)
}
