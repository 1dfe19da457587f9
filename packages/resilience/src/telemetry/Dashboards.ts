/**
 * Generates a dashboard of Grafana from the settings of the policies.
 *
 * Every policy gets a row with panels for the parts that it has, and what is set (timeout, permits, capacity, failure rate) is drawn as a
 * line in the panel of what is measured. The panels read the metrics of `telemetry/Metrics`.
 *
 * @since 0.1.0
 */

import * as Check from "../runtime/options.ts"
import { type Described, distinct } from "./Alerts.ts"
import { select, span } from "./internal/promql.ts"
import { type Parts, partsOf } from "./internal/settingsParts.ts"

/**
 * Options of {@link grafana}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Default: `"Resilience"`. */
  readonly title?: string | undefined
  /**
   * The identifier of the dashboard in Grafana, 1 to 40 letters, digits, `-` and `_`: importing a dashboard with the same one replaces it.
   * Default: `"effect-resilience"`.
   */
  readonly uid?: string | undefined
  /** Default: `["resilience"]`. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** Whether the rows of the policies are collapsed. Default: `true` when there are more than 4. */
  readonly collapsed?: boolean | undefined
}

/**
 * A query of a panel, in PromQL.
 *
 * @category models
 * @since 0.1.0
 */
export interface Target {
  readonly refId: string
  readonly datasource: DataSource
  readonly expr: string
  readonly legendFormat: string
  readonly range: true
}

/**
 * The data source of a panel: the variable `datasource` of the dashboard.
 *
 * @category models
 * @since 0.1.0
 */
export interface DataSource {
  readonly type: "prometheus"
  readonly uid: string
}

/**
 * Where a panel stands: 24 columns make the width.
 *
 * @category models
 * @since 0.1.0
 */
export interface GridPos {
  readonly h: number
  readonly w: number
  readonly x: number
  readonly y: number
}

/**
 * A limit that is drawn as a line; the first step of a panel has no value and is the color below all limits.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step {
  readonly value: number | null
  readonly color: string
}

/**
 * A panel with series over time.
 *
 * @category models
 * @since 0.1.0
 */
export interface Panel {
  readonly type: "timeseries"
  readonly id: number
  readonly title: string
  readonly description: string
  readonly datasource: DataSource
  readonly gridPos: GridPos
  readonly targets: ReadonlyArray<Target>
  readonly fieldConfig: {
    readonly defaults: {
      readonly unit: string
      readonly min: number
      readonly thresholds: { readonly mode: "absolute"; readonly steps: ReadonlyArray<Step> }
      readonly custom: {
        readonly fillOpacity: number
        readonly stacking: { readonly mode: "none" | "normal" }
        readonly thresholdsStyle: { readonly mode: "off" | "dashed" }
      }
    }
    readonly overrides: ReadonlyArray<never>
  }
  readonly options: {
    readonly legend: {
      readonly displayMode: "list"
      readonly placement: "bottom"
      readonly showLegend: true
      readonly calcs: ReadonlyArray<string>
    }
    readonly tooltip: { readonly mode: "multi"; readonly sort: "desc" }
  }
}

/**
 * A row: the panels of one policy. Those of a collapsed row are inside it, others follow it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly type: "row"
  readonly id: number
  readonly title: string
  readonly collapsed: boolean
  readonly gridPos: GridPos
  readonly panels: ReadonlyArray<Panel>
}

/**
 * A dashboard, as Grafana imports it: the classic model, of schema version 42.
 *
 * @category models
 * @since 0.1.0
 */
export interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly description: string
  readonly tags: ReadonlyArray<string>
  readonly timezone: "browser"
  readonly editable: true
  /** One crosshair for all panels. */
  readonly graphTooltip: 1
  readonly time: { readonly from: string; readonly to: string }
  readonly refresh: string
  readonly schemaVersion: 42
  readonly panels: ReadonlyArray<Row | Panel>
  readonly templating: {
    readonly list: ReadonlyArray<{
      readonly type: "datasource"
      readonly name: "datasource"
      readonly label: string
      readonly query: "prometheus"
    }>
  }
  readonly annotations: { readonly list: ReadonlyArray<never> }
}

// ---------------------------------------------------------------------------------------------------------------------
// Panels
// ---------------------------------------------------------------------------------------------------------------------

