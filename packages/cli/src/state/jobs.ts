/** What is known of the jobs between their runs, and what follows from it for the next run. */
import * as Duration from "effect/Duration"
import type { Stats } from "effect-resilience"
import * as Processes from "../processes.ts"
import { byText, momentText, plural, spanText } from "../text.ts"
import type { BudgetSettings, CircuitSettings, Snapshot } from "./policies.ts"
import * as Policies from "./policies.ts"
import * as Spool from "./spool.ts"
import { patience, read, readAsItIs, type Store, write } from "./store.ts"

/** How a run ended. */
export type Outcome =
  | "ok"
  | "failed"
  | "timed out"
  | "already running"
  | "not admitted"
  | "too late"
  | "interrupted"
  | "not started"
  | "lost"
  | "error"

/** A run that has ended. */
export interface Ended {
  readonly run: string
  /** Milliseconds since 1970; all moments here. */
  readonly started: number
  readonly millis: number
  readonly exit: number
  readonly outcome: Outcome
  readonly attempts: number
  readonly message?: string
}

interface Running extends Processes.Process {
  /** It decides whether the circuit closes. */
  readonly isProbe: boolean
}

export interface Totals {
  readonly success: number
  readonly failure: number
  readonly ignored: number
  readonly failedAttempts: number
  readonly attempts: number
  readonly retries: number
  readonly refused: number
  /** Runs that came too late to start. */
  readonly late: number
  readonly openings: number
  readonly millis: number
}

export interface Job {
  /** Failed runs in a row. */
  readonly failures: number
  /** Runs since the last one that were not admitted. */
  readonly skipped: number
  readonly lastSuccess?: number
  readonly last?: Ended
  readonly circuitSettings?: CircuitSettings
  readonly circuit?: Snapshot
  readonly budgetSettings?: BudgetSettings
  readonly budget?: Snapshot
  /** When it is due, and how much later a run may start. */
  readonly schedule?: string
  readonly startWithin?: number
  readonly totals: Totals
}

const newJob: Job = {
  failures: 0,
  skipped: 0,
  totals: {
    success: 0,
    failure: 0,
    ignored: 0,
    failedAttempts: 0,
    attempts: 0,
    retries: 0,
    refused: 0,
    late: 0,
    openings: 0,
    millis: 0
  }
}

/** Runs that are kept of a name. */
const keptRuns = 100

/** The store writes what stands here only: the types of the rows hold. */
const jobOf = (data: unknown): Job => {
  const job = data as Partial<Job> | undefined
  return { ...newJob, ...job, totals: { ...newJob.totals, ...job?.totals } }
}

const jobIn = (store: Store, name: string): Job =>
  jobOf(store.all("SELECT data FROM jobs WHERE name = ?", name)[0]?.["data"])

const keep = (store: Store, name: string, job: Job): void => {
  store.change(
    "INSERT INTO jobs (name, data) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET data = excluded.data",
    name,
    JSON.stringify(job)
  )
}

interface Row {
  readonly id: string
  readonly started: number
  readonly data: Running
}

const unended = (store: Store, name: string): ReadonlyArray<Row> =>
  store
    .all("SELECT id, started, data FROM runs WHERE name = ? AND ended IS NULL ORDER BY started", name)
    .map((row) => ({
      id: String(row["id"]),
      started: Number(row["started"]),
      data: row["data"] as Running
    }))

const endRow = (store: Store, id: string, now: number, ended: Ended): void => {
  store.change("UPDATE runs SET ended = ?, data = ? WHERE id = ?", now, JSON.stringify(ended), id)
}

const lostRun = ({ id, started }: Row): Ended => ({
  run: id,
  started,
  millis: 0,
  exit: 137,
  outcome: "lost",
  attempts: 0,
  message: "resilience was killed"
})

