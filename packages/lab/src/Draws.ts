/**
 * Scenarios drawn at random: a sender that does well in the named scenarios may have been fitted to them.
 *
 * A drawn scenario has a random load, dependency, timeout and deadline, and one of twelve kinds of fault. One seed draws
 * the same scenarios everywhere.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as Check from "./internal/check.ts"
import { streamOf } from "./internal/random.ts"
import { quantile, sorted } from "./internal/statistics.ts"
import type { Comparison } from "./Lab.ts"
import * as Scenario from "./Scenario.ts"
import { aligned, fixed } from "./Table.ts"

/**
 * The kinds of fault, in the order in which they are drawn.
 *
 * **Details** `down`, `hang`, `errors`, `slow`, `capacity` and `surge` are one fault of that kind. `cold` is an outage,
 * then a cold cache. `flap` is an outage that comes back two to six times. `sharddown` and `shardhang` concern one of 2
 * to 19 shards, `shardhang` with a small pool in each client. `blips` are six outages of at most a second. `errslow` are
 * errors and slowness at once.
 *
 * @category kinds
 * @since 0.1.0
 */
export const kinds = [
  "down",
  "hang",
  "errors",
  "slow",
  "capacity",
  "surge",
  "cold",
  "flap",
  "sharddown",
  "blips",
  "shardhang",
  "errslow"
] as const

type Kind = (typeof kinds)[number]

type Faults = NonNullable<Scenario.Input["faults"]>

/** Random numbers of one draw. */
interface Dice {
  readonly next: () => number
  readonly uniform: (low: number, high: number) => number
  /** Uniform in the logarithm. */
  readonly spread: (low: number, high: number) => number
}

const diceOf = (next: () => number): Dice => ({
  next,
  uniform: (low, high) => low + (high - low) * next(),
  spread: (low, high) => low * Math.exp(next() * Math.log(high / low))
})

const rounded = (value: number, digits = 3): number => Number(value.toPrecision(digits))

const millis = (value: number): `${number} millis` => `${value} millis`

const seconds = (value: number): `${number} millis` => millis(rounded(value * 1000, 4))

/** Healthy seconds before and after the fault. */
const warmUp = 15
const after = 30

/** The most calls of a run, so that each takes about a second. */
const mostCalls = 160_000

/** Attempts to draw one scenario of a kind before its error counts. */
const mostTries = 200

interface Service {
  readonly title: string
  readonly service: NonNullable<Scenario.Input["service"]>
}

/** A thousand quantiles of a Pareto distribution. */
const pareto = (mean: number, shape: number): ReadonlyArray<number> => {
  const samples = Array.from({ length: 1000 }, (_, index) => (1 - (index + 0.5) / 1000) ** (-1 / shape))
  const usual = samples.reduce((sum, sample) => sum + sample) / samples.length
  return samples.map((sample) => rounded((sample / usual) * mean, 4))
}

const serviceOf = ({ next, spread, uniform }: Dice, mean: number): Service => {
  switch (Math.floor(next() * 4)) {
    case 0:
      return { title: "exponential", service: { kind: "exponential", mean: millis(mean) } }
    case 1:
      return {
        title: "lognormal",
        service: { kind: "lognormal", mean: millis(mean), sigma: rounded(uniform(0.4, 1.5)) }
      }
    case 2: {
      const share = rounded(spread(0.005, 0.1))
      const times = rounded(spread(8, 50))
      const fast = mean / (1 - share + share * times)
      const [quick, slow] = [millis(rounded(fast)), millis(rounded(fast * times))]
      return { title: "bimodal", service: { kind: "bimodal", fast: quick, slow, share } }
    }
    default: {
      const shape = rounded(uniform(1.4, 2.5))
      return { title: `pareto ${shape}`, service: { kind: "trace", samples: pareto(mean, shape) } }
    }
  }
}

