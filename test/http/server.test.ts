/** A server of Effect on loopback behind `http/HttpServer`: what is shed, held, ended and answered. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { HttpRouter, type HttpServerRequest, HttpServerResponse } from "effect/http"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Bulkhead, CircuitBreaker, Propagation } from "effect-resilience"
import * as HttpServer from "effect-resilience/http/HttpServer"
import { get, problemOf, serving } from "./serving.ts"

class Inflight extends Bulkhead.Service<Inflight>()("test/Inflight", { maxConcurrent: 2 }) {}
class Queued extends Bulkhead.Service<Queued>()("test/Queued", { maxConcurrent: 1, maxQueued: 1 }) {}

const layers = Layer.mergeAll(NodeHttpClient.layerUndici, Inflight.layer, Queued.layer)

const route = <E, R>(path: `/${string}`, handler: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>) =>
  HttpRouter.add("*", path, handler)

const hello = HttpServerResponse.text("hello")

/** A response whose body ends when the gate opens. */
const gated = (gate: Deferred.Deferred<void>) =>
  HttpServerResponse.stream(
    Stream.concat(
      Stream.succeed(new TextEncoder().encode("begin ")),
      Stream.fromEffect(Effect.as(Deferred.await(gate), new TextEncoder().encode("end")))
    )
  )

/** Five requests at once for a body that does not end yet: their statuses, and then the permit of a sixth. */
const five = (url: string) =>
  Effect.map(
    Effect.all(
      Array.from({ length: 5 }, () => get(url)),
      { concurrency: "unbounded" }
    ),
    (responses) => ({
      responses,
      statuses: responses.map(({ status }) => status).sort()
    })
  )

const run = <A, E>(test: Effect.Effect<A, E, Layer.Success<typeof layers> | Scope.Scope>) =>
  test.pipe(Effect.scoped, Effect.provide(layers))

