/**
 * Pacing: a key that does not work gets one probe at a time, further and further apart.
 *
 * Most outages are short and some are very long: the chance that one ends within the next second falls with its age as 1/t, and against
 * such an outage probes whose gap grows with the root of the time lose the least for what they cost. With a doubling gap the mean regret
 * of the drawn worlds is 7.6 instead of 3.0, because a long gap outlasts the outage.
 */
import { parameters as p } from "./Parameters.ts"
import { firstLimit } from "./Ramp.ts"
import { type Chance, type Control, controlOf, Limited, type Limits, Paced, perCall, type State } from "./State.ts"

/** Gaps vary by a fifth, so that clients that began together do not probe together. */
const jitter = (chance: Chance): number => 0.8 + 0.4 * chance.nextDoubleUnsafe()

/**
 * The longest gap after an outage of this age. A young outage may be over in a moment, and the callers who wait for the next probe are
 * then more than the dependency has room for: with gaps of a second from the beginning, outages of 0.8 seconds at 76 % load lose 6 % in
 * place of nothing. Of a key that times out, probes are two fifths of the calls at most: whether it hangs or is overloaded cannot be told,
 * and more would keep an overload alive. With a fifth, clients of less than a call a second came back up to seven seconds late.
 */
const longest = (self: State, control: Control, { deadline }: Limits, now: number): number => {
  const age = Math.max(0, now - control.since)
  return Math.max(
    10,
    self.lastLate ? perCall(self) / p.mostShare : 0,
    Math.min(
      perCall(self) / p.leastShare,
      Math.max(
        p.root * Math.sqrt(age / 1000),
        Math.min(p.patience * deadline, p.longestPatience, Math.max(p.soonest, p.young * age))
      )
    )
  )
}

/** Begins to pace a key that is not paced, with a gap of at most `gap`; infinite after failures. */
export const pace = (self: State, limits: Limits, now: number, gap: number, since: number, chance: Chance): void => {
  const control = controlOf(self)
  control.since = since
  control.mode = Paced
  control.ramping = false
  control.failing = gap === Infinity
  control.gap = Math.min(gap, longest(self, control, limits, now))
  control.nextAt = now + control.gap * jitter(chance)
}

/** Paces after ten failures in a row that took half a second: nothing else is sent, so that nothing else is lost. */
export const afterFailure = (self: State, limits: Limits, now: number, chance: Chance): void => {
  if (limits.paces === false || self.failuresInRow < p.failures || now - self.failingSince < p.lasting) return
  pace(self, limits, now, Infinity, self.failingSince, chance)
}

/** Probes that may be in flight. */
export const mostProbes = (self: State): number => Math.max(1, Math.floor(p.probes * self.usualInFlight))

/**
 * May a probe be sent? While answers are late, and none fails, a more important call need not wait for the gap: the probes are its own.
 */
export const admits = (self: State, control: Control, now: number, isUrgent = false): boolean =>
  (now >= control.nextAt && control.probing < mostProbes(self)) ||
  (isUrgent && !control.failing && control.probing === 0)

export const sent = (control: Control, now: number, chance: Chance): void => {
  control.probing += 1
  control.nextAt = now + control.gap * jitter(chance)
}

/**
 * A good answer in time: the gap shrinks, and with it the wait that has begun. When calls are nearly as frequent as usual, a limit takes
 * over; after an outage it grows with each answer, because callers have waited and caches are cold.
 */
export const recovers = (
  self: State,
  control: Control,
  at: number,
  latency: number,
  now: number,
  chance: Chance
): void => {
  control.gap *= control.failing ? p.recovered : p.faster
  control.nextAt = Math.min(control.nextAt, at + control.gap * jitter(chance))
  if (control.gap > Math.max(latency, p.exit * perCall(self))) return
  control.mode = Limited
  control.ramping = control.failing
  control.limit = firstLimit(self.usualInFlight)
  control.changedAt = at
  control.hitAt = now
  self.latesInRow = 0
}

/**
 * The key answers, late: probes come closer, up to the share of the usual calls that keeps no overload alive. A cache that is cold is
 * warmed by calls, and its answers are late until it is.
 */
const afterLateAnswer = (self: State, gap: number): number =>
  Math.max(gap * p.slow, Math.min(gap, perCall(self) / p.mostShare))

/** A probe that was late, or failed. */
export const probeFailed = (
  self: State,
  control: Control,
  limits: Limits,
  at: number,
  isLate: boolean,
  isAnswered: boolean,
  now: number,
  chance: Chance
): void => {
  if (isLate) control.failing = false
  if (self.failuresInRow >= p.failures) {
    control.gap = longest(self, control, limits, now)
    control.failing = true
  } else {
    const next = isAnswered ? afterLateAnswer(self, control.gap) : control.gap * p.worse
    control.gap = Math.min(next, longest(self, control, limits, now))
  }
  control.nextAt = at + control.gap * jitter(chance)
}