/** The faults, and the seconds that they last in all; `undefined` if they would change nothing. */
const faultsOf = (
  kind: Kind,
  { next, spread, uniform }: Dice,
  { lasts, rate, workers }: { readonly lasts: number; readonly rate: number; readonly workers: number }
): { readonly faults: Faults; readonly length: number } | undefined => {
  const one = (...faults: Faults) => ({ faults, length: lasts })
  switch (kind) {
    case "down":
    case "hang":
      return one({ kind, lasts: seconds(lasts) })
    case "errors":
      return one({ kind, rate: rounded(uniform(0.05, 0.95)), lasts: seconds(lasts) })
    case "slow":
      return one({ kind, factor: rounded(spread(1.5, 30)), lasts: seconds(lasts) })
    case "capacity": {
      const factor = uniform(0.1, 0.8)
      const left = Math.round(workers * factor)
      return left === workers || left === 0 ? undefined : one({ kind, factor: rounded(factor), lasts: seconds(lasts) })
    }
    case "surge":
      return one({ kind, factor: rounded(spread(1.3, 8)), lasts: seconds(Math.min(lasts, 60)) })
    case "cold": {
      const warms = spread(2, 15)
      const factor = rounded(spread(2, 10))
      const keys = Math.round(Math.max(10, rate * spread(0.5, 8)))
      const faults: Faults = [
        { kind: "down", lasts: seconds(lasts) },
        { kind: "cold", factor, keys, at: seconds(lasts), lasts: seconds(warms) }
      ]
      return { faults, length: lasts + warms }
    }
    case "flap": {
      const on = spread(1, 10)
      const every = on * uniform(1.2, 3)
      const times = Math.max(2, Math.min(6, Math.floor(90 / every)))
      const faults: Faults = [
        { kind: next() < 0.5 ? "down" : "hang", lasts: seconds(on), every: seconds(every), times }
      ]
      return { faults, length: every * times }
    }
    case "blips":
      return {
        faults: [{ kind: "down", lasts: seconds(spread(0.05, 1)), every: seconds(uniform(2, 5)), times: 6 }],
        length: 30
      }
    case "sharddown":
      return one({ kind: "down", lasts: seconds(lasts), shards: [0] })
    case "shardhang":
      return one({ kind: "hang", lasts: seconds(lasts), shards: [0] })
    case "errslow":
      return one(
        { kind: "errors", rate: rounded(uniform(0.05, 0.7)), lasts: seconds(lasts) },
        { kind: "slow", factor: rounded(spread(1.2, 5)), lasts: seconds(lasts) }
      )
  }
}

/** One draw; `undefined` if it is out of range, such as with too many calls. */
const drawn = (kind: Kind, index: number, dice: Dice): Scenario.Input | undefined => {
  const { spread, uniform } = dice
  const rate = rounded(spread(50, 5000))
  const mean = rounded(spread(2, 500))
  const load = uniform(0.3, 0.95)
  const isSharded = kind === "sharddown" || kind === "shardhang"
  const shards = isSharded ? Math.floor(spread(2, 20)) : 1
  const workers = Math.round((rate * mean) / 1000 / load / shards) * shards
  if (workers < 2 || workers > 200 || (rate * mean) / 1000 / workers > 0.95) return undefined
  const lasts = spread(1, 120)
  const clients = Math.round(spread(1, 1000))
  const timeout = rounded(mean * spread(2, 50))
  const deadline = rounded(timeout * spread(1.2, 6))
  if (timeout < 2 || deadline > 86_400_000) return undefined
  const { service, title } = serviceOf(dice, mean)
  const found = faultsOf(kind, dice, { lasts, rate, workers })
  if (found === undefined) return undefined
  const calls = rate * (warmUp + after + found.length) * (kind === "surge" ? 1.6 : 1)
  if (calls > mostCalls) return undefined
  const queue = Math.round(spread(50, 5000) / shards) * shards
  return {
    name: `${kind}-${index}`,
    title: `${kind} util ${load.toFixed(2)} ${title} timeout ${(timeout / mean).toFixed(1)}x`,
    rate,
    clients,
    workers,
    queue,
    service,
    rtt: millis(rounded(spread(0.5, Math.min(20, mean)))),
    timeout: millis(timeout),
    deadline: millis(deadline),
    warmUp: `${warmUp} seconds`,
    after: `${after} seconds`,
    faults: found.faults,
    ...(isSharded ? { shards } : {}),
    ...(kind === "shardhang"
      ? { pool: { slots: Math.max(2, Math.ceil((rate / clients) * (mean / 1000) * 3) + 3) } }
      : {})
  }
}

