import { assert, describe, it } from "@effect/vitest"
import {
  GraphThresholdsStyleConfigBuilder,
  GraphThresholdsStyleMode,
  LegendDisplayMode,
  LegendPlacement,
  SortOrder,
  StackingConfigBuilder,
  StackingMode,
  TooltipDisplayMode,
  VizLegendOptionsBuilder,
  VizTooltipOptionsBuilder
} from "@grafana/grafana-foundation-sdk/common"
import {
  DashboardBuilder,
  DashboardCursorSync,
  DatasourceVariableBuilder,
  RowBuilder,
  ThresholdsConfigBuilder,
  ThresholdsMode
} from "@grafana/grafana-foundation-sdk/dashboard"
import { DataqueryBuilder } from "@grafana/grafana-foundation-sdk/prometheus"
import { PanelBuilder } from "@grafana/grafana-foundation-sdk/timeseries"
import { Effect } from "effect"
import * as Alerts from "effect-resilience/telemetry/Alerts"
import * as Dashboards from "effect-resilience/telemetry/Dashboards"
import { metrics } from "./contract.ts"
import { isInstalled, promtool } from "./promtool.ts"
import { hostile, live, payments } from "./subjects.ts"

const panelsIn = ({ panels }: Dashboards.Dashboard): ReadonlyArray<Dashboards.Panel> =>
  panels.flatMap((panel) => (panel.type === "row" ? panel.panels : [panel]))

const rowsOf = ({ panels }: Dashboards.Dashboard) => {
  const rows: Array<{ readonly title: string; readonly panels: Array<string> }> = []
  for (const panel of panels) {
    if (panel.type === "row") rows.push({ title: panel.title, panels: panel.panels.map(({ title }) => title) })
    else rows.at(-1)?.panels.push(panel.title)
  }
  return Object.fromEntries(rows.map(({ panels, title }) => [title, panels]))
}

const expressionsOf = (dashboard: Dashboards.Dashboard) =>
  panelsIn(dashboard).flatMap(({ targets }) => targets.map(({ expr }) => expr.replaceAll("$__rate_interval", "1m")))