/** A panel without what all panels have in common. */
interface Draft {
  readonly title: string
  readonly description: string
  readonly unit: string
  readonly stacked?: boolean
  /** What is set. */
  readonly limits?: ReadonlyArray<number>
  /** Queries by their legends. */
  readonly series: Readonly<Record<string, string>>
}

/** Grafana's range for rates: at least four scrapes. */
const range = "$__rate_interval"

const sumOfRate = (series: string, by = ""): string =>
  `sum${by === "" ? "" : ` by (${by})`} (rate(${series}[${range}]))`

/** Of the processes the one with the highest value. */
const worst = (series: string): string => `max (sum without (key) (${series}))`

type Write = (policy: Described, parts: Parts) => Draft | undefined

const calls: Write = (policy, { breaker, bulkhead, deadline, rateLimit }) => {
  const rejects = [breaker, bulkhead, rateLimit, deadline].some((part) => part !== undefined)
  return {
    title: "Calls and rejections",
    description: rejects
      ? "Calls per second, and how many of them were rejected, by the reason."
      : "Calls per second; this policy rejects none.",
    unit: "reqps",
    series: {
      calls: sumOfRate(select(policy, "resilience_calls_total")),
      ...(rejects ? { "{{reason}}": sumOfRate(select(policy, "resilience_rejections_total"), "reason") } : {})
    }
  }
}

const circuits: Write = (policy, { breaker }) =>
  breaker && {
    title: "Circuits by state",
    description: `The number of keys in each state, in all processes. Trips by ${breaker.trip}; open time ${breaker.openFor}.`,
    unit: "short",
    stacked: true,
    series: { "{{state}}": `sum by (state) (${select(policy, "resilience_circuits")})` }
  }

const openings: Write = (policy, { breaker }) =>
  breaker && {
    title: "Openings",
    description:
      "How often circuits opened, failed probes included; also when a circuit opened and closed again between two scrapes.",
    unit: "short",
    series: {
      openings: `sum (increase(${select(policy, "resilience_circuit_openings_total")}[${range}]))`
    }
  }

const openTime: Write = (policy, { breaker }) =>
  breaker && {
    title: "Time open, and time unhealthy",
    description:
      "How many circuits were open on average, and the longest time since a circuit left closed, through failed probes.",
    unit: "s",
    series: {
      "open, seconds per second": sumOfRate(select(policy, "resilience_circuit_time_seconds_total", 'state="open"')),
      "longest unhealthy": `max (${select(policy, "resilience_circuit_unhealthy_seconds")})`
    }
  }

const failureRate: Write = (policy, { breaker }) => {
  if (breaker === undefined) return undefined
  const attempts = (outcome: string): string =>
    sumOfRate(select(policy, "resilience_attempts_total", `outcome=~"${outcome}"`))
  const { failureRate: limit } = breaker
  return {
    title: limit === undefined ? "Failure rate" : "Failure rate against its threshold",
    description:
      `The share of failures of the attempts that count, all keys together. Trips by ${breaker.trip}.` +
      (limit === undefined ? "" : ` Line: a failure rate of ${limit}.`),
    unit: "percentunit",
    ...(limit === undefined ? {} : { limits: [limit] }),
    series: { failures: `${attempts("failure")} / ${attempts("success|failure")}` }
  }
}

const retries: Write = (policy, { budget, retry }) =>
  retry || budget !== undefined
    ? {
        title: budget === undefined ? "Retries" : "Retries against the budget",
        description:
          "Retries per second, and those that were not made, by the reason; `budget` is a budget without a token.",
        unit: "reqps",
        series: {
          retries: sumOfRate(select(policy, "resilience_retries_total")),
          "gave up: {{reason}}": sumOfRate(select(policy, "resilience_retry_giveups_total"), "reason")
        }
      }
    : undefined

const budget: Write = (policy, { budget }) => {
  if (budget === undefined) return undefined
  const { capacity, shared } = budget
  return {
    title: "Balance of the budget",
    description:
      `Tokens, of the process with the fewest; below 1 no retry is made.${capacity === undefined ? "" : ` Line: the capacity, ${capacity}.`}` +
      (shared === undefined ? "" : ` The budget is ${shared}.`),
    unit: "short",
    ...(capacity === undefined ? {} : { limits: [capacity] }),
    series: { balance: `min (${select(policy, "resilience_budget_balance")})` }
  }
}

