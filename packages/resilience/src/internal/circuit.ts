/** Circuits at work: the pure machine with its trip policy, its open time and its events. Used by CircuitBreaker and Policy. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Event from "../Event.ts"
import * as Circuit from "../machine/Circuit.ts"
import type { Outcome } from "../Outcome.ts"
import * as Rejection from "../Rejection.ts"
import * as TripPolicy from "../TripPolicy.ts"
import type { Reporter } from "./hub.ts"
import * as Options from "./options.ts"
import * as Time from "./time.ts"
import type { AnyFiber } from "./types.ts"

export interface OpenForOptions {
  readonly initial: Duration.Input
  readonly factor?: number | undefined
  readonly max?: Duration.Input | undefined
  readonly jitter?: number | undefined
}

/** The evidence of a trip policy is its own business. */
export type AnyTripPolicy = TripPolicy.TripPolicy<any>

/** A schedule of open times; its input is the number of the opening in a row. */
export type OpenSchedule = Schedule.Schedule<unknown, number>

export type OpenFor = Duration.Input | OpenForOptions | OpenSchedule

export interface CircuitOptions {
  readonly trip?: AnyTripPolicy | undefined
  readonly openFor?: OpenFor | undefined
  readonly maxRetryAfter?: Duration.Input | undefined
  readonly probes?:
    | {
        readonly permitted?: number | undefined
        readonly successes?: number | undefined
        readonly lease?: Duration.Input | undefined
      }
    | undefined
}

/** Defaults of a circuit; the only place where they stand. */
export const defaults = {
  trip: () => TripPolicy.failureRate(),
  openFor: "5 seconds",
  factor: 2,
  max: "60 seconds",
  jitter: 0.2,
  maxRetryAfter: "10 minutes",
  probes: { permitted: 3, successes: 2, lease: "10 seconds" }
} as const

/** The default of the longest opening; also the open time of a circuit whose schedule throws. */
const longest = Duration.toMillis(defaults.max)

const noFigures = (): Readonly<Record<string, number>> => ({})

/** One circuit, with what its users see of it. */
export interface Cell {
  readonly key: string
  readonly circuit: Circuit.Circuit<unknown>
  /** What it had seen when it opened last. */
  evidence: Rejection.Evidence | undefined
}

const phases: ReadonlyArray<Event.CircuitPhase> = ["closed", "open", "half-open", "isolated", "disabled"]

const said: Readonly<Record<Outcome, Circuit.Said>> = {
  success: Circuit.Success,
  failure: Circuit.Failure,
  ignored: Circuit.Ignored
}

/** The names of a circuit's options. */
export const names = ["trip", "openFor", "maxRetryAfter", "probes"]

export class Circuits {
  readonly trip: TripPolicy.TripPolicy
  readonly settings: Circuit.Settings
  private readonly openTime: (opening: number, fiber: AnyFiber) => number
  private readonly maxRetryAfter: number
  private readonly reporter: Reporter

  constructor(where: string, options: CircuitOptions, reporter: Reporter) {
    this.reporter = reporter
    this.trip = Options.tripPolicy(where, "trip", options.trip ?? defaults.trip())
    if (options.probes !== undefined) {
      Options.known(`${where}.probes`, options.probes, ["permitted", "successes", "lease"])
    }
    const permitted = Options.integer(
      where,
      "probes.permitted",
      options.probes?.permitted ?? defaults.probes.permitted,
      1
    )
    this.settings = {
      permitted,
      successes: Options.integer(
        where,
        "probes.successes",
        options.probes?.successes ?? Math.min(defaults.probes.successes, permitted),
        1,
        permitted
      ),
      lease: Options.millis(where, "probes.lease", options.probes?.lease ?? defaults.probes.lease)
    }
    this.openTime = openTime(where, options.openFor ?? defaults.openFor)
    this.maxRetryAfter = Options.millis(where, "maxRetryAfter", options.maxRetryAfter ?? defaults.maxRetryAfter, {
      infinite: true
    })
  }

  make(key: string, now: number): Cell {
    return { key, circuit: Circuit.make(this.trip, now), evidence: undefined }
  }

  /** Would a call be admitted? Reserves nothing. */
  admits(cell: Cell, now: number): boolean {
    return Circuit.admits(cell.circuit, this.settings, now)
  }

  /** `Circuit.Rejected`, `Circuit.Admitted` or a probe's identity. */
  admit(cell: Cell, now: number, fiber: AnyFiber): number {
    const from = cell.circuit.phase
    const ticket = Circuit.admit(cell.circuit, this.settings, now)
    if (cell.circuit.phase !== from) this.transition(cell, from, "time", fiber)
    return ticket
  }

