/**
 * The cost of a retry, by what the failure says.
 *
 * A quick failure costs the dependency little, and its retry is the cure for a brown-out: one token. So does a straggler that later
 * attempts have overtaken, or was sent beside. A slow failure has cost the work of a call: twenty. Any other timeout may be a queue,
 * to which a retry adds the work of a whole call for a caller that soon leaves: it is not repeated. At a price of twenty, of which each
 * call pays one, a healthy dependency whose workers are busy for 85 % of their time loses 13 % of the calls of a thousand clients in
 * place of 2.6 %.
 *
 * Every call adds a token. With a budget of a fifth of the calls instead, the mean regret of the drawn worlds is 4.6 in place of 3.0;
 * with retries that cost nothing, overloads do not end.
 */
import { parameters as p } from "./Parameters.ts"
import { Limited, type Limits, lateAfter, meanOr, modeOf, Paced, type State } from "./State.ts"

/** The most tokens. */
export const capacity = (self: State): number => Math.max(p.tokens, self.calls)

/** A first attempt. */
export const earn = (self: State): void => {
  self.tokens = Math.min(capacity(self), self.tokens + 1)
}

/** How an attempt ended that may be retried. */
export interface Failed {
  readonly at: number
  readonly latency: number
  /** `overloaded`: the dependency asks for fewer calls. */
  readonly how: "failed" | "timeout" | "overloaded"
}

/** The tokens that a retry of the attempt takes; infinite if it is not worth any. */
const costOf = (self: State, limits: Limits, { at, how, latency }: Failed): number => {
  if (how === "overloaded") return p.asked
  if (isCheap(self, limits, at, latency, how)) return p.cheap
  if (how === "timeout") return p.timedOut
  return self.noAnswer > p.noAnswers ? Infinity : p.expensive
}

const isCheap = (self: State, limits: Limits, at: number, latency: number, how: "failed" | "timeout"): boolean => {
  if (at <= self.goodAt) return true
  if (how === "timeout" || self.lastLate || self.late >= 0.5) return false
  return latency <= Math.min(p.fast * meanOr(self, limits), lateAfter(self, limits))
}

/** Takes what a retry costs; `false`, and nothing taken, if it is not to be made. */
export const pay = (self: State, limits: Limits, failed: Failed, isUrgent = false): boolean => {
  const mode = modeOf(self)
  // It waits for its turn as any other call, and takes it from another one. What is asked too much is not asked again for that.
  if (mode === Paced && failed.how !== "overloaded") return true
  // A more important call takes its place from others, and so may its retry.
  const cost = isUrgent ? Math.min(p.expensive, costOf(self, limits, failed)) : costOf(self, limits, failed)
  if (self.tokens < cost) return false
  const { control } = self
  if (
    !isUrgent &&
    control?.mode === Limited &&
    !control.ramping &&
    self.inFlight - self.strays >= p.full * control.limit
  )
    return false
  self.tokens -= cost
  return true
}
