/** Circuits at run time: the pure machine with its trip policy, its open time and its events. For breakers and policies. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Event from "../Event.ts"
import * as Ramp from "../machine/adaptive/Ramp.ts"
import type * as Board from "../machine/Board.ts"
import * as Circuit from "../machine/Circuit.ts"
import { type Link, type Member, patience } from "../machine/Member.ts"
import type { Outcome } from "../Outcome.ts"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import { attempt, isObject, messageOf } from "../runtime/read.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import * as TripPolicy from "../TripPolicy.ts"
import { Past } from "./counters.ts"
import { type Keyed, overflowKey } from "./keyed.ts"
import * as OpenTime from "./openTime.ts"
import type { Reporter } from "./reporter.ts"
import * as Slices from "./slices.ts"
import * as Snapshots from "./snapshots.ts"
import { type Sums, states } from "./sums.ts"

export interface CircuitSettings {
  readonly trip: TripPolicy.TripPolicy
  readonly openFor: OpenTime.OpenTimeSettings
  /** Milliseconds. */
  readonly maxRetryAfter: number
  readonly probes: Circuit.ProbeRule
  /** Absent unless a circuit that has closed admits more and more calls. */
  readonly recovery?: "ramp"
}

type Figures = Readonly<Record<string, number>>

const noFigures = (): Figures => ({})

/** The figures that a message can show and JSON can hold: those of a trip policy of the user's may be anything. */
const finite = (figures: Figures): Figures =>
  Object.fromEntries(Object.entries(figures).filter(([, value]) => Number.isFinite(value)))

const rampEvidence = ({ inFlight, limit }: Ramp.Ramp): Rejection.Evidence => ({
  trip: "recovery.ramp",
  figures: finite({ limit: Math.floor(limit), inFlight })
})

const namesOf = (parts: unknown): ReadonlyArray<string> => (Array.isArray(parts) ? parts.map(String) : [])

/** One circuit of a policy. */
export class CircuitCell extends Circuit.Circuit<unknown> {
  declare readonly key: string
  declare past: Past | undefined
  /** What the fleet knows of the key; set for a policy that shares its circuits, and absent otherwise. */
  declare link: Link<CircuitCell> | undefined

  constructor(key: string, trip: TripPolicy.TripPolicy, now: number) {
    super(trip, now)
    this.key = key
  }

  override makePast(): Past {
    return new Past(this.since)
  }

  /** What it has done, created if need be. */
  get history(): Past {
    this.past ??= this.makePast()
    return this.past
  }

  /** Why it opened last; `undefined` while it has not opened since it was closed. */
  get lastEvidence(): Rejection.Evidence | undefined {
    return this.openings?.evidence
  }

  forgetEvidence(): void {
    if (this.openings !== undefined) this.openings.evidence = undefined
  }
}

/**
 * An admitted call, as {@link Circuits.admit} fills it in and {@link Circuits.settle} reads it: the call or the attempt itself, so
 * that nothing is allocated.
 */
export interface Admission extends Circuit.Admission {
  generation: number
  probe: number
}

const outcomeCodes: Readonly<Record<Outcome, Circuit.OutcomeCode>> = {
  success: Circuit.Success,
  failure: Circuit.Failure,
  ignored: Circuit.Ignored
}

/** The commands of an operator on circuits. */
export type Command = "isolate" | "close" | "reset" | "disable" | "enable" | "open"

/** What a circuit was at one moment, and the trip policy that its evidence belongs to. */
export interface Captured extends Circuit.Captured<unknown> {
  readonly trip: TripPolicy.TripPolicy
}

/** The circuits that a command applies to. */
export interface Cells {
  /** The circuit of one key, created if need be. */
  readonly ensure: (key: string) => CircuitCell
  /** The circuit of one key, if there is one. */
  readonly peek: (key: string) => CircuitCell | undefined
  /** Every circuit in memory. */
  readonly all: () => Iterable<CircuitCell>
}

interface KeyedCells {
  readonly ensure: (key: string, now: number) => CircuitCell
  readonly peek: (key: string) => CircuitCell | undefined
  readonly all: () => Iterable<CircuitCell>
  readonly shared: CircuitCell | undefined
}

export const circuitCells = (cells: KeyedCells, now: number): Cells => ({
  ensure: (key) => cells.ensure(key, now),
  peek: (key) => (key === overflowKey ? cells.shared : cells.peek(key)),
  all: () => cells.all()
})

/** What circuits begin as: closed, unless a command for every key has set another state. */
export interface Base {
  readonly phase: typeof Circuit.Closed | typeof Circuit.Open | typeof Circuit.Isolated | typeof Circuit.Disabled
  /** When the open time is over; while open. */
  readonly until: number
}

const closedBase: Base = { phase: Circuit.Closed, until: 0 }

/** In place of a trip policy: the fleet opened the circuit. */
const byFleet = "fleet"

export const evidenceOf = ({ bad, calls, failures, seen }: Board.Finding): Rejection.Evidence => ({
  trip: byFleet,
  figures: { calls, failures, witnesses: seen, bad }
})

/** Why a circuit is open that a command has opened. */
const byControl: Rejection.Evidence = { trip: "control", figures: {} }

