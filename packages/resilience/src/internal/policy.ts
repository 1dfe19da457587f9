/** A whole policy at work: one call through deadline, retry and budget, circuit, gate and timeout, as one frame. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Circuit from "../machine/Circuit.ts"
import * as Rejection from "../Rejection.ts"
import type * as Budget from "./budget.ts"
import * as Circuits from "./circuit.ts"
import * as Deadline from "./deadline.ts"
import { unprepared } from "./frame.ts"
import * as Gates from "./gate.ts"
import type { Reporter } from "./hub.ts"
import { keep } from "./keep.ts"
import { Keyed, type KeysOptions } from "./keyed.ts"
import * as Protecting from "./protect.ts"
import * as Retrying from "./retry.ts"
import * as Counters from "./stats.ts"
import * as Time from "./time.ts"
import * as Limit from "./timeout.ts"
import type { AnyEffect, AnyFiber } from "./types.ts"

/** What a policy is made of; each part is there only when it is configured. */
export interface Parts {
  readonly reporter: Reporter
  readonly judge: Protecting.Judge
  readonly circuits: Circuits.Circuits | undefined
  readonly gates: Gates.Gates | undefined
  readonly retry: Retrying.Plan | undefined
  readonly budget: Budget.Budget | undefined
  /** Milliseconds; `Infinity` when there is none. */
  readonly timeout: number
  readonly deadline: number
}

/** The state of one key. */
interface Entry {
  readonly key: string
  lastUsed: number
  readonly circuit: Circuits.Cell | undefined
  readonly gate: Gates.Cell | undefined
  readonly counters: Counters.Counters
}

/** One call, and each of its attempts in turn: the frame of the attempt in flight. */
export class Call extends Protecting.Guarded<Engine> implements Gates.Pass {
  /** There from the start of a call to its end. */
  declare private entry: Entry | undefined
  declare private began: number
  /** The monotonic instant of the policy's own deadline, or of the one outside if that is earlier. */
  declare private deadline: number
  declare private attempts: number
  declare private retrying: Retrying.Retrying | undefined
  declare private metadata: Schedule.Metadata | undefined
  // The attempt in flight.
  declare held: boolean
  declare place: Gates.Pass["place"]
  declare wake: Gates.Pass["wake"]
  declare private running: boolean
  declare private cut: boolean
  declare private era: number
  declare private ticket: number
  /** When it began, or asked for a permit. */
  declare private started: number

  constructor(
    engine: Engine | undefined,
    service: Protecting.Service | undefined,
    self: AnyEffect,
    told: Protecting.Told
  ) {
    super(engine, service, self, told)
    this.entry = undefined
    this.began = NaN
    this.deadline = Infinity
    this.attempts = 0
    this.retrying = undefined
    this.metadata = undefined
    this.held = false
    this.place = undefined
    this.wake = undefined
    this.running = false
    this.cut = false
    this.era = 0
    this.ticket = 0
    this.started = NaN
  }

  protected copy(): Call {
    return new Call(this.engine, this.service, this.self, this.told)
  }

  protected refused(engine: Engine, fiber: AnyFiber): AnyEffect | undefined {
    const { circuits, deadline } = engine.parts
    const now = Time.monotonicMillis(fiber)
    const entry = engine.entries.get(this.told.key, fiber)
    entry.counters.calls += 1
    const { circuit } = entry
    if (circuits !== undefined && circuit !== undefined && !circuits.admits(circuit, now)) {
      entry.lastUsed = Math.floor(now)
      entry.counters.rejections.CircuitOpen += 1
      return circuits.reject(circuit, now, fiber)
    }
    this.entry = entry
    this.began = now
    this.started = now
    // An outer deadline bounds this one; without one of its own a policy leaves the outer one to whoever set it.
    this.deadline = deadline === Infinity ? Infinity : Math.min(now + deadline, Deadline.instant(fiber))
    this.attempts = 0
    this.retrying = undefined
    this.metadata = undefined
    return undefined
  }

  enter(fiber: AnyFiber): AnyEffect {
    const { engine } = this
    if (this.entry === undefined || engine === undefined) return unprepared
    this.attempts += 1
    if (this.attempts === 1) return this.wait(this.entry, engine, fiber)
    const now = Time.monotonicMillis(fiber)
    // Looked up for each attempt: during a pause it may have been forgotten, and then others use a new one by now.
    const entry = engine.entries.get(this.told.key, fiber)
    this.entry = entry
    this.started = now
    const { circuits } = engine.parts
    const { circuit } = entry
    if (circuits !== undefined && circuit !== undefined && !circuits.admits(circuit, now)) {
      return circuits.reject(circuit, now, fiber)
    }
    return this.wait(entry, engine, fiber)
  }

  /** Asks for a permit; the circuit has been asked, and no probe is taken into the queue. */
  private wait(entry: Entry, engine: Engine, fiber: AnyFiber): AnyEffect {
    const { gates } = engine.parts
    const { gate } = entry
    if (gates === undefined || gate === undefined) return this.start(entry, engine, fiber)
    const wait = gates.enter(gate, this, fiber, this.deadline)
    if (wait === undefined) return this.start(entry, engine, fiber)
    return Effect.flatMap(wait, () => {
      this.started = Time.monotonicMillis(fiber)
      return this.start(entry, engine, fiber)
    })
  }

