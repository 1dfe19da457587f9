/**
 * Latencies over the recent past, for quantiles: sixteen steps per doubling (at most 6.25 % wide, as in HdrHistogram), in
 * two generations so that old calls drop out after between one and two window lengths.
 *
 * There is one for each key of a policy. While it holds few calls it is a list of their buckets, nine bits for each; with more
 * calls it is an array of counts, over the buckets that are in use.
 */
export interface Histogram {
  /** Milliseconds per generation. */
  readonly length: number
  generation: number
  /** Calls of this generation. */
  total: number
  previousTotal: number
  /** The bucket of the first count; {@link listed} while the calls are a list. */
  from: number
  /**
   * A list: three buckets in each number, so that each is a small integer of V8; first those of the previous generation.
   * Counts: this generation's, and `previousUnit` times the previous one's.
   */
  counts: Array<number>
}

const steps = 16
const doublings = 24
/** From 2^-4 ms (about 60 microseconds) to 2^20 ms (about 17 minutes); what is outside counts in the outermost bucket. */
const lowest = 2 ** -4
const highest = lowest * 2 ** doublings
const size = doublings * steps

const listed = -1
const bucketBits = 9
const bucketMask = 2 ** bucketBits - 1
const perNumber = 3
const shortest = 4
/** Beyond 66 calls, or back at 22, the form changes. */
const longest = 22

/** Both counts together are below 2^53, so they are exact. */
const previousUnit = 2 ** 26

/** Buckets beyond the range in use that a new array of counts has room for. */
const margin = 4

export const make = (length: number): Histogram => ({
  length,
  generation: 0,
  total: 0,
  previousTotal: 0,
  from: listed,
  counts: emptyList()
})

const emptyList = (): Array<number> => new Array(shortest).fill(0)

const zeros = (length: number): Array<number> => {
  // Numbers with a fraction first: an array of small integers is copied by V8 when a count outgrows them.
  const counts: Array<number> = new Array(length).fill(0.5)
  return counts.fill(0)
}

const bucketAt = (list: ReadonlyArray<number>, index: number): number =>
  (list[Math.floor(index / perNumber)]! >> ((index % perNumber) * bucketBits)) & bucketMask

const setBucket = (list: Array<number>, index: number, bucket: number): void => {
  const at = Math.floor(index / perNumber)
  const shift = (index % perNumber) * bucketBits
  list[at] = (list[at]! & ~(bucketMask << shift)) | (bucket << shift)
}

/** Calls `f` with each bucket in use: the number of its calls in this generation and in the previous one. */
const forEach = (self: Histogram, f: (bucket: number, current: number, previous: number) => void): void => {
  const { counts, from, previousTotal, total } = self
  if (from === listed) {
    for (let i = 0; i < previousTotal + total; i++) {
      const isPrevious = i < previousTotal
      f(bucketAt(counts, i), isPrevious ? 0 : 1, isPrevious ? 1 : 0)
    }
    return
  }
  for (const [at, count] of counts.entries()) {
    const current = count % previousUnit
    if (count > 0) f(from + at, current, (count - current) / previousUnit)
  }
}

/** Makes room for a bucket: the calls become counts, over all buckets in use and some more. */
const spread = (self: Histogram, bucket: number): void => {
  let least = bucket
  let most = bucket
  forEach(self, (bucket) => {
    least = Math.min(least, bucket)
    most = Math.max(most, bucket)
  })
  const from = Math.max(0, least - margin)
  const counts = zeros(Math.min(size - 1, most + margin) - from + 1)
  forEach(self, (bucket, current, previous) => {
    counts[bucket - from]! += current + previous * previousUnit
  })
  self.from = from
  self.counts = counts
}

/** Begins a new generation when it is time. */
export const advance = (self: Histogram, now: number): void => {
  const generation = Math.floor(now / self.length)
  const passed = generation - self.generation
  if (passed <= 0) return
  self.generation = generation
  const kept = passed > 1 ? 0 : self.total
  if (kept === 0) clear(self)
  else if (self.from === listed) shiftList(self)
  else if (kept <= longest) list(self)
  else for (const [at, count] of self.counts.entries()) self.counts[at] = (count % previousUnit) * previousUnit
  self.previousTotal = kept
  self.total = 0
}

const clear = (self: Histogram): void => {
  if (self.from === listed) return
  self.from = listed
  self.counts = emptyList()
}

const shiftList = ({ counts, previousTotal, total }: Histogram): void => {
  for (let i = 0; i < total; i++) setBucket(counts, i, bucketAt(counts, previousTotal + i))
}

/** This generation as a list. */
const list = (self: Histogram): void => {
  const buckets: Array<number> = new Array(Math.max(shortest, Math.ceil(self.total / perNumber))).fill(0)
  let index = 0
  forEach(self, (bucket, current) => {
    for (let i = 0; i < current; i++) setBucket(buckets, index++, bucket)
  })
  self.from = listed
  self.counts = buckets
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
  const bucket = bucketOf(duration)
  if (self.from === listed) append(self, bucket)
  else {
    const at = bucket - self.from
    if (!(at >= 0 && at < self.counts.length)) spread(self, bucket)
    self.counts[bucket - self.from]! += 1
  }
  self.total += 1
}

const append = (self: Histogram, bucket: number): void => {
  const { counts } = self
  const index = self.previousTotal + self.total
  const room = counts.length * perNumber
  if (index < room) setBucket(counts, index, bucket)
  else if (counts.length < longest) {
    const longer: Array<number> = new Array(Math.min(2 * counts.length, longest)).fill(0)
    for (const [at, buckets] of counts.entries()) longer[at] = buckets
    self.counts = longer
    setBucket(longer, index, bucket)
  } else {
    spread(self, bucket)
    self.counts[bucket - self.from]! += 1
  }
}

/**
 * Finds the least upper bound, in milliseconds, of the fastest `q` of the calls that are recorded now; `undefined` without
 * calls.
 */
export const quantiles = (self: Histogram): ((q: number) => number | undefined) => {
  const total = self.total + self.previousTotal
  const calls = new Map<number, number>()
  forEach(self, (bucket, current, previous) => {
    calls.set(bucket, (calls.get(bucket) ?? 0) + current + previous)
  })
  const sorted = Array.from(calls).sort(([a], [b]) => a - b)
  return (q) => {
    const rank = Math.max(1, Math.ceil(q * total))
    let seen = 0
    for (const [bucket, count] of sorted) {
      seen += count
      if (seen >= rank) return upperBound(bucket)
    }
    return undefined
  }
}

/** One quantile, of the generations at `now`. */
export const quantile = (self: Histogram, q: number, now: number): number | undefined => {
  advance(self, now)
  return quantiles(self)(q)
}
