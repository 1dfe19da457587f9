/**
 * The spool: what failed for good, to be run again. A run has one entry at the most, and gets it in the transaction that notes its end, so a
 * process that is killed leaves both or neither.
 */
import type { Codes, Settings } from "../run/settings.ts"
import type { Ended } from "./jobs.ts"
import type { Store } from "./store.ts"

/** Entries of one name. */
const capacity = 1000

/** How an entry is run again: as it was run. */
export type Work = Pick<Settings, "backoff" | "command" | "deadline" | "killAfter" | "retry" | "timeout"> & {
  readonly cwd: string
  readonly environment: Readonly<Record<string, string>>
  readonly signal: NodeJS.Signals
  readonly retryOn: Codes["text"] | undefined
  readonly successOn: Codes["text"] | undefined
}

interface Item {
  readonly work: Work
  /** Replays after which it is parked. */
  readonly limit: number
  /** How the run ended, and its last replay. */
  readonly failed: Ended
  readonly last?: Ended
  /** The end of its output. */
  readonly output?: string
}

export interface Entry extends Item {
  readonly id: number
  readonly name: string
  readonly run: string
  readonly at: number
  /** Since when no replay takes it that is not asked for it by name. */
  readonly parked: number | undefined
  /** The run that replays it, or did when it was killed. */
  readonly claim: string | undefined
  readonly replays: number
  /** Bytes of its standard input. */
  readonly inputSize: number | undefined
}

const columns = "id, name, run, at, parked, claim, replays, length(input) AS size, data"

const entryOf = (row: Readonly<Record<string, unknown>>): Entry => {
  const { at, claim, data, id, name, parked, replays, run, size } = row
  return {
    // The store writes what stands here only.
    ...(data as Item),
    id: Number(id),
    name: String(name),
    run: String(run),
    at: Number(at),
    parked: parked === null ? undefined : Number(parked),
    claim: claim === null ? undefined : String(claim),
    replays: Number(replays),
    inputSize: size === null ? undefined : Number(size)
  }
}

/** The oldest first; of all jobs, or of one. */
export const list = (store: Store, name: string | undefined): ReadonlyArray<Entry> => {
  if (!store.has("spool")) return []
  const rows =
    name === undefined
      ? store.all(`SELECT ${columns} FROM spool ORDER BY id`)
      : store.all(`SELECT ${columns} FROM spool WHERE name = ? ORDER BY id`, name)
  return rows.map(entryOf)
}

export const find = (store: Store, id: number): Entry | undefined => {
  const [row] = store.has("spool") ? store.all(`SELECT ${columns} FROM spool WHERE id = ?`, id) : []
  return row === undefined ? undefined : entryOf(row)
}

export const inputOf = (store: Store, id: number): Uint8Array | undefined => {
  const input = store.all("SELECT input FROM spool WHERE id = ?", id)[0]?.["input"]
  return input instanceof Uint8Array ? input : undefined
}

/** How many entries of a job wait for a replay, and how many are parked. */
export interface Counts {
  readonly waiting: number
  readonly parked: number
}

export const countsOf = (store: Store, name: string): Counts => {
  if (!store.has("spool")) return { waiting: 0, parked: 0 }
  const [row] = store.all("SELECT count(*) AS entries, count(parked) AS parked FROM spool WHERE name = ?", name)
  const parked = Number(row?.["parked"] ?? 0)
  return { waiting: Number(row?.["entries"] ?? 0) - parked, parked }
}

/** Adds an entry, and returns its number; `undefined` when the spool of the name is full. */
export const put = (
  store: Store,
  name: string,
  run: string,
  now: number,
  item: Item,
  input: Uint8Array | undefined
): number | undefined => {
  const { parked, waiting } = countsOf(store, name)
  if (waiting + parked >= capacity) return undefined
  return store.change(
    "INSERT INTO spool (run, name, at, replays, input, data) VALUES (?, ?, ?, 0, ?, ?)",
    run,
    name,
    now,
    input ?? null,
    JSON.stringify(item)
  )
}

/**
 * Gives an entry to the run that replays it, or says why not. The replay counts from here on, so an entry that kills what replays it is
 * parked too.
 */
export const claim = (store: Store, id: number, run: string, lives: (run: string) => boolean): string | undefined => {
  const entry = find(store, id)
  if (entry === undefined) return `entry ${id} is no longer in the spool`
  if (entry.claim !== undefined && lives(entry.claim)) return `entry ${id} is being replayed`
  store.change("UPDATE spool SET claim = ?, replays = replays + 1 WHERE id = ?", run, id)
  return undefined
}

/** Parks what was replayed too often, also by runs that were killed. */
export const park = (store: Store, id: number, now: number): boolean => {
  const entry = find(store, id)
  if (entry === undefined || entry.parked !== undefined || entry.replays < entry.limit) return false
  store.change("UPDATE spool SET parked = ? WHERE id = ?", now, id)
  return true
}

/** What becomes of an entry after its replay: it is gone, waits for another one, or is parked. */
export type Settled = "gone" | "waiting" | "parked"

export const settle = (
  store: Store,
  id: number,
  run: string,
  ended: Ended,
  kind: "success" | "failure" | "ignored",
  now: number
): Settled => {
  const entry = find(store, id)
  // Dropped meanwhile, or taken over from a process that was thought to be gone.
  if (entry === undefined || entry.claim !== run) return entry === undefined ? "gone" : "waiting"
  if (kind === "success") {
    drop(store, id)
    return "gone"
  }
  const { limit, output, work } = entry
  const item: Item = { work, limit, failed: entry.failed, last: ended, ...(output !== undefined && { output }) }
  // That an operator ended the replay is no fault of the entry.
  const replays = entry.replays - (kind === "ignored" ? 1 : 0)
  store.change("UPDATE spool SET claim = NULL, replays = ?, data = ? WHERE id = ?", replays, JSON.stringify(item), id)
  if (kind === "ignored") return "waiting"
  return entry.parked !== undefined || park(store, id, now) ? "parked" : "waiting"
}

export const drop = (store: Store, id: number): boolean => store.count("DELETE FROM spool WHERE id = ?", id) > 0
