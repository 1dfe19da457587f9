/**
 * The last minutes of every policy, from what it counts anyway: nothing is added to a call.
 *
 * Between two samples only the counts and the histogram of durations are known, so moments are drawn, and latencies are placed within
 * their bucket. What is drawn is the same for the same counts.
 */
import * as Duration from "effect/Duration"
import type { Stats } from "effect-resilience"
import { idOf, type Reading } from "./figures.ts"
import type { Attempt, Recording } from "./lab.ts"

/** Samples of a policy: five minutes at one in two seconds. */
const most = 151

/** Calls of a recording: more would take too long to replay. Those of the end are kept. */
const mostCalls = 10_000

/** Attempts between two samples: more say nothing new about how the dependency responds. */
const mostAttempts = 100

/** What a policy had counted at one moment. */
interface Sample {
  readonly at: number
  readonly calls: number
  readonly successes: number
  readonly failures: number
  readonly timeouts: number
  readonly rejections: number
  readonly retries: number
  readonly openings: number
  /** Attempts that took at most each bound, and all of them. */
  readonly durations: Float64Array
}

/** What was counted in the time of a recording. */
interface Measured {
  readonly millis: number
  readonly calls: number
  readonly successes: number
  readonly rejections: number
  readonly retries: number
  readonly openings: number
}

export interface Recorded extends Recording {
  readonly measured: Measured
}

const sampleOf = (at: number, { totals }: Reading, { buckets, count }: Stats.Durations): Sample => ({
  at,
  calls: totals.calls,
  successes: totals.successes,
  failures: totals.failures,
  timeouts: totals.timeouts,
  rejections: Object.values(totals.rejections).reduce((a, b) => a + b, 0),
  retries: totals.retries,
  openings: totals.openings,
  durations: Float64Array.from([...buckets.map(([, below]) => below), count])
})

interface Past {
  readonly bounds: ReadonlyArray<number>
  readonly samples: Array<Sample>
}

export class Recorder {
  private past = new Map<string, Past>()

  /** Takes a sample of each policy that measures durations. What is no longer there is forgotten. */
  take(at: number, readings: ReadonlyArray<Reading>, durations: ReadonlyMap<string, Stats.Durations>): void {
    const next = new Map<string, Past>()
    for (const reading of readings) {
      const id = idOf(reading)
      const measured = durations.get(id)
      if (measured === undefined) continue
      const { bounds, samples } = this.past.get(id) ?? { bounds: measured.buckets.map(([bound]) => bound), samples: [] }
      samples.push(sampleOf(at, reading, measured))
      if (samples.length > most) samples.shift()
      next.set(id, { bounds, samples })
    }
    this.past = next
  }

  /** What was recorded until now. `shape` has recent latencies, in order. */
  of(at: number, reading: Reading, durations: Stats.Durations, shape: ReadonlyArray<number>): Recorded | undefined {
    const known = this.past.get(idOf(reading))
    return known === undefined
      ? undefined
      : recordingOf([...known.samples, sampleOf(at, reading, durations)], known.bounds, shape)
  }
}

/** Latencies of the recent attempts of the busiest keys, in order: where in its bucket of the histogram a latency is. */
export const shapeOf = (busiest: ReadonlyArray<Stats.Stats>): ReadonlyArray<number> =>
  busiest
    .flatMap(({ recent: { latency } }) =>
      latency === undefined
        ? []
        : Array.from({ length: 100 }, (_, index) => Duration.toMillis(latency.quantile((index + 0.5) / 100)))
    )
    .sort((a, b) => a - b)

// ---------------------------------------------------------------------------------------------------------------------
// From counts to calls
// ---------------------------------------------------------------------------------------------------------------------

/** Numbers in [0, 1), the same each time (Lehmer's generator with the multiplier of Park and Miller, 1988). */
const drawsOf = (): (() => number) => {
  let state = 1
  return () => {
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}

const recordingOf = (
  samples: ReadonlyArray<Sample>,
  bounds: ReadonlyArray<number>,
  shape: ReadonlyArray<number>
): Recorded | undefined => {
  const last = samples.at(-1)
  if (last === undefined) return undefined
  // As many calls as can be replayed, and one step at least.
  let begin = Math.max(0, samples.length - 2)
  while (begin > 0 && last.calls - (samples[begin - 1]?.calls ?? 0) <= mostCalls) begin -= 1
  const steps = samples.slice(begin)
  const first = steps[0] ?? last
  const draw = drawsOf()
  // The recent latencies of each bucket; the last bucket has no bound.
  const known = [...bounds, Infinity].map((high, index) => {
    const low = bounds[index - 1] ?? 0
    return shape.filter((latency) => latency > low && latency <= high)
  })
  const arrivals: Array<number> = []
  const attempts: Array<Attempt> = []
  for (const [index, after] of steps.slice(1).entries()) {
    const before = steps[index] ?? after
    const counted = after.calls - before.calls
    const calls = Math.min(mostCalls, counted)
    // Calls that are left out are the earliest.
    const length = (after.at - before.at) * (counted === 0 ? 1 : calls / counted)
    for (let call = 0; call < calls; call++) arrivals.push(after.at - draw() * length)
    attempts.push(...attemptsOf(before, after, { bounds, known }, draw))
  }
  return {
    arrivals: arrivals.sort((a, b) => a - b),
    attempts: attempts.sort((a, b) => a.time - b.time),
    measured: {
      millis: last.at - first.at,
      calls: last.calls - first.calls,
      successes: last.successes - first.successes,
      rejections: last.rejections - first.rejections,
      retries: last.retries - first.retries,
      openings: last.openings - first.openings
    }
  }
}

/**
 * The attempts that ended between two samples. As in the lab's advice, those that ran into the timeout are the slowest, and the other
 * failures are taken for the fastest, so that no latency of a success is too low.
 */
const attemptsOf = (before: Sample, after: Sample, buckets: Buckets, draw: () => number): ReadonlyArray<Attempt> => {
  const counts = after.durations.map((count, index) => count - (before.durations[index] ?? 0))
  const all = counts.at(-1) ?? 0
  if (all <= 0) return []
  const failed = Math.min(all, after.failures - before.failures)
  const hung = Math.min(failed, after.timeouts - before.timeouts)
  const n = Math.min(all, mostAttempts)
  return Array.from({ length: n }, (_, index) => {
    // Which of all, from the fastest.
    const rank = ((index + 0.5) * all) / n
    return {
      time: before.at + draw() * (after.at - before.at),
      latency: latencyOf(rank, counts, buckets),
      outcome: rank > all - hung ? "timeout" : rank < failed - hung ? "error" : "ok"
    }
  })
}

interface Buckets {
  readonly bounds: ReadonlyArray<number>
  /** Recent latencies of each bucket, in order. */
  readonly known: ReadonlyArray<ReadonlyArray<number>>
}

const latencyOf = (rank: number, counts: Float64Array, { bounds, known }: Buckets): number => {
  const bucket = counts.findIndex((below) => below >= rank)
  const low = bounds[bucket - 1] ?? 0
  const high = bounds[bucket] ?? 2 * low
  const [from, to] = [counts[bucket - 1] ?? 0, counts[bucket] ?? rank]
  const share = Math.min(1, Math.max(0, (rank - from) / (to - from)))
  const recent = known[bucket] ?? []
  return recent[Math.min(recent.length - 1, Math.floor(share * recent.length))] ?? low + share * (high - low)
}
