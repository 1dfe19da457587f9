/**
 * The gate of a bulkhead: so many may be inside, so many may wait, strictly first come first served. The queue is a
 * doubly linked list, so that entering, leaving and giving up cost the same with ten thousand waiting as with one.
 */
export interface Gate<T> {
  limit: number
  maxQueued: number
  running: number
  waiting: number
  first: Waiter<T> | undefined
  last: Waiter<T> | undefined
}

export interface Waiter<T> {
  readonly value: T
  queued: boolean
  before: Waiter<T> | undefined
  after: Waiter<T> | undefined
}

export const make = <T>(limit: number, maxQueued: number): Gate<T> => ({
  limit,
  maxQueued,
  running: 0,
  waiting: 0,
  first: undefined,
  last: undefined
})

/** Takes a permit if one is free and nobody waits for it. */
export const tryEnter = <T>(self: Gate<T>): boolean => {
  if (self.running >= self.limit || self.waiting > 0) return false
  self.running += 1
  return true
}

/** A place at the end of the queue, or `undefined` when the queue is full. */
export const enqueue = <T>(self: Gate<T>, value: T): Waiter<T> | undefined => {
  if (self.waiting >= self.maxQueued) return undefined
  const waiter: Waiter<T> = { value, queued: true, before: self.last, after: undefined }
  if (self.last === undefined) self.first = waiter
  else self.last.after = waiter
  self.last = waiter
  self.waiting += 1
  return waiter
}

/** Leaves the queue. Answers `false` when the waiter was not in it any more: then it holds a permit. */
export const leaveQueue = <T>(self: Gate<T>, waiter: Waiter<T>): boolean => {
  if (!waiter.queued) return false
  waiter.queued = false
  if (waiter.before === undefined) self.first = waiter.after
  else waiter.before.after = waiter.after
  if (waiter.after === undefined) self.last = waiter.before
  else waiter.after.before = waiter.before
  waiter.before = undefined
  waiter.after = undefined
  self.waiting -= 1
  return true
}

/** Lets the first waiter in if there is room; the caller wakes it. Call until it answers `undefined`. */
export const admitNext = <T>(self: Gate<T>): Waiter<T> | undefined => {
  if (self.first === undefined || self.running >= self.limit) return undefined
  const waiter = self.first
  leaveQueue(self, waiter)
  self.running += 1
  return waiter
}

/** Gives a permit back. Follow with {@link admitNext}. */
export const exit = <T>(self: Gate<T>): void => {
  self.running -= 1
}
