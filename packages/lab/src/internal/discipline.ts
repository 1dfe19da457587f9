/** In which order a dependency takes what waits for its workers, and what it drops. */
import type { Scenario } from "../Scenario.ts"
import type { Attempt } from "./attempt.ts"
import { Queue } from "./queue.ts"

/** Those who wait. */
export interface WaitQueue {
  readonly size: number
  readonly push: (attempt: Attempt) => void
  /** Whose turn it is. */
  readonly take: (now: number) => Attempt | undefined
  /** Anyone, whether or not it should be dropped: to empty the line. */
  readonly shift: () => Attempt | undefined
  /** How many would be served before one that came now, as far as it can be known. */
  readonly ahead: (now: number) => number
  /** How long one that came now could wait, in milliseconds. */
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

/** What may wait in a standing queue, in milliseconds: CoDel's target. */
const target = 5

/** A queue that has not been empty for so long stands, in milliseconds; what waits longer in any case is dropped. */
const interval = 100

interface Waiting {
  readonly attempt: Attempt
  readonly limit: number
}

/**
 * Controlled delay as servers use it (Maurer, "Fail at Scale", ACM Queue 13(8), 2015, after CoDel, RFC 8289): whoever
 * comes to a queue that has not been empty for an interval may wait for the target, others for the interval. RFC 8289
 * drops more and more often until its senders slow down, which callers do not.
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
    // Also of those that newer ones would hide.
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

/** The line of a discipline; `drop` is told of whoever has waited for too long. */
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
