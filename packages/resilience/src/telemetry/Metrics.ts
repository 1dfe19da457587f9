/**
 * Exports the numbers of every live policy as metrics of Effect: to Prometheus, OpenTelemetry and Effect's DevTools alike.
 *
 * The metrics are read from the policies when they are exported. A call does nothing for them.
 *
 * This is an adapter: it depends on `Metric.registerUnsafe`, which Effect marks as unstable, and may change with it.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type { Action, Change } from "../Change.ts"
import * as Event from "../Event.ts"
import * as Instances from "../engine/instances.ts"
import { type Count, type Counts, everyCount, noCounts, type Summable, Sums } from "../engine/sums.ts"
import * as Time from "../runtime/clock.ts"
import { EngineKey } from "../runtime/frame.ts"
import * as Check from "../runtime/options.ts"
import { isObject } from "../runtime/read.ts"
import type * as Stats from "../Stats.ts"

// ---------------------------------------------------------------------------------------------------------------------
// What there is
// ---------------------------------------------------------------------------------------------------------------------

/**
 * One metric: what it is called, and what it means.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition {
  /** Its name in OpenTelemetry, and in Effect. */
  readonly name: string
  /** Its name in Prometheus. */
  readonly prometheus: string
  readonly type: "counter" | "gauge" | "histogram"
  /** Its unit, as OpenTelemetry writes units: `"s"` is seconds, `"{call}"` counts calls. */
  readonly unit: string
  /** Its labels, with those that every metric has: `policy` and `kind`. */
  readonly labels: ReadonlyArray<string>
  /** Whether it has the label `key` too when `keys` is set. */
  readonly byKey: boolean
  readonly description: string
}

/** What a policy has; a series exists for what it has. */
type Trait =
  | "calls"
  | "attempts"
  | "circuitOpen"
  | "bulkheadFull"
  | "rateLimited"
  | "deadlineExceeded"
  | "retry"
  | "withdrawals"
  | "hedge"
  | "timeout"
  | "deadline"
  | "breaker"
  | "bulkhead"
  | "rateLimit"
  | "mode"
  | "set"
  | "commands"
  | "queue"
  | "budget"
  | "stale"
  | "durations"
  | "events"
  | "would"
  | "wouldBreaker"
  | "wouldRetry"
  | "wouldTimeout"
  | "wouldHedge"
  | "wouldRateLimit"
  | "arms"
  | "fleet"
  | "fleetBreaker"
  | "fleetBulkhead"
  | "fleetRateLimit"
  | "fuse"

interface Series {
  /** The labels of this series, without those of its policy. */
  readonly labels?: Readonly<Record<string, string>>
  readonly needs: Trait
}

/** A counter by key: a count of the sums. */
interface CounterSeries extends Series {
  readonly count: Count
}

/** A gauge by key. */
interface GaugeSeries extends Series {
  readonly value: (sums: Sums) => number
}

/** A series of the policy as a whole. */
interface WholeSeries extends Series {
  readonly value: (reading: Reading) => number
}

type Family = Omit<Definition, "labels" | "byKey"> &
  (
    | { readonly type: "counter"; readonly counts: ReadonlyArray<CounterSeries>; readonly scale?: number }
    | { readonly type: "gauge"; readonly gauges: ReadonlyArray<GaugeSeries> }
    | { readonly type: "counter" | "gauge"; readonly whole: ReadonlyArray<WholeSeries> }
    | { readonly type: "histogram"; readonly needs: Trait }
  )

/** Series that differ in one label. */
const by = <A extends string, S>(
  label: string,
  values: Readonly<Record<A, S>>
): ReadonlyArray<S & { readonly labels: Readonly<Record<string, string>> }> =>
  Object.entries<S>(values).map(([value, series]) => ({ ...series, labels: { [label]: value } }))

/** The changes that hold, by their action, with or without an end. */
const overridesWith = (open_ended: "true" | "false"): ReadonlyArray<WholeSeries> => {
  const of = (action: Action, needs: Trait): WholeSeries => ({
    needs,
    labels: { action, open_ended },
    value: ({ inForce }) =>
      inForce.filter((one) => one.action === action && (one.until === undefined) === (open_ended === "true")).length
  })
  return [
    of("isolate", "breaker"),
    of("disable", "breaker"),
    of("open", "breaker"),
    of("resize", "bulkhead"),
    of("mode", "mode"),
    of("set", "set")
  ]
}