describe("Dashboards.grafana", () => {
  it.effect("has a row for each policy with the panels of its parts, after one with the problems of all", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(rowsOf(Dashboards.grafana(yield* live)), {
        "Problems first": [
          "Circuits not closed",
          "Rejected calls",
          "Retries refused by a budget",
          "Processes out of touch"
        ],
        "app/Budget (RetryBudget)": ["Calls and rejections", "Retries against the budget", "Balance of the budget"],
        "app/Payments (Policy)": [
          "Circuits by state",
          "Openings",
          "Time open, and time unhealthy",
          "Failure rate against its threshold",
          "Calls and rejections",
          "Latency against the timeout",
          "Attempts and timeouts",
          "Retries against the budget",
          "Balance of the budget",
          "Concurrency against permits"
        ],
        "app/Users (CircuitBreaker)": [
          "Circuits by state",
          "Openings",
          "Time open, and time unhealthy",
          "Failure rate against its threshold",
          "Calls and rejections"
        ],
        "app/Database (Bulkhead)": ["Calls and rejections", "Concurrency against permits"],
        "app/Rates (StaleFallback)": ["Calls and rejections", "Stale values"],
        "app/Mail (Policy)": [
          "Calls and rejections",
          "Latency against the timeout",
          "Attempts and timeouts",
          "Retries against the budget",
          "Balance of the budget"
        ],
        "app/Orders (Policy)": [
          "Circuits by state",
          "Openings",
          "Time open, and time unhealthy",
          "Failure rate against its threshold",
          "Calls and rejections",
          "Latency against the timeout",
          "Attempts and timeouts",
          "Tokens of the rate limit",
          "Concurrency against permits",
          "Fleet",
          "Circuits that the fleet has open",
          "Permits of the fleet",
          "Rate of the fleet"
        ]
      })
      assert.notInclude(JSON.stringify(Dashboards.grafana([payments])), "fleet", "of policies that share nothing")
    })
  )

  it("draws what is set as lines", () => {
    const lines = new Map(
      panelsIn(Dashboards.grafana([payments])).map(({ fieldConfig: { defaults }, title }) => {
        const values = defaults.thresholds.steps.flatMap(({ value }) => value ?? [])
        assert.strictEqual(defaults.custom.thresholdsStyle.mode, values.length === 0 ? "off" : "dashed")
        return [title, values]
      })
    )
    assert.deepStrictEqual(lines.get("Failure rate against its threshold"), [0.5])
    assert.deepStrictEqual(lines.get("Latency against the timeout"), [1, 3])
    assert.deepStrictEqual(lines.get("Balance of the budget"), [20])
    assert.deepStrictEqual(lines.get("Concurrency against permits"), [10])
    assert.deepStrictEqual(lines.get("Openings"), [])
  })

  for (const collapsed of [true, false]) {
    it(`gives panels identifiers of their own, and places where they do not overlap (collapsed: ${collapsed})`, () => {
      const dashboard = Dashboards.grafana([payments, { ...payments, name: "app/Other" }], { collapsed })
      const all = [...dashboard.panels.filter(({ type }) => type === "row"), ...panelsIn(dashboard)]
      assert.strictEqual(new Set(all.map(({ id }) => id)).size, all.length)
      const taken = new Set<string>()
      for (const { gridPos } of dashboard.panels) {
        assert.isAtMost(gridPos.x + gridPos.w, 24)
        for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
          for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
            assert.isFalse(taken.has(`${x} ${y}`), `${x} ${y} is taken twice`)
            taken.add(`${x} ${y}`)
          }
        }
      }
      const rows = dashboard.panels.filter((panel) => panel.type === "row")
      assert.deepStrictEqual(
        rows.map((row) => row.collapsed),
        [false, collapsed, collapsed]
      )
    })
  }

  it("is what the SDK of Grafana builds", () => {
    const generated = Dashboards.grafana([payments], { title: "Payments", uid: "payments", tags: ["a", "b"] })
    const builder = new DashboardBuilder("Payments")
      .uid("payments")
      .description(generated.description)
      .tags(["a", "b"])
      .timezone("browser")
      .editable()
      .tooltip(DashboardCursorSync.Crosshair)
      .time({ from: "now-1h", to: "now" })
      .refresh("30s")
      .withVariable(new DatasourceVariableBuilder("datasource").label("Data source").type("prometheus"))
    const datasource = { type: "prometheus", uid: "$datasource" }
    for (const one of generated.panels) {
      if (one.type === "row") {
        builder.withRow(new RowBuilder(one.title).id(one.id).collapsed(false).gridPos(one.gridPos))
        continue
      }
      const { custom, thresholds, unit } = one.fieldConfig.defaults
      const hasLines = thresholds.steps.length > 1
      const isStacked = custom.stacking.mode === "normal"
      const panel = new PanelBuilder()
        .id(one.id)
        .title(one.title)
        .description(one.description)
        .datasource(datasource)
        .gridPos(one.gridPos)
        .unit(unit)
        .min(0)
        .fillOpacity(isStacked ? 60 : 10)
        .thresholds(new ThresholdsConfigBuilder().mode(ThresholdsMode.Absolute).steps([...thresholds.steps]))
        .thresholdsStyle(
          new GraphThresholdsStyleConfigBuilder().mode(
            hasLines ? GraphThresholdsStyleMode.Dashed : GraphThresholdsStyleMode.Off
          )
        )
        .stacking(new StackingConfigBuilder().mode(isStacked ? StackingMode.Normal : StackingMode.None))
        .legend(
          new VizLegendOptionsBuilder()
            .displayMode(LegendDisplayMode.List)
            .placement(LegendPlacement.Bottom)
            .showLegend(true)
            .calcs([])
        )
        .tooltip(new VizTooltipOptionsBuilder().mode(TooltipDisplayMode.Multi).sort(SortOrder.Descending))
      for (const { expr, legendFormat, refId } of one.targets) {
        panel.withTarget(
          new DataqueryBuilder().refId(refId).datasource(datasource).expr(expr).legendFormat(legendFormat).range()
        )
      }
      builder.withPanel(panel)
    }
    // The SDK writes these defaults of Grafana; it leaves the list of annotations out when there is none.
    const defaults = [
      "fiscalYearStartMonth",
      "repeatDirection",
      "transparent",
      "instant",
      "allowCustomValue",
      "skipUrlSync",
      "auto",
      "auto_count",
      "auto_min",
      "multi",
      "includeAll"
    ]
    const withoutDefaults = (field: string, value: unknown) => (defaults.includes(field) ? undefined : value)
    const built = { ...builder.build(), annotations: { list: [] } }
    assert.deepStrictEqual(JSON.parse(JSON.stringify(generated)), JSON.parse(JSON.stringify(built, withoutDefaults)))
  })

  it("refuses wrong options and entries", () => {
    const grafana = (options: object) => Dashboards.grafana([], options as Dashboards.Options) // plain JavaScript
    assert.throws(() => grafana({ name: "x" }), /^Dashboards: there is no option name/)
    assert.throws(() => grafana({ title: "" }), /^Dashboards: title must be a non-empty string/)
    assert.throws(() => grafana({ uid: "a b" }), /^Dashboards: uid must be 1 to 40 letters/)
    assert.throws(() => grafana({ tags: "a" }), /^Dashboards: tags must be an array of strings/)
    assert.throws(() => grafana({ collapsed: 1 }), /^Dashboards: collapsed must be true or false/)
    assert.throws(() => Dashboards.grafana([{ ...payments, name: "" }]), /^Dashboards: entries\[0\]: name must be/)
  })
})

describe("rules and panels", () => {
  it.effect("read only metrics that are exported, with labels that they have", () =>
    Effect.gen(function* () {
      const entries = yield* live
      const rules = Alerts.rules(entries).flatMap((group) => group.rules.map(({ expr }) => expr))
      const used = [...rules, ...expressionsOf(Dashboards.grafana(entries))]
      const seen = new Set<string>()
      for (const expression of used) {
        for (const [, metric = "", matchers = ""] of expression.matchAll(/\b(resilience_\w+)(?:\{([^}]*)\})?/g)) {
          assert.property(metrics, metric)
          seen.add(metric)
          for (const [, label = ""] of matchers.matchAll(/(\w+)[=!]/g)) {
            assert.include(metrics[metric] ?? [], label, `${metric} in ${expression}`)
          }
        }
        for (const [, labels = ""] of expression.matchAll(/\b(?:by|without|on) \(([^)]*)\)/g)) {
          for (const label of labels.split(", ")) {
            assert.include([...Object.values(metrics).flat(), "key"], label, expression)
          }
        }
      }
      assert.isAtLeast(seen.size, 14)
    })
  )

  it.skipIf(!isInstalled)("are PromQL, for every kind and for a name with every special character", async () => {
    const entries = [...(await Effect.runPromise(live)), hostile]
    const expressions = expressionsOf(Dashboards.grafana(entries))
    assert.isAtLeast(expressions.length, 60)
    const rules = expressions.map((expr, i) => ({ record: `panel:${i}`, expr }))
    const { ok, output } = await promtool(["check", "rules", "panels.yml"], {
      "panels.yml": JSON.stringify({ groups: [{ name: "panels", rules }] })
    })
    assert.isTrue(ok, output)
  })
})
