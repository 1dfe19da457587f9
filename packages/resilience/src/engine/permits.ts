/** Permits at run time: the pure queue with its wake-ups, its time limit and its rejections. For bulkheads and policies. */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { Limiter } from "../ConcurrencyLimit.ts"
import { type Gate, type Pool, patience } from "../machine/Member.ts"
import * as Queue from "../machine/Queue.ts"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type { Override, Plug } from "./changes.ts"
import type { Past } from "./counters.ts"
import { rankOf } from "./criticality.ts"
import * as Deadline from "./deadline.ts"
import type { Reporter } from "./reporter.ts"
import * as Slices from "./slices.ts"
import type * as Snapshots from "./snapshots.ts"
import type { Sums } from "./sums.ts"

export interface BulkheadSettings {
  readonly maxConcurrent: number
  readonly maxQueued: number
  /** Milliseconds; `Infinity` without a limit. */
  readonly maxWait: number
}

/** The rejection of a call whose circuit has become one that rejects every call. */
type Refusal = Effect.Effect<never, Rejection.CircuitOpen | Rejection.BulkheadFull>

/** The smallest share of the permits that a class may use. */
const leastShare = Math.min(...Queue.shares)

/** The permits of one key. */
export interface PermitCell {
  readonly key: string
  readonly queue: Queue.Queue<PermitHolder>
  /** Where rejections are counted. */
  readonly history: Past
  /** What the fleet leaves to it; set for a policy that shares its permits, and absent otherwise. */
  pool?: Pool | undefined
  /** The limit that it finds out; set for a bulkhead with one, and absent otherwise. */
  limiter?: Limiter | undefined
}

/** The fleet of which the permits are. */
export interface Lender {
  readonly pool: (key: string, gate: Gate) => Pool
  /** Sets what the lease of the pool allows now. */
  readonly settle: (pool: Pool) => void
  /** No permit is left; returns whether the answer of the board may bring one. */
  readonly refuse: (pool: Pool) => boolean
  readonly close: (pool: Pool) => void
}

/** The queue of the keys of a policy without a bulkhead, which never uses it. */
export const noQueue: Queue.Queue<PermitHolder> = Queue.make(1, 0)

/** A call or an attempt as its permits see it. {@link Permits.release} releases what it holds or waits for. */
export interface PermitHolder {
  held: boolean
  /** Its entry in the queue, also after it has left the queue. */
  waiter: Queue.Waiter<PermitHolder> | undefined
  /** Ends the wait: with a permit, or with a rejection. */
  wake: ((rejection?: Refusal) => void) | undefined
}

/** What `resize` has set. */
export interface PermitsSnapshot {
  /** For all keys. */
  readonly maxConcurrent?: number
  readonly keys: ReadonlyArray<{ readonly key: string; readonly maxConcurrent: number }>
}

/** The keys that have permits. */
export interface PermitCells {
  /** The permits of one key, created if need be. */
  readonly ensure: (key: string, now: number) => PermitCell
  readonly peek: (key: string) => PermitCell | undefined
  readonly all: () => Iterable<PermitCell>
}

export class Permits {
  /** The permits per key without a command. */
  private configured: number
  /** The commands `resize` in force. */
  private inForce: ReadonlyArray<Override> = []
  /** What a snapshot has resized, beneath the commands. */
  private restored: PermitsSnapshot = { keys: [] }
  private limit: number
  maxQueued: number
  private maxWait: number
  private readonly reporter: Reporter
  /** The rejections of waiters that left the queue before their fiber was there to be woken. */
  private readonly refused = new WeakMap<Queue.Waiter<PermitHolder>, Refusal>()
  /** Set when the policy shares its permits with a fleet. */
  private lender: Lender | undefined
  /** Called when a permit is free that no waiting call took; set while calls watch for one. */
  onFree: ((cell: PermitCell) => void) | undefined

  constructor({ maxConcurrent, maxQueued, maxWait }: BulkheadSettings, reporter: Reporter) {
    this.configured = maxConcurrent
    this.limit = maxConcurrent
    this.maxQueued = maxQueued
    this.maxWait = maxWait
    this.reporter = reporter
    this.lender = undefined
    this.onFree = undefined
  }

