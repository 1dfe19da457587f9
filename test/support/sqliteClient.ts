/** Effect's `SqlClient` on `node:sqlite`, as the drivers of Effect make it: one connection, which transactions hold. */
import { DatabaseSync, type SQLInputValue } from "node:sqlite"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import { SqlClient, SqlError, Statement } from "effect/sql"

const open = (path: string): DatabaseSync => {
  const database = new DatabaseSync(path, { timeout: 10_000 })
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL")
  return database
}

const make = (path: string): Effect.Effect<SqlClient.SqlClient, never, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function* () {
    const database = yield* Effect.acquireRelease(
      Effect.sync(() => open(path)),
      (database) => Effect.sync(() => database.close())
    )
    const all = (sql: string, values: ReadonlyArray<unknown>): Effect.Effect<ReadonlyArray<any>, SqlError.SqlError> =>
      Effect.try({
        // The values that a statement of these tests has.
        try: () => database.prepare(sql).all(...(values as ReadonlyArray<SQLInputValue>)),
        catch: (cause) => new SqlError.SqlError({ reason: SqlError.classifySqliteError(cause) })
      })
    const values = (sql: string, params: ReadonlyArray<unknown>) =>
      Effect.map(all(sql, params), (rows) => rows.map(Object.values))
    const connection = {
      execute: (sql: string, params: ReadonlyArray<unknown>) => all(sql, params),
      executeRaw: all,
      executeStream: (sql: string, params: ReadonlyArray<unknown>) =>
        Stream.unwrap(Effect.map(all(sql, params), Stream.fromIterable)),
      executeValues: values,
      executeValuesUnprepared: values,
      executeUnprepared: (sql: string, params: ReadonlyArray<unknown>) => all(sql, params)
    }
    const acquirers = SqlClient.makeSqliteAcquirers({
      connection: Effect.succeed(connection),
      semaphore: yield* Semaphore.make(1),
      isTransaction: () => database.isTransaction
    })
    return yield* SqlClient.make({
      ...acquirers,
      compiler: Statement.makeCompilerSqlite(),
      driver: "sqlite-node",
      spanAttributes: [],
      beginTransaction: "BEGIN IMMEDIATE"
    })
  })

export const sqliteClient = (path: string): Layer.Layer<SqlClient.SqlClient> =>
  Layer.provide(Layer.effect(SqlClient.SqlClient, make(path)), Reactivity.layer)
