/** Whether a failed attempt is followed by another one: the decision, without the schedule that proposes the delay. */

/** A proposed retry. All times are in milliseconds. */
export interface Proposal {
  /** The delay of the schedule. */
  readonly delay: number
  /** The delay that the dependency asked for; 0 when it asked for none. */
  readonly retryAfter: number
}

/** What limits a retry. All times are in milliseconds. */
export interface Limits {
  /** A longer `retryAfter` ends the retry. */
  readonly maxRetryAfter: number
  /** Time before the deadline; `Infinity` without one. */
  readonly remaining: number
  /** Time for which the circuit will surely reject calls; 0 when it may admit one. */
  readonly rejectedFor: number
}

/**
 * A dependency gives the same `retryAfter` to all its callers. They return within this share of it, after it. Envoy's jittered
 * lower bound adds up to a half; this is the share by which a circuit varies its open time. A circuit that opens for a
 * `retryAfter` adds no more either, so that a retry can meet it.
 */
export const spread = 0.2

/**
 * A time of at least `retryAfter`, for the delay of a retry and for the open time of a circuit: at most `share` of it longer, and
 * below `before` if there is room; `random` is in [0, 1).
 */
export const spreadOut = (retryAfter: number, random: number, before = Infinity, share = spread): number =>
  retryAfter === Infinity
    ? Infinity
    : retryAfter + random * Math.max(0, Math.min(share * retryAfter, before - retryAfter))

/** What remembers when the youngest attempt that has succeeded started: the state of a key. */
export interface Answered {
  answeredFrom: number
}

/** {@link Answered.answeredFrom} before there was a success. */
export const neverAnswered = -Infinity

/** An attempt that started at `from` has succeeded. */
export const answered = (self: Answered, from: number): void => {
  self.answeredFrom = Math.max(self.answeredFrom, from)
}

/** Has an attempt that started at `from` or later succeeded already? */
export const isOvertaken = (self: Answered, from: number): boolean => from <= self.answeredFrom

/**
 * The delay before the next attempt, or the reason why there is none. The budget is charged afterwards. `random` is in [0, 1),
 * and is drawn only when the schedule proposes less than the dependency asked for: a longer delay has a spread of its own.
 */
export const decide = (
  { delay, retryAfter }: Proposal,
  { maxRetryAfter, rejectedFor, remaining }: Limits,
  random: () => number
): number | "attempts" | "retryAfter" | "deadline" | "rejected" => {
  if (retryAfter > maxRetryAfter) return "retryAfter"
  let wait = delay < retryAfter ? spreadOut(retryAfter, random(), remaining) : delay
  // A circuit that opened for the same `retryAfter` may have a longer spread: meet it.
  if (rejectedFor <= retryAfter * (1 + spread)) wait = Math.max(wait, rejectedFor)
  if (wait === Infinity && remaining === Infinity) return retryAfter === Infinity ? "retryAfter" : "attempts"
  if (wait >= remaining) return "deadline"
  if (wait < rejectedFor) return "rejected"
  return wait
}
