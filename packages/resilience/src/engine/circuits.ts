/** Circuits at run time: the pure machine with its trip policy, its open time and its events. For breakers and policies. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Event from "../Event.ts"
import * as Circuit from "../machine/Circuit.ts"
import type { Outcome } from "../Outcome.ts"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type * as TripPolicy from "../TripPolicy.ts"
import { defaultKey } from "../Types.ts"
import * as OpenTime from "./openTime.ts"
import type { Reporter } from "./reporter.ts"

export interface CircuitSettings {
  readonly trip: TripPolicy.TripPolicy
  readonly openFor: OpenTime.OpenTimeSettings
  /** Milliseconds. */
  readonly maxRetryAfter: number
  readonly probes: Circuit.ProbeRule
}

const noFigures = (): Readonly<Record<string, number>> => ({})

/** One circuit of a policy. */
export class CircuitCell extends Circuit.Circuit<unknown> {
  declare readonly key: string
  /** Why it opened last; `undefined` while it has not opened since it was closed. */
  declare lastEvidence: Rejection.Evidence | undefined

  constructor(key: string, trip: TripPolicy.TripPolicy, now: number) {
    super(trip, now)
    this.key = key
    this.lastEvidence = undefined
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

const states: ReadonlyArray<Event.CircuitState> = ["closed", "open", "half-open", "isolated", "disabled"]

const outcomeCodes: Readonly<Record<Outcome, Circuit.OutcomeCode>> = {
  success: Circuit.Success,
  failure: Circuit.Failure,
  ignored: Circuit.Ignored
}

/** The commands of an operator. */
export type Command = "isolate" | "close" | "reset" | "disable" | "enable"

/** The commands as effects, each for one key. */
export const commands = (run: (key: string, command: Command, now: number, fiber: AnyFiber) => void) => {
  const command =
    (name: Command) =>
    (key: string = defaultKey): Effect.Effect<void> =>
      Time.withNow((now, fiber) => run(key, name, now, fiber))
  return {
    isolate: command("isolate"),
    close: command("close"),
    reset: command("reset"),
    disable: command("disable"),
    enable: command("enable")
  }
}

/** A circuit as data. The probes of a half-open circuit are lost, so it counts as open with its open time over. */
export interface CircuitSnapshot {
  readonly key: string
  readonly state: "closed" | "open" | "isolated" | "disabled"
  readonly since: number
  readonly retryAfter: number
  readonly openFor: number
  readonly openings: number
}

/** The circuits of one policy. A policy reaches its circuits through this class alone. */
export class Circuits {
  private readonly settings: CircuitSettings
  private readonly reporter: Reporter
  private readonly openTime: OpenTime.OpenTime
  /** Whether the trip policy reads how long calls take. */
  private readonly timed: boolean
  private lastMillis = 0
  private lastRetryAfter = Duration.zero

  constructor(where: string, settings: CircuitSettings, reporter: Reporter) {
    this.settings = settings
    this.reporter = reporter
    this.openTime = OpenTime.openTime(where, settings.openFor)
    this.timed = settings.trip.usesDuration !== false
  }

  make(key: string, now: number): CircuitCell {
    return new CircuitCell(key, this.settings.trip, now)
  }

  /** Does a call of this circuit need the time? Reading the clock is most of what a call costs. */
  needsTime(cell: CircuitCell): boolean {
    return this.timed || !Circuit.isPassThrough(cell)
  }

  /** Does the circuit admit every call, whatever the time? */
  isPassThrough(cell: CircuitCell): boolean {
    return Circuit.isPassThrough(cell)
  }

  /** The rejection of a call that would not be admitted now. Reserves nothing. */
  check(cell: CircuitCell, now: number, fiber: AnyFiber): Effect.Effect<never, Rejection.CircuitOpen> | undefined {
    return Circuit.admits(cell, this.settings.probes, now) ? undefined : this.reject(cell, now, fiber)
  }

  /** Admits a call, or returns its rejection. */
  admit(
    cell: CircuitCell,
    admission: Admission,
    now: number,
    fiber: AnyFiber
  ): Effect.Effect<never, Rejection.CircuitOpen> | undefined {
    const from = cell.phase
    const probe = Circuit.admit(cell, this.settings.probes, now)
    if (cell.phase !== from) this.transition(cell, from, "time", fiber)
    if (probe === Circuit.Rejected) return this.reject(cell, now, fiber)
    admission.probe = probe
    admission.generation = cell.generation
    return undefined
  }

  /** Takes the outcome of an admitted call that began at `startedAt`. */
  settle(
    cell: CircuitCell,
    admission: Admission,
    outcome: Outcome,
    startedAt: number,
    now: number,
    fiber: AnyFiber,
    retryAfter?: Duration.Duration
  ): void {
    const { probes, trip } = this.settings
    const sample = { outcome: outcomeCodes[outcome], duration: this.timed ? now - startedAt : 0 }
    const verdict = Circuit.settle(cell, trip, probes, admission, sample, now)
    if (verdict === Circuit.Tripped) this.open(cell, now, fiber, retryAfter)
    else if (verdict === Circuit.Recovered) this.recover(cell, now, fiber)
  }

  /** Milliseconds for which the circuit will surely reject calls; 0 when it may admit one. */
  rejectsFor(cell: CircuitCell, now: number): number {
    if (cell.phase === Circuit.Isolated) return Infinity
    return cell.phase === Circuit.Open ? Circuit.remainingOpenMs(cell, now) : 0
  }

  private recover(cell: CircuitCell, now: number, fiber: AnyFiber): void {
    const from = cell.phase
    Circuit.close(cell, this.settings.trip, now)
    cell.lastEvidence = undefined
    this.transition(cell, from, "probes", fiber)
  }

  private open(cell: CircuitCell, now: number, fiber: AnyFiber, retryAfter: Duration.Duration | undefined): void {
    const { maxRetryAfter, trip } = this.settings
    const from = cell.phase
    // Figures and schedules may be the user's and may throw: the circuit opens first.
    const figures = Result.try(() => (from === Circuit.Closed ? trip.figures(cell.tripState, now) : undefined))
    const base = Result.try(() => this.openTime(Circuit.nextOpening(cell, now), fiber))
    if (from === Circuit.Closed)
      cell.lastEvidence = { trip: trip.name, figures: Result.getOrElse(figures, noFigures) ?? {} }
    // A `retryAfter` can only lengthen the open time, up to `maxRetryAfter`.
    const asked = retryAfter === undefined ? 0 : Math.min(Duration.toMillis(retryAfter), maxRetryAfter)
    Circuit.open(
      cell,
      Math.max(
        Result.getOrElse(base, () => OpenTime.fallback),
        asked
      ),
      now
    )
    this.transition(cell, from, from === Circuit.Closed ? "tripped" : "probes", fiber)
    if (Result.isFailure(figures)) throw figures.failure
    if (Result.isFailure(base)) throw base.failure
  }

  /** Restores a circuit as it has become in the `away` milliseconds since its snapshot. */
  restore(cell: CircuitCell, from: CircuitSnapshot, away: number, now: number, fiber: AnyFiber): void {
    const before = cell.phase
    // Running calls belong to the circuit as it was before, and so does its trip state.
    Circuit.reset(cell, this.settings.trip, now)
    cell.phase = states.indexOf(from.state) as Circuit.Phase
    cell.since = Math.floor(now - from.since - away)
    if (from.openings > 0 || cell.phase === Circuit.Open) {
      const openings = Circuit.openingsOf(cell)
      openings.until = now + from.retryAfter - away
      openings.length = from.openFor
      openings.count = from.openings
    }
    cell.lastEvidence = undefined
    if (cell.phase !== before) this.transition(cell, before, "control", fiber)
  }

  control(cell: CircuitCell, command: Command, now: number, fiber: AnyFiber): void {
    const from = cell.phase
    switch (command) {
      case "isolate":
        if (from !== Circuit.Isolated) Circuit.isolate(cell, now)
        break
      case "disable":
        if (from !== Circuit.Disabled) Circuit.disable(cell, now)
        break
      case "enable":
        if (from === Circuit.Disabled) Circuit.close(cell, this.settings.trip, now)
        break
      case "close":
        if (from !== Circuit.Closed) Circuit.close(cell, this.settings.trip, now)
        break
      case "reset":
        Circuit.reset(cell, this.settings.trip, now)
    }
    if (cell.phase === Circuit.Closed) cell.lastEvidence = undefined
    if (cell.phase !== from) this.transition(cell, from, "control", fiber)
  }

  private reject(cell: CircuitCell, now: number, fiber: AnyFiber): Effect.Effect<never, Rejection.CircuitOpen> {
    const { key } = cell
    const state = cell.phase === Circuit.Open ? "open" : cell.phase === Circuit.Isolated ? "isolated" : "half-open"
    const rejection = Rejection.circuitOpen({
      policy: this.reporter.policy,
      key,
      state,
      retryAfter: this.retryAfter(Math.ceil(Circuit.retryAfter(cell, this.settings.probes, now))),
      evidence: cell.lastEvidence
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

  view(cell: CircuitCell, now: number) {
    const common = {
      since: Duration.millis(Math.max(0, now - cell.since)),
      openings: Circuit.nextOpening(cell, now) - 1
    }
    switch (cell.phase) {
      case Circuit.Open:
        return {
          _tag: "open" as const,
          ...common,
          retryAfter: Duration.millis(Circuit.remainingOpenMs(cell, now)),
          ...(cell.lastEvidence === undefined ? {} : { evidence: cell.lastEvidence })
        }
      case Circuit.HalfOpen:
        return {
          _tag: "half-open" as const,
          ...common,
          probing: Circuit.probing(cell, now),
          successes: cell.openings?.probeSuccesses ?? 0
        }
      default:
        return { _tag: states[cell.phase] as "closed" | "isolated" | "disabled", ...common }
    }
  }

  private transition(cell: CircuitCell, from: Circuit.Phase, cause: Event.Transition["cause"], fiber: AnyFiber): void {
    if (!this.reporter.hasListeners) return
    const opened = cell.phase === Circuit.Open
    this.reporter.emit({
      _tag: "Transition",
      policy: this.reporter.policy,
      key: cell.key,
      at: Time.epochMillis(fiber),
      from: states[from]!,
      to: states[cell.phase]!,
      cause,
      ...(opened && cell.lastEvidence !== undefined ? { evidence: cell.lastEvidence } : {}),
      ...(opened && cell.openings !== undefined
        ? { openFor: Duration.millis(cell.openings.length), openings: cell.openings.count }
        : {})
    })
  }
}

/**
 * A circuit that must not be dropped: one that an operator changed, one whose open time is not over, one with a running probe.
 * An open circuit that is due for a probe may be dropped: a new one would admit that call too.
 */
export const pinned = (cell: CircuitCell, now: number): boolean => {
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

export const toSnapshot = (cell: CircuitCell, now: number): CircuitSnapshot => {
  const state = states[cell.phase]!
  return {
    key: cell.key,
    state: state === "half-open" ? "open" : state,
    since: now - cell.since,
    // JSON has no infinity.
    retryAfter: state === "open" ? Math.min(Circuit.remainingOpenMs(cell, now), Number.MAX_SAFE_INTEGER) : 0,
    openFor: Math.min(cell.openings?.length ?? 0, Number.MAX_SAFE_INTEGER),
    openings: cell.openings?.count ?? 0
  }
}
