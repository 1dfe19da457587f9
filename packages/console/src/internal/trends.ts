/** Two minutes of every policy: what it had counted at each sample. */
import type * as State from "../State.ts"
import { idOf, type Reading } from "./figures.ts"

/** Between two samples, in milliseconds. */
export const step = 2000

/** Samples in two minutes, and the one before the first. */
const most = 61

interface Sample {
  readonly at: number
  readonly totals: State.Totals
  readonly running: number
  readonly p95: number | null
}

const sum = (counts: Readonly<Record<string, number>>): number => Object.values(counts).reduce((a, b) => a + b, 0)

export interface Past {
  readonly trend: State.Trend
  readonly minute: State.Minute
}

export class Trends {
  private samples = new Map<string, Array<Sample>>()

  /** Takes a sample of each policy. What is no longer there is forgotten. */
  take(at: number, readings: ReadonlyArray<Reading>): void {
    const next = new Map<string, Array<Sample>>()
    for (const reading of readings) {
      const id = idOf(reading)
      const samples = this.samples.get(id) ?? []
      samples.push(sampleOf(at, reading))
      if (samples.length > most) samples.shift()
      next.set(id, samples)
    }
    this.samples = next
  }

  /** What is known of a policy until now. */
  of(at: number, reading: Reading): Past {
    const samples = this.samples.get(idOf(reading)) ?? []
    return { trend: trendOf(at, samples), minute: minuteOf(at, samples, sampleOf(at, reading)) }
  }
}

const sampleOf = (at: number, { recent, running, totals }: Reading): Sample => ({
  at,
  totals,
  running,
  p95: recent.p95Millis ?? null
})

const trendOf = (at: number, samples: ReadonlyArray<Sample>): State.Trend => {
  // What was counted before the console started is not of these two minutes.
  const steps = samples.slice(1).map((sample, i) => ({ sample, before: samples[i] ?? sample }))
  const counted = (count: (totals: State.Totals) => number): ReadonlyArray<number> =>
    steps.map(({ before, sample }) => Math.max(0, count(sample.totals) - count(before.totals)))
  return {
    stepMillis: step,
    sampledAt: samples.at(-1)?.at ?? at,
    calls: counted(({ calls }) => calls),
    failures: counted(({ failures }) => failures),
    rejections: counted(({ rejections }) => sum(rejections)),
    running: steps.map(({ sample }) => sample.running),
    p95Millis: steps.map(({ sample }) => sample.p95)
  }
}

const minute = 60_000

const minuteOf = (at: number, samples: ReadonlyArray<Sample>, now: Sample): State.Minute => {
  const from = samples.find((sample) => sample.at >= at - minute) ?? now
  const since = (count: (totals: State.Totals) => number): number => Math.max(0, count(now.totals) - count(from.totals))
  return {
    millis: Math.max(0, at - from.at),
    calls: since(({ calls }) => calls),
    successes: since(({ successes }) => successes),
    failures: since(({ failures }) => failures),
    rejections: {
      CircuitOpen: since(({ rejections }) => rejections.CircuitOpen),
      BulkheadFull: since(({ rejections }) => rejections.BulkheadFull),
      RateLimited: since(({ rejections }) => rejections.RateLimited),
      DeadlineExceeded: since(({ rejections }) => rejections.DeadlineExceeded)
    },
    timeouts: since(({ timeouts }) => timeouts),
    retries: since(({ retries }) => retries),
    giveUps: since(({ giveUps }) => sum(giveUps)),
    fallbacks: since(({ fallbacks }) => fallbacks)
  }
}
