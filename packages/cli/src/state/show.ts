/** The state of the jobs for people, as tables, and for programs, as JSON. */
import * as Duration from "effect/Duration"
import { orphanOf } from "../run/lock.ts"
import * as Schedules from "../run/schedule.ts"
import { byText, momentText, plural, spanText, table } from "../text.ts"
import * as Jobs from "./jobs.ts"
import { budgetCapacity } from "./policies.ts"
import type { Entry } from "./spool.ts"

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

/** Why a circuit is not closed: what an operator said, or the failures and how the last of them ended. */
const whyOf = (
  circuit: NonNullable<Jobs.Status["circuit"]>,
  { last }: Jobs.Job,
  opened: Jobs.Override | undefined
): string | null => {
  if (opened !== undefined) return `opened ${byText(opened)}`
  if (circuit._tag !== "open" && circuit._tag !== "half-open") return null
  const failures = circuit.evidence?.figures["failures"]
  const what = failures === undefined ? "after a failure" : `after ${plural(failures, "failed run")} in a row`
  return last?.message === undefined ? what : `${what}; the last one ${last.message}`
}

/** Moments are those of the wall clock; circuits count from now. */
const circuitOf = ({ circuit, job, overrides }: Jobs.Status, now: number) => {
  if (circuit === undefined) return null
  const opened = overrides.find(({ command }) => command === "open")
  const { openings } = circuit
  const after = job.circuitSettings?.after ?? 0
  const isOpen = opened !== undefined || circuit._tag === "open"
  const until = circuit._tag === "open" ? now + Math.ceil(Duration.toMillis(circuit.retryAfter)) : undefined
  const since =
    circuit._tag === "open" || circuit._tag === "half-open"
      ? now - Duration.toMillis(circuit.unhealthySince)
      : undefined
  return {
    state: isOpen ? ("open" as const) : circuit._tag,
    openings,
    failures: circuit._tag === "closed" ? (circuit.figures?.["failures"] ?? 0) : null,
    after,
    // Through failed probes, as an operator counts an outage.
    since: iso(opened?.at ?? (since === undefined ? undefined : Math.round(since))),
    until: iso(opened?.until ?? until),
    why: whyOf(circuit, job, opened)
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
    recent: status.recent,
    spool: status.spool,
    schedule: job.schedule,
    next: job.schedule === undefined ? undefined : Schedules.dueAfter(job.schedule, now),
    totals: job.totals
  }
}

type View = ReturnType<typeof viewOf>

const toJson = ({ balance, last, lastSuccess, next, overrides, recent, running, schedule, ...view }: View) => ({
  ...view,
  schedule: schedule ?? null,
  next: iso(next),
  recent: recent.map(runJson),
  last: last === undefined ? null : runJson(last),
  lastSuccess: iso(lastSuccess),
  budget: balance === undefined ? null : { balance, capacity: budgetCapacity },
  running: running.map(({ isOrphan, pid, run, since }) => ({ run, pid, since: iso(since), orphan: isOrphan })),
  overrides: overrides.map(({ at, until, ...override }) => ({ ...override, at: iso(at), until: iso(until) }))
})

