/** A recording in time, which begins with the world and starts again whenever it has ended. */

/** Milliseconds from one start to the next: the length of the recording and one mean interval between calls. */
export const periodOf = (times: ArrayLike<number>): number => {
  const count = times.length
  const length = count === 0 ? 0 : times[count - 1]! - times[0]!
  // All calls at one moment: once a second.
  return length === 0 ? 1000 : (length * count) / (count - 1)
}

/** The first index whose value is at least `value`. */
const lowerBound = (values: Float64Array, value: number): number => {
  let low = 0
  let high = values.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (values[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}

/** Moments of a recording, counted from its first. */
export class Moments {
  readonly period: number
  private readonly times: Float64Array

  constructor(times: ReadonlyArray<number>) {
    const first = times[0] ?? 0
    this.times = Float64Array.from(times, (time) => time - first)
    this.period = periodOf(this.times)
  }

  /** The moment of the n-th call of the repeated recording. */
  nth(index: number): number {
    const count = this.times.length
    return Math.floor(index / count) * this.period + this.times[index % count]!
  }

  /** The number of calls before a moment. */
  before(moment: number): number {
    const rounds = Math.floor(moment / this.period)
    return rounds * this.times.length + lowerBound(this.times, moment - rounds * this.period)
  }

  /** Where the `most` calls nearest to a moment begin and end, of those at most `within` away; one at least. */
  around(moment: number, most: number, within: number): readonly [begin: number, end: number] {
    const { times } = this
    const now = moment % this.period
    let end = lowerBound(times, now)
    let begin = end
    const away = (index: number): number => {
      const time = times[index]
      return time === undefined ? Infinity : Math.abs(time - now)
    }
    while (end - begin < most) {
      const [left, right] = [away(begin - 1), away(end)]
      const next = Math.min(left, right)
      if (next === Infinity || (next > within && end > begin)) break
      if (left <= right) begin -= 1
      else end += 1
    }
    return [begin, end]
  }
}
