/**
 * The adaptive rules together: what a key does with each call and each answer. The rules stand in `adaptive/`, one to a file, each with
 * its reason; the numbers in `adaptive/Parameters.ts`.
 *
 * Total functions over one record per key. Time and chance are arguments. All are O(1), amortized for {@link look}.
 */
import * as Limit from "./adaptive/Limit.ts"
import * as Pacing from "./adaptive/Pacing.ts"
import { parameters as p } from "./adaptive/Parameters.ts"
import * as RetryCost from "./adaptive/RetryCost.ts"
import {
  type Chance,
  controlOf,
  count,
  type Flight,
  Free,
  Limited,
  type Limits,
  lateAfter,
  modeOf,
  Paced,
  type State,
  share,
  weightOf
} from "./adaptive/State.ts"
import * as LinkedList from "./LinkedList.ts"

export type { Chance, Limits, Mode } from "./adaptive/State.ts"
export { Control, Flight, Free, Limited, modeOf, Paced, State } from "./adaptive/State.ts"

/**
 * How an attempt ended.
 *
 * - `ok`: the dependency answered, and nothing is wrong with it.
 * - `failed`: it answered with a failure.
 * - `timeout`: it did not answer, and had its time. That is a failure, and a late answer if it was late by then.
 * - `cut`: its caller or a deadline ended it before: it says nothing, unless it was late by then.
 * - `overloaded`: it answered that it is asked too much. That counts as a late answer and not as a failure.
 * - `unknown`: it says nothing.
 */
export type How = "ok" | "failed" | "timeout" | "cut" | "overloaded" | "unknown"

/** A call came. */
export const came = (self: State, limits: Limits, now: number, chance: Chance): void => {
  if (modeOf(self) === Free) count(self, now)
  look(self, limits, now, chance)
}

/** Counts those as late that should have been answered by now. */
export const look = (self: State, limits: Limits, now: number, chance: Chance): void => {
  if (self.first === undefined) {
    // No timeout ends the calls of a limit alone, which may have been lowered since they were late.
    if (limits.paces === false) Limit.unstick(self, limits, now, 0, chance)
    return
  }
  Limit.afterPause(self, limits, now)
  if (Limit.catchesUp(self, now)) return
  const late = lateAfter(self, limits)
  for (let flight = self.first; flight !== undefined && now - flight.at > late; flight = self.first) {
    LinkedList.remove(self, flight)
    flight.counted = true
    flight.round = self.round
    self.overdue += 1
    if (p.lateProbes && flight.probe) probeIsLate(self, limits, flight, now, chance)
    if (Limit.speaks(self, flight.at, true)) Limit.weigh(self, limits, now, now - flight.at, true, chance)
  }
  if (p.unstick && self.first === undefined) Limit.unstick(self, limits, now, late, chance)
}

/** It leaves its place to another one: one that hangs would hold it until its timeout. Its answer counts as that of any attempt. */
const probeIsLate = (self: State, limits: Limits, flight: Flight, now: number, chance: Chance): void => {
  const control = controlOf(self)
  flight.probe = false
  control.probing -= 1
  if (control.mode === Paced) Pacing.probeFailed(self, control, limits, flight.at, true, false, now, chance)
}

/** May another attempt be sent? `share` is that of the limit which its class may use: the rest is kept for more important ones. */
export const admits = (self: State, now: number, share = 1, isUrgent = false): boolean => {
  const { control } = self
  if (control === undefined) return true
  if (control.mode === Paced) return Pacing.admits(self, control, now, isUrgent)
  return Limit.admits(self, control, now, isUrgent ? 1.25 : share)
}

/** An attempt is sent. `whole`: it has half of the timeout at least. */
export const sent = (
  self: State,
  flight: Flight,
  now: number,
  isFirst: boolean,
  whole: boolean,
  chance: Chance
): void => {
  const mode = modeOf(self)
  if (isFirst) RetryCost.earn(self)
  // Calls that fail at once, with their retries, would make an empty dependency usual within a second of an outage.
  if (mode === Free && self.failuresInRow === 0) self.usualInFlight += (self.inFlight - self.usualInFlight) / 100
  flight.probe = mode === Paced
  if (mode === Paced) Pacing.sent(controlOf(self), now, chance)
  self.inFlight += 1
  self.lastEventAt = now
  flight.at = now
  flight.counted = false
  flight.whole = whole
  LinkedList.append(self, flight)
}