const bulkhead: Write = (policy, { bulkhead }) =>
  bulkhead && {
    title: "Concurrency against permits",
    description:
      `Calls that run and that wait, of the process with the most, all keys together. Line: ${bulkhead.maxConcurrent} permits, which are ` +
      `for each key; places in the queue: ${bulkhead.maxQueued}.`,
    unit: "short",
    limits: [bulkhead.maxConcurrent],
    series: {
      running: worst(select(policy, "resilience_bulkhead_running")),
      waiting: worst(select(policy, "resilience_bulkhead_waiting")),
      "permits of all keys": worst(select(policy, "resilience_bulkhead_max_concurrent"))
    }
  }

const rateLimit: Write = (policy, { rateLimit }) =>
  rateLimit && {
    title: "Tokens of the rate limit",
    description:
      `Calls that may start at once, of the key with the fewest tokens, and calls that wait for one. The limit is ${rateLimit.limit} in ` +
      `${span(rateLimit.window)} for each key and process. Line: the burst, ${rateLimit.burst}.`,
    unit: "short",
    limits: [rateLimit.burst],
    series: {
      tokens: `min (${select(policy, "resilience_rate_limit_tokens")})`,
      waiting: worst(select(policy, "resilience_rate_limit_waiting"))
    }
  }

const milliseconds = (limit: number): string => `${limit} ms`

const latency: Write = (policy, { deadline, timeout }) => {
  // Only a whole policy measures its attempts.
  if (policy.kind !== "Policy") return undefined
  const quantile = (q: number): string =>
    `histogram_quantile(${q}, ${sumOfRate(select(policy, "resilience_attempt_duration_seconds_bucket"), "le")})`
  const lines = [
    ...(timeout === undefined ? [] : [`the timeout of an attempt, ${milliseconds(timeout)}`]),
    ...(deadline === undefined ? [] : [`the deadline of a call, ${milliseconds(deadline)}`])
  ]
  return {
    title: timeout === undefined ? "Latency" : "Latency against the timeout",
    description: `Time that attempts took.${lines.length === 0 ? "" : ` Lines: ${lines.join("; ")}.`}`,
    unit: "s",
    limits: [timeout, deadline].flatMap((limit) => (limit === undefined ? [] : [limit / 1000])),
    series: { p50: quantile(0.5), p95: quantile(0.95), p99: quantile(0.99) }
  }
}

const timeouts: Write = (policy, { timeout }) =>
  timeout === undefined
    ? undefined
    : {
        title: "Attempts and timeouts",
        description: "Attempts per second by outcome, and those that the timeout ended.",
        unit: "reqps",
        series: {
          "{{outcome}}": sumOfRate(select(policy, "resilience_attempts_total"), "outcome"),
          timeouts: sumOfRate(select(policy, "resilience_timeouts_total"))
        }
      }

const fallbacks: Write = (policy) =>
  policy.kind === "StaleFallback"
    ? {
        title: "Stale values",
        description: "Errors per second that were replaced with the last good value.",
        unit: "reqps",
        series: { fallbacks: sumOfRate(select(policy, "resilience_fallbacks_total")) }
      }
    : undefined

const fleet: Write = (policy, { shared }) =>
  shared && {
    title: "Fleet",
    description: `Members in touch with the board, and processes that are not. It shares: ${shared.what}.`,
    unit: "short",
    series: {
      members: `max (${select(policy, "resilience_fleet_members")})`,
      "out of touch": `sum (1 - ${select(policy, "resilience_fleet_in_touch")})`
    }
  }

const fleetPermits: Write = (policy, { shared }) =>
  shared?.permits === undefined
    ? undefined
    : {
        title: "Permits of the fleet",
        description: `What the processes may use, added up, all keys together. Line: ${shared.permits} permits, which are for each key.`,
        unit: "short",
        limits: [shared.permits],
        series: {
          permits: `sum (${select(policy, "resilience_fleet_permits")})`,
          running: `sum (${select(policy, "resilience_bulkhead_running")})`
        }
      }

const fleetRate: Write = (policy, { shared }) => {
  if (shared?.rate === undefined) return undefined
  const line = `Line: ${shared.rate} calls a second, which are for each key.`
  return {
    title: "Rate of the fleet",
    description: `Calls per second that the processes may start, added up, all keys together. ${line}`,
    unit: "short",
    limits: [shared.rate],
    series: {
      rate: `sum (${select(policy, "resilience_fleet_rate")})`
    }
  }
}

