/** What stretches of work of a whole fleet have in common. */
import type { Held } from "../messages.ts"

/** The most that ran at once. */
export const peakOf = (held: ReadonlyArray<Held>): number => {
  const steps = held.flatMap(({ from, to }) => [
    { at: from, by: 1 },
    { at: to, by: -1 }
  ])
  let running = 0
  let peak = 0
  // One that ends at a moment has made room for one that begins then.
  for (const { by } of steps.toSorted((a, b) => a.at - b.at || a.by - b.by)) {
    running += by
    peak = Math.max(peak, running)
  }
  return peak
}

/** The most that began in any stretch of time above those of a rate per second. */
export const aboveRate = (held: ReadonlyArray<Held>, rate: number): number => {
  // A bucket that leaks at the rate.
  let level = 0
  let most = 0
  let before = -Infinity
  for (const { from } of held.toSorted((a, b) => a.from - b.from)) {
    level = Math.max(0, level - ((from - before) * rate) / 1000) + 1
    most = Math.max(most, level)
    before = from
  }
  return most
}
