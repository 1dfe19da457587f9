/** The page docs/benchmarks.md. */
import type { Verdict } from "../bars.ts"
import { type Result, type Table, unitOf } from "../model.ts"
import { figure, groupsOf, spreadShare, timesOurs, whole } from "./figures.ts"

export interface Circumstances {
  readonly mode: "quick" | "thorough"
  readonly runs: number
  readonly machine: string
  readonly versions: Readonly<Record<string, string>>
  /** Set by the one who runs it. */
  readonly date: string | undefined
  /** Runnable processes per core when it began. */
  readonly load: number
}

const cell = (text: string): string => text.replaceAll("|", "\\|")

const line = (cells: ReadonlyArray<string>): string => `| ${cells.map(cell).join(" | ")} |`

const grid = (
  head: ReadonlyArray<string>,
  right: ReadonlyArray<number>,
  rows: ReadonlyArray<ReadonlyArray<string>>
): string =>
  [line(head), `|${head.map((_, at) => (right.includes(at) ? "--:" : "---")).join("|")}|`, ...rows.map(line)].join("\n")

const tableOf = ({ kind, rows }: Result, group: string): string =>
  grid(
    ["subject", unitOf(kind), "spread", ...(kind === "heap" ? [] : ["overhead"]), "of ours", "what it is"],
    kind === "heap" ? [1, 2, 3] : [1, 2, 3, 4],
    rows
      .filter((row) => row.group === group)
      .map((row) => [
        row.family === "ours" ? `**${row.name}**` : row.name,
        whole(row.value.median),
        spreadShare(row),
        ...(kind === "heap" ? [] : [row.overhead === undefined ? "" : whole(row.overhead.median)]),
        timesOurs(row, rows),
        row.what
      ])
  )

const sectionOf = (table: Table, result: Result): string => {
  const groups = groupsOf(result.rows)
  const parts = groups.map((group) =>
    groups.length === 1 ? tableOf(result, group) : `**${group}**\n\n${tableOf(result, group)}`
  )
  return `### ${table.title}\n\n${table.about}\n\n![${table.title}](benchmarks/${table.name}.svg)\n\n${parts.join("\n\n")}`
}

const barsOf = (verdicts: ReadonlyArray<Verdict>): string =>
  grid(
    ["measure", "against", "process", "measured", "95 %", "bar", "aim", ""],
    [3, 4, 5, 6],
    verdicts.map(({ bar, figure: measured, high, layout, limit, low, met }) => [
      bar.measure,
      bar.against,
      layout,
      measured === undefined ? "" : figure(measured, bar.unit),
      measured === undefined || low === high ? "" : `${figure(low, bar.unit)} to ${figure(high, bar.unit)}`,
      `≤ ${figure(limit, bar.unit)}`,
      bar.aim === undefined ? "" : `≤ ${figure(bar.aim, bar.unit)}`,
      met === "beyond" ? "**met**, beyond the aim" : met === "met" ? "**met**" : met
    ])
  )

const busy = 0.25

export const page = (
  tables: ReadonlyArray<Table>,
  results: ReadonlyArray<Result>,
  verdicts: ReadonlyArray<Verdict>,
  { date, load, machine, mode, runs, versions }: Circumstances
): string => {
  const sections = tables.flatMap((table) => {
    const result = results.find((one) => one.table === table.name)
    return result === undefined ? [] : [sectionOf(table, result)]
  })
  const measured = mode === "quick" ? "a quick run, whose figures are rough" : "a thorough run"
  return `<!-- Made by \`npm run bench\`: change packages/bench, not this page. -->

# Benchmarks

After this page you can compare what a call costs through this library, through hand-written baselines, through Effect's own
policies, and through cockatiel, opossum, p-retry and bottleneck, where they do the same job.

## How to read this

- *Overhead* is the time of a protected call minus that of the bare work in the same loop; *of ours* is a subject's
  overhead in multiples of that of the first line of ours.
- Read the ratios. Absolute figures are of one machine at one time.
- Subjects of a table run interleaved in one process: every round runs each of them once, in a shuffled order, after a
  forced garbage collection. A sample is the 10th percentile of slices of about a millisecond. A loop of integer arithmetic runs
  between the slices; those beside which it took a quarter longer than usual fell into a slow phase of the machine and are
  dropped. Figures are medians over the rounds; *spread* is the median absolute deviation.
- A bar has two lines where it is a ratio of times: with all subjects in one *shared* process, as in a gateway that calls many
  policies, and with each subject in a *fresh* process of its own. It is met if the upper end of the 95 % confidence interval
  is.
- Policies for effects run inside one fiber, those for promises in an async function with \`await\`: each minus the
  bare work of its own kind. No table includes \`Effect.runPromise\`, which connects the two.
- The baselines are hand-written for one purpose and leave out most of what a library must do. They show what is possible.

## How to run it again

\`\`\`sh
npm ci
npm run bench -- --runs 5          # thorough, on a machine that does nothing else: about an hour
npm run bench -- --quick           # about a minute
npm run bench -- --table breaker-sync
npm run bench -- --help
\`\`\`

## Circumstances

This page shows ${measured}${runs === 1 ? "" : `: tables with bars are medians of ${runs} runs, the others of one`}.

| | |
|---|---|
${date === undefined ? "" : `| date | ${date} |\n`}| machine | ${machine} |
${load > busy ? `| load | ${load.toFixed(2)} runnable processes per core at the start: the machine was busy, and figures are too high |\n` : ""}${Object.entries(
  versions
)
  .map(([name, version]) => `| ${name} | ${version} |`)
  .join("\n")}

## Bars

The targets of this library, as ratios of overheads in one run${runs === 1 ? "" : ` (median of ${runs} runs)`}.

${barsOf(verdicts)}

## Tables

${sections.join("\n\n")}
`
}