const fleetCircuits: Write = (policy, { breaker, shared }) =>
  shared?.breaker === true && breaker !== undefined
    ? {
        title: "Circuits that the fleet has open",
        description:
          "As the process knows that has heard of the most; the circuits of one process are in *Circuits by state*.",
        unit: "short",
        stacked: true,
        series: { "{{state}}": `max by (state) (${select(policy, "resilience_fleet_circuits")})` }
      }
    : undefined

const panelsOfPolicy: ReadonlyArray<Write> = [
  circuits,
  openings,
  openTime,
  failureRate,
  calls,
  latency,
  timeouts,
  retries,
  budget,
  rateLimit,
  bulkhead,
  fleet,
  fleetCircuits,
  fleetPermits,
  fleetRate,
  fallbacks
]

/** Trouble first: what is wrong in any policy, on one line. */
const overview: ReadonlyArray<Draft> = [
  {
    title: "Circuits not closed",
    description: "By policy and state; isolated and disabled are commands of an operator.",
    unit: "short",
    series: { "{{policy}} {{state}}": 'sum by (policy, state) (resilience_circuits{state!="closed"}) > 0' }
  },
  {
    title: "Rejected calls",
    description: "The share of the calls of each policy that was rejected.",
    unit: "percentunit",
    series: {
      "{{policy}}":
        `sum by (policy) (rate(resilience_rejections_total[${range}])) / ` +
        `sum by (policy) (rate(resilience_calls_total[${range}]))`
    }
  },
  {
    title: "Retries refused by a budget",
    description: "Per second, by policy.",
    unit: "reqps",
    series: { "{{policy}}": `sum by (policy) (rate(resilience_retry_giveups_total{reason="budget"}[${range}])) > 0` }
  }
]

/** On that line if a policy shares. */
const overviewOfFleets: Draft = {
  title: "Processes out of touch",
  description: "By policy: processes that hear nothing of the board of their fleet, and decide alone.",
  unit: "short",
  series: { "{{policy}}": "sum by (policy) (1 - resilience_fleet_in_touch) > 0" }
}

// ---------------------------------------------------------------------------------------------------------------------
// The dashboard
// ---------------------------------------------------------------------------------------------------------------------

const datasource: DataSource = { type: "prometheus", uid: "$datasource" }

const [width, height, columns] = [8, 8, 3]

const refIds = "ABCDEFGH"

const panelOf = (draft: Draft, id: number, gridPos: GridPos): Panel => {
  const { description, limits = [], series, stacked = false, title, unit } = draft
  return {
    type: "timeseries",
    id,
    title,
    description,
    datasource,
    gridPos,
    targets: Object.entries(series).map(([legendFormat, expr], i) => ({
      refId: refIds.charAt(i),
      datasource,
      expr,
      legendFormat,
      range: true
    })),
    fieldConfig: {
      defaults: {
        unit,
        min: 0,
        thresholds: {
          mode: "absolute",
          // Grafana wants its steps in order.
          steps: [
            { value: null, color: "transparent" },
            ...[...limits].sort((a, b) => a - b).map((value) => ({ value, color: "red" }))
          ]
        },
        custom: {
          fillOpacity: stacked ? 60 : 10,
          stacking: { mode: stacked ? "normal" : "none" },
          thresholdsStyle: { mode: limits.length === 0 ? "off" : "dashed" }
        }
      },
      overrides: []
    },
    options: {
      legend: { displayMode: "list", placement: "bottom", showLegend: true, calcs: [] },
      tooltip: { mode: "multi", sort: "desc" }
    }
  }
}

interface Section {
  readonly title: string
  readonly collapsed: boolean
  readonly drafts: ReadonlyArray<Draft>
}

/** Rows one below the other, each with its panels. */
const layOut = (sections: ReadonlyArray<Section>): ReadonlyArray<Row | Panel> => {
  let id = 0
  let y = 0
  return sections.flatMap(({ collapsed, drafts, title }) => {
    const rowId = ++id
    const top = y++
    const panels = drafts.map((draft, i) =>
      panelOf(draft, ++id, {
        h: height,
        w: width,
        x: (i % columns) * width,
        y: y + Math.floor(i / columns) * height
      })
    )
    if (!collapsed) y += Math.ceil(drafts.length / columns) * height
    const row: Row = {
      type: "row",
      id: rowId,
      title,
      collapsed,
      gridPos: { h: 1, w: width * columns, x: 0, y: top },
      panels: collapsed ? panels : []
    }
    return collapsed ? [row] : [row, ...panels]
  })
}

