import { createServer } from "node:http"
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import * as Logs from "effect-resilience/telemetry/Logs"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import { Payments, pay } from "./payments.ts"

const live = Layer.mergeAll(Payments.layer, Metrics.layer(), Logs.layer())
const metrics = PrometheusMetrics.layerHttp({ path: "/metrics", metricNameMapper: Metrics.prometheusName })

const payRoute = HttpRouter.use((router) =>
  Effect.gen(function* () {
    const payments = yield* Payments
    const handler = pay.pipe(
      Effect.provideService(Payments, payments),
      Effect.map((text) => HttpServerResponse.text(text)),
      Effect.catch((error) => Effect.succeed(HttpServerResponse.text(error._tag, { status: 503 })))
    )
    yield* router.add("GET", "/pay", handler)
  })
)

// About 20 payments a second, so that you need not click. Leave it out in a real service.
const traffic = Layer.effectDiscard(
  Effect.forkScoped(Effect.forever(Effect.andThen(Effect.ignore(pay), Effect.sleep("50 millis"))))
)

const app = HttpRouter.serve(Layer.mergeAll(payRoute, metrics), { disableLogger: true }).pipe(
  Layer.merge(traffic),
  Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 3000 })),
  Layer.provide(live)
)

NodeRuntime.runMain(Layer.launch(app))
