/**
 * Keeps the board of a fleet in a SQLite file, which all processes of one machine open: no server, nothing to install.
 *
 * It uses `node:sqlite`, which Node has from 22.13 on without a flag, and which Bun and Deno have too. Where there is none, or the
 * file cannot be used, the policies are as good as alone.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Check from "../runtime/options.ts"
import { builtin } from "../runtime/platform.ts"
import { attempt, has, undoing } from "../runtime/read.ts"
import * as Shared from "../Shared.ts"

/**
 * Where the board is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The path of the file, in a directory that exists. On a local file system: SQLite cannot share a file over NFS or SMB. Two more
   * files appear beside it, with `-wal` and `-shm` at the end of their names.
   */
  readonly path: string
}

/** What is used of `node:sqlite` and `node:fs`, whose types the library does not see. */
interface Statement {
  readonly get: (...values: ReadonlyArray<unknown>) => unknown
  readonly all: (...values: ReadonlyArray<unknown>) => ReadonlyArray<unknown>
  readonly run: (...values: ReadonlyArray<unknown>) => { readonly lastInsertRowid: number | bigint }
}

interface Database {
  readonly exec: (sql: string) => void
  readonly prepare: (sql: string) => Statement
  readonly close: () => void
}

interface Modules {
  readonly sqlite: { readonly DatabaseSync: new (path: string, options: { readonly timeout: number }) => Database }
  readonly fs: {
    readonly statSync: (
      path: string,
      options: { readonly throwIfNoEntry: false }
    ) => { readonly ino: number } | undefined
    readonly rmSync: (path: string, options: { readonly force: true }) => void
    readonly watch: (path: string, listener: () => void) => { readonly close: () => void; readonly on: Listen }
  }
}

type Listen = (event: "error", listener: () => void) => unknown

const modules = (): Modules => {
  const sqlite = builtin("node:sqlite")
  const fs = builtin("node:fs")
  if (!has(sqlite, "DatabaseSync") || !has(fs, "watch")) throw new Error("there is no node:sqlite")
  return { sqlite, fs } as unknown as Modules
}

/** Milliseconds for which a write waits for that of another process: it waits in the event loop. */
const busyTimeout = 2

/** Milliseconds between two looks for what other processes have written, should the file system not tell of it. */
const lookEvery = 50

/** Milliseconds after which what the file system has told of can be read. */
const visibleAfter = 2

/** Lines of pushes that are kept. */
const mostPushes = 256

/** Milliseconds between two looks of a process for rows that are too old. */
const sweepEvery = 600_000

/** Milliseconds after which a row that is not written any more is dropped, but for a command. */
const rowsFor = 3_600_000

/** Milliseconds after which a scope is dropped to which no member reports: a policy that is gone, or a former version. */
const scopesFor = 30 * 86_400_000

const schema = `
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, row TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pushes (seq INTEGER PRIMARY KEY AUTOINCREMENT, scope TEXT NOT NULL, text TEXT NOT NULL);
`

const statementsOf = (database: Database) => ({
  begin: database.prepare("BEGIN IMMEDIATE"),
  commit: database.prepare("COMMIT"),
  rollback: database.prepare("ROLLBACK"),
  get: database.prepare("SELECT row FROM rows WHERE id = ?"),
  set: database.prepare(
    "INSERT INTO rows VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET row = excluded.row, at = excluded.at"
  ),
  delete: database.prepare("DELETE FROM rows WHERE id = ?"),
  scan: database.prepare("SELECT id, row FROM rows WHERE id >= ? AND id < ?"),
  // A clock that was set is no reason to drop what was written with it.
  old: database.prepare("SELECT id FROM rows WHERE at < ? LIMIT 10000"),
  clock: database.prepare("SELECT at FROM rows WHERE id = ?"),
  push: database.prepare("INSERT INTO pushes (scope, text) VALUES (?, ?)"),
  trim: database.prepare("DELETE FROM pushes WHERE seq <= ?"),
  pushes: database.prepare("SELECT seq, scope, text FROM pushes WHERE seq > ? ORDER BY seq"),
  last: database.prepare("SELECT coalesce(max(seq), 0) AS seq FROM pushes"),
  version: database.prepare("PRAGMA data_version")
})

