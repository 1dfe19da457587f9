import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { PrometheusMetrics } from "effect/observability"
import { Policies } from "effect-resilience"
import * as Alerts from "effect-resilience/telemetry/Alerts"
import * as Dashboards from "effect-resilience/telemetry/Dashboards"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import { every } from "./subjects.ts"

interface Series {
  readonly metric: string
  readonly labels: ReadonlyMap<string, string>
}

const matchersIn = (text: string): ReadonlyArray<readonly [name: string, operator: string, value: string]> =>
  Array.from(text.matchAll(/(\w+)(=~|!=|=)"([^"]*)"/g), ([, name = "", operator = "", value = ""]) => [
    name,
    operator,
    value
  ])

/** The series of an exposition in Prometheus' text format. */
const seriesIn = (text: string): ReadonlyArray<Series> =>
  Array.from(text.matchAll(/^(\w+)\{([^}]*)\}/gm), ([, metric = "", labels = ""]) => ({
    metric,
    labels: new Map(matchersIn(labels).map(([name, , value]) => [name, value]))
  }))

const isMatch = (value: string | undefined, operator: string, wanted: string): boolean =>
  operator === "=~" ? wanted.split("|").includes(value ?? "") : (value === wanted) === (operator === "=")

/** The selectors of an expression that no series has. */
const missing = (expression: string, exported: ReadonlyArray<Series>): ReadonlyArray<string> =>
  Array.from(expression.matchAll(/\b(resilience_\w+)(?:\{([^}]*)\})?/g)).flatMap(
    ([text, metric = "", matchers = ""]) =>
      exported.some(
        (series) =>
          series.metric === metric &&
          matchersIn(matchers).every(([name, operator, value]) => isMatch(series.labels.get(name), operator, value))
      )
        ? []
        : [text]
  )

describe("what rules and panels select", () => {
  it.effect("is exported by Metrics for every kind of policy, before the first call", () =>
    Effect.gen(function* () {
      const entries = yield* Policies.all
      const exported = seriesIn(yield* PrometheusMetrics.format({ metricNameMapper: Metrics.prometheusName }))
      assert.isAtLeast(exported.length, 100)
      const rules = Alerts.rules(entries).flatMap((group) => group.rules.map(({ expr }) => expr))
      const panels = Dashboards.grafana(entries, { collapsed: true }).panels.flatMap((panel) =>
        (panel.type === "row" ? panel.panels : [panel]).flatMap(({ targets }) => targets.map(({ expr }) => expr))
      )
      assert.isAtLeast(panels.length, 40)
      assert.deepStrictEqual(
        [...rules, ...panels].flatMap((expression) => missing(expression, exported)),
        []
      )
    }).pipe(Effect.provide(Layer.provideMerge(Metrics.layer(), every)), Effect.provide(Policies.layer))
  )
})
