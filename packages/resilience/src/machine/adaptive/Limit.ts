/**
 * The limit: how many attempts may be in flight, none while all is well.
 *
 * A limit begins when late answers in a row are no chance any more: the row is weighed with the share of late answers that is usual for
 * this key, so a service with a long tail is not limited for it. An attempt that was overtaken, by one that was sent later and answered
 * in time, is no evidence: it met a slow server, and no queue. Nor does it take a place of the limit once it is late: calls that hang would
 * fill it until their timeout, although the dependency is well again. Without the limit the mean regret of 24 drawn worlds is 3.9 % in place
 * of 1.6.
 */
import { pace } from "./Pacing.ts"
import { parameters as p } from "./Parameters.ts"
import { isOutgrown } from "./Ramp.ts"
import {
  type Chance,
  type Control,
  controlOf,
  Free,
  Limited,
  type Limits,
  modeOf,
  need,
  Paced,
  perCall,
  type State,
  share
} from "./State.ts"

/** The attempts that are late take no place of a limit any more. */
export const overtake = (self: State): void => {
  if (self.overdue === 0) return
  self.strays += self.overdue
  self.overdue = 0
  self.round += 1
}

/** The most attempts in flight. */
export const most = (control: Control): number => Math.max(1, Math.floor(control.limit))

/** Is there room for another attempt, of a class that may use a share of the limit? Changes nothing. */
export const hasRoom = (self: State, control: Control, share = 1): boolean =>
  self.inFlight - self.strays < Math.ceil(most(control) * share)

/** Is there room for another attempt? Remembers that there was not. */
export const admits = (self: State, control: Control, now: number, share = 1): boolean => {
  if (hasRoom(self, control, share)) return true
  control.hit = true
  control.hitAt = now
  return false
}

/** No call waits any more. */
export const emptied = (self: State, control: Control): void => {
  if (control.mode === Limited && hasRoom(self, control)) control.hit = false
}

/** Would an attempt that was sent at `at` be evidence, if it is late or not? */
export const speaks = ({ control, goodAt }: State, at: number, isLate: boolean): boolean => {
  if (isLate && p.overtaken && at <= goodAt) return false
  if (control === undefined) return true
  return at >= control.changedAt && !(isLate && at >= control.pausedAt && at <= control.busyUntil)
}

/**
 * The caller itself has stood still when neither a call nor an answer came for so long that chance would explain it for one key in 60,000. A
 * process that loads modules, compiles code or collects garbage reads the answers of that time late, all at once, and makes its calls all
 * at once, which is a queue for about twice as long again where two thirds of the capacity are used. What is late then is no evidence, nor
 * what is sent then and is late; calls that had to wait for longer than a timeout have timed out. Without this rule, three pauses of 0.4 s
 * cost a healthy dependency of 200 calls a second 4 % of the calls of a quarter of a minute.
 *
 * Nothing comes either while a limit is reached and the dependency hangs, because no call is sent; or while callers wait for their answers
 * before they call again. So there is no pause while a limit is reached, and there must be an answer in time between two pauses.
 */
export const afterPause = (self: State, { timeout }: Limits, now: number): void => {
  const silence = now - self.lastEventAt
  const isLong = (calls: number): boolean => silence * calls > p.odds * p.memory
  // A rate of fewer calls is not known.
  if (!isLong(self.calls) || self.calls < p.odds) return
  const mode = modeOf(self)
  // Calls are counted while there is no limit.
  if (mode === Paced || (mode === Free && !isLong(self.calls * Math.exp((self.callsAt - now) / p.memory)))) return
  const control = controlOf(self)
  if (!hasRoom(self, control) || self.goodAt < control.pausedAt) return
  control.pausedAt = now
  control.busyUntil = now + p.catchesUp * Math.min(silence, timeout)
}

/** Does the caller work off what a pause has piled up? */
export const catchesUp = ({ control }: State, now: number): boolean => control !== undefined && now <= control.busyUntil

/** Weighs an answer, or an attempt that should have been answered by now. */
export const weigh = (
  self: State,
  limits: Limits,
  now: number,
  latency: number,
  isLate: boolean,
  chance: Chance
): void => {
  self.late = share(self.late, isLate, 8)
  const mode = modeOf(self)
  if (mode === Paced) return
  // While nearly all are late, late is not usual.
  if (mode === Free && self.late < 0.9) self.usualLate = share(self.usualLate, isLate, 100)
  if (!isLate) {
    self.latesInRow = 0
    return
  }
  self.latesInRow += 1
  // No share counts as less than a hundredth, so that two late answers, which may be one slow moment, begin no limit.
  const odds = -Math.log(Math.min(0.6, Math.max(0.01, self.usualLate))) * self.latesInRow
  if (odds >= (mode === Free ? p.odds : p.oddsMore)) lower(self, limits, now, latency, chance)
}

/** Begins at what was in flight on a healthy day and two standard deviations, and goes down from there; below one call it paces. */
const lower = (self: State, limits: Limits, now: number, latency: number, chance: Chance): void => {
  const control = controlOf(self)
  if (control.mode === Free) {
    control.mode = Limited
    control.limit = Math.max(1, self.usualInFlight + 2 * Math.sqrt(self.usualInFlight))
  } else {
    control.limit = Math.min(control.limit, self.inFlight - self.strays + 1) * p.lower
    if (limits.paces === false) control.limit = Math.max(1, control.limit)
    else if (control.limit < 0.9) {
      self.lastLate = true
      pace(self, limits, now, Math.max(latency, perCall(self)), now, chance)
    }
  }
  control.ramping = false
  control.changedAt = now
  control.hitAt = now
  self.latesInRow = 0
}

/**
 * An answer in time of an attempt that was sent under this limit. It raises a limit that was reached, by one for as many answers as it has
 * places: late answers come too late to stop a faster growth of many clients. With the root of the limit in place of one, an overload of
 * 50 clients costs 0.3 % of the most important calls in place of 0.01 %. A limit that is not reached any more is lifted.
 */
export const raise = (self: State, control: Control, now: number): void => {
  if (control.ramping) control.limit += 1
  else if (control.hit) control.limit += 1 / Math.max(1, control.limit)
  const isUnused =
    now - control.hitAt > Math.max(p.release, p.releaseMeans * need(self)) && self.late < 0.25 * (1 + self.usualLate)
  if (isUnused || (control.ramping && isOutgrown(control.limit, self.usualInFlight, self.inFlight))) lift(self, control)
}

/** There is no limit any more. */
export const lift = (self: State, control: Control): void => {
  control.mode = Free
  control.limit = Infinity
  control.ramping = false
  self.latesInRow = 0
}

/**
 * No attempt in flight may still be answered in time, and they fill the limit: calls that hang hold their places until their timeout,
 * although the dependency may be well again. So probes are sent beside them, or where nothing is paced as many calls as the limit has
 * places, which is lowered as long as they are late too. Without this, a dependency that hangs for a second of every
 * three loses 8 % in place of 6 %, and one that has lost most of its workers 2.2 % in place of none.
 */
export const unstick = (self: State, limits: Limits, now: number, late: number, chance: Chance): void => {
  const { control } = self
  if (control === undefined || control.mode !== Limited || hasRoom(self, control)) return
  if (limits.paces === false) {
    overtake(self)
    return
  }
  self.lastLate = true
  pace(self, limits, now, Math.max(late, perCall(self)), now, chance)
}
