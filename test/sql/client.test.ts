/** A protected client as a client: keys, options, statements, the layer and its errors. The server is in memory. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { SqlClient, SqlError, SqlSchema, Statement } from "effect/sql"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, Retry, Transient, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/sql/SqlClient"

type Answer = Effect.Effect<ReadonlyArray<Record<string, unknown>>, SqlError.SqlError>

const failed = (reason: SqlError.SqlErrorReason): Answer => Effect.fail(new SqlError.SqlError({ reason }))
const well: Answer = Effect.succeed([{ user_id: 1 }])
const reset = failed(new SqlError.ConnectionError({ cause: new Error("reset"), operation: "query" }))

/** A client of a server that answers in this order, the last answer for all further statements, and what it received. */
const serverOf = (config: object | undefined, ...answers: ReadonlyArray<Answer>) =>
  Effect.gen(function* () {
    const received: Array<string> = []
    const control = /^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT)/
    let count = 0
    const answer = (sql: string): Answer =>
      Effect.suspend(() => {
        received.push(sql)
        return control.test(sql) ? Effect.succeed([]) : answers[Math.min(count++, answers.length - 1)]!
      })
    const connection = {
      execute: (sql: string, _: unknown, transform: ((rows: ReadonlyArray<any>) => ReadonlyArray<any>) | undefined) =>
        Effect.map(answer(sql), (rows) => transform?.(rows) ?? rows),
      executeRaw: answer,
      executeStream: (sql: string) => Stream.unwrap(Effect.map(answer(sql), Stream.fromIterable)),
      executeValues: (sql: string) => Effect.map(answer(sql), (rows) => rows.map(Object.values)),
      executeValuesUnprepared: (sql: string) => Effect.map(answer(sql), (rows) => rows.map(Object.values)),
      executeUnprepared: answer
    }
    const client = yield* SqlClient.make({
      acquirer: Effect.succeed(connection),
      compiler: Statement.makeCompilerSqlite(),
      driver: "memory",
      spanAttributes: [],
      transformRows: Statement.defaultTransforms((name) => name.toUpperCase()).array
    }).pipe(Effect.provide(Reactivity.layer))
    return { client: Object.assign(client, { config, extra: () => "extra" }), received }
  })

const retry = Retry.backoff({ base: "1 millis", times: 2, jitter: "none" })

describe("keys", () => {
  it.effect.each([
    [{ host: "db.internal", port: 5432, database: "shop" }, "db.internal:5432/shop"],
    [
      { url: Redacted.make("postgres://ann:secret@db.internal:5433/shop?ssl=true"), host: "x" },
      "db.internal:5433/shop"
    ],
    [{ url: "mysql://db.internal/" }, "db.internal"],
    [{ host: "db.internal", database: "shop" }, "db.internal/shop"],
    [{ server: "mssql.internal" }, "mssql.internal"],
    [{ filename: "shop.db" }, "shop.db"],
    [{ url: Redacted.make("no url"), port: 1 }, "default"],
    [undefined, "default"]
  ] as const)("%j has the key %s, without credentials", ([config, key]) =>
    Effect.gen(function* () {
      const { client } = yield* serverOf(config, well)
      const db = yield* Policy.make("db", { breaker: {} })
      yield* Resilient.protect(db)(client)`SELECT 1`
      yield* Resilient.protect(db, { key: "mine" })(client)`SELECT 1`
      assert.deepStrictEqual((yield* db.allStats).map((stats) => stats.key).sort(), [key, "mine"].sort())
    })
  )
})

describe("options", () => {
  it("wrong ones are refused at once", () => {
    const db = Effect.runSync(Policy.make("db", { breaker: {} }))
    const refused = (options: object, message: string) =>
      assert.throws(() => Resilient.protect(db, options as never), RangeError, message)
    refused({ key: 1 }, "key")
    refused({ repeat: true }, "repeat must be a function")
    refused({ body: true }, "body")
    assert.throws(() => Resilient.protect({} as never), RangeError, "policy must be a class made by Policy.Service")
  })
})

describe("statements", () => {
  it.effect("each way to run one is a call; a part of another is none; transforms and further members stay", () =>
    Effect.gen(function* () {
      const { client, received } = yield* serverOf(undefined, well)
      const db = yield* Policy.make("db", { breaker: {} })
      const sql = Resilient.protect(db)(client)
      const where = sql`WHERE id = ${1}`
      const select = sql`SELECT * FROM ${sql("users")} ${where}`
      assert.deepStrictEqual(yield* select, [{ USER_ID: 1 }])
      assert.deepStrictEqual(yield* select.withoutTransform, [{ user_id: 1 }])
      assert.deepStrictEqual(yield* sql.withoutTransforms()`SELECT 1`, [{ user_id: 1 }])
      assert.deepStrictEqual(yield* select.values, [[1]])
      yield* select.raw
      yield* select.unprepared
      yield* select.valuesUnprepared
      yield* Stream.runDrain(select.stream)
      yield* sql.unsafe("SELECT 2")
      assert.strictEqual((yield* db.stats()).totals.successes, 9)
      assert.strictEqual(received.length, 9)
      assert.deepStrictEqual(select.compile(), ['SELECT * FROM "users" WHERE id = ?', [1]])
      assert.deepStrictEqual(yield* client`SELECT 1 ${where}`, [{ USER_ID: 1 }])
      assert.isTrue(Statement.isFragment(select) && Effect.isEffect(select))
      assert.strictEqual(sql.safe, sql)
      assert.strictEqual(sql.extra(), "extra")
      assert.deepStrictEqual(sql.in([1, 2]), client.in([1, 2]))
    })
  )

  it.effect("what `repeat` throws counts as false", () =>
    Effect.gen(function* () {
      const { client, received } = yield* serverOf(undefined, reset)
      const db = yield* Policy.make("db", { retry })
      const repeat = () => {
        throw new Error("repeat")
      }
      const error = yield* Effect.flip(Resilient.protect(db, { repeat })(client)`SELECT 1`)
      assert.strictEqual(error._tag, "SqlError")
      assert.strictEqual(received.length, 1)
    })
  )

  it.effect("a retry around the client repeats no more than the policy has", () =>
    Effect.gen(function* () {
      const { client, received } = yield* serverOf(undefined, reset)
      const sql = Resilient.protect(yield* Policy.make("db", { retry }))(client)
      const around = yield* Policy.make("around", { retry })
      for (const call of [sql`SELECT 1`, Resilient.once(sql`SELECT 1`)]) {
        yield* Effect.exit(call.pipe(Transient.known, around.protect))
      }
      assert.strictEqual(received.length, 2)
    })
  )
})

