/** A service, an outage of one of its upstreams, and Prometheus: all real, on loopback. The tests run one after the other. */
import { assert, describe, layer } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { HttpClient } from "effect/http"
import * as Layer from "effect/Layer"
import { Policies } from "effect-resilience"
import * as Alerts from "effect-resilience/telemetry/Alerts"
import * as Dashboards from "effect-resilience/telemetry/Dashboards"
import { promtool } from "../telemetry/promtool.ts"
import { eventually, isInstalled, start } from "./prometheus.ts"
import { address, alone, live, Upstreams, World } from "./service.ts"

const outage = [Faulty.answer({ status: 503 })]
const healthy = [Faulty.json({ ok: true })]

const policy = 'policy="app/Upstreams"'

/** What is minutes in production is seconds here. */
const options: Alerts.Options = {
  notClosed: { for: "3 seconds" },
  openShare: { share: 0.2, window: "5 seconds" }
}

const generated = Effect.map(Policies.all, (policies) => Alerts.prometheus(policies, options))

/** Calls the service, which calls an upstream. */
const call = (upstream: "prices" | "stock") =>
  Effect.flatMap(address, (url) => Effect.map(HttpClient.get(`${url}/${upstream}`), ({ status }) => status))

class Prometheus extends Context.Service<Prometheus, Effect.Success<ReturnType<typeof start>>>()("test/Prometheus") {
  static readonly layer = Layer.effect(
    Prometheus,
    Effect.gen(function* () {
      yield* Effect.all([call("prices"), call("stock")])
      const prometheus = yield* start(yield* address, yield* generated)
      const scraped = Effect.map(prometheus.query("resilience_calls_total"), ([series]) => series)
      yield* eventually("the series of the service", scraped)
      return prometheus
    })
  )
}

/** The sum of an expression now. */
const sum = (expression: string) =>
  Effect.gen(function* () {
    const prometheus = yield* Prometheus
    const [series] = yield* prometheus.query(`sum(${expression})`)
    return series?.values[0]?.[1] ?? 0
  })

/** The alert of a name, while it is pending or firing. */
const alert = (name: string) =>
  Effect.gen(function* () {
    const prometheus = yield* Prometheus
    const alerts = yield* prometheus.alerts
    return alerts.find(({ labels: { alertname } }) => alertname === name)
  })

const firing = (name: string) =>
  eventually(
    `${name} fires`,
    Effect.map(alert(name), (found) => (found?.state === "firing" ? found : undefined))
  )

const resolved = (name: string) =>
  eventually(
    `${name} is resolved`,
    Effect.map(alert(name), (found) => (found === undefined ? true : undefined))
  )

/** Opens the circuit of an upstream and closes it again, between two scrapes. Returns when that began. */
const blink = Effect.gen(function* () {
  const world = yield* World
  const circuit = Effect.map(Upstreams.stats(world.stock.url), (stats) => stats.circuit?._tag)
  const callAfter = (pause: number) => Effect.sleep(pause).pipe(Effect.andThen(call("stock")), Effect.andThen(circuit))
  const scrapes = Effect.sync(() => world.scrapes)
  const attempt = Effect.gen(function* () {
    const before = yield* scrapes
    // Right after a scrape there is a second until the next.
    yield* eventually(
      "a scrape",
      Effect.map(scrapes, (now) => (now > before ? true : undefined))
    )
    const during = yield* scrapes
    const began = Date.now()
    yield* world.stock.setScript(outage)
    yield* Effect.repeat(callAfter(0), { until: (state) => state === "open" })
    yield* world.stock.setScript(healthy)
    yield* Effect.repeat(callAfter(20), { until: (state) => state === "closed" })
    return (yield* scrapes) === during ? began : undefined
  })
  return yield* eventually("an outage between two scrapes", attempt)
})

const stack = Prometheus.layer.pipe(Layer.provideMerge(live), Layer.provideMerge(alone))
const timeout = 120_000