/** A circuit as data. The probes of a half-open circuit are lost, so it counts as open with its open time over. */
export interface CircuitSnapshot {
  readonly key: string
  readonly state: "closed" | "open" | "isolated" | "disabled"
  readonly since: number
  readonly idle?: number
  readonly retryAfter: number
  readonly openFor: number
  readonly openings: number
  readonly unhealthySince?: number
  readonly openedBy?: ReadonlyArray<string>
  readonly evidence?: Rejection.Evidence
  readonly trip?: TripPolicy.Saved
}

/** A circuit of a snapshot that was checked and can be restored. */
export interface Restorable {
  readonly from: CircuitSnapshot
  readonly tripState: unknown
  /** The longest that the options of the breaker allow it to be open, in milliseconds. */
  readonly longest: number
}

/** The circuits of a snapshot. */
export interface CircuitsSnapshot {
  /** The state in which the circuits of keys without an entry begin. */
  readonly base?: BaseState
  readonly circuits: ReadonlyArray<CircuitSnapshot>
}

/** The keyed entries of an engine, of which each is a circuit. */
type Entries<Cell extends CircuitCell> = Keyed<Cell & { lastUsed: number }>

/** The state that a circuit without calls has: closed, unless a command for every key has set another. */
export type BaseState = "closed" | "isolated" | "disabled"

/**
 * When a call started whose time was of no use then: a trip policy that reads it may have been set since. Such a call counts as one
 * that took no time.
 */
export const untimed = -1

/** The circuits of one policy. A policy reaches its circuits through this class alone. */
export class Circuits {
  private readonly where: string
  private settings: CircuitSettings
  private readonly reporter: Reporter
  private openTime: OpenTime.OpenTime
  /** Whether the trip policy reads how long calls take. */
  private timed: boolean
  /** Called when a circuit has become one that rejects every call: calls that wait for something else need not wait on. */
  private readonly onShut: ((cell: CircuitCell, now: number, fiber: AnyFiber) => void) | undefined
  /** Called when a circuit may admit a call that it rejected before; set while calls watch for it. */
  onChange: ((cell: CircuitCell) => void) | undefined
  /** Called when a command closes a circuit, or resets it: what counts beside it begins anew. */
  onRestart: ((key: string, forgets: boolean, now: number, fiber: AnyFiber) => void) | undefined
  /** Called when a circuit is disabled: what its calls wait for does not count any more. */
  onDisabled: ((cell: CircuitCell) => void) | undefined
  /** What a circuit begins as. A command for every key sets it. */
  base: Base = closedBase
  /** The member of a fleet, if these circuits are shared. */
  private member: Member<CircuitCell> | undefined
  /** What is known of the calls of each circuit; `undefined` unless recovery is a ramp. */
  private readonly ramps: WeakMap<CircuitCell, Ramp.Ramp> | undefined
  /** The calls that wait for an answer of the board, one of a circuit. */
  private readonly asking = new Map<CircuitCell, () => void>()
  private lastMillis = 0
  private lastRetryAfter = Duration.zero

  constructor(
    where: string,
    settings: CircuitSettings,
    reporter: Reporter,
    onShut?: (cell: CircuitCell, now: number, fiber: AnyFiber) => void
  ) {
    this.where = where
    this.settings = settings
    this.reporter = reporter
    this.openTime = OpenTime.openTime(where, settings.openFor)
    this.timed = settings.trip.usesDuration !== false
    this.onShut = onShut
    this.onChange = undefined
    this.onRestart = undefined
    this.onDisabled = undefined
    this.member = undefined
    this.ramps = settings.recovery === undefined ? undefined : new WeakMap()
  }

  /** Shares the circuits to come with a fleet. */
  join(member: Member<CircuitCell>): void {
    this.member = member
  }

  /** A circuit was created, and will be called. */
  attach<Cell extends CircuitCell>(cell: Cell, now: number): Cell {
    if (this.member !== undefined && cell.key !== overflowKey) cell.link = this.member.link(cell.key, cell, now)
    return cell
  }

  /** A circuit was dropped. */
  detach(cell: CircuitCell): void {
    if (cell.link !== undefined) this.member?.unlink(cell.link)
  }

  /** What a circuit that was not called would be, without making it one. */
  foresee<Cell extends CircuitCell>(cell: Cell, now: number): Cell {
    const opening = cell.phase === Circuit.Closed ? this.member?.opening(cell.key, now) : undefined
    if (opening === undefined) return cell
    Circuit.openingsOf(cell).evidence = evidenceOf(opening)
    Circuit.open(cell, opening.left, now, [byFleet])
    return cell
  }

  make(key: string, now: number): CircuitCell {
    return this.begin(new CircuitCell(key, this.settings.trip, now))
  }

  get trip(): TripPolicy.TripPolicy {
    return this.settings.trip
  }

  /**
   * Prepares other settings for the circuits in memory, and returns what sets them: what the user's trip policy throws is thrown
   * before anything is changed. An open circuit keeps its open time and a running probe its lease. The evidence is kept as far as
   * the new trip policy can adopt it; a circuit whose evidence is enough to open it opens with the next outcome.
   */
  retune(cells: Iterable<CircuitCell>, settings: CircuitSettings): () => void {
    const from = this.settings.trip
    const { openFor, probes, trip } = settings
    const openTime = OpenTime.openTime(this.where, openFor)
    const timed = trip.usesDuration !== false
    const present = Array.from(cells)
    const states = from === trip ? [] : present.map((cell) => TripPolicy.adopted(trip, cell.tripState, from))
    return () => {
      this.settings = settings
      this.openTime = openTime
      this.timed = timed
      for (const [i, cell] of present.entries()) {
        if (from !== trip) cell.tripState = states[i]
        Circuit.retune(cell, probes)
        // There may be more probes now.
        this.onChange?.(cell)
      }
    }
  }