  /** With the permit in hand: asks the circuit again, this time for good, and begins the work. */
  private start(entry: Entry, engine: Engine, fiber: AnyFiber): AnyEffect {
    const { budget, circuits, retry, timeout } = engine.parts
    // A number in a field is passed on without a box, which an argument may need.
    const now = this.started
    const { circuit } = entry
    const left = this.deadline - now
    if (left <= 0) return Effect.fail(this.tooLate(entry, engine, false, fiber))
    if (circuits !== undefined && circuit !== undefined) {
      this.ticket = circuits.admit(circuit, now, fiber)
      if (this.ticket === Circuit.Rejected) return circuits.reject(circuit, now, fiber)
      this.era = circuit.era
    }
    // Only a call that reaches the dependency earns retries.
    if (this.attempts === 1 && retry !== undefined) budget?.deposit(now)
    this.running = true
    entry.counters.running += 1
    const work =
      this.metadata === undefined
        ? this.self
        : Effect.provideService(this.self, Schedule.CurrentMetadata, this.metadata)
    const limit = Math.min(timeout, left)
    if (limit === Infinity) return work
    return Limit.within<unknown, Rejection.TimedOut | Rejection.DeadlineExceeded>(
      work,
      limit,
      Deadline.within(fiber, now + limit),
      fiber,
      () => (timeout <= left ? this.timedOut(entry, engine, fiber) : this.late(entry, engine, fiber))
    )
  }

  private timedOut(entry: Entry, engine: Engine, fiber: AnyFiber): Exit.Exit<never, Rejection.TimedOut> {
    const { reporter, timeout } = engine.parts
    const { counters, key } = entry
    const after = Duration.millis(timeout)
    counters.timeouts += 1
    reporter.timeoutFired(key, after, fiber)
    return Exit.fail(Rejection.timedOut({ policy: reporter.policy, key, after }))
  }

  private late(entry: Entry, engine: Engine, fiber: AnyFiber): Exit.Exit<never, Rejection.DeadlineExceeded> {
    this.cut = true
    return Exit.fail(this.tooLate(entry, engine, true, fiber))
  }

  /** With the time this call had in all: an outer deadline may have left it less than the policy gives. */
  private tooLate(
    { key }: Entry,
    { parts: { reporter } }: Engine,
    started: boolean,
    fiber: AnyFiber
  ): Rejection.DeadlineExceeded {
    const deadline = Duration.millis(Math.max(0, this.deadline - this.began))
    const rejection = Rejection.deadlineExceeded({ policy: reporter.policy, key, deadline, started })
    reporter.rejected(key, rejection, fiber)
    return rejection
  }

  succeeded(value: unknown, fiber: AnyFiber): undefined {
    const { engine, entry } = this
    if (entry === undefined || engine === undefined) return
    this.entry = undefined
    this.retrying = undefined
    this.metadata = undefined
    this.release(entry, engine)
    this.settle(entry, engine, Protecting.judgeSuccess(this.told.judge ?? engine.parts.judge, value), undefined, fiber)
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const { engine, entry } = this
    if (entry === undefined || engine === undefined) return undefined
    // First what is held, then what others may get wrong.
    this.release(entry, engine)
    if (this.running) {
      if (this.cut) entry.counters.rejections.DeadlineExceeded += 1
      this.settle(entry, engine, this.judge(engine, cause, fiber), cause, fiber)
    } else {
      const rejection = rejectionIn(cause)
      if (rejection !== undefined) entry.counters.rejections[rejection._tag] += 1
    }
    const next = this.retry(entry, engine, cause, fiber)
    if (next === undefined) this.entry = undefined
    return next
  }

  private release({ gate }: Entry, engine: Engine): void {
    if (gate !== undefined) engine.parts.gates?.release(gate, this)
  }

  /**
   * What a failure says. When a deadline cut the work, this policy's or one around it, that counts against the dependency
   * only if the work had a fair share of the time this policy gives to an attempt: without it, a black hole behind a
   * deadline would never open the circuit.
   */
  private judge(engine: Engine, cause: Cause.Cause<unknown>, fiber: AnyFiber): Protecting.Judged {
    const { deadline, judge, timeout } = engine.parts
    if (this.cut || (Cause.hasInterruptsOnly(cause) && Deadline.remaining(fiber) <= 0)) {
      const duration = Time.monotonicMillis(fiber) - this.started
      return duration >= fairShare * Math.min(deadline, timeout) ? Protecting.failure : Protecting.ignored
    }
    return Protecting.judgeSafely(this.told.judge ?? judge, Exit.failCause(cause))
  }

