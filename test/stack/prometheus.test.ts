/** A service, an outage of one of its upstreams, and Prometheus, all real and on loopback. */
import { assert, describe, it } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Effect from "effect/Effect"
import { HttpClient } from "effect/http"
import { Policies } from "effect-resilience"
import * as Alerts from "effect-resilience/telemetry/Alerts"
import * as Dashboards from "effect-resilience/telemetry/Dashboards"
import { promtool } from "../telemetry/promtool.ts"
import { isolated } from "../telemetry/support.ts"
import { eventually, isInstalled, type Prometheus, start } from "./prometheus.ts"
import { address, live, Upstreams, World } from "./service.ts"

const skipped = isInstalled ? "" : " (skipped: Debian's package prometheus is not installed)"

// Minutes in production; seconds here.
const options: Alerts.Options = {
  notClosed: { for: "3 seconds" },
  openShare: { share: 0.2, window: "5 seconds" }
}

/** Calls the service and returns the status. */
const call = (name: "prices" | "stock") =>
  Effect.gen(function* () {
    const url = yield* address
    const { status } = yield* HttpClient.get(`${url}/${name}`)
    return status
  })

const outage = [Faulty.answer({ status: 503 })]
const healthy = [Faulty.json({ ok: true })]

const circuitOf = (name: string, state: string) => `${name}{policy="app/Upstreams",state=~"${state}"}`

/** Opens a circuit and closes it again while no scrape comes; returns when it began. */
const blink = Effect.gen(function* () {
  const world = yield* World
  const stock = Effect.map(Upstreams.stats(world.stock.url), ({ circuit }) => circuit?._tag)
  const once = Effect.gen(function* () {
    // Right after a scrape there is a second until the next.
    const before = world.scrapes
    yield* eventually(
      "a scrape",
      Effect.sync(() => (world.scrapes > before ? true : undefined))
    )
    const { scrapes } = world
    const began = Date.now()
    yield* world.stock.setScript(outage)
    yield* call("stock").pipe(Effect.andThen(stock), Effect.repeat({ until: (state) => state === "open" }))
    yield* world.stock.setScript(healthy)
    const closing = Effect.andThen(Effect.sleep("20 millis"), Effect.andThen(call("stock"), stock))
    yield* Effect.repeat(closing, { until: (state) => state === "closed" })
    return world.scrapes === scrapes ? began : undefined
  })
  return yield* eventually("an outage between two scrapes", once)
})

/** The value of a counter in all. */
const total = (prometheus: Prometheus, expression: string) =>
  Effect.map(prometheus.query(`sum(${expression})`), ([sum]) => sum?.values[0]?.[1] ?? 0)

describe.skipIf(!isInstalled)(`a service and Prometheus${skipped}`, () => {
  it.live(
    "shows every number, sees an outage between two scrapes, and its alerts go pending, firing and resolved",
    () =>
      Effect.gen(function* () {
        const world = yield* World
        const url = yield* address
        assert.deepStrictEqual([yield* call("prices"), yield* call("stock")], [200, 200])

        // What the route serves.
        const text = yield* Effect.flatMap(HttpClient.get(`${url}/metrics`), (response) => response.text)
        assert.include(text, "resilience_circuits{")
        const checked = yield* Effect.promise(() => promtool(["check", "metrics"], {}, text))
        assert.deepStrictEqual(checked, { ok: true, output: "" })

        // What the live policies generate.
        const policies = yield* Policies.all
        const rules = Alerts.prometheus(policies, options)
        const { ok, output } = yield* Effect.promise(() =>
          promtool(["check", "rules", "--lint-fatal", "rules.yml"], { "rules.yml": rules })
        )
        assert.isTrue(ok, output)

        const prometheus = yield* start(url, rules)

        yield* eventually(
          "the series of the service",
          Effect.map(prometheus.query("resilience_calls_total"), (found) => found[0])
        )
        const groups = yield* prometheus.rules
        assert.deepStrictEqual(
          groups.map(({ name, rules }) => [name, rules.length]),
          Alerts.rules(policies, options).map(({ name, rules }) => [name, rules.length])
        )

        // A circuit that opens and closes between two scrapes.
        const openings = yield* total(prometheus, "resilience_circuit_openings_total")
        const began = yield* blink
        yield* eventually(
          "the opening in the counter",
          Effect.map(total(prometheus, "resilience_circuit_openings_total"), (now) =>
            now > openings ? now : undefined
          )
        )
        const states = yield* prometheus.query(`${circuitOf("resilience_circuits", "open|half-open")}[5m]`)
        assert.strictEqual(states.length, 2)
        const seen = states.flatMap(({ values }) => values.filter(([at]) => at >= began).map(([, value]) => value))
        assert.isAbove(seen.length, 0)
        assert.deepStrictEqual(new Set(seen), new Set([0]))

        // An outage of one upstream, while both are called.
        const traffic = Effect.forEach(["prices", "stock"] as const, call, { concurrency: 2 }).pipe(
          Effect.andThen(Effect.sleep("50 millis")),
          Effect.forever
        )
        yield* Effect.forkScoped(traffic)
        yield* world.prices.setScript(outage)
        const firing = (name: string) =>
          eventually(
            `${name} fires`,
            Effect.map(prometheus.alerts, (alerts) =>
              alerts.find(({ labels, state }) => labels["alertname"] === name && state === "firing")
            )
          )
        const alert = yield* firing("ResilienceCircuitNotClosed")
        assert.deepInclude(alert.labels, { policy: "app/Upstreams", severity: "critical" })
        assert.strictEqual(alert.annotations["summary"], "Circuits of app/Upstreams have not been closed for 3s")
        assert.match(alert.annotations["description"] ?? "", /^Not closed: 1 of the circuits of app\/Upstreams/)
        yield* firing("ResilienceCircuitOpenShare")

        yield* world.prices.setScript(healthy)
        yield* eventually(
          "both alerts are resolved",
          Effect.map(prometheus.alerts, (alerts) =>
            alerts.some(({ labels }) => /NotClosed|OpenShare/.test(labels["alertname"] ?? "")) ? undefined : true
          )
        )
        // Prometheus keeps the states of its alerts as a series.
        const [pending] = yield* prometheus.query(
          'ALERTS{alertname="ResilienceCircuitNotClosed",alertstate="pending"}[5m]'
        )
        const [fired] = yield* prometheus.query(
          'ALERTS{alertname="ResilienceCircuitNotClosed",alertstate="firing"}[5m]'
        )
        const [firstPending = Number.NaN] = pending?.values[0] ?? []
        const [firstFired = Number.NaN] = fired?.values[0] ?? []
        assert.isAtLeast(firstFired - firstPending, 3000)

        // Each query of the generated dashboard has data, now that each part has had something to do.
        const dashboard = Dashboards.grafana(policies)
        const expressions = Array.from(
          JSON.stringify(dashboard).matchAll(/"expr":("(?:[^"\\]|\\.)*")/g),
          ([, text = ""]) => JSON.parse(text) as string // a string of JSON
        )
        assert.isAbove(expressions.length, 15)
        const empty: Array<string> = []
        for (const expression of expressions) {
          const found = yield* prometheus.query(expression.replaceAll("$__rate_interval", "1m").replace(/ > 0$/, ""))
          if (found.length === 0) empty.push(expression)
        }
        assert.deepStrictEqual(empty, [])
      }).pipe(Effect.scoped, Effect.provide(live), isolated),
    180_000
  )
})
