/**
 * A comparison as text for a terminal.
 *
 * @since 0.1.0
 */
import type { Comparison } from "./Lab.ts"
import type { Metrics } from "./Metrics.ts"

interface Column {
  readonly title: string
  readonly of: keyof Metrics
  readonly show: (value: number) => string
}

const fixed =
  (digits: number) =>
  (value: number): string =>
    Number.isNaN(value)
      ? "-"
      : value === Infinity
        ? "never"
        : (Math.abs(value) < 0.5 * 10 ** -digits ? 0 : value).toFixed(digits)

const percent = (value: number): string => (Number.isFinite(value) ? `${fixed(1)(100 * value)}%` : fixed(0)(value))

const columns: ReadonlyArray<Column> = [
  { title: "G", of: "goodput", show: fixed(3) },
  { title: "A", of: "amplification", show: fixed(2) },
  { title: "peak", of: "peak", show: fixed(2) },
  { title: "leak", of: "leak", show: fixed(3) },
  { title: "TTD ms", of: "detection", show: fixed(0) },
  { title: "TTR s", of: "recovery", show: fixed(0) },
  { title: "lost s", of: "lost", show: fixed(1) },
  { title: "FR", of: "falseRejects", show: percent },
  { title: "p99 ms", of: "p99", show: fixed(0) },
  { title: "p99.9", of: "p999", show: fixed(0) },
  { title: "W", of: "waste", show: percent },
  { title: "regret", of: "regret", show: percent }
]

/** Columns that show where the median lies beside it. */
const withInterval: ReadonlySet<keyof Metrics> = new Set(["goodput", "regret"])

/** And the worst seed. */
const withWorst: ReadonlySet<keyof Metrics> = new Set(["regret"])

/**
 * What the columns mean, in a line each.
 *
 * @category rendering
 * @since 0.1.0
 */
export const legend = `G       calls answered in time, as a share of those offered, while something is wrong; [95 % interval of the median]
A       attempts per call, while something is wrong; peak: the most in any second, until the end of the run
leak    attempts per call while nothing can be reached; TTD: ms until they are below 5 %
TTR     seconds from the end of the fault until goodput is healthy for 3 s; lost: seconds' worth of calls lost until the end
FR      calls refused that the dependency would have served
p99     ms of calls answered in time, from when they were meant to begin, while something is wrong
W       the share of the workers' time that nobody waited for
regret  less than the oracle, from the fault to the end of the run; [95 % interval], worst seed`

/**
 * A row per sender, the oracle's first. Each figure is the median over the seeds.
 *
 * @category rendering
 * @since 0.1.0
 */
export const render = ({ oracle, rows, scenario }: Comparison): string => {
  const seeds = rows[0]?.runs.length ?? 0
  const several = seeds > 1
  const head = ["sender", ...columns.map(({ title }) => title)]
  const perfect = [
    "oracle",
    ...columns.map(({ of }) => (of === "goodput" ? fixed(3)(oracle) : of === "regret" ? "0.0%" : ""))
  ]
  const body = rows.map(({ sender, summary }) => [
    sender,
    ...columns.map(({ of, show }) => {
      const { high, low, median, worst } = summary[of]
      const isWide = show(low) !== show(high)
      const interval = several && withInterval.has(of) && isWide ? ` [${show(low)} ${show(high)}]` : ""
      const last = several && withWorst.has(of) && isWide ? ` ${show(worst)}` : ""
      return `${show(median)}${interval}${last}`
    })
  ])
  const all = [head, perfect, ...body]
  const widths = head.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)))
  const line = (row: ReadonlyArray<string>): string =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join("  ")
      .trimEnd()
  const title = `${scenario.name}  ${scenario.title}  (${seeds} ${several ? "seeds" : "seed"})`
  return [title, ...all.map(line)].join("\n")
}
