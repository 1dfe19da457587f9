/** Gates at work: the pure queue with its wake-ups, its time limit and its rejections. Used by Bulkhead and Policy. */

import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Gate from "../machine/Gate.ts"
import * as Rejection from "../Rejection.ts"
import * as Deadline from "./deadline.ts"
import type { Reporter } from "./hub.ts"
import * as Options from "./options.ts"
import * as Timer from "./timer.ts"
import type { AnyFiber } from "./types.ts"

export interface GateOptions {
  readonly maxConcurrent: number
  readonly maxQueued?: number | undefined
  readonly maxWait?: Duration.Input | undefined
}

/** Defaults of a bulkhead; the only place where they stand. */
export const defaults = { maxQueued: 0 } as const

export interface Cell {
  readonly key: string
  readonly gate: Gate.Gate<Pass>
}

/** One call's dealings with a gate. Whatever it holds or waits for, {@link Gates.release} gives back. */
export interface Pass {
  held: boolean
  /** Its place in the queue, also after it has left it. */
  place: Gate.Waiter<Pass> | undefined
  wake: (() => void) | undefined
}

/** The names of a gate's options. */
export const names = ["maxConcurrent", "maxQueued", "maxWait"]

export class Gates {
  private limit: number
  private readonly maxQueued: number
  private readonly maxWait: number
  private readonly reporter: Reporter

  constructor(where: string, options: GateOptions, reporter: Reporter) {
    this.reporter = reporter
    this.limit = Options.integer(where, "maxConcurrent", options.maxConcurrent, 1)
    this.maxQueued = Options.integer(where, "maxQueued", options.maxQueued ?? defaults.maxQueued, 0)
    this.maxWait =
      options.maxWait === undefined
        ? Infinity
        : Options.millis(where, "maxWait", options.maxWait, { zero: true, infinite: true })
    if (this.maxQueued === 0 && options.maxWait !== undefined && this.maxWait > 0) {
      throw new RangeError(`${where}: maxWait needs maxQueued > 0, got maxQueued 0: nobody could wait`)
    }
  }

  get maxConcurrent(): number {
    return this.limit
  }

  make(key: string): Cell {
    return { key, gate: Gate.make(this.limit, this.maxQueued) }
  }

  /**
   * Takes a permit, or waits for one. Answers `undefined` when the permit is there at once; otherwise the wait, which
   * fails with a rejection. `deadline` is an instant on the monotonic clock; the one in the fiber's context holds besides.
   */
  enter(
    cell: Cell,
    pass: Pass,
    fiber: AnyFiber,
    deadline = Infinity
  ): Effect.Effect<void, Rejection.BulkheadFull> | undefined {
    if (Gate.tryEnter(cell.gate)) {
      pass.held = true
      return undefined
    }
    const left = Deadline.remaining(fiber, deadline)
    const limit = Math.min(this.maxWait, left)
    if (limit <= 0) return this.reject(cell, left <= 0 ? "deadline" : "full", fiber)
    pass.place = Gate.enqueue(cell.gate, pass)
    if (pass.place === undefined) return this.reject(cell, "full", fiber)
    return this.wait(cell, pass, limit, left < this.maxWait ? "deadline" : "wait", fiber)
  }

  private wait(
    cell: Cell,
    pass: Pass,
    limit: number,
    reason: "wait" | "deadline",
    fiber: AnyFiber
  ): Effect.Effect<void, Rejection.BulkheadFull> {
    return Effect.callback((resume) => {
      if (pass.held) return resume(Effect.void)
      // Its own: the pass may be on another run by the time that a late timer fires.
      const { place } = pass
      const cancel = Timer.start(fiber, limit, () => {
        pass.wake = undefined
        // Leaving the queue and waking are one step each, so a permit that was granted first is not refused here.
        if (place !== undefined && Gate.leaveQueue(cell.gate, place)) resume(this.reject(cell, reason, fiber))
      })
      pass.wake = () => {
        pass.wake = undefined
        cancel()
        // Through the scheduler: a chain of short calls would otherwise run each inside the one before it.
        fiber.currentDispatcher.scheduleTask(() => resume(Effect.void), 0)
      }
      return Effect.sync(() => {
        pass.wake = undefined
        cancel()
      })
    })
  }

  private reject(
    cell: Cell,
    reason: "full" | "wait" | "deadline",
    fiber: AnyFiber
  ): Effect.Effect<never, Rejection.BulkheadFull> {
    const rejection = Rejection.bulkheadFull({
      policy: this.reporter.policy,
      key: cell.key,
      reason,
      running: cell.gate.running,
      waiting: cell.gate.waiting
    })
    this.reporter.rejected(cell.key, rejection, fiber)
    return Effect.fail(rejection)
  }

  /** Gives back whatever the call has: its permit, or its place in the queue. */
  release(cell: Cell, pass: Pass): void {
    if (pass.held) {
      pass.held = false
      Gate.exit(cell.gate)
      this.admitWaiting(cell)
    } else if (pass.place !== undefined) {
      Gate.leaveQueue(cell.gate, pass.place)
    }
  }

  resize(maxConcurrent: number, cells: Iterable<Cell>): void {
    this.limit = maxConcurrent
    for (const cell of cells) {
      cell.gate.limit = maxConcurrent
      this.admitWaiting(cell)
    }
  }

  private admitWaiting(cell: Cell): void {
    let next = Gate.admitNext(cell.gate)
    while (next !== undefined) {
      const pass = next.value
      pass.held = true
      pass.wake?.()
      next = Gate.admitNext(cell.gate)
    }
  }
}

/** A gate that somebody stands at. */
export const pinned = (cell: Cell): boolean => cell.gate.running > 0 || cell.gate.waiting > 0