const families: ReadonlyArray<Family> = [
  {
    name: "resilience.calls",
    prometheus: "resilience_calls_total",
    type: "counter",
    unit: "{call}",
    description: "Calls, rejected ones included. For a retry budget: first attempts that it counted.",
    counts: [{ needs: "calls", count: "calls" }]
  },
  {
    name: "resilience.attempts",
    prometheus: "resilience_attempts_total",
    type: "counter",
    unit: "{attempt}",
    description: "Attempts that have ended, by how they count for the dependency.",
    counts: by("outcome", {
      success: { needs: "attempts", count: "successes" },
      failure: { needs: "attempts", count: "failures" },
      ignored: { needs: "attempts", count: "ignored" }
    })
  },
  {
    name: "resilience.rejections",
    prometheus: "resilience_rejections_total",
    type: "counter",
    unit: "{call}",
    description: "Calls that a policy refused, or that its deadline ended.",
    counts: by("reason", {
      CircuitOpen: { needs: "circuitOpen", count: "circuitOpen" },
      BulkheadFull: { needs: "bulkheadFull", count: "bulkheadFull" },
      RateLimited: { needs: "rateLimited", count: "rateLimited" },
      DeadlineExceeded: { needs: "deadlineExceeded", count: "deadlineExceeded" }
    })
  },
  {
    name: "resilience.retries",
    prometheus: "resilience_retries_total",
    type: "counter",
    unit: "{retry}",
    description: "Retries that were scheduled. For a retry budget: retries that it paid for.",
    counts: [{ needs: "withdrawals", count: "retries" }]
  },
  {
    name: "resilience.retry.giveups",
    prometheus: "resilience_retry_giveups_total",
    type: "counter",
    unit: "{call}",
    description: "Calls on which a retry gave up.",
    counts: by("reason", {
      attempts: { needs: "retry", count: "gaveUpAttempts" },
      budget: { needs: "withdrawals", count: "gaveUpBudget" },
      deadline: { needs: "retry", count: "gaveUpDeadline" },
      rejected: { needs: "retry", count: "gaveUpRejected" },
      retryAfter: { needs: "retry", count: "gaveUpRetryAfter" }
    })
  },
  {
    name: "resilience.timeouts",
    prometheus: "resilience_timeouts_total",
    type: "counter",
    unit: "{attempt}",
    description: "Attempts that the timeout of a policy ended.",
    counts: [{ needs: "timeout", count: "timeouts" }]
  },
  {
    name: "resilience.hedges",
    prometheus: "resilience_hedges_total",
    type: "counter",
    unit: "{attempt}",
    description: "Second attempts that were started beside a slow first one.",
    counts: [{ needs: "hedge", count: "hedges" }]
  },
  {
    name: "resilience.hedge.wins",
    prometheus: "resilience_hedge_wins_total",
    type: "counter",
    unit: "{attempt}",
    description: "Hedges whose result was that of the call.",
    counts: [{ needs: "hedge", count: "hedgeWins" }]
  },
  {
    name: "resilience.fallbacks",
    prometheus: "resilience_fallbacks_total",
    type: "counter",
    unit: "{call}",
    description: "Errors that a stale fallback replaced with the last good value.",
    counts: [{ needs: "stale", count: "fallbacks" }]
  },
  {
    name: "resilience.circuits",
    prometheus: "resilience_circuits",
    type: "gauge",
    unit: "{circuit}",
    description: "Circuits in memory, one for each key, by state.",
    gauges: by("state", {
      closed: { needs: "breaker", value: ({ circuits }) => circuits.closed },
      open: { needs: "breaker", value: ({ circuits }) => circuits.open },
      "half-open": { needs: "breaker", value: ({ circuits }) => circuits["half-open"] },
      isolated: { needs: "breaker", value: ({ circuits }) => circuits.isolated },
      disabled: { needs: "breaker", value: ({ circuits }) => circuits.disabled }
    } satisfies Record<Event.CircuitState, Omit<GaugeSeries, "labels">>)
  },
  {
    name: "resilience.circuit.openings",
    prometheus: "resilience_circuit_openings_total",
    type: "counter",
    unit: "{opening}",
    description: "Openings of circuits, after failed probes too.",
    counts: [{ needs: "breaker", count: "openings" }]
  },
  {
    name: "resilience.circuit.time",
    prometheus: "resilience_circuit_time_seconds_total",
    type: "counter",
    unit: "s",
    scale: 1 / 1000,
    description: "Time that circuits have spent in each state, all circuits added up.",
    counts: by("state", {
      closed: { needs: "breaker", count: "closedTime" },
      open: { needs: "breaker", count: "openTime" },
      "half-open": { needs: "breaker", count: "halfOpenTime" },
      isolated: { needs: "breaker", count: "isolatedTime" },
      disabled: { needs: "breaker", count: "disabledTime" }
    } satisfies Record<Event.CircuitState, Omit<CounterSeries, "labels">>)
  },
  {
    name: "resilience.circuit.unhealthy",
    prometheus: "resilience_circuit_unhealthy_seconds",
    type: "gauge",
    unit: "s",
    description:
      "The longest time since a circuit left closed, through failed probes; 0 when none is open or half-open.",
    gauges: [{ needs: "breaker", value: ({ unhealthy }) => unhealthy / 1000 }]
  },
  {
    name: "resilience.circuit.due",
    prometheus: "resilience_circuit_due",
    type: "gauge",
    unit: "{circuit}",
    description: "Circuits that are not closed and whose next call is a probe.",
    gauges: [{ needs: "breaker", value: ({ due }) => due }]
  },
  {
    name: "resilience.bulkhead.running",
    prometheus: "resilience_bulkhead_running",
    type: "gauge",
    unit: "{call}",
    description: "Calls that hold a permit.",
    gauges: [{ needs: "bulkhead", value: ({ running }) => running }]
  },
  {
    name: "resilience.bulkhead.waiting",
    prometheus: "resilience_bulkhead_waiting",
    type: "gauge",
    unit: "{call}",
    description: "Calls that wait for a permit.",
    gauges: [{ needs: "bulkhead", value: ({ waiting }) => waiting }]
  },
  {
    name: "resilience.bulkhead.max_concurrent",
    prometheus: "resilience_bulkhead_max_concurrent",
    type: "gauge",
    unit: "{call}",
    description:
      "Permits in all, those of every key in memory added up; of an adaptive policy its limits, without the keys that have none.",
    gauges: [{ needs: "bulkhead", value: ({ maxConcurrent }) => maxConcurrent }]
  },
  {
    name: "resilience.bulkhead.max_queued",
    prometheus: "resilience_bulkhead_max_queued",
    type: "gauge",
    unit: "{call}",
    description: "Places in the queue for a permit, those of every key in memory added up.",
    gauges: [{ needs: "queue", value: ({ maxQueued }) => maxQueued }]
  },
  {
    name: "resilience.rate_limit.tokens",
    prometheus: "resilience_rate_limit_tokens",
    type: "gauge",
    unit: "{call}",
    description: "Calls that may start at once, of the key with the fewest tokens.",
    gauges: [{ needs: "rateLimit", value: ({ rateTokens }) => rateTokens ?? 0 }]
  },
  {
    name: "resilience.rate_limit.waiting",
    prometheus: "resilience_rate_limit_waiting",
    type: "gauge",
    unit: "{call}",
    description: "Calls that wait for a token of the rate limit.",
    gauges: [{ needs: "rateLimit", value: ({ rateWaiting }) => rateWaiting }]
  },
  {
    name: "resilience.budget.balance",
    prometheus: "resilience_budget_balance",
    type: "gauge",
    unit: "{retry}",
    description: "Tokens of the retry budget; with an account for each key, those of the lowest account.",
    whole: [{ needs: "budget", value: ({ all }) => all.balance ?? 0 }]
  },
  {
    name: "resilience.budget.capacity",
    prometheus: "resilience_budget_capacity",
    type: "gauge",
    unit: "{retry}",
    description: "Tokens that the retry budget can hold.",
    whole: [{ needs: "budget", value: ({ all }) => all.capacity ?? 0 }]
  },
  {
    name: "resilience.limit",
    prometheus: "resilience_limit_seconds",
    type: "gauge",
    unit: "s",
    description: "The timeout of an attempt, and the deadline of a call, as they are set.",
    whole: by("limit", {
      timeout: { needs: "timeout", value: ({ settings }) => numberIn(settings, "timeout") / 1000 },
      deadline: { needs: "deadline", value: ({ settings }) => numberIn(settings, "deadline") / 1000 }
    })
  },
  {
    name: "resilience.attempt.duration",
    prometheus: "resilience_attempt_duration_seconds",
    type: "histogram",
    unit: "s",
    description: "How long attempts took that count as a success or a failure, all keys together.",
    needs: "durations"
  },
  {
    name: "resilience.changes",
    prometheus: "resilience_changes_total",
    type: "counter",
    unit: "{change}",
    description: "Lines of the record: commands that were given, undone, and that have expired.",
    whole: by("action", {
      isolate: { needs: "breaker", value: ({ changes }) => changes("isolate") },
      disable: { needs: "breaker", value: ({ changes }) => changes("disable") },
      enable: { needs: "breaker", value: ({ changes }) => changes("enable") },
      open: { needs: "breaker", value: ({ changes }) => changes("open") },
      close: { needs: "breaker", value: ({ changes }) => changes("close") },
      reset: { needs: "breaker", value: ({ changes }) => changes("reset") },
      resize: { needs: "bulkhead", value: ({ changes }) => changes("resize") },
      mode: { needs: "mode", value: ({ changes }) => changes("mode") },
      set: { needs: "set", value: ({ changes }) => changes("set") },
      undo: { needs: "commands", value: ({ changes }) => changes("undo") },
      expire: { needs: "commands", value: ({ changes }) => changes("expire") }
    } satisfies Record<Action, Omit<WholeSeries, "labels">>)
  },
  {
    name: "resilience.overrides",
    prometheus: "resilience_overrides",
    type: "gauge",
    unit: "{change}",
    description: "Changes that hold now, by whether they have an end.",
    whole: [...overridesWith("false"), ...overridesWith("true")]
  },
  {
    name: "resilience.would.calls",
    prometheus: "resilience_would_calls_total",
    type: "counter",
    unit: "{call}",
    description: "Calls that a policy observed in place of protecting them.",
    counts: [{ needs: "would", count: "observed" }]
  },
  {
    name: "resilience.would.rejections",
    prometheus: "resilience_would_rejections_total",
    type: "counter",
    unit: "{call}",
    description: "Observed calls that the policy would have refused, or that its deadline would have ended.",
    counts: by("reason", {
      CircuitOpen: { needs: "would", count: "wouldCircuitOpen" },
      BulkheadFull: { needs: "would", count: "wouldBulkheadFull" },
      RateLimited: { needs: "wouldRateLimit", count: "wouldRateLimited" },
      DeadlineExceeded: { needs: "would", count: "wouldDeadlineExceeded" }
    })
  },
  {
    name: "resilience.would.retries",
    prometheus: "resilience_would_retries_total",
    type: "counter",
    unit: "{retry}",
    description: "Retries that the policy would have scheduled.",
    counts: [{ needs: "wouldRetry", count: "wouldRetry" }]
  },
  {
    name: "resilience.would.retry.giveups",
    prometheus: "resilience_would_retry_giveups_total",
    type: "counter",
    unit: "{call}",
    description: "Observed calls on which the retry would have given up.",
    counts: [{ needs: "wouldRetry", count: "wouldGiveUp" }]
  },
  {
    name: "resilience.would.timeouts",
    prometheus: "resilience_would_timeouts_total",
    type: "counter",
    unit: "{attempt}",
    description: "Attempts that the timeout of the policy would have ended.",
    counts: [{ needs: "wouldTimeout", count: "wouldTimeOut" }]
  },
  {
    name: "resilience.would.hedges",
    prometheus: "resilience_would_hedges_total",
    type: "counter",
    unit: "{attempt}",
    description: "Second attempts that the policy would have started.",
    counts: [{ needs: "wouldHedge", count: "wouldHedge" }]
  },
  {
    name: "resilience.would.circuit.openings",
    prometheus: "resilience_would_circuit_openings_total",
    type: "counter",
    unit: "{opening}",
    description: "Openings that circuits would have had, after failed probes too.",
    counts: [{ needs: "wouldBreaker", count: "wouldOpen" }]
  },
  {
    name: "resilience.would.circuits",
    prometheus: "resilience_would_circuits",
    type: "gauge",
    unit: "{circuit}",
    description: "Circuits of observed keys, by the state that they would have.",
    gauges: by("state", {
      closed: { needs: "wouldBreaker", value: ({ would }) => would?.circuits.closed ?? 0 },
      open: { needs: "wouldBreaker", value: ({ would }) => would?.circuits.open ?? 0 },
      "half-open": { needs: "wouldBreaker", value: ({ would }) => would?.circuits["half-open"] ?? 0 },
      isolated: { needs: "wouldBreaker", value: ({ would }) => would?.circuits.isolated ?? 0 },
      disabled: { needs: "wouldBreaker", value: ({ would }) => would?.circuits.disabled ?? 0 }
    } satisfies Record<Event.CircuitState, Omit<GaugeSeries, "labels">>)
  },
  {
    name: "resilience.rollout.calls",
    prometheus: "resilience_rollout_calls_total",
    type: "counter",
    unit: "{call}",
    description: "Calls that have ended, by the arm of the rollout. Interrupted ones are left out.",
    counts: by("arm", {
      enforce: { needs: "arms", count: "enforcedCalls" },
      observe: { needs: "arms", count: "observedCalls" }
    })
  },
  {
    name: "resilience.rollout.failures",
    prometheus: "resilience_rollout_failures_total",
    type: "counter",
    unit: "{call}",
    description: "Calls that failed for their callers, rejections included, by the arm of the rollout.",
    counts: by("arm", {
      enforce: { needs: "arms", count: "enforcedFailures" },
      observe: { needs: "arms", count: "observedFailures" }
    })
  },
  {
    name: "resilience.fuse.shorts",
    prometheus: "resilience_fuse_shorts_total",
    type: "counter",
    unit: "{short}",
    description: "Shorts that this process has counted, those during a pause too.",
    counts: [{ needs: "fuse", count: "shorts" }]
  },
  {
    name: "resilience.fuse.trips",
    prometheus: "resilience_fuse_trips_total",
    type: "counter",
    unit: "{trip}",
    description: "Trips of a fuse in this process, those that another member of its fleet began too.",
    counts: [{ needs: "fuse", count: "trips" }]
  },
  {
    name: "resilience.fuse.tripped",
    prometheus: "resilience_fuse_tripped",
    type: "gauge",
    unit: "{fuse}",
    description: "Fuses that pause their callers or are broken.",
    gauges: [{ needs: "fuse", value: ({ tripped }) => tripped }]
  },
  {
    name: "resilience.fuse.broken",
    prometheus: "resilience_fuse_broken",
    type: "gauge",
    unit: "{fuse}",
    description: "Fuses that stay broken until they are reset by hand.",
    gauges: [{ needs: "fuse", value: ({ broken }) => broken }]
  },
  {
    name: "resilience.fleet.members",
    prometheus: "resilience_fleet_members",
    type: "gauge",
    unit: "{member}",
    description: "Members of the fleet that are in touch with its board, this process included, as last told.",
    whole: [{ needs: "fleet", value: ({ fleet }) => fleet.members }]
  },
  {
    name: "resilience.fleet.in_touch",
    prometheus: "resilience_fleet_in_touch",
    type: "gauge",
    unit: "1",
    description: "1 while this process is in touch with the board of its fleet, and 0 while it decides alone.",
    whole: [{ needs: "fleet", value: ({ fleet }) => fleet.inTouch }]
  },
  {
    name: "resilience.fleet.circuits",
    prometheus: "resilience_fleet_circuits",
    type: "gauge",
    unit: "{circuit}",
    description: "Circuits that the fleet has open, without and with a member that probes; 0 while out of touch.",
    whole: by("state", {
      open: { needs: "fleetBreaker", value: ({ fleet }) => fleet.open },
      probing: { needs: "fleetBreaker", value: ({ fleet }) => fleet.probing }
    })
  },
  {
    name: "resilience.fleet.permits",
    prometheus: "resilience_fleet_permits",
    type: "gauge",
    unit: "{call}",
    description: "Permits of the fleet that this process has leased or may use alone, those of every key added up.",
    whole: [{ needs: "fleetBulkhead", value: ({ fleet }) => fleet.permits }]
  },
  {
    name: "resilience.fleet.rate",
    prometheus: "resilience_fleet_rate",
    type: "gauge",
    unit: "{call}/s",
    description:
      "Calls per second of the fleet's rate that this process has leased or may start alone, those of every key added up.",
    whole: [{ needs: "fleetRateLimit", value: ({ fleet }) => fleet.rate }]
  },
  {
    name: "resilience.instances",
    prometheus: "resilience_instances",
    type: "gauge",
    unit: "{instance}",
    description:
      "Live policies of this name; above 1 it was created several times, and the instances share nothing but what a fleet shares.",
    whole: [{ needs: "calls", value: ({ instances }) => instances }]
  },
  {
    name: "resilience.events.lost",
    prometheus: "resilience_events_lost_total",
    type: "counter",
    unit: "{event}",
    description: "Events that streams of events lost because they fell behind; one for each stream that lost it.",
    whole: [{ needs: "events", value: ({ lost }) => lost }]
  }
]

