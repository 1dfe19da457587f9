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

/** The delay before the next attempt, or the reason why there is none. The budget is charged afterwards. */
export const decide = (
  { delay, retryAfter }: Proposal,
  limits: Limits
): number | "retryAfter" | "deadline" | "rejected" => {
  if (retryAfter > limits.maxRetryAfter) return "retryAfter"
  const wait = Math.max(delay, retryAfter)
  if (wait >= limits.remaining) return "deadline"
  if (wait < limits.rejectedFor) return "rejected"
  return wait
}
