/** With `--metrics`: what the policy of the protected client does, for a Prometheus on this machine. */
import { createServer } from "node:http"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { HttpRouter, HttpServer } from "effect/http"
import * as Layer from "effect/Layer"
import { PrometheusMetrics } from "effect/observability"
import * as Metrics from "effect-resilience/telemetry/Metrics"

/** The port that exporters for Prometheus have in OpenTelemetry. */
const usualPort = 9464

const listening = (port: number) => NodeHttpServer.layer(createServer, { host: "127.0.0.1", port })

const route = PrometheusMetrics.layerHttp({ path: "/metrics", metricNameMapper: Metrics.prometheusName })

const live = HttpRouter.serve(route, { disableListenLog: true, disableLogger: true }).pipe(
  // If the usual port is taken, any other.
  Layer.provideMerge(listening(usualPort).pipe(Layer.catch(() => listening(0)))),
  Layer.provide(Metrics.layer())
)

/** Serves the metrics of this process; the address of the route. */
export const serve = Effect.map(Layer.build(live), (context) => {
  const { address } = Context.get(context, HttpServer.HttpServer)
  return `${HttpServer.formatAddress(address)}/metrics`
})

/** How to see the metrics in Prometheus. */
export const howToWatch = (url: string): string =>
  [
    `The metrics of policy: ${url}`,
    "To see them in Prometheus, in another terminal:",
    "",
    "cat > demo.yml <<'END'",
    "global: { scrape_interval: 1s }",
    `scrape_configs: [{ job_name: demo, static_configs: [{ targets: ["${new URL(url).host}"] }] }]`,
    "END",
    "prometheus --config.file=demo.yml --storage.tsdb.path=/tmp/demo-data",
    "",
    "Then open http://localhost:9090/graph and ask for one of these:",
    "",
    "  resilience_circuits",
    "  rate(resilience_attempts_total[5s])",
    "  rate(resilience_rejections_total[5s])",
    ""
  ].join("\n")
