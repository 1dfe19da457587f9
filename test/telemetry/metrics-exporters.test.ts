import { spawnSync } from "node:child_process"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Scope } from "effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import { Otlp, PrometheusMetrics } from "effect/observability"
import * as TestClock from "effect/testing/TestClock"
import {
  Bulkhead,
  CircuitBreaker,
  Fuse,
  Policy,
  Retry,
  RetryBudget,
  Shared,
  StaleFallback,
  TripPolicy
} from "effect-resilience"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import { down, isolated, ok } from "./support.ts"

interface Point {
  readonly count: number
  readonly bucketCounts: ReadonlyArray<number>
  readonly explicitBounds: ReadonlyArray<number>
}

/** What a collector gets, as far as it is read here. */
interface Body {
  readonly resourceMetrics?: ReadonlyArray<{
    readonly scopeMetrics: ReadonlyArray<{
      readonly metrics: ReadonlyArray<{
        readonly name: string
        readonly unit: string
        readonly sum?: { readonly isMonotonic: boolean }
        readonly gauge?: object
        readonly histogram?: { readonly dataPoints: ReadonlyArray<Point> }
      }>
    }>
  }>
}

/** What nothing holds is collected, and its gauges go. */
const keep = <A, E, R>(make: Effect.Effect<A, E, R>) => Effect.acquireRelease(make, (one) => Effect.sync(() => one))

const everyKind = Effect.gen(function* () {
  const policy = yield* keep(
    Policy.make('p "quoted"\\\n', {
      deadline: "3 seconds",
      retry: Retry.backoff({ base: "1 millis", cap: "2 millis", times: 1 }),
      budget: { ratio: 0.1 },
      hedge: { after: "400 millis" },
      breaker: { trip: TripPolicy.consecutive(3) },
      rateLimit: { limit: 1000, window: "1 second" },
      bulkhead: { maxConcurrent: 2, maxQueued: 3 },
      timeout: "1 second"
    })
  )
  yield* policy.protect(ok)
  const slow = yield* Effect.forkChild(policy.protect(Effect.delay(ok, "60 millis")))
  const failing = yield* Effect.forkChild(Effect.exit(down.pipe(policy.protect({ key: "eu" }))))
  const hung = yield* Effect.forkChild(Effect.exit(Effect.never.pipe(policy.protect({ key: "us" }))))
  yield* TestClock.adjust("4 seconds")
  assert.isTrue([slow, failing, hung].every((fiber) => fiber.pollUnsafe() !== undefined))
  yield* keep(
    Policy.make("o", {
      retry: Retry.backoff(),
      budget: {},
      hedge: {},
      breaker: {},
      timeout: "1 second",
      rollout: { percent: 50, by: "key" }
    })
  )
  yield* keep(
    Policy.make("f", {
      breaker: {},
      bulkhead: { maxConcurrent: 2 },
      timeout: "1 second",
      rateLimit: { limit: 100, window: "1 second" },
      shared: { breaker: {}, bulkhead: { fleet: 8 }, rateLimit: { fleet: 500 } }
    })
  )
  yield* keep(CircuitBreaker.make("b", {}))
  yield* keep(Bulkhead.make("h", { maxConcurrent: 1 }))
  yield* keep(RetryBudget.make("r", {}))
  yield* keep(StaleFallback.make("s", { maxAge: "1 hour" }))
  yield* keep(Fuse.make("z", { shorts: 3 }))
})

const inFleet = <A, E>(self: Effect.Effect<A, E, Shared.Board | Scope.Scope>) =>
  self.pipe(Effect.scoped, Effect.provide(Shared.layerMemory), isolated)

const text = PrometheusMetrics.format({ metricNameMapper: Metrics.prometheusName })

const promtool = spawnSync("promtool", ["--version"]).status === 0

