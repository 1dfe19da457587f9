// Every policy in Prometheus with one layer: Effect's own route on loopback, scraped by the program itself in a small outage.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HttpClient, HttpRouter, HttpServer } from "effect/http"
import { PrometheusMetrics } from "effect/observability"
import { Policy, Retry, Transient, TripPolicy } from "effect-resilience"
import * as Logs from "effect-resilience/telemetry/Logs"
import * as Metrics from "effect-resilience/telemetry/Metrics"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

class Payments extends Policy.Service<Payments>()("app/Payments", {
  retry: Retry.backoff({ base: "1 millis", times: 1 }),
  breaker: { trip: TripPolicy.consecutive(4), openFor: "1 minute" },
  bulkhead: { maxConcurrent: 20 },
  timeout: "1 second"
}) {}

let isDown = false
const charge = Effect.suspend(() => (isDown ? Effect.fail(new Down()) : Effect.succeed("charged"))).pipe(
  Payments.protect
)

const route = PrometheusMetrics.layerHttp({ path: "/metrics", metricNameMapper: Metrics.prometheusName })

const program = Effect.gen(function* () {
  const client = yield* HttpClient.HttpClient
  const { address } = yield* HttpServer.HttpServer
  const scrape = client.get(new URL("/metrics", HttpServer.formatAddress(address))).pipe(
    Effect.flatMap((response) => response.text),
    Effect.map((text) => new Map(text.split("\n").map((line) => [line.replace(/ [^ ]*$/, ""), line.split(" ").at(-1)])))
  )
  const labels = 'policy="app/Payments",kind="Policy"'

  yield* Effect.replicateEffect(charge, 5)
  isDown = true
  yield* Effect.replicateEffect(Effect.exit(charge), 4)

  const series = yield* scrape
  for (const name of [
    `resilience_calls_total{${labels}}`,
    `resilience_attempts_total{${labels},outcome="failure"}`,
    `resilience_retries_total{${labels}}`,
    `resilience_rejections_total{${labels},reason="CircuitOpen"}`,
    `resilience_circuits{${labels},state="open"}`,
    `resilience_circuit_openings_total{${labels}}`,
    `resilience_attempt_duration_seconds_count{${labels}}`
  ]) {
    console.log(`${name} ${series.get(name)}`)
  }
  assert.equal(series.get(`resilience_calls_total{${labels}}`), "9")
  assert.equal(series.get(`resilience_attempts_total{${labels},outcome="failure"}`), "4")
  assert.equal(series.get(`resilience_retries_total{${labels}}`), "2")
  assert.equal(series.get(`resilience_rejections_total{${labels},reason="CircuitOpen"}`), "2")
  assert.equal(series.get(`resilience_circuits{${labels},state="open"}`), "1")
  assert.equal(series.get(`resilience_attempt_duration_seconds_count{${labels}}`), "9")
})

const live = HttpRouter.serve(route, { disableListenLog: true, disableLogger: true }).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
  Layer.provideMerge(NodeHttpClient.layerUndici),
  Layer.provideMerge(Layer.mergeAll(Payments.layer, Metrics.layer(), Logs.layer()))
)
await Effect.runPromise(program.pipe(Effect.provide(live)))
