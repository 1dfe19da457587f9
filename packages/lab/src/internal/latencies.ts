/** Latencies in bounded memory: exact for up to a million calls, in classes of 0.1 % for more. */
import { quantile, sorted } from "./statistics.ts"

const mostExact = 1_000_000

/** A class is this much wider than the one below it. */
const growth = Math.log(1.001)

/** Milliseconds. Lower latencies are in the first class, and no latency is above a day. */
const least = 0.001
const classes = Math.ceil(Math.log(86_400_000 / least) / growth) + 1

const classOf = (millis: number): number =>
  Math.min(classes - 1, Math.max(0, Math.floor(Math.log(millis / least) / growth)))

/** The data of latencies, which may come from another process. */
export interface LatencyData {
  readonly exact: ReadonlyArray<number>
  /** How many are in each class, if there are too many for `exact`. */
  readonly counts: Float64Array | undefined
}

export class Latencies implements LatencyData {
  exact: Array<number> = []
  counts: Float64Array | undefined = undefined

  push(millis: number): void {
    if (this.counts !== undefined) {
      this.counts[classOf(millis)]! += 1
    } else {
      this.exact.push(millis)
      if (this.exact.length > mostExact) this.classify()
    }
  }

  private classify(): void {
    const counts = new Float64Array(classes)
    for (const millis of this.exact) counts[classOf(millis)]! += 1
    this.exact = []
    this.counts = counts
  }
}

/** The quantiles of latencies. */
export const quantilesOf = ({ counts, exact }: LatencyData): ((share: number) => number) => {
  if (counts === undefined) {
    const values = sorted(exact)
    return (share) => quantile(values, share)
  }
  const all = counts.reduce((sum, count) => sum + count, 0)
  return (share) => {
    let below = 0
    // The geometric middle of the class.
    const at = counts.findIndex((count) => {
      below += count
      return below > share * (all - 1)
    })
    return least * Math.exp((at + 0.5) * growth)
  }
}