/** An attempt has ended, or was answered and goes on, such as a stream. `now` is when it was answered. */
export const ended = (self: State, limits: Limits, flight: Flight, now: number, how: How, chance: Chance): void => {
  const { at, probe, whole } = flight
  Limit.afterPause(self, limits, now)
  self.lastEventAt = now
  self.inFlight -= 1
  LinkedList.remove(self, flight)
  if (flight.counted) {
    if (flight.round === self.round) self.overdue -= 1
    else self.strays -= 1
  }
  if (probe) controlOf(self).probing -= 1
  if (how === "unknown") return
  const latency = now - at
  const isLate = how === "overloaded" || latency > lateAfter(self, limits)
  const hasNoAnswer = how === "timeout" || how === "cut"
  const isWhole = how === "timeout" && whole
  if (hasNoAnswer && !isWhole && !isLate) return
  const isOk = how === "ok"
  if (isOk) learn(self, at, latency, isLate)
  else if (how === "failed" || isWhole) {
    if (self.failuresInRow === 0) self.failingSince = now
    self.failuresInRow += 1
  }
  if (how !== "failed") self.noAnswer = share(self.noAnswer, hasNoAnswer, 32)
  // A timeout inside the work may be shorter than what is late: where it ends an attempt there was no answer, and none in time.
  const isInTime = !isLate && !hasNoAnswer
  const says = how !== "failed" && (isLate || isInTime)
  if (says) self.lastLate = isLate
  const { control } = self
  if (control !== undefined && control.mode === Paced) {
    if (says) self.late = share(self.late, isLate, 8)
    if (isOk && !isLate) Pacing.recovers(self, control, at, latency, now, chance)
    else if (probe) Pacing.probeFailed(self, control, limits, at, isLate, says && !hasNoAnswer, now, chance)
    return
  }
  // What the dependency says of itself counts, overtaken or not.
  const isEvidence =
    how === "overloaded"
      ? Limit.speaks(self, at, false)
      : Limit.speaks(self, at, isLate) && !(isLate && Limit.catchesUp(self, now))
  if (says && !flight.counted && isEvidence) Limit.weigh(self, limits, now, latency, isLate, chance)
  const after = self.control
  if (after !== undefined && after.mode === Limited && isInTime && at >= after.changedAt && (isOk || !after.ramping)) {
    Limit.raise(self, after, now)
  }
  if (how !== "overloaded" && modeOf(self) !== Paced) Pacing.afterFailure(self, limits, now, chance)
}

/** A good answer: it overtakes all that are late. */
const learn = (self: State, at: number, latency: number, isLate: boolean): void => {
  if (!isLate && at > self.goodAt) {
    self.goodAt = at
    if (p.strays) Limit.overtake(self)
  }
  self.failuresInRow = 0
  const isFirst = Number.isNaN(self.mean)
  const isPaced = modeOf(self) === Paced
  if (isFirst) self.mean = latency
  // Late answers would make themselves usual; those of probes show that a service has become slower.
  else if (!isLate || isPaced) self.mean += (latency - self.mean) * (isPaced && isLate ? 0.2 : weightOf(self))
}

/** Is there room for another attempt? Changes nothing. */
export const isFree = (self: State, now: number): boolean => {
  const { control } = self
  if (control === undefined) return true
  return control.mode === Paced ? Pacing.admits(self, control, now) : Limit.hasRoom(self, control)
}

/** No call waits any more. */
export const emptied = (self: State): void => {
  if (self.control !== undefined) Limit.emptied(self, self.control)
}

/** Lifts what is in force, and forgets the evidence; with `forgets` also what is usual. What is in flight stays so. */
export const restart = (self: State, forgets: boolean): void => {
  self.failuresInRow = 0
  self.latesInRow = 0
  self.late = 0
  self.noAnswer = 0
  self.lastLate = false
  if (forgets) {
    self.mean = NaN
    self.usualLate = 0
    self.usualInFlight = 0
    self.tokens = p.firstTokens
  }
  if (self.control !== undefined) Limit.lift(self, self.control)
}
