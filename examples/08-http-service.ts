// An HTTP service with two upstreams, each behind a layer of its own: the catalog, without which there is no page, and
// the reviews, without which there is a poorer one. Real servers on loopback; the reviews break and recover.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { Context, Effect, Layer, Schema } from "effect"
import { HttpClient, HttpClientResponse, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { Fallback, Policy, Rejection, Retry, Transient, TripPolicy } from "effect-resilience"

// What every upstream gets; a circuit, permits and counters per host.
class Upstreams extends Policy.Service<Upstreams>()("app/Upstreams", {
  deadline: "3 seconds",
  retry: Retry.backoff({ base: "5 millis", times: 1 }),
  budget: { ratio: 0.2 },
  breaker: {
    trip: TripPolicy.consecutive(4),
    openFor: { initial: "3 seconds", jitter: 0 }
  },
  bulkhead: { maxConcurrent: 10, maxQueued: 20, maxWait: "1 second" },
  timeout: "2 seconds"
}) {}

/** Gets a document. Status and body are judged inside the policy, so that a 503 and half an answer count as failures. */
const getJson = <S extends Schema.ConstraintDecoder<unknown>>(url: URL, schema: S) =>
  HttpClient.get(url).pipe(
    Effect.flatMap(HttpClientResponse.filterStatusOk),
    Effect.flatMap(HttpClientResponse.schemaBodyJson(schema)),
    Transient.known,
    Upstreams.protect({ key: url.host })
  )

const Product = Schema.Struct({ id: Schema.String, name: Schema.String })
const Review = Schema.Struct({ stars: Schema.Finite })

const makeCatalog = (base: URL) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<HttpClient.HttpClient | Upstreams>()
    return { product: (id: string) => Effect.provide(getJson(new URL(`/${id}`, base), Product), context) }
  })

class Catalog extends Context.Service<Catalog, Effect.Success<ReturnType<typeof makeCatalog>>>()("app/Catalog") {
  static readonly layer = (base: URL) => Layer.effect(Catalog, makeCatalog(base))
}

const makeReviews = (base: URL) =>
  Effect.gen(function* () {
    const context = yield* Effect.context<HttpClient.HttpClient | Upstreams>()
    const of = (id: string) =>
      getJson(new URL(`/${id}`, base), Schema.Array(Review)).pipe(
        // Refused or given up on: no reviews today. Any other error still shows.
        Fallback.value([]),
        Effect.provide(context)
      )
    return { of }
  })

class Reviews extends Context.Service<Reviews, Effect.Success<ReturnType<typeof makeReviews>>>()("app/Reviews") {
  static readonly layer = (base: URL) => Layer.effect(Reviews, makeReviews(base))
}

// Our own service.
const routes = HttpRouter.use((router) =>
  Effect.gen(function* () {
    const catalog = yield* Catalog
    const reviews = yield* Reviews
    yield* router.add(
      "GET",
      "/products/:id",
      Effect.gen(function* () {
        const { id = "" } = yield* HttpRouter.params
        const [product, stars] = yield* Effect.all([catalog.product(id), reviews.of(id)], { concurrency: 2 })
        return yield* HttpServerResponse.json({ ...product, reviews: stars.length })
      }).pipe(
        // A refused call is "come back later", anything else a bad gateway.
        Effect.catch((error) => Effect.succeed(HttpServerResponse.empty({ status: Rejection.is(error) ? 503 : 502 })))
      )
    )
  })
)

// ---------------------------------------------------------------------------------------------------------------------

/** Serves routes on a free port of loopback until the scope closes. */
const listen = <E, R>(routes: Layer.Layer<never, E, R>) =>
  Layer.build(
    HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }).pipe(
      Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
    )
  ).pipe(
    Effect.map((context) => new URL(HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address)))
  )

let reviewsWork = true
let reviewRequests = 0
const catalogServer = HttpRouter.add("GET", "/:id", HttpServerResponse.json({ id: "tea", name: "Tea" }))
const reviewsServer = HttpRouter.add(
  "GET",
  "/:id",
  Effect.suspend(() => {
    reviewRequests += 1
    return reviewsWork
      ? HttpServerResponse.json([{ stars: 5 }, { stars: 4 }])
      : Effect.succeed(HttpServerResponse.empty({ status: 503 }))
  })
)

const program = Effect.gen(function* () {
  const catalog = yield* listen(catalogServer)
  const reviews = yield* listen(reviewsServer)
  const service = yield* listen(routes.pipe(Layer.provide([Catalog.layer(catalog), Reviews.layer(reviews)])))

  const page = HttpClient.get(new URL("/products/tea", service)).pipe(Effect.flatMap((response) => response.text))
  const pages = (title: string) =>
    Effect.gen(function* () {
      reviewRequests = 0
      const got: Array<string> = []
      for (let i = 0; i < 10; i++) got.push(yield* page)
      const { circuit } = yield* Upstreams.stats(reviews.host)
      console.log(`${title}: ${got.at(-1)}; ${reviewRequests} review requests for 10 pages, circuit ${circuit?._tag}`)
      return { last: got.at(-1), requests: reviewRequests, circuit: circuit?._tag }
    })

  const full = JSON.stringify({ id: "tea", name: "Tea", reviews: 2 })
  const poor = JSON.stringify({ id: "tea", name: "Tea", reviews: 0 })

  assert.deepEqual(yield* pages("healthy  "), { last: full, requests: 10, circuit: "closed" })
  reviewsWork = false
  // Four failures open the circuit; the pages after that cost the reviews nothing.
  assert.deepEqual(yield* pages("down     "), { last: poor, requests: 4, circuit: "open" })
  reviewsWork = true
  yield* Effect.sleep("3 seconds")
  assert.deepEqual(yield* pages("recovered"), { last: full, requests: 10, circuit: "closed" })
  // The catalog never noticed: its circuit is its own.
  assert.equal((yield* Upstreams.stats(catalog.host)).totals.failures, 0)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([NodeHttpClient.layerUndici, Upstreams.layer])))
