/**
 * Waiting: a call for which there is no room waits if it can still make it. The oldest is served first, as long as it could have a whole
 * timeout before its deadline; otherwise the newest.
 *
 * In a queue longer than its callers' patience the first in line are those that time out next: served first, they take the place of one
 * that could be served in time. So then the newest is served, and those without hope leave at the old end. Without waiting the mean regret
 * of 24 drawn worlds is 3.4 % in place of 1.6. In a short queue the newest first would let the oldest wait for ever: 0.2 % of the most
 * important calls of an overload (X13) in place of 0.01.
 *
 * A more important call is served first, whenever it came. After {@link turn} of them that were served while a less important one waited,
 * the next is the less important one that has waited longest, so that no class starves. Only those of the highest class, which are few,
 * give no turns: in an overload (X13) that would cost 0.2 % of them.
 */
import * as LinkedList from "../LinkedList.ts"
import { shares, turn, usual } from "../Queue.ts"
import { parameters as p } from "./Parameters.ts"
import { type Control, type Limits, need, Paced, type State } from "./State.ts"

/** A call that waits. */
export interface Waiter<T> extends LinkedList.Node<Waiter<T>> {
  readonly value: T
  /** When its caller stops waiting. */
  readonly due: number
  /** Its class: a rank from 0, the most important. */
  readonly rank: number
  /** Its number among the calls that have waited. */
  readonly order: number
}

/** The calls that wait, by rank, oldest first. */
export interface Line<T> {
  readonly ranks: ReadonlyArray<LinkedList.LinkedList<Waiter<T>>>
  length: number
  /** Calls that have waited. */
  order: number
  /** Calls that were served before one of a lower class since that had its last turn. */
  passed: number
}

export const makeLine = <T>(): Line<T> => ({
  ranks: shares.map(() => LinkedList.make()),
  length: 0,
  order: 0,
  passed: 0
})

/**
 * Adds a call as the newest of its class. `undefined` if too many wait; then the oldest call of a lower class leaves, if there is one, and is
 * given to `displaced`.
 */
export const join = <T>(
  line: Line<T>,
  value: T,
  due: number,
  rank: number,
  displaced: (waiter: Waiter<T>) => void
): Waiter<T> | undefined => {
  if (line.length >= p.mostWaiting) {
    const lower = oldestOf(line, rank + 1)
    if (lower === undefined) return undefined
    leave(line, lower)
    displaced(lower)
  }
  const order = line.order++
  const waiter: Waiter<T> = { value, due, rank, order, linked: false, previous: undefined, next: undefined }
  // One for each rank.
  LinkedList.append(line.ranks[rank]!, waiter)
  line.length += 1
  return waiter
}

/** The oldest call of the lowest class that waits, from `least` on. */
const oldestOf = <T>({ ranks }: Line<T>, least: number): Waiter<T> | undefined =>
  ranks.findLast(({ first }, rank) => rank >= least && first !== undefined)?.first

/** The call that is to be served next: of the highest class, or of a lower one whose turn it is. */
export const next = <T>(line: Line<T>, { timeout }: Limits, now: number): Waiter<T> | undefined => {
  const highest = line.ranks.find(({ first }) => first !== undefined)
  const oldest = highest?.first
  if (oldest === undefined) return undefined
  const lower = line.passed >= turn && oldest.rank >= usual ? longestBelow(line, oldest.rank) : undefined
  return lower ?? (oldest.due - now >= p.oldestFirst * timeout ? oldest : highest?.last)
}

/** The call of a lower class that has waited longest. */
const longestBelow = <T>({ ranks }: Line<T>, rank: number): Waiter<T> | undefined => {
  let longest: Waiter<T> | undefined
  for (const { first } of ranks) {
    if (first !== undefined && first.rank > rank && (longest === undefined || first.order < longest.order))
      longest = first
  }
  return longest
}

/** The share of the limit that it may use: all of it when its turn has come before a higher class. */
export const shareOf = <T>(line: Line<T>, { rank }: Waiter<T>): number => (isBehind(line, rank) ? 1 : shares[rank]!)

/** The next call is served: it leaves the line. */
export const serve = <T>(line: Line<T>, waiter: Waiter<T>): void => {
  leave(line, waiter)
  if (isBehind(line, waiter.rank)) line.passed = 0
  else if (waiter.rank >= usual && longestBelow(line, waiter.rank) !== undefined) line.passed += 1
}

/** Any call that waits. */
export const any = <T>(line: Line<T>): Waiter<T> | undefined => oldestOf(line, 0)

/** Does a call of a higher class wait? */
export const isBehind = <T>({ length, ranks }: Line<T>, rank: number): boolean =>
  length > 0 && ranks.some(({ first }, higher) => higher < rank && first !== undefined)

/** `false` when it was not in line any more. */
export const leave = <T>(line: Line<T>, waiter: Waiter<T>): boolean => {
  if (!LinkedList.remove(line.ranks[waiter.rank]!, waiter)) return false
  line.length -= 1
  return true
}

/** Until when a call may wait; it is refused if that is not later than `now`. */
export const until = (
  self: State,
  control: Control,
  { timeout }: Limits,
  now: number,
  due: number,
  rank = usual
): number => {
  const latest = due - need(self)
  if (control.mode === Paced) return isHopeless(self, control, now, due) ? now : latest
  // Calls of the highest classes are few. If others waited for the whole timeout, more of the most important calls would be lost (ADR 0017).
  return control.ramping || rank < usual ? latest : Math.min(latest, now + p.wait * timeout)
}

/** Would a call that waits for the next probe come too late? */
export const isHopeless = (self: State, control: Control, now: number, due: number): boolean =>
  control.mode === Paced && control.probing === 0 && Math.max(now, control.nextAt) + need(self) > due
