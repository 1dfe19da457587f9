/** A real server on loopback, and Effect's HTTP client in front of it. Time is virtual, requests are not. */
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import {
  FetchHttpClient,
  HttpClient,
  type HttpClientResponse,
  HttpServer,
  HttpServerRequest,
  HttpServerResponse
} from "effect/http"
import * as Layer from "effect/Layer"
import * as Persistence from "effect/persistence/CircuitBreaker"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"

/** A server that answers with a status of one's choice, and a client that knows where it is. */
const server = HttpServer.layerTestClient.pipe(
  Layer.provide(Layer.fresh(FetchHttpClient.layer)),
  Layer.provide(Layer.succeed(FetchHttpClient.RequestInit)({ keepalive: false })),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

class Backend extends CircuitBreaker.Service<Backend>()("app/Backend", {
  trip: TripPolicy.consecutive(3),
  openFor: { initial: "30 seconds", factor: 2, jitter: 0 },
  probes: { permitted: 2, successes: 2 }
}) {}

const breakers = EffectBreaker.layerFrom(Backend).pipe(Layer.provideMerge(Backend.layer))

const serving = Effect.gen(function* () {
  const dependency = { status: 200, retryAfter: "", requests: 0 }
  yield* HttpServer.serveEffect(
    Effect.gen(function* () {
      const request = yield* HttpServerRequest.HttpServerRequest
      dependency.requests += 1
      // A fault in one place alone: the key decides whose circuit it is.
      const status = request.url.startsWith("/well") ? 200 : dependency.status
      const headers = dependency.retryAfter === "" ? {} : { "retry-after": dependency.retryAfter }
      return HttpServerResponse.empty({ status, headers })
    })
  )
  return dependency
})

/** The status of an answer, or the reason of a rejection. */
const told = <E>(call: Effect.Effect<HttpClientResponse.HttpClientResponse, E>) =>
  Effect.match(call, {
    onSuccess: (response) => response.status,
    onFailure: (error) => (error instanceof Persistence.CircuitBreakerError ? error.reason._tag : String(error))
  })

describe("HttpClient.withCircuitBreaker on our circuits", () => {
  it.effect("opens while the server fails, sends nothing, probes, and closes when it is well", () =>
    Effect.gen(function* () {
      const dependency = yield* serving
      const breaker = yield* Persistence.CircuitBreaker
      const client = (yield* HttpClient.HttpClient).pipe(HttpClient.withCircuitBreaker({ breaker, key: "backend" }))
      const get = told(client.get("/"))
      const state = Effect.map(Backend.state("backend"), (state) => state._tag)

      assert.deepStrictEqual([yield* get, yield* get], [200, 200])
      dependency.status = 503
      assert.deepStrictEqual([yield* get, yield* get, yield* get], [503, 503, 503])
      assert.strictEqual(yield* state, "open")
      assert.deepStrictEqual([yield* get, yield* get], ["CircuitOpen", "CircuitOpen"])
      assert.strictEqual(dependency.requests, 5, "an open circuit sends nothing")

      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* get, 503, "the first probe finds it still failing, and two can no longer succeed")
      assert.strictEqual(yield* get, "CircuitOpen")

      dependency.status = 200
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(yield* get, 200)
      assert.strictEqual(yield* state, "half-open", "two probes must succeed")
      assert.strictEqual(yield* get, 200)
      assert.strictEqual(yield* state, "closed")
      assert.strictEqual(dependency.requests, 8)
    }).pipe(Effect.provide(breakers), Effect.provide(server), Effect.scoped)
  )

  it.effect("a Retry-After of the server lengthens the opening", () =>
    Effect.gen(function* () {
      const dependency = yield* serving
      const breaker = yield* Persistence.CircuitBreaker
      const client = (yield* HttpClient.HttpClient).pipe(HttpClient.withCircuitBreaker({ breaker, key: "backend" }))
      dependency.status = 503
      dependency.retryAfter = "120"
      for (let i = 0; i < 3; i++) yield* client.get("/")
      yield* TestClock.adjust("119 seconds")
      assert.strictEqual(yield* told(client.get("/")), "CircuitOpen")
      dependency.status = 200
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* told(client.get("/")), 200)
    }).pipe(Effect.provide(breakers), Effect.provide(server), Effect.scoped)
  )

  it.effect("keys are circuits: one path that fails leaves another alone; a 404 and a 429 are no failures", () =>
    Effect.gen(function* () {
      const dependency = yield* serving
      const breaker = yield* Persistence.CircuitBreaker
      const client = (yield* HttpClient.HttpClient).pipe(
        HttpClient.withCircuitBreaker({ breaker, key: (request) => request.url })
      )
      for (const status of [404, 429, 500]) {
        dependency.status = status
        for (let i = 0; i < 3; i++) yield* client.get(`/${status}`)
      }
      yield* client.get("/well")
      const states = (yield* Backend.states).map(({ _tag, key }) => [key.replace(/.*\//, ""), _tag])
      assert.deepStrictEqual(Object.fromEntries(states), {
        404: "closed",
        429: "closed",
        500: "open",
        well: "closed"
      })
    }).pipe(Effect.provide(breakers), Effect.provide(server), Effect.scoped)
  )

  it.effect("a server that is gone is a failure, and its circuit opens", () =>
    Effect.gen(function* () {
      const breaker = yield* Persistence.CircuitBreaker
      // Bound and closed again: nobody listens on this port.
      const address = yield* Effect.provide(HttpServer.HttpServer, server).pipe(
        Effect.map((server) => server.address),
        Effect.scoped
      )
      if (address._tag === "UnixPathAddress") return yield* Effect.die("a server on TCP has a port")
      const client = (yield* HttpClient.HttpClient).pipe(HttpClient.withCircuitBreaker({ breaker }))
      const url = `http://127.0.0.1:${address.port}/`
      for (let i = 0; i < 3; i++) assert.include(yield* told(client.get(url)), "Transport")
      assert.strictEqual(yield* told(client.get(url)), "CircuitOpen")
      assert.deepInclude(yield* Backend.state(`http://127.0.0.1:${address.port}`), { _tag: "open" })
    }).pipe(Effect.provide(breakers), Effect.provide(FetchHttpClient.layer))
  )
})
