// A whole SQL client behind one policy, in one line, against a real PostgreSQL server behind a proxy that cuts, hangs and refuses:
// every order is written exactly once, and a COMMIT that got no answer is reported as unknown and not repeated.
import assert from "node:assert/strict"
import { PgClient } from "@effect/sql-pg"
import * as Faulty from "@effect-resilience/testing/Faulty"
import { Deferred, Effect } from "effect"
import * as Reactivity from "effect/reactivity/Reactivity"
import { Policy, Rejection, Retry, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/sql/SqlClient"
import { isInstalled, notInstalled, postgres } from "../test/support/postgres.ts"

class Db extends Policy.Service<Db>()("app/Db", {
  retry: Retry.backoff({ base: "5 millis", cap: "20 millis", times: 3 }),
  breaker: { trip: TripPolicy.consecutive(3) },
  bulkhead: { maxConcurrent: 4, maxQueued: 10, maxWait: "1 second" },
  timeout: "5 seconds"
}) {}

const program = Effect.gen(function* () {
  const server = yield* postgres
  const proxy = yield* Faulty.tcp({ port: server.port })
  const connect = PgClient.make({
    host: proxy.host,
    port: proxy.port,
    username: "postgres",
    database: "postgres",
    maxConnections: 4
  })

  // The one line.
  const sql = yield* Effect.map(connect, Resilient.protect(Db, { key: "orders" }))

  yield* sql`CREATE TABLE orders (id int, item text)`
  const order = (id: number) =>
    sql.withTransaction(
      Effect.andThen(
        sql`INSERT INTO orders VALUES (${id}, 'tea')`,
        sql`UPDATE orders SET item = 'tea, black' WHERE id = ${id}`
      )
    )
  const orders = sql<{ id: number }>`SELECT id FROM orders ORDER BY id`.pipe(
    // A read may be done twice.
    Resilient.idempotent,
    Effect.map((rows) => rows.map(({ id }) => id))
  )
  /** Cuts the connection once, at a command. The server does what it says, and its answer is lost. */
  const loseOnce = (command: string) => {
    let cuts = 0
    const cut = Faulty.cutWhen(({ from, text }) => from === "client" && text.includes(command) && cuts++ === 0, {
      forward: true
    })
    return Effect.andThen(proxy.setScript([cut]), proxy.cut)
  }

  // Lost in the middle: the server rolls the transaction back, so it is repeated.
  yield* loseOnce("UPDATE")
  yield* order(1)
  console.log(`after a connection lost in a transaction: ${yield* orders}`)

  // Lost at the end: it may have been committed, so it is not repeated. The program looks, and knows.
  yield* loseOnce("COMMIT")
  const error = yield* Effect.flip(order(2))
  assert.ok(Resilient.isOutcomeUnknown(error))
  yield* Effect.repeat(orders, { until: (ids) => ids.includes(2) })
  console.log(`after a COMMIT without an answer: ${yield* orders}`)
  assert.deepEqual(yield* orders, [1, 2])

  // Two transactions that lock each other out: the server ends one, which is repeated.
  const met = [yield* Deferred.make<void>(), yield* Deferred.make<void>()] as const
  const rename = (mine: 0 | 1) =>
    sql.withTransaction(
      Effect.gen(function* () {
        yield* sql`UPDATE orders SET item = 'coffee' WHERE id = ${1 + mine}`
        yield* Deferred.succeed(met[mine], undefined)
        yield* Deferred.await(met[1 - mine] ?? met[0])
        yield* sql`UPDATE orders SET item = 'coffee' WHERE id = ${2 - mine}`
      })
    )
  yield* Effect.all([rename(0), rename(1)], { concurrency: 2 })
  const items = yield* sql<{ item: string }>`SELECT item FROM orders`
  console.log(`after a deadlock: ${items.map(({ item }) => item)}`)
  assert.deepEqual(items, [{ item: "coffee" }, { item: "coffee" }])

  // An outage: the circuit opens, and no connection is tried any more.
  yield* proxy.refuse
  const results = yield* Effect.replicateEffect(Effect.flip(sql`SELECT 1`), 4)
  console.log(`in the outage: ${results[0]?._tag}, …, ${results.at(-1)?._tag}`)
  assert.equal(Rejection.of(results.at(-1))?._tag, "CircuitOpen")
})

if (isInstalled) {
  await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([Db.layer, Reactivity.layer])))
} else {
  console.log(notInstalled)
}