/** A run whose process is gone has ended without a word: it was killed. It says nothing about the job. */
const endLost = (store: Store, name: string, now: number): void => {
  for (const row of unended(store, name)) {
    if (!Processes.lives(row.data)) endRow(store, row.id, now, lostRun(row))
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Overrides
// ---------------------------------------------------------------------------------------------------------------------

export const commands = ["isolate", "disable", "enable", "open", "close", "reset"] as const
export type Command = (typeof commands)[number]

export interface Override {
  readonly id: number
  readonly command: Command | "undo"
  readonly at: number
  readonly until?: number
  readonly by: string
  readonly reason: string
}

const overridesOf = (store: Store, name: string, now: number): ReadonlyArray<Override> =>
  store
    .all("SELECT id, data FROM overrides WHERE name = ? AND ended IS NULL ORDER BY id DESC", name)
    .map((row) => ({ ...(row["data"] as Omit<Override, "id">), id: Number(row["id"]) }))
    .filter(({ until }) => until === undefined || until > now)

const untilText = (until: number | undefined, now: number): string =>
  until === undefined ? "until it is undone" : `until ${momentText(until)} (in ${spanText(until - now)})`

/** What holds: of several the newest. */
const inForce = (overrides: ReadonlyArray<Override>): Override | undefined =>
  overrides.find(({ command }) => command === "isolate" || command === "disable")

// ---------------------------------------------------------------------------------------------------------------------
// Runs
// ---------------------------------------------------------------------------------------------------------------------

/** What a run brings with it. */
export interface Start {
  readonly stateDir: string
  readonly name: string
  readonly run: string
  readonly circuit: CircuitSettings | undefined
  readonly budget: BudgetSettings | undefined
  readonly schedule: string | undefined
  readonly startWithin: number | undefined
  /** What is kept when the run fails for good. */
  readonly spool:
    | { readonly work: Spool.Work; readonly limit: number; readonly input: Uint8Array | undefined }
    | undefined
  /** The entry of the spool that the run replays. */
  readonly replay: number | undefined
}

/** May a run begin? `refusal` says why not. */
export interface Admission {
  readonly refusal: string | undefined
  /** Whether its result counts for the circuit. */
  readonly isCounted: boolean
}

const decide = (
  store: Store,
  { circuit, name }: Pick<Start, "circuit" | "name">,
  now: number
): Admission & { readonly isProbe: boolean } => {
  const admitted = { refusal: undefined, isCounted: circuit !== undefined, isProbe: false }
  const overrides = overridesOf(store, name, now)
  const override = inForce(overrides)
  if (override?.command === "isolate") {
    return { ...admitted, refusal: `isolated ${byText(override)}, ${untilText(override.until, now)}` }
  }
  if (override?.command === "disable") return { ...admitted, isCounted: false }
  if (circuit === undefined) return admitted
  // The library bounds what is left of an open time by its options. An operator's time holds as it is.
  const opened = overrides.find(({ command }) => command === "open")
  if (opened !== undefined) {
    return { ...admitted, refusal: `its circuit is open, ${byText(opened)}, ${untilText(opened.until, now)}` }
  }
  const state = Policies.circuit(circuit, jobIn(store, name).circuit)
  if (state._tag === "open") {
    return {
      ...admitted,
      refusal: `its circuit is open, ${whyOpen(state)}, ${untilText(now + millisUntil(state), now)}`
    }
  }
  if (state._tag !== "half-open") return admitted
  const probe = unended(store, name).find(({ data }) => data.isProbe && Processes.lives(data))
  const refusal = probe === undefined ? undefined : `its circuit is half-open: process ${probe.data.pid} is the probe`
  return { ...admitted, refusal, isProbe: true }
}

type Open = Extract<Stats.Circuit, { readonly _tag: "open" }>

const millisUntil = ({ retryAfter }: Open): number => Math.ceil(Duration.toMillis(retryAfter))

const whyOpen = ({ evidence }: Open): string => {
  const failures = evidence?.figures["failures"]
  return failures === undefined ? "after a failure" : `after ${plural(failures, "failed run")} in a row`
}

/** Why a run would not be admitted now, without beginning it. */
export const refusal = (start: Pick<Start, "circuit" | "name" | "stateDir">, now: number): string | undefined =>
  read(start.stateDir, undefined, (store) => decide(store, start, now).refusal)

/** As {@link refusal}, on a disk that cannot be written. */
const refusalAsItIs = (start: Start, now: number): string | undefined => {
  try {
    return readAsItIs(start.stateDir, (store) => decide(store, start, now).refusal)
  } catch {
    return undefined
  }
}

/**
 * Decides whether a run begins, and notes that it does. On a disk that cannot be written the decision stands, and `failed` gets the error.
 */
export const admit = (start: Start, now: number, failed: (error: unknown) => void): Admission => {
  const { name, run, stateDir } = start
  let admission: Admission | undefined
  warm(start.circuit)
  try {
    return write(stateDir, (store) => {
      const { isProbe, ...decided } = decide(store, start, now)
      admission = decided
      const job = jobIn(store, name)
      if (decided.refusal !== undefined) {
        const totals = { ...job.totals, refused: job.totals.refused + 1 }
        keep(store, name, { ...job, skipped: job.skipped + 1, totals })
        return decided
      }
      endLost(store, name, now)
      const { replay } = start
      if (replay !== undefined) {
        const running = new Set(unended(store, name).map(({ id }) => id))
        const refusal = Spool.claim(store, replay, run, (id) => running.has(id))
        if (refusal !== undefined) return { refusal, isCounted: false }
      }
      const data: Running = { pid: process.pid, ticks: Processes.ticksOf(process.pid), isProbe }
      store.change(
        "INSERT INTO runs (id, name, started, data) VALUES (?, ?, ?, ?)",
        run,
        name,
        now,
        JSON.stringify(data)
      )
      const { budget, circuit, schedule, startWithin } = start
      keep(store, name, {
        ...job,
        skipped: 0,
        ...(schedule !== undefined && { schedule }),
        ...(startWithin !== undefined && { startWithin }),
        ...(circuit !== undefined && { circuitSettings: circuit }),
        ...(budget !== undefined && { budgetSettings: budget, budget: Policies.deposited(budget, job.budget) })
      })
      return decided
    })
  } catch (error) {
    failed(error)
    // A replay that cannot be noted would be repeated, however well it ended.
    const unclaimed = start.replay === undefined ? undefined : `entry ${start.replay} cannot be taken from the spool`
    return { refusal: admission?.refusal ?? unclaimed ?? refusalAsItIs(start, now), isCounted: false }
  }
}

/** Notes a run that came too late to start. */
export const noteLate = ({ name, stateDir }: Start): void =>
  write(stateDir, (store) => {
    const job = jobIn(store, name)
    keep(store, name, { ...job, skipped: job.skipped + 1, totals: { ...job.totals, late: job.totals.late + 1 } })
  })

/** Pays for a retry. */
export const payRetry = ({ budget, name, stateDir }: Start): boolean => {
  if (budget === undefined) return true
  return write(stateDir, (store) => {
    const job = jobIn(store, name)
    const { isPaid, snapshot } = Policies.withdrawn(budget, job.budget)
    keep(store, name, { ...job, budget: snapshot })
    return isPaid
  })
}

const kindOf = (outcome: Outcome): "success" | "failure" | "ignored" => {
  if (outcome === "ok") return "success"
  return outcome === "failed" || outcome === "timed out" || outcome === "not started" ? "failure" : "ignored"
}

/** What a job is before and after a run. */
export interface Finished {
  readonly before: Job
  readonly job: Job
  /** That this run has opened the circuit, and until when. */
  readonly opened: string | undefined
  /** The entry of the spool that it got. */
  readonly entry: number | "full" | undefined
  /** What became of the entry that it replayed. */
  readonly settled: Spool.Settled | undefined
}

/** Compiles what decides before the lock of the file is taken: the first use takes longer than all that is done under the lock. */
const warm = (circuit: CircuitSettings | undefined): void => {
  if (circuit !== undefined) Policies.settled(circuit, undefined, "success")
}

/** Notes how a run ended, and counts it: one run is one success or one failure, however many attempts it had. */
export const finish = (
  start: Start,
  { isCounted }: Admission,
  ended: Ended,
  now: number,
  output: string | undefined
): Finished => {
  const kind = kindOf(ended.outcome)
  const { circuit, name, replay, run, spool } = start
  const isKept = spool !== undefined && kind === "failure"
  warm(circuit)
  const change = (store: Store): Finished => {
    const before = jobIn(store, name)
    const openIn = (snapshot: Snapshot | undefined): Open | undefined => {
      const state = circuit && Policies.circuit(circuit, snapshot)
      return state?._tag === "open" ? state : undefined
    }
    const snapshot =
      circuit === undefined || !isCounted ? before.circuit : Policies.settled(circuit, before.circuit, kind)
    const opening = openIn(before.circuit) === undefined ? openIn(snapshot) : undefined
    const opened = opening && `its circuit is open now, ${untilText(now + millisUntil(opening), now)}`
    const { totals } = before
    const job: Job = {
      ...before,
      last: ended,
      failures: kind === "success" ? 0 : before.failures + (kind === "failure" ? 1 : 0),
      ...(kind === "success" && { lastSuccess: now }),
      ...(snapshot !== undefined && { circuit: snapshot }),
      totals: {
        ...totals,
        [kind]: totals[kind] + 1,
        failedAttempts: totals.failedAttempts + Math.max(0, ended.attempts - (kind === "failure" ? 0 : 1)),
        attempts: totals.attempts + ended.attempts,
        retries: totals.retries + Math.max(0, ended.attempts - 1),
        openings: totals.openings + (opening === undefined ? 0 : 1),
        millis: totals.millis + ended.millis
      }
    }
    keep(store, name, job)
    endRow(store, run, now, ended)
    store.change(
      `DELETE FROM runs WHERE ended IS NOT NULL AND name = ?1
        AND id NOT IN (SELECT id FROM runs WHERE name = ?1 ORDER BY started DESC, rowid DESC LIMIT ${keptRuns})`,
      name
    )
    if (replay !== undefined) {
      return { before, job, opened, entry: undefined, settled: Spool.settle(store, replay, run, ended, kind, now) }
    }
    if (spool === undefined || kind !== "failure") return { before, job, opened, entry: undefined, settled: undefined }
    const { input, limit, work } = spool
    const item = { work, limit, failed: ended, ...(output !== undefined && { output }) }
    return { before, job, opened, entry: Spool.put(store, name, run, now, item, input) ?? "full", settled: undefined }
  }
  return write(start.stateDir, change, isKept || replay !== undefined ? patience.long : patience.usual)
}

// ---------------------------------------------------------------------------------------------------------------------
// Views
// ---------------------------------------------------------------------------------------------------------------------

export interface Status {
  readonly name: string
  readonly job: Job
  readonly circuit: Stats.Circuit | undefined
  readonly balance: number | undefined
  readonly running: ReadonlyArray<{ readonly run: string; readonly pid: number; readonly started: number }>
  readonly overrides: ReadonlyArray<Override>
  /** A run after the last one whose process is gone. */
  readonly lost: Ended | undefined
  /** The last runs, the newest first. */
  readonly recent: ReadonlyArray<Ended>
  readonly spool: Spool.Counts
}

/** Runs that a status shows. */
const recentRuns = 10

const endedRuns = (store: Store, name: string, limit: number): ReadonlyArray<Ended> =>
  store
    .all(
      "SELECT data FROM runs WHERE name = ? AND ended IS NOT NULL ORDER BY started DESC, rowid DESC LIMIT ?",
      name,
      limit
    )
    .map((row) => row["data"] as Ended)

const statusOf = (store: Store, name: string, now: number): Status => {
  const job = jobIn(store, name)
  const { budgetSettings, circuitSettings } = job
  const rows = unended(store, name)
  const lost = rows.findLast(({ data, started }) => !Processes.lives(data) && started >= (job.last?.started ?? 0))
  return {
    name,
    job,
    circuit: circuitSettings === undefined ? undefined : Policies.circuit(circuitSettings, job.circuit),
    balance: budgetSettings === undefined ? undefined : Policies.balance(budgetSettings, job.budget),
    lost: lost === undefined ? undefined : lostRun(lost),
    running: rows
      .filter(({ data }) => Processes.lives(data))
      .map(({ data, id, started }) => ({ run: id, pid: data.pid, started })),
    recent: endedRuns(store, name, recentRuns),
    spool: Spool.countsOf(store, name),
    // The circuit says whether one that was opened is open.
    overrides: overridesOf(store, name, now)
  }
}

const namesIn = (store: Store): ReadonlyArray<string> =>
  store
    .all("SELECT name FROM jobs UNION SELECT name FROM overrides WHERE ended IS NULL ORDER BY name")
    .map((row) => String(row["name"]))

const unknown = (name: string, known: ReadonlyArray<string>): string =>
  `no run of ${name} is known: ${known.length === 0 ? "no job is" : `there are ${known.join(", ")}`}`

/** Of all jobs, or of one. Throws for a name that is not known. */
export const statuses = (stateDir: string, name: string | undefined, now: number): ReadonlyArray<Status> => {
  const found = read(stateDir, { names: [] as ReadonlyArray<string>, rows: [] as ReadonlyArray<Status> }, (store) => {
    const names = namesIn(store)
    return {
      names,
      rows: names.filter((one) => name === undefined || one === name).map((one) => statusOf(store, one, now))
    }
  })
  if (name !== undefined && found.rows.length === 0) throw new Error(unknown(name, found.names))
  return found.rows
}

/** The last runs, the newest first. */
export const history = (stateDir: string, name: string, limit: number): ReadonlyArray<Ended> => {
  const found = read(stateDir, { names: [] as ReadonlyArray<string>, rows: [] as ReadonlyArray<Ended> }, (store) => ({
    names: namesIn(store),
    rows: endedRuns(store, name, limit)
  }))
  if (!found.names.includes(name)) throw new Error(unknown(name, found.names))
  return found.rows
}

// ---------------------------------------------------------------------------------------------------------------------
// The spool
// ---------------------------------------------------------------------------------------------------------------------

/** The entries, the oldest first, of all jobs or of one. */
export const spooled = (stateDir: string, name: string | undefined): ReadonlyArray<Spool.Entry> =>
  read(stateDir, [] as ReadonlyArray<Spool.Entry>, (store) => Spool.list(store, name))

/** An entry, with its input. */
export const spooledEntry = (
  stateDir: string,
  id: number
): (Spool.Entry & { readonly input: Uint8Array | undefined }) | undefined =>
  read(stateDir, undefined, (store) => {
    const entry = Spool.find(store, id)
    return entry && { ...entry, input: Spool.inputOf(store, id) }
  })

/** Parks an entry whose replays are used up; what replayed it may have been killed. */
export const parkSpooled = (stateDir: string, id: number, now: number): boolean =>
  write(stateDir, (store) => Spool.park(store, id, now))

export const dropSpooled = (stateDir: string, ids: ReadonlyArray<number>): ReadonlyArray<number> =>
  write(stateDir, (store) => ids.filter((id) => Spool.drop(store, id)))

/** The circuit and the budget of a job, as its last run set them. */
export const policiesOf = (stateDir: string, name: string): Pick<Job, "budgetSettings" | "circuitSettings"> =>
  read(stateDir, newJob, (store) => jobIn(store, name))

// ---------------------------------------------------------------------------------------------------------------------
// Commands
// ---------------------------------------------------------------------------------------------------------------------

export interface Order {
  readonly command: Command
  readonly name: string
  readonly by: string
  readonly reason: string
  readonly millis: number | undefined
}

const endOverrides = (store: Store, name: string, now: number, all: boolean): void => {
  for (const { command, id } of overridesOf(store, name, now)) {
    if (all || command === "disable") store.change("UPDATE overrides SET ended = ? WHERE id = ?", now, id)
  }
}

const insert = (store: Store, name: string, ended: number | null, data: Omit<Override, "id">): number => {
  store.change(
    `DELETE FROM overrides WHERE ended IS NOT NULL AND name = ?1
      AND id NOT IN (SELECT id FROM overrides WHERE name = ?1 ORDER BY id DESC LIMIT ${keptRuns})`,
    name
  )
  return store.change("INSERT INTO overrides (name, ended, data) VALUES (?, ?, ?)", name, ended, JSON.stringify(data))
}

const past = {
  isolate: "isolated",
  disable: "disabled",
  open: "open",
  enable: "enabled",
  close: "closed",
  reset: "reset"
} as const

/** Gives a command, and returns what holds then, as a sentence. */
export const command = (stateDir: string, { by: author, command, millis, name, reason }: Order, now: number): string =>
  write(stateDir, (store) => {
    const job = jobIn(store, name)
    const { circuitSettings } = job
    if (command === "open" && circuitSettings === undefined) {
      throw new Error(`${name} has no circuit: run it with --open-after, or isolate it`)
    }
    const isLasting = command === "isolate" || command === "disable" || command === "open"
    if (!isLasting || command === "open") endOverrides(store, name, now, command !== "enable")
    let until = millis === undefined ? undefined : now + millis
    if (circuitSettings !== undefined && (command === "open" || command === "close" || command === "reset")) {
      const circuit = Policies.commanded(circuitSettings, job.circuit, command, millis)
      keep(store, name, { ...job, circuit })
      const state = Policies.circuit(circuitSettings, circuit)
      if (command === "open" && state._tag === "open") until ??= now + millisUntil(state)
    }
    const data = { command, at: now, ...(until !== undefined && { until }), by: author, reason }
    const known = namesIn(store)
    const id = insert(store, name, isLasting ? null : now, data)
    const said = `${name}: ${past[command]} ${byText(data)}`
    // A name that is spelt wrong is not refused, because a job may be isolated before its first run.
    const note = known.includes(name) ? "" : `note: ${unknown(name, known)}\n`
    if (!isLasting) return `${said}\n${note}`
    const end = command === "open" ? `control close ${name}` : `control undo ${id}`
    return `${said}, ${untilText(until, now)}; to end it: resilience ${end}\n${note}`
  })

/** Ends an override: the job is as it is without it. */
export const undo = (stateDir: string, id: number, why: Pick<Order, "by" | "reason">, now: number): string =>
  write(stateDir, (store) => {
    const [row] = store.all("SELECT name, ended, data FROM overrides WHERE id = ?", id)
    if (row === undefined) throw new Error(`there is no override ${id}: resilience status shows those that hold`)
    const { command, until } = row["data"] as Omit<Override, "id">
    const name = String(row["name"])
    if (row["ended"] !== null || (until !== undefined && until <= now)) {
      throw new Error(`override ${id} has ended already`)
    }
    if (command === "open") throw new Error(`an opening is not undone: use resilience control close ${name}`)
    store.change("UPDATE overrides SET ended = ? WHERE id = ?", now, id)
    insert(store, name, now, { command: "undo", at: now, ...why })
    return `${name}: ${command} undone\n`
  })
