/**
 * When a second attempt of a call may start beside the first one: what one key knows about the time that attempts take, and about
 * the hedges that it has made.
 *
 * An attempt is late when it runs longer than the delay. It is a straggler, and not one of many in a queue, when an attempt that
 * started later has succeeded already, or when no other attempt is late; then a delay that was learned must pass twice. A hedge that does
 * not win was in vain: the delay grows while more than one in three is, so that those that are left are worth their price. Where service
 * times are exponential, half of the hedges win and all together gain nothing: at 90 % load they only lengthen the queue.
 */
import * as Histogram from "./Histogram.ts"

export interface Hedge {
  /** Milliseconds before a running attempt is late; `Infinity` while too little is known. */
  delay: number
  /** When `delay` was computed, `-Infinity` if it is to be computed anew, and from what option. */
  computedAt: number
  after: number | string
  /** How often the delay was raised. */
  level: number
  /** When `level` was set last; `NaN` before the first delay. */
  leveledAt: number
  /** Hedges that won, minus twice those that lost, within bounds. */
  score: number
  /** Hedges in a row that won. */
  streak: number
  /** Late attempts that run. */
  late: number
  /** The last attempt that ended was late, and not overtaken. */
  endedLate: boolean
  /** Since when attempts have been late together; `NaN` while they are not. */
  queuedSince: number
  /** How long attempts took that met no queue; only what a percentage needs is kept. */
  durations: Histogram.Histogram | undefined
}

export const make = (after: number | string): Hedge => ({
  delay: Infinity,
  computedAt: Number.NEGATIVE_INFINITY,
  after,
  level: firstLevel(after),
  leveledAt: Number.NaN,
  score: beginning,
  streak: 0,
  late: 0,
  endedLate: false,
  queuedSince: Number.NaN,
  durations: quantileOf(after) === undefined ? undefined : Histogram.make(window)
})

/** Milliseconds of one of the two generations of durations, and after which a queue has become usual. */
const window = 10_000

/** The largest share of the attempts that is hedged before any hedge has won: what few attempts say is uncertain. */
const firstShare = 0.025

const firstLevel = (after: number | string): number => {
  const quantile = quantileOf(after)
  return quantile === undefined ? 0 : Math.max(0, Math.ceil(Math.log2((1 - quantile) / firstShare) - 1e-9))
}

/** Milliseconds for which a computed delay is used. */
const computedFor = 250

/** With two wins for each loss the score stays. Two losses in a row raise a new delay, three at most. */
const beginning = 3
const highest = 6

/** At the level below, half as many of the hedges win: lower it only if nearly all win here. */
const streakDown = 8

const highestLevel = 6

/** Milliseconds after which a raised delay is lowered to see whether hedges win again. */
const forgiveAfter = 300_000

/** The share of the attempts that `"p95"` and the like name; `undefined` for a fixed delay. */
export const quantileOf = (after: number | string): number | undefined =>
  typeof after === "string" ? Number(after.slice(1)) / 100 : undefined

/** Attempts that must be known before a quantile of them is used: two are expected beyond it, and there are at least 20. */
export const leastSamples = (quantile: number): number => Math.max(20, Math.ceil(2 / (1 - quantile) - 1e-9))

/**
 * The delay of an attempt that starts now: a fixed one, or a quantile of the durations that are known. Each level doubles a fixed delay,
 * and halves the share of attempts that take longer than a quantile.
 */
export const delayAt = (self: Hedge, after: number | string, now: number): number => {
  if (self.after !== after || now - self.computedAt >= computedFor) compute(self, after, now)
  return self.delay
}

const compute = (self: Hedge, after: number | string, now: number): void => {
  // A level of the other kind means something else.
  if (typeof after !== typeof self.after) {
    setLevel(self, firstLevel(after), now)
    self.durations = undefined
  } else if (Number.isNaN(self.leveledAt)) self.leveledAt = now
  else if (self.level > 0 && now - self.leveledAt >= forgiveAfter) setLevel(self, self.level - 1, now)
  self.after = after
  self.computedAt = now
  const quantile = quantileOf(after)
  if (quantile === undefined) self.delay = (after as number) * 2 ** self.level
  else {
    self.durations ??= Histogram.make(window)
    const { durations } = self
    const longer = (1 - quantile) / 2 ** self.level
    const found = Histogram.quantile(durations, 1 - longer, now)
    const isKnown = durations.total + durations.previousTotal >= leastSamples(quantile)
    // Timers of whole milliseconds share one of the platform.
    self.delay = isKnown ? Math.max(1, Math.ceil(found ?? Infinity)) : Infinity
  }
}

/**
 * May a hedge of a late attempt start? `overtaken`: an attempt that started later has succeeded. `again`: the attempt has run for twice
 * the delay.
 *
 * When a queue begins, the first late attempt of each client looks like a straggler, and the hedges of many clients make the queue longer.
 * So unless it is overtaken, an attempt must be late twice where the delay was learned: with 50 clients (S8), 0.3 % of the calls take longer
 * than 34 ms in place of 1.3 %.
 */
export const mayStart = (self: Hedge, after: number | string, overtaken: boolean, again: boolean): boolean =>
  overtaken || (self.late <= 1 && !self.endedLate && (again || quantileOf(after) === undefined))

/** A running attempt has become late. */
export const becameLate = (self: Hedge): void => {
  self.late += 1
}

/**
 * An attempt has ended after `duration` milliseconds: `answered` as its caller wants it, `failed`, or `cut` by someone else. `delay` is
 * that of its call. What was cut says nothing of the others. A queue says nothing of how long an attempt takes, unless it has become usual.
 */
export const ended = (
  self: Hedge,
  how: "answered" | "failed" | "cut",
  wasLate: boolean,
  overtaken: boolean,
  duration: number,
  delay: number,
  now: number
): void => {
  const isQueued = self.endedLate || self.late > Number(wasLate)
  if (!isQueued) self.queuedSince = Number.NaN
  else if (Number.isNaN(self.queuedSince)) self.queuedSince = now
  const { durations } = self
  // How long a late attempt that was cut would have taken is not known, but that it is longer than this.
  if (durations !== undefined && (how !== "cut" || wasLate) && (!isQueued || now - self.queuedSince >= window)) {
    Histogram.advance(durations, now)
    Histogram.record(durations, duration)
  }
  if (wasLate) {
    self.late -= 1
    if (how !== "cut" && !overtaken) self.endedLate = true
  } else if (how === "answered" && duration <= delay) self.endedLate = false
}

/** A hedge has won, or not. */
export const decided = (self: Hedge, won: boolean, now: number): void => {
  if (won) {
    self.score = Math.min(highest, self.score + 1)
    self.streak += 1
    if (self.streak >= streakDown && self.level > 0) setLevel(self, self.level - 1, now)
  } else {
    self.score -= 2
    self.streak = 0
    if (self.score <= 0) setLevel(self, Math.min(highestLevel, self.level + 1), now)
  }
}

const setLevel = (self: Hedge, level: number, now: number): void => {
  self.level = level
  self.leveledAt = now
  self.score = beginning
  self.streak = 0
  self.computedAt = Number.NEGATIVE_INFINITY
}