const labelsOf = (family: Family): ReadonlyArray<string> => {
  const series: ReadonlyArray<Series> =
    "counts" in family ? family.counts : "gauges" in family ? family.gauges : "whole" in family ? family.whole : []
  return ["policy", "kind", ...Object.keys(series[0]?.labels ?? {})]
}

/**
 * Every metric that {@link layer} can export. Which of them a policy has depends on its parts.
 *
 * @category constants
 * @since 0.1.0
 */
export const definitions: ReadonlyArray<Definition> = families.map((family) => ({
  name: family.name,
  prometheus: family.prometheus,
  type: family.type,
  unit: family.unit,
  labels: labelsOf(family),
  byKey: "counts" in family || "gauges" in family,
  description: family.description
}))

const prometheusNames: ReadonlyMap<string, string> = new Map(
  families.map(({ name, prometheus }) => [name, prometheus] as const)
)

/**
 * The name of a metric by the rules of Prometheus: counters end in `_total`, and the unit is part of the name. Other names than
 * those of {@link definitions} are returned as they are.
 *
 * **When to use** As `metricNameMapper` of Effect's `PrometheusMetrics`, which itself adds neither.
 *
 * **Example** (A route for Prometheus)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { PrometheusMetrics } from "effect/observability"
 * import * as Metrics from "effect-resilience/telemetry/Metrics"
 *
 * const route = PrometheusMetrics.layerHttp({ path: "/metrics", metricNameMapper: Metrics.prometheusName })
 * const routes = Layer.mergeAll(route, Metrics.layer())
 * Metrics.prometheusName("resilience.circuit.time") // => "resilience_circuit_time_seconds_total"
 * ```
 *
 * @category names
 * @since 0.1.0
 */
