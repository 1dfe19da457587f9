/**
 * The balance of a retry budget: over any window, retries may not exceed `ratio` of the first tries plus a minimum
 * (Finagle's `RetryBudget`, as a sliding count). Deposits are counted from the whole buckets inside the window only,
 * withdrawals from every bucket the window touches, so the resolution of a bucket never admits an extra retry.
 *
 * The whole part of the minimum is available in every window. Its fraction accumulates as credit, so that a minimum below one
 * per window pays too. What is paid from credit is spent: it does not come back with the window. The credit is at most one
 * retry and what a window adds, so that a caller who asks once in a window loses none of it.
 */
export interface Tokens {
  /** Millionths, so that every ratio of up to six digits is exact. */
  readonly ratio: number
  /** Millionths of tokens that a window has without any deposit: the whole part of the minimum. */
  readonly whole: number
  /** Millionths of tokens that a window adds to the credit: the fraction of the minimum. */
  readonly fraction: number
  /** Milliseconds per bucket. */
  readonly width: number
  readonly deposits: Array<number>
  /** Millionths of tokens, without those that were paid from credit. */
  readonly withdrawals: Array<number>
  /** The current bucket; -1 before the first use. */
  tick: number
  totalDeposits: number
  totalWithdrawals: number
  /** In units of a millionth divided by the number of buckets, so that what a bucket adds is exact. */
  credit: number
}

const scale = 1_000_000
const buckets = 10
/** One bucket more than the window: the oldest one is only partly inside. */
const bucketCount = buckets + 1
export const make = (options: {
  readonly ratio: number
  readonly minimum: number
  readonly window: number
}): Tokens => {
  const minimum = Math.round(options.minimum * scale)
  const fraction = minimum === Infinity ? 0 : minimum % scale
  return {
    ratio: Math.round(options.ratio * scale),
    whole: minimum - fraction,
    fraction,
    width: options.window / buckets,
    deposits: new Array(bucketCount).fill(0),
    withdrawals: new Array(bucketCount).fill(0),
    tick: -1,
    totalDeposits: 0,
    totalWithdrawals: 0,
    credit: fraction * buckets
  }
}

const advance = (self: Tokens, now: number): void => {
  const tick = Math.floor(now / self.width)
  if (tick <= self.tick) return
  if (self.tick >= 0) {
    self.credit = Math.min((scale + self.fraction) * buckets, self.credit + self.fraction * (tick - self.tick))
    const steps = Math.min(tick - self.tick, bucketCount)
    for (let i = 1; i <= steps; i++) {
      const at = (self.tick + i) % bucketCount
      self.totalDeposits -= self.deposits[at]!
      self.totalWithdrawals -= self.withdrawals[at]!
      self.deposits[at] = 0
      self.withdrawals[at] = 0
    }
  }
  self.tick = tick
}

/** Counts a first try. */
export const deposit = (self: Tokens, now: number): void => {
  advance(self, now)
  self.deposits[self.tick % bucketCount]! += 1
  self.totalDeposits += 1
}

/** What the window has left, in millionths, without the credit. */
const leftInWindow = (self: Tokens): number => {
  const partly = self.deposits[(self.tick + 1) % bucketCount]!
  return self.ratio * (self.totalDeposits - partly) + self.whole - self.totalWithdrawals
}

/** The credit in whole millionths. */
const credit = (self: Tokens): number => Math.floor(self.credit / buckets)

/**
 * Retries that may be decided now, in fractions of one. Deposits can expire before the withdrawals that they covered; a
 * negative balance is reported as 0.
 */
export const balance = (self: Tokens, now: number): number => {
  advance(self, now)
  return Math.max(0, (leftInWindow(self) + credit(self)) / scale)
}

/** Withdraws the price of one retry; `false`, and nothing withdrawn, when the balance is too low. */
export const tryWithdraw = (self: Tokens, now: number): boolean => {
  advance(self, now)
  const left = leftInWindow(self)
  if (left + credit(self) < scale) return false
  // From the credit only what the window lacks.
  const fromWindow = Math.max(0, Math.min(scale, left))
  self.withdrawals[self.tick % bucketCount]! += fromWindow
  self.totalWithdrawals += fromWindow
  self.credit -= (scale - fromWindow) * buckets
  return true
}
