// A whole service: HTTP in, two HTTP upstreams, PostgreSQL, and a payment out, each protected by one line. The upstreams reset,
// throttle and hang, and the database loses connections: every order is charged and written exactly once.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import * as Faulty from "@effect-resilience/testing/Faulty"
import { Effect, Layer } from "effect"
import * as Http from "effect/http"
import * as Reactivity from "effect/reactivity/Reactivity"
import { Bulkhead, Policies, Policy, Retry } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import * as HttpServer from "effect-resilience/http/HttpServer"
import * as Sql from "effect-resilience/sql/SqlClient"
import { isInstalled, notInstalled, postgres } from "../test/support/postgres.ts"

const retry = Retry.backoff({ base: "5 millis", cap: "50 millis", times: 3 })

class Inflight extends Bulkhead.Service<Inflight>()("shop/Inflight", { maxConcurrent: 50, maxQueued: 50 }) {}
// A retry after a timeout costs five tokens of the budget instead of all twenty.
class Upstreams extends Policy.Service<Upstreams>()("shop/Upstreams", {
  retry,
  budget: { timeoutCost: 5 },
  breaker: {},
  timeout: "1 second"
}) {}
class Payments extends Policy.Service<Payments>()("shop/Payments", {
  retry,
  budget: {},
  breaker: {},
  timeout: "5 seconds"
}) {}
class Db extends Policy.Service<Db>()("shop/Db", {
  retry,
  breaker: {},
  bulkhead: { maxConcurrent: 4, maxQueued: 20 },
  timeout: "5 seconds"
}) {}

const orders = ["tea", "coffee", "milk", "sugar", "honey", "lemon"]

const program = Effect.gen(function* () {
  const price = Faulty.answer({ body: "4.20" })
  const catalog = yield* Faulty.http({ script: [price, Faulty.reset, price, Faulty.answer({ status: 503 }), price] })
  const twelve = Faulty.answer({ body: "12" })
  const stock = yield* Faulty.http({ script: [twelve, twelve, twelve, twelve, Faulty.hang, twelve] })
  const provider = yield* Faulty.http({
    // Each order is refused once before it is charged.
    script: ({ body }, n) =>
      n % 2 === 1 ? Faulty.throttle({ headers: { "retry-after-ms": "5" } }) : Faulty.answer({ body })
  })
  const server = yield* postgres
  const proxy = yield* Faulty.tcp({ port: server.port })
  const database = { host: proxy.host, port: proxy.port, username: "postgres", database: "postgres", maxConnections: 4 }

  // A line for each client.
  const http = yield* Http.HttpClient.HttpClient
  const upstreams = http.pipe(Resilient.protect(Upstreams, { body: true }))
  const payments = http.pipe(Resilient.protect(Payments))
  const sql = yield* Effect.map(PgClient.make(database), Sql.protect(Db, { key: "orders" }))

  yield* sql`CREATE TABLE orders (item text, price numeric)`
  const read = (url: string) => Effect.flatMap(upstreams.get(url), (response) => response.text)
  const placeOrder = (item: string) =>
    Effect.gen(function* () {
      const [price] = yield* Effect.all([read(`${catalog.url}/${item}`), read(`${stock.url}/${item}`)], {
        concurrency: 2
      })
      yield* sql.withTransaction(
        Effect.andThen(
          sql`INSERT INTO orders VALUES (${item}, 0)`,
          sql`UPDATE orders SET price = ${price}::numeric WHERE item = ${item}`
        )
      )
      const charge = Http.HttpClientRequest.post(`${provider.url}/charges`).pipe(Http.HttpClientRequest.bodyText(item))
      const { status } = yield* payments.execute(charge)
      return Http.HttpServerResponse.text(item, { status })
    })

  const routes = Layer.mergeAll(
    Http.HttpRouter.add(
      "POST",
      "/orders",
      Effect.flatMap(Http.HttpServerRequest.HttpServerRequest, (request) => Effect.flatMap(request.text, placeOrder))
    ),
    // And one for those who call.
    HttpServer.layer({ bulkhead: Inflight, deadline: "10 seconds" })
  )
  const listener = yield* Layer.build(
    Http.HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
    )
  )
  const { address } = yield* Effect.provideContext(Http.HttpServer.HttpServer, listener)
  const url = `${Http.HttpServer.formatAddress(address)}/orders`

  // The database loses the connection of one transaction before its COMMIT.
  let cuts = 0
  const lose = Faulty.cutWhen(({ from, text }) => from === "client" && text.includes("UPDATE") && cuts++ === 0, {
    forward: true
  })
  yield* Effect.andThen(proxy.setScript([lose]), proxy.cut)

  const statuses = yield* Effect.forEach(orders, (item) =>
    Effect.map(
      http.execute(Http.HttpClientRequest.post(url).pipe(Http.HttpClientRequest.bodyText(item))),
      ({ status }) => status
    )
  )
  console.log(`orders: ${statuses.join(" ")}`)
  assert.deepEqual(
    statuses,
    orders.map(() => 200)
  )

  const { requests } = yield* provider.state
  const charged = requests.filter(({ n }) => n % 2 === 0).map(({ body }) => body)
  console.log(`charged: ${charged.join(" ")}`)
  assert.deepEqual(charged, orders)

  const rows = yield* sql<{ item: string; price: string }>`SELECT item, price::text AS price FROM orders ORDER BY item`
  console.log(`rows: ${rows.map(({ item }) => item).join(" ")}`)
  assert.deepEqual(
    rows,
    orders.toSorted().map((item) => ({ item, price: "4.20" }))
  )
  assert.ok(cuts > 0)

  const names = (yield* Policies.all).map(({ name }) => name).sort()
  console.log(`policies: ${names.join(" ")}`)
  assert.deepEqual(names, ["shop/Db", "shop/Inflight", "shop/Payments", "shop/Upstreams"])
})

if (isInstalled) {
  const policies = [Upstreams.layer, Payments.layer, Db.layer, Inflight.layer] as const
  await Effect.runPromise(
    program.pipe(Effect.scoped, Effect.provide([NodeHttpClient.layerUndici, Reactivity.layer, ...policies]))
  )
} else {
  console.log(notInstalled)
}
