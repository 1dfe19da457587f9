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
  private entry: Entry
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
    this.entry = engine.entries.get(told.key, began)
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
    if (this.attempts === 1) {
      this.entry.counters.calls += 1
      return this.ask(this.began, fiber)
    }
    this.held = false
    this.place = undefined
    this.wake = undefined
    this.cut = false
    const now = Time.monotonicMillis(fiber)
    // Nothing held the entry during the pause: it may have been forgotten, and then others use a new one by now.
    this.entry = this.engine.entries.get(this.told.key, now)
    return this.ask(now, fiber)
  }

  /** Asks the circuit, without taking a probe into the queue, and then for a permit. */
  private ask(now: number, fiber: AnyFiber): AnyEffect {
    const { circuits, gates } = this.engine.parts
    const { circuit, gate } = this.entry
    if (circuits !== undefined && circuit !== undefined && !circuits.admits(circuit, now)) {
      return this.refuse(circuits, circuit, now, fiber)
    }
    if (gates === undefined || gate === undefined) return this.start(now, fiber)
    const left = Math.min(this.deadline - now, Deadline.remaining(fiber))
    const wait = gates.enter(gate, this, fiber, left)
    return wait === undefined
      ? this.start(now, fiber)
      : Effect.flatMap(wait, () => this.start(Time.monotonicMillis(fiber), fiber))
  }

  /** With the permit in hand: asks the circuit again, this time for good, and begins the work. */
  private start(now: number, fiber: AnyFiber): AnyEffect {
    const { budget, circuits, retry, timeout } = this.engine.parts
    const { entry } = this
    const { circuit } = entry
    const left = this.deadline - now
    if (left <= 0) return Effect.fail(this.tooLate(false, fiber))
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
      Deadline.tightened(fiber, now + limit),
      fiber,
      () => (timeout <= left ? this.timedOut(fiber) : this.late(fiber))
    )
  }

  private refuse(circuits: Circuits.Circuits, circuit: Circuits.Cell, now: number, fiber: AnyFiber): AnyEffect {
    const rejection = circuits.rejection(circuit, now)
    this.engine.parts.reporter.rejected(circuit.key, rejection, fiber)
    return Effect.fail(rejection)
  }

  private timedOut(fiber: AnyFiber): Exit.Exit<never, Rejection.TimedOut> {
    const { reporter, timeout } = this.engine.parts
    const { counters, key } = this.entry
    const after = Duration.millis(timeout)
    counters.timeouts += 1
    reporter.timeoutFired(key, after, fiber)
    return Exit.fail(Rejection.timedOut({ policy: reporter.policy, key, after }))
  }

  private late(fiber: AnyFiber): Exit.Exit<never, Rejection.DeadlineExceeded> {
    this.cut = true
    return Exit.fail(this.tooLate(true, fiber))
  }

  /** With the time this call had in all: an outer deadline may have left it less than the policy gives. */
  private tooLate(started: boolean, fiber: AnyFiber): Rejection.DeadlineExceeded {
    const { reporter } = this.engine.parts
    const { key } = this.entry
    const deadline = Duration.millis(Math.max(0, this.deadline - this.began))
    const rejection = Rejection.deadlineExceeded({ policy: reporter.policy, key, deadline, started })
    reporter.rejected(key, rejection, fiber)
    return rejection
  }

  succeeded(value: unknown, fiber: AnyFiber): undefined {
    this.release()
    this.settle(Protecting.judgeSuccess(this.told.judge ?? this.engine.parts.judge, value), undefined, fiber)
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    // First what is held, then what others may get wrong.
    this.release()
    if (!this.running) {
      const rejection = rejectionIn(cause)
      if (rejection !== undefined) this.entry.counters.rejections[rejection._tag] += 1
    } else if (this.cut) {
      this.entry.counters.rejections.DeadlineExceeded += 1
      this.settle(this.judgeCut(fiber), cause, fiber)
    } else {
      const judge = this.told.judge ?? this.engine.parts.judge
      this.settle(Protecting.judgeSafely(judge, Exit.failCause(cause)), cause, fiber)
    }
    return this.retry(cause, fiber)
  }

  private release(): void {
    const { gate } = this.entry
    if (gate !== undefined) this.engine.parts.gates?.release(gate, this)
  }

  private settle(judged: Protecting.Judged, cause: Cause.Cause<unknown> | undefined, fiber: AnyFiber): void {
    const { circuits, reporter } = this.engine.parts
    const { circuit, counters, key } = this.entry
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

  /**
   * The deadline cut the work. That says something about the dependency only if the work had a fair share of the time
   * this policy gives to an attempt: without it, a black hole behind a deadline would never open the circuit.
   */
  private judgeCut(fiber: AnyFiber): Protecting.Judged {
    const { deadline, timeout } = this.engine.parts
    const duration = Time.monotonicMillis(fiber) - this.started
    return duration >= fairShare * Math.min(deadline, timeout) ? Protecting.failure : Protecting.ignored
  }

  private retry(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const plan = this.engine.parts.retry
    if (plan === undefined) return undefined
    this.retrying ??= new Retrying.Retrying(plan, this.who(), this.began, fiber)
    return this.retrying.failed(cause, fiber, (metadata) => {
      this.metadata = metadata
      return again(this)
    })
  }

  private who(): Retrying.Who {
    const { budget, reporter } = this.engine.parts
    return {
      key: this.entry.key,
      reporter,
      budget,
      deadline: this.deadline,
      refuses: (delay, fiber) => this.refuses(delay, fiber),
      decided: () => {
        this.entry.counters.retries += 1
      },
      gaveUp: (reason) => {
        this.entry.counters.giveUps[reason] += 1
      }
    }
  }

  /** The circuit that this call opened, or that others did meanwhile, will not be asked again that soon. */
  private refuses(delay: number, fiber: AnyFiber): boolean {
    const { circuit } = this.entry
    if (circuit === undefined) return false
    const { phase } = circuit.circuit
    if (phase !== Circuit.Open && phase !== Circuit.Isolated) return false
    return Circuit.retryAfter(circuit.circuit, Time.monotonicMillis(fiber)) > delay
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
    const deadline = own === Infinity ? Infinity : Math.min(now + own, fiber.getRef(Deadline.Current))
    return place(new Call(this, self, told, now, deadline), fiber)
  }

  control(key: string, command: Parameters<Circuits.Circuits["control"]>[1], now: number, fiber: AnyFiber): void {
    const { circuits } = this.parts
    const circuit = circuits && this.entries.get(key, now).circuit
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

const pinned = (entry: Entry): boolean =>
  entry.counters.running > 0 ||
  (entry.circuit !== undefined && Circuits.pinned(entry.circuit)) ||
  (entry.gate !== undefined && Gates.pinned(entry.gate))
