/**
 * Runs senders through scenarios.
 *
 * @since 0.1.0
 */
import type { Propagation } from "effect-resilience"
import * as Check from "./internal/check.ts"
import { figuresOf } from "./internal/figures.ts"
import { Recorder } from "./internal/recorder.ts"
import { World } from "./internal/world.ts"
import * as Metrics from "./Metrics.ts"
import * as Oracle from "./Oracle.ts"
import * as References from "./References.ts"
import { type Scenario, span } from "./Scenario.ts"
import * as Sender from "./Sender.ts"
import * as Series from "./Series.ts"

/**
 * The named senders: those of `effect-resilience`, then those to compare with.
 *
 * @category senders
 * @since 0.1.0
 */
export const senders: ReadonlyArray<Sender.Sender> = [
  Sender.ours,
  Sender.oursWithoutBreaker,
  Sender.oursRetryOnly,
  Sender.oursBreakerOnly,
  ...References.all
]

/**
 * What to run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly scenario: Scenario
  readonly sender: Sender.Sender
  /** An integer. The same seed gives the same run, and all senders get the same calls. */
  readonly seed: number
  /** Called once a virtual second with the progress from 0 to 1. */
  readonly progress?: ((done: number) => void) | undefined
  /** Whether to record the run over time. It changes no figure. Default: false. */
  readonly series?: boolean | undefined
}

/**
 * The result of one run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  readonly seed: number
  readonly metrics: Metrics.Metrics
  /** Calls offered, warm-up included. */
  readonly calls: number
  /** Calls that ended, successfully or not: all of them, unless the sender lost some. */
  readonly ended: number
  /** Calls answered in time. */
  readonly good: number
  /** Goodput of each shard during the fault: calls answered in time, as a share of those offered to it. */
  readonly shards: ReadonlyArray<number>
  /** Goodput of each criticality of the scenario during the fault; empty without `classes`. */
  readonly classes: Readonly<Partial<Record<Propagation.Criticality, number>>>
  readonly attempts: number
  /** Milliseconds that an attempt waited in the dependency's queue, on average. */
  readonly wait: number
  /** Events of the world. */
  readonly events: number
  /** The run over time, if it was recorded. */
  readonly series?: Series.Series | undefined
}

const total = (numbers: Float64Array): number => numbers.reduce((sum, number) => sum + number, 0)

/**
 * Runs one sender through one scenario with one seed.
 *
 * **Details** `Date`, `performance.now` and `Math.random` are those of the world while the sender runs, so that the same
 * seed gives the same run.
 *
 * **Gotchas** Only virtual time passes. A call whose sender awaits a promise or a timer of the process never ends, and
 * is counted in `metrics.unended`. Throws an error that names the sender, the scenario and the seed if the sender throws,
 * dies, or never sleeps ({@link Engine.Livelock}).
 *
 * **Example** (An outage without a policy)
 *
 * ```ts
 * import { Lab, References, Scenario } from "@effect-resilience/lab"
 *
 * const scenario = Scenario.make({
 *   name: "short outage",
 *   faults: [{ kind: "down", lasts: "2 seconds" }],
 *   warmUp: "1 second",
 *   after: "3 seconds"
 * })
 * const { metrics } = Lab.run({ scenario, sender: References.naive, seed: 1 })
 * metrics.amplification > 3.9 // => true
 * metrics.recovery // => 0
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run = (options: Options): Run => {
  const seed = Check.seed("Lab.run", options.seed)
  const world = new World(options.scenario, options.sender, seed)
  const { ledger } = world
  const recorder = options.series === true ? new Recorder(ledger) : undefined
  world.run((now) => {
    recorder?.look(now, world.queued, world.circuits)
    options.progress?.(Math.min(1, now / ledger.until))
    return false
  })
  return {
    seed,
    metrics: figuresOf(ledger, Oracle.of(options.scenario)),
    calls: ledger.calls,
    ended: ledger.ended,
    good: total(ledger.good),
    shards: Array.from(ledger.goodOf, (good, shard) => good / (ledger.offeredTo[shard] ?? 0)),
    classes: Object.fromEntries(
      ledger.classes.map((name, index) => [name, (ledger.goodIn[index] ?? 0) / (ledger.offeredIn[index] ?? 0)])
    ),
    attempts: total(ledger.attempts),
    wait: ledger.waits === 0 ? 0 : ledger.waited / ledger.waits,
    events: world.engine.events,
    ...(recorder === undefined ? {} : { series: recorder.series() })
  }
}

/**
 * The results of several senders in one scenario, and of the oracle.
 *
 * @category models
 * @since 0.1.0
 */
