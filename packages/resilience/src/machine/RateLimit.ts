/**
 * The tokens of a rate limit and the callers that wait for one, first come, first served: a bucket of `burst` tokens, into which
 * `limit` tokens flow during each `window`, evenly.
 *
 * Time counts from the moment at which the bucket was last full, and what was taken since in whole tokens. So the time of a token is one
 * product and one quotient, and no error of a fraction adds up while the bucket is in use: the generic cell rate algorithm (ITU-T I.371)
 * with a rational interval.
 *
 * In any stretch of time at most `burst + limit * stretch / window` tokens are taken and not returned, as far as the limits stay the same.
 */
import * as LinkedList from "./LinkedList.ts"

export interface Limits {
  /** Tokens of one window, above zero: an integer, except for that of a share. */
  readonly limit: number
  /** Milliseconds. */
  readonly window: number
  /** Tokens that can be saved up, at least 1: an integer, except for that of a share. */
  readonly burst: number
}

export interface Bucket<T> extends LinkedList.LinkedList<Waiter<T>> {
  limits: Limits
  /** When the bucket was last full. */
  fullAt: number
  /** Tokens taken since. */
  taken: number
  /** The latest time that was seen. */
  seenAt: number
  /** Of the tokens that were taken, those that may be returned. */
  held: number
  waiting: number
  /** Another bucket, of which each token is taken too: what a fleet leaves to this process. It has no queue. */
  share: Bucket<never> | undefined
}

export interface Waiter<T> extends LinkedList.Node<Waiter<T>> {
  readonly value: T
  /** The latest time at which it takes a token. */
  readonly until: number
}

/** A full bucket. */
export const make = <T>(limits: Limits, now: number): Bucket<T> => ({
  limits,
  fullAt: now,
  taken: 0,
  seenAt: now,
  held: 0,
  waiting: 0,
  share: undefined,
  first: undefined,
  last: undefined
})

/** A clock that is set back adds nothing, and goes on from there; one that jumps ahead fills the bucket at most. */
const see = <T>(self: Bucket<T>, now: number): void => {
  if (now < self.seenAt) self.fullAt -= self.seenAt - now
  self.seenAt = now
  const { limit, window } = self.limits
  if ((now - self.fullAt) * limit <= self.taken * window) return
  self.fullAt = now
  self.taken = 0
}

/** When the bucket itself has the token after `ahead` others. */
const ownDueAt = <T>({ fullAt, limits, taken }: Bucket<T>, ahead: number): number => {
  const missing = taken + ahead + 1 - limits.burst
  return missing <= 0 ? fullAt : fullAt + (missing * limits.window) / limits.limit
}

/** When the bucket and its share have the token after `ahead` others. */
const dueAt = <T>(self: Bucket<T>, ahead: number, now: number): number => {
  const due = ownDueAt(self, ahead)
  const { share } = self
  if (share === undefined) return due
  see(share, now)
  return Math.max(due, ownDueAt(share, ahead))
}

const take = <T>(self: Bucket<T>): void => {
  self.taken += 1
  if (self.share !== undefined) self.share.taken += 1
}

const tryTakeShare = (share: Bucket<never>, now: number): boolean => {
  see(share, now)
  if (ownDueAt(share, 0) > now) return false
  share.taken += 1
  return true
}

/** Takes a token, unless there is none or another caller waits for it. */
export const tryTake = <T>(self: Bucket<T>, now: number): boolean => {
  see(self, now)
  const { share } = self
  if (self.waiting > 0 || ownDueAt(self, 0) > now || (share !== undefined && !tryTakeShare(share, now))) return false
  self.taken += 1
  return true
}

/** Milliseconds until a caller that comes now has its token; zero or less if it has it now. */
export const turnIn = <T>(self: Bucket<T>, now: number): number => {
  see(self, now)
  return dueAt(self, self.waiting, now) - now
}

/** As {@link turnIn}, if the bucket had no share. */
export const ownTurnIn = <T>(self: Bucket<T>, now: number): number => {
  see(self, now)
  return ownDueAt(self, self.waiting) - now
}

/** Milliseconds until {@link grantNext} grants a token; `Infinity` when no caller waits. */
export const nextIn = <T>(self: Bucket<T>, now: number): number => {
  see(self, now)
  return self.waiting === 0 ? Infinity : dueAt(self, 0, now) - now
}

/** Adds a caller to the end of the queue; `undefined` when its token would come more than `patience` milliseconds from now. */
export const join = <T>(self: Bucket<T>, value: T, patience: number, now: number): Waiter<T> | undefined =>
  turnIn(self, now) > patience ? undefined : enqueue(self, value, patience, now)