  get maxConcurrent(): number {
    return this.limit
  }

  /** Adds the permits of a key that nothing was called with. */
  sumIdle(sums: Sums): void {
    sums.maxConcurrent += this.limit
    sums.maxQueued += this.maxQueued
  }

  /** Shares the permits of the keys to come. */
  join(lender: Lender): void {
    this.lender = lender
  }

  /** A key was created, and will be called. */
  attach(cell: PermitCell): void {
    if (this.lender !== undefined) cell.pool = this.lender.pool(cell.key, cell.queue)
  }

  /** A key was dropped. */
  detach({ pool }: PermitCell): void {
    if (pool !== undefined) this.lender?.close(pool)
  }

  /** What the fleet leaves to a key may have changed. Its lease was granted up to `freshUntil` of its pool. */
  settle({ pool }: PermitCell): void {
    if (pool !== undefined) this.lender?.settle(pool)
  }

  /** The fleet leaves more permits to a key. */
  freed(cell: PermitCell): void {
    this.grantWaiting(cell)
  }

  makeQueue(): Queue.Queue<PermitHolder> {
    return Queue.make(this.limit, this.maxQueued)
  }

  /**
   * Acquires a permit. Returns `undefined` when one is free; otherwise the wait, which fails with a rejection. `deadline` is a
   * time on the monotonic clock; the deadline in the fiber's context applies too.
   */
  acquire(
    cell: PermitCell,
    holder: PermitHolder,
    fiber: AnyFiber,
    deadline = Infinity,
    tenant?: string
  ): Effect.Effect<void, Rejection.BulkheadFull | Rejection.CircuitOpen> | undefined {
    const { limiter, queue } = cell
    if (limiter !== undefined) {
      limiter.came(Time.monotonicMillis(fiber))
      this.follow(cell, limiter, fiber)
    }
    // Of less than half of the permits every class may have one.
    const isAmple = queue.waiting === 0 && queue.running < Math.min(queue.limit, queue.room) * leastShare
    const rank = isAmple ? Queue.usual : rankOf(fiber)
    if (Queue.tryAcquire(queue, rank)) {
      holder.held = true
      limiter?.sent(holder)
      return undefined
    }
    limiter?.refused(Queue.shares[rank])
    const left = Deadline.remaining(fiber, deadline)
    const asks = this.asks(cell)
    // Beyond the queue a call waits for one answer of the board.
    const hasPlace = queue.waiting < queue.maxQueued && this.maxWait > 0
    const longest = hasPlace || !asks ? this.maxWait : patience
    const limit = Math.min(longest, left)
    if (limit <= 0) return this.reject(cell, left <= 0 ? "deadline" : "full", fiber)
    const most = asks ? queue.limit : queue.maxQueued
    if (queue.waiting >= most) this.displace(cell, rank, tenant, fiber)
    holder.waiter = Queue.enqueue(queue, holder, most, rank, tenant)
    if (holder.waiter === undefined) return this.reject(cell, "full", fiber)
    return this.wait(cell, holder, limit, left < longest ? "deadline" : "wait", fiber)
  }

  /** The queue is full: a less important call loses its place to one of this class, or a call of a tenant with more in it. */
  private displace(cell: PermitCell, rank: number, tenant: string | undefined, fiber: AnyFiber): void {
    const waiter = Queue.displace(cell.queue, rank, tenant)
    if (waiter === undefined) return
    const refusal = this.reject(cell, "full", fiber)
    const { wake } = waiter.value
    if (wake === undefined) this.refused.set(waiter, refusal)
    else wake(refusal)
  }

  /** Of a call that its own limit would admit: may the answer of the board bring a permit for it? */
  private asks({ pool, queue }: PermitCell): boolean {
    if (pool === undefined || queue.running + queue.waiting >= queue.limit) return false
    return this.lender?.refuse(pool) === true
  }