export interface Comparison {
  readonly scenario: Scenario
  /** The oracle's goodput during the fault. */
  readonly oracle: number
  readonly rows: ReadonlyArray<Row>
}

/**
 * One sender of a comparison.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly sender: string
  readonly runs: ReadonlyArray<Run>
  readonly summary: ReturnType<typeof Metrics.summarize>
  /** All runs over time, if each run has its series. */
  readonly series?: Series.Summary | undefined
}

/**
 * Makes a comparison from runs that were made one by one, for example in your own processes or threads.
 *
 * **Details** All runs must be of this scenario, and the runs of each sender in the order of their seeds.
 *
 * @category constructors
 * @since 0.1.0
 */
export const gather = (
  scenario: Scenario,
  senders: ReadonlyArray<{ readonly sender: string; readonly runs: ReadonlyArray<Run> }>
): Comparison => ({
  scenario,
  oracle: Oracle.of(scenario).goodput,
  rows: senders.map(({ runs, sender }) => {
    const retained = runs.flatMap(({ series }) => series ?? [])
    const series = retained.length === runs.length ? Series.summarize(retained, span(scenario).until) : undefined
    return {
      sender,
      runs,
      summary: Metrics.summarize(runs.map(({ metrics }) => metrics)),
      ...(series === undefined ? {} : { series })
    }
  })
})

/**
 * Runs several senders through one scenario with the same seeds.
 *
 * **Details** Seeds are consecutive, from `first` on. Throws a `RangeError` if `seeds` is not a positive integer.
 *
 * @category running
 * @since 0.1.0
 */
export const compare = (options: {
  readonly scenario: Scenario
  readonly senders: ReadonlyArray<Sender.Sender>
  readonly seeds: number
  /** The first seed. Default: 1. */
  readonly first?: number | undefined
  /** Called often with the current sender, and the progress of the whole comparison from 0 to 1. */
  readonly progress?: ((sender: Sender.Sender, done: number) => void) | undefined
  /** Whether to record the runs over time. Default: false. */
  readonly series?: boolean | undefined
}): Comparison => {
  const { progress, scenario, senders, series } = options
  const seeds = Check.integer("Lab.compare", "seeds", options.seeds, 1)
  const first = Check.seed("Lab.compare", options.first ?? 1)
  const all = senders.length * seeds
  const rows = senders.map((sender, row) => ({
    sender: sender.name,
    runs: Array.from({ length: seeds }, (_, index) =>
      run({
        scenario,
        sender,
        seed: first + index,
        series,
        progress: progress && ((done) => progress(sender, (row * seeds + index + done) / all))
      })
    )
  }))
  return gather(scenario, rows)
}

/**
 * The regret of one sender in many scenarios.
 *
 * @category models
 * @since 0.1.0
 */
export interface Standing {
  readonly sender: string
  /** The median over the seeds of each scenario, in the order of the scenarios. */
  readonly regrets: ReadonlyArray<number>
  /** The mean over the scenarios that have a regret. */
  readonly mean: number
}

const mean = (values: ReadonlyArray<number>): number => {
  const numbers = values.filter((value) => !Number.isNaN(value))
  return numbers.length === 0 ? NaN : numbers.reduce((sum, value) => sum + value, 0) / numbers.length
}

/**
 * The standing of each sender over all scenarios. All comparisons must have the same senders.
 *
 * @category accessors
 * @since 0.1.0
 */
export const standings = (comparisons: ReadonlyArray<Comparison>): ReadonlyArray<Standing> =>
  (comparisons[0]?.rows ?? []).map(({ sender }, row) => {
    const regrets = comparisons.map(({ rows }) => rows[row]?.summary.regret.median ?? NaN)
    return { sender, regrets, mean: mean(regrets) }
  })
