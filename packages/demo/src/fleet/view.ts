/** The fleet as text: the live view, a line a second for a pipe, and the table of claims. */
import type { Paint } from "../paint.ts"
import { bar, type Column, clamp, line } from "../report.ts"
import type { View } from "../screen.ts"
import { phaseAt, type Script } from "../script.ts"
import { widest, wrap } from "../text.ts"
import type { Claim } from "./claims.ts"
import type { Member, Sample } from "./record.ts"

export interface Moment {
  readonly script: Script
  /** Milliseconds since the script began. */
  readonly at: number
  readonly length: number
  /** What was done to the fleet last. */
  readonly last: string
  readonly members: ReadonlyArray<Member>
}

/** Requests of the last second. */
const requests = ({ sent }: Member, at: number): number => sent.filter((one) => one > at - 1000 && one <= at).length

const callsIn = ({ samples }: Member, at: number): number => {
  const last = samples.at(-1)
  const before = samples.findLast((sample) => sample.at <= at - 1000) ?? samples[0]
  return last === undefined || before === undefined ? 0 : last.calls - before.calls
}

interface Row {
  readonly index: number
  readonly member: Member
  readonly sample: Sample | undefined
  readonly at: number
}

const isDead = ({ member }: Row): boolean => member.killedAt < Infinity

const alive = (row: Row, text: string): string => (isDead(row) ? "-" : text)

const boardOf = ({ sample }: Row): string =>
  sample === undefined ? "-" : sample.inTouch ? `${sample.members} members` : "alone"

const columns: ReadonlyArray<Column<Row>> = [
  ["process", 7, ({ index }) => String(index + 1)],
  ["circuit", 9, (row) => (isDead(row) ? "killed" : (row.sample?.state ?? "-"))],
  ["probe", 5, (row) => alive(row, row.sample?.hasLease === true ? "lease" : "")],
  ["board", 10, (row) => alive(row, boardOf(row))],
  ["calls/s", 7, (row) => alive(row, String(callsIn(row.member, row.at)))],
  ["requests/s", 10, (row) => alive(row, String(requests(row.member, row.at)))]
]

const widths = columns.map(([, width]) => width)

const actAt = (script: Script, at: number): string =>
  at < 0 || !Number.isFinite(at) ? "starting" : (script[phaseAt(script, at)]?.name ?? "last news")

const heading = ({ at, last, length, script }: Moment): string => {
  const act = actAt(script, at)
  return `${Math.floor(clamp(at, length) / 1000)} s of ${length / 1000} s: ${act}${last === "" ? "" : ` (${last})`}`
}

const rowsOf = ({ at, members }: Moment): ReadonlyArray<Row> =>
  members.map((member, index) => ({ index, member, sample: member.samples.at(-1), at }))

const block = (moment: Moment, paint: Paint): ReadonlyArray<string> => {
  const titles = line(
    columns.map(([title]) => title),
    widths
  )
  const rows = rowsOf(moment).map((row) => {
    const text = line(
      columns.map(([, , cell]) => cell(row)),
      widths
    )
    if (isDead(row)) return paint.faint(text)
    return row.sample?.hasLease === true ? paint.strong(text) : text
  })
  return [(bar(moment) + heading(moment)).slice(0, width), paint.faint(titles), ...rows]
}

/** Room for the heading as well. */
const width = Math.max(
  78,
  widths.reduce((sum, column) => sum + column + 2, 0)
)

const logTitles = (): string =>
  `${"until".padEnd(5)}  ${"part".padEnd(14)}  circuits; processes in touch with the board; requests`

const counted = (names: ReadonlyArray<string>): string => {
  const counts = new Map<string, number>()
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1)
  return Array.from(counts, ([name, count]) => `${count} ${name}`).join(", ")
}

/** One line: the second before. */
const log = (moment: Moment): string => {
  const { at, length, members, script } = moment
  const rows = rowsOf(moment)
  const living = rows.filter((row) => !isDead(row))
  const circuits = counted(rows.map((row) => (isDead(row) ? "killed" : (row.sample?.state ?? "starting"))))
  const touch = living.filter(({ sample }) => sample?.inTouch === true).length
  const sent = members.reduce((sum, member) => sum + requests(member, at), 0)
  const second = at < 0 || !Number.isFinite(at) ? "" : `${Math.floor(clamp(at, length) / 1000)} s`
  // The second that is over is the one the line is about.
  const act = actAt(script, at - 500)
  return `${second.padStart(5)}  ${act.padEnd(14)}  ${circuits}; ${touch} in touch; ${sent} sent`
}

export const fleetView: View<Moment> = { width, block, logTitles, log }

/** The claims, each with what was measured. */
export const table = (claims: ReadonlyArray<Claim>, paint: Paint, width: number = widest): string =>
  claims
    .flatMap(({ bound, claim, holds, measured }) => [
      wrap(`${holds ? paint.strong("✓") : "✗"} ${claim}`, width, 2),
      paint.faint(`    ${wrap(`${measured}  (allowed: ${bound})`, width - 4, 4)}`)
    ])
    .join("\n")