  /** A new circuit, in the state that circuits begin in. */
  begin<Cell extends CircuitCell>(cell: Cell): Cell {
    const { phase, until } = this.base
    if (phase !== Circuit.Open) cell.phase = phase
    else if (cell.since < until) Circuit.forceOpen(cell, until - cell.since, cell.since, byControl)
    return cell
  }

  /** Has a circuit that no command has touched begun in the state that a command for every key had set? */
  hasBegunAs(cell: CircuitCell, { phase }: Base): boolean {
    if (phase === Circuit.Closed || cell.phase !== phase) return false
    return phase !== Circuit.Open || cell.lastEvidence === byControl
  }

  get baseState(): BaseState {
    return this.base.phase === Circuit.Open ? "closed" : (states[this.base.phase] as BaseState)
  }

  /**
   * A circuit that must not be dropped: one that is not as a new one would be, because an operator changed it; one whose open
   * time is not over; one with a running probe. An open circuit that is due for a probe may be dropped: a new one would
   * admit that call too.
   */
  pinned(cell: CircuitCell, now: number): boolean {
    const { phase, until } = this.base
    if (phase === Circuit.Open && now < until)
      return cell.phase !== Circuit.Open || now + Circuit.remainingOpenMs(cell, now) > until
    if (cell.phase === phase) return false
    if (phase === Circuit.Isolated || phase === Circuit.Disabled) return true
    switch (cell.phase) {
      case Circuit.Closed:
        return false
      case Circuit.Open:
        return Circuit.remainingOpenMs(cell, now) > 0
      case Circuit.HalfOpen:
        return cell.openings?.probes.some((probe) => now < probe.leaseEnds) ?? false
      default:
        return true
    }
  }

  /** Does a call of this circuit need the time? Reading the clock is most of what a call costs. */
  needsTime(cell: CircuitCell): boolean {
    return this.timed || !this.isPassThrough(cell)
  }

  /** Does the circuit admit every call, whatever the time? */
  isPassThrough(cell: CircuitCell): boolean {
    return this.ramps === undefined && Circuit.isPassThrough(cell)
  }

  /** Is the circuit closed, for calls and for an operator? */
  isClosed(cell: CircuitCell): boolean {
    return cell.phase === Circuit.Closed
  }

  /** The rejection of a call that would not be admitted now. Reserves nothing. */
  check(cell: CircuitCell, now: number, fiber: AnyFiber): Effect.Effect<never, Rejection.CircuitOpen> | undefined {
    if (cell.phase === Circuit.Open && cell.link !== undefined) this.member?.beforeProbe(cell.link, now)
    if (Circuit.admits(cell, this.settings.probes, now) && this.untilRoom(this.rampIn(cell), now) === 0)
      return undefined
    return this.reject(cell, now, fiber)
  }

  /** Of an open circuit: may a call wait for the answer of the board, whether it is the probe of the fleet? */
  asks({ link, phase }: CircuitCell, now: number): boolean {
    return phase === Circuit.Open && link !== undefined && this.member?.ask(link, now) === true
  }

  /** Waits for the answer, for a short time. */
  answerFor(cell: CircuitCell): Effect.Effect<void> {
    return Effect.withFiber((fiber) =>
      Effect.callback((resume) => {
        const end = () => {
          this.asking.delete(cell)
          cancel()
          resume(Effect.void)
        }
        const cancel = Timer.start(fiber, patience, end)
        this.asking.set(cell, end)
        return Effect.sync(() => {
          this.asking.delete(cell)
          cancel()
        })
      })
    )
  }

  /** The board has answered, or has not. */
  answered(cell: CircuitCell): void {
    this.asking.get(cell)?.()
  }

  /** Admits a call, or returns its rejection. */
  admit(
    cell: CircuitCell,
    admission: Admission,
    now: number,
    fiber: AnyFiber
  ): Effect.Effect<never, Rejection.CircuitOpen> | undefined {
    const from = cell.phase
    // The usual case by itself: what follows is too much for V8 to inline into every call.
    if (from === Circuit.Closed && this.ramps === undefined) {
      admission.probe = Circuit.Admitted
      admission.generation = cell.generation
      return undefined
    }
    if (from === Circuit.Open && cell.link !== undefined) this.member?.beforeProbe(cell.link, now)
    const ramp = this.rampIn(cell)
    if (ramp !== undefined) this.rest(cell, ramp, now, fiber)
    if (this.untilRoom(ramp, now) > 0) return this.reject(cell, now, fiber)
    const probe = Circuit.admit(cell, this.settings.probes, now)
    if (cell.phase !== from) this.transition(cell, from, "time", now, fiber)
    if (probe === Circuit.Rejected) return this.reject(cell, now, fiber)
    if (probe !== Circuit.Admitted && cell.link !== undefined) this.member?.probing(cell.link)
    if (this.ramps !== undefined) Ramp.admitted(this.rampOf(cell, this.ramps), probe !== Circuit.Admitted, now)
    admission.probe = probe
    admission.generation = cell.generation
    return undefined
  }