export const prometheusName = (name: string): string => prometheusNames.get(name) ?? name

// ---------------------------------------------------------------------------------------------------------------------
// Options
// ---------------------------------------------------------------------------------------------------------------------

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Which keys are told apart by the label `key`; all others together have `key="other"`. Default: there is no label, and the
   * numbers of all keys are added up.
   *
   * - `"not-closed"`: each key whose circuit left closed, from the next export on. What the key had counted before stays in
   *   `key="other"`. A key keeps its label. At most 20 keys of a policy have one; then a warning is logged once.
   * - A list of 1 to 20 keys.
   */
  readonly keys?: "not-closed" | ReadonlyArray<string> | undefined
}

const where = "Metrics.layer"

/** Key labels per policy. */
const mostKeys = 20

const otherKey = "other"

const resolveKeys = (keys: Options["keys"]): Options["keys"] => {
  const range = `"not-closed" or a list of 1 to ${mostKeys} keys without "${otherKey}"`
  if (keys === undefined || keys === "not-closed") return keys
  if (!Array.isArray(keys)) return Check.invalid(where, "keys", range, keys)
  const distinct = Array.from(new Set<unknown>(keys))
  const isValid = (key: unknown): key is string => typeof key === "string" && key !== "" && key !== otherKey
  if (distinct.length === 0 || distinct.length > mostKeys) {
    return Check.invalid(where, "keys", range, `${distinct.length} keys`)
  }
  return distinct.map((key) => (isValid(key) ? key : Check.invalid(where, "keys", range, key)))
}

