/** A bulkhead at run time: permits and a queue per key, and the frame of one call. */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { type ConcurrencyLimit, limiterOf } from "../ConcurrencyLimit.ts"
import * as Event from "../Event.ts"
import type * as Rejection from "../Rejection.ts"
import { Frame, type Service } from "../runtime/frame.ts"
import { retainHiddenClass } from "../runtime/hiddenClass.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import { defaultKey } from "../Types.ts"
import { Watch } from "./admitted.ts"
import type { Desk, Plug } from "./changes.ts"
import * as Counters from "./counters.ts"
import { Keyed, type KeySettings } from "./keyed.ts"
import * as Permits from "./permits.ts"
import * as Protect from "./protect.ts"
import { Reporter } from "./reporter.ts"
import type { Sliced } from "./slices.ts"
import type { Select, Summable } from "./sums.ts"

export interface BulkheadSettings extends Permits.BulkheadSettings {
  readonly keys: KeySettings
  /** Absent without a limit that is found out. */
  readonly limit?: ConcurrencyLimit
}

class BulkheadCell implements Permits.PermitCell {
  readonly key: string
  readonly queue: Permits.PermitCell["queue"]
  /** When it was created: a key without running or waiting calls may be dropped at any time. */
  lastUsed: number
  calls = 0
  /** Nothing until the first rejection. */
  past: Counters.Past | undefined = undefined
  declare limiter?: Permits.PermitCell["limiter"]

  constructor(key: string, queue: Permits.PermitCell["queue"], now: number) {
    this.key = key
    this.queue = queue
    this.lastUsed = Math.floor(now)
  }

  get history(): Counters.Past {
    this.past ??= new Counters.Past(this.lastUsed)
    return this.past
  }
}

const succeeded = Exit.void

/** One call with one permit. */
export class BulkheadCall extends Frame<BulkheadEngine, Protect.CallOptions> implements Permits.PermitHolder {
  declare held: boolean
  declare waiter: Permits.PermitHolder["waiter"]
  declare wake: Permits.PermitHolder["wake"]
  /** Set from the start of a run to its end. */
  declare protected cell: BulkheadCell | undefined

  constructor(
    engine: BulkheadEngine | undefined,
    service: Service | undefined,
    self: AnyEffect,
    options: Protect.CallOptions
  ) {
    super(engine, service, self, options)
    this.held = false
    this.waiter = undefined
    this.wake = undefined
    this.cell = undefined
  }

  protected copy(): BulkheadCall {
    return new BulkheadCall(this.engine, this.service, this.self, this.options)
  }

  protected prepare(engine: BulkheadEngine, fiber: AnyFiber): undefined {
    const cell = engine.cells.get(this.options.key, fiber)
    cell.calls += 1
    this.cell = cell
  }

  enter(fiber: AnyFiber): AnyEffect {
    // `prepare` has just set both.
    const wait = this.engine!.permits.acquire(this.cell!, this, fiber, Infinity, this.options.tenant)
    return wait === undefined ? this.self : Effect.flatMap(wait, () => this.self)
  }

  succeeded(_: unknown, fiber: AnyFiber): undefined {
    if (this.cell?.limiter !== undefined) this.ended(succeeded, fiber)
    this.release()
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): undefined {
    if (this.cell?.limiter !== undefined) this.ended(Exit.failCause(cause), fiber)
    this.release()
  }

  protected ended(exit: Exit.Exit<unknown, unknown> | undefined, fiber: AnyFiber): void {
    if (this.cell !== undefined) this.engine?.permits.ended(this.cell, this, exit, fiber)
  }

  protected release(): void {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return
    this.cell = undefined
    engine.permits.release(cell, this)
  }
}

retainHiddenClass(new BulkheadCall(undefined, undefined, Effect.void, Protect.defaultOptions))

