/**
 * A comparison as text for a terminal.
 *
 * @since 0.1.0
 */
import { type Comparison, type Row, standings } from "./Lab.ts"
import type { Metrics } from "./Metrics.ts"
import * as Oracle from "./Oracle.ts"
import { span } from "./Scenario.ts"
import * as Series from "./Series.ts"

/**
 * A figure in a table.
 *
 * @category models
 * @since 0.1.0
 */
export interface Column {
  readonly title: string
  readonly of: keyof Metrics
  /** What it says, in a sentence. */
  readonly meaning: string
  readonly show: (value: number) => string
  /** Does it show where the median lies? */
  readonly interval?: boolean
  /** And the worst seed? */
  readonly worst?: boolean
}

/**
 * A figure as text, with so many digits: `-` when it makes no sense, `never` when it did not come about.
 *
 * @category rendering
 * @since 0.1.0
 */
export const fixed =
  (digits: number) =>
  (value: number): string =>
    Number.isNaN(value)
      ? "-"
      : value === Infinity
        ? "never"
        : (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits)

const percent = (value: number): string => (Number.isFinite(value) ? `${fixed(1)(100 * value)}%` : fixed(0)(value))

/**
 * The columns of a table, in their order.
 *
 * @category rendering
 * @since 0.1.0
 */
export const columns: ReadonlyArray<Column> = [
  {
    title: "G",
    of: "goodput",
    show: fixed(3),
    interval: true,
    meaning:
      "calls answered in time, as a share of those offered, while something is wrong; [95 % interval of the median]"
  },
  { title: "A", of: "amplification", show: fixed(2), meaning: "attempts per call, while something is wrong" },
  {
    title: "peak",
    of: "peak",
    show: fixed(2),
    meaning: "the most attempts per call in any second, until the end of the run"
  },
  { title: "leak", of: "leak", show: fixed(3), meaning: "attempts per call while nothing can be reached" },
  {
    title: "TTD ms",
    of: "detection",
    show: fixed(0),
    meaning: "milliseconds from the fault until attempts are below 5 % of the calls"
  },
  {
    title: "TTR s",
    of: "recovery",
    show: fixed(0),
    meaning: "seconds from the end of the fault until goodput is healthy for 3 seconds"
  },
  {
    title: "lost s",
    of: "lost",
    show: fixed(1),
    meaning: "seconds' worth of calls lost after the fault, until the end of the run"
  },
  { title: "FR", of: "falseRejects", show: percent, meaning: "calls refused that the dependency would have served" },
  {
    title: "p99 ms",
    of: "p99",
    show: fixed(0),
    meaning:
      "99 % of the calls answered in time took less, from when they were meant to begin, while something is wrong"
  },
  { title: "p99.9", of: "p999", show: fixed(0), meaning: "the same for 99.9 %" },
  { title: "W", of: "waste", show: percent, meaning: "the share of the workers' time that nobody waited for" },
  {
    title: "regret",
    of: "regret",
    show: percent,
    interval: true,
    worst: true,
    meaning: "how much less than the oracle, from the fault to the end of the run; [95 % interval], worst seed"
  }
]

/**
 * What the columns mean, in a line each.
 *
 * @category rendering
 * @since 0.1.0
 */
export const legend = columns.map(({ meaning, title }) => `${title.padEnd(8)}${meaning}`).join("\n")

/**
 * One figure of one sender, as text. The interval and the worst seed are there where they say more than the median.
 *
 * @category rendering
 * @since 0.1.0
 */
export const cell = (
  { interval, of, show, worst }: Column,
  { summary }: Row
): { readonly median: string; readonly interval?: string; readonly worst?: string } => {
  const figure = summary[of]
  const [low, high] = [show(figure.low), show(figure.high)]
  return {
    median: show(figure.median),
    ...(interval === true && low !== high ? { interval: `[${low} ${high}]` } : {}),
    ...(worst === true && low !== high ? { worst: show(figure.worst) } : {})
  }
}

/**
 * What stands in the oracle's row: it has few figures.
 *
 * @category rendering
 * @since 0.1.0
 */
export const perfect = ({ of, show }: Column, oracle: number): string =>
  of === "goodput" ? show(oracle) : of === "regret" ? show(0) : ""

/** Rows of cells in columns, the first of which is text. */
const aligned = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}

/**
 * A row per sender, the oracle's first. Each figure is the median over the seeds.
 *
 * @category rendering
 * @since 0.1.0
 */
export const render = ({ oracle, rows, scenario }: Comparison): string => {
  const seeds = rows[0]?.runs.length ?? 0
  const head = ["sender", ...columns.map(({ title }) => title)]
  const best = ["oracle", ...columns.map((column) => perfect(column, oracle))]
  const body = rows.map((row) => [
    row.sender,
    ...columns.map((column) => {
      const { interval, median, worst } = cell(column, row)
      return [median, interval, worst].filter((part) => part !== undefined).join(" ")
    })
  ])
  const title = `${scenario.name}  ${scenario.title}  (${seeds} ${seeds === 1 ? "seed" : "seeds"})`
  return [title, aligned([head, best, ...body])].join("\n")
}

/**
 * The regret of every sender in every scenario, and its mean: a row per sender, in percent.
 *
 * **Details** All comparisons must have the same senders.
 *
 * @category rendering
 * @since 0.1.0
 */
export const renderRegret = (comparisons: ReadonlyArray<Comparison>): string => {
  const names = comparisons.map(({ scenario }) => scenario.name)
  const show = (value: number): string => fixed(1)(100 * value)
  const body = standings(comparisons).map(({ mean, regrets, sender }) => [sender, show(mean), ...regrets.map(show)])
  return ["regret in percent", aligned([["sender", "mean", ...names], ...body])].join("\n")
}

/**
 * Goodput over time, a row per sender, the oracle's first: a character per step, which is a second unless the run is
 * long, and a line above the time that is measured as the fault. Empty when the series were not kept.
 *
 * @category rendering
 * @since 0.1.0
 */
export const renderSeries = ({ rows, scenario }: Comparison): string => {
  const oracle = Oracle.of(scenario)
  const { clear, from } = span(scenario)
  const retained = rows.find(({ series }) => series !== undefined)?.series
  if (retained === undefined) return ""
  const { goodput, step } = retained
  const width = Math.max("goodput".length, ...rows.map(({ sender }) => sender.length)) + 2
  const ruler = goodput.map((_, at) => ((at + 1) * step > from && at * step < clear ? "─" : " ")).join("")
  const best = goodput.map((_, at) => oracle.at((at + 0.5) * step))
  return [
    `${"goodput".padEnd(width)}${ruler}`,
    `${"oracle".padEnd(width)}${Series.spark(best)}`,
    ...rows.map(({ sender, series }) => `${sender.padEnd(width)}${Series.spark(series?.goodput ?? [])}`)
  ]
    .map((line) => line.trimEnd())
    .join("\n")
}