describe("Metrics to Prometheus", () => {
  it.effect("counters end in _total, times in _seconds, and each has its type", () =>
    Effect.gen(function* () {
      yield* everyKind
      const lines = (yield* text).split("\n")
      const types = lines.filter((line) => line.startsWith("# TYPE")).map((line) => line.slice("# TYPE ".length))
      assert.deepStrictEqual(
        types.sort(),
        Metrics.definitions.map(({ prometheus, type }) => `${prometheus} ${type}`).sort()
      )
      assert.deepStrictEqual(new Set(types.map((type) => type.split(" ")[0])).size, types.length)
    }).pipe(Effect.provide(Metrics.layer()), inFleet)
  )

  it.effect("the histogram has cumulative buckets in seconds", () =>
    Effect.gen(function* () {
      yield* everyKind
      const lines = (yield* text).split("\n").filter((line) => line.startsWith("resilience_attempt_duration_seconds"))
      const of = (suffix: string) =>
        lines
          .find((line) => line.includes(suffix))
          ?.split(" ")
          .at(-1)
      // Two at once, two failures, one of 60 ms, one that the timeout ended after a second.
      assert.strictEqual(of('le="0.005"'), "3")
      assert.strictEqual(of('le="0.05"'), "3")
      assert.strictEqual(of('le="0.075"'), "4")
      assert.strictEqual(of('le="1"'), "5")
      assert.strictEqual(of('le="+Inf"'), "5")
      assert.strictEqual(of("_seconds_count"), "5")
      assert.approximately(Number(of("_seconds_sum")), 1.06, 0.01)
    }).pipe(Effect.provide(Metrics.layer()), inFleet)
  )

  const checked = promtool ? it.effect : it.effect.skip
  checked(
    `promtool has nothing to say${promtool ? "" : " (skipped: promtool of Debian's package prometheus is not installed)"}`,
    () =>
      Effect.gen(function* () {
        yield* everyKind
        yield* text
        const checked = spawnSync("promtool", ["check", "metrics"], { input: yield* text, encoding: "utf8" })
        assert.deepStrictEqual([checked.stdout, checked.stderr, checked.status], ["", "", 0])
      }).pipe(Effect.provide(Metrics.layer({ keys: "not-closed" })), inFleet)
  )
})

describe("Metrics to OpenTelemetry", () => {
  it.effect("OTLP has the names, the units, monotonic sums and the histogram", () =>
    Effect.gen(function* () {
      const bodies: Array<Body> = []
      const client = HttpClient.make((request) =>
        Effect.sync(() => {
          if (request.body._tag === "Uint8Array") bodies.push(JSON.parse(new TextDecoder().decode(request.body.body)))
          return HttpClientResponse.fromWeb(request, new Response("{}"))
        })
      )
      const otlp = Otlp.layerJson({ baseUrl: "http://localhost", resource: { serviceName: "test" } }).pipe(
        Layer.provide(Layer.succeed(HttpClient.HttpClient, client))
      )
      // The last export is made when the layer's scope closes: the policies live longer.
      const scope = yield* Effect.scope
      yield* Effect.gen(function* () {
        yield* Effect.provideService(everyKind, Scope.Scope, scope)
        yield* TestClock.adjust("20 seconds")
      }).pipe(Effect.provide(otlp))
      const metrics = bodies.flatMap((body) => body.resourceMetrics ?? []).at(-1)?.scopeMetrics[0]?.metrics ?? []
      const find = (name: string) => metrics.find((metric) => metric.name === name)
      for (const { name, type, unit } of Metrics.definitions) {
        const metric = find(name)
        assert.strictEqual(metric?.unit, unit, name)
        assert.property(metric, type === "counter" ? "sum" : type, name)
      }
      assert.isTrue(find("resilience.calls")?.sum?.isMonotonic)
      const point = find("resilience.attempt.duration")?.histogram?.dataPoints[0]
      assert.strictEqual(point?.count, 5)
      assert.strictEqual(
        point?.bucketCounts.reduce((sum, count) => sum + count, 0),
        5
      )
      assert.strictEqual(point?.bucketCounts.length, point!.explicitBounds.length + 1)
      assert.notInclude(JSON.stringify(metrics), "null")
    }).pipe(Effect.provide(Metrics.layer()), inFleet)
  )
})