export class BulkheadEngine implements Summable {
  readonly permits: Permits.Permits
  readonly cells: Keyed<BulkheadCell>
  readonly reporter: Reporter
  private readonly limit: ConcurrencyLimit | undefined
  private watch: Watch<BulkheadCell> | undefined
  private readonly evicted = new Counters.Evicted()
  /** Held, so that its alarms work as long as a call may come. */
  desk: Desk | undefined = undefined

  constructor(name: string, settings: BulkheadSettings, program: Event.Hub) {
    this.reporter = new Reporter(name, Event.makeHub(), program)
    this.permits = new Permits.Permits(settings, this.reporter)
    this.limit = settings.limit
    this.watch = undefined
    this.cells = new Keyed<BulkheadCell>(
      settings.keys,
      (key, now) => this.make(key, now),
      (cell) => this.permits.pinned(cell) || this.watch?.isWatched(cell) === true,
      (cell) => this.evicted.add(cell)
    )
  }

  /** Sets other limits; what it cannot change is that of its creation. */
  retune(settings: BulkheadSettings, now: number): void {
    this.permits.retune(this.cells, settings, now)
  }

  /** Returns when a call of a key would get a permit without waiting. */
  admitted(key: string): Effect.Effect<void> {
    this.watch ??= new Watch<BulkheadCell>(this, (cell) => (this.permits.isFree(cell) ? 0 : Infinity))
    return this.watch.admitted((fiber) => this.cells.get(key, fiber))
  }

  /** Counts a call and rejects it, although a permit may be free: for a server that keeps permits for more important calls. */
  refuse(key: string, fiber: AnyFiber): Effect.Effect<never, Rejection.BulkheadFull> {
    const cell = this.cells.get(key, fiber)
    cell.calls += 1
    return this.permits.reject(cell, "full", fiber)
  }

  private make(key: string, now: number): BulkheadCell {
    const cell = new BulkheadCell(key, this.permits.makeQueue(), now)
    if (this.limit !== undefined) cell.limiter = limiterOf(this.limit)
    return cell
  }

  /** Reading the stats of a key neither creates nor keeps it. */
  stats(key: string): Stats.Stats {
    return this.statsOf(this.cells.peek(key) ?? this.make(key, 0))
  }

  allStats(): ReadonlyArray<Stats.Stats> {
    return [...Array.from(this.cells.all(), (cell) => this.statsOf(cell)), ...this.evicted.stats(this.reporter.policy)]
  }

  sum(select: Select): void {
    for (const cell of this.cells.all()) {
      const sums = select(cell.key, false)
      sums.addCounted(cell)
      sums.addQueue(cell.queue)
    }
    if (this.cells.isEmpty) this.permits.sumIdle(select(defaultKey, false))
    this.evicted.sum(select)
  }

  private statsOf({ calls, key, limiter, past, queue }: BulkheadCell): Stats.Stats {
    return Counters.stats(this.reporter.policy, key, {
      running: queue.running,
      waiting: queue.waiting,
      maxConcurrent: queue.limit,
      maxQueued: queue.maxQueued,
      totals: Counters.totals(calls, 0, past),
      ...(limiter === undefined ? {} : { adaptive: limiter.view() })
    })
  }

  state(key: string) {
    const queue = this.cells.peek(key)?.queue
    return {
      running: queue?.running ?? 0,
      waiting: queue?.waiting ?? 0,
      maxConcurrent: queue?.limit ?? this.permits.maxConcurrent
    }
  }

  /** Lets a desk change the permits. */
  operate(desk: Desk, set: Plug): Desk {
    this.desk = desk
    const { cells, permits, reporter } = this
    return desk.operate({
      reporter,
      hasKey: (key) => cells.peek(key) !== undefined,
      circuits: undefined,
      plugs: { set, resize: permits.plug("maxConcurrent", cells) }
    })
  }

  snapshot(): Sliced<Permits.PermitsSnapshot> {
    return this.permits.snapshot(this.cells)
  }

  restore(snapshot: Permits.PermitsSnapshot, now: number): void {
    this.permits.restore(this.cells, snapshot, now)
  }
}
