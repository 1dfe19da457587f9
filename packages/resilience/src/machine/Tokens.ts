/**
 * The balance of a retry budget: over any window, retries may not exceed `ratio` of the first tries plus a minimum
 * (Finagle's `RetryBudget`, as a sliding count). Deposits are counted from the whole buckets inside the window only,
 * withdrawals from every bucket the window touches, so the resolution of a bucket never admits an extra retry.
 */
export interface Tokens {
  /** Millionths, so that every ratio of up to six digits is exact. */
  readonly ratio: number
  /** Tokens that a window has without any deposit. */
  readonly minimum: number
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
const bucketCount = buckets + 1

export const make = (options: {
  readonly ratio: number
  readonly minimum: number
  readonly window: number
}): Tokens => ({
  ratio: Math.round(options.ratio * scale),
  minimum: Math.round(options.minimum * scale),
  width: options.window / buckets,
  deposits: new Array(bucketCount).fill(0),
  withdrawals: new Array(bucketCount).fill(0),
  tick: 0,
  totalDeposits: 0,
  totalWithdrawals: 0
})

const advance = (self: Tokens, now: number): void => {
  const tick = Math.floor(now / self.width)
  const steps = Math.min(tick - self.tick, bucketCount)
  for (let i = 1; i <= steps; i++) {
    const at = (self.tick + i) % bucketCount
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
  self.deposits[self.tick % bucketCount]! += 1
  self.totalDeposits += 1
}

const scaledBalance = (self: Tokens): number => {
  const partly = self.deposits[(self.tick + 1) % bucketCount]!
  return self.ratio * (self.totalDeposits - partly) + self.minimum - self.totalWithdrawals * scale
}

/**
 * Retries that may be decided now, in fractions of one. Deposits can expire before the withdrawals that they covered; a
 * negative balance is reported as 0.
 */
export const balance = (self: Tokens, now: number): number => {
  advance(self, now)
  return Math.max(0, scaledBalance(self) / scale)
}

/** Withdraws the price of one retry; `false`, and nothing withdrawn, when the balance is too low. */
export const tryWithdraw = (self: Tokens, now: number): boolean => {
  advance(self, now)
  if (scaledBalance(self) < scale) return false
  self.withdrawals[self.tick % bucketCount]! += 1
  self.totalWithdrawals += 1
  return true
}
