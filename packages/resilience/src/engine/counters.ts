/** What the keys of a policy have done: the hot path increments numbers, and stats copy them. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import type { GiveUpReason } from "../Event.ts"
import * as Circuit from "../machine/Circuit.ts"
import * as Histogram from "../machine/Histogram.ts"
import * as Window from "../machine/Window.ts"
import type { Outcome } from "../Outcome.ts"
import type { LastFailure, Rejection } from "../Rejection.ts"
import * as Check from "../runtime/options.ts"
import { read } from "../runtime/read.ts"
import type * as Stats from "../Stats.ts"
import { Arms } from "./arms.ts"
import type { Select } from "./sums.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Totals
// ---------------------------------------------------------------------------------------------------------------------

const longestMessage = 200

/** A cut string keeps the whole one in memory; a string that was joined anew does not. */
const cut = (text: string): string =>
  text.length <= longestMessage ? text : ` ${text.slice(0, longestMessage)}`.slice(1)

/** Why a call failed: a cause, a value that is classified as a failure, or the report of a permit. */
export type Reason = Cause.Cause<unknown> | undefined | "reported"

/** What a key has done, without what every call counts. Created when there is something of it to count: most keys have nothing. */
export class Past extends Circuit.Past {
  failures = 0
  ignored = 0
  retries = 0
  timeouts = 0
  fallbacks = 0
  hedges = 0
  hedgeWins = 0
  CircuitOpen = 0
  BulkheadFull = 0
  RateLimited = 0
  DeadlineExceeded = 0
  private giveUps: Record<GiveUpReason, number> | undefined = undefined
  /** Nothing without a rollout. */
  arms: Arms | undefined = undefined
  private lastTag: string | undefined = undefined
  private lastMessage = ""
  private lastAt = 0

  failed(cause: Reason, now: number): void {
    if (cause === undefined) this.failedAs("(value)", "", now)
    else if (cause === "reported") this.failedAs("(reported)", "", now)
    else {
      const reason = cause.reasons.find(Cause.isFailReason) ?? cause.reasons.find(Cause.isDieReason)
      if (reason === undefined) this.failedAs("Interrupted", "", now)
      else this.failedWith(Cause.isFailReason(reason) ? reason.error : reason.defect, now)
    }
  }

  private failedWith(error: unknown, now: number): void {
    const tag = read(error, "_tag")
    const name = typeof tag === "string" ? tag : read(error, "name")
    const message = typeof error === "string" ? error : read(error, "message")
    this.failedAs(typeof name === "string" ? name : typeof error, typeof message === "string" ? message : "", now)
  }

  private failedAs(tag: string, message: string, now: number): void {
    this.failures += 1
    this.lastTag = cut(tag)
    this.lastMessage = cut(message)
    this.lastAt = now
  }

  gaveUp(reason: GiveUpReason, count = 1): void {
    this.giveUps ??= { attempts: 0, budget: 0, deadline: 0, rejected: 0, retryAfter: 0 }
    this.giveUps[reason] += count
  }

  /** The calls by arm, created if need be. */
  get byArm(): Arms {
    this.arms ??= new Arms()
    return this.arms
  }

  get hasGivenUp(): boolean {
    return this.giveUps !== undefined
  }

  get gaveUpFor(): Record<GiveUpReason, number> {
    return { attempts: 0, budget: 0, deadline: 0, rejected: 0, retryAfter: 0, ...this.giveUps }
  }

  /** The last failure for a rejection. */
  get lastFailure(): LastFailure | undefined {
    const { lastMessage: message, lastTag: tag } = this
    return tag === undefined ? undefined : { tag, message }
  }

  lastError(now: number): Stats.LastError | undefined {
    const { lastAt, lastMessage, lastTag } = this
    if (lastTag === undefined) return undefined
    return { tag: lastTag, message: lastMessage, ago: Duration.millis(Math.max(0, now - lastAt)) }
  }