// ---------------------------------------------------------------------------------------------------------------------
// Traits
// ---------------------------------------------------------------------------------------------------------------------

const numberIn = (settings: Readonly<Record<string, unknown>>, field: string): number => Number(settings[field] ?? 0)

const traitsOf = (instance: Instances.Instance): ReadonlyArray<Trait> => [
  ...traitsOfKind(instance),
  ...commandsOf(instance.desk())
]

/** The commands that are no part of a policy. */
const commandsOf = (desk: ReturnType<Instances.Instance["desk"]>): ReadonlyArray<Trait> => {
  const has = (["mode", "set"] as const).filter((action) => desk?.has(action))
  return has.length > 0 || desk?.has("isolate") || desk?.has("resize") ? [...has, "commands"] : has
}

const traitsOfKind = ({ kind, settings }: Instances.Instance): ReadonlyArray<Trait> => {
  const {
    adaptive,
    breaker,
    budget,
    bulkhead,
    deadline,
    hedge,
    maxQueued,
    mode,
    rateLimit,
    retry,
    rollout,
    shared,
    timeout
  } = settings
  const when = (condition: boolean, ...traits: ReadonlyArray<Trait>) => (condition ? traits : [])
  switch (kind) {
    case "Policy":
      return [
        "calls",
        "attempts",
        "circuitOpen",
        "bulkheadFull",
        "deadlineExceeded",
        "durations",
        "events",
        ...when(retry !== undefined, "retry", "withdrawals"),
        ...when(budget !== undefined || adaptive !== undefined, "budget"),
        ...when(timeout !== undefined, "timeout"),
        ...when(hedge !== undefined, "hedge"),
        ...when(mode === "observe" || rollout !== undefined, ...observingTraits(settings)),
        ...when(rollout !== undefined, "arms"),
        ...when(deadline !== undefined, "deadline"),
        ...when(breaker !== undefined || adaptive !== undefined, "breaker"),
        // A queue without a limit has no number.
        ...when(isObject(bulkhead) || adaptive !== undefined, "bulkhead"),
        ...when(isObject(bulkhead) && "maxQueued" in bulkhead, "queue"),
        ...when(rateLimit !== undefined, "rateLimited", "rateLimit"),
        ...when(isObject(shared), "fleet"),
        ...when(isObject(shared) && "breaker" in shared, "fleetBreaker"),
        ...when(isObject(shared) && "bulkhead" in shared, "fleetBulkhead"),
        ...when(isObject(shared) && "rateLimit" in shared, "fleetRateLimit")
      ]
    case "CircuitBreaker":
      return ["calls", "attempts", "circuitOpen", "breaker", "events"]
    case "Bulkhead":
      return ["calls", "bulkheadFull", "bulkhead", "events", ...when(maxQueued !== undefined, "queue")]
    case "RateLimit":
      return ["calls", "rateLimited", "rateLimit", "events"]
    case "TokenBudget":
      return ["calls", "budget", "events"]
    case "RetryBudget":
      return ["calls", "withdrawals", "budget", "events"]
    case "StaleFallback":
      return ["calls", "stale", "events"]
    // It is no policy for calls.
    case "Fuse":
      return ["fuse", ...when(shared === true, "fleet")]
  }
}

/** What a policy has once it observes. */
const observingTraits = ({
  adaptive,
  breaker,
  hedge,
  rateLimit,
  retry,
  timeout
}: Instances.Instance["settings"]): ReadonlyArray<Trait> => [
  "would",
  ...(breaker === undefined && adaptive === undefined ? [] : ["wouldBreaker" as const]),
  ...(retry === undefined ? [] : ["wouldRetry" as const]),
  ...(timeout === undefined ? [] : ["wouldTimeout" as const]),
  ...(hedge === undefined ? [] : ["wouldHedge" as const]),
  ...(rateLimit === undefined ? [] : ["wouldRateLimit" as const])
]

// ---------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------

