/**
 * What is kept of the jobs between their runs: one file of SQLite in the folder of the state, in write-ahead mode. Each use opens it, makes
 * one transaction, and closes it, so a process that is killed at any moment leaves a whole file and no lock.
 */
import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import type { DatabaseSync, SQLInputValue } from "node:sqlite"
import { pathToFileURL } from "node:url"

/** Milliseconds for which SQLite waits for other processes. Their transactions take less than one. */
const busyMillis = 5000

/**
 * Milliseconds for which a change is tried. 50 jobs of one minute on a machine with work for 30 times its processors have waited for more than 5 seconds:
 * a process may lose its processor in the middle of a transaction.
 */
export const patience = {
  /** No run depends on it. */
  usual: 20_000,
  /** Work is lost without it. */
  long: 120_000
}

const fileName = "state.sqlite"

export const fileOf = (stateDir: string): string => join(stateDir, fileName)

/** Node 22 warns that the module is experimental: a warning would be mail from cron. */
const loadSqlite = (): typeof import("node:sqlite") => {
  const { emitWarning } = process
  process.emitWarning = () => {}
  try {
    return process.getBuiltinModule("node:sqlite")
  } finally {
    process.emitWarning = emitWarning
  }
}

const pause = (millis: number): void => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
}

/** SQLITE_BUSY: another process writes. */
const isBusy = (error: unknown): boolean =>
  error instanceof Error && "errcode" in error && (Number(error.errcode) & 0xff) === 5

/** The change to write-ahead mode does not wait for other processes by itself. */
const whenFree = (f: () => void): void => {
  for (let attempts = 0; ; attempts++) {
    try {
      f()
      return
    } catch (error) {
      if (!isBusy(error) || attempts === 200) throw error
      pause(5 + Math.random() * 20)
    }
  }
}

/**
 * What makes a file of each version of one of the version before it, beginning with an empty file. The version is in `PRAGMA user_version`. What stands
 * here never changes: files that it made exist.
 */
const migrations: ReadonlyArray<string> = [
  `CREATE TABLE jobs (name TEXT PRIMARY KEY, data TEXT NOT NULL) STRICT;
  CREATE TABLE runs (id TEXT PRIMARY KEY, name TEXT NOT NULL, started INTEGER NOT NULL, ended INTEGER, data TEXT NOT NULL) STRICT;
  CREATE INDEX runs_of ON runs (name, started);
  CREATE TABLE overrides (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, ended INTEGER, data TEXT NOT NULL) STRICT;
  CREATE INDEX overrides_of ON overrides (name, id);`,
  // A run has one entry at the most; `claim` is the run that replays it.
  `CREATE TABLE spool (id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL UNIQUE, name TEXT NOT NULL, at INTEGER NOT NULL,
    parked INTEGER, claim TEXT, replays INTEGER NOT NULL, input BLOB, data TEXT NOT NULL) STRICT;
  CREATE INDEX spool_of ON spool (name, id);`
]

/** The layout that this module reads and writes. */
const version = migrations.length

const versionOf = (database: DatabaseSync): number =>
  Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0)

const checkVersion = (found: number): void => {
  if (found > version) {
    throw new Error(`its layout has version ${found}, and this resilience knows ${version}: install a newer one`)
  }
}

/** A row whose JSON something else has changed counts as missing. */
const parse = (text: unknown): unknown => {
  try {
    return JSON.parse(String(text))
  } catch {
    return undefined
  }
}

type Row = Readonly<Record<string, unknown>>

/** The rows of the file, inside one transaction. */
export class Store {
  private readonly database: DatabaseSync
  constructor(database: DatabaseSync) {
    this.database = database
  }

  /** Whether a file that is only read, and may be older, has a table. */
  has(table: string): boolean {
    return (
      this.database.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?").get(table) !== undefined
    )
  }

  all(sql: string, ...values: ReadonlyArray<SQLInputValue>): ReadonlyArray<Row> {
    return this.database
      .prepare(sql)
      .all(...values)
      .map((row) => ({ ...row, ...("data" in row && { data: parse(row["data"]) }) }))
  }

  change(sql: string, ...values: ReadonlyArray<SQLInputValue>): number {
    return Number(this.database.prepare(sql).run(...values).lastInsertRowid)
  }

  /** As `change`, and returns how many rows it changed. */
  count(sql: string, ...values: ReadonlyArray<SQLInputValue>): number {
    return Number(this.database.prepare(sql).run(...values).changes)
  }
}

const transaction = <A>(database: DatabaseSync, begin: string, f: (store: Store) => A): A => {
  database.exec(begin)
  try {
    const result = f(new Store(database))
    database.exec("COMMIT")
    return result
  } catch (error) {
    // SQLite has ended the transaction itself when the disk is full.
    if (database.isTransaction) database.exec("ROLLBACK")
    throw error
  }
}

const prepare = (database: DatabaseSync): void => {
  // Safe against `kill -9`. A loss of power may take the last runs.
  whenFree(() => database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL"))
  const found = versionOf(database)
  checkVersion(found)
  if (found === version) return
  whenFree(() =>
    transaction(database, "BEGIN IMMEDIATE", () => {
      // Several processes may open a new or an older file at once: the one that is first changes it.
      for (let at = versionOf(database); at < version; at++) {
        database.exec(`${migrations[at]} PRAGMA user_version = ${at + 1}`)
      }
    })
  )
}

const using = <A>(file: string | URL, readOnly: boolean, f: (database: DatabaseSync) => A): A => {
  const { DatabaseSync } = loadSqlite()
  const database = new DatabaseSync(file, { timeout: busyMillis, readOnly })
  try {
    return f(database)
  } finally {
    database.close()
  }
}

/** Makes one transaction that may write, which begins again while other processes write. Throws what SQLite says. */
export const write = <A>(stateDir: string, f: (store: Store) => A, millis: number = patience.usual): A => {
  mkdirSync(stateDir, { recursive: true })
  const end = performance.now() + millis
  while (true) {
    try {
      return using(fileOf(stateDir), false, (database) => {
        prepare(database)
        return transaction(database, "BEGIN IMMEDIATE", f)
      })
    } catch (error) {
      if (!isBusy(error) || performance.now() > end) throw error
      pause(5 + Math.random() * 50)
    }
  }
}

/**
 * Reads the file of a disk that is full or read-only, where SQLite cannot create what it needs for other readers. What a process that was
 * killed has left in the write-ahead log is not seen.
 */
export const readAsItIs = <A>(stateDir: string, f: (store: Store) => A): A => {
  const url = pathToFileURL(fileOf(stateDir))
  url.searchParams.set("immutable", "1")
  return using(url, true, (database) => {
    checkVersion(versionOf(database))
    return f(new Store(database))
  })
}

/** SQLITE_READONLY and SQLITE_CANTOPEN: a disk or a folder that this user cannot write. */
const isNotWritable = (error: unknown): boolean =>
  error instanceof Error && "errcode" in error && [8, 14].includes(Number(error.errcode) & 0xff)

/** Reads; `none` without a file. */
export const read = <A>(stateDir: string, none: A, f: (store: Store) => A): A => {
  if (!existsSync(fileOf(stateDir))) return none
  try {
    return using(fileOf(stateDir), true, (database) => {
      const found = versionOf(database)
      checkVersion(found)
      return found === 0 ? none : transaction(database, "BEGIN", f)
    })
  } catch (error) {
    if (!isNotWritable(error)) throw error
    return readAsItIs(stateDir, f)
  }
}