  /** Takes the outcome of an admitted call that began at `startedAt`, which is {@link untimed} if it was not read. */
  settle(
    cell: CircuitCell,
    admission: Admission,
    outcome: Outcome,
    startedAt: number,
    now: number,
    fiber: AnyFiber,
    retryAfter?: Duration.Duration
  ): void {
    if (this.ramps !== undefined) this.leave(cell, this.ramps, outcome, now, fiber)
    // The usual case by itself, as in `admit`.
    if (outcome === "success" && cell.phase === Circuit.Closed) {
      if (admission.generation !== cell.generation) return
      cell.link?.count(now)
      const duration = this.timed && startedAt !== untimed ? now - startedAt : 0
      const verdict = Circuit.settleClosed(cell, this.settings.trip, false, duration, now)
      if (verdict === Circuit.Nothing) this.onChange?.(cell)
      else this.open(cell, now, fiber, undefined)
      return
    }
    this.settleAny(cell, admission, outcome, startedAt, now, fiber, retryAfter)
  }

  private rampOf(cell: CircuitCell, ramps: WeakMap<CircuitCell, Ramp.Ramp>): Ramp.Ramp {
    const known = ramps.get(cell)
    if (known !== undefined) return known
    const ramp = Ramp.make()
    ramps.set(cell, ramp)
    return ramp
  }

  /** The ramp of a closed circuit. */
  private rampIn(cell: CircuitCell): Ramp.Ramp | undefined {
    return cell.phase === Circuit.Closed ? this.ramps?.get(cell) : undefined
  }

  /** Milliseconds until the ramp of a closed circuit, if it has one, leaves room for another call; 0 when it does. */
  private untilRoom(ramp: Ramp.Ramp | undefined, now: number): number {
    return ramp === undefined ? 0 : Ramp.untilRoom(ramp, this.settings.probes.lease, now)
  }

  /** A call that was admitted has ended. */
  private leave(
    cell: CircuitCell,
    ramps: WeakMap<CircuitCell, Ramp.Ramp>,
    outcome: Outcome,
    now: number,
    fiber: AnyFiber
  ): void {
    const ramp = this.rampOf(cell, ramps)
    const { limit } = ramp
    if (!Ramp.ended(ramp, outcome, now)) return
    this.reporter.limitChanged(cell.key, Infinity, limit, rampEvidence(ramp), fiber)
  }

  /** A call comes. */
  private rest(cell: CircuitCell, ramp: Ramp.Ramp, now: number, fiber: AnyFiber): void {
    const { limit } = ramp
    if (!Ramp.rested(ramp, now)) return
    this.reporter.limitChanged(cell.key, Infinity, limit, rampEvidence(ramp), fiber)
  }

  /** A command ends the ramp of a circuit that is closed, and that it does not change. */
  private liftRamp(cell: CircuitCell): void {
    const ramp = this.rampIn(cell)
    if (ramp === undefined) return
    Ramp.lift(ramp)
    this.onChange?.(cell)
  }

  /** A circuit has closed by its probes, or in another way, or is not closed. */
  private ramp(cell: CircuitCell, cause: Event.Transition["cause"], now: number, fiber: AnyFiber): void {
    const ramp = this.ramps?.get(cell)
    if (ramp === undefined) return
    Ramp.lift(ramp)
    // An operator who closes a circuit means it.
    if (cell.phase !== Circuit.Closed || cause === "control") return
    Ramp.begin(ramp, now)
    this.reporter.limitChanged(cell.key, ramp.limit, Infinity, rampEvidence(ramp), fiber)
  }

  private settleAny(
    cell: CircuitCell,
    admission: Admission,
    outcome: Outcome,
    startedAt: number,
    now: number,
    fiber: AnyFiber,
    retryAfter: Duration.Duration | undefined
  ): void {
    const { probes, trip } = this.settings
    // Of a probe the time is known anyway.
    const timed = startedAt !== untimed && (this.timed || cell.phase === Circuit.HalfOpen)
    const sample = { outcome: outcomeCodes[outcome], duration: timed ? now - startedAt : 0 }
    if (cell.link !== undefined) this.count(cell, cell.link, admission, outcome, now)
    const verdict = Circuit.settle(cell, trip, probes, admission, sample, now)
    if (verdict === Circuit.Tripped) this.open(cell, now, fiber, retryAfter)
    else if (verdict === Circuit.Recovered) this.recover(cell, now, fiber)
    // A probe that was ignored has freed its slot.
    else this.onChange?.(cell)
  }

  /** Counts an outcome for the fleet. A result of an older generation is no evidence. */
  private count(
    { generation }: CircuitCell,
    link: Link<CircuitCell>,
    admission: Admission,
    outcome: Outcome,
    now: number
  ): void {
    if (admission.generation === generation && outcome !== "ignored") {
      this.member?.count(link, outcome === "failure", now)
    }
  }

  /** Opens a circuit because its fleet did. */
  openByFleet(cell: CircuitCell, openFor: number, finding: Board.Finding, now: number, fiber: AnyFiber): void {
    const from = cell.phase
    Circuit.openingsOf(cell).evidence = evidenceOf(finding)
    Circuit.open(cell, openFor, now, from === Circuit.Closed ? [byFleet] : undefined)
    this.transition(cell, from, "fleet", now, fiber)
  }

