/**
 * Latencies over the recent past, for quantiles: logarithmic buckets with eight steps per doubling (at most 9 % wide),
 * in two generations so that old calls drop out after between one and two window lengths.
 */
export interface Histogram {
  /** Milliseconds per generation. */
  readonly length: number
  current: Uint32Array
  previous: Uint32Array
  total: number
  previousTotal: number
  tick: number
}

const stepsPerDoubling = 8
/** From 2^-4 ms (about 60 microseconds) to 2^20 ms (about 17 minutes); what is outside counts in the outermost bucket. */
const lowest = -4
const size = 24 * stepsPerDoubling

export const make = (length: number): Histogram => ({
  length,
  current: new Uint32Array(size),
  previous: new Uint32Array(size),
  total: 0,
  previousTotal: 0,
  tick: 0
})

const advance = (self: Histogram, now: number): void => {
  const tick = Math.floor(now / self.length)
  const steps = tick - self.tick
  if (steps <= 0) return
  const spare = self.previous
  self.previous = self.current
  self.previousTotal = self.total
  self.current = spare.fill(0)
  self.total = 0
  if (steps > 1) {
    self.previous.fill(0)
    self.previousTotal = 0
  }
  self.tick = tick
}

const bucketOf = (duration: number): number => {
  if (duration <= 0) return 0
  const at = Math.floor((Math.log2(duration) - lowest) * stepsPerDoubling)
  return at < 0 ? 0 : at >= size ? size - 1 : at
}

export const record = (self: Histogram, duration: number, now: number): void => {
  advance(self, now)
  self.current[bucketOf(duration)]! += 1
  self.total += 1
}

/** The least upper bound, in milliseconds, of the fastest `q` of the recorded calls; `undefined` without calls. */
export const quantile = (self: Histogram, q: number, now: number): number | undefined => {
  advance(self, now)
  const total = self.total + self.previousTotal
  if (total === 0) return undefined
  const rank = Math.max(1, Math.ceil(q * total))
  let seen = 0
  for (let at = 0; at < size; at++) {
    seen += self.current[at]! + self.previous[at]!
    if (seen >= rank) return 2 ** ((at + 1) / stepsPerDoubling + lowest)
  }
  return undefined
}
