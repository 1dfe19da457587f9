/** What is repeated and what is not, on PostgreSQL behind a proxy that cuts connections: rows are counted. */
import { assert } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { SqlClient, type SqlError } from "effect/sql"
import { Policy, Retry, Transient } from "effect-resilience"
import * as Resilient from "effect-resilience/sql/SqlClient"
import { cutAt, cutOnceAt, onPostgres, test } from "./support.ts"

const retry = Retry.backoff({ base: "1 millis", cap: "1 millis", times: 3, jitter: "none" })
const makeDb = Policy.make("db", { retry, breaker: {}, bulkhead: { maxConcurrent: 4 } })

onPostgres("what is repeated", () => {
  test("a transaction whose COMMIT got no answer is not repeated: retried by isRetryable, it writes the row twice", (world) =>
    Effect.gen(function* () {
      const { plain, proxy, rows } = world
      const lost = () => cutOnceAt("COMMIT", { forward: true })
      const insert = (sql: { readonly unsafe: SqlClient.SqlClient["unsafe"] }, id: number) =>
        sql.unsafe("INSERT INTO entries VALUES ($1)", [id])

      yield* proxy.setScript(lost())
      const naive = plain.withTransaction(insert(plain, 1))
      yield* Effect.retry(naive, { times: 3, while: (error) => error.isRetryable })
      assert.deepStrictEqual(yield* rows, [1, 1])

      const db = yield* makeDb
      const sql = Resilient.protect(db)(yield* world.connect)
      yield* proxy.setScript(lost())
      const error = yield* Effect.flip(sql.withTransaction(sql`INSERT INTO entries VALUES (2)`))
      assert.strictEqual(error._tag, "SqlError")
      assert.isTrue(Resilient.isOutcomeUnknown(error))
      assert.isFalse(Transient.isUnprocessed(error))
      assert.deepStrictEqual(yield* rows, [1, 1, 2])
      assert.strictEqual((yield* db.allStats)[0]?.totals.retries, 0)
    }))

  test("a lost COMMIT of a transaction that is marked idempotent is repeated", ({ plain, proxy, rows }) =>
    Effect.gen(function* () {
      const sql = Resilient.protect(yield* makeDb)(plain)
      yield* proxy.setScript(cutOnceAt("COMMIT", { forward: true }))
      const upsert = sql`DELETE FROM entries`.pipe(Effect.andThen(sql`INSERT INTO entries VALUES (1)`))
      yield* sql.withTransaction(upsert).pipe(Resilient.idempotent)
      assert.deepStrictEqual(yield* rows, [1])
    }))

  test("a transaction that lost its connection before its COMMIT was rolled back, and is repeated", ({
    connect,
    proxy,
    rows
  }) =>
    Effect.gen(function* () {
      const db = yield* makeDb
      for (const command of ["BEGIN", "INSERT"]) {
        const sql = Resilient.protect(db)(yield* connect)
        yield* proxy.setScript(cutOnceAt(command, { forward: true }))
        yield* sql.withTransaction(sql`INSERT INTO entries VALUES (1)`)
      }
      assert.deepStrictEqual(yield* rows, [1, 1])
    }))

  test("a connection lost in a transaction is its SqlError, also in a savepoint: Effect's client dies", ({
    plain,
    proxy
  }) =>
    Effect.gen(function* () {
      const cut = proxy.setScript([cutAt("INSERT", { forward: false })])
      yield* cut
      const dies = yield* Effect.exit(plain.withTransaction(plain`INSERT INTO entries VALUES (1)`))
      assert.isTrue(Exit.hasDies(dies))

      const sql = Resilient.protect(yield* makeDb)(plain)
      const inSavepoint = sql.withTransaction(sql`INSERT INTO entries VALUES (1)`)
      for (const body of [sql`INSERT INTO entries VALUES (1)`, inSavepoint]) {
        const error = yield* Effect.flip(Resilient.once(sql.withTransaction(body)))
        assert.strictEqual((error as SqlError.SqlError).reason._tag, "ConnectionError")
        assert.isTrue(Transient.isUnprocessed(error))
        assert.isFalse(Resilient.isOutcomeUnknown(error))
      }
    }))

  test("a statement that lost its answer is not repeated, unless it is marked", ({ connect, proxy, rows }) =>
    Effect.gen(function* () {
      const db = yield* makeDb
      const repeat: Resilient.Options["repeat"] = (statement) => statement.compile()[0].startsWith("SELECT")
      /** A client whose first connection loses the answer to a command. */
      const losing = (command: string) =>
        Effect.andThen(
          proxy.setScript(cutOnceAt(command, { forward: true })),
          Effect.map(connect, Resilient.protect(db, { repeat }))
        )
      const insert = yield* losing("INSERT")
      const error = yield* Effect.flip(insert`INSERT INTO entries VALUES (1)`)
      assert.isTrue(Resilient.isOutcomeUnknown(error))
      assert.deepStrictEqual(yield* rows, [1])

      const select = yield* losing("SELECT")
      assert.deepStrictEqual(yield* select`SELECT id FROM entries`, [{ id: 1 }])
      const selectOnce = yield* losing("SELECT")
      yield* Effect.flip(Resilient.once(selectOnce`SELECT id FROM entries`))

      const update = yield* losing("UPDATE")
      yield* Resilient.idempotent(update`UPDATE entries SET id = 7`.values)
      assert.deepStrictEqual(yield* rows, [7])
    }))

  test("a connection that was refused or reset while it was made is tried again, for every statement", ({
    connect,
    proxy,
    rows
  }) =>
    Effect.gen(function* () {
      yield* proxy.refuse
      const db = yield* Policy.make("db", {
        retry: { schedule: retry, onRetry: ({ attempt }) => (attempt === 1 ? proxy.accept : Effect.void) }
      })
      const refused = Resilient.protect(db)(yield* connect)
      yield* refused`INSERT INTO entries VALUES (1)`
      const sql = Resilient.protect(db)(yield* connect)
      yield* proxy.setScript([Faulty.reset, Faulty.pass])
      yield* sql.withTransaction(sql`INSERT INTO entries VALUES (2)`)
      assert.deepStrictEqual(yield* rows, [1, 2])
    }))

  test("two transactions that lock each other out are repeated until both end", ({ plain, sql: direct, rows }) =>
    Effect.gen(function* () {
      yield* direct`INSERT INTO entries VALUES (1), (2)`
      const db = yield* makeDb
      const sql = Resilient.protect(db)(plain)
      const both = [yield* Deferred.make<void>(), yield* Deferred.make<void>()] as const
      const move = (first: number, second: number, mine: Deferred.Deferred<void>, other: Deferred.Deferred<void>) =>
        sql.withTransaction(
          Effect.gen(function* () {
            yield* sql`UPDATE entries SET note = coalesce(note, '') || 'x' WHERE id = ${first}`
            yield* Deferred.succeed(mine, undefined)
            yield* Deferred.await(other)
            yield* sql`UPDATE entries SET note = coalesce(note, '') || 'x' WHERE id = ${second}`
          })
        )
      yield* Effect.all([move(1, 2, ...both), move(2, 1, both[1], both[0])], { concurrency: 2 })
      // One, unless the other one is its victim meanwhile.
      assert.isAtLeast((yield* db.allStats)[0]?.totals.retries ?? 0, 1)
      assert.deepStrictEqual(yield* direct`SELECT note FROM entries`, [{ note: "xx" }, { note: "xx" }])
      assert.deepStrictEqual(yield* rows, [1, 2])
    }))

  test("a serialization failure is repeated: no update is lost", ({ plain, sql: direct }) =>
    Effect.gen(function* () {
      yield* direct`INSERT INTO entries VALUES (0)`
      const db = yield* makeDb
      const sql = Resilient.protect(db)(plain)
      const gate = yield* Deferred.make<void>()
      let readers = 0
      const increment = sql
        .withTransaction(
          Effect.gen(function* () {
            const [row] = yield* sql<{ id: number }>`SELECT id FROM entries`
            if (++readers === 2) yield* Deferred.succeed(gate, undefined)
            yield* Deferred.await(gate)
            yield* sql`UPDATE entries SET id = ${row!.id + 1}`
          })
        )
        .pipe(Effect.provideService(SqlClient.BeginTransaction, "BEGIN ISOLATION LEVEL SERIALIZABLE"))
      yield* Effect.all([increment, increment], { concurrency: 2 })
      assert.deepStrictEqual(yield* direct`SELECT id FROM entries`, [{ id: 2 }])
      assert.strictEqual((yield* db.allStats)[0]?.totals.retries, 1)
    }))

  test("an error of the body is not repeated, and neither is a transaction marked once", ({ plain, rows }) =>
    Effect.gen(function* () {
      const sql = Resilient.protect(yield* makeDb)(plain)
      let runs = 0
      const body = Effect.gen(function* () {
        runs += 1
        yield* sql`INSERT INTO entries VALUES (1)`
        return yield* Effect.fail("not enough" as const)
      })
      assert.strictEqual(yield* Effect.flip(sql.withTransaction(body)), "not enough")
      const deadlock = sql`DO $$ BEGIN RAISE EXCEPTION SQLSTATE '40P01'; END $$`
      const counted = Effect.suspend(() =>
        Effect.andThen(
          Effect.sync(() => (runs += 1)),
          deadlock
        )
      )
      yield* Effect.flip(Resilient.once(sql.withTransaction(counted)))
      assert.strictEqual(runs, 2)
      yield* Effect.flip(sql.withTransaction(counted))
      assert.strictEqual(runs, 6)
      assert.deepStrictEqual(yield* rows, [])
    }))

  test("under connections that are cut at random no row is written twice, and none that was confirmed is missing", (world) =>
    Effect.gen(function* () {
      const { plain, proxy, rows } = world
      const sql = Resilient.protect(yield* makeDb)(plain)
      // Cut before or after the server has the command, at the commands in turn.
      const commands = ["BEGIN", "INSERT", "COMMIT"]
      yield* proxy.setScript((n) => (n % 4 === 0 ? Faulty.pass : cutAt(commands[n % 3]!, { forward: n % 2 === 0 })))
      const write = (id: number) => {
        const insert = sql`INSERT INTO entries VALUES (${id})`
        return Effect.exit<unknown, unknown, never>(id % 2 === 0 ? sql.withTransaction(insert) : insert)
      }
      const ids = Array.from({ length: 100 }, (_, id) => id)
      const exits = yield* Effect.forEach(ids, write, { concurrency: 4 })
      yield* proxy.cut
      const written = yield* rows
      assert.deepStrictEqual(written, [...new Set(written)])
      const unknown = exits.filter((exit) => Exit.isFailure(exit)).length
      assert.isAbove(unknown, 0)
      ids.forEach((id) => {
        const exit = exits[id]!
        if (Exit.isSuccess(exit)) assert.include(written, id)
        else assert.isFalse(Exit.hasDies(exit))
      })
    }))
})
