/** Statistics of sorted numbers. */

/** The quantile of sorted numbers, interpolated linearly. */
export const quantile = (sorted: Float64Array, share: number): number => {
  if (sorted.length === 0) return NaN
  const place = (sorted.length - 1) * share
  const below = sorted[Math.floor(place)]!
  const above = sorted[Math.ceil(place)]!
  // Equal neighbours are returned as they are, because Infinity - Infinity is NaN.
  return below === above ? below : below + (above - below) * (place - Math.floor(place))
}

/** Sorts numbers, infinity last, and leaves out NaN. */
export const sorted = (numbers: ReadonlyArray<number>): Float64Array =>
  Float64Array.from(numbers.filter((number) => !Number.isNaN(number))).sort()

/**
 * The indices between which the median lies with 95 % confidence, for any distribution, by the binomial test. For up to
 * 5 numbers there is no such interval, and the indices are those of all numbers.
 */
export const medianPlaces = (count: number): readonly [number, number] => {
  let place = 0
  let probability = 0.5 ** count
  let below = probability
  while (below <= 0.025 && place < count / 2) {
    place += 1
    probability *= (count - place + 1) / place
    below += probability
  }
  const low = Math.max(0, place - 1)
  return [low, count - 1 - low]
}
