/** Sums over the keys of a policy, for exporters: no object per key, because a policy may have ten thousand of them. */
import type * as Event from "../Event.ts"
import * as Circuit from "../machine/Circuit.ts"
import * as Fuse from "../machine/Fuse.ts"
import type * as Stats from "../Stats.ts"

/** The counts of a policy, which only grow. Times are in milliseconds. */
export interface Counts {
  calls: number
  successes: number
  failures: number
  ignored: number
  circuitOpen: number
  bulkheadFull: number
  rateLimited: number
  deadlineExceeded: number
  retries: number
  gaveUpAttempts: number
  gaveUpBudget: number
  gaveUpDeadline: number
  gaveUpRejected: number
  gaveUpRetryAfter: number
  timeouts: number
  hedges: number
  hedgeWins: number
  fallbacks: number
  openings: number
  closedTime: number
  openTime: number
  halfOpenTime: number
  isolatedTime: number
  disabledTime: number
  // What a policy that observes would have done.
  observed: number
  wouldCircuitOpen: number
  wouldBulkheadFull: number
  wouldRateLimited: number
  wouldDeadlineExceeded: number
  wouldRetry: number
  wouldGiveUp: number
  wouldTimeOut: number
  wouldHedge: number
  wouldOpen: number
  // Ended calls by the arm of a rollout.
  enforcedCalls: number
  enforcedFailures: number
  observedCalls: number
  observedFailures: number
  // Of a fuse.
  shorts: number
  trips: number
}

export const noCounts = (): Counts => ({
  calls: 0,
  successes: 0,
  failures: 0,
  ignored: 0,
  circuitOpen: 0,
  bulkheadFull: 0,
  rateLimited: 0,
  deadlineExceeded: 0,
  retries: 0,
  gaveUpAttempts: 0,
  gaveUpBudget: 0,
  gaveUpDeadline: 0,
  gaveUpRejected: 0,
  gaveUpRetryAfter: 0,
  timeouts: 0,
  hedges: 0,
  hedgeWins: 0,
  fallbacks: 0,
  openings: 0,
  closedTime: 0,
  openTime: 0,
  halfOpenTime: 0,
  isolatedTime: 0,
  disabledTime: 0,
  observed: 0,
  wouldCircuitOpen: 0,
  wouldBulkheadFull: 0,
  wouldRateLimited: 0,
  wouldDeadlineExceeded: 0,
  wouldRetry: 0,
  wouldGiveUp: 0,
  wouldTimeOut: 0,
  wouldHedge: 0,
  wouldOpen: 0,
  enforcedCalls: 0,
  enforcedFailures: 0,
  observedCalls: 0,
  observedFailures: 0,
  shorts: 0,
  trips: 0
})

/** The states of a circuit, in the order of the phases of the machine. */
export const states: ReadonlyArray<Event.CircuitState> = ["closed", "open", "half-open", "isolated", "disabled"]

export type Count = keyof Counts

/** The names of all counts. */
export const everyCount = Object.keys(noCounts()) as ReadonlyArray<Count>

/** What a key has done, without what every call counts; `Past` of `counters.ts`. */
interface History {
  readonly failures: number
  readonly ignored: number
  readonly retries: number
  readonly timeouts: number
  readonly hedges: number
  readonly hedgeWins: number
  readonly fallbacks: number
  readonly CircuitOpen: number
  readonly BulkheadFull: number
  readonly RateLimited: number
  readonly DeadlineExceeded: number
  readonly openings: number
  readonly hasGivenUp: boolean
  readonly gaveUpFor: Stats.Totals["giveUps"]
  readonly arms: Stats.Arms | undefined
}

interface Counted {
  readonly calls: number
  readonly successes?: number
  readonly past: History | undefined
}

interface Queue {
  readonly running: number
  readonly waiting: number
  readonly limit: number
  readonly maxQueued: number
}

const wouldCounts = (counts: Counts): Partial<Counts> => ({
  observed: counts.calls,
  wouldCircuitOpen: counts.circuitOpen,
  wouldBulkheadFull: counts.bulkheadFull,
  wouldRateLimited: counts.rateLimited,
  wouldDeadlineExceeded: counts.deadlineExceeded,
  wouldRetry: counts.retries,
  wouldGiveUp:
    counts.gaveUpAttempts +
    counts.gaveUpBudget +
    counts.gaveUpDeadline +
    counts.gaveUpRejected +
    counts.gaveUpRetryAfter,
  wouldTimeOut: counts.timeouts,
  wouldHedge: counts.hedges,
  wouldOpen: counts.openings
})

