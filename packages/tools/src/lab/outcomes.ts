/** Where everybody stands, as Markdown: what `npx tool outcomes` writes into docs/outcomes.md. */
import { Lab, type Metrics, Table } from "@effect-resilience/lab"
import { revive } from "../../../lab/src/cli/json.ts"
import { isOurs, standingOf } from "../../../lab/src/report/standing.ts"

export const read = (text: string): ReadonlyArray<Lab.Comparison> =>
  // Written by `npm run lab`; a frontier is no comparison.
  (JSON.parse(text, revive) as ReadonlyArray<Lab.Comparison>).filter((one) => "rows" in one)

/** The same scenarios with the senders of all of them. */
export const join = (files: ReadonlyArray<ReadonlyArray<Lab.Comparison>>): ReadonlyArray<Lab.Comparison> =>
  (files[0] ?? []).map((comparison) => ({
    ...comparison,
    rows: files.flatMap((comparisons) => {
      const same = comparisons.find(({ scenario }) => scenario.name === comparison.scenario.name)
      if (same === undefined) throw new Error(`${comparison.scenario.name} is not in every file`)
      return same.rows
    })
  }))

const percent = (value: number): string => Table.fixed(1)(100 * value)

/** What `npm run lab` prints. */
export const printed = (comparisons: ReadonlyArray<Lab.Comparison>): string =>
  [...comparisons.map(Table.render), Table.renderRegret(comparisons)].map((text) => `${text}\n\n`).join("")

const tableOf = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const [head = []] = rows
  const line = (row: ReadonlyArray<string>): string => `| ${row.join(" | ")} |`
  return [line(head), line(head.map((_, column) => (column === 0 ? "---" : "---:"))), ...rows.slice(1).map(line)].join(
    "\n"
  )
}

const seedsOf = (comparisons: ReadonlyArray<Lab.Comparison>): string => {
  const counts = new Map<number, Array<string>>()
  for (const { runs, sender } of comparisons[0]?.rows ?? []) {
    counts.set(runs.length, [...(counts.get(runs.length) ?? []), sender])
  }
  const [most = [0, []], ...others] = [...counts].sort(([a], [b]) => b - a)
  return [`${most[0]} seeds`, ...others.map(([count, senders]) => `${count} of ${senders.join(", ")}`)].join("; ")
}

/** Scenarios down, senders across: the best mean first. */
const matrix = (comparisons: ReadonlyArray<Lab.Comparison>, filter: (sender: string) => boolean): string => {
  const standings = Lab.standings(comparisons)
    .filter(({ sender }) => filter(sender))
    .sort((a, b) => a.mean - b.mean)
  return tableOf([
    ["regret in %", ...standings.map(({ sender }) => `\`${sender}\``)],
    ...comparisons.map(({ scenario }, at) => [
      scenario.name,
      ...standings.map(({ regrets }) => percent(regrets[at] ?? NaN))
    ]),
    ["**mean**", ...standings.map(({ mean }) => `**${percent(mean)}**`)]
  ])
}

/** What our defaults do in each scenario, in more than one figure. */
const figures = (comparisons: ReadonlyArray<Lab.Comparison>): string => {
  const columns: ReadonlyArray<readonly [string, keyof Metrics.Metrics, number]> = [
    ["A", "amplification", 2],
    ["leak", "leak", 3],
    ["TTD ms", "detection", 0],
    ["TTR s", "recovery", 0],
    ["lost s", "lost", 1],
    ["FR %", "falseRejects", 1],
    ["p99 ms", "p99", 0],
    ["W %", "waste", 1]
  ]
  return tableOf([
    ["`ours`", "oracle G", "G", "interval", "regret %", "worst seed", ...columns.map(([title]) => title)],
    ...comparisons.flatMap(({ oracle, rows, scenario }) => {
      const ours = rows.find(({ sender }) => sender === "ours")
      if (ours === undefined) return []
      const { goodput, regret } = ours.summary
      return [
        [
          scenario.name,
          Table.fixed(3)(oracle),
          Table.fixed(3)(goodput.median),
          `${Table.fixed(3)(goodput.low)} to ${Table.fixed(3)(goodput.high)}`,
          percent(regret.median),
          percent(regret.worst),
          ...columns.map(([title, name, digits]) => {
            const { median } = ours.summary[name]
            return Table.fixed(digits)(title.endsWith("%") ? 100 * median : median)
          })
        ]
      ]
    })
  ])
}

export const pageOf = (comparisons: ReadonlyArray<Lab.Comparison>): string => {
  const [first, ...others] = Lab.standings(comparisons)
    .filter(({ mean }) => !Number.isNaN(mean))
    .sort((a, b) => a.mean - b.mean)
    .map(({ mean, sender }) => `\`${sender}\` ${percent(mean)}`)
  return [
    `Medians of ${seedsOf(comparisons)}. Mean regret, best first: **${first}**, ${others.join(", ")}.`,
    "### How far from the best possible",
    comparisons
      .map((comparison) => `- **${comparison.scenario.name}**, ${comparison.scenario.title}. ${standingOf(comparison)}`)
      .join("\n"),
    "### Ours",
    matrix(comparisons, isOurs),
    figures(comparisons),
    "### The others",
    matrix(comparisons, (sender) => !isOurs(sender))
  ].join("\n\n")
}

const marks = { begin: "<!-- made by npx tool outcomes -->", end: "<!-- end of what npx tool outcomes made -->" }

/** The page with what stands between the marks made anew. */
export const replaceIn = (page: string, made: string): string => {
  const [begin, end] = [page.indexOf(marks.begin), page.indexOf(marks.end)]
  if (begin === -1 || end < begin) throw new Error(`the page has no ${marks.begin} … ${marks.end}`)
  return `${page.slice(0, begin + marks.begin.length)}\n\n${made}\n\n${page.slice(end)}`
}