describe.skipIf(!isInstalled)(
  "a service and Prometheus (skipped where Debian's package prometheus is not installed)",
  () => {
    layer(stack, { excludeTestServices: true, timeout })((it) => {
      it.effect("promtool has nothing to say about the route, and accepts the rules of the live policies", () =>
        Effect.gen(function* () {
          const response = yield* HttpClient.get(`${yield* address}/metrics`)
          const metrics = yield* response.text
          assert.include(metrics, `resilience_circuits{${policy}`)
          const silent = yield* Effect.promise(() => promtool(["check", "metrics"], {}, metrics))
          assert.deepStrictEqual(silent, { ok: true, output: "" })
          const rules = { "rules.yml": yield* generated }
          const accepted = yield* Effect.promise(() => promtool(["check", "rules", "--lint-fatal", "rules.yml"], rules))
          assert.isTrue(accepted.ok, accepted.output)
        })
      )

      it.effect("Prometheus loads every rule, and evaluates it without an error", () =>
        Effect.gen(function* () {
          const prometheus = yield* Prometheus
          const wanted = Alerts.rules(yield* Policies.all, options).flatMap(({ rules }) => rules)
          assert.isAbove(wanted.length, 5)
          const loaded = yield* eventually(
            "an evaluation of every rule",
            Effect.map(prometheus.rules, (groups) => {
              const rules = groups.flatMap(({ rules }) => rules)
              return rules.some(({ health }) => health === "unknown") ? undefined : rules
            })
          )
          assert.deepStrictEqual(
            loaded.map(({ health, name }) => [name, health]),
            wanted.map(({ alert }) => [alert, "ok"])
          )
        })
      )

      it.effect(
        "a circuit that opens and closes between two scrapes is seen by its counter, and by no gauge",
        () =>
          Effect.gen(function* () {
            const prometheus = yield* Prometheus
            const openings = sum("resilience_circuit_openings_total")
            const before = yield* openings
            const began = yield* blink
            yield* eventually(
              "the opening in the counter",
              Effect.map(openings, (now) => (now > before ? true : undefined))
            )
            const series = yield* prometheus.query(`resilience_circuits{${policy},state=~"open|half-open"}[5m]`)
            assert.lengthOf(series, 2)
            const since = series.flatMap(({ values }) => values.filter(([at]) => at >= began).map(([, value]) => value))
            assert.deepStrictEqual(new Set(since), new Set([0]))
          }),
        timeout
      )

      it.effect(
        "in an outage of one upstream its alerts are pending, then firing, and resolved after it",
        () =>
          Effect.gen(function* () {
            const prometheus = yield* Prometheus
            const world = yield* World
            const both = Effect.all([call("prices"), call("stock")], { concurrency: 2 })
            yield* Effect.forkScoped(Effect.forever(Effect.andThen(both, Effect.sleep("50 millis"))))

            yield* world.prices.setScript(outage)
            const { annotations, labels } = yield* firing("ResilienceCircuitNotClosed")
            assert.deepInclude(labels, { policy: "app/Upstreams", severity: "critical" })
            assert.deepInclude(annotations, {
              summary: "Circuits of app/Upstreams have not been closed for 3s",
              runbook_url: "docs/runbooks/circuit-not-closed.md"
            })
            yield* firing("ResilienceCircuitOpenShare")
            // The other upstream is called as before.
            assert.strictEqual(yield* call("stock"), 200)

            yield* world.prices.setScript(healthy)
            yield* resolved("ResilienceCircuitNotClosed")
            yield* resolved("ResilienceCircuitOpenShare")

            // Prometheus keeps the states of an alert as series.
            const history = (state: string) =>
              Effect.map(
                prometheus.query(`ALERTS{alertname="ResilienceCircuitNotClosed",alertstate="${state}"}[5m]`),
                ([series]) => series?.values[0]?.[0] ?? Number.NaN
              )
            assert.isAtLeast((yield* history("firing")) - (yield* history("pending")), 3000)
          }).pipe(Effect.scoped),
        timeout
      )

      it.effect("every query of the generated dashboard has data after that", () =>
        Effect.gen(function* () {
          const prometheus = yield* Prometheus
          const dashboard = JSON.stringify(Dashboards.grafana(yield* Policies.all))
          const strings = Array.from(dashboard.matchAll(/"expr":("(?:[^"\\]|\\.)*")/g), ([, string = ""]) => string)
          assert.isAbove(strings.length, 15)
          const empty: Array<string> = []
          for (const string of strings) {
            const expression: string = JSON.parse(string)
            // As Grafana does it. What only shows trouble has data in an outage: its comparison is left out.
            const query = expression.replaceAll("$__rate_interval", "1m").replace(/ > 0$/, "")
            if ((yield* prometheus.query(query)).length === 0) empty.push(expression)
          }
          assert.deepStrictEqual(empty, [])
        })
      )
    })
  }
)