/** What a policy as a whole says at one moment. */
interface Reading {
  /** What all its keys do now. */
  readonly all: Sums
  readonly instances: number
  readonly lost: number
  readonly settings: Instances.Instance["settings"]
  readonly durations: Metric.HistogramState
  readonly changes: (action: Action) => number
  readonly inForce: ReadonlyArray<Change>
  readonly fleet: FleetReading
}

/** What the members of one name in this process say of their fleet. */
interface FleetReading {
  members: number
  /** 1 if all of them are in touch, and 0 otherwise. */
  inTouch: number
  open: number
  probing: number
  permits: number
  /** Calls per second. */
  rate: number
}

const fleetOf = (views: ReadonlyArray<Stats.Fleet>): FleetReading => {
  const fleet: FleetReading = { members: 0, inTouch: 0, open: 0, probing: 0, permits: 0, rate: 0 }
  if (views.length > 0 && views.every(({ inTouch }) => inTouch)) fleet.inTouch = 1
  for (const { circuits, inTouch, members, permits, rates } of views) {
    fleet.members = Math.max(fleet.members, members)
    for (const { here } of permits) fleet.permits += here
    for (const { here, window } of rates) fleet.rate += here / Duration.toSeconds(window)
    // An opening that was told binds a member that is in touch only.
    if (!inTouch) continue
    const inState = (state: string): number => circuits.filter((one) => one.state === state).length
    fleet.open = Math.max(fleet.open, inState("open"))
    fleet.probing = Math.max(fleet.probing, inState("probing"))
  }
  return fleet
}

/** The durations of attempts, in milliseconds; the counts of the buckets are cumulative. */
interface Durations {
  count: number
  sum: number
  readonly buckets: Map<number, number>
}

const noDurations = (): Durations => ({ count: 0, sum: 0, buckets: new Map() })

const addDurations = (to: Durations, { buckets, count, sum }: Durations): void => {
  to.count += count
  to.sum += sum
  for (const [bound, cumulative] of buckets) to.buckets.set(bound, (to.buckets.get(bound) ?? 0) + cumulative)
}

const addCounts = (to: Counts, from: Counts, sign = 1): void => {
  for (const count of everyCount) to[count] += sign * from[count]
}

/** A counter never decreases, although sums of fractions in another order may, by a rounding. */
const raiseCounts = (to: Counts, from: Counts): void => {
  for (const count of everyCount) to[count] = Math.max(to[count], from[count])
}

const toHistogram = ({ buckets, count, sum }: Durations): Metric.HistogramState => {
  const seconds: Array<[number, number]> = []
  let [min, max, below, before] = [0, 0, 0, 0]
  for (const [bound, cumulative] of buckets) {
    seconds.push([bound / 1000, cumulative])
    if (cumulative > before) {
      if (before === 0) min = below
      max = bound
    }
    below = bound
    before = cumulative
  }
  // Of what is above the last bound only the sum is known.
  if (count > before) max = sum
  return { buckets: seconds, count, min: min / 1000, max: max / 1000, sum: sum / 1000 }
}

/** One live policy. */
class Member {
  readonly instance: Instances.Instance
  /** What it had done at the last reading: all that is known once it has been collected. */
  last = noCounts()
  lastDurations = noDurations()
  /** The counts of keys with a label at the last reading. */
  readonly lastOf = new Map<Label, Counts>()

  constructor(instance: Instances.Instance) {
    this.instance = instance
  }

  /** Not kept: a policy that the program has dropped must be collected. */
  get engine(): Summable | undefined {
    const policy = this.instance.policy() as { readonly [EngineKey]?: Summable } | undefined
    return policy?.[EngineKey]
  }
}

/** The keys that have one label. */
class Label {
  /** The value of the label `key`; `undefined` when there is no such label. */
  readonly key: string | undefined
  /** Whether it was there before the first call, so that everything the key has counted belongs to it. */
  readonly fromStart: boolean
  readonly counts = noCounts()
  present = new Sums()

  constructor(key: string | undefined, fromStart: boolean) {
    this.key = key
    this.fromStart = fromStart
  }

  /** Adds what a policy has counted for this key since the last reading. */
  advance(counts: Counts, last: Counts | undefined): void {
    if (last === undefined && !this.fromStart) return
    for (const count of everyCount) {
      const before = last?.[count] ?? 0
      // Fewer than before: the key was forgotten in between, and is new.
      this.counts[count] += counts[count] < before ? counts[count] : counts[count] - before
    }
  }
}

interface Registered {
  readonly registration: Metric.Registration
  readonly type: Definition["type"]
}

/** Milliseconds after its end for which a reading serves several series. */
const freshFor = 50

/** All policies of one name and kind: their series, and what those of them had counted that are gone. */
class Group {
  readonly policy: string
  readonly kind: Instances.Kind
  private readonly exporter: Exporter
  private readonly members = new Set<Member>()
  private readonly labels = new Map<string, Label>()
  /** All keys without a label of their own. */
  private readonly rest: Label
  private readonly departed = noCounts()
  private readonly departedDurations = noDurations()
  private lost = 0
  private readonly traits = new Set<Trait>()
  private readonly series = new Map<string, Registered>()
  private reading: Reading | undefined
  private readAt = 0
  private warned = false

  constructor({ kind, name }: Instances.Instance, exporter: Exporter) {
    this.policy = name
    this.kind = kind
    this.exporter = exporter
    const { keys } = exporter
    this.rest = new Label(keys === undefined ? undefined : otherKey, true)
    if (Array.isArray(keys)) for (const key of keys) this.labels.set(key, new Label(key, true))
  }

  get isEmpty(): boolean {
    return this.members.size === 0
  }

  add(instance: Instances.Instance): void {
    this.members.add(new Member(instance))
    for (const trait of traitsOf(instance)) this.traits.add(trait)
    this.reading = undefined
    this.register()
  }

