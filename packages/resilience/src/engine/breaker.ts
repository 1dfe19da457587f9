/** A circuit breaker at run time: one circuit per key, and the frame of one call. */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Event from "../Event.ts"
import * as Circuit from "../machine/Circuit.ts"
import type { Outcome } from "../Outcome.ts"
import type * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import { Frame, type Service } from "../runtime/frame.ts"
import { retainHiddenClass } from "../runtime/hiddenClass.ts"
import * as Check from "../runtime/options.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import type * as TripPolicy from "../TripPolicy.ts"
import { Watch } from "./admitted.ts"
import { retryAfterOf } from "./asked.ts"
import type { Desk, Plug } from "./changes.ts"
import { CircuitChanges } from "./circuitChanges.ts"
import {
  type Cells,
  CircuitCell,
  type CircuitSettings,
  Circuits,
  type CircuitsSnapshot,
  circuitCells,
  untimed
} from "./circuits.ts"
import * as Counters from "./counters.ts"
import { Keyed, type KeySettings } from "./keyed.ts"
import * as Protect from "./protect.ts"
import { Reporter } from "./reporter.ts"
import type { Moment } from "./slices.ts"
import type { Ages } from "./snapshots.ts"
import type { Select, Summable } from "./sums.ts"

export interface BreakerSettings extends CircuitSettings {
  readonly classify: Protect.Classify
  readonly keys: KeySettings
}

class BreakerCell extends CircuitCell {
  declare lastUsed: number
  declare admitted: number
  declare ended: number

  constructor(key: string, trip: TripPolicy.TripPolicy, now: number) {
    super(key, trip, now)
    this.lastUsed = Math.floor(now)
    this.admitted = 0
    this.ended = 0
  }

  /** Admitted calls that have not ended: their circuit must not be dropped. */
  get running(): number {
    return this.admitted - this.ended
  }

  /** Counts the end of an admitted call; a success is what is neither failed nor ignored. */
  end(outcome: Outcome, cause: Counters.Reason, now: number): void {
    this.ended += 1
    this.lastUsed = Math.floor(now)
    if (outcome !== "success") Counters.recordFailure(this.history, outcome, cause, now)
  }

  get calls(): number {
    return this.admitted + (this.past?.CircuitOpen ?? 0)
  }

  get successes(): number {
    const { ended, past } = this
    return past === undefined ? ended : ended - past.failures - past.ignored
  }
}

/** One call through one circuit. */
export class BreakerCall extends Frame<BreakerEngine, Protect.CallOptions> {
  /** Set from the start of a run to its end. */
  declare protected cell: BreakerCell | undefined
  declare protected startedAt: number
  declare generation: number
  declare probe: number

  constructor(
    engine: BreakerEngine | undefined,
    service: Service | undefined,
    self: AnyEffect,
    options: Protect.CallOptions
  ) {
    super(engine, service, self, options)
    this.cell = undefined
    this.startedAt = NaN
    this.generation = 0
    this.probe = 0
  }

  protected copy(): BreakerCall {
    return new BreakerCall(this.engine, this.service, this.self, this.options)
  }

  protected prepare(engine: BreakerEngine, fiber: AnyFiber): AnyEffect | undefined {
    const cell = engine.cells.get(this.options.key, fiber)
    const rejection = engine.circuits.isPassThrough(cell) ? undefined : engine.check(cell, fiber)
    if (rejection === undefined) this.cell = cell
    return rejection
  }

  enter(fiber: AnyFiber): AnyEffect {
    // `prepare` has just set both.
    const cell = this.cell!
    const { circuits } = this.engine!
    const now = circuits.needsTime(cell) ? Time.monotonicMillis(fiber) : untimed
    // Between `prepare` and here nothing else runs, so the circuit admits the call that it did not reject.
    circuits.admit(cell, this, now, fiber)
    this.startedAt = now
    cell.admitted += 1
    return this.self
  }

  succeeded(value: unknown, fiber: AnyFiber): undefined {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return
    const classify = this.options.classify ?? engine.classify
    this.settle(cell, engine, Protect.classifySuccess(classify, value), undefined, fiber)
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): undefined {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return
    const classify = this.options.classify ?? engine.classify
    this.settle(cell, engine, Protect.classifySafely(classify, Exit.failCause(cause)), cause, fiber)
  }

  private settle(
    cell: BreakerCell,
    { circuits, reporter }: BreakerEngine,
    { defect, outcome, threw }: Protect.Classified,
    cause: Cause.Cause<unknown> | undefined,
    fiber: AnyFiber
  ): void {
    const now = Time.monotonicMillis(fiber)
    this.cell = undefined
    cell.end(outcome, cause, now)
    const retryAfter = cause !== undefined && outcome === "failure" ? retryAfterOf(cause) : undefined
    circuits.settle(cell, this, outcome, this.startedAt, now, fiber, retryAfter)
    if (cause !== undefined && outcome === "ignored") reporter.ignored(cell.key, cause, fiber)
    if (threw) throw defect
  }
}

retainHiddenClass(new BreakerCall(undefined, undefined, Effect.void, Protect.defaultOptions))

export class BreakerEngine implements Summable {
  readonly circuits: Circuits
  readonly cells: Keyed<BreakerCell>
  readonly reporter: Reporter
  readonly classify: Protect.Classify
  private watch: Watch<BreakerCell> | undefined
  private readonly evicted = new Counters.Evicted()
  /** Held, so that its alarms work as long as a call may come. */
  desk: Desk | undefined = undefined

