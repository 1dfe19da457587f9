// Two services, one behind the other. The first sheds what it cannot hold, passes time and retries on, answers rejections by
// itself, and finishes what it began when it stops.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import * as Faulty from "@effect-resilience/testing/Faulty"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Scope } from "effect"
import * as Http from "effect/http"
import { Bulkhead, Policy, Propagation, Retry } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import * as HttpServer from "effect-resilience/http/HttpServer"

class Inflight extends Bulkhead.Service<Inflight>()("app/Inflight", { maxConcurrent: 4 }) {}

class Prices extends Policy.Service<Prices>()("app/Prices", {
  retry: Retry.backoff({ base: "1 millis", times: 2 }),
  budget: {},
  timeout: "1 second"
}) {}

const program = Effect.gen(function* () {
  const prices = yield* Faulty.http({ script: [Faulty.answer({ status: 503 }), Faulty.answer({ body: "4.20" })] })
  const gate = yield* Deferred.make<void>()
  const http = yield* Http.HttpClient.HttpClient
  const client = http.pipe(Resilient.protect(Prices, { propagate: [prices.url] }))

  const routes = Layer.mergeAll(
    Http.HttpRouter.add(
      "GET",
      "/price",
      Effect.map(
        Effect.flatMap(client.get(prices.url), (response) => response.text),
        (text) => Http.HttpServerResponse.text(text)
      )
    ),
    Http.HttpRouter.add("GET", "/slow", Effect.as(Deferred.await(gate), Http.HttpServerResponse.text("done"))),
    // The one line.
    HttpServer.layer({ bulkhead: Inflight, deadline: "10 seconds" })
  )
  const serve = Http.HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true }).pipe(
    HttpServer.drain("5 seconds"),
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
  )
  const scope = yield* Scope.make()
  const { address } = Context.get(yield* Layer.build(serve).pipe(Scope.provide(scope)), Http.HttpServer.HttpServer)
  const url = Http.HttpServer.formatAddress(address)
  const get = (path: string, headers: Record<string, string> = {}) => http.get(url + path, { headers })

  // The caller gives one retry. The service needs it, and says that none is left.
  const price = yield* get("/price", Propagation.toHeaders({ retries: 1 }))
  assert.equal(yield* price.text, "4.20")
  assert.equal(price.headers["resilience-retries-left"], "0")
  const seen = (yield* prices.state).requests.map(({ headers }) => headers["resilience-attempt"])
  console.log(`attempts at the price service: ${seen.join(", ")}`)
  assert.deepEqual(seen, ["1", "2"])

  // A caller with 20 ms left: the handler is interrupted.
  assert.equal((yield* get("/slow", Propagation.toHeaders({ remaining: Duration.millis(20) }))).status, 504)

  // Two slow requests are half of the permits: what is sheddable is shed first.
  const slow = yield* Effect.forEach([1, 2], () => Effect.forkChild(get("/slow"), { startImmediately: true }))
  yield* Effect.repeat(Inflight.state(), { until: ({ running }) => running === 2 })
  const prefetch = yield* get("/price", Propagation.toHeaders({ criticality: "sheddable" }))
  console.log(`a prefetch under load: ${prefetch.status}, Retry-After ${prefetch.headers["retry-after"]}`)
  assert.equal(prefetch.status, 503)
  assert.equal((yield* get("/price")).status, 200)

  // The server stops: it refuses new requests, and finishes those that run.
  const stopping = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
  assert.equal((yield* get("/price")).status, 503)
  yield* Deferred.succeed(gate, undefined)
  const finished = yield* Effect.forEach(slow, Fiber.join)
  yield* Fiber.join(stopping)
  console.log(`finished while stopping: ${finished.map(({ status }) => status).join(", ")}`)
  assert.deepEqual(
    finished.map(({ status }) => status),
    [200, 200]
  )
})

await Effect.runPromise(
  program.pipe(Effect.scoped, Effect.provide([NodeHttpClient.layerUndici, Prices.layer, Inflight.layer]))
)
