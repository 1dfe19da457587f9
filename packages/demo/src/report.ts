/** Figures as text: the live lines and the table. */
import type { Figures, Measured, Now, Recovery } from "./measure.ts"
import type { Paint } from "./paint.ts"
import type { View } from "./screen.ts"
import type { Script } from "./script.ts"
import { type ClientName, clients, deadline, tooLate } from "./settings.ts"
import { duration, list, percent, times, widest, wrap } from "./text.ts"
import { distrust, verdict } from "./verdict.ts"

const recovered = (recovery: Recovery | undefined): string =>
  recovery === undefined ? "" : `${recovery.bound ? "> " : ""}${(recovery.after / 1000).toFixed(2)} s`

export type Column<Row> = readonly [title: string, width: number, cell: (row: Row) => string]

/** The first two columns to the left, figures to the right. */
export const line = (cells: ReadonlyArray<string>, widths: ReadonlyArray<number>): string =>
  cells
    .map((cell, index) => (index < 2 ? cell.padEnd(widths[index] ?? 0) : cell.padStart(widths[index] ?? 0)))
    .join("  ")
    .trimEnd()

interface Row {
  readonly phase: string
  readonly client: ClientName
  readonly figures: Figures
}

const columns: ReadonlyArray<Column<Row>> = [
  ["phase", 13, (row) => row.phase],
  ["client", 8, (row) => row.client],
  ["goodput", 8, (row) => percent(row.figures.goodput)],
  ["lost", 5, (row) => String(row.figures.lost)],
  ["p99", 7, (row) => duration(row.figures.p99)],
  ["sent", 5, (row) => times(row.figures.sent)],
  ["received", 8, (row) => times(row.figures.received)],
  ["recovered", 9, (row) => recovered(row.figures.recovery)]
]

const widths = columns.map(([, width]) => width)

/** What the columns mean. */
const legend: ReadonlyArray<string> = [
  `goodput    share of calls answered within ${duration(deadline)} of the moment they were due; lost: the others`,
  "p99        time to an answer, late ones included, from the moment the call was due",
  "sent       requests that left the client, for each call; counted in the phase in which they were sent, so retries of earlier calls count too",
  "received   those that reached the upstream",
  "recovered  time after the fault until at least 90 % of calls were answered, and stayed so; in all: the sum"
]

/** The table, what its columns mean, and what it says. */
export const table = (
  script: Script,
  measured: Record<ClientName, Measured>,
  paint: Paint,
  width: number = widest
): string => {
  const section = (phase: string, of: (measured: Measured) => Figures | undefined): ReadonlyArray<string> =>
    clients.flatMap((client, index) => {
      const figures = of(measured[client])
      if (figures === undefined) return []
      const row = { phase: index === 0 ? phase : "", client, figures }
      const text = line(
        columns.map(([, , cell]) => cell(row)),
        widths
      )
      return client === "policy" ? paint.strong(text) : text
    })
  return [
    line(
      columns.map(([title]) => title),
      widths
    ),
    ...script.flatMap((phase, index) => ["", ...section(phase.name, (client) => client.phases[index])]),
    "",
    ...section("in all", (client) => client.all),
    "",
    paint.faint(legend.map((text) => wrap(text, width, 11)).join("\n")),
    "",
    ...warnings(script, measured, width),
    ...verdict(script, measured, width)
  ].join("\n")
}

/** Says so when the machine was too busy for fair figures, but not so busy that there is no verdict. */
const warnings = (script: Script, measured: Record<ClientName, Measured>, width: number): ReadonlyArray<string> => {
  const late = clients.filter((client) => (measured[client].late ?? 0) > 0.01)
  if (late.length === 0 || distrust(script, measured).length > 0) return []
  const shares = late.map((client) => `${percent(measured[client].late)} of the calls of ${client}`)
  const note = `Note: ${list(shares)} began more than ${tooLate} ms late: the machine was busy. Try a lower --rate.`
  return [wrap(note, width), ""]
}

/** What the live view shows. */
export interface Moment {
  readonly script: Script
  /** The phase that the figures are about: those of the second before. */
  readonly phase: number
  /** Milliseconds since the script began. */
  readonly at: number
  readonly length: number
  readonly clients: Record<ClientName, Now>
}

const phaseName = ({ phase, script }: Moment): string =>
  phase < 0 ? "warming up" : (script[phase]?.name ?? "last answers")

const heading = (moment: Moment): string =>
  `${Math.floor(clamp(moment.at, moment.length) / 1000)} s of ${moment.length / 1000} s: ${phaseName(moment)}`

export const clamp = (at: number, length: number): number => Math.min(length, Math.max(0, at))

const liveColumns: ReadonlyArray<Column<readonly [ClientName, Now]>> = [
  ["client", 8, ([client]) => client],
  ["circuit", 9, ([, now]) => now.circuit ?? "-"],
  ["success", 8, ([, now]) => percent(now.success)],
  ["p99", 7, ([, now]) => duration(now.p99)],
  ["requests/call", 13, ([, now]) => times(now.sent)],
  ["in flight", 9, ([, now]) => String(now.inFlight)]
]

const liveWidths = liveColumns.map(([, width]) => width)

const blockWidth = liveWidths.reduce((width, column) => width + column + 2, 0)

/** A block to be drawn over the one before. */
const block = (moment: Moment, paint: Paint): ReadonlyArray<string> => [
  bar(moment) + heading(moment),
  paint.faint(
    line(
      liveColumns.map(([title]) => title),
      liveWidths
    )
  ),
  ...clients.map((client) => {
    const text = line(
      liveColumns.map(([, , cell]) => cell([client, moment.clients[client]])),
      liveWidths
    )
    return client === "policy" ? paint.strong(text) : text
  })
]

export const bar = ({ at, length }: Pick<Moment, "at" | "length">): string => {
  const full = Math.round((20 * clamp(at, length)) / length)
  return `[${"#".repeat(full)}${".".repeat(20 - full)}] `
}

/** For a pipe: what the columns of {@link log} are; the circuit is that of `policy`. */
const logTitles = (): string =>
  [
    `time ${"phase".padEnd(13)}`,
    ...clients.map((client) => ` ${client.padStart(8)} ${"p99".padStart(7)}`),
    " circuit"
  ].join("")

/** One line, for a pipe: the second before. */
const log = (moment: Moment): string => {
  const figures = clients.map((client) => {
    const now = moment.clients[client]
    return ` ${percent(now.success).padStart(8)} ${duration(now.p99).padStart(7)}`
  })
  const second = moment.phase < 0 ? "" : `${Math.floor(clamp(moment.at, moment.length) / 1000)} s`
  return `${second.padStart(4)} ${phaseName(moment).padEnd(13)}${figures.join("")} ${moment.clients.policy.circuit ?? ""}`.trimEnd()
}

/** The four clients, live. */
export const clientsView: View<Moment> = { width: blockWidth, block, logTitles, log }
