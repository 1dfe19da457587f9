/** A service as users write it: HTTP in, two upstreams behind one policy by key, its metrics on a route. */
import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { HttpClient, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import { PrometheusMetrics } from "effect/observability"
import * as Semaphore from "effect/Semaphore"
import { Event, Policies, Policy, Retry, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import * as Metrics from "effect-resilience/telemetry/Metrics"

export class Upstreams extends Policy.Service<Upstreams>()("app/Upstreams", {
  deadline: "2 seconds",
  retry: Retry.backoff({ base: "1 millis", cap: "5 millis", times: 1 }),
  budget: {},
  breaker: { trip: TripPolicy.consecutive(4), openFor: { initial: "50 millis", jitter: 0 } },
  bulkhead: { maxConcurrent: 10, maxQueued: 20 },
  timeout: "1 second"
}) {}

/** The two servers that the service calls, and a permit that each scrape takes. */
export class World extends Context.Service<
  World,
  { readonly prices: Faulty.Http; readonly stock: Faulty.Http; readonly scrape: Semaphore.Semaphore }
>()("test/World") {
  static readonly layer = Layer.effect(
    World,
    Effect.gen(function* () {
      const script = [Faulty.json({ ok: true })]
      return {
        prices: yield* Faulty.http({ script }),
        stock: yield* Faulty.http({ script }),
        scrape: yield* Semaphore.make(1)
      }
    })
  )
}

const routes = HttpRouter.use((router) =>
  Effect.gen(function* () {
    const world = yield* World
    // Its key is the origin of the request: one circuit for each upstream.
    const client = (yield* HttpClient.HttpClient).pipe(Resilient.protect(yield* Upstreams))
    for (const name of ["prices", "stock"] as const) {
      yield* router.add(
        "GET",
        `/${name}`,
        client.get(world[name].url).pipe(
          Effect.flatMap((response) =>
            Effect.map(response.text, (text) => HttpServerResponse.text(text, { status: response.status }))
          ),
          Effect.catchTags({
            CircuitOpen: () => Effect.succeed(HttpServerResponse.empty({ status: 503 })),
            BulkheadFull: () => Effect.succeed(HttpServerResponse.empty({ status: 503 })),
            DeadlineExceeded: () => Effect.succeed(HttpServerResponse.empty({ status: 504 })),
            TimedOut: () => Effect.succeed(HttpServerResponse.empty({ status: 504 })),
            HttpClientError: () => Effect.succeed(HttpServerResponse.empty({ status: 502 }))
          })
        )
      )
    }
  })
)

const metrics = PrometheusMetrics.layerHttp({ path: "/metrics", metricNameMapper: Metrics.prometheusName })

/** A scrape waits while a test has the permit: what the test does meanwhile is between two scrapes. */
const paused = HttpRouter.middleware(
  Effect.map(
    World,
    ({ scrape }) =>
      (app) =>
        Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ url }) =>
          url === "/metrics" ? scrape.withPermit(app) : app
        )
  ),
  { global: true }
)

export const live = HttpRouter.serve(Layer.mergeAll(routes, metrics, paused), {
  disableListenLog: true,
  disableLogger: true
}).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provideMerge(NodeHttpClient.layerUndici),
  Layer.provideMerge(Layer.mergeAll(Upstreams.layer, World.layer, Metrics.layer()))
)

/** A program of its own: no other test adds policies, events or metrics to it. */
export const alone = Layer.mergeAll(
  Policies.layer,
  Layer.sync(Event.CurrentHub, Event.makeHub),
  Layer.sync(Metric.MetricRegistry, () => new Map())
)

export const address = Effect.map(HttpServer.HttpServer, ({ address }) => HttpServer.formatAddress(address))