/** What some keys of a policy have done, and what they do now. */
export class Sums {
  private readonly added = noCounts()
  /** Milliseconds in each phase, as {@link Circuit.addTimeIn} adds them. */
  readonly times = [0, 0, 0, 0, 0]
  /** Circuits by state. */
  readonly circuits: Record<Event.CircuitState, number> = {
    closed: 0,
    open: 0,
    "half-open": 0,
    isolated: 0,
    disabled: 0
  }
  /** Circuits whose next call is a probe. */
  due = 0
  /** The longest time since one of these circuits left closed, in milliseconds; 0 when all are healthy. */
  unhealthy = 0
  /** Attempts running. */
  running = 0
  waiting = 0
  maxConcurrent = 0
  maxQueued = 0
  /** The lowest balance of a budget, with its capacity; `undefined` without one. */
  balance: number | undefined
  capacity: number | undefined
  /** The fewest tokens of a rate limit; `undefined` without one. */
  rateTokens: number | undefined
  /** Calls that wait for a token of a rate limit. */
  rateWaiting = 0
  /** Fuses that pause their callers, and those of them that are broken. */
  tripped = 0
  broken = 0
  /** Nothing while the policy has not observed. */
  would: Sums | undefined

  /** What the policy would have done for these keys. */
  get observed(): Sums {
    this.would ??= new Sums()
    return this.would
  }

  get counts(): Counts {
    const { times, would } = this
    return {
      ...this.added,
      ...(would === undefined ? {} : wouldCounts(would.added)),
      closedTime: times[Circuit.Closed]!,
      openTime: times[Circuit.Open]!,
      halfOpenTime: times[Circuit.HalfOpen]!,
      isolatedTime: times[Circuit.Isolated]!,
      disabledTime: times[Circuit.Disabled]!
    }
  }

  addCounted({ calls, past, successes = 0 }: Counted): void {
    const counts = this.added
    counts.calls += calls
    counts.successes += successes
    if (past === undefined) return
    counts.failures += past.failures
    counts.ignored += past.ignored
    counts.circuitOpen += past.CircuitOpen
    counts.bulkheadFull += past.BulkheadFull
    counts.rateLimited += past.RateLimited
    counts.deadlineExceeded += past.DeadlineExceeded
    counts.retries += past.retries
    counts.timeouts += past.timeouts
    counts.hedges += past.hedges
    counts.hedgeWins += past.hedgeWins
    counts.fallbacks += past.fallbacks
    counts.openings += past.openings
    if (past.arms !== undefined) {
      const { enforce, observe } = past.arms
      counts.enforcedCalls += enforce.calls
      counts.enforcedFailures += enforce.failures
      counts.observedCalls += observe.calls
      counts.observedFailures += observe.failures
    }
    if (!past.hasGivenUp) return
    const { attempts, budget, deadline, rejected, retryAfter } = past.gaveUpFor
    counts.gaveUpAttempts += attempts
    counts.gaveUpBudget += budget
    counts.gaveUpDeadline += deadline
    counts.gaveUpRejected += rejected
    counts.gaveUpRetryAfter += retryAfter
  }

  addFuse(fuse: Fuse.Fuse, now: number): void {
    this.added.shorts += fuse.totalShorts
    this.added.trips += fuse.trips
    if (Fuse.isTripped(fuse, now)) this.tripped += 1
    if (fuse.broken) this.broken += 1
  }

  addQueue({ limit, maxQueued, running, waiting }: Queue): void {
    this.running += running
    this.waiting += waiting
    this.maxConcurrent += limit
    this.maxQueued += maxQueued
  }

  /** Adds what other keys do now, without what they have done. */
  addPresent(other: Sums): void {
    for (const state of states) this.circuits[state] += other.circuits[state]
    this.due += other.due
    this.unhealthy = Math.max(this.unhealthy, other.unhealthy)
    this.tripped += other.tripped
    this.broken += other.broken
    this.running += other.running
    this.waiting += other.waiting
    this.maxConcurrent += other.maxConcurrent
    this.maxQueued += other.maxQueued
    if (other.rateTokens !== undefined) this.rateTokens = Math.min(this.rateTokens ?? Infinity, other.rateTokens)
    this.rateWaiting += other.rateWaiting
    if (other.balance !== undefined) this.addBalance(other.balance, other.capacity ?? 0)
    if (other.would !== undefined) this.observed.addPresent(other.would)
  }

  addRate({ tokens, waiting }: Stats.RateLimit): void {
    this.rateTokens = Math.min(this.rateTokens ?? Infinity, tokens)
    this.rateWaiting += waiting
  }

  addBalance(balance: number, capacity: number): void {
    if (this.balance === undefined || balance < this.balance) {
      this.balance = balance
      this.capacity = capacity
    }
  }
}

/**
 * The sums to which a key is added. `notable`: its circuit is not closed, or has opened since it was created.
 */
export type Select = (key: string, notable: boolean) => Sums

/** A policy that can be summed up. */
export interface Summable {
  /** Adds each key that is kept, and the counts of those that were. */
  readonly sum: (select: Select, now: number) => void
  /** The durations of all attempts; only a policy measures them. */
  readonly durations?: () => Stats.Durations
  /** What its fleet has told; `undefined` of what shares nothing. */
  readonly fleetView?: (now: number) => Stats.Fleet | undefined
}
