/** Permits, time limits, circuits and streams of a protected client, on PostgreSQL. */
import { assert } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import type { SqlClient } from "effect/sql"
import { Policy, Retry, Timeout, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/sql/SqlClient"
import { cutOnceAt, onPostgres, test } from "./support.ts"

/** Statements that the server works on, other than this one. */
const activity = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql`SELECT 1 FROM pg_stat_activity WHERE state <> 'idle' AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
    (rows) => rows.length
  )

const until = <E>(count: Effect.Effect<number, E>, wanted: number) =>
  Effect.repeat(count, { until: (now) => now === wanted })

const running = (db: { readonly allStats: Policy.Policy["allStats"] }) =>
  Effect.map(db.allStats, ([stats]) => stats?.running ?? 0)

const single = Policy.make("db", { breaker: {}, bulkhead: { maxConcurrent: 1, maxQueued: 0 } })

onPostgres("permits and time limits", () => {
  test("a transaction holds one permit for its statements, savepoints and what runs after its commit", ({
    plain,
    rows
  }) =>
    Effect.gen(function* () {
      const db = yield* single
      const sql = Resilient.protect(db)(plain)
      const insert = (id: number) => sql`INSERT INTO entries VALUES (${id})`
      yield* sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(1)
          yield* sql.withTransaction(insert(2))
          yield* Stream.runDrain(sql`SELECT 1`.stream)
          yield* sql.afterCommit(Effect.orDie(insert(3)))
          yield* sql.afterCommit(Effect.orDie(sql.withTransaction(insert(4))))
          assert.strictEqual(yield* running(db), 1)
        })
      )
      assert.deepStrictEqual(yield* rows, [1, 2, 3, 4])
      const [stats] = yield* db.allStats
      assert.deepStrictEqual([stats?.totals.successes, stats?.running], [1, 0])
    }))

  test("statements of the client in a transaction of the protected one run in it, and the other way round", ({
    plain,
    rows
  }) =>
    Effect.gen(function* () {
      const db = yield* single
      const sql = Resilient.protect(db)(plain)
      const failing = <E>(insert: Effect.Effect<unknown, E>) => Effect.andThen(insert, Effect.fail("undo" as const))
      yield* Effect.flip(sql.withTransaction(failing(plain`INSERT INTO entries VALUES (1)`)))
      yield* Effect.flip(plain.withTransaction(failing(sql`INSERT INTO entries VALUES (2)`)))
      assert.deepStrictEqual(yield* rows, [])
      assert.strictEqual((yield* db.allStats)[0]?.totals.successes, 1)
    }))

  test("a statement that the server hangs on is cancelled there, frees its permit and opens the circuit", ({
    plain,
    sql: direct
  }) =>
    Effect.gen(function* () {
      const db = yield* Policy.make("db", {
        retry: Retry.backoff({ base: "1 millis" }),
        breaker: { trip: TripPolicy.consecutive(2) },
        bulkhead: { maxConcurrent: 1, maxQueued: 0 },
        timeout: "50 millis"
      })
      const sql = Resilient.protect(db)(plain)
      const errors = yield* Effect.replicateEffect(Effect.flip(sql`SELECT pg_sleep(100)`), 3)
      assert.deepStrictEqual(
        errors.map(({ _tag }) => _tag),
        ["TimedOut", "TimedOut", "CircuitOpen"]
      )
      assert.deepStrictEqual(errors.map(Resilient.isOutcomeUnknown), [true, true, false])
      assert.strictEqual(yield* running(db), 0)
      yield* until(activity(direct), 0)
    }))

  test("a server that answers nothing frees the permits when the driver gives its connections up, and no defect is left", ({
    plain,
    proxy
  }) =>
    Effect.gen(function* () {
      const db = yield* Policy.make("db", {
        breaker: { trip: TripPolicy.consecutive(2) },
        bulkhead: { maxConcurrent: 2, maxQueued: 0 },
        timeout: "1 second"
      })
      const sql = Resilient.protect(db)(plain)
      yield* Effect.all([plain`SELECT 1`, plain`SELECT 1`], { concurrency: 2 })
      const held = yield* Deferred.make<void>()
      const transaction = sql.withTransaction(
        Effect.gen(function* () {
          yield* proxy.hold
          yield* Deferred.succeed(held, undefined)
          yield* sql`SELECT 1`
        })
      )
      const statement = Effect.andThen(Deferred.await(held), sql`SELECT 1`)
      const errors = yield* Effect.all([Effect.flip(transaction), Effect.flip(statement)], { concurrency: 2 })
      assert.deepStrictEqual(
        errors.map(({ _tag }) => _tag),
        ["TimedOut", "TimedOut"]
      )
      assert.strictEqual(yield* running(db), 0)
      assert.strictEqual((yield* Effect.flip(sql`SELECT 1`))._tag, "CircuitOpen")
      yield* proxy.release
    }).pipe(Effect.provideService(Timeout.WarnOfOverrun, false)))

  test(
    "an interrupted statement or transaction frees its connection and its permit, and counts for nothing",
    ({ plain, rows, sql: direct }) =>
      Effect.gen(function* () {
        const db = yield* single
        const sql = Resilient.protect(db)(plain)
        const sleep = sql`SELECT pg_sleep(100)`
        const insert = sql`INSERT INTO entries VALUES (1)`
        for (const work of [sleep, sql.withTransaction(Effect.andThen(insert, sleep)), Stream.runDrain(sleep.stream)]) {
          const fiber = yield* Effect.forkChild(work as Effect.Effect<unknown, unknown>)
          yield* until(activity(direct), 1)
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(yield* running(db), 0)
          assert.strictEqual((yield* sql`SELECT 1`).length, 1)
        }
        const [stats] = yield* db.allStats
        assert.deepStrictEqual([stats?.totals.ignored, stats?.totals.failures], [3, 0])
        assert.deepStrictEqual(yield* rows, [])
      }),
    { maxConnections: 1 }
  )

  test("a stream holds one permit for its life, and so does a reserved connection", ({ plain }) =>
    Effect.gen(function* () {
      const db = yield* single
      const sql = Resilient.protect(db)(plain)
      const seen = yield* Queue.unbounded<number>()
      const rows = sql<{ n: number }>`SELECT generate_series(1, 100000) AS n`.stream
      yield* rows.pipe(
        Stream.tap(({ n }) => Effect.andThen(running(db), (now) => Queue.offer(seen, now * n))),
        Stream.take(2),
        Stream.runDrain
      )
      assert.deepStrictEqual([yield* Queue.take(seen), yield* Queue.take(seen), yield* running(db)], [1, 2, 0])

      const reserved = Effect.gen(function* () {
        const connection = yield* sql.reserve
        const full = yield* Effect.flip(sql`SELECT 1`)
        return [full._tag, yield* connection.executeValues("SELECT 7", [])]
      })
      assert.deepStrictEqual(yield* Effect.scoped(reserved), ["BulkheadFull", [[7]]])
      assert.strictEqual(yield* running(db), 0)
    }))

  test("a stream is opened again before its first row, if it was marked or never had a connection", ({
    connect,
    proxy
  }) =>
    Effect.gen(function* () {
      const db = yield* Policy.make("db", { retry: Retry.backoff({ base: "1 millis", times: 1 }) })
      const losing = (script: Faulty.TcpScript) =>
        Effect.andThen(proxy.setScript(script), Effect.map(connect, Resilient.protect(db)))
      const stream = (sql: Resilient.Client<"retry", {}>) => Stream.runCollect(sql<{ n: number }>`SELECT 1 AS n`.stream)

      const lost = cutOnceAt("SELECT", { forward: true })
      const error = yield* Effect.flip(stream(yield* losing(lost)))
      assert.isTrue(Resilient.isOutcomeUnknown(error))
      const marked = cutOnceAt("SELECT", { forward: true })
      assert.deepStrictEqual(yield* Resilient.idempotent(stream(yield* losing(marked))), [{ n: 1 }])
      assert.deepStrictEqual(yield* stream(yield* losing([Faulty.reset, Faulty.pass])), [{ n: 1 }])
    }))
})