/**
 * Draws scenarios as they are written, the kinds of fault in turn.
 *
 * **When to use** To compare settings on scenarios that were not chosen by hand. Keep some seeds apart, and look at them only after
 * the settings are final.
 *
 * **Details** 50 to 5,000 calls a second, of which a run has at most 160,000; 1 to 1,000 clients; 2 to 200 workers, 30 %
 * to 95 % busy; a mean service time of 2 to 500 ms, exponential, lognormal, bimodal or Pareto; a timeout of 2 to 50 means
 * and a deadline of 1.2 to 6 timeouts; a queue of 50 to 5,000; 15 healthy seconds before the faults, 30 after them. The
 * first scenarios of a seed do not depend on `count`. Throws a `RangeError` if `count` is not a positive integer.
 *
 * **Example** (Two scenarios)
 *
 * ```ts
 * import { Draws, Scenario } from "@effect-resilience/lab"
 *
 * const scenarios = Draws.scenarios({ count: 2, seed: 7 }).map(Scenario.make)
 * scenarios.map(({ name }) => name) // => ["down-0", "hang-1"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const scenarios = (options: {
  readonly count: number
  /** An integer. The same seed draws the same scenarios. */
  readonly seed: number
}): ReadonlyArray<Scenario.Input> => {
  const count = Check.integer("Draws.scenarios", "count", options.count, 1)
  const dice = diceOf(streamOf(Check.seed("Draws.scenarios", options.seed), "draws"))
  return Array.from({ length: count }, (_, index) => {
    const kind = kinds[index % kinds.length] as Kind // in range
    for (let tries = 0; ; ) {
      const input = drawn(kind, index, dice)
      if (input === undefined) continue
      const made = Result.try(() => Scenario.make(input))
      if (Result.isSuccess(made)) return input
      if (tries === mostTries) throw made.failure
      tries += 1
    }
  })
}

/**
 * The kind of fault of a drawn scenario: its name without the number.
 *
 * @category accessors
 * @since 0.1.0
 */
export const kindOf = (name: string): string => name.replace(/-\d+$/, "")

/**
 * What a sender did in many scenarios. All numbers are shares, at least 0: the regret of a scenario is the mean over its
 * seeds, each clipped at 0.
 *
 * @category models
 * @since 0.1.0
 */
export interface Spread {
  readonly sender: string
  /** Scenarios that have a regret. */
  readonly scenarios: number
  readonly mean: number
  readonly p50: number
  readonly p90: number
  readonly worst: number
  /** The scenario with the worst regret; empty if there is none. */
  readonly worstIn: string
  /** The mean regret during the fault only, over the scenarios in which the oracle serves anything then. */
  readonly inFault: number
  /** The mean milliseconds that a failed call waits, over the scenarios in which calls fail. */
  readonly timeToFail: number
  /**
   * Scenarios in which it answers fewer calls in time than the baseline, by more than half a percent of the oracle's;
   * `NaN` without a baseline.
   */
  readonly worse: number
}

/**
 * The results in all scenarios of one kind.
 *
 * @category models
 * @since 0.1.0
 */
export interface Group {
  /** A kind of fault, or `all`. */
  readonly kind: string
  readonly scenarios: number
  readonly rows: ReadonlyArray<Spread>
}

/** How much worse than the baseline counts. */
const margin = 0.005

const meanOf = (values: ReadonlyArray<number>): number => {
  const numbers = values.filter((value) => !Number.isNaN(value))
  return numbers.length === 0 ? NaN : numbers.reduce((sum, value) => sum + value, 0) / numbers.length
}

/** The results of one sender in one scenario, as means over the seeds. */
interface Outcome {
  readonly scenario: string
  readonly regret: number
  readonly inFault: number
  readonly timeToFail: number
  /** The mean of the regret with its sign, less that of the baseline. */
  readonly behind: number
}