type Statements = ReturnType<typeof statementsOf>

/** The scope of a row, which ends with the version of the protocol, and the row's name in it. */
const partsOf = /^(.+\/\d+)\/(clock|meta|settings|[mcxot]\/[^/]*|[sp]\/[^/]*\/[^/]*)$/

interface Connection {
  readonly database: Database
  readonly statements: Statements
  readonly inode: number | undefined
  readonly stopWatching: () => void
}

/** The file, and the processes' policies that listen to it. */
class File {
  private readonly path: string
  readonly listeners = Shared.makeListeners()
  private connection: Connection | undefined = undefined
  private seen = 0
  /** Those of this process, which were delivered when they were written. */
  private readonly own = new Set<number>()
  private version: unknown = undefined
  private sweptAt = 0

  private readonly lookLater: () => void

  constructor(path: string, later: (look: () => void) => void) {
    this.path = path
    this.lookLater = () => later(this.look)
  }

  private connect({ fs, sqlite }: Modules): Connection {
    const { connection, path } = this
    const inode = fs.statSync(path, { throwIfNoEntry: false })?.ino
    // Another file may stand in its place.
    if (connection !== undefined && connection.inode === inode) return connection
    this.close()
    const database = new sqlite.DatabaseSync(path, { timeout: busyTimeout })
    const statements = undoing(
      () => {
        database.exec(schema)
        return statementsOf(database)
      },
      () => database.close()
    )
    this.seen = (statements.last.get() as { readonly seq: number }).seq
    this.version = undefined
    this.own.clear()
    const made = {
      database,
      statements,
      inode: fs.statSync(path, { throwIfNoEntry: false })?.ino,
      stopWatching: this.watch(fs)
    }
    this.connection = made
    return made
  }

  /** A write of another process is seen before it is visible: the file is read at once, and again a little later. */
  private watch(fs: Modules["fs"]): () => void {
    const watching = attempt(() => {
      const watcher = fs.watch(`${this.path}-wal`, () => {
        this.look()
        this.lookLater()
      })
      watcher.on("error", () => {})
      return watcher
    }, undefined)
    return () => watching?.close()
  }

  /** Delivers what other processes have pushed. */
  readonly look = (): void => {
    const { connection } = this
    if (connection === undefined) return
    attempt(() => {
      const { pushes, version } = connection.statements
      const { data_version } = version.get() as { readonly data_version: number }
      if (data_version === this.version) return
      for (const row of pushes.all(this.seen)) {
        const { scope, seq, text } = row as { readonly scope: string; readonly seq: number; readonly text: string }
        this.seen = seq
        if (!this.own.delete(seq)) this.listeners.tell(scope, text)
      }
      // A read that failed is made again.
      this.version = data_version
    }, undefined)
  }

  sync(scope: string, report: string, moment: Shared.Moment): string {
    const found = modules()
    const answer = Result.try(() => this.transact(this.connect(found), scope, report, moment))
    if (Result.isSuccess(answer)) {
      const { news, push } = answer.success
      if (push !== undefined) this.listeners.tell(scope, push)
      return news
    }
    const problem = String(answer.failure)
    if (!/locked|busy/i.test(problem)) this.close()
    // It held nothing that no member knows.
    if (/not a database|malformed/i.test(problem)) {
      for (const end of ["", "-wal", "-shm"])
        attempt(() => found.fs.rmSync(this.path + end, { force: true }), undefined)
    }
    throw answer.failure
  }

