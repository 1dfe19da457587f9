/**
 * Latencies over the recent past, for quantiles: sixteen steps per doubling (at most 6.25 % wide, as in HdrHistogram), in
 * two generations so that old calls drop out after between one and two window lengths.
 */
export interface Histogram {
  /** Milliseconds per generation. */
  readonly length: number
  current: Uint32Array
  /** Nothing before there has been one. */
  previous: Uint32Array | undefined
  total: number
  previousTotal: number
  tick: number
}

const steps = 16
const doublings = 24
/** From 2^-4 ms (about 60 microseconds) to 2^20 ms (about 17 minutes); what is outside counts in the outermost bucket. */
const lowest = 2 ** -4
const highest = lowest * 2 ** doublings
const size = doublings * steps

export const make = (length: number): Histogram => ({
  length,
  current: new Uint32Array(size),
  previous: undefined,
  total: 0,
  previousTotal: 0,
  tick: 0
})

/** Begins a new generation when it is time. */
export const advance = (self: Histogram, now: number): void => {
  const tick = Math.floor(now / self.length)
  const generations = tick - self.tick
  if (generations <= 0) return
  self.tick = tick
  if (self.total === 0 && self.previousTotal === 0) return
  const spare = self.previous ?? new Uint32Array(size)
  self.previous = self.current
  self.previousTotal = self.total
  self.current = spare.fill(0)
  self.total = 0
  if (generations > 1) {
    self.previous.fill(0)
    self.previousTotal = 0
  }
}

/** In whole sixteenths of the lowest latency: the leading one is the doubling, the four bits behind it are the step. */
const bucketOf = (duration: number): number => {
  if (duration >= highest) return size - 1
  const scaled = Math.floor(duration * (steps / lowest))
  if (!(scaled > steps)) return 0
  const doubling = 27 - Math.clz32(scaled)
  return doubling * steps + ((scaled >> doubling) & (steps - 1))
}

const upperBound = (bucket: number): number =>
  ((steps + (bucket % steps) + 1) * 2 ** Math.floor(bucket / steps) * lowest) / steps

/** Counts a call in the generation that is under way; see {@link advance}. */
export const record = (self: Histogram, duration: number): void => {
  self.current[bucketOf(duration)]! += 1
  self.total += 1
}

/** The number of recorded calls by bucket. */
const merged = ({ current, previous }: Histogram): ReadonlyArray<number> =>
  Array.from(current, (count, at) => count + (previous?.[at] ?? 0))

/**
 * Finds the least upper bound, in milliseconds, of the fastest `q` of the calls that are recorded now; `undefined` without
 * calls.
 */
export const quantiles = (self: Histogram): ((q: number) => number | undefined) => {
  const counts = merged(self)
  const total = self.total + self.previousTotal
  return (q) => {
    const rank = Math.max(1, Math.ceil(q * total))
    let seen = 0
    for (const [at, count] of counts.entries()) {
      seen += count
      if (seen >= rank) return upperBound(at)
    }
    return undefined
  }
}

/** One quantile, of the generations at `now`. */
export const quantile = (self: Histogram, q: number, now: number): number | undefined => {
  advance(self, now)
  return quantiles(self)(q)
}
