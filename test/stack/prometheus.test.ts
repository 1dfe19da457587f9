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

/** The values of a range that were scraped since a moment, the oldest of each series first. */
const samplesSince = (moment: number, range: string) =>
  Effect.gen(function* () {
    const prometheus = yield* Prometheus
    const series = yield* prometheus.query(range)
    return series.flatMap(({ values }) => values.filter(([at]) => at >= moment).map(([, value]) => value))
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

/** How often circuits have opened, as the service itself knows. */
const opened = Effect.map(Upstreams.allStats, (all) => all.reduce((sum, { totals }) => sum + totals.openings, 0))

/** Opens the circuit of an upstream and closes it again, between two scrapes. Returns when that began. */
const blink = Effect.gen(function* () {
  const world = yield* World
  const circuit = Effect.map(Upstreams.stats(world.stock.url), (stats) => stats.circuit?._tag)
  const callAfter = (pause: number) => Effect.sleep(pause).pipe(Effect.andThen(call("stock")), Effect.andThen(circuit))
  return yield* world.scrape.withPermit(
    Effect.gen(function* () {
      const began = Date.now()
      yield* world.stock.setScript(outage)
      yield* Effect.repeat(callAfter(0), { until: (state) => state === "open" })
      yield* world.stock.setScript(healthy)
      yield* Effect.repeat(callAfter(20), { until: (state) => state === "closed" })
      return began
    })
  )
})

const stack = Prometheus.layer.pipe(Layer.provideMerge(live), Layer.provideMerge(alone))

describe.skipIf(!isInstalled)(
  "a service and Prometheus (skipped where Debian's package prometheus is not installed)",
  () => {
    // Named: without a name the layer counts a test that is run again twice, and is released before the last test.
    layer(stack, { excludeTestServices: true })("on loopback", (it) => {
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

      it.effect("a circuit that opens and closes between two scrapes is seen by its counter, and by no gauge", () =>
        Effect.gen(function* () {
          const before = yield* opened
          const began = yield* blink
          assert.isAbove(yield* opened, before)
          const counted = yield* eventually(
            "a scrape after the opening",
            Effect.map(samplesSince(began, "resilience_circuit_openings_total[5m]"), ([first]) => first)
          )
          assert.isAbove(counted, before)
          const gauges = yield* samplesSince(began, `resilience_circuits{${policy},state=~"open|half-open"}[5m]`)
          assert.isAtLeast(gauges.length, 2)
          assert.deepStrictEqual(new Set(gauges), new Set([0]))
        })
      )

      it.effect("in an outage of one upstream its alerts are pending, then firing, and resolved after it", () =>
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
        }).pipe(Effect.scoped)
      )

      it.effect("every query of the generated dashboard has data after that", () =>
        Effect.gen(function* () {
          const prometheus = yield* Prometheus
          const dashboard = JSON.stringify(Dashboards.grafana(yield* Policies.all))
          const strings = Array.from(dashboard.matchAll(/"expr":("(?:[^"\\]|\\.)*")/g), ([, string = ""]) => string)
          assert.isAbove(strings.length, 15)
          const queries = strings.map((string) => {
            const expression: string = JSON.parse(string)
            // As Grafana does it. What only shows trouble has data in an outage: its comparison is left out.
            return expression.replaceAll("$__rate_interval", "1m").replace(/ > 0$/, "")
          })
          // A scrape that came late on a busy machine leaves a gap.
          for (const query of queries) {
            yield* eventually(
              `data of ${query}`,
              Effect.map(prometheus.query(query), (series) => (series.length > 0 ? true : undefined))
            )
          }
        })
      )
    })
  }
)