  /** Closes a circuit because its fleet did. */
  closeByFleet(cell: CircuitCell, now: number, fiber: AnyFiber): void {
    const from = cell.phase
    Circuit.close(cell, this.settings.trip, now)
    cell.forgetEvidence()
    this.transition(cell, from, "fleet", now, fiber)
  }

  /** Milliseconds for which the n-th opening in a row would last. */
  openForOf(opening: number, fiber: AnyFiber): number {
    return Result.getOrElse(
      Result.try(() => this.openTime(opening, fiber)),
      () => OpenTime.fallback
    )
  }

  /** Milliseconds for which the circuit will surely reject calls; 0 when it may admit one. */
  rejectsFor(cell: CircuitCell, now: number): number {
    if (cell.phase === Circuit.Isolated) return Infinity
    return cell.phase === Circuit.Open ? Circuit.rejectsForMs(cell, now) : 0
  }

  /** Milliseconds before the circuit would admit a call, as far as is known; `Infinity` until its state changes. */
  admitsIn(cell: CircuitCell, now: number): number {
    const { probes } = this.settings
    if (!Circuit.admits(cell, probes, now)) return Circuit.retryAfter(cell, probes, now)
    return this.untilRoom(this.rampIn(cell), now)
  }

  private recover(cell: CircuitCell, now: number, fiber: AnyFiber): void {
    const from = cell.phase
    Circuit.close(cell, this.settings.trip, now)
    cell.forgetEvidence()
    if (cell.link !== undefined) this.member?.recovered(cell.link)
    this.transition(cell, from, "probes", now, fiber)
  }

  private open(cell: CircuitCell, now: number, fiber: AnyFiber, retryAfter: Duration.Duration | undefined): void {
    const { maxRetryAfter, openFor, trip } = this.settings
    const { generation, phase: from } = cell
    const tripped = from === Circuit.Closed
    // Parts, figures and schedules may be the user's and may throw: the circuit opens first.
    const parts = Result.try(() => (tripped ? namesOf(trip.trippedBy?.(cell.tripState, now)) : []))
    const figures = Result.try(() => (tripped ? finite(trip.figures(cell.tripState, now)) : {}))
    const base = Result.try(() => this.openTime(Circuit.nextOpening(cell, now), fiber))
    const results: ReadonlyArray<Result.Result<unknown, unknown>> = [parts, figures, base]
    // One of them has given a command, which stands.
    if (generation !== cell.generation) {
      throwFirst(results)
      return
    }
    let openedBy: ReadonlyArray<string> | undefined
    if (tripped) {
      openedBy = Result.getOrElse(parts, () => [])
      if (openedBy.length === 0) openedBy = [trip.name]
      Circuit.openingsOf(cell).evidence = {
        trip: openedBy.join(", "),
        figures: Result.getOrElse(figures, noFigures)
      }
    }
    // A `retryAfter` can only lengthen the open time.
    const asked = retryAfter === undefined ? 0 : Math.min(Duration.toMillis(retryAfter), maxRetryAfter)
    const openMs = Math.max(
      Result.getOrElse(base, () => OpenTime.fallback),
      OpenTime.spread(asked, OpenTime.spreadOf(openFor), fiber)
    )
    Circuit.open(cell, openMs, now, openedBy)
    if (cell.link !== undefined) this.member?.tripped(cell.link, now)
    this.transition(cell, from, tripped ? "tripped" : "probes", now, fiber)
    throwFirst(results)
  }

  /** The circuits as data. */
  *snapshot<Cell extends CircuitCell>(
    cells: Entries<Cell>,
    moment: Slices.Moment
  ): Slices.Sliced<Required<CircuitsSnapshot>> {
    const toSnapshot = (cell: Cell & { lastUsed: number }) =>
      this.toSnapshot(cell, moment.now - cells.usedAt(cell), moment.now)
    // Without the entry that keys share when there is no room: it is the state of no single key.
    return { base: this.baseState, circuits: yield* Slices.collect(cells.values(), cells.size, toSnapshot) }
  }

  private toSnapshot(cell: CircuitCell, idle: number, now: number): CircuitSnapshot {
    const { lastEvidence, openings, phase } = cell
    const state = states[phase]!
    const unhealthy = phase === Circuit.Open || phase === Circuit.HalfOpen
    const trip = phase === Circuit.Closed ? this.savedTripState(cell, now) : undefined
    return {
      key: cell.key,
      state: state === "half-open" ? "open" : state,
      since: Snapshots.bounded(now - cell.since),
      idle: Snapshots.bounded(idle),
      retryAfter: state === "open" ? Snapshots.bounded(Circuit.remainingOpenMs(cell, now)) : 0,
      openFor: Snapshots.bounded(openings?.length ?? 0),
      openings: Snapshots.bounded(openings?.count ?? 0),
      ...(unhealthy && openings !== undefined
        ? { unhealthySince: Snapshots.bounded(now - openings.unhealthySince), openedBy: openings.openedBy }
        : {}),
      ...(unhealthy && lastEvidence !== undefined ? { evidence: lastEvidence } : {}),
      ...(trip === undefined ? {} : { trip })
    }
  }

