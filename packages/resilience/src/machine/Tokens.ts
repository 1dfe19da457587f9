/**
 * The balance of a retry budget: a token bucket that is filled by calls. Each first attempt adds `ratio` tokens, and time may add
 * some too; each retry takes its price. Tokens above `capacity` are lost, so a long quiet time saves up no burst.
 *
 * Over any stretch the prices paid are at most `capacity + ratio * first attempts + perSecond * seconds`.
 */
export interface Tokens {
  /** Millionths, so that every ratio of up to six digits is exact. */
  ratio: number
  capacity: number
  /** Millionths per millisecond. */
  perMilli: number
  balance: number
  /** The time up to which `perMilli` has been added; NaN before the first reading, and for ever if it is 0. */
  filledAt: number
}

const scale = 1_000_000

export const make = (options: {
  readonly ratio: number
  readonly capacity: number
  readonly initial: number
  readonly perSecond: number
}): Tokens => ({
  ratio: Math.round(options.ratio * scale),
  capacity: Math.round(options.capacity * scale),
  perMilli: (options.perSecond * scale) / 1000,
  balance: Math.round(options.initial * scale),
  filledAt: NaN
})

/** A clock that is set back adds nothing, and nothing again until it has caught up. */
const fill = (self: Tokens, now: number): void => {
  if (self.perMilli === 0) return
  if (now > self.filledAt) self.balance = Math.min(self.capacity, self.balance + self.perMilli * (now - self.filledAt))
  self.filledAt = Number.isNaN(self.filledAt) ? now : Math.max(self.filledAt, now)
}

/** Counts a first attempt. */
export const deposit = (self: Tokens, now: number): void => {
  fill(self, now)
  self.balance = Math.min(self.capacity, self.balance + self.ratio)
}

/** Tokens that can be spent now. */
export const balance = (self: Tokens, now: number): number => {
  fill(self, now)
  return self.balance / scale
}

/** Takes the price of one retry; `false`, and nothing taken, when the balance is too low. */
export const tryWithdraw = (self: Tokens, price: number, now: number): boolean => {
  fill(self, now)
  if (price === Infinity) return false
  const taken = price * scale
  // Additions of fractions may end a billionth short of a whole token.
  if (self.balance + 1e-3 < taken) return false
  self.balance = Math.max(0, self.balance - taken)
  return true
}

/** Earns by other numbers from now on. The balance is kept, at most the new capacity. */
export const retune = (
  self: Tokens,
  options: { readonly ratio: number; readonly capacity: number; readonly perSecond: number },
  now: number
): void => {
  // What time has added up to now is that of the numbers before.
  fill(self, now)
  const { balance, capacity, perMilli, ratio } = make({ ...options, initial: self.balance / scale })
  self.ratio = ratio
  self.capacity = capacity
  self.perMilli = perMilli
  self.balance = Math.min(balance, capacity)
  self.filledAt = NaN
  fill(self, now)
}

/** Sets the balance to one that was read `away` milliseconds ago: time has added to it since. */
export const restore = (self: Tokens, balance: number, away: number, now: number): void => {
  // A thousandth of a millionth is more than the conversion to tokens and back changes.
  const before = Math.round(balance * scale * 1000) / 1000
  self.balance = Math.min(self.capacity, away > 0 ? before + self.perMilli * away : before)
  self.filledAt = NaN
  fill(self, now)
}

/** Returns the price of a retry that was not made. */
export const refund = (self: Tokens, price: number, now: number): void => {
  fill(self, now)
  self.balance = Math.min(self.capacity, self.balance + price * scale)
}