  settle(
    cell: Cell,
    era: number,
    ticket: number,
    outcome: Outcome,
    duration: number,
    now: number,
    fiber: AnyFiber,
    retryAfter?: Duration.Duration
  ): void {
    const circuit = cell.circuit
    const from = circuit.phase
    const verdict = Circuit.settle(circuit, this.trip, this.settings, era, ticket, said[outcome], duration, now)
    if (verdict === Circuit.Nothing) return
    if (verdict === Circuit.Recovered) {
      Circuit.close(circuit, this.trip, now)
      cell.evidence = undefined
      this.transition(cell, from, "probes", fiber)
      return
    }
    // Figures and schedules are code of others: the circuit opens before what they throw goes on its way.
    const figures = Result.try(() => (from === Circuit.Closed ? this.trip.figures(circuit.evidence, now) : undefined))
    const base = Result.try(() => this.openTime(Circuit.nextOpening(circuit, now), fiber))
    if (from === Circuit.Closed)
      cell.evidence = { trip: this.trip.name, figures: Result.getOrElse(figures, noFigures) ?? {} }
    // What the dependency asks for can only lengthen the pause, and only so far.
    const asked = retryAfter === undefined ? 0 : Math.min(Duration.toMillis(retryAfter), this.maxRetryAfter)
    Circuit.open(
      circuit,
      Math.max(
        Result.getOrElse(base, () => longest),
        asked
      ),
      now
    )
    this.transition(cell, from, from === Circuit.Closed ? "tripped" : "probes", fiber)
    if (Result.isFailure(figures)) throw figures.failure
    if (Result.isFailure(base)) throw base.failure
  }

  /** Restores a circuit as it has become in the `away` milliseconds since it was exported. */
  restore(cell: Cell, from: Exported, away: number, now: number, fiber: AnyFiber): void {
    const { circuit } = cell
    const before = circuit.phase
    // Calls that are running belong to the circuit that was here before, and so does its evidence.
    Circuit.reset(circuit, this.trip, now)
    circuit.phase = phases.indexOf(from.state) as Circuit.Phase
    circuit.since = now - from.since - away
    circuit.openUntil = now + from.retryAfter - away
    circuit.openFor = from.openFor
    circuit.openings = from.openings
    cell.evidence = undefined
    if (circuit.phase !== before) this.transition(cell, before, "control", fiber)
  }

  control(
    cell: Cell,
    command: "isolate" | "close" | "reset" | "disable" | "enable",
    now: number,
    fiber: AnyFiber
  ): void {
    const circuit = cell.circuit
    const from = circuit.phase
    switch (command) {
      case "isolate":
        if (from !== Circuit.Isolated) Circuit.isolate(circuit, now)
        break
      case "disable":
        if (from !== Circuit.Disabled) Circuit.disable(circuit, now)
        break
      case "enable":
        if (from === Circuit.Disabled) Circuit.close(circuit, this.trip, now)
        break
      case "close":
        if (from !== Circuit.Closed) Circuit.close(circuit, this.trip, now)
        break
      case "reset":
        Circuit.reset(circuit, this.trip, now)
    }
    if (circuit.phase === Circuit.Closed) cell.evidence = undefined
    if (circuit.phase !== from) this.transition(cell, from, "control", fiber)
  }

  rejection(cell: Cell, now: number): Rejection.CircuitOpen {
    const phase = cell.circuit.phase
    const state = phase === Circuit.Open ? "open" : phase === Circuit.Isolated ? "isolated" : "half-open"
    return Rejection.circuitOpen({
      policy: this.reporter.policy,
      key: cell.key,
      state,
      retryAfter: Duration.millis(Circuit.retryAfter(cell.circuit, now)),
      evidence: cell.evidence
    })
  }

  view(cell: Cell, now: number): CircuitView {
    const circuit = cell.circuit
    const common = {
      since: Duration.millis(Math.max(0, now - circuit.since)),
      openings: Circuit.nextOpening(circuit, now) - 1
    }
    switch (circuit.phase) {
      case Circuit.Open:
        return {
          _tag: "open",
          ...common,
          retryAfter: Duration.millis(Circuit.retryAfter(circuit, now)),
          ...(cell.evidence === undefined ? {} : { evidence: cell.evidence })
        }
      case Circuit.HalfOpen:
        return { _tag: "half-open", ...common, probing: circuit.probes.length, successes: circuit.probeSuccesses }
      default:
        return { _tag: phases[circuit.phase] as "closed" | "isolated" | "disabled", ...common }
    }
  }

  private transition(cell: Cell, from: Circuit.Phase, cause: Event.Transition["cause"], fiber: AnyFiber): void {
    if (!this.reporter.heard) return
    const circuit = cell.circuit
    const opened = circuit.phase === Circuit.Open
    this.reporter.report({
      _tag: "Transition",
      policy: this.reporter.policy,
      key: cell.key,
      at: Time.epochMillis(fiber),
      from: phases[from]!,
      to: phases[circuit.phase]!,
      cause,
      ...(opened && cell.evidence !== undefined ? { evidence: cell.evidence } : {}),
      ...(opened ? { openFor: Duration.millis(circuit.openFor), openings: circuit.openings } : {})
    })
  }
}