const where = "Dashboards"

const tagsOf = (tags: unknown): ReadonlyArray<string> =>
  Array.isArray(tags) && tags.every((tag) => typeof tag === "string")
    ? tags
    : Check.invalid(where, "tags", "an array of strings", tags)

const booleanOf = (field: string, value: unknown): boolean =>
  typeof value === "boolean" ? value : Check.invalid(where, field, "true or false", value)

const resolve = (options: Options, policies: number) => {
  Check.noUnknown(where, options, ["title", "uid", "tags", "collapsed"])
  const uid = Check.orDefault(options.uid, "effect-resilience")
  return {
    title: Check.nonEmpty(where, "title", Check.orDefault(options.title, "Resilience")),
    uid: /^[\w-]{1,40}$/.test(Check.nonEmpty(where, "uid", uid))
      ? uid
      : Check.invalid(where, "uid", "1 to 40 letters, digits, - and _", uid),
    tags: tagsOf(Check.orDefault(options.tags, ["resilience"])),
    collapsed: booleanOf("collapsed", Check.orDefault(options.collapsed, policies > 4))
  }
}

/**
 * Generates the dashboard of the policies, as the JSON that Grafana imports.
 *
 * **When to use** In a job that provisions dashboards, whenever settings change: `JSON.stringify(Dashboards.grafana(entries))` is the file.
 * `entries` are those of `Policies.all`, or plain data.
 *
 * **Details** The first row shows the problems of all policies. Every policy has a row of its own with panels for the parts that it has:
 *
 * | panel | lines | for |
 * |---|---|---|
 * | circuits by state, openings, time open | | a breaker |
 * | failure rate | threshold of `TripPolicy.failureRate` | a breaker |
 * | calls and rejections | | every policy |
 * | latency: p50, p95, p99 | timeout and deadline | a whole policy |
 * | attempts and timeouts | | a timeout |
 * | retries against the budget, balance | capacity | a retry, a budget |
 * | tokens of the rate limit | `burst` | a rate limit |
 * | concurrency against permits | `maxConcurrent` | a bulkhead |
 * | fleet: members, processes out of touch; circuits that it has open; its permits; its rate | `shared.bulkhead.fleet`; `shared.rateLimit.fleet` | `shared` |
 *
 * The data source is a variable of the dashboard. Lines are what was set when the dashboard was generated.
 *
 * Throws a `RangeError` when an option or an entry is wrong.
 *
 * **Example** (A dashboard for what lives in a program)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead, Policies } from "effect-resilience"
 * import * as Dashboards from "effect-resilience/telemetry/Dashboards"
 *
 * class Database extends Bulkhead.Service<Database>()("app/Database", { maxConcurrent: 5 }) {}
 *
 * const dashboard = Effect.map(Policies.all, (entries) => Dashboards.grafana(entries))
 * const { panels } = await Effect.runPromise(dashboard.pipe(Effect.provide(Database.layer), Effect.provide(Policies.layer)))
 * panels.slice(-2).map(({ title }) => title) // => ["Calls and rejections", "Concurrency against permits"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const grafana = (entries: ReadonlyArray<Described>, options: Options = {}): Dashboard => {
  const policies = distinct(where, entries)
  const { collapsed, tags, title, uid } = resolve(options, policies.length)
  const shares = policies.some((policy) => partsOf(policy).shared !== undefined)
  const sections: ReadonlyArray<Section> = [
    { title: "Problems first", collapsed: false, drafts: shares ? [...overview, overviewOfFleets] : overview },
    ...policies.map((policy): Section => {
      const parts = partsOf(policy)
      const drafts = panelsOfPolicy.flatMap((write) => write(policy, parts) ?? [])
      return { title: `${policy.name} (${policy.kind})`, collapsed, drafts }
    })
  ]
  return {
    uid,
    title,
    description: "Generated from the settings of the policies by effect-resilience. Lines are what is set.",
    tags,
    timezone: "browser",
    editable: true,
    graphTooltip: 1,
    time: { from: "now-1h", to: "now" },
    refresh: "30s",
    schemaVersion: 42,
    panels: layOut(sections),
    templating: {
      list: [{ type: "datasource", name: "datasource", label: "Data source", query: "prometheus" }]
    },
    annotations: { list: [] }
  }
}