  add(other: Past): void {
    this.failures += other.failures
    this.ignored += other.ignored
    this.retries += other.retries
    this.timeouts += other.timeouts
    this.fallbacks += other.fallbacks
    this.hedges += other.hedges
    this.hedgeWins += other.hedgeWins
    this.CircuitOpen += other.CircuitOpen
    this.BulkheadFull += other.BulkheadFull
    this.RateLimited += other.RateLimited
    this.DeadlineExceeded += other.DeadlineExceeded
    this.openings += other.openings
    if (other.arms !== undefined) this.byArm.add(other.arms)
    for (const [reason, count] of Object.entries(other.giveUps ?? {})) this.gaveUp(reason as GiveUpReason, count)
  }
}

export const noTimes: ReadonlyArray<number> = [0, 0, 0, 0, 0]

const nothing = new Past(0)

/** The counts of a key; `times` are those of {@link Circuit.timeIn}. */
export const totals = (
  calls: number,
  successes: number,
  past: Past = nothing,
  times: ReadonlyArray<number> = noTimes
): Stats.Totals => {
  const { BulkheadFull, CircuitOpen, DeadlineExceeded, RateLimited, failures, fallbacks, hedges, hedgeWins } = past
  const { ignored, openings, retries, timeouts } = past
  const rejections: Record<Rejection["_tag"], number> = { CircuitOpen, BulkheadFull, RateLimited, DeadlineExceeded }
  return {
    calls,
    successes,
    failures,
    ignored,
    rejections,
    retries,
    giveUps: past.gaveUpFor,
    timeouts,
    hedges,
    hedgeWins,
    fallbacks,
    openings,
    timeIn: {
      closed: Duration.millis(times[Circuit.Closed]!),
      open: Duration.millis(times[Circuit.Open]!),
      "half-open": Duration.millis(times[Circuit.HalfOpen]!),
      isolated: Duration.millis(times[Circuit.Isolated]!),
      disabled: Duration.millis(times[Circuit.Disabled]!)
    }
  }
}

/** The calls of a key by arm. */
export const arms = (past: Past | undefined): Stats.Arms => {
  const { enforce, observe } = past?.arms ?? noArms
  return { enforce: { ...enforce }, observe: { ...observe } }
}

const noArms = new Arms()

/** The stats of a key whose policy has none of the optional parts; the fields of `known` replace those. */
export const stats = (
  policy: string,
  key: string,
  known: Partial<Stats.Stats> & Pick<Stats.Stats, "totals">
): Stats.Stats => ({
  policy,
  key,
  circuit: undefined,
  running: 0,
  waiting: 0,
  maxConcurrent: undefined,
  fleetPermits: undefined,
  maxQueued: undefined,
  balance: undefined,
  capacity: undefined,
  lastError: undefined,
  recent: notMeasured,
  mode: "enforce",
  would: undefined,
  arms: undefined,
  adaptive: undefined,
  rateLimit: undefined,
  ...known
})

const notMeasured: Stats.Recent = {
  window: Duration.zero,
  attempts: 0,
  successRate: undefined,
  latency: undefined
}

// ---------------------------------------------------------------------------------------------------------------------
// Keys that are no longer kept
// ---------------------------------------------------------------------------------------------------------------------

/** The key of the stats of all keys that are no longer kept, so that a sum over keys never decreases. */
const evictedKey = "(evicted)"

interface Countable {
  readonly calls: number
  readonly successes?: number
  past: Past | undefined
}

export class Evicted {
  private any = false
  calls = 0
  successes = 0
  readonly past = new Past(0)
  private readonly times = [0, 0, 0, 0, 0]

  add(entry: Countable, times: ReadonlyArray<number> = noTimes): void {
    this.any = true
    this.calls += entry.calls
    this.successes += entry.successes ?? 0
    if (entry.past !== undefined) this.past.add(entry.past)
    // A call between two attempts still counts its retries on the entry that it began with.
    entry.past = this.past
    for (const [phase, time] of times.entries()) this.times[phase]! += time
  }

  /** Counts a call of a key that is not kept at all. */
  countCall(): void {
    this.any = true
    this.calls += 1
  }

  /** Adds them to the sums of their key. */
  sum(select: Select): void {
    if (!this.any) return
    const sums = select(evictedKey, false)
    sums.addCounted(this)
    for (const [phase, time] of this.times.entries()) sums.times[phase]! += time
  }