  /** A trip policy of the user's may throw, and may return anything: then nothing is kept of it. */
  private savedTripState(cell: CircuitCell, now: number): TripPolicy.Saved | undefined {
    const { trip } = this.settings
    return attempt(() => {
      const saved = TripPolicy.save(trip, cell.tripState, now)
      return saved !== undefined && isJson(saved) ? saved : undefined
    }, undefined)
  }

  /** Restores circuits, all or none: what is wrong with a snapshot, or thrown by a trip policy, is thrown before anything is changed. */
  restore<Cell extends CircuitCell>(
    where: string,
    cells: Entries<Cell>,
    { base, circuits }: CircuitsSnapshot,
    ages: Snapshots.Ages,
    now: number,
    fiber: AnyFiber
  ): void {
    const restorable = circuits.flatMap((from, i) =>
      isOld(from, ages) ? [] : [this.prepare(`${where}: circuits[${i}]`, from, ages, now, fiber)]
    )
    if (base !== undefined) this.restoreBase(circuitCells(cells, now), base, now, fiber)
    for (const one of restorable) {
      const { idle = 0, key, state } = one.from
      // What an operator did to a circuit holds beyond the limit of keys, as it does when it is done.
      const isOperated = state === "isolated" || state === "disabled"
      const cell = isOperated ? cells.ensure(key, now) : cells.getDedicated(key, now)
      if (cell === undefined) continue
      cells.restoreUse(cell, now - Snapshots.age(idle, ages), now)
      this.restoreOne(cell, one, ages, now, fiber)
    }
  }

  private prepare(
    where: string,
    from: CircuitSnapshot,
    { away }: Snapshots.Ages,
    now: number,
    fiber: AnyFiber
  ): Restorable {
    const { trip } = this.settings
    const longest = this.longestOpenTime(from.openings, fiber)
    const saved = from.state === "closed" ? from.trip : undefined
    if (saved === undefined) return { from, tripState: trip.initial(), longest }
    const restored = Result.try(() => TripPolicy.restored(trip, saved, now - away, now))
    if (Result.isSuccess(restored)) return { from, tripState: restored.success ?? trip.initial(), longest }
    const { failure } = restored
    throw new RangeError(`${where}.trip: ${messageOf(failure)}`, { cause: failure })
  }

  /** Restores a circuit as it has become since its snapshot. */
  private restoreOne(
    cell: CircuitCell,
    { from, longest, tripState }: Restorable,
    ages: Snapshots.Ages,
    now: number,
    fiber: AnyFiber
  ): void {
    const before = cell.phase
    // Running calls belong to the circuit as it was before, and so does its trip state.
    Circuit.restart(cell, tripState, now)
    cell.phase = states.indexOf(from.state) as Circuit.Phase
    const since = Math.floor(now - Snapshots.age(from.since, ages))
    cell.since = since
    if (from.openings > 0 || cell.phase === Circuit.Open) {
      const openings = Circuit.openingsOf(cell)
      // A snapshot may have been changed, or taken with other options: no circuit opens for longer than these allow.
      const { away } = ages
      openings.until = now - (from.retryAfter > 0 ? away - Math.min(from.retryAfter, longest) : dueFor(from, ages))
      openings.length = Math.min(from.openFor, longest)
      openings.count = from.openings
      openings.unhealthySince =
        from.unhealthySince === undefined ? since : Math.floor(now - Snapshots.age(from.unhealthySince, ages))
      if (cell.phase === Circuit.Open) {
        openings.openedBy = from.openedBy ?? []
        openings.evidence = from.evidence && { trip: from.evidence.trip, figures: finite(from.evidence.figures) }
      }
    }
    if (cell.phase !== before) this.transition(cell, before, "control", now, fiber)
    // The open time may be another one.
    else this.onChange?.(cell)
  }

  private longestOpenTime(opening: number, fiber: AnyFiber): number {
    const { maxRetryAfter, openFor } = this.settings
    return Math.max(maxRetryAfter * (1 + OpenTime.spreadOf(openFor)), OpenTime.longest(openFor, opening, fiber))
  }

  /** How long a command opens a circuit for that says nothing else: as long as the next opening of its own would last. */
  ordinaryOpenTime(cell: CircuitCell | undefined, now: number, fiber: AnyFiber): number {
    return this.openTime(cell === undefined ? 1 : Circuit.nextOpening(cell, now), fiber)
  }

  /** What circuits begin as after a command for every key; the same object if nothing changes. */
  baseAfter(command: Command, openFor: number, now: number): Base {
    const { base } = this
    switch (command) {
      case "isolate":
        return base.phase === Circuit.Isolated ? base : { phase: Circuit.Isolated, until: 0 }
      case "disable":
        return base.phase === Circuit.Disabled ? base : { phase: Circuit.Disabled, until: 0 }
      case "open":
        return { phase: Circuit.Open, until: now + openFor }
      case "enable":
        return base.phase === Circuit.Disabled ? closedBase : base
      default:
        return base.phase === Circuit.Closed ? base : closedBase
    }
  }

  /** What a new circuit would be that begins as `base` says. */
  fresh({ phase, until }: Base, since: number): Captured {
    const cell = new CircuitCell("", this.settings.trip, since)
    if (phase !== Circuit.Open) cell.phase = phase
    else if (since < until) Circuit.forceOpen(cell, until - since, since, byControl)
    return this.capture(cell)
  }

  /** Keeps what a circuit is; see {@link Circuit.capture}. */
  capture(cell: CircuitCell): Captured {
    return { ...Circuit.capture(cell), trip: this.settings.trip }
  }