describe("load shedding", () => {
  it.live("a permit is held until the body is sent: of five slow bodies two pass", () =>
    run(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const url = yield* serving(
          Layer.mergeAll(
            route(
              "/",
              Effect.sync(() => gated(gate))
            ),
            HttpServer.layer({ bulkhead: Inflight })
          )
        )
        const { responses, statuses } = yield* five(url)
        assert.deepStrictEqual(statuses, [200, 200, 503, 503, 503])
        assert.strictEqual((yield* Inflight.state()).running, 2)
        const shed = yield* problemOf(responses.find(({ status }) => status === 503) ?? assert.fail())
        assert.deepInclude(shed, { type: "application/problem+json", code: "BulkheadFull", retryAfter: "1" })
        yield* Deferred.succeed(gate, undefined)
        for (const response of responses) {
          if (response.status === 200) assert.strictEqual(yield* response.text, "begin end")
        }
        yield* Inflight.admitted()
        assert.strictEqual((yield* get(url)).status, 200)
      })
    )
  )

  it.live("the naive wrapper lets all five pass", () =>
    run(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const busy = () => Effect.succeed(HttpServerResponse.empty({ status: 503 }))
        const naive = HttpRouter.middleware(
          (app) => app.pipe(Inflight.protect, Effect.catchTag("BulkheadFull", busy)),
          { global: true }
        )
        const url = yield* serving(
          Layer.mergeAll(
            route(
              "/",
              Effect.sync(() => gated(gate))
            ),
            naive
          )
        )
        assert.deepStrictEqual((yield* five(url)).statuses, [200, 200, 200, 200, 200])
        yield* Deferred.succeed(gate, undefined)
      })
    )
  )

  it.live("a client that disconnects frees the permit, of a handler, of a body, and leaves the queue", () =>
    run(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const routes = Layer.mergeAll(
          route("/hang", Effect.never),
          route(
            "/body",
            Effect.sync(() => gated(gate))
          ),
          HttpServer.layer({ bulkhead: Queued, deadline: "1 hour" })
        )
        const url = yield* serving(routes)
        const running = (n: number, waiting: number) =>
          Effect.repeat(Queued.state(), {
            until: (state) => state.running === n && state.waiting === waiting
          })
        const first = yield* Effect.forkChild(get(`${url}/hang`))
        yield* running(1, 0)
        const second = yield* Effect.forkChild(get(`${url}/hang`))
        yield* running(1, 1)
        yield* Fiber.interrupt(second)
        yield* running(1, 0)
        yield* Fiber.interrupt(first)
        yield* Queued.admitted()
        const third = yield* Effect.forkChild(Effect.flatMap(get(`${url}/body`), (response) => response.text))
        yield* running(1, 0)
        yield* Fiber.interrupt(third)
        yield* Queued.admitted()
      })
    )
  )

  it.live("has permits for each key: a tenant, a route", () =>
    run(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const one = yield* Bulkhead.make("one", { maxConcurrent: 1 })
        const perRoute = HttpRouter.middleware(
          HttpServer.middleware({ bulkhead: one, key: (_, route) => `${route?.method} ${route?.path}`, status: 429 })
        ).layer
        const url = yield* serving(
          Layer.mergeAll(
            route(
              "/users/:id",
              Effect.sync(() => gated(gate))
            ),
            route(
              "/orders/:id",
              Effect.sync(() => gated(gate))
            )
          ).pipe(Layer.provide(perRoute))
        )
        const statuses = yield* Effect.forEach(["/users/1", "/users/2", "/orders/1"], (path) =>
          Effect.map(get(url + path), ({ status }) => status)
        )
        assert.deepStrictEqual(statuses, [200, 429, 200])
        assert.strictEqual((yield* one.state("* /users/:id")).running, 1)
        yield* Deferred.succeed(gate, undefined)
      })
    )
  )

  it.live("sheds the least critical first, and counts what it sheds", () =>
    run(
      Effect.gen(function* () {
        const gate = yield* Deferred.make<void>()
        const four = yield* Bulkhead.make("four", { maxConcurrent: 4 })
        const url = yield* serving(
          Layer.mergeAll(
            route(
              "/",
              Effect.sync(() => gated(gate))
            ),
            HttpServer.layer({ bulkhead: four })
          )
        )
        const ask = (criticality: string) =>
          Effect.map(get(url, { "resilience-criticality": criticality }), ({ status }) => status)
        const order = [
          "sheddable",
          "sheddable",
          "sheddable",
          "sheddable-plus",
          "sheddable-plus",
          "critical",
          "critical"
        ]
        assert.deepStrictEqual(yield* Effect.forEach(order, ask), [200, 200, 503, 200, 503, 200, 503])
        const { totals } = yield* four.stats()
        assert.deepStrictEqual([totals.calls, totals.rejections.BulkheadFull], [7, 3])
        yield* Deferred.succeed(gate, undefined)
      })
    )
  )

  it.live("a stranger cannot claim to be more critical than others; exempt requests are not shed", () =>
    run(
      Effect.gen(function* () {
        const none = yield* Bulkhead.make("none", { maxConcurrent: 1 })
        const criticality = Effect.map(Propagation.current, ({ criticality }) => HttpServerResponse.text(criticality))
        const ask = (url: string) =>
          Effect.flatMap(get(url, { "resilience-criticality": "critical-plus" }), (response) => response.text)
        const strict = yield* serving(Layer.mergeAll(route("/", criticality), HttpServer.layer()))
        const trusting = yield* serving(Layer.mergeAll(route("/", criticality), HttpServer.layer({ trust: true })))
        assert.strictEqual(yield* ask(strict), "critical")
        assert.strictEqual(yield* ask(trusting), "critical-plus")
        const exempt = (request: HttpServerRequest.HttpServerRequest) => request.url.startsWith("/health")
        const url = yield* serving(
          Layer.mergeAll(
            route("/hang", Effect.never),
            route("/health", Effect.succeed(hello)),
            HttpServer.layer({ bulkhead: none, exempt })
          )
        )
        const fiber = yield* Effect.forkChild(get(`${url}/hang`))
        yield* Effect.repeat(none.state(), { until: ({ running }) => running === 1 })
        assert.strictEqual((yield* get(`${url}/hang`)).status, 503)
        assert.strictEqual((yield* get(`${url}/health`)).status, 200)
        yield* Fiber.interrupt(fiber)
      })
    )
  )
})

describe("options of a server", () => {
  const refused: ReadonlyArray<readonly [object, RegExp]> = [
    [
      { bulkhead: {} },
      /bulkhead must be a class made by Bulkhead\.Service, or a bulkhead made by Bulkhead\.make, got \{\}/
    ],
    [{ bulkhead: CircuitBreaker }, /bulkhead must be/],
    [{ deadline: 0 }, /deadline must be a finite duration above zero/],
    [{ status: 500 }, /status must be 503 or 429, got 500/],
    [{ retryAfter: -1 }, /retryAfter must be a finite duration of zero or more/],
    [{ key: "tenant" }, /key must be a function that returns a string/],
    [{ trust: 1 }, /trust must be true, false, or a function/],
    [{ exempt: async () => true }, /exempt must be a function that returns true or false, got an async function/],
    [{ maxConcurrent: 5 }, /there is no option maxConcurrent; there are bulkhead, key/]
  ]

  it.each(refused)("bad options are refused at once: %j", (options, message) => {
    assert.throws(() => HttpServer.layer(options), message)
    assert.throws(() => HttpServer.middleware(options), message)
  })

  it("a time to drain that is none is refused", () => {
    assert.throws(() => HttpServer.drain(-5), /HttpServer\.drain: within must be a finite duration of zero or more/)
  })
})