  private wait(
    cell: PermitCell,
    holder: PermitHolder,
    limit: number,
    reason: "wait" | "deadline",
    fiber: AnyFiber
  ): Effect.Effect<void, Rejection.BulkheadFull | Rejection.CircuitOpen> {
    return Effect.callback((resume) => {
      if (holder.held) return resume(Effect.void)
      // Read here: the holder may be in another run when a late timer fires.
      const { waiter } = holder
      const refusal = waiter && this.refused.get(waiter)
      if (refusal !== undefined) return resume(refusal)
      const cancel = Timer.start(fiber, limit, () => {
        holder.wake = undefined
        // Leaving the queue and granting are one step each, so a permit that was granted first is not lost here.
        if (waiter !== undefined && Queue.leave(cell.queue, waiter)) resume(this.reject(cell, reason, fiber))
      })
      holder.wake = (rejection) => {
        holder.wake = undefined
        cancel()
        // Through the scheduler: each of a chain of short calls would otherwise run inside the one before it.
        fiber.currentDispatcher.scheduleTask(() => resume(rejection ?? Effect.void), 0)
      }
      return Effect.sync(() => {
        holder.wake = undefined
        cancel()
      })
    })
  }

  reject(
    cell: PermitCell,
    reason: "full" | "wait" | "deadline",
    fiber: AnyFiber
  ): Effect.Effect<never, Rejection.BulkheadFull> {
    const rejection = Rejection.bulkheadFull({
      policy: this.reporter.policy,
      key: cell.key,
      reason: reason !== "deadline" && isOfFleet(cell) ? "fleet" : reason,
      running: cell.queue.running,
      waiting: cell.queue.waiting,
      ...evidenceOf(cell)
    })
    cell.history.BulkheadFull += 1
    this.reporter.rejected(cell.key, rejection, fiber)
    return Effect.fail(rejection)
  }

  /** Releases the permit, or leaves the queue. */
  release(cell: PermitCell, holder: PermitHolder): void {
    if (holder.held) {
      holder.held = false
      Queue.release(cell.queue)
      this.grantWaiting(cell)
    } else if (holder.waiter !== undefined) {
      Queue.leave(cell.queue, holder.waiter)
    }
  }

  /** The work that held a permit has ended, which is released next. Without an exit its end says nothing. */
  ended(cell: PermitCell, holder: PermitHolder, exit: Exit.Exit<unknown, unknown> | undefined, fiber: AnyFiber): void {
    const { limiter } = cell
    if (limiter === undefined || !holder.held) return
    limiter.ended(holder, exit, Time.monotonicMillis(fiber))
    this.follow(cell, limiter, fiber)
  }

  /** The work that holds a permit goes on after an answer, or has asked nothing of the dependency yet: it is beside the limit. */
  goesOn(cell: PermitCell, holder: PermitHolder, isAnswered: boolean, fiber: AnyFiber): void {
    const { limiter } = cell
    if (limiter === undefined || !holder.held) return
    limiter.goesOn(holder, isAnswered, Time.monotonicMillis(fiber))
    this.follow(cell, limiter, fiber)
    this.grantWaiting(cell)
  }

  /** Takes over the limit that was found out. */
  private follow({ key, queue }: PermitCell, limiter: Limiter, fiber: AnyFiber): void {
    queue.room = Math.min(Queue.unbounded, limiter.limit)
    queue.beside = limiter.beside
    const changes = limiter.changes()
    if (changes !== undefined) this.reporter.limitChanged(key, changes.limit, changes.before, limiter.why, fiber)
  }

  /** Rejects all waiting calls: each leaves the queue, and fails with a rejection of its own. */
  rejectWaiting(cell: PermitCell, rejection: () => Refusal | undefined): void {
    const { queue } = cell
    for (let waiter = Queue.anyWaiting(queue); waiter !== undefined; waiter = Queue.anyWaiting(queue)) {
      const refusal = rejection()
      if (refusal === undefined) return
      Queue.leave(queue, waiter)
      const { wake } = waiter.value
      if (wake === undefined) this.refused.set(waiter, refusal)
      else wake(refusal)
    }
  }

  /** The command `resize`; `field` is the setting that it changes. */
  plug(field: string, cells: PermitCells): Plug {
    return {
      check: (where, values) => {
        Check.noUnknown(where, values, ["maxConcurrent"])
        // Checked here.
        const maxConcurrent = Check.integer(where, "maxConcurrent", values["maxConcurrent"] as number, 1)
        return { maxConcurrent }
      },
      apply: (inForce, now) => {
        this.inForce = inForce
        this.resize(cells, now)
      },
      read: (key) => ({ [field]: (key === undefined ? undefined : cells.peek(key))?.queue.limit ?? this.limit })
    }
  }

