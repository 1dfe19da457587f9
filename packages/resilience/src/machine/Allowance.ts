/**
 * An amount that may be used per window of time, such as tokens or money. What a call may use is reserved before it runs, and
 * settled when it ends. Uses are kept in a ring of time buckets: each counts for one to one and a sixtieth windows.
 */
export interface Allowance {
  readonly limit: number
  /** Milliseconds per bucket. */
  readonly width: number
  /** What was used, by bucket; nothing until something is. */
  uses: Array<number> | undefined
  /** Number of the newest bucket since time zero. */
  tick: number
  /** The sum over all buckets. */
  used: number
  /** What the calls that run have reserved. */
  reserved: number
  /** How many calls have reserved something. */
  running: number
}

/** Buckets per window. The ring has one more, so that no use leaves before a whole window has passed. */
export const buckets = 60

const size = buckets + 1

export const make = (limit: number, window: number): Allowance => ({
  limit,
  width: window / buckets,
  uses: undefined,
  tick: 0,
  used: 0,
  reserved: 0,
  running: 0
})

/** Forgets the uses that have left the window. A `now` before the newest bucket changes nothing. */
export const advance = (self: Allowance, now: number): void => {
  const tick = Math.floor(now / self.width)
  if (tick <= self.tick) return
  const { uses } = self
  if (uses !== undefined) {
    const steps = Math.min(tick - self.tick, size)
    for (let i = 1; i <= steps; i++) uses[(self.tick + i) % size] = 0
    // Added up anew, because fractions would leave a rest.
    self.used = uses.reduce((sum, use) => sum + use, 0)
    if (self.used === 0) self.uses = undefined
  }
  self.tick = tick
}

/** Reserves an amount; `false`, and nothing is reserved, when it would exceed the limit. */
export const reserve = (self: Allowance, amount: number, now: number): boolean => {
  advance(self, now)
  if (self.used + self.reserved + amount > self.limit) return false
  self.reserved += amount
  self.running += 1
  return true
}

/** Replaces a reserved amount with what was used. */
export const settle = (self: Allowance, amount: number, used: number, now: number): void => {
  advance(self, now)
  self.running -= 1
  // Fractions would leave a rest.
  self.reserved = self.running === 0 ? 0 : self.reserved - amount
  if (used === 0) return
  self.uses ??= new Array(size).fill(0)
  self.uses[self.tick % size]! += used
  self.used += used
}

/** Is there nothing to remember? */
export const isUnused = (self: Allowance, now: number): boolean => {
  advance(self, now)
  return self.running === 0 && self.used === 0
}

/**
 * How many milliseconds until enough uses have left the window for an amount, at least one bucket: `Infinity` for an amount above
 * the limit. The reservations of calls that run count as if they stayed; when they alone leave no room, until all uses have left.
 */
export const wait = (self: Allowance, amount: number, now: number): number => {
  if (amount > self.limit) return Infinity
  advance(self, now)
  let left = self.used
  let last = self.tick + 1
  // From the oldest bucket, which leaves when the next one begins.
  for (let tick = self.tick - buckets; tick <= self.tick && self.uses !== undefined; tick++) {
    const use = tick < 0 ? 0 : self.uses[tick % size]!
    if (use === 0) continue
    left -= use
    last = tick + size
    if (left + self.reserved + amount <= self.limit) break
  }
  return Math.max(last * self.width - now, self.width)
}
