/** The state of the jobs for people, as tables, and for programs, as JSON. */
import * as Duration from "effect/Duration"
import { orphanOf } from "../run/lock.ts"
import { momentText, spanText } from "../text.ts"
import * as Jobs from "./jobs.ts"
import { budgetCapacity } from "./policies.ts"

const iso = (moment: number | undefined): string | null =>
  moment === undefined ? null : new Date(moment).toISOString()

/** A job that goes on after its wrapper was killed runs too. */
const runningOf = (stateDir: string, { name, running }: Jobs.Status): ReadonlyArray<RunningNow> => {
  const found = running.map(({ pid, run, started }) => ({ run, pid, since: started, isOrphan: false }))
  const orphan = found.length === 0 ? orphanOf(stateDir, name) : undefined
  return orphan === undefined
    ? found
    : [{ run: null, pid: orphan.job, since: Date.parse(orphan.since), isOrphan: true }]
}

interface RunningNow {
  readonly run: string | null
  readonly pid: number
  readonly since: number
  readonly isOrphan: boolean
}

/** Moments are those of the wall clock; circuits count from now. */
const circuitOf = ({ circuit, job, overrides }: Jobs.Status, now: number) => {
  if (circuit === undefined) return null
  const opened = overrides.find(({ command }) => command === "open")
  const { openings } = circuit
  const after = job.circuitSettings?.after ?? 0
  const isOpen = opened !== undefined || circuit._tag === "open"
  const until = circuit._tag === "open" ? now + Math.ceil(Duration.toMillis(circuit.retryAfter)) : undefined
  return {
    state: isOpen ? ("open" as const) : circuit._tag,
    openings,
    failures: circuit._tag === "closed" ? (circuit.figures?.["failures"] ?? 0) : null,
    after,
    until: iso(opened?.until ?? until)
  }
}

const lastOf = ({ job }: Jobs.Status, lost: Jobs.Ended | undefined): Jobs.Ended | undefined => lost ?? job.last

const runJson = ({ started, ...ended }: Jobs.Ended) => ({ ...ended, started: iso(started) })

const viewOf = (stateDir: string, status: Jobs.Status, now: number) => {
  const running = runningOf(stateDir, status)
  const { balance, job, lost, name, overrides } = status
  return {
    name,
    last: lastOf(status, running.length === 0 ? lost : undefined),
    failures: job.failures,
    skipped: job.skipped,
    lastSuccess: job.lastSuccess,
    circuit: circuitOf(status, now),
    balance,
    running,
    overrides,
    totals: job.totals
  }
}

type View = ReturnType<typeof viewOf>

const toJson = ({ balance, last, lastSuccess, overrides, running, ...view }: View) => ({
  ...view,
  last: last === undefined ? null : runJson(last),
  lastSuccess: iso(lastSuccess),
  budget: balance === undefined ? null : { balance, capacity: budgetCapacity },
  running: running.map(({ isOrphan, pid, run, since }) => ({ run, pid, since: iso(since), orphan: isOrphan })),
  overrides: overrides.map(({ at, until, ...override }) => ({ ...override, at: iso(at), until: iso(until) }))
})

const none = "-"

const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string => {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd()
    )
    .map((line) => `${line}\n`)
    .join("")
}

const circuitText = ({ circuit }: View, now: number): string => {
  if (circuit === null) return none
  if (circuit.until !== null) {
    const until = Date.parse(circuit.until)
    return `open until ${momentText(until)} (in ${spanText(until - now)})`
  }
  if (circuit.state === "half-open") return "half-open: the next run is the probe"
  return circuit.failures ? `closed (${circuit.failures} of ${circuit.after})` : "closed"
}

const overrideText = ({ overrides }: View, now: number): string =>
  overrides.length === 0
    ? none
    : overrides
        .map(({ by, command, id, reason, until }) => {
          const end = until === undefined ? "" : ` for ${spanText(until - now)}`
          return `#${id} ${command}${end} by ${by}${reason === "" ? "" : `: ${reason}`}`
        })
        .join("; ")

const runningText = ({ running }: View, now: number): string =>
  running.length === 0
    ? none
    : running
        .map(
          ({ isOrphan, pid, since }) =>
            `${pid} for ${spanText(now - since)}${isOrphan ? " (its resilience was killed)" : ""}`
        )
        .join(", ")

const row = (view: View, now: number): ReadonlyArray<string> => {
  const { failures, last, name, skipped } = view
  return [
    name,
    last?.outcome ?? none,
    last === undefined ? none : `${spanText(now - last.started - last.millis)} ago`,
    last === undefined ? none : String(last.exit),
    last === undefined ? none : spanText(last.millis),
    String(failures),
    String(skipped),
    circuitText(view, now),
    runningText(view, now),
    overrideText(view, now)
  ]
}

const header = ["NAME", "LAST", "WHEN", "EXIT", "TOOK", "FAILURES", "SKIPPED", "CIRCUIT", "RUNNING", "OVERRIDES"]

export const status = (stateDir: string, name: string | undefined, json: boolean, now: number): string => {
  const views = Jobs.statuses(stateDir, name, now).map((one) => viewOf(stateDir, one, now))
  if (json) return `${JSON.stringify(views.map(toJson), undefined, 2)}\n`
  return views.length === 0 ? "no job has run yet\n" : table([header, ...views.map((view) => row(view, now))])
}

export const history = (stateDir: string, name: string, limit: number, json: boolean): string => {
  const runs = Jobs.history(stateDir, name, limit)
  if (json) return `${JSON.stringify(runs.map(runJson), undefined, 2)}\n`
  const rows = runs.map(({ attempts, exit, message, millis, outcome, run, started }) => [
    momentText(started),
    outcome,
    String(exit),
    spanText(millis),
    String(attempts),
    run,
    message ?? ""
  ])
  return table([["STARTED", "OUTCOME", "EXIT", "TOOK", "ATTEMPTS", "RUN", "MESSAGE"], ...rows])
}
