/**
 * Waiting: a call for which there is no room waits if it can still make it, the newest first.
 *
 * In a queue longer than its callers' patience the first in line are those that time out next: served first, they take the place of one
 * that could be served in time. So the newest is served, and those without hope leave at the old end. Without waiting the mean regret of
 * the drawn worlds is 4.8 instead of 3.0.
 */
import * as LinkedList from "../LinkedList.ts"
import { parameters as p } from "./Parameters.ts"
import { type Control, type Limits, need, Paced, type State } from "./State.ts"

/** A call that waits. */
export interface Waiter<T> extends LinkedList.Node<Waiter<T>> {
  readonly value: T
  /** When its caller stops waiting. */
  readonly due: number
}

/** The calls that wait, oldest first. */
export interface Line<T> extends LinkedList.LinkedList<Waiter<T>> {
  length: number
}

export const makeLine = <T>(): Line<T> => ({ first: undefined, last: undefined, length: 0 })

/** Adds a call as the newest; `undefined` if too many wait. */
export const join = <T>(line: Line<T>, value: T, due: number): Waiter<T> | undefined => {
  if (line.length >= p.mostWaiting) return undefined
  const waiter: Waiter<T> = { value, due, linked: false, previous: undefined, next: undefined }
  LinkedList.append(line, waiter)
  line.length += 1
  return waiter
}

/** `false` when it was not in line any more. */
export const leave = <T>(line: Line<T>, waiter: Waiter<T>): boolean => {
  if (!LinkedList.remove(line, waiter)) return false
  line.length -= 1
  return true
}

/** Until when a call may wait; it is refused if that is not later than `now`. */
export const until = (self: State, control: Control, { timeout }: Limits, now: number, due: number): number => {
  const latest = due - need(self)
  if (control.mode === Paced) return isHopeless(self, control, now, due) ? now : latest
  // A limit is reached again and again: what waited for a quarter of the timeout would be late itself.
  return control.ramping ? latest : Math.min(latest, now + p.wait * timeout)
}

/** Would a call that waits for the next probe come too late? */
export const isHopeless = (self: State, control: Control, now: number, due: number): boolean =>
  control.mode === Paced && control.probing === 0 && Math.max(now, control.nextAt) + need(self) > due
