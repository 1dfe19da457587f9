/**
 * What happened in a run over time: the numbers behind a picture.
 *
 * @since 0.1.0
 */
import { quantile, sorted } from "./internal/statistics.ts"

/**
 * One run over time. Every number stands for one step: counts of what happened in it, or how it was at its end.
 *
 * @category models
 * @since 0.1.0
 */
export interface Series {
  /** Milliseconds: a second, or so many that no run has more than 600 steps. */
  readonly step: number
  /** Calls, by when they came. */
  readonly offered: ReadonlyArray<number>
  /** Those answered in time, by when they came. */
  readonly good: ReadonlyArray<number>
  /** Those that failed without an attempt, by when they came. */
  readonly rejected: ReadonlyArray<number>
  /** Attempts, by when they were sent. */
  readonly attempts: ReadonlyArray<number>
  /** Attempts in the dependency's queue, at the end of the step. */
  readonly queued: ReadonlyArray<number>
  /** Shares of the clients' circuits that were open and half-open at the end of the step; nothing without circuits. */
  readonly circuits: { readonly open: ReadonlyArray<number>; readonly halfOpen: ReadonlyArray<number> } | undefined
}

/**
 * Many runs over time. Each number is the median over the runs; those of the circuits are means, so that they are
 * shares of all circuits of all runs. A share of no calls is `NaN`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Summary {
  readonly step: number
  /** Calls a second. */
  readonly offered: ReadonlyArray<number>
  /** The share of the calls that were answered in time. */
  readonly goodput: ReadonlyArray<number>
  /** The least and the most of it in any run. */
  readonly low: ReadonlyArray<number>
  readonly high: ReadonlyArray<number>
  /** The share of the calls that failed without an attempt. */
  readonly rejected: ReadonlyArray<number>
  /** Attempts a second. */
  readonly attempts: ReadonlyArray<number>
  readonly queued: ReadonlyArray<number>
  readonly circuits: Series["circuits"]
}

const mean = (numbers: ReadonlyArray<number>): number =>
  numbers.reduce((sum, number) => sum + number, 0) / numbers.length

/**
 * Runs of one sender through one scenario, step by step.
 *
 * **Details** `until` is the length of a run in milliseconds: the last step may be shorter than the others. Answers
 * nothing without runs.
 *
 * **Example** (A picture in one line)
 *
 * ```ts
 * import { Lab, References, Scenario, Series } from "@effect-resilience/lab"
 *
 * const scenario = Scenario.make({
 *   name: "short outage",
 *   faults: [{ kind: "down", lasts: "2 seconds" }],
 *   warmUp: "2 seconds",
 *   after: "2 seconds"
 * })
 * const { series } = Lab.run({ scenario, sender: References.none, seed: 1, series: true })
 * const over = series && Series.summarize([series], Scenario.span(scenario).until)
 * Series.spark(over?.goodput ?? []) // => "██  ██"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const summarize = (runs: ReadonlyArray<Series>, until: number): Summary | undefined => {
  const [first] = runs
  if (first === undefined) return undefined
  const { step } = first
  const each = (of: (run: Series, at: number) => number, share: number): ReadonlyArray<number> =>
    first.offered.map((_, at) => quantile(sorted(runs.map((run) => of(run, at))), share))
  const perSecond =
    (name: "attempts" | "offered") =>
    (run: Series, at: number): number =>
      ((run[name][at] ?? 0) * 1000) / Math.min(step, until - at * step)
  const part =
    (name: "good" | "rejected") =>
    (run: Series, at: number): number =>
      (run[name][at] ?? 0) / (run.offered[at] ?? 0)
  const circuits = runs.flatMap((run) => run.circuits ?? [])
  const average = (name: "halfOpen" | "open"): ReadonlyArray<number> =>
    first.offered.map((_, at) => mean(circuits.map((circuit) => circuit[name][at] ?? 0)))
  return {
    step,
    offered: each(perSecond("offered"), 0.5),
    goodput: each(part("good"), 0.5),
    low: each(part("good"), 0),
    high: each(part("good"), 1),
    rejected: each(part("rejected"), 0.5),
    attempts: each(perSecond("attempts"), 0.5),
    queued: each((run, at) => run.queued[at] ?? 0, 0.5),
    circuits: circuits.length === 0 ? undefined : { open: average("open"), halfOpen: average("halfOpen") }
  }
}

const blocks = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]

/**
 * Shares as text, one character each: from a blank for less than 1 in 16 to a full block. No number is a dot.
 *
 * @category rendering
 * @since 0.1.0
 */
export const spark = (shares: ReadonlyArray<number>): string =>
  shares.map((share) => (Number.isNaN(share) ? "·" : blocks[Math.round(8 * Math.min(1, Math.max(0, share)))])).join("")