/** Adds a caller to the end of the queue, whenever its token comes. */
export const enqueue = <T>(self: Bucket<T>, value: T, patience: number, now: number): Waiter<T> => {
  const waiter: Waiter<T> = { value, until: now + patience, linked: false, previous: undefined, next: undefined }
  LinkedList.append(self, waiter)
  self.waiting += 1
  return waiter
}

/** Leaves the queue. `false` when the caller was not in it any more. Those behind it move up. */
export const leave = <T>(self: Bucket<T>, waiter: Waiter<T>): boolean => {
  if (!LinkedList.remove(self, waiter)) return false
  self.waiting -= 1
  return true
}

/** Takes the token that is due for the first caller that waits, which has then left the queue. Call until it returns `undefined`. */
export const grantNext = <T>(self: Bucket<T>, now: number): Waiter<T> | undefined => {
  see(self, now)
  const { first } = self
  if (first === undefined || dueAt(self, 0, now) > now) return undefined
  leave(self, first)
  take(self)
  return first
}

/** The callers whose token would come too late: after a change of the limits. They have left the queue. */
export const leaveHopeless = <T>(self: Bucket<T>, now: number): ReadonlyArray<Waiter<T>> => {
  const left: Array<Waiter<T>> = []
  let ahead = 0
  for (let waiter = self.first; waiter !== undefined; ) {
    const { next } = waiter
    if (dueAt(self, ahead, now) <= waiter.until) ahead += 1
    else {
      leave(self, waiter)
      left.push(waiter)
    }
    waiter = next
  }
  return left
}

/** Holds the token that was taken just now. Returns when the bucket would be full with it, and with all others that are held. */
export const hold = <T>(self: Bucket<T>, now: number): number => {
  const { share } = self
  const fullBy = holdOwn(self, now)
  // One time for both: of what has come into either one since, the return takes off the more.
  return share === undefined ? fullBy : Math.min(fullBy, holdOwn(share, now))
}

const holdOwn = <T>(self: Bucket<T>, now: number): number => {
  const { fullAt, limits, taken } = self
  self.held += 1
  return Math.max(now, fullAt + ((taken - self.held) * limits.window) / limits.limit)
}

/** A token that was held is used. */
export const use = <T>(self: Bucket<T>): void => {
  self.held -= 1
  if (self.share !== undefined) self.share.held -= 1
}

/** Returns a token that was held: without what has come since the bucket would have been full, for which it would have had no room. */
export const giveBack = <T>(self: Bucket<T>, fullBy: number, now: number): void => {
  if (self.share !== undefined) giveBack(self.share, fullBy, now)
  self.held -= 1
  const { burst, limit, window } = self.limits
  const rest = 1 - (Math.max(0, now - fullBy) * limit) / window
  const there = tokens(self, now)
  if (rest >= 1 && self.taken > 0) self.taken -= 1
  else if (rest > 0) setTokens(self, Math.min(burst, there + rest), now)
}

/** Tokens of the bucket itself now, with the fraction that has come. */
export const tokens = <T>(self: Bucket<T>, now: number): number => {
  see(self, now)
  const { burst, limit, window } = self.limits
  return Math.max(0, Math.min(burst, burst - self.taken + ((now - self.fullAt) * limit) / window))
}

/** Tokens that can be taken now, of the bucket and of its share. */
export const available = <T>(self: Bucket<T>, now: number): number =>
  self.share === undefined ? tokens(self, now) : Math.min(tokens(self, now), tokens(self.share, now))

/** Adds tokens, at most what the bucket holds. */
export const add = <T>(self: Bucket<T>, amount: number, now: number): void =>
  setTokens(self, tokens(self, now) + amount, now)

/** Sets what can be taken, at most what the bucket holds. */
const setTokens = <T>(self: Bucket<T>, amount: number, now: number): void => {
  const { burst, limit, window } = self.limits
  const missing = Math.max(0, burst - amount)
  self.taken = Math.ceil(missing)
  self.fullAt = now - ((self.taken - missing) * window) / limit
  self.seenAt = now
}

/** Fills by other limits from now on. The tokens are kept, at most the new `burst`. */
export const retune = <T>(self: Bucket<T>, limits: Limits, now: number): void => {
  const kept = tokens(self, now)
  self.limits = limits
  setTokens(self, kept, now)
}

/** Sets the tokens to those that were read `away` milliseconds ago: time has added some since. */
export const restore = <T>(self: Bucket<T>, amount: number, away: number, now: number): void => {
  const { limit, window } = self.limits
  setTokens(self, amount + (away * limit) / window, now)
}
