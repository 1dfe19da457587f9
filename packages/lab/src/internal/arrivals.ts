/** When calls come: a Poisson process whose rate changes with the timeline. */
import type { Segment } from "./timeline.ts"

/** The next call after a moment, given chance from 0 to below 1. `Infinity`, when none will come any more. */
export const nextCall = (timeline: ReadonlyArray<Segment>, from: number, random: number): number => {
  let left = -Math.log(1 - random)
  let at = from
  let index = timeline.findLastIndex((segment) => segment.at <= from)
  for (;;) {
    const rate = timeline[index]!.rate / 1000
    const end = timeline[index + 1]?.at ?? Infinity
    const next = rate === 0 ? Infinity : at + left / rate
    if (next <= end) return next
    left -= (end - at) * rate
    at = end
    index += 1
  }
}