  /** Nothing while every key that was used is kept. */
  stats(policy: string): ReadonlyArray<Stats.Stats> {
    if (!this.any) return []
    return [stats(policy, evictedKey, { totals: totals(this.calls, this.successes, this.past, this.times) })]
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Recent attempts
// ---------------------------------------------------------------------------------------------------------------------

/** Of a key without an attempt. */
export const noneRecent = (window: number): Stats.Recent => ({
  window: Duration.millis(window),
  attempts: 0,
  successRate: undefined,
  latency: undefined
})

/** The recent attempts of one key: the window of its success rate and the histogram of its latencies, as one object. */
export class Recent implements Window.TimeWindow, Histogram.Histogram {
  declare readonly width: number
  declare calls: Array<number> | undefined
  declare marked: Array<number> | undefined
  declare tick: number
  declare totalCalls: number
  declare totalMarked: number
  declare readonly length: number
  declare generation: number
  declare total: number
  declare previousTotal: number
  declare from: number
  declare counts: Array<number>
  /** The end of the newest bucket: comparing with it costs less than computing the bucket. */
  declare private ends: number

  /** `window` is in milliseconds. */
  constructor(window: number) {
    const { calls, marked, tick, totalCalls, totalMarked, width } = Window.makeTime(window)
    const { counts, from, generation, length, previousTotal, total } = Histogram.make(window)
    this.width = width
    this.calls = calls
    this.marked = marked
    this.tick = tick
    this.totalCalls = totalCalls
    this.totalMarked = totalMarked
    this.length = length
    this.generation = generation
    this.total = total
    this.previousTotal = previousTotal
    this.from = from
    this.counts = counts
    this.ends = 0
  }

  record(failed: boolean, duration: number, now: number): void {
    if (now >= this.ends) this.advance(now)
    Window.count(this, failed)
    Histogram.record(this, duration)
  }

  /** An attempt was ended before its time: it would have taken longer. It counts for the latencies only. */
  cut(duration: number, now: number): void {
    if (now >= this.ends) this.advance(now)
    Histogram.record(this, duration)
  }

  private advance(now: number): void {
    Window.advance(this, now)
    // A generation is as long as the window: it can be over only when a bucket is.
    Histogram.advance(this, now)
    this.ends = (this.tick + 1) * this.width
  }

  view(now: number): Stats.Recent {
    this.advance(now)
    const { length, totalCalls, totalMarked } = this
    return {
      window: Duration.millis(length),
      attempts: totalCalls,
      successRate: totalCalls === 0 ? undefined : (totalCalls - totalMarked) / totalCalls,
      latency: totalCalls === 0 ? undefined : this.latency()
    }
  }

  private latency(): Stats.Latency {
    // A copy: stats that were returned do not change.
    const find = Histogram.quantiles(this)
    const at = (q: number): Duration.Duration => Duration.millis(find(q) ?? 0)
    return {
      p50: at(0.5),
      p90: at(0.9),
      p95: at(0.95),
      p99: at(0.99),
      quantile: (q) => at(Check.inRange("Stats.Latency.quantile", "q", q, 0, 1))
    }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Durations of a policy
// ---------------------------------------------------------------------------------------------------------------------

/** Milliseconds: the boundaries that OpenTelemetry recommends for HTTP. */
const bounds: ReadonlyArray<number> = [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000]

/** The durations of all attempts of a policy, all keys together: per key they would cost more than all else. */
export class Durations {
  /** By bucket, the last one without a bound. */
  private readonly counts: Array<number> = new Array(bounds.length + 1).fill(0)
  private sum = 0

  record(duration: number): void {
    let at = 0
    while (at < bounds.length && duration > bounds[at]!) at++
    this.counts[at]! += 1
    this.sum += duration
  }

  view(): Stats.Durations {
    let count = 0
    const buckets = bounds.map((bound, at) => {
      count += this.counts[at]!
      return [bound, count] as const
    })
    return { count: count + this.counts[bounds.length]!, sum: Duration.millis(this.sum), buckets }
  }
}

/** Counts an outcome that is no success; for success there is a number on the entry itself. */
export const recordFailure = (past: Past, outcome: Exclude<Outcome, "success">, cause: Reason, now: number): void => {
  if (outcome === "failure") past.failed(cause, now)
  else past.ignored += 1
}
