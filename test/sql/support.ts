/** A PostgreSQL server, a proxy in front of it, and clients through the proxy. */
import { PgClient } from "@effect/sql-pg"
import { describe, it } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Scope from "effect/Scope"
import type { SqlClient, SqlError } from "effect/sql"
import { afterAll, beforeAll } from "vitest"
import { isInstalled, notInstalled, postgres } from "../support/postgres.ts"

/** Tests on one server. */
export const onPostgres = (title: string, tests: () => void) =>
  describe.skipIf(!isInstalled)(isInstalled ? title : `${title} (${notInstalled})`, () => {
    const scope = Scope.makeUnsafe()
    beforeAll(async () => {
      port = (await Effect.runPromise(Scope.provide(postgres, scope))).port
    })
    afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))
    tests()
  })

let port = 0

export interface World {
  readonly proxy: Faulty.Tcp
  /** The client under test, through the proxy. */
  readonly plain: PgClient.PgClient
  /** Another one, that has no connection yet. */
  readonly connect: Effect.Effect<PgClient.PgClient, SqlError.SqlError, Scope.Scope>
  /** Looks at the server, past the proxy. */
  readonly sql: SqlClient.SqlClient
  /** What is in the table when the server has ended the work of all connections that were cut. */
  readonly rows: Effect.Effect<ReadonlyArray<number>>
}

/** A test with a proxy, two clients and a table `entries (id, note)` without a key, so that a duplicate is a row. */
export const test = (
  title: string,
  run: (world: World) => Effect.Effect<void, unknown, Scope.Scope>,
  config: PgClient.PgPoolConfig = {}
): void =>
  it.live(title, () =>
    Effect.gen(function* () {
      const proxy = yield* Faulty.tcp({ port })
      const common = { host: "127.0.0.1", username: "postgres", database: "postgres" }
      const connect = Effect.provide(
        PgClient.make({ ...common, port: proxy.port, maxConnections: 4, ...config }),
        Reactivity.layer
      )
      const plain = yield* connect
      const sql = yield* PgClient.make({ ...common, port })
      yield* sql`DROP TABLE IF EXISTS entries`
      yield* sql`CREATE TABLE entries (id int, note text)`
      // A cut connection ends at the client first: the server may still have commands of it.
      const settled = Effect.gen(function* () {
        const [busy] = yield* sql<{ backends: number; active: number }>`
          SELECT count(*)::int AS backends, count(*) FILTER (WHERE state <> 'idle')::int AS active
          FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()`
        const { accepted, connections, cuts } = yield* proxy.state
        return busy !== undefined && busy.active === 0 && busy.backends <= Math.min(connections, accepted - cuts)
      })
      const rows = Effect.repeat(settled, { until: (isSettled) => isSettled }).pipe(
        Effect.andThen(sql<{ id: number }>`SELECT id FROM entries ORDER BY id`),
        Effect.map((rows) => rows.map(({ id }) => id)),
        Effect.orDie
      )
      yield* run({ proxy, plain, connect, sql, rows })
    }).pipe(Effect.scoped, Effect.provide(Reactivity.layer))
  )

/** Cuts a connection when a command passes: before it reaches the server, or with its answer lost. */
export const cutAt = (command: string, options: { readonly forward: boolean }) =>
  Faulty.cutWhen(({ from, text }) => from === "client" && text.includes(command), options)

/** As `cutAt`, for the first such command on all connections. A pool may make connections that nothing waits for. */
export const cutOnceAt = (command: string, options: { readonly forward: boolean }): Faulty.TcpScript => {
  let cuts = 0
  return [Faulty.cutWhen(({ from, text }) => from === "client" && text.includes(command) && cuts++ === 0, options)]
}