  /** Makes a circuit what it was, with the evidence as far as the trip policy knows it that holds now. */
  reinstate(cell: CircuitCell, captured: Captured, now: number, fiber: AnyFiber): void {
    const from = cell.phase
    const { probes, trip } = this.settings
    const kept = Result.try(() => TripPolicy.adopted(trip, captured.tripState, captured.trip))
    Circuit.reinstate(cell, { ...captured, tripState: Result.getOrElse(kept, () => trip.initial()) }, now)
    Circuit.retune(cell, probes)
    if (cell.phase !== from) this.transition(cell, from, "control", now, fiber)
    // The open time may be another one.
    else this.onChange?.(cell)
  }

  /**
   * Sets the state in which circuits begin, as a snapshot has it: a command for every key that is in force applies to the
   * circuits in memory too, and the end of one to those that it had set.
   */
  restoreBase(cells: Cells, state: BaseState, now: number, fiber: AnyFiber): void {
    if (state === this.baseState) return
    const before = this.base
    const present = Array.from(cells.all()).filter((cell) => state !== "closed" || cell.phase === before.phase)
    const command = state === "isolated" ? "isolate" : state === "disabled" ? "disable" : "close"
    this.base = this.baseAfter(command, 0, now)
    for (const cell of present) this.command(cell, command, 0, now, fiber)
  }

  /** Would the command change the circuit? */
  isChangedBy({ phase }: CircuitCell, command: Command): boolean {
    switch (command) {
      case "isolate":
        return phase !== Circuit.Isolated
      case "disable":
        return phase !== Circuit.Disabled
      case "enable":
        return phase === Circuit.Disabled
      case "close":
        return phase !== Circuit.Closed
      case "open":
      case "reset":
        return true
    }
  }

  /** Runs a command on a circuit; `openFor` is for how long `open` opens it. */
  command(cell: CircuitCell, command: Command, openFor: number, now: number, fiber: AnyFiber): void {
    if (command === "close" || command === "reset") {
      this.onRestart?.(cell.key, command === "reset", now, fiber)
      this.liftRamp(cell)
    }
    if (!this.isChangedBy(cell, command)) return
    const from = cell.phase
    switch (command) {
      case "isolate":
        Circuit.isolate(cell, now)
        break
      case "disable":
        Circuit.disable(cell, now)
        break
      case "open":
        Circuit.forceOpen(cell, openFor, now, byControl)
        break
      case "enable":
      case "close":
        Circuit.close(cell, this.settings.trip, now)
        break
      case "reset":
        Circuit.reset(cell, this.settings.trip, now)
    }
    if (cell.phase === Circuit.Closed) cell.forgetEvidence()
    if (cell.phase !== from) this.transition(cell, from, "control", now, fiber)
    // The open time may be another one.
    else this.onChange?.(cell)
  }

  private reject(cell: CircuitCell, now: number, fiber: AnyFiber): Effect.Effect<never, Rejection.CircuitOpen> {
    const { key, link } = cell
    if (link !== undefined) this.member?.rejected(link, now)
    const ramp = this.rampIn(cell)
    if (ramp !== undefined) Ramp.rejected(ramp, now)
    const wait = ramp === undefined ? Circuit.retryAfter(cell, this.settings.probes, now) : this.untilRoom(ramp, now)
    const state = cell.phase === Circuit.Open ? "open" : cell.phase === Circuit.Isolated ? "isolated" : "half-open"
    const rejection = Rejection.circuitOpen({
      policy: this.reporter.policy,
      key,
      state,
      retryAfter: this.retryAfter(Math.ceil(wait)),
      evidence: ramp === undefined ? cell.lastEvidence : rampEvidence(ramp),
      lastFailure: state === "isolated" ? undefined : cell.past?.lastFailure
    })
    this.reporter.rejected(key, rejection, fiber)
    return Effect.fail(rejection)
  }

  /** While a circuit is open many calls are rejected in one millisecond: they share the duration. */
  private retryAfter(millis: number): Duration.Duration {
    if (millis !== this.lastMillis) {
      this.lastMillis = millis
      this.lastRetryAfter = Duration.millis(millis)
    }
    return this.lastRetryAfter
  }

  /** The figures of the trip policy; the user's may throw, and may return anything. */
  private figures(cell: CircuitCell, now: number): Readonly<Record<string, number>> {
    const { trip } = this.settings
    const figures = attempt(() => trip.figures(cell.tripState, now), {})
    return isObject(figures) ? figures : {}
  }

  /** Whether a key deserves attention: its circuit is not closed, or has opened since it was created. */
  isNotable(cell: CircuitCell): boolean {
    return cell.phase !== Circuit.Closed || (cell.past?.openings ?? 0) > 0
  }

  /** Adds the state of a circuit, as {@link view} sees it, and its times. */
  sum(cell: CircuitCell, sums: Sums, now: number): void {
    const { openings, phase } = cell
    Circuit.addTimeIn(cell, now, sums.times)
    const isUnhealthy = openings !== undefined && (phase === Circuit.Open || phase === Circuit.HalfOpen)
    if (!isUnhealthy) {
      sums.circuits[states[phase]!] += 1
      return
    }
    sums.unhealthy = Math.max(sums.unhealthy, now - openings.unhealthySince)
    if (Circuit.remainingOpenMs(cell, now) > 0) {
      sums.circuits.open += 1
      return
    }
    sums.circuits["half-open"] += 1
    if (phase === Circuit.Open || Circuit.hasFreeProbe(cell, this.settings.probes, now)) sums.due += 1
  }

