/** Tables and bars for a terminal. */
import type { Verdict } from "../bars.ts"
import { type Result, type Row, type Table, unitOf } from "../model.ts"
import { figure, groupsOf, spreadShare, timesOurs, whole } from "./figures.ts"

const columns = (rows: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => {
  const widths = rows.reduce<ReadonlyArray<number>>(
    (known, row) => row.map((cell, at) => Math.max(known[at] ?? 0, cell.length)),
    []
  )
  return rows.map((row) =>
    row
      .map((cell, at) =>
        at === 0 || at === row.length - 1 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0)
      )
      .join("  ")
      .trimEnd()
  )
}

const cells = (row: Row, rows: ReadonlyArray<Row>): ReadonlyArray<string> => [
  `  ${row.name}`,
  whole(row.value.median),
  spreadShare(row),
  row.overhead === undefined ? "" : whole(row.overhead.median),
  timesOurs(row, rows),
  row.what
]

export const tableText = (table: Table, { kind, rows }: Result): string => {
  const lines = columns([
    ["  ", unitOf(kind), "", kind === "heap" ? "" : "overhead", "of ours", ""],
    ...rows.map((row) => cells(row, rows))
  ])
  const groups = groupsOf(rows)
  const blocks = groups.map((group) => {
    const own = lines.slice(1).filter((_, at) => rows[at]?.group === group)
    return groups.length === 1 ? own.join("\n") : ` ${group}\n${own.join("\n")}`
  })
  return [`\n${table.title} (${table.name})`, lines[0], ...blocks].join("\n")
}

export const barsText = (verdicts: ReadonlyArray<Verdict>): string =>
  [
    "\nBars",
    ...columns([
      ["  measure", "process", "measured", "95 %", "bar", "aim", ""],
      ...verdicts.map(({ bar, figure: measured, high, layout, limit, low, met }) => [
        `  ${bar.measure}${bar.against === "" ? "" : `, against ${bar.against}`}`,
        layout,
        measured === undefined ? "-" : figure(measured, bar.unit),
        measured === undefined || low === high ? "" : `${figure(low, bar.unit)} to ${figure(high, bar.unit)}`,
        `≤ ${figure(limit, bar.unit)}`,
        bar.aim === undefined ? "" : `≤ ${figure(bar.aim, bar.unit)}`,
        met
      ])
    ])
  ].join("\n")