describe("the pool", () => {
  it.effect("a bulkhead that admits more calls than it has connections is warned of, once", () =>
    Effect.gen(function* () {
      const logged: Array<unknown> = []
      const logger = Logger.layer([Logger.make(({ message }) => logged.push(message))])
      const calls = (maxConcurrent: number) =>
        Effect.gen(function* () {
          const { client } = yield* serverOf({ maxConnections: 5 }, well)
          const sql = Resilient.protect(yield* Policy.make(`db-${maxConcurrent}`, { bulkhead: { maxConcurrent } }))(
            client
          )
          yield* sql`SELECT 1`
          yield* sql.withTransaction(sql`SELECT 1`)
        }).pipe(Effect.provide(logger))
      yield* calls(5)
      assert.deepStrictEqual(logged, [])
      yield* calls(6)
      assert.strictEqual(logged.length, 1)
      assert.include(
        String(logged),
        "db-6 [default]: bulkhead.maxConcurrent is 6, and the pool of the SQL client has 5"
      )
    })
  )
})

describe("layer", () => {
  class Db extends Policy.Service<Db>()("app/Db", {
    breaker: { trip: TripPolicy.consecutive(1) },
    timeout: "1 second"
  }) {}
  const over = (client: SqlClient.SqlClient) =>
    Resilient.layer(Db).pipe(Layer.provide([Layer.succeed(SqlClient.SqlClient)(client), Db.layer]))
  const find = SqlSchema.findAll({
    Request: Schema.Number,
    Result: Schema.Struct({ USER_ID: Schema.Number }),
    execute: (id) => Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT * FROM users WHERE id = ${id}`)
  })

  it.effect("code that requires an SqlClient is protected; rejections are SqlError, with the rejection as cause", () =>
    Effect.gen(function* () {
      const { client, received } = yield* serverOf(undefined, well, reset)
      yield* Effect.gen(function* () {
        assert.deepStrictEqual(yield* find(1), [{ USER_ID: 1 }])
        yield* Effect.flip(find(1))
        const sql = yield* SqlClient.SqlClient
        const calls = [
          find(1),
          sql`SELECT 1`,
          sql.withTransaction(sql`SELECT 1`),
          Stream.runDrain(sql`SELECT 1`.stream)
        ]
        for (const call of [...calls, Effect.scoped(sql.reserve)]) {
          const error = yield* Effect.flip((call as (typeof calls)[1]).pipe(Transient.known))
          assert.instanceOf(error, SqlError.SqlError)
          assert.strictEqual(Rejection.of(error)?._tag, "CircuitOpen")
          assert.include(error.message, "app/Db: the circuit is open")
          assert.isFalse(Transient.is(error))
          assert.isTrue(Transient.isUnprocessed(error))
          assert.isFalse(Resilient.isOutcomeUnknown(error))
        }
      }).pipe(Effect.provide(over(client)))
      assert.strictEqual(received.length, 2)
    })
  )

  it.effect("a timeout is a transient SqlError; a rejection that the body of a transaction fails with stays one", () =>
    Effect.gen(function* () {
      const { client, received } = yield* serverOf(undefined, Effect.never)
      const foreign = new Rejection.BulkheadFull({
        policy: "other",
        key: "k",
        running: 1,
        waiting: 0,
        reason: "full"
      } as never)
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const own = yield* Effect.flip(sql.withTransaction(Effect.fail(foreign)))
        assert.strictEqual(own, foreign)
        const fiber = yield* Effect.forkChild(Effect.flip(sql`SELECT 1`), { startImmediately: true })
        yield* TestClock.adjust("1 second")
        const error = yield* Fiber.join(fiber)
        assert.strictEqual(error.reason._tag, "StatementTimeoutError")
        assert.isTrue(Transient.isKnown(error))
        assert.isTrue(Resilient.isOutcomeUnknown(error))
      }).pipe(Effect.provide(over(client)))
      assert.deepStrictEqual(received, ["BEGIN", "ROLLBACK", "SELECT 1"])
    })
  )

  it.effect("a policy around ignores a rejection inside an SqlError", () =>
    Effect.gen(function* () {
      const { client } = yield* serverOf(undefined, reset)
      const around = yield* Policy.make("around", { retry, breaker: {} })
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const call = sql`SELECT 1`.pipe(Transient.known, around.protect)
        yield* Effect.exit(sql`SELECT 1`)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(call)))
      }).pipe(Effect.provide(over(client)))
      const { totals } = yield* around.stats()
      assert.deepStrictEqual([totals.ignored, totals.failures, totals.retries], [1, 0, 0])
    })
  )
})
