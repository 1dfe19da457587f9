/** What the quick set said when it was last accepted, and whether it says anything worse now. */
import { Lab, Metrics, Sender } from "@effect-resilience/lab"
import { plain, revive } from "../../../lab/src/cli/json.ts"

/** The senders whose figures are accepted, by name. */
export const senders: ReadonlyArray<string> = [...Lab.senders, Sender.adaptive].map(({ name }) => name)

/** The median, and where it lies. */
type Kept = readonly [median: number, low: number, high: number]

export type Golden = Readonly<Record<string, Readonly<Record<string, Readonly<Record<keyof Metrics.Metrics, Kept>>>>>>

/** A golden as it was written. */
export const read = (text: string): Golden => JSON.parse(text, revive) as Golden // by `write`

/** A line per sender: what has changed is seen in review. */
export const write = (golden: Golden): string => {
  const lines = Object.entries(golden).map(([scenario, rows]) => {
    const senders = Object.entries(rows).map(
      ([sender, figures]) => `    "${sender}": ${JSON.stringify(figures, plain)}`
    )
    return `  "${scenario}": {\n${senders.join(",\n")}\n  }`
  })
  return `{\n${lines.join(",\n")}\n}\n`
}

const keep = (value: number): number => Number(value.toPrecision(6))

export const goldenOf = (comparisons: ReadonlyArray<Lab.Comparison>): Golden =>
  Object.fromEntries(
    comparisons.map(({ rows, scenario }) => [
      scenario.name,
      Object.fromEntries(
        rows.map(({ sender, summary }) => {
          const figures = Metrics.names.map((name) => {
            const { high, low, median } = summary[name]
            return [name, [keep(median), keep(low), keep(high)]]
          })
          return [sender, Object.fromEntries(figures)]
        })
      )
    ])
  )

/**
 * The scenarios in which a run has a figure that was never accepted, to the digit. The runs have seeds of the accepted ones, which
 * are two, so that the figures of both are the bounds of the interval.
 */
export const changedIn = (golden: Golden, comparisons: ReadonlyArray<Lab.Comparison>): ReadonlyArray<string> =>
  comparisons
    .filter(({ rows, scenario }) =>
      rows.some(({ runs, sender }) => {
        const accepted = golden[scenario.name]?.[sender]
        return runs.some(({ metrics }) =>
          Metrics.names.some((name) => {
            const figure = keep(metrics[name])
            const [, low, high] = accepted?.[name] ?? [0, Number.NaN, Number.NaN]
            if (accepted === undefined) return true
            // A figure that makes no sense in one run was left out: where the bounds differ, both runs had one.
            return Number.isNaN(figure) ? !Object.is(low, high) : figure !== low && figure !== high
          })
        )
      })
    )
    .map(({ scenario }) => scenario.name)

/** Differences that nobody would see: of a figure whose seeds all agree, or that is near nothing. */
const grains: Readonly<Record<keyof Metrics.Metrics, number>> = {
  goodput: 0.002,
  amplification: 0.02,
  peak: 0.05,
  leak: 0.005,
  detection: 100,
  recovery: 1,
  lost: 0.1,
  falseRejects: 0.002,
  p99: 5,
  p999: 20,
  waste: 0.005,
  regret: 0.002,
  faultRegret: 0.005,
  shortfall: 0.002,
  timeToFail: 20,
  degraded: 0.002,
  unended: 0
}

/** How much worse than the accepted median a figure may be: its interval, or 2 %, or its grain. */
const allowance = (name: keyof Metrics.Metrics, median: number, low: number, high: number): number =>
  // Between two that never came about there is no interval.
  Math.max(high === low ? 0 : high - low, Math.abs(median * 0.02), grains[name])

/** A line for each figure that is worse than what was accepted, and for each that was never accepted. */
export const worseThan = (golden: Golden, comparisons: ReadonlyArray<Lab.Comparison>): ReadonlyArray<string> =>
  comparisons.flatMap(({ rows, scenario }) =>
    rows.flatMap(({ sender, summary }) => {
      const accepted = golden[scenario.name]?.[sender]
      if (accepted === undefined) return [`${scenario.name}, ${sender}: nothing was ever accepted`]
      return Metrics.names.flatMap((name) => {
        const [median, low, high] = accepted[name]
        const now = summary[name].median
        // A figure that makes no sense in a scenario says nothing; one that has come to make sense is not worse for it.
        if (Number.isNaN(median) || now === median) return []
        const lost = name === "goodput" ? median - now : now - median
        return lost <= allowance(name, median, low, high)
          ? []
          : [`${scenario.name}, ${sender}: ${name} was ${plain(name, keep(median))} and is ${plain(name, keep(now))}`]
      })
    })
  )
