/** Numbers about numbers. */

/** The value below which a share of the sorted numbers lies, between neighbours in proportion. */
export const quantile = (sorted: Float64Array, share: number): number => {
  if (sorted.length === 0) return NaN
  const place = (sorted.length - 1) * share
  const below = sorted[Math.floor(place)]!
  const above = sorted[Math.ceil(place)]!
  // Never infinity less infinity.
  return below === above ? below : below + (above - below) * (place - Math.floor(place))
}

/** Numbers first, then infinity; what is no number is left out. */
export const sorted = (numbers: ReadonlyArray<number>): Float64Array =>
  Float64Array.from(numbers.filter((number) => !Number.isNaN(number))).sort()

/**
 * The places, from either end, between which the median of the distribution lies with 95 % confidence, whatever the
 * distribution: by the binomial. Up to 5 numbers cannot say it, and the answer is all of them.
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
