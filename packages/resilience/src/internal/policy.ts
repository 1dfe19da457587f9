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
import { again, Frame, place } from "./frame.ts"
import * as Gates from "./gate.ts"
import type { Reporter } from "./hub.ts"
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
  slot: number
  readonly circuit: Circuits.Cell | undefined
  readonly gate: Gates.Cell | undefined
  readonly counters: Counters.Counters
}

/** One call, and each of its attempts in turn: the frame of the attempt in flight. */
class Call extends Frame implements Gates.Pass {
  private readonly engine: Engine
  private readonly self: AnyEffect
  private readonly told: Protecting.Told
  /** Found when the frame is in place: nothing holds it before. */
  private entry: Entry | undefined
  private readonly began: number
  /** The monotonic instant of the policy's own deadline, or of the one outside if that is earlier. */
  private readonly deadline: number
  private attempts: number
  private retrying: Retrying.Retrying | undefined
  private metadata: Schedule.Metadata | undefined
  // The attempt in flight.
  held: boolean
  place: Gates.Pass["place"]
  wake: Gates.Pass["wake"]
  private running: boolean
  private cut: boolean
  private era: number
  private ticket: number
  private started: number

  constructor(engine: Engine, self: AnyEffect, told: Protecting.Told, began: number, deadline: number) {
    super()
    this.engine = engine
    this.self = self
    this.told = told
    this.entry = undefined
    this.began = began
    this.deadline = deadline
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
    this.started = began
  }

  enter(fiber: AnyFiber): AnyEffect {
    this.attempts += 1
    const now = this.attempts === 1 ? this.began : Time.monotonicMillis(fiber)
    // Looked up for each attempt: during a pause it may have been forgotten, and then others use a new one by now.
    const entry = this.engine.entries.get(this.told.key, now)
    this.entry = entry
    if (this.attempts === 1) {
      entry.counters.calls += 1
    } else {
      this.held = false
      this.place = undefined
      this.wake = undefined
      this.cut = false
    }
    return this.ask(entry, now, fiber)
  }

  /** Asks the circuit, without taking a probe into the queue, and then for a permit. */
  private ask(entry: Entry, now: number, fiber: AnyFiber): AnyEffect {
    const { circuits, gates } = this.engine.parts
    const { circuit, gate } = entry
    if (circuits !== undefined && circuit !== undefined && !circuits.admits(circuit, now)) {
      return this.refuse(circuits, circuit, now, fiber)
    }
    if (gates === undefined || gate === undefined) return this.start(entry, now, fiber)
    const left = Math.min(this.deadline - now, Deadline.remaining(fiber))
    const wait = gates.enter(gate, this, fiber, left)
    return wait === undefined
      ? this.start(entry, now, fiber)
      : Effect.flatMap(wait, () => this.start(entry, Time.monotonicMillis(fiber), fiber))
  }

