/**
 * Keeps letters in a table of PostgreSQL or SQLite, by the `SqlClient` of the program: the machines of a service may share them.
 *
 * Effect marks `effect/sql` as unstable, so this adapter may change with it.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as Check from "../runtime/options.ts"
import { messageOf } from "../runtime/read.ts"
import * as DeadLetter from "./DeadLetter.ts"

const where = "Sql.layer"

/**
 * Options of {@link layer}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The table, as `letters` or `app.letters`. Default: `"resilience_letters"`. */
  readonly table?: string | undefined
  /** Whether the table is created when there is none. Default: `true`. */
  readonly create?: boolean | undefined
}

/** A driver may give 64-bit integers as text. */
interface Row {
  readonly id: string
  readonly message: string
  readonly put_at: number | bigint | string
  readonly error: string
  readonly attempts: number
  readonly status: DeadLetter.Status
  readonly replays: number
  readonly at: number | bigint | string
  readonly reason: string
}

const toEntry = ({ at, attempts, error, id, message, put_at, reason, replays, status }: Row): DeadLetter.Entry => {
  const parsed = Result.try((): Schema.Json => JSON.parse(message))
  const rest = { id, putAt: Number(put_at), attempts, status, replays, at: Number(at), reason }
  // Damaged text is shown, and parked when it is replayed: no schema decodes it.
  return Result.isSuccess(parsed)
    ? { ...rest, error, message: parsed.success }
    : { ...rest, error: `damaged: ${messageOf(parsed.failure)}`, message: null }
}

/** PostgreSQL stores no character U+0000. */
const toText = (text: string): string => text.replaceAll("\0", "\uFFFD")

/** The clients on which the tests run. */
const dialects = ["pg", "sqlite"]

const makeStore = (client: SqlClient.SqlClient, name: string, create: boolean): DeadLetter.Store["Service"] => {
  const sql = client.withoutTransforms()
  const table = sql(name)

  const probe = sql`SELECT 1 FROM ${table} WHERE 1 = 0`
  const columns = sql`CREATE TABLE IF NOT EXISTS ${table} (
    letters TEXT NOT NULL,
    id TEXT NOT NULL,
    message TEXT NOT NULL,
    put_at BIGINT NOT NULL,
    error TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    status TEXT NOT NULL,
    replays INTEGER NOT NULL,
    at BIGINT NOT NULL,
    token TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (letters, id)
  )`
  let isThere = !create
  // In a transaction of the program these are savepoints, as a statement that fails ends a transaction of PostgreSQL.
  const created: Effect.Effect<void, SqlError> = Effect.suspend(() => {
    if (isThere) return Effect.void
    return sql.withTransaction(probe).pipe(
      Effect.catch(() =>
        // Another process may create it at the same moment, which fails in one of them.
        Effect.catch(sql.withTransaction(columns), (error) => Effect.mapError(sql.withTransaction(probe), () => error))
      ),
      // A transaction of the program that is rolled back takes the table with it.
      Effect.andThen(
        sql.afterCommit(
          Effect.sync(() => {
            isThere = true
          })
        )
      )
    )
  })

  const run = <A>(statement: Effect.Effect<A, SqlError>): Effect.Effect<A, SqlError> =>
    Effect.andThen(created, statement)
  const hasChanged = (statement: Effect.Effect<ReadonlyArray<unknown>, SqlError>): Effect.Effect<boolean, SqlError> =>
    Effect.map(run(statement), (rows) => rows.length > 0)
  const entries = (statement: Effect.Effect<ReadonlyArray<Row>, SqlError>) =>
    Effect.map(run(statement), (rows) => rows.map(toEntry))

  const here = (letters: string, id: string) => sql`letters = ${letters} AND id = ${id}`
  const held = (letters: string, id: string, token: string) =>
    sql`${here(letters, id)} AND status = 'replaying' AND token = ${token}`

  return {
    put: (letters, { attempts, error, id, message, putAt }) =>
      hasChanged(sql`
        INSERT INTO ${table} (letters, id, message, put_at, error, attempts, status, replays, at, token, reason)
        VALUES (${letters}, ${id}, ${JSON.stringify(message)}, ${Math.round(putAt)}, ${toText(error)}, ${attempts},
          'waiting', 0, ${Math.round(putAt)}, '', '')
        ON CONFLICT (letters, id) DO NOTHING
        RETURNING id`),
    list: (letters) => entries(sql<Row>`SELECT * FROM ${table} WHERE letters = ${letters}`),
    get: (letters, id) =>
      Effect.map(entries(sql<Row>`SELECT * FROM ${table} WHERE ${here(letters, id)}`), ([entry]) => entry),
    claim: (letters, id, { now, token, until }) =>
      Effect.map(
        entries(sql<Row>`
          UPDATE ${table}
          SET status = 'replaying', replays = replays + 1, at = ${Math.round(until)}, token = ${token}
          WHERE ${here(letters, id)} AND status <> 'parked' AND at <= ${Math.floor(now)}
          RETURNING *`),
        ([entry]) => entry
      ),
    renew: (letters, id, token, until) =>
      hasChanged(sql`UPDATE ${table} SET at = ${Math.round(until)} WHERE ${held(letters, id, token)} RETURNING id`),
    settle: (letters, id, token, to) => {
      const claimed = held(letters, id, token)
      if (to._tag === "Done") return hasChanged(sql`DELETE FROM ${table} WHERE ${claimed} RETURNING id`)
      const at = Math.round(to.at)
      const reason = toText(to.reason)
      return hasChanged(
        to._tag === "Parked"
          ? sql`UPDATE ${table} SET status = 'parked', at = ${at}, reason = ${reason} WHERE ${claimed} RETURNING id`
          : sql`UPDATE ${table} SET status = 'waiting', at = ${at}, reason = ${reason}, replays = ${to.replays}
              WHERE ${claimed} RETURNING id`
      )
    },
    retry: (letters, id) =>
      hasChanged(sql`
        UPDATE ${table} SET status = 'waiting', replays = 0, at = put_at
        WHERE ${here(letters, id)} AND status <> 'replaying'
        RETURNING id`),
    drop: (letters, id) => hasChanged(sql`DELETE FROM ${table} WHERE ${here(letters, id)} RETURNING id`),
    names: Effect.map(run(sql<{ readonly letters: string }>`SELECT DISTINCT letters FROM ${table}`), (rows) =>
      rows.map(({ letters }) => letters)
    )
  }
}

