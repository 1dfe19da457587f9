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
  /** Its meaning in one sentence. */
  readonly meaning: string
  readonly show: (value: number) => string
  /** Whether it shows the confidence interval of the median. */
  readonly interval?: boolean
  /** Whether it shows the worst seed. */
  readonly worst?: boolean
  /** Whether it is left out of a table in which it is 0 for every sender. */
  readonly rare?: boolean
}

/**
 * Formats a figure with `digits` decimal digits: `-` for `NaN`, `never` for `Infinity`.
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
    meaning: "calls answered in time, as a share of those offered during the fault; [95 % interval of the median]"
  },
  { title: "A", of: "amplification", show: fixed(2), meaning: "attempts per call during the fault" },
  {
    title: "peak",
    of: "peak",
    show: fixed(2),
    meaning: "the most attempts per call in any second, until the end of the run"
  },
  { title: "leak", of: "leak", show: fixed(3), meaning: "attempts per call while no shard can be reached" },
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
  { title: "FR", of: "falseRejects", show: percent, meaning: "rejected calls that the dependency would have served" },
  {
    title: "p99 ms",
    of: "p99",
    show: fixed(0),
    meaning: "99 % of the calls answered in time during the fault took less, from their arrival"
  },
  { title: "p99.9", of: "p999", show: fixed(0), meaning: "the same for 99.9 %" },
  {
    title: "W",
    of: "waste",
    show: percent,
    meaning: "the share of the workers' time that was spent on abandoned attempts"
  },
  {
    title: "TTF ms",
    of: "timeToFail",
    show: fixed(0),
    meaning: "milliseconds that a call which failed during the fault kept its caller waiting, on average"
  },
  {
    title: "degraded",
    of: "degraded",
    show: percent,
    rare: true,
    meaning: "answered in time without a successful attempt, such as by a fallback; not good; only if there are such"
  },
  {
    title: "unended",
    of: "unended",
    show: fixed(0),
    rare: true,
    meaning: "calls of the whole run that the sender never ended; only if there are such"
  },
  {
    title: "in fault",
    of: "faultRegret",
    show: percent,
    meaning: "regret during the fault only; both are at least 0 for each seed"
  },
  {
    title: "regret",
    of: "regret",
    show: percent,
    interval: true,
    worst: true,
    meaning: "goodput missing to the oracle, from the fault to the end of the run; [95 % interval], worst seed"
  }
]

/**
 * The meanings of the columns, one line each.
 *
 * @category rendering
 * @since 0.1.0
 */
export const legend = columns.map(({ meaning, title }) => `${title.padEnd(10)}${meaning}`).join("\n")

/**
 * One figure of one sender as text. The interval and the worst seed are included if they differ from the median.
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
 * A cell in the row of the oracle, which has few figures.
 *
 * @category rendering
 * @since 0.1.0
 */
export const perfect = ({ of, show }: Column, oracle: number): string =>
  of === "goodput" ? show(oracle) : of === "regret" ? show(0) : ""

/**
 * The columns of a comparison: all but the rare ones that are 0 for every sender.
 *
 * @category rendering
 * @since 0.1.0
 */
export const columnsOf = (rows: ReadonlyArray<Row>): ReadonlyArray<Column> =>
  columns.filter(({ of, rare }) => rare !== true || rows.some(({ summary }) => summary[of].worst > 0))

/**
 * Aligns rows of cells in columns; the first column is text.
 *
 * @category rendering
 * @since 0.1.0
 */
export const aligned = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
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
 * A sentence for each sender that did not end all its calls, whose figures mean little then.
 *
 * @category rendering
 * @since 0.1.0
 */
export const warnings = (rows: ReadonlyArray<Row>): ReadonlyArray<string> =>
  rows.flatMap(({ runs, sender }) => {
    const [calls, ended] = [sum(runs.map((run) => run.calls)), sum(runs.map((run) => run.ended))]
    return ended === calls
      ? []
      : [
          `${sender} left ${calls - ended} of ${calls} calls without an end: it awaits a promise or a timer of the process, \
for which no time passes here, or an attempt without a timeout`
        ]
  })

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, number) => total + number, 0)

/**
 * A row for the oracle and for each sender. Each figure is the median over the seeds.
 *
 * @category rendering
 * @since 0.1.0
 */
export const render = ({ oracle, rows, scenario }: Comparison): string => {
  const seeds = rows[0]?.runs.length ?? 0
  const columns = columnsOf(rows)
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
  return [title, aligned([head, best, ...body]), ...warnings(rows)].join("\n")
}

/**
 * The regret of each sender in each scenario, and its mean: a row for each sender, in percent.
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
 * Goodput over time, a row for the oracle and for each sender: a character for each step, which is a second unless the
 * run is long. A line marks the time that is measured as the fault. Empty if the series were not recorded.
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