/** A circuit as its users see it. */
export type CircuitView =
  | {
      readonly _tag: "closed" | "isolated" | "disabled"
      readonly since: Duration.Duration
      readonly openings: number
    }
  | {
      readonly _tag: "open"
      readonly since: Duration.Duration
      readonly openings: number
      readonly retryAfter: Duration.Duration
      readonly evidence?: Rejection.Evidence
    }
  | {
      readonly _tag: "half-open"
      readonly since: Duration.Duration
      readonly openings: number
      readonly probing: number
      readonly successes: number
    }

/**
 * A circuit whose state must survive: an operator's word, an open time that is not over, a probe that is out. One whose
 * open time is over would be probed anyway.
 */
export const pinned = ({ circuit }: Cell, now: number): boolean => {
  switch (circuit.phase) {
    case Circuit.Closed:
      return false
    case Circuit.Open:
      return now < circuit.openUntil
    case Circuit.HalfOpen:
      return circuit.probes.some((probe) => now < probe.leaseEnds)
    default:
      return true
  }
}

/** A circuit as data; the probes of a half-open one are lost, so it counts as open with its time over. */
export interface Exported {
  readonly key: string
  readonly state: "closed" | "open" | "isolated" | "disabled"
  readonly since: number
  readonly retryAfter: number
  readonly openFor: number
  readonly openings: number
}

export const exported = (cell: Cell, now: number): Exported => {
  const { circuit } = cell
  const phase = phases[circuit.phase]!
  return {
    key: cell.key,
    state: phase === "half-open" ? "open" : phase,
    since: now - circuit.since,
    // JSON has no infinity.
    retryAfter: phase === "open" ? Math.min(Circuit.retryAfter(circuit, now), Number.MAX_SAFE_INTEGER) : 0,
    openFor: Math.min(circuit.openFor, Number.MAX_SAFE_INTEGER),
    openings: circuit.openings
  }
}

const isOptions = (input: OpenFor): input is OpenForOptions =>
  typeof input === "object" && "initial" in input && !Schedule.isSchedule(input)

/** The open time of the n-th opening in a row, in milliseconds. */
const openTime = (where: string, input: OpenFor): ((opening: number, fiber: AnyFiber) => number) => {
  if (Schedule.isSchedule(input)) return scheduled(where, input as OpenSchedule)
  const options: OpenForOptions = isOptions(input) ? input : { initial: input as Duration.Input }
  const field = isOptions(input) ? "openFor.initial" : "openFor"
  Options.known(`${where}.openFor`, options, ["initial", "factor", "max", "jitter"])
  const initial = Options.millis(where, field, options.initial)
  const factor = Options.within(where, "openFor.factor", options.factor ?? defaults.factor, 1, 1000)
  const jitter = Options.within(where, "openFor.jitter", options.jitter ?? defaults.jitter, 0, 1)
  const max = Options.millis(where, "openFor.max", options.max ?? Math.max(initial, longest))
  if (max < initial) {
    throw new RangeError(`${where}: openFor.max must be at least openFor.initial (${initial} ms), got ${max} ms`)
  }
  return (opening, fiber) => {
    const base = Math.min(max, initial * factor ** (opening - 1))
    if (jitter === 0) return base
    return base * (1 - jitter + 2 * jitter * fiber.getRef(Random.Random).nextDoubleUnsafe())
  }
}

/** Steps of a schedule replayed at the most: who is open for the hundredth time in a row is open long enough. */
const replayed = 100

/**
 * The delay that a schedule gives to its n-th step, replayed from the start against a simulated clock, so that it depends
 * on nothing but the number (Effect's own breaker does the same). A schedule that has ended keeps its last delay, and so
 * does one after {@link replayed} openings in a row.
 */
const replay = (schedule: OpenSchedule, opening: number): Effect.Effect<number> =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    let now = 0
    let delay = 0
    for (let attempt = 1; attempt <= Math.min(opening, replayed); attempt++) {
      const result = yield* Effect.result(step(now, attempt))
      if (result._tag === "Failure") break
      delay = Duration.toMillis(result.success[1])
      now += delay
    }
    return delay
  })

const scheduled = (where: string, schedule: OpenSchedule): ((opening: number, fiber: AnyFiber) => number) => {
  const range = "a schedule that decides without waiting"
  const first = Effect.runSyncExit(replay(schedule, 1))
  if (first._tag === "Failure") Options.reject(where, "openFor", range, Cause.squash(first.cause))
  else Options.millis(where, "openFor (the first delay of its schedule)", first.value)
  return (opening, fiber) => {
    const exit = Effect.runSyncExitWith(fiber.context)(replay(schedule, opening))
    if (exit._tag === "Success") return exit.value
    throw new Error(`${where}: openFor must be ${range}`, { cause: exit.cause })
  }
}
