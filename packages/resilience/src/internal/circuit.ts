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
  trip: TripPolicy.standard,
  openFor: "1 second",
  factor: 1,
  max: "60 seconds",
  jitter: 0.2,
  maxRetryAfter: "10 minutes",
  probes: { permitted: 1, successes: 1, lease: "10 seconds" }
} as const

/** The default of the longest opening; also the open time of a circuit whose schedule throws. */
const longest = Duration.toMillis(defaults.max)

const noFigures = (): Readonly<Record<string, number>> => ({})

/** One circuit of a policy. */
export class Cell extends Circuit.Circuit<unknown> {
  declare readonly key: string
  /** The evidence on which it opened last. */
  declare why: Rejection.Evidence | undefined

  constructor(key: string, trip: AnyTripPolicy, now: number) {
    super(trip, now)
    this.key = key
    this.why = undefined
  }
}

const phases: ReadonlyArray<Event.CircuitPhase> = ["closed", "open", "half-open", "isolated", "disabled"]

const said: Readonly<Record<Outcome, Circuit.Said>> = {
  success: Circuit.Success,
  failure: Circuit.Failure,
  ignored: Circuit.Ignored
}

/** What an operator may tell a circuit. */
export type Command = "isolate" | "close" | "reset" | "disable" | "enable"

/** The commands as effects, each for one key. */
export const commands = (tell: (key: string, command: Command, now: number, fiber: AnyFiber) => void) => {
  const command =
    (name: Command) =>
    (key: string = Rejection.defaultKey): Effect.Effect<void> =>
      Time.withNow((now, fiber) => tell(key, name, now, fiber))
  return {
    isolate: command("isolate"),
    close: command("close"),
    reset: command("reset"),
    disable: command("disable"),
    enable: command("enable")
  }
}

/** The names of a circuit's options. */
export const names = ["trip", "openFor", "maxRetryAfter", "probes"]

export class Circuits {
  readonly trip: TripPolicy.TripPolicy
  /** Must calls be timed? */
  readonly timed: boolean
  readonly settings: Circuit.Settings
  private readonly openTime: (opening: number, fiber: AnyFiber) => number
  private readonly maxRetryAfter: number
  private readonly reporter: Reporter
  private lastMillis = 0
  private lastRetryAfter = Duration.zero

  constructor(where: string, options: CircuitOptions, reporter: Reporter) {
    this.reporter = reporter
    this.trip = Options.tripPolicy(where, "trip", options.trip ?? defaults.trip)
    this.timed = this.trip.usesDuration !== false
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
        options.probes?.successes ?? defaults.probes.successes,
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
    return new Cell(key, this.trip, now)
  }

  /** Would a call be admitted? Reserves nothing. {@link Circuit.passes} may know without the time. */
  admits(cell: Cell, now: number): boolean {
    return Circuit.admits(cell, this.settings, now)
  }

  /** `Circuit.Rejected`, `Circuit.Admitted` or a probe's identity. */
  admit(cell: Cell, now: number, fiber: AnyFiber): number {
    const from = cell.phase
    const ticket = Circuit.admit(cell, this.settings, now)
    if (cell.phase !== from) this.transition(cell, from, "time", fiber)
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
    const verdict = Circuit.settle(cell, this.trip, this.settings, era, ticket, said[outcome], duration, now)
    if (verdict === Circuit.Tripped) this.open(cell, now, fiber, retryAfter)
    else if (verdict === Circuit.Recovered) this.recover(cell, now, fiber)
  }

  private recover(cell: Cell, now: number, fiber: AnyFiber): void {
    const from = cell.phase
    Circuit.close(cell, this.trip, now)
    cell.why = undefined
    this.transition(cell, from, "probes", fiber)
  }