const resultsOf = (comparisons: ReadonlyArray<Comparison>, sender: string, baseline: string): ReadonlyArray<Outcome> =>
  comparisons.flatMap(({ rows, scenario }) => {
    const mean = (name: string, of: "faultRegret" | "regret" | "shortfall" | "timeToFail"): number =>
      meanOf(rows.find((row) => row.sender === name)?.runs.map(({ metrics }) => metrics[of]) ?? [])
    return [
      {
        scenario: scenario.name,
        regret: mean(sender, "regret"),
        inFault: mean(sender, "faultRegret"),
        timeToFail: mean(sender, "timeToFail"),
        behind: mean(sender, "shortfall") - mean(baseline, "shortfall")
      }
    ]
  })

const spreadOf = (sender: string, results: ReadonlyArray<Outcome>): Spread => {
  const known = results.filter(({ regret }) => !Number.isNaN(regret))
  const regrets = sorted(known.map(({ regret }) => regret))
  const compared = known.filter(({ behind }) => !Number.isNaN(behind))
  const worst = regrets.at(-1) ?? NaN
  return {
    sender,
    scenarios: known.length,
    mean: meanOf(known.map(({ regret }) => regret)),
    p50: quantile(regrets, 0.5),
    p90: quantile(regrets, 0.9),
    worst,
    worstIn: known.find(({ regret }) => regret === worst)?.scenario ?? "",
    inFault: meanOf(results.map(({ inFault }) => inFault)),
    timeToFail: meanOf(results.map(({ timeToFail }) => timeToFail)),
    worse: compared.length === 0 ? NaN : compared.filter(({ behind }) => behind > margin).length
  }
}

/**
 * Summarizes comparisons of many scenarios: a group of all of them, then one for each kind of fault. All comparisons
 * must have the same senders.
 *
 * @category constructors
 * @since 0.1.0
 */
export const summarize = (
  comparisons: ReadonlyArray<Comparison>,
  /** The sender that no policy should be worse than. Default: `none`. */
  baseline = "none"
): ReadonlyArray<Group> => {
  const senders = comparisons[0]?.rows.map(({ sender }) => sender) ?? []
  const group = (kind: string, some: ReadonlyArray<Comparison>): Group => ({
    kind,
    scenarios: some.length,
    rows: senders.map((sender) => spreadOf(sender, resultsOf(some, sender, baseline)))
  })
  const names = [...new Set(comparisons.map(({ scenario }) => kindOf(scenario.name)))]
  return [
    group("all", comparisons),
    ...names.map((name) =>
      group(
        name,
        comparisons.filter(({ scenario }) => kindOf(scenario.name) === name)
      )
    )
  ]
}

const percent = (value: number): string => fixed(1)(100 * value)

/**
 * The groups as text for a terminal: the mean regrets by kind of fault, then all figures of each group.
 *
 * @category rendering
 * @since 0.1.0
 */
export const render = (groups: ReadonlyArray<Group>): string => {
  const senders = groups[0]?.rows.map(({ sender }) => sender) ?? []
  const means = aligned([
    ["mean regret in %", "scenarios", ...senders],
    ...groups.map(({ kind, rows, scenarios }) => [kind, String(scenarios), ...rows.map(({ mean }) => percent(mean))])
  ])
  const tables = groups.map(({ kind, rows, scenarios }) => {
    const table = aligned([
      ["sender", "mean", "p50", "p90", "worst", "in", "in fault", "TTF ms", "worse than none"],
      ...rows.map(({ inFault, mean, p50, p90, sender, timeToFail, worse, worst, worstIn }) => [
        sender,
        ...[mean, p50, p90, worst].map(percent),
        worstIn,
        percent(inFault),
        fixed(0)(timeToFail),
        fixed(0)(worse)
      ])
    ])
    return `${kind}  ${scenarios} ${scenarios === 1 ? "scenario" : "scenarios"}, regret in percent\n${table}`
  })
  return [means, ...tables].join("\n\n")
}