  private settle(
    entry: Entry,
    engine: Engine,
    judged: Protecting.Judged,
    cause: Cause.Cause<unknown> | undefined,
    fiber: AnyFiber
  ): void {
    const { circuits, reporter } = engine.parts
    const { circuit, counters, key } = entry
    const { outcome } = judged
    const now = Time.monotonicMillis(fiber)
    const duration = now - this.started
    this.running = false
    this.cut = false
    entry.lastUsed = Math.floor(now)
    counters.running -= 1
    counters.record(outcome, duration, now)
    if (circuits !== undefined && circuit !== undefined) {
      const retryAfter = cause !== undefined && outcome === "failure" ? Protecting.retryAfterOf(cause) : undefined
      circuits.settle(circuit, this.era, this.ticket, outcome, duration, now, fiber, retryAfter)
    }
    if (cause !== undefined && outcome === "ignored") reporter.ignored(key, cause, fiber)
    if (judged.threw) throw judged.defect
  }

  private retry(entry: Entry, engine: Engine, cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const plan = engine.parts.retry
    if (plan === undefined) return undefined
    this.retrying ??= new Retrying.Retrying(plan, this.who(entry, engine), this.began, fiber)
    return this.retrying.failed(cause, fiber, (metadata) => {
      this.metadata = metadata
      return this.again()
    })
  }

  private who({ counters, key }: Entry, { parts: { budget, reporter } }: Engine): Retrying.Who {
    return {
      key,
      reporter,
      budget,
      deadline: this.deadline,
      refuses: (delay, fiber) => this.refuses(delay, fiber),
      decided: () => {
        ;(this.entry?.counters ?? counters).retries += 1
      },
      gaveUp: (reason) => {
        ;(this.entry?.counters ?? counters).giveUps[reason] += 1
      }
    }
  }

  /** The circuit that this call opened, or that others did meanwhile, will not be asked again that soon. */
  private refuses(delay: number, fiber: AnyFiber): boolean {
    const circuit = this.entry?.circuit
    if (circuit?.phase === Circuit.Isolated) return true
    return circuit?.phase === Circuit.Open && Circuit.openLeft(circuit, Time.monotonicMillis(fiber)) > delay
  }
}

keep(new Call(undefined, undefined, Effect.void, Protecting.nothingTold))

/** Of the time for one attempt. */
const fairShare = 0.5

const rejectionIn = (cause: Cause.Cause<unknown>): Rejection.Rejection | undefined => {
  const reason = cause.reasons.find(Cause.isFailReason)
  return reason !== undefined && Rejection.is(reason.error) ? reason.error : undefined
}

/** One key of a policy at a moment. */
export interface View {
  readonly policy: string
  readonly key: string
  readonly circuit: Circuits.CircuitView | undefined
  readonly running: number
  readonly waiting: number
  readonly maxConcurrent: number | undefined
  readonly balance: number | undefined
  readonly totals: Counters.Totals
  readonly recent: Counters.Recent
}

export class Engine {
  readonly parts: Parts
  readonly entries: Keyed<Entry>

  constructor(where: string, keys: KeysOptions | undefined, parts: Parts) {
    this.parts = parts
    this.entries = new Keyed<Entry>(where, keys, (key, now) => this.make(key, now), pinned)
  }

  private make(key: string, now: number): Entry {
    const { circuits, gates } = this.parts
    return {
      key,
      lastUsed: Math.floor(now),
      circuit: circuits?.make(key, now),
      gate: gates?.make(key),
      counters: new Counters.Counters()
    }
  }

  control(key: string, command: Circuits.Command, now: number, fiber: AnyFiber): void {
    const { circuits } = this.parts
    const circuit = circuits && this.entries.insist(key, now).circuit
    if (circuit !== undefined) circuits?.control(circuit, command, now, fiber)
  }

  resize(maxConcurrent: number): void {
    this.parts.gates?.resize(
      maxConcurrent,
      Array.from(this.entries.all()).flatMap((entry) => entry.gate ?? [])
    )
  }

  /** Looking at a key neither makes nor keeps it. */
  stats(key: string, now: number, fiber: AnyFiber): View {
    return this.view(this.entries.peek(key) ?? this.make(key, now), now, fiber)
  }

  allStats(now: number, fiber: AnyFiber): ReadonlyArray<View> {
    return Array.from(this.entries.all(), (entry) => this.view(entry, now, fiber))
  }

  private view(entry: Entry, now: number, fiber: AnyFiber): View {
    const { budget, circuits, gates, reporter } = this.parts
    return {
      policy: reporter.policy,
      key: entry.key,
      circuit: entry.circuit && circuits?.view(entry.circuit, now),
      running: entry.counters.running,
      waiting: entry.gate?.gate.waiting ?? 0,
      maxConcurrent: gates?.maxConcurrent,
      balance: budget?.balance(fiber),
      totals: entry.counters.totals(),
      recent: entry.counters.recent(now)
    }
  }
}

const pinned = (entry: Entry, now: number): boolean =>
  entry.counters.running > 0 ||
  (entry.circuit !== undefined && Circuits.pinned(entry.circuit, now)) ||
  (entry.gate !== undefined && Gates.pinned(entry.gate))
