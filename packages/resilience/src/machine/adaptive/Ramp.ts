/**
 * The ramp: after an outage a limit on the calls in flight begins below what was usual and grows with each good answer, because callers have
 * waited and caches are cold. Adaptive policies use its two rules; for circuits there is a record of its own, which learns what is usual
 * while the circuit is closed.
 */
import { parameters as p } from "./Parameters.ts"

/** The limit with which a ramp begins. */
export const firstLimit = (usualInFlight: number): number => Math.max(2, p.rampFrom * usualInFlight)

/** Is the limit far above what is in flight, and above what was usual? */
export const isOutgrown = (limit: number, usualInFlight: number, inFlight: number): boolean =>
  limit > 4 * usualInFlight + 16 && limit > 2 * inFlight

/** What a circuit knows of its calls. */
export interface Ramp {
  /** Calls that were admitted and have not ended. */
  inFlight: number
  /** Those in flight when another call was admitted, over about 100, outside of ramps and while calls do not fail. */
  usual: number
  /** Calls that may be in flight; `Infinity` outside of ramps. */
  limit: number
  /** When a call was rejected last, or the ramp began; without a meaning before. */
  hitAt: number
  /** When the limit grew last. */
  grownAt: number
  /** The last call that ended well or not failed. */
  failing: boolean
}

export const make = (): Ramp => ({
  inFlight: 0,
  usual: 0,
  limit: Infinity,
  hitAt: 0,
  grownAt: 0,
  failing: false
})

/** The outage is over. */
export const begin = (self: Ramp, now: number): void => {
  self.limit = firstLimit(self.usual)
  self.hitAt = now
  self.grownAt = now
}

/** There is no limit. */
export const lift = (self: Ramp): void => {
  self.limit = Infinity
}

/**
 * Milliseconds until there is room for another call, if none ends; 0 when there is. One more has room after each `lease` milliseconds without
 * an answer: calls may last for hours.
 */
export const untilRoom = (self: Ramp, lease: number, now: number): number =>
  self.inFlight < Math.floor(self.limit) ? 0 : Math.max(0, self.grownAt + lease - now)

/** A call was rejected. */
export const rejected = (self: Ramp, now: number): void => {
  self.hitAt = now
}

/** A call comes after a time without calls. Returns whether that ended the ramp. */
export const rested = (self: Ramp, now: number): boolean => {
  if (self.limit === Infinity || self.inFlight > 0 || now - self.hitAt <= p.release) return false
  lift(self)
  return true
}

/** A call was admitted. Probes are no usual calls, and calls that fail at once would make an empty dependency usual. */
export const admitted = (self: Ramp, isProbe: boolean, now: number): void => {
  if (!isProbe && !self.failing && self.limit === Infinity) self.usual += (self.inFlight - self.usual) / 100
  self.inFlight += 1
  if (self.inFlight > self.limit) grow(self, self.inFlight, now)
}

const grow = (self: Ramp, limit: number, now: number): void => {
  self.limit = limit
  self.grownAt = now
}

/** A call has ended. Returns whether that ended the ramp. */
export const ended = (self: Ramp, outcome: "success" | "failure" | "ignored", now: number): boolean => {
  self.inFlight -= 1
  if (outcome !== "ignored") self.failing = outcome === "failure"
  if (self.limit === Infinity) return false
  if (outcome === "success") grow(self, self.limit + 1, now)
  if (now - self.hitAt <= p.release && !isOutgrown(self.limit, self.usual, self.inFlight)) return false
  lift(self)
  return true
}
