/** Permits by Little's law. */

/** Calls in the second that has most of them. */
export const busiestSecond = (times: ReadonlyArray<number>): number => {
  const seconds = new Map<number, number>()
  for (const time of times) {
    const second = Math.floor(time / 1000)
    seconds.set(second, (seconds.get(second) ?? 0) + 1)
  }
  return Math.max(0, ...seconds.values())
}

/**
 * The permits for a mean of `inFlight` calls in flight: three standard deviations above it, because arrivals are random,
 * and three calls. `together` calls arrive at once.
 */
export const permitsFor = (inFlight: number, together = 1): number =>
  Math.ceil(inFlight + 3 * Math.sqrt(inFlight * together) + 3 * together)
