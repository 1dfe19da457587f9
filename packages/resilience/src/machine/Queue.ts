/**
 * The permits of a bulkhead and the queue for them: at most `limit` and `room` permits are held, at most `maxQueued` callers wait,
 * strictly first come, first served.
 */
import * as LinkedList from "./LinkedList.ts"

export interface Queue<T> extends LinkedList.LinkedList<Waiter<T>> {
  limit: number
  /** The permits that a fleet leaves to this process; {@link unbounded} if they are not shared. */
  room: number
  maxQueued: number
  running: number
  waiting: number
}

export interface Waiter<T> extends LinkedList.Node<Waiter<T>> {
  readonly value: T
}

/** More permits than any queue has. */
export const unbounded = 0x3fff_ffff

export const make = <T>(limit: number, maxQueued: number): Queue<T> => ({
  limit,
  room: unbounded,
  maxQueued,
  running: 0,
  waiting: 0,
  first: undefined,
  last: undefined
})

/** Acquires a permit if one is free and no caller waits for it. */
export const tryAcquire = <T>(self: Queue<T>): boolean => {
  if (self.running >= self.limit || self.running >= self.room || self.waiting > 0) return false
  self.running += 1
  return true
}

/** Adds a waiter to the end of the queue; `undefined` when `most` wait already. */
export const enqueue = <T>(self: Queue<T>, value: T, most = self.maxQueued): Waiter<T> | undefined => {
  if (self.waiting >= most) return undefined
  const waiter: Waiter<T> = { value, linked: false, previous: undefined, next: undefined }
  LinkedList.append(self, waiter)
  self.waiting += 1
  return waiter
}

/** Leaves the queue. `false` when the waiter was not in it any more: then it holds a permit. */
export const leave = <T>(self: Queue<T>, waiter: Waiter<T>): boolean => {
  if (!LinkedList.remove(self, waiter)) return false
  self.waiting -= 1
  return true
}

/** Gives a free permit to the first waiter, which the caller wakes. Call until it returns `undefined`. */
export const grantNext = <T>(self: Queue<T>): Waiter<T> | undefined => {
  const waiter = self.first
  if (waiter === undefined || self.running >= self.limit || self.running >= self.room) return undefined
  leave(self, waiter)
  self.running += 1
  return waiter
}

/** Releases a permit. Follow with {@link grantNext}. */
export const release = <T>(self: Queue<T>): void => {
  self.running -= 1
}
