/** What a collector of OpenTelemetry receives from Effect's exporter, in protobuf over HTTP. */
import { assert, layer } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Effect from "effect/Effect"
import { HttpClient } from "effect/http"
import * as Layer from "effect/Layer"
import { Otlp } from "effect/observability"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import * as Collector from "./collector.ts"
import { eventually } from "./prometheus.ts"
import { address, alone, live, World } from "./service.ts"

const stack = live.pipe(Layer.provideMerge(alone))

layer(stack, { excludeTestServices: true })("a service and a collector of OpenTelemetry", (it) => {
  it.effect("receives the names, the units, monotonic sums, gauges and the histogram of every policy", () =>
    Effect.gen(function* () {
      const { last, url } = yield* Collector.start
      const world = yield* World
      const service = yield* address
      yield* world.stock.setScript([Faulty.answer({ status: 503 })])
      for (const upstream of ["prices", "stock", "stock"]) yield* HttpClient.get(`${service}/${upstream}`)

      const exporter = Otlp.layerProtobuf({
        baseUrl: url,
        resource: { serviceName: "shop" },
        metricsExportInterval: "100 millis"
      })
      const received = yield* eventually("an export with the calls", last).pipe(Effect.provide(exporter))

      const named = (name: string) => received.find((metric) => metric.name === name)
      const metrics = Metrics.definitions.filter(({ name }) => named(name) !== undefined)
      // All but those of hedges, of rate limits, of stale fallbacks, of policies that observe, of fleets and of fuses.
      const others = /^resilience\.(hedge|rate_limit\.|fallbacks|would\.|rollout\.|fleet\.|fuse\.)/
      assert.deepStrictEqual(
        Metrics.definitions.filter(({ name }) => named(name) === undefined),
        Metrics.definitions.filter(({ name }) => others.test(name))
      )
      for (const { name, type, unit } of metrics) {
        const metric = named(name)
        assert.deepInclude(metric, { unit, type: type === "counter" ? "sum" : type }, name)
        if (type !== "gauge") assert.isTrue(metric?.isCumulative, name)
        if (type === "counter") assert.isTrue(metric?.isMonotonic, name)
        for (const { attributes } of metric?.points ?? []) {
          assert.deepInclude(attributes, { policy: "app/Upstreams", kind: "Policy" }, name)
        }
      }

      const of = (name: string, label: string) =>
        Object.fromEntries(named(name)?.points.map(({ attributes, value }) => [attributes[label] ?? "", value]) ?? [])
      assert.deepStrictEqual(of("resilience.calls", ""), { "": 3 })
      assert.deepStrictEqual(of("resilience.circuit.openings", ""), { "": 1 })
      const { closed } = of("resilience.circuits", "state")
      assert.strictEqual(closed, 1)
      const { failure = 0, success = 0 } = of("resilience.attempts", "outcome")
      assert.deepStrictEqual([success, failure], [1, 4])
      const { bucketCounts = [], explicitBounds = [], value } = named("resilience.attempt.duration")?.points[0] ?? {}
      assert.strictEqual(value, 5)
      assert.strictEqual(
        bucketCounts.reduce((sum, count) => sum + count, 0),
        5
      )
      assert.lengthOf(bucketCounts, explicitBounds.length + 1)
    }).pipe(Effect.scoped)
  )
})