const none = "-"

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
        .map(({ command, id, until, ...given }) => {
          const end = until === undefined ? "" : ` for ${spanText(until - now)}`
          return `#${id} ${command}${end} ${byText(given)}`
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

/** What a line of the table has no place for. */
const details = (view: View, now: number): string => {
  const { balance, circuit, last, lastSuccess, next, recent, schedule, spool, totals } = view
  const ago = (moment: number): string => `${momentText(moment)} (${spanText(now - moment)} ago)`
  const shut = circuit !== null && circuit.since !== null && circuit.why !== null ? circuit : undefined
  const lines: ReadonlyArray<readonly [string, string | undefined]> = [
    ["last", last?.message ?? last?.outcome],
    ["runs", recent.length === 0 ? undefined : `${recent.map(({ outcome }) => outcome).join(", ")} (the newest first)`],
    ["last success", lastSuccess === undefined ? "none yet" : ago(lastSuccess)],
    ["circuit", circuit === null ? undefined : circuitText(view, now)],
    ["  since", shut?.since ? ago(Date.parse(shut.since)) : undefined],
    ["  why", shut?.why ?? undefined],
    ["  openings", circuit === null ? undefined : `${circuit.openings} in a row, ${totals.openings} in all`],
    ["budget", balance === undefined ? undefined : `${balance.toFixed(1)} of ${budgetCapacity} retries`],
    ["due", next === undefined ? undefined : `${momentText(next)} (in ${spanText(next - now)}), by ${schedule}`],
    ["spool", spool.waiting + spool.parked === 0 ? undefined : `${spool.waiting} to replay, ${spool.parked} parked`],
    [
      "totals",
      `${totals.success} succeeded, ${totals.failure} failed, ${totals.ignored} ignored, ${totals.refused} not admitted, ${totals.late} too late, ${totals.retries} retries`
    ]
  ]
  return lines
    .filter(([, text]) => text !== undefined)
    .map(([name, text]) => `  ${name.padEnd(14)}${text}\n`)
    .join("")
}

export const status = (stateDir: string, name: string | undefined, json: boolean, now: number): string => {
  const views = Jobs.statuses(stateDir, name, now).map((one) => viewOf(stateDir, one, now))
  if (json) return `${JSON.stringify(views.map(toJson), undefined, 2)}\n`
  if (views.length === 0) return "no job has run yet\n"
  const overview = table([header, ...views.map((view) => row(view, now))])
  return name === undefined ? overview : `${overview}\n${views.map((view) => details(view, now)).join("")}`
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

const entryJson = ({ at, failed, last, parked, ...entry }: Entry) => ({
  ...entry,
  at: iso(at),
  parked: iso(parked),
  failed: runJson(failed),
  last: last === undefined ? null : runJson(last)
})

/** The command as a shell would read it. */
const commandText = (command: ReadonlyArray<string>): string =>
  command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(" ")

const whatFailed = ({ failed, last }: Entry): string => (last ?? failed).message ?? (last ?? failed).outcome

export const spoolList = (stateDir: string, name: string | undefined, json: boolean, now: number): string => {
  const entries = Jobs.spooled(stateDir, name)
  if (json) return `${JSON.stringify(entries.map(entryJson), undefined, 2)}\n`
  if (entries.length === 0) return "the spool is empty\n"
  const rows = entries.map((entry) => [
    String(entry.id),
    entry.name,
    `${spanText(now - entry.at)} ago`,
    `${entry.replays} of ${entry.limit}`,
    entry.parked === undefined ? "waits" : "parked",
    whatFailed(entry),
    commandText(entry.work.command)
  ])
  return table([["ID", "NAME", "FAILED", "REPLAYS", "STATE", "MESSAGE", "COMMAND"], ...rows])
}

export const spoolEntry = (stateDir: string, id: number, json: boolean): string => {
  const entry = Jobs.spooledEntry(stateDir, id)
  if (entry === undefined) throw new Error(`there is no entry ${id}: resilience spool list`)
  const { input, ...rest } = entry
  if (json) {
    const text = input === undefined ? null : Buffer.from(input).toString("base64")
    return `${JSON.stringify({ ...entryJson(rest), input: text }, undefined, 2)}\n`
  }
  const { at, failed, inputSize, last, limit, name, output, parked, replays, run, work } = entry
  const lines = [
    `entry ${id} of ${name}`,
    `  command      ${commandText(work.command)}`,
    `  folder       ${work.cwd}`,
    ...Object.entries(work.environment).map(([name, value]) => `  environment  ${name}=${value}`),
    ...(inputSize === undefined ? [] : [`  input        ${inputSize} bytes`]),
    `  failed       ${momentText(at)}: ${failed.message ?? failed.outcome}, run ${run}`,
    `  replays      ${replays} of ${limit}${last === undefined ? "" : `, the last ${momentText(last.started)}: ${last.message ?? last.outcome}`}`,
    ...(parked === undefined
      ? []
      : [`  parked       since ${momentText(parked)}: replay it by its number, or drop it`]),
    ...(output === undefined ? [] : ["  output", output.trimEnd()])
  ]
  return `${lines.join("\n")}\n`
}
