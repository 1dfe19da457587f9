/**
 * The account of a retry budget: over any window, retries may not exceed `ratio` of the first tries plus a floor
 * (Finagle's `RetryBudget`, as a sliding count). Deposits are counted from the whole buckets inside the window only,
 * withdrawals from every bucket the window touches, so the coarse clock never lets a retry too many pass.
 */
export interface Tokens {
  /** Millionths, so that every ratio of up to six digits is exact. */
  readonly ratio: number
  /** Tokens that a window has whatever the traffic. */
  readonly floor: number
  /** Milliseconds per bucket. */
  readonly width: number
  readonly deposits: Array<number>
  readonly withdrawals: Array<number>
  tick: number
  totalDeposits: number
  totalWithdrawals: number
}

const scale = 1_000_000
const buckets = 10
/** One bucket more than the window: the oldest one is only partly inside. */
const kept = buckets + 1

export const make = (options: { readonly ratio: number; readonly floor: number; readonly window: number }): Tokens => ({
  ratio: Math.round(options.ratio * scale),
  floor: Math.round(options.floor * scale),
  width: options.window / buckets,
  deposits: new Array(kept).fill(0),
  withdrawals: new Array(kept).fill(0),
  tick: 0,
  totalDeposits: 0,
  totalWithdrawals: 0
})

const advance = (self: Tokens, now: number): void => {
  const tick = Math.floor(now / self.width)
  const steps = Math.min(tick - self.tick, kept)
  for (let i = 1; i <= steps; i++) {
    const at = (self.tick + i) % kept
    self.totalDeposits -= self.deposits[at]!
    self.totalWithdrawals -= self.withdrawals[at]!
    self.deposits[at] = 0
    self.withdrawals[at] = 0
  }
  if (steps > 0) self.tick = tick
}

/** Counts a first try. */
export const deposit = (self: Tokens, now: number): void => {
  advance(self, now)
  self.deposits[self.tick % kept]! += 1
  self.totalDeposits += 1
}

const scaledBalance = (self: Tokens): number => {
  const partly = self.deposits[(self.tick + 1) % kept]!
  return self.ratio * (self.totalDeposits - partly) + self.floor - self.totalWithdrawals * scale
}

/**
 * Retries that may be decided now, in fractions of one. Never below zero: first tries leave the window before the retries
 * that they paid for, and such a debt is nobody's.
 */
export const balance = (self: Tokens, now: number): number => {
  advance(self, now)
  return Math.max(0, scaledBalance(self) / scale)
}

/** Takes the price of one retry, or nothing. */
export const tryWithdraw = (self: Tokens, now: number): boolean => {
  advance(self, now)
  if (scaledBalance(self) < scale) return false
  self.withdrawals[self.tick % kept]! += 1
  self.totalWithdrawals += 1
  return true
}