  /** Of the commands in force the last one for a key, or for all keys, counts. */
  private resize(cells: PermitCells, now: number): void {
    const { configured, restored } = this
    const limits = new Map(restored.keys.map(({ key, maxConcurrent }) => [key, maxConcurrent]))
    this.limit = restored.maxConcurrent ?? configured
    for (const { key, values } of this.inForce) {
      const maxConcurrent = values["maxConcurrent"] as number
      if (key !== undefined) limits.set(key, maxConcurrent)
      else {
        limits.clear()
        this.limit = maxConcurrent
      }
    }
    for (const key of limits.keys()) cells.ensure(key, now)
    for (const cell of cells.all()) {
      cell.queue.limit = limits.get(cell.key) ?? this.limit
      cell.limiter?.stepped(now)
      this.grantWaiting(cell)
    }
  }

  /**
   * Sets other limits. Running calls go on, and those in the queue stay in it with the wait that they have. A command `resize` that is
   * in force holds over them.
   */
  retune(cells: PermitCells, { maxConcurrent, maxQueued, maxWait }: BulkheadSettings, now: number): void {
    this.configured = maxConcurrent
    this.maxQueued = maxQueued
    this.maxWait = maxWait
    for (const { queue } of cells.all()) queue.maxQueued = maxQueued
    this.resize(cells, now)
  }

  *snapshot(cells: Snapshots.Cells<PermitCell>): Slices.Sliced<PermitsSnapshot> {
    const { configured, limit } = this
    return {
      ...(limit === configured ? {} : { maxConcurrent: limit }),
      keys: yield* Slices.collect(cells.values(), cells.size, ({ key, queue }) =>
        queue.limit === limit ? undefined : { key, maxConcurrent: queue.limit }
      )
    }
  }

  /** Resizes as a snapshot says. */
  restore(cells: PermitCells, { keys, maxConcurrent }: PermitsSnapshot, now: number): void {
    const before = this.restored
    const here = new Set(keys.map(({ key }) => key))
    const kept = before.keys.filter(({ key }) => !here.has(key))
    const all = maxConcurrent ?? before.maxConcurrent
    this.restored = { ...(all === undefined ? {} : { maxConcurrent: all }), keys: [...kept, ...keys] }
    this.resize(cells, now)
  }

  /** A key that must not be dropped: with running or waiting calls, or with permits of its own. */
  pinned({ queue }: PermitCell): boolean {
    return queue.running > 0 || queue.waiting > 0 || queue.limit !== this.limit
  }

  private grantWaiting(cell: PermitCell): void {
    // The lease may be over by now.
    if (cell.queue.waiting > 0) this.settle(cell)
    let next = Queue.grantNext(cell.queue)
    while (next !== undefined) {
      const holder = next.value
      holder.held = true
      cell.limiter?.sent(holder)
      holder.wake?.()
      next = Queue.grantNext(cell.queue)
    }
    if (cell.queue.waiting === 0) cell.limiter?.emptied()
    this.onFree?.(cell)
  }

  /** Would a call get a permit now, without waiting? */
  isFree({ pool, queue }: PermitCell): boolean {
    if (queue.running >= queue.limit || queue.waiting > 0) return false
    // A call would ask the fleet for one.
    return queue.running - queue.beside < queue.room || (pool !== undefined && !pool.isShort)
  }
}

/** Does the fleet leave less than the limit of this process admits? */
const isOfFleet = ({ limiter, queue }: PermitCell): boolean =>
  limiter === undefined && queue.running >= queue.room && queue.running < queue.limit

/** Why there is no permit, if the limit was found out. */
const evidenceOf = ({ limiter, queue }: PermitCell): { readonly evidence?: Rejection.Evidence } => {
  if (limiter === undefined || queue.room + queue.beside >= queue.limit) return {}
  const { figures, trip } = limiter.why
  return { evidence: { trip, figures: { ...figures, limit: limiter.limit } } }
}
