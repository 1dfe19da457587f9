/** The queue disciplines of a dependency: the order in which it serves attempts, and the attempts that it drops. */
import type { Scenario } from "../Scenario.ts"
import type { Attempt } from "./attempt.ts"
import { Queue } from "./queue.ts"

/** The queue of attempts that wait for a worker. */
export interface WaitQueue {
  readonly size: number
  readonly push: (attempt: Attempt) => void
  /** Removes the next attempt to serve. */
  readonly take: (now: number) => Attempt | undefined
  /** Removes an attempt without checking whether to drop it, to empty the queue. */
  readonly shift: () => Attempt | undefined
  /** An estimate of the attempts that would be served before one that arrives now. */
  readonly ahead: (now: number) => number
  /** How long an attempt that arrives now may wait, in milliseconds. */
  readonly maxWait: (now: number) => number
}

class Fifo extends Queue<Attempt> implements WaitQueue {
  take(): Attempt | undefined {
    return this.shift()
  }

  ahead(): number {
    return this.size
  }

  maxWait(): number {
    return Infinity
  }
}

class Lifo extends Queue<Attempt> implements WaitQueue {
  take(): Attempt | undefined {
    return this.pop()
  }

  ahead(): number {
    return 0
  }

  maxWait(): number {
    return Infinity
  }
}

/** How long an attempt may wait in a standing queue, in milliseconds: CoDel's target. */
const target = 5

/**
 * A queue that was not empty for this many milliseconds is a standing queue; attempts that wait longer in any queue are
 * dropped.
 */
const interval = 100

interface Waiting {
  readonly attempt: Attempt
  readonly limit: number
}

/**
 * Controlled delay as servers use it (Maurer, "Fail at Scale", ACM Queue 13(8), 2015, after CoDel, RFC 8289): an
 * attempt may wait for the target in a queue that was not empty for an interval, and otherwise for the interval. RFC
 * 8289 drops at a growing rate until senders slow down; callers do not slow down, so this part is left out.
 */
class Codel implements WaitQueue {
  private readonly waiting = new Queue<Waiting>()
  private readonly newestFirst: boolean
  private readonly drop: (attempt: Attempt) => void
  private empty = 0

  constructor(newestFirst: boolean, drop: (attempt: Attempt) => void) {
    this.newestFirst = newestFirst
    this.drop = drop
  }

  get size(): number {
    return this.waiting.size
  }

  push(attempt: Attempt): void {
    const now = attempt.sent
    if (this.size === 0) this.empty = now
    this.waiting.push({ attempt, limit: now + this.maxWait(now) })
  }

  take(now: number): Attempt | undefined {
    // Also drop late attempts behind newer ones.
    while (this.isLate(this.waiting.peek(), now)) this.drop(this.shift()!)
    for (;;) {
      const next = this.newestFirst && this.stands(now) ? this.waiting.pop() : this.waiting.shift()
      if (!this.isLate(next, now)) return next?.attempt
      this.drop(next!.attempt)
    }
  }

  shift(): Attempt | undefined {
    return this.waiting.shift()?.attempt
  }

  ahead(now: number): number {
    return this.newestFirst && this.stands(now) ? 0 : this.size
  }

  maxWait(now: number): number {
    return this.stands(now) ? target : interval
  }

  private stands(now: number): boolean {
    return this.size > 0 && now - this.empty > interval
  }

  private isLate(waiting: Waiting | undefined, now: number): boolean {
    return waiting !== undefined && now > waiting.limit
  }
}

/** The queue of a discipline; `drop` is called with attempts that have waited too long. */
export const waitQueueOf = (discipline: Scenario["discipline"], drop: (attempt: Attempt) => void): WaitQueue => {
  switch (discipline) {
    case "fifo":
      return new Fifo()
    case "lifo":
      return new Lifo()
    case "codel":
      return new Codel(false, drop)
    case "codel-lifo":
      return new Codel(true, drop)
  }
}