/**
 * Keeps letters in a table.
 *
 * **When to use** For letters of a service with many machines, and for letters that belong to a change of the same database.
 *
 * **Details** A letter is a row, and each operation is one statement, so a process may be killed at any moment. The clients of
 * PostgreSQL (`@effect/sql-pg`, `@effect/sql-pglite`) and SQLite (`@effect/sql-sqlite-node`, `-bun`, …, `@effect/sql-libsql`) are
 * supported; with another the layer fails with a `RangeError`. The table is created by the first operation, not by the layer: a program
 * starts also while its database is down.
 *
 * A `put` inside `sql.withTransaction` is part of that transaction: the letter is there when it commits, and only then.
 *
 * **Gotchas** Do not run `replay` inside a transaction, for its claims would be invisible to other processes until the end. Leases are compared
 * with the clocks of the processes. PostgreSQL allows about 2,700 bytes for a name and a key together.
 *
 * **Example** (A letter in the transaction of an order)
 *
 * ```ts no-run
 * import { PgClient } from "@effect/sql-pg"
 * import { Effect, Layer, Redacted, Schema } from "effect"
 * import { SqlClient } from "effect/sql"
 * import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
 * import * as Sql from "effect-resilience/jobs/Sql"
 *
 * class Mails extends DeadLetter.Service<Mails>()("app/Mails", { message: Schema.String, key: (order) => order }) {}
 *
 * const order = (id: string) =>
 *   Effect.gen(function*() {
 *     const sql = yield* SqlClient.SqlClient
 *     yield* sql.withTransaction(Effect.andThen(sql`INSERT INTO orders (id) VALUES (${id})`, Mails.put(id)))
 *   })
 *
 * const live = Mails.layer.pipe(
 *   Layer.provide(Sql.layer()),
 *   Layer.provideMerge(PgClient.layer({ url: Redacted.make("postgres://app@db.internal/shop") }))
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<DeadLetter.Store, never, SqlClient.SqlClient> => {
  Check.noUnknown(where, options, ["table", "create"])
  const table = Check.nonEmpty(where, "table", Check.orDefault(options.table, "resilience_letters"))
  const create = options.create !== false
  return Layer.effect(
    DeadLetter.Store,
    Effect.map(SqlClient.SqlClient, (client) => {
      const dialect = client.onDialect({
        sqlite: () => "sqlite",
        pg: () => "pg",
        mysql: () => "mysql",
        mssql: () => "mssql",
        clickhouse: () => "clickhouse"
      })
      if (!dialects.includes(dialect)) Check.invalid(where, "the client", "of PostgreSQL or SQLite", dialect)
      return makeStore(client, table, create)
    })
  )
}