  view(cell: CircuitCell, now: number): Stats.Circuit {
    const common = {
      since: sinceMillis(cell.since, now),
      openings: Circuit.nextOpening(cell, now) - 1
    }
    const { openings } = cell
    if (openings === undefined || (cell.phase !== Circuit.Open && cell.phase !== Circuit.HalfOpen)) {
      const figures = cell.phase === Circuit.Closed ? { figures: this.figures(cell, now) } : {}
      return {
        _tag: states[cell.phase] as "closed" | "isolated" | "disabled",
        ...common,
        dueForProbe: false,
        ...figures
      }
    }
    const unhealthySince = sinceMillis(openings.unhealthySince, now)
    const evidence = cell.lastEvidence === undefined ? {} : { evidence: cell.lastEvidence }
    const remaining = cell.phase === Circuit.Open ? Circuit.remainingOpenMs(cell, now) : 0
    if (remaining > 0) {
      return {
        _tag: "open" as const,
        ...common,
        dueForProbe: false,
        unhealthySince,
        retryAfter: Duration.millis(remaining),
        ...evidence
      }
    }
    const due = cell.phase === Circuit.Open
    return {
      _tag: "half-open" as const,
      ...common,
      ...(due ? { since: sinceMillis(openings.until, now) } : {}),
      unhealthySince,
      due,
      dueForProbe: due || Circuit.hasFreeProbe(cell, this.settings.probes, now),
      probing: Circuit.probing(cell, now),
      successes: openings.probeSuccesses,
      ...evidence
    }
  }

  private transition(
    cell: CircuitCell,
    from: Circuit.Phase,
    cause: Event.Transition["cause"],
    now: number,
    fiber: AnyFiber
  ): void {
    if (this.reporter.hasListeners) this.report(cell, from, cause, now, fiber)
    this.reporter.changed()
    if (this.ramps !== undefined) this.ramp(cell, cause, now, fiber)
    if (cell.phase === Circuit.Open || cell.phase === Circuit.Isolated) this.onShut?.(cell, now, fiber)
    if (cell.phase === Circuit.Disabled) this.onDisabled?.(cell)
    this.onChange?.(cell)
  }

  private report(
    { key, lastEvidence, openings, phase }: CircuitCell,
    from: Circuit.Phase,
    cause: Event.Transition["cause"],
    now: number,
    fiber: AnyFiber
  ): void {
    const opened = phase === Circuit.Open
    const wasUnhealthy = from === Circuit.Open || from === Circuit.HalfOpen
    this.reporter.emit(
      {
        _tag: "Transition",
        policy: this.reporter.policy,
        key,
        at: Time.epochMillis(fiber),
        from: states[from]!,
        to: states[phase]!,
        cause,
        ...(opened && lastEvidence !== undefined ? { evidence: lastEvidence } : {}),
        ...(opened && openings !== undefined
          ? { openFor: Duration.millis(openings.length), openings: openings.count }
          : {}),
        ...((opened || wasUnhealthy) && openings !== undefined
          ? { unhealthySince: sinceMillis(openings.unhealthySince, now) }
          : {})
      },
      fiber
    )
  }
}

/** Deeper than the state of any trip policy: one that contains itself has no end. */
const deepest = 20

/** Can JSON hold it as it is? By hand, because a snapshot may have ten thousand of them. */
const isJson = (value: unknown, depth = 0): boolean => {
  if (typeof value === "number") return Number.isFinite(value)
  if (typeof value !== "object") return typeof value === "string" || typeof value === "boolean"
  if (value === null) return true
  if (depth === deepest) return false
  if (Array.isArray(value)) return value.every((one) => isJson(one, depth + 1))
  for (const name in value) if (!isJson((value as Readonly<Record<string, unknown>>)[name], depth + 1)) return false
  return true
}

/**
 * Has a circuit become like a new one? It was not called for so long that what it knows is no evidence; of an open one the time begins
 * when it is due for a probe. What an operator has set does not become old.
 */
const isOld = (circuit: CircuitSnapshot, ages: Snapshots.Ages): boolean => {
  const { idle = 0, state } = circuit
  const { timeToLive } = ages
  if (state === "isolated" || state === "disabled") return false
  return Snapshots.age(idle, ages) > timeToLive && (state === "closed" || dueFor(circuit, ages) > timeToLive)
}

/** For how long an open circuit of a snapshot has been due for a probe, in milliseconds; negative while it is open. */
const dueFor = ({ openFor, retryAfter, since }: CircuitSnapshot, ages: Snapshots.Ages): number =>
  retryAfter > 0 ? ages.away - retryAfter : Snapshots.age(Math.max(0, since - openFor), ages)

const throwFirst = (results: ReadonlyArray<Result.Result<unknown, unknown>>): void => {
  for (const result of results) {
    if (Result.isFailure(result)) throw result.failure
  }
}

/** The time since a moment; a moment in whole milliseconds may be later than `now` within the same millisecond. */
const sinceMillis = (moment: number, now: number): Duration.Duration => Duration.millis(Math.max(0, now - moment))
