/**
 * Keeps the state of the live policies in a file of SQLite, which many processes of one machine may share.
 *
 * It uses `node:sqlite`, which is a part of Node and of Deno: nothing is installed, and nothing is loaded before the store is used.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import * as Platform from "../runtime/platform.ts"
import { read, undoing } from "../runtime/read.ts"
import * as State from "./State.ts"

/** What is used of `node:sqlite`. */
interface Database {
  readonly exec: (sql: string) => void
  readonly prepare: (sql: string) => {
    readonly all: () => ReadonlyArray<Readonly<Record<string, unknown>>>
    readonly get: () => Readonly<Record<string, unknown>> | undefined
    readonly run: (...values: ReadonlyArray<string | number>) => unknown
  }
  readonly close: () => void
}

interface Sqlite {
  readonly DatabaseSync: new (path: string, options: { readonly timeout: number }) => Database
}

/** The layout of the file, in `PRAGMA user_version`. */
const version = 1

/** Milliseconds for which SQLite waits for another process, with the event loop. Then it is tried again later. */
const busyMillis = 5

const userVersion = (database: Database): number =>
  Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0)

const transaction = (database: Database, f: () => void): void => {
  database.exec("BEGIN IMMEDIATE")
  undoing(
    () => {
      f()
      database.exec("COMMIT")
    },
    () => database.exec("ROLLBACK")
  )
}

/** Several processes may open a new file at once: the one that is first creates the table. */
const migrate = (database: Database): void => {
  if (userVersion(database) === version) return
  transaction(database, () => {
    const found = userVersion(database)
    if (found > version) throw new Error(`its layout has version ${found}, and this library knows ${version}`)
    database.exec(
      "CREATE TABLE IF NOT EXISTS state (id TEXT PRIMARY KEY, snapshot TEXT NOT NULL, savedAt INTEGER NOT NULL) STRICT"
    )
    database.exec(`PRAGMA user_version = ${version}`)
  })
}

const open = (path: string): Database => {
  const sqlite = Platform.builtin<Sqlite>("node:sqlite")
  if (sqlite === undefined) throw new Error("this platform has no node:sqlite: use State.layerFile")
  const database = new sqlite.DatabaseSync(path, { timeout: busyMillis })
  return undoing(
    () => {
      // Safe against `kill -9`. A loss of power may take the last saves.
      database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
      migrate(database)
      return database
    },
    () => database.close()
  )
}

const upsert = `INSERT INTO state (id, snapshot, savedAt) VALUES (?, ?, ?)
  ON CONFLICT (id) DO UPDATE SET snapshot = excluded.snapshot, savedAt = excluded.savedAt`

const write = (database: Database, records: ReadonlyMap<string, string>, now: number): void =>
  transaction(database, () => {
    const statement = database.prepare(upsert)
    for (const [id, text] of records) statement.run(id, text, now)
  })

const busyCode = 5

/** Another process is writing. */
const isBusy = (error: unknown): boolean => (Number(read(error, "errcode")) & 0xff) === busyCode

const untilFree = Schedule.spaced("20 millis").pipe(Schedule.upTo({ times: 50 }))

/**
 * Keeps each record in a row of the table `state` (`id`, `snapshot`, `savedAt`), in write-ahead mode. The file is opened when it is
 * used first, and closed with the scope; one that cannot be opened is tried again at the next save.
 *
 * **Gotchas** Write-ahead mode needs a local disk: no NFS, EFS or SMB. Node 22 warns that `node:sqlite` is experimental.
 *
 * @category stores
 * @since 0.1.0
 */
export const make = (path: string): Effect.Effect<State.Store, never, Scope.Scope> => {
  Check.nonEmpty("Sqlite.make", "path", path)
  return Effect.gen(function* () {
    let database: Database | undefined
    yield* Effect.addFinalizer(() => Effect.sync(() => database?.close()))
    const use = <A>(f: (database: Database, now: number) => A): Effect.Effect<A, unknown> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) =>
        // The error is reported as it is.
        // @effect-diagnostics-next-line unknownInEffectCatch:off
        Effect.try({
          try: () => {
            database ??= open(path)
            return f(database, now)
          },
          catch: (error) => error
        })
      ).pipe(
        Effect.retry({ while: isBusy, schedule: untilFree }),
        // The disk is busy by its own time, which no test clock knows.
        Effect.provideService(Clock.Clock, Time.liveClock)
      )
    return {
      load: use((database) => {
        const rows = database.prepare("SELECT id, snapshot FROM state").all()
        return new Map(rows.map(({ id, snapshot }) => [String(id), String(snapshot)]))
      }),
      save: (records) => use((database, now) => write(database, records, now))
    }
  })
}

/**
 * Keeps the state in a file of SQLite; see {@link make}.
 *
 * **When to use** For jobs and processes of one machine that share a file. For one process `State.layerFile` is as good.
 *
 * **Example** (A circuit that survives its process)
 *
 * ```ts no-run
 * import { Layer } from "effect"
 * import { CircuitBreaker } from "effect-resilience"
 * import * as Sqlite from "effect-resilience/state/Sqlite"
 *
 * class Feed extends CircuitBreaker.Service<Feed>()("job/Feed", { openFor: "1 hour" }) {}
 *
 * const live = Feed.layer.pipe(Layer.provideMerge(Sqlite.layer({ path: "/var/lib/jobs/state.sqlite" })))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: State.Options & { readonly path: string }): Layer.Layer<State.State> =>
  State.layerWith("Sqlite.layer", ["path"], options, () => make(options.path))
