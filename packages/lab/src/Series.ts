/**
 * A run over time: the numbers of a chart.
 *
 * @since 0.1.0
 */
import { quantile, sorted } from "./internal/statistics.ts"

/**
 * One run over time. Every number belongs to one step: a count of its events, or a value at its end.
 *
 * @category models
 * @since 0.1.0
 */
export interface Series {
  /** Milliseconds: a second, doubled until the run has at most 600 steps. */
  readonly step: number
  /** Calls, by their arrival. */
  readonly offered: ReadonlyArray<number>
  /** Calls answered in time, by their arrival. */
  readonly good: ReadonlyArray<number>
  /** Calls that failed without an attempt, by their arrival. */
  readonly rejected: ReadonlyArray<number>
  /** Attempts, by the moment at which they were sent. */
  readonly attempts: ReadonlyArray<number>
  /** Attempts in the dependency's queue, at the end of the step. */
  readonly queued: ReadonlyArray<number>
  /**
   * Shares of the clients' circuits that were open and half-open at the end of the step; `undefined` without circuits.
   */
  readonly circuits: { readonly open: ReadonlyArray<number>; readonly halfOpen: ReadonlyArray<number> } | undefined
}

/**
 * Many runs over time. Each number is the median over the runs, except for circuits: these are means, and so shares of
 * all circuits of all runs. A share of zero calls is `NaN`.
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
  /** The least and the greatest goodput of any run. */
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
 * Summarizes runs of one sender through one scenario, step by step.
 *
 * **Details** `until` is the length of a run in milliseconds: the last step may be shorter than the others. Returns
 * `undefined` without runs.
 *
 * **Example** (A chart in one line)
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
 * Shares as text, one character each: from a blank for less than 1/16 to a full block. `NaN` is a dot.
 *
 * @category rendering
 * @since 0.1.0
 */
export const spark = (shares: ReadonlyArray<number>): string =>
  shares.map((share) => (Number.isNaN(share) ? "·" : blocks[Math.round(8 * Math.min(1, Math.max(0, share)))])).join("")