  /** With the permit in hand: asks the circuit again, this time for good, and begins the work. */
  private start(entry: Entry, now: number, fiber: AnyFiber): AnyEffect {
    const { budget, circuits, retry, timeout } = this.engine.parts
    const { circuit } = entry
    const left = this.deadline - now
    if (left <= 0) return Effect.fail(this.tooLate(entry, false, fiber))
    if (circuits !== undefined && circuit !== undefined) {
      this.ticket = circuits.admit(circuit, now, fiber)
      if (this.ticket === Circuit.Rejected) return this.refuse(circuits, circuit, now, fiber)
      this.era = circuit.circuit.era
    }
    // Only a call that reaches the dependency earns retries.
    if (this.attempts === 1 && retry !== undefined) budget?.deposit(fiber)
    this.running = true
    this.started = now
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
      () => (timeout <= left ? this.timedOut(entry, fiber) : this.late(entry, fiber))
    )
  }

  private refuse(circuits: Circuits.Circuits, circuit: Circuits.Cell, now: number, fiber: AnyFiber): AnyEffect {
    const rejection = circuits.rejection(circuit, now)
    this.engine.parts.reporter.rejected(circuit.key, rejection, fiber)
    return Effect.fail(rejection)
  }

  private timedOut(entry: Entry, fiber: AnyFiber): Exit.Exit<never, Rejection.TimedOut> {
    const { reporter, timeout } = this.engine.parts
    const { counters, key } = entry
    const after = Duration.millis(timeout)
    counters.timeouts += 1
    reporter.timeoutFired(key, after, fiber)
    return Exit.fail(Rejection.timedOut({ policy: reporter.policy, key, after }))
  }

  private late(entry: Entry, fiber: AnyFiber): Exit.Exit<never, Rejection.DeadlineExceeded> {
    this.cut = true
    return Exit.fail(this.tooLate(entry, true, fiber))
  }

  /** With the time this call had in all: an outer deadline may have left it less than the policy gives. */
  private tooLate({ key }: Entry, started: boolean, fiber: AnyFiber): Rejection.DeadlineExceeded {
    const { reporter } = this.engine.parts
    const deadline = Duration.millis(Math.max(0, this.deadline - this.began))
    const rejection = Rejection.deadlineExceeded({ policy: reporter.policy, key, deadline, started })
    reporter.rejected(key, rejection, fiber)
    return rejection
  }

  succeeded(value: unknown, fiber: AnyFiber): undefined {
    const { entry } = this
    if (entry === undefined) return
    this.release(entry)
    this.settle(entry, Protecting.judgeSuccess(this.told.judge ?? this.engine.parts.judge, value), undefined, fiber)
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const { entry } = this
    if (entry === undefined) return undefined
    // First what is held, then what others may get wrong.
    this.release(entry)
    if (this.running) {
      if (this.cut) entry.counters.rejections.DeadlineExceeded += 1
      this.settle(entry, this.judge(cause, fiber), cause, fiber)
    } else {
      const rejection = rejectionIn(cause)
      if (rejection !== undefined) entry.counters.rejections[rejection._tag] += 1
    }
    return this.retry(entry, cause, fiber)
  }

  private release({ gate }: Entry): void {
    if (gate !== undefined) this.engine.parts.gates?.release(gate, this)
  }

  /**
   * What a failure says. When a deadline cut the work, this policy's or one around it, that counts against the dependency
   * only if the work had a fair share of the time this policy gives to an attempt: without it, a black hole behind a
   * deadline would never open the circuit.
   */
  private judge(cause: Cause.Cause<unknown>, fiber: AnyFiber): Protecting.Judged {
    const { deadline, judge, timeout } = this.engine.parts
    if (this.cut || (Cause.hasInterruptsOnly(cause) && Deadline.remaining(fiber) <= 0)) {
      const duration = Time.monotonicMillis(fiber) - this.started
      return duration >= fairShare * Math.min(deadline, timeout) ? Protecting.failure : Protecting.ignored
    }
    return Protecting.judgeSafely(this.told.judge ?? judge, Exit.failCause(cause))
  }

  private settle(
    { circuit, counters, key }: Entry,
    judged: Protecting.Judged,
    cause: Cause.Cause<unknown> | undefined,
    fiber: AnyFiber
  ): void {
    const { circuits, reporter } = this.engine.parts
    const { outcome } = judged
    const now = Time.monotonicMillis(fiber)
    const duration = now - this.started
    this.running = false
    counters.running -= 1
    counters.record(outcome, duration, now)
    if (circuits !== undefined && circuit !== undefined) {
      const retryAfter = cause !== undefined && outcome === "failure" ? Protecting.retryAfterOf(cause) : undefined
      circuits.settle(circuit, this.era, this.ticket, outcome, duration, now, fiber, retryAfter)
    }
    if (cause !== undefined && outcome === "ignored") reporter.ignored(key, cause, fiber)
    if (judged.threw) throw judged.defect
  }

  private retry(entry: Entry, cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const plan = this.engine.parts.retry
    if (plan === undefined) return undefined
    this.retrying ??= new Retrying.Retrying(plan, this.who(entry), this.began, fiber)
    return this.retrying.failed(cause, fiber, (metadata) => {
      this.metadata = metadata
      return again(this)
    })
  }

  private who({ counters, key }: Entry): Retrying.Who {
    const { budget, reporter } = this.engine.parts
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
    const circuit = this.entry?.circuit?.circuit
    if (circuit === undefined || (circuit.phase !== Circuit.Open && circuit.phase !== Circuit.Isolated)) return false
    return Circuit.retryAfter(circuit, Time.monotonicMillis(fiber)) > delay
  }
}

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
      lastUsed: now,
      slot: 0,
      circuit: circuits?.make(key, now),
      gate: gates?.make(key),
      counters: new Counters.Counters()
    }
  }

  begin(self: AnyEffect, told: Protecting.Told, fiber: AnyFiber): AnyEffect {
    const now = Time.monotonicMillis(fiber)
    const own = this.parts.deadline
    // An outer deadline bounds this one; without one of its own a policy leaves the outer one to whoever set it.
    const deadline = own === Infinity ? Infinity : Math.min(now + own, Deadline.instant(fiber))
    return place(new Call(this, self, told, now, deadline), fiber)
  }

  control(key: string, command: Parameters<Circuits.Circuits["control"]>[1], now: number, fiber: AnyFiber): void {
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
