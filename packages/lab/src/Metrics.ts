/**
 * The figures of a run.
 *
 * @since 0.1.0
 */
import { medianPlaces, quantile, sorted } from "./internal/statistics.ts"

/**
 * The figures of one run. A figure that a scenario does not define is `NaN`; a moment that was not reached is
 * `Infinity`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Metrics {
  /** Calls answered in time by an attempt, as a share of those offered during the fault. */
  readonly goodput: number
  /** Attempts per call during the fault. */
  readonly amplification: number
  /** The most attempts per call in any second, until the end of the run. */
  readonly peak: number
  /** Attempts per call while no shard could be reached. */
  readonly leak: number
  /** Milliseconds from the fault until attempts fell below 5 % of the calls. */
  readonly detection: number
  /** Seconds from the end of the fault to the first of three consecutive seconds with 95 % of the goodput before. */
  readonly recovery: number
  /** Seconds' worth of calls lost after the end of the fault. */
  readonly lost: number
  /** Rejected calls that the dependency would have served, as a share of those offered. */
  readonly falseRejects: number
  /** The latency in milliseconds of calls answered in time during the fault, measured from their arrival. */
  readonly p99: number
  readonly p999: number
  /** The share of the workers' time that was spent on abandoned attempts. */
  readonly waste: number
  /**
   * Goodput missing to the oracle, as a share of the oracle, from the fault to the end of the run; 0 if more calls were
   * answered than by the oracle, so that a mean over runs is not lowered by them.
   */
  readonly regret: number
  /** The same during the fault only. */
  readonly faultRegret: number
  /** The regret with its sign: below 0 if more calls were answered than by the oracle. */
  readonly shortfall: number
  /** Milliseconds that a call which failed during the fault kept its caller waiting, on average; at most its deadline. */
  readonly timeToFail: number
  /** Calls during the fault that were answered in time without a successful attempt, as a share of those offered. */
  readonly degraded: number
  /** Calls of the whole run that the sender never ended. */
  readonly unended: number
}

/**
 * The names of the figures.
 *
 * @category models
 * @since 0.1.0
 */
export const names = [
  "goodput",
  "amplification",
  "peak",
  "leak",
  "detection",
  "recovery",
  "lost",
  "falseRejects",
  "p99",
  "p999",
  "waste",
  "regret",
  "faultRegret",
  "shortfall",
  "timeToFail",
  "degraded",
  "unended"
] as const satisfies ReadonlyArray<keyof Metrics>

/**
 * One figure over many seeds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Summary {
  readonly median: number
  /** The 95 % confidence interval of the median; with fewer than 6 seeds, the least and the greatest value. */
  readonly low: number
  readonly high: number
  readonly worst: number
}

/** The figures of which more is better. */
const better: ReadonlySet<keyof Metrics> = new Set(["goodput"])

/**
 * Summarizes each figure over many runs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const summarize = (runs: ReadonlyArray<Metrics>): { readonly [K in keyof Metrics]: Summary } => {
  const of = (name: keyof Metrics): Summary => {
    const values = sorted(runs.map((run) => run[name]))
    if (values.length === 0) return { median: NaN, low: NaN, high: NaN, worst: NaN }
    const [low, high] = medianPlaces(values.length)
    return {
      median: quantile(values, 0.5),
      low: values[low] ?? NaN,
      high: values[high] ?? NaN,
      worst: (better.has(name) ? values[0] : values.at(-1)) ?? NaN
    }
  }
  return Object.fromEntries(names.map((name) => [name, of(name)])) as { readonly [K in keyof Metrics]: Summary } // all names
}