  private open(cell: Cell, now: number, fiber: AnyFiber, retryAfter: Duration.Duration | undefined): void {
    const from = cell.phase
    // Figures and schedules are code of others: the circuit opens before what they throw goes on its way.
    const figures = Result.try(() => (from === Circuit.Closed ? this.trip.figures(cell.evidence, now) : undefined))
    const base = Result.try(() => this.openTime(Circuit.nextOpening(cell, now), fiber))
    if (from === Circuit.Closed)
      cell.why = { trip: this.trip.name, figures: Result.getOrElse(figures, noFigures) ?? {} }
    // What the dependency asks for can only lengthen the pause, and only so far.
    const asked = retryAfter === undefined ? 0 : Math.min(Duration.toMillis(retryAfter), this.maxRetryAfter)
    Circuit.open(
      cell,
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
    const before = cell.phase
    // Calls that are running belong to the circuit that was here before, and so does its evidence.
    Circuit.reset(cell, this.trip, now)
    cell.phase = phases.indexOf(from.state) as Circuit.Phase
    cell.since = Math.floor(now - from.since - away)
    if (from.openings > 0 || cell.phase === Circuit.Open) {
      const openings = Circuit.openingsOf(cell)
      openings.until = now + from.retryAfter - away
      openings.length = from.openFor
      openings.count = from.openings
    }
    cell.why = undefined
    if (cell.phase !== before) this.transition(cell, before, "control", fiber)
  }

  control(cell: Cell, command: Command, now: number, fiber: AnyFiber): void {
    const from = cell.phase
    switch (command) {
      case "isolate":
        if (from !== Circuit.Isolated) Circuit.isolate(cell, now)
        break
      case "disable":
        if (from !== Circuit.Disabled) Circuit.disable(cell, now)
        break
      case "enable":
        if (from === Circuit.Disabled) Circuit.close(cell, this.trip, now)
        break
      case "close":
        if (from !== Circuit.Closed) Circuit.close(cell, this.trip, now)
        break
      case "reset":
        Circuit.reset(cell, this.trip, now)
    }
    if (cell.phase === Circuit.Closed) cell.why = undefined
    if (cell.phase !== from) this.transition(cell, from, "control", fiber)
  }

  /** What a call that is not admitted fails with. */
  reject(cell: Cell, now: number, fiber: AnyFiber): Effect.Effect<never, Rejection.CircuitOpen> {
    const { key } = cell
    const state = cell.phase === Circuit.Open ? "open" : cell.phase === Circuit.Isolated ? "isolated" : "half-open"
    const rejection = Rejection.circuitOpen({
      policy: this.reporter.policy,
      key,
      state,
      retryAfter: this.retryAfter(Math.ceil(Circuit.retryAfter(cell, this.settings, now))),
      evidence: cell.why
    })
    this.reporter.rejected(key, rejection, fiber)
    return Effect.fail(rejection)
  }

  /** Rejections come in crowds, many in one millisecond. */
  private retryAfter(millis: number): Duration.Duration {
    if (millis !== this.lastMillis) {
      this.lastMillis = millis
      this.lastRetryAfter = Duration.millis(millis)
    }
    return this.lastRetryAfter
  }

  view(cell: Cell, now: number): CircuitView {
    const common = {
      since: Duration.millis(Math.max(0, now - cell.since)),
      openings: Circuit.nextOpening(cell, now) - 1
    }
    switch (cell.phase) {
      case Circuit.Open:
        return {
          _tag: "open",
          ...common,
          retryAfter: Duration.millis(Circuit.openLeft(cell, now)),
          ...(cell.why === undefined ? {} : { evidence: cell.why })
        }
      case Circuit.HalfOpen:
        return {
          _tag: "half-open",
          ...common,
          probing: Circuit.probing(cell, now),
          successes: cell.openings?.probeSuccesses ?? 0
        }
      default:
        return { _tag: phases[cell.phase] as "closed" | "isolated" | "disabled", ...common }
    }
  }

  private transition(cell: Cell, from: Circuit.Phase, cause: Event.Transition["cause"], fiber: AnyFiber): void {
    if (!this.reporter.heard) return
    const opened = cell.phase === Circuit.Open
    this.reporter.report({
      _tag: "Transition",
      policy: this.reporter.policy,
      key: cell.key,
      at: Time.epochMillis(fiber),
      from: phases[from]!,
      to: phases[cell.phase]!,
      cause,
      ...(opened && cell.why !== undefined ? { evidence: cell.why } : {}),
      ...(opened && cell.openings !== undefined
        ? { openFor: Duration.millis(cell.openings.length), openings: cell.openings.count }
        : {})
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
export const pinned = (cell: Cell, now: number): boolean => {
  switch (cell.phase) {
    case Circuit.Closed:
      return false
    case Circuit.Open:
      return Circuit.openLeft(cell, now) > 0
    case Circuit.HalfOpen:
      return cell.openings?.probes.some((probe) => now < probe.leaseEnds) ?? false
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
  const phase = phases[cell.phase]!
  return {
    key: cell.key,
    state: phase === "half-open" ? "open" : phase,
    since: now - cell.since,
    // JSON has no infinity.
    retryAfter: phase === "open" ? Math.min(Circuit.openLeft(cell, now), Number.MAX_SAFE_INTEGER) : 0,
    openFor: Math.min(cell.openings?.length ?? 0, Number.MAX_SAFE_INTEGER),
    openings: cell.openings?.count ?? 0
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
  if (options.max !== undefined && factor === 1) {
    throw new RangeError(`${where}: openFor.max bounds openings that grow: give openFor.factor as well`)
  }
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