  constructor(where: string, name: string, settings: BreakerSettings, program: Event.Hub) {
    this.reporter = new Reporter(name, Event.makeHub(), program)
    this.circuits = new Circuits(where, settings, this.reporter)
    this.classify = settings.classify
    this.watch = undefined
    this.cells = new Keyed<BreakerCell>(
      settings.keys,
      (key, now) => this.make(key, now),
      (cell, now) => cell.running > 0 || this.circuits.pinned(cell, now) || this.watch?.isWatched(cell) === true,
      (cell, now) => this.evicted.add(cell, Circuit.timeIn(cell, now))
    )
  }

  /** Sets other settings for the calls to come; what it cannot change is that of its creation. */
  retune(settings: BreakerSettings): void {
    this.circuits.retune(this.cells.all(), settings)()
  }

  /** Returns when the circuit of a key would admit a call. */
  admitted(key: string): Effect.Effect<void> {
    this.watch ??= new Watch<BreakerCell>(this, (cell, now) => this.circuits.admitsIn(cell, now))
    return this.watch.admitted((fiber) => this.cells.get(key, fiber))
  }

  private make(key: string, now: number): BreakerCell {
    return this.circuits.begin(new BreakerCell(key, this.circuits.trip, now))
  }

  /** The rejection of a call that would not be admitted. */
  check(cell: BreakerCell, fiber: AnyFiber): Effect.Effect<never, Rejection.CircuitOpen> | undefined {
    const now = Time.monotonicMillis(fiber)
    const rejection = this.circuits.check(cell, now, fiber)
    if (rejection !== undefined) {
      cell.lastUsed = Math.floor(now)
      cell.history.CircuitOpen += 1
    }
    return rejection
  }

  /** Admits one call that is no effect. */
  acquire(key: string, fiber: AnyFiber): Effect.Effect<BreakerPermit, Rejection.CircuitOpen> {
    const now = Time.monotonicMillis(fiber)
    const cell = this.cells.get(key, fiber)
    cell.lastUsed = Math.floor(now)
    const permit = new BreakerPermit(this.circuits, cell, now)
    const rejection = this.circuits.admit(cell, permit, now, fiber)
    if (rejection !== undefined) {
      cell.history.CircuitOpen += 1
      return rejection
    }
    cell.admitted += 1
    return Effect.succeed(permit)
  }

  state(key: string, now: number) {
    // Reading the state of a key neither creates nor keeps it.
    return this.circuits.view(this.cells.peek(key) ?? this.circuits.make(key, Math.ceil(now)), now)
  }

  states(now: number) {
    return Array.from(this.cells.all(), (cell) => ({ key: cell.key, ...this.circuits.view(cell, now) }))
  }

  /** Reading the stats of a key neither creates nor keeps it. */
  stats(key: string, now: number): Stats.Stats {
    return this.statsOf(this.cells.peek(key) ?? this.make(key, Math.ceil(now)), now)
  }

  allStats(now: number): ReadonlyArray<Stats.Stats> {
    const kept = Array.from(this.cells.all(), (cell) => this.statsOf(cell, now))
    return [...kept, ...this.evicted.stats(this.reporter.policy)]
  }

  sum(select: Select, now: number): void {
    for (const cell of this.cells.all()) {
      const sums = select(cell.key, this.circuits.isNotable(cell))
      sums.addCounted(cell)
      sums.running += cell.running
      this.circuits.sum(cell, sums, now)
    }
    this.evicted.sum(select)
  }

  private statsOf(cell: BreakerCell, now: number): Stats.Stats {
    return Counters.stats(this.reporter.policy, cell.key, {
      circuit: this.circuits.view(cell, now),
      running: cell.running,
      lastError: cell.past?.lastError(now),
      totals: Counters.totals(cell.calls, cell.successes, cell.past, Circuit.timeIn(cell, now))
    })
  }

  /** Lets a desk command the circuits. */
  operate(desk: Desk, set: Plug): Desk {
    this.desk = desk
    return desk.operate({
      reporter: this.reporter,
      hasKey: (key) => this.cells.peek(key) !== undefined,
      circuits: new CircuitChanges(this.circuits, (now) => this.circuitCells(now)),
      plugs: { set }
    })
  }

  private circuitCells(now: number): Cells {
    return circuitCells(this.cells, now)
  }

  snapshot(moment: Moment) {
    return this.circuits.snapshot(this.cells, moment)
  }

  restore(where: string, snapshot: CircuitsSnapshot, ages: Ages, now: number, fiber: AnyFiber): void {
    this.circuits.restore(where, this.cells, snapshot, ages, now, fiber)
  }
}

/** A permit for one call: the first of its three reports is the outcome. */
class BreakerPermit {
  generation = 0
  probe = 0
  readonly succeed: Effect.Effect<void>
  readonly fail: (options?: { readonly retryAfter?: Duration.Input | undefined }) => Effect.Effect<void>
  readonly ignore: Effect.Effect<void>

  constructor(circuits: Circuits, cell: BreakerCell, startedAt: number) {
    let reported = false
    const report = (outcome: Outcome, retryAfter?: Duration.Input): Effect.Effect<void> =>
      Effect.withFiber((fiber) => {
        if (!reported) {
          const requested =
            retryAfter === undefined
              ? undefined
              : Duration.millis(Check.millis("CircuitBreaker.Permit.fail", "retryAfter", retryAfter, { zero: true }))
          reported = true
          const now = Time.monotonicMillis(fiber)
          cell.end(outcome, "reported", now)
          circuits.settle(cell, this, outcome, startedAt, now, fiber, requested)
        }
        return Effect.void
      })
    this.succeed = report("success")
    this.fail = (options) => report("failure", options?.retryAfter)
    this.ignore = report("ignored")
  }
}