  private transact({ statements }: Connection, scope: string, report: string, moment: Shared.Moment): Shared.Answer {
    const prefix = `${scope}/`
    const rows: Shared.Rows = {
      get: (id) => (statements.get.get(prefix + id) as { readonly row: string } | undefined)?.row,
      set: (id, row) => void statements.set.run(prefix + id, row, Math.floor(moment.now)),
      delete: (id) => void statements.delete.run(prefix + id),
      scan: (start) => {
        // The character after a slash ends the range.
        const from = prefix + start
        const found = statements.scan.all(from, `${from.slice(0, -1)}0`)
        return found.map((one) => {
          const { id, row } = one as { readonly id: string; readonly row: string }
          return [id.slice(prefix.length), row]
        })
      }
    }
    statements.begin.run()
    return undoing(
      () => {
        const answer = Shared.sync(rows, report, moment)
        const { push } = answer
        const last = push === undefined ? undefined : Number(statements.push.run(scope, push).lastInsertRowid)
        if (last !== undefined && last % 64 === 0) statements.trim.run(last - mostPushes)
        if (Math.abs(moment.now - this.sweptAt) >= sweepEvery) this.sweep(statements, moment.now)
        statements.commit.run()
        if (last !== undefined) this.wrote(last)
        return answer
      },
      () => statements.rollback.run()
    )
  }

  /** Only what is committed: of a push that was rolled back another process gets the number. */
  private wrote(push: number): void {
    this.own.add(push)
    // Those that only this process writes are not read.
    for (const seq of this.own) if (seq <= push - 2 * mostPushes) this.own.delete(seq)
  }

  /** Drops what is no longer written: it is known to no member, or asserted again by those that know it. */
  private sweep(statements: Statements, now: number): void {
    this.sweptAt = now
    for (const one of statements.old.all(now - rowsFor)) {
      const { id } = one as { readonly id: string }
      const [, scope = "", row = ""] = partsOf.exec(id) ?? []
      const clock = statements.clock.get(`${scope}/clock`) as { readonly at: number } | undefined
      const isGone = clock === undefined || now - clock.at > scopesFor
      // Of a fleet that may come back its commands are kept, and what it knows them by.
      if (isGone || !/^(o\/|clock$|meta$|settings$)/.test(row)) statements.delete.run(id)
    }
  }

  close(): void {
    const { connection } = this
    this.connection = undefined
    connection?.stopWatching()
    attempt(() => connection?.database.close(), undefined)
  }
}

/**
 * A board in a SQLite file, for the processes of one machine.
 *
 * **Details** A report takes a fraction of a millisecond in the event loop and waits at most 2 milliseconds for another process, also
 * one that has been stopped while it writes. Nothing is flushed to the disk: no row is the only copy. A file that was deleted is made
 * anew, one that is no database is replaced, and the members fill it again.
 *
 * **Gotchas** Who may write to the file may isolate every circuit of the fleet: it needs the protection of a credential.
 *
 * **Example** (The processes of one machine)
 *
 * ```ts no-run
 * import { Layer } from "effect"
 * import { Policy } from "effect-resilience"
 * import * as SharedSqlite from "effect-resilience/shared/Sqlite"
 *
 * class Payments extends Policy.Service<Payments>()("app/Payments", {
 *   breaker: {},
 *   shared: { breaker: { quorum: 0.5 } }
 * }) {}
 *
 * const live: Layer.Layer<Payments> = Payments.layer.pipe(
 *   Layer.provide(SharedSqlite.layer({ path: "/run/shop/board.db" }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Shared.Board> => {
  Check.noUnknown("shared/Sqlite.layer", options, ["path"])
  const path = Check.nonEmpty("shared/Sqlite.layer", "path", options.path)
  return Layer.effect(
    Shared.Board,
    Effect.gen(function* () {
      const context = yield* Effect.context<never>()
      const file = new File(path, (look) => {
        Effect.runForkWith(context)(Effect.andThen(Effect.sleep(visibleAfter), Effect.sync(look)))
      })
      yield* Effect.addFinalizer(() => Effect.sync(() => file.close()))
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(lookEvery), Effect.sync(file.look))))
      return {
        name: "sqlite",
        sync: (scope, report) =>
          Effect.flatMap(Effect.all([Clock.currentTimeMillis, Shared.randomId]), ([now, id]) =>
            Effect.try({
              try: () => file.sync(scope, report, { now, id }),
              catch: (cause) => new Shared.BoardError({ cause })
            })
          ),
        pushes: file.listeners.listen
      }
    })
  )
}