  remove(instance: Instances.Instance): void {
    for (const member of this.members) {
      if (member.instance !== instance) continue
      this.read(this.exporter.context)
      addCounts(this.departed, member.last)
      addDurations(this.departedDurations, member.lastDurations)
      this.members.delete(member)
      this.reading = undefined
    }
    // A gauge of what is gone would keep its last value.
    if (this.isEmpty) this.unregister(({ type }) => type === "gauge")
  }

  end(): void {
    this.unregister(() => true)
  }

  // -------------------------------------------------------------------------------------------------------------------

  private unregister(which: (registered: Registered) => boolean): void {
    for (const [id, registered] of this.series) {
      if (!which(registered)) continue
      registered.registration.remove()
      this.series.delete(id)
    }
  }

  private register(): void {
    for (const family of families) {
      if ("counts" in family) this.registerCounters(family.counts, family)
      else if ("gauges" in family) this.registerGauges(family.gauges, family)
      else if ("whole" in family) this.registerWhole(family.whole, family)
      else if (this.traits.has(family.needs)) this.registerHistogram(family)
    }
  }

  private registerCounters(counts: ReadonlyArray<CounterSeries>, family: Family & { readonly scale?: number }): void {
    const { scale = 1 } = family
    for (const label of this.everyLabel()) {
      for (const { count, labels, needs } of counts) {
        this.registerOne(family, needs, this.attributes(labels, label), () => label.counts[count] * scale)
      }
    }
  }

  private registerGauges(gauges: ReadonlyArray<GaugeSeries>, family: Family): void {
    for (const label of this.everyLabel()) {
      for (const { labels, needs, value } of gauges) {
        this.registerOne(family, needs, this.attributes(labels, label), () => value(label.present))
      }
    }
  }

  private registerWhole(whole: ReadonlyArray<WholeSeries>, family: Family): void {
    for (const { labels, needs, value } of whole) {
      this.registerOne(family, needs, this.attributes(labels), value)
    }
  }

  private registerOne(
    family: Family,
    needs: Trait,
    attributes: Readonly<Record<string, string>>,
    value: (reading: Reading) => number
  ): void {
    if (!this.traits.has(needs)) return
    const options = { description: family.description, attributes: { ...attributes, unit: family.unit } }
    if (family.type === "gauge") {
      this.registerMetric(family, attributes, Metric.gauge(family.name, options), (reading) => ({
        value: value(reading)
      }))
    } else {
      const counter = Metric.counter(family.name, { ...options, incremental: true })
      this.registerMetric(family, attributes, counter, (reading) => ({ count: value(reading), incremental: true }))
    }
  }

  private registerHistogram(family: Family): void {
    const attributes = this.attributes()
    const histogram = Metric.histogram(family.name, {
      description: family.description,
      attributes: { ...attributes, unit: family.unit },
      boundaries: []
    })
    this.registerMetric(family, attributes, histogram, ({ durations }) => durations)
  }

  private registerMetric<Input, State>(
    family: Family,
    attributes: Readonly<Record<string, string>>,
    metric: Metric.Metric<Input, State>,
    state: (reading: Reading) => State
  ): void {
    const id = `${family.name} ${JSON.stringify(attributes)}`
    if (this.series.has(id)) return
    let served: Reading | undefined
    const registration = Metric.registerUnsafe(metric, this.exporter.context, {
      get: (context) => {
        // An export reads each series once: a series that is read again begins the next export.
        served = this.current(context, served)
        return state(served)
      },
      update: () => {},
      modify: () => {}
    })
    this.series.set(id, { registration, type: family.type })
  }

  private attributes(labels: Readonly<Record<string, string>> = {}, label?: Label): Readonly<Record<string, string>> {
    const key = label?.key
    return { policy: this.policy, kind: this.kind, ...labels, ...(key === undefined ? {} : { key }) }
  }

  private everyLabel(): ReadonlyArray<Label> {
    return [...this.labels.values(), this.rest]
  }

  // -------------------------------------------------------------------------------------------------------------------

  private current(context: Context.Context<never>, served: Reading | undefined): Reading {
    const { reading } = this
    const age = Time.millisIn(context) - this.readAt
    return reading === undefined || reading === served || !(age >= 0 && age < freshFor) ? this.read(context) : reading
  }

  private read(context: Context.Context<never>): Reading {
    const now = Time.millisIn(context)
    const labels = this.labels.size
    for (const label of this.everyLabel()) label.present = new Sums()
    const total = { ...this.departed }
    const durations = noDurations()
    addDurations(durations, this.departedDurations)
    // The program's hub counts what the streams of a policy lose, too.
    const lost = Event.lostOf(this.exporter.hub, this.policy)
    const { ledger } = this.exporter.instances
    let settings: Instances.Instance["settings"] = {}
    const views: Array<Stats.Fleet> = []
    for (const member of this.members) {
      this.readMember(member, now)
      const view = member.engine?.fleetView?.(now)
      if (view !== undefined) views.push(view)
      addCounts(total, member.last)
      addDurations(durations, member.lastDurations)
      settings = member.instance.settings
    }
    for (const { counts } of this.labels.values()) addCounts(total, counts, -1)
    raiseCounts(this.rest.counts, total)
    this.lost = Math.max(this.lost, lost)
    const all = new Sums()
    for (const { present } of this.everyLabel()) all.addPresent(present)
    // A policy whose mode was changed while it runs.
    const hasBegunToObserve = all.would !== undefined && !this.traits.has("would")
    if (hasBegunToObserve) for (const trait of observingTraits(settings)) this.traits.add(trait)
    const reading = {
      all,
      instances: this.members.size,
      lost: this.lost,
      settings,
      durations: toHistogram(durations),
      changes: (action: Action) => ledger.count({ kind: this.kind, name: this.policy }, action),
      inForce: ledger.inForce(now).filter(({ kind, policy }) => kind === this.kind && policy === this.policy),
      fleet: fleetOf(views)
    }
    this.reading = reading
    // Its end: summing up a million keys takes longer than a reading is fresh.
    this.readAt = Time.millisIn(context)
    if (this.labels.size > labels || hasBegunToObserve) this.register()
    return reading
  }

