/** Runs over sockets beside the same runs in the lab: does the lab tell the truth? */
import { Lab, Metrics, type Scenario, type Sender } from "@effect-resilience/lab"
import { quantile, sorted } from "../../../../lab/src/internal/statistics.ts"
import { lengthOf, type Run, start } from "./run.ts"

/** How far apart they may be: goodput by so much; recovery by this share, or by the second that it is measured in. */
export const bars = { goodput: 0.03, recovery: 0.2, second: 1 }

/** A run counts if 99 % of what had to be done in it was done no later than this share of an attempt's timeout. */
const tolerated = 0.05

/** A machine that is too slow so often in a row is too slow. */
const tries = 3

type Summary = ReturnType<typeof Metrics.summarize>

/** How much more the real runs have. */
export interface Difference {
  readonly goodput: number
  readonly recovery: number
}

export interface Comparison {
  readonly scenario: Scenario.Scenario
  readonly sender: string
  /** In the lab, over many seeds. */
  readonly lab: Summary
  /** In the lab, over the seeds that ran for real: the same calls, at the same moments. */
  readonly same: Summary
  readonly real: Summary
  /** The median over the seeds that ran for real, each less the lab's run of that seed. */
  readonly difference: Difference
  /** How far the goodput of a single run was from that of its own seed, at most. */
  readonly apart: number
  readonly runs: ReadonlyArray<Run>
  /** Runs that do not count, because the machine was too slow. */
  readonly slow: ReadonlyArray<Run>
}

export interface Options {
  readonly scenarios: ReadonlyArray<Scenario.Scenario>
  readonly senders: ReadonlyArray<Sender.Sender>
  /** Real runs of each. */
  readonly runs: number
  /** Runs of each in the lab. */
  readonly seeds: number
  /** Real runs at the same time. */
  readonly atOnce: number
  readonly signal: AbortSignal
  /** Told once a second: what runs, how far it all is from 0 to 1, and how many seconds are left. */
  readonly progress: (running: ReadonlyArray<string>, done: number, left: number) => void
}

/** Starting processes and waiting for the last call, in milliseconds. */
const overhead = 2500

export const isSlow = ({ lag }: Run, { timeout }: Scenario.Scenario): boolean =>
  Math.max(lag.clients.p99, lag.dependency.p99) > tolerated * timeout

export interface Agreement {
  readonly goodput: boolean
  readonly recovery: boolean
}

/** Given how far apart they are, and how long recovery takes in the lab. No run at all agrees with nothing. */
export const agrees = (difference: Difference, recovery: number): Agreement => ({
  goodput: Math.abs(difference.goodput) <= bars.goodput,
  recovery:
    Number.isFinite(difference.recovery) &&
    Math.abs(difference.recovery) <= Math.max(bars.second, bars.recovery * recovery)
})

/** By the differences of each seed. */
export const verdict = ({ difference, same }: Comparison): Agreement => agrees(difference, same.recovery.median)

/** By the medians of either side, as if the seeds were not the same. */
export const verdictOfMedians = ({ real, same }: Comparison): Agreement =>
  agrees(
    {
      goodput: real.goodput.median - same.goodput.median,
      recovery: less(real.recovery.median, same.recovery.median)
    },
    same.recovery.median
  )

/** Never is no later than never, and what makes no sense on either side is no difference. */
const less = (one: number, other: number): number => (Object.is(one, other) ? 0 : one - other)

interface Job {
  readonly pair: Pair
  readonly seed: number
  /** How often the machine was too slow for it. */
  readonly tries: number
}

/** Of runs that begin at the same time, in milliseconds. */
const lengthOfWave = (jobs: ReadonlyArray<Job>): number =>
  overhead + Math.max(...jobs.map(({ pair }) => lengthOf(pair.scenario)))

const lengthOfWaves = (jobs: ReadonlyArray<Job>, atOnce: number): number =>
  jobs.length === 0 ? 0 : lengthOfWave(jobs.slice(0, atOnce)) + lengthOfWaves(jobs.slice(atOnce), atOnce)

export interface Pair {
  readonly scenario: Scenario.Scenario
  readonly sender: Sender.Sender
  readonly counted: Array<Run>
  readonly slow: Array<Run>
}

export const compared = ({ counted, scenario, sender, slow }: Pair, seeds: number): Comparison => {
  const lab = Lab.compare({ scenario, senders: [sender], seeds }).rows.flatMap((row) => row.runs)
  const pairs = counted.flatMap((real) =>
    lab.filter(({ seed }) => seed === real.seed).map((same) => ({ real: real.metrics, same: same.metrics }))
  )
  const goodputs = pairs.map(({ real, same }) => real.goodput - same.goodput)
  const recoveries = pairs.map(({ real, same }) => less(real.recovery, same.recovery))
  return {
    scenario,
    sender: sender.name,
    lab: Metrics.summarize(lab.map(({ metrics }) => metrics)),
    same: Metrics.summarize(pairs.map(({ same }) => same)),
    real: Metrics.summarize(pairs.map(({ real }) => real)),
    difference: { goodput: quantile(sorted(goodputs), 0.5), recovery: quantile(sorted(recoveries), 0.5) },
    apart: Math.max(...goodputs.map(Math.abs)),
    runs: counted,
    slow
  }
}

export const compare = async (options: Options): Promise<ReadonlyArray<Comparison>> => {
  const { atOnce, progress, seeds, signal } = options
  const pairs = options.scenarios.flatMap((scenario) =>
    options.senders.map((sender): Pair => ({ scenario, sender, counted: [], slow: [] }))
  )
  const jobs = pairs.flatMap((pair) =>
    Array.from({ length: options.runs }, (_, index): Job => ({ pair, seed: index + 1, tries: 0 }))
  )
  let done = 0

  // Runs at the same time begin at the same time: none is disturbed by the start of another's processes.
  while (jobs.length > 0) {
    // What the machine was too slow for has it to itself.
    const wave = jobs.splice(0, jobs[0]?.tries === 0 ? atOnce : 1)
    const since = performance.now()
    const length = lengthOfWave(wave)
    const left = lengthOfWaves(jobs, atOnce)
    const tell = (): void => {
      const passed = Math.min(length, performance.now() - since)
      const names = wave.map(({ pair, seed }) => `${pair.scenario.name} ${pair.sender.name} ${seed}`)
      progress(names, (done + passed) / (done + length + left), (length - passed + left) / 1000)
    }
    tell()
    const timer = setInterval(tell, 1000)
    try {
      const started = await Promise.all(
        wave.map(({ pair: { scenario, sender }, seed }) => start({ scenario, sender: sender.name, seed, signal }))
      )
      const results = await Promise.all(started.map(({ run }) => run()))
      for (const [index, job] of wave.entries()) {
        const result = results[index]
        if (result === undefined) continue
        if (!isSlow(result, job.pair.scenario)) {
          job.pair.counted.push(result)
        } else {
          job.pair.slow.push(result)
          if (job.tries + 1 < tries) jobs.push({ ...job, tries: job.tries + 1 })
        }
      }
    } finally {
      clearInterval(timer)
    }
    done += length
  }
  // The lab's own runs come last: they would take the time that the real ones need.
  return pairs.map((pair) => compared(pair, seeds))
}