  private readMember(member: Member, now: number): void {
    const { engine } = member
    if (engine === undefined) return
    const parts = new Map<Label, Sums>()
    for (const label of this.everyLabel()) parts.set(label, new Sums())
    const sumsOf = (label: Label): Sums => {
      const known = parts.get(label) ?? new Sums()
      parts.set(label, known)
      return known
    }
    const rest = sumsOf(this.rest)
    const { keys } = this.exporter
    engine.sum((key, notable) => {
      if (keys === undefined) return rest
      const label = this.labels.get(key) ?? (notable && keys === "not-closed" ? this.newLabel(key) : undefined)
      return label === undefined ? rest : sumsOf(label)
    }, now)
    const last = noCounts()
    for (const [label, sums] of parts) {
      const { counts } = sums
      addCounts(last, counts)
      label.present.addPresent(sums)
      if (label === this.rest) continue
      label.advance(counts, member.lastOf.get(label))
      member.lastOf.set(label, counts)
    }
    member.last = last
    if (engine.durations !== undefined) {
      const { buckets, count, sum } = engine.durations()
      member.lastDurations = { count, sum: Duration.toMillis(sum), buckets: new Map(buckets) }
    }
  }

  /** A label for a key that has none; `undefined` when there are enough. */
  private newLabel(key: string): Label | undefined {
    if (key === otherKey) return undefined
    if (this.labels.size >= mostKeys) {
      if (!this.warned) this.exporter.warn(this.policy)
      this.warned = true
      return undefined
    }
    const label = new Label(key, false)
    this.labels.set(key, label)
    return label
  }
}

/** Names whose policies are all gone and whose counters are kept: a program with fixed names does not reach this number. */
const mostDeparted = 1000

class Exporter {
  readonly context: Context.Context<never>
  readonly keys: Options["keys"]
  readonly hub: Event.Hub
  readonly instances: Instances.Instances
  private readonly groups = new Map<string, Group>()

  constructor(context: Context.Context<never>, keys: Options["keys"], instances: Instances.Instances, hub: Event.Hub) {
    this.context = context
    this.keys = keys
    this.instances = instances
    this.hub = hub
    for (const instance of instances.all) this.add(instance)
    instances.listeners.add(this.listener)
  }

  private readonly listener = ({ _tag, instance }: Instances.Change): void => {
    if (_tag === "Registered") this.add(instance)
    else this.remove(instance)
  }

  private add(instance: Instances.Instance): void {
    const id = idOf(instance)
    const group = this.groups.get(id) ?? new Group(instance, this)
    this.groups.set(id, group)
    group.add(instance)
  }

  private remove(instance: Instances.Instance): void {
    const id = idOf(instance)
    const group = this.groups.get(id)
    if (group === undefined) return
    group.remove(instance)
    if (!group.isEmpty) return
    // To the end: the first is then the one that is gone for the longest time.
    this.groups.delete(id)
    this.groups.set(id, group)
    this.forgetDeparted()
  }

  private forgetDeparted(): void {
    const departed = Array.from(this.groups).filter(([, group]) => group.isEmpty)
    for (const [id, group] of departed.slice(0, Math.max(0, departed.length - mostDeparted))) {
      group.end()
      this.groups.delete(id)
    }
  }

  warn(policy: string): void {
    Effect.runForkWith(this.context)(
      Effect.logWarning(
        `Metrics: more than ${mostKeys} keys of ${policy} have left closed. Further keys are counted together as key="${otherKey}"; ` +
          "the stats of the policy have each of them. This warning is logged once for each policy."
      )
    )
  }

  readonly end = Effect.sync(() => {
    this.instances.listeners.delete(this.listener)
    for (const group of this.groups.values()) group.end()
    this.groups.clear()
  })
}

const idOf = ({ kind, name }: Instances.Instance): string => `${kind} ${name}`

// ---------------------------------------------------------------------------------------------------------------------
// Layer
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Exports every live policy of the program, and those to come, as metrics of Effect.
 *
 * **When to use** Beside an exporter of Effect: `PrometheusMetrics.layerHttp`, `Otlp.layer` or `DevTools.layer`. It needs none of
 * them.
 *
 * **Details** Each policy is read once for each export; a call does nothing for it. The metrics are those of {@link definitions},
 * with the labels `policy` and `kind`. Policies of one name and kind are added up. Counters never decrease while the layer lives:
 * what a policy has counted stays in its counters when the policy is gone. All series are removed when the layer's scope closes.
 *
 * Throws a `RangeError` at once when an option is out of range.
 *
 * **Gotchas** A policy that was created in no scope and that the program has dropped is gone without notice: what it counted
 * after the last export is lost.
 *
 * **Example** (Calls of a policy)
 *
 * ```ts
 * import { Effect, Layer, Metric } from "effect"
 * import { Policy } from "effect-resilience"
 * import * as Metrics from "effect-resilience/telemetry/Metrics"
 *
 * class Search extends Policy.Service<Search>()("app/Search", { timeout: "1 second" }) {}
 *
 * const program = Effect.gen(function*() {
 *   yield* Effect.succeed("found").pipe(Search.protect)
 *   const metrics = yield* Metric.snapshot
 *   return metrics.find(({ id }) => id === "resilience.calls")?.state
 * })
 * const live = Layer.mergeAll(Search.layer, Metrics.layer())
 * await Effect.runPromise(Effect.provide(program, live)) // => { count: 1, incremental: true }
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never> => {
  Check.noUnknown(where, options, ["keys"])
  const keys = resolveKeys(options.keys)
  return Layer.effectDiscard(
    Effect.acquireRelease(
      Effect.gen(function* () {
        const context = yield* Effect.context<never>()
        return new Exporter(context, keys, yield* Instances.current, yield* Event.CurrentHub)
      }),
      (exporter) => exporter.end
    )
  )
}
