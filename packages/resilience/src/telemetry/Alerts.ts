/**
 * Generates alerting rules for Prometheus from the settings of the policies.
 *
 * Every policy gets the rules for the parts that it has: a rule about its circuits only if it has a breaker. Descriptions name the
 * settings, and each rule links to a runbook. The rules read the metrics of `telemetry/Metrics`.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Schema from "effect/Schema"
import type * as Policies from "../Policies.ts"
import * as Check from "../runtime/options.ts"
import { isObject } from "../runtime/read.ts"
import { literal, quote, seconds, select, span } from "./internal/promql.ts"
import { type Parts, partsOf } from "./internal/settingsParts.ts"

/**
 * What a rule is generated from: an entry of `Policies.all`, or plain data, so that a job without live policies can write rules.
 *
 * @category models
 * @since 0.1.0
 */
export interface Described {
  readonly name: string
  readonly kind: Policies.Kind
  /** The settings as `Policies.Entry` has them. */
  readonly settings: Schema.JsonObject
}

/**
 * How urgent an alert is, as the label `severity`.
 *
 * @category models
 * @since 0.1.0
 */
export type Severity = "critical" | "warning" | "info"

/**
 * What all rules have in common.
 *
 * @category models
 * @since 0.1.0
 */
export interface RuleOptions {
  /** How urgent it is. */
  readonly severity?: Severity | undefined
}

/**
 * Options of the rules. `false` leaves a rule out.
 *
 * | option | fires when | defaults |
 * |---|---|---|
 * | `notClosed` | a circuit has not been closed for `for` | 1 minute, critical |
 * | `openShare` | circuits were open for more than `share` of `window` | 0.2 of 5 minutes, warning |
 * | `flapping` | there were `openings` in `window`, and each time the circuit closed again | 5 in 10 minutes, warning |
 * | `budget` | the budget has refused retries in `for` without a pause | 10 minutes, warning |
 * | `rejections` | more than `ratio` of the calls were rejected for `for` | 0.05 for 10 minutes, critical |
 * | `override` | a circuit has been isolated or disabled for `for` | 1 hour, warning |
 * | `openEnded` | a change without an end has been in force for `for` | 1 hour, warning |
 * | `bulkhead` | `fullness` of the permits were taken for `for` | 0.9 for 5 minutes, warning |
 * | `latency` | the 99th percentile was above `share` of the timeout for `for` | 0.8 for 5 minutes, warning |
 * | `outOfTouch` | a process has been out of touch with the board of its fleet for `for` | 5 minutes, warning |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Where the runbooks are: `runbook_url` is a page below it. Default: `"docs/runbooks"`, their folder in the repository. */
  readonly runbooks?: string | undefined
  /** Labels that every alert gets, such as `{ team: "payments" }`. Default: none. */
  readonly labels?: Readonly<Record<string, string>> | undefined
  /** A circuit that has not been closed for too long. */
  readonly notClosed?: false | (RuleOptions & { readonly for?: Duration.Input | undefined }) | undefined
  /** Circuits that were open for too large a share of the time, also when they opened and closed between two scrapes. */
  readonly openShare?:
    | false
    | (RuleOptions & { readonly share?: number | undefined; readonly window?: Duration.Input | undefined })
    | undefined
  /** A circuit that opens again and again. */
  readonly flapping?:
    | false
    | (RuleOptions & { readonly openings?: number | undefined; readonly window?: Duration.Input | undefined })
    | undefined
  /** A budget that refuses retries. */
  readonly budget?: false | (RuleOptions & { readonly for?: Duration.Input | undefined }) | undefined
  /** Too many rejected calls. */
  readonly rejections?:
    | false
    | (RuleOptions & { readonly ratio?: number | undefined; readonly for?: Duration.Input | undefined })
    | undefined
  /** A circuit that an operator isolated or disabled, and forgot. */
  readonly override?: false | (RuleOptions & { readonly for?: Duration.Input | undefined }) | undefined
  /** A change that holds until it is undone, because it was given without `for`. */
  readonly openEnded?: false | (RuleOptions & { readonly for?: Duration.Input | undefined }) | undefined
  /** A bulkhead near its permits. */
  readonly bulkhead?:
    | false
    | (RuleOptions & { readonly fullness?: number | undefined; readonly for?: Duration.Input | undefined })
    | undefined
  /** Attempts near their timeout. */
  readonly latency?:
    | false
    | (RuleOptions & { readonly share?: number | undefined; readonly for?: Duration.Input | undefined })
    | undefined
  /** Processes that hear nothing of the board of their fleet. */
  readonly outOfTouch?: false | (RuleOptions & { readonly for?: Duration.Input | undefined }) | undefined
}

/**
 * One alerting rule, as Prometheus reads it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule {
  readonly alert: string
  readonly expr: string
  readonly for?: string
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: {
    readonly summary: string
    readonly description: string
    readonly runbook_url: string
  }
}

/**
 * The rules of one policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface Group {
  readonly name: string
  readonly rules: ReadonlyArray<Rule>
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

/** The thresholds of one rule: durations in milliseconds. */
interface Thresholds {
  readonly severity: Severity
  readonly for: number
  readonly window: number
  /** A share, a ratio, a fullness, or a number of openings. */
  readonly limit: number
}

type RuleName = Exclude<keyof Options, "runbooks" | "labels">

const minute = 60_000

/** The defaults, and the name of the option that is the limit. */
const defaults: Readonly<
  Record<RuleName, Thresholds & { readonly limits?: string; readonly spans: ReadonlyArray<string> }>
> = {
  notClosed: { severity: "critical", for: minute, window: 5 * minute, limit: 0, spans: ["for"] },
  openShare: { severity: "warning", for: 0, window: 5 * minute, limit: 0.2, limits: "share", spans: ["window"] },
  flapping: { severity: "warning", for: minute, window: 10 * minute, limit: 5, limits: "openings", spans: ["window"] },
  budget: { severity: "warning", for: 10 * minute, window: 5 * minute, limit: 0, spans: ["for"] },
  rejections: {
    severity: "critical",
    for: 10 * minute,
    window: 5 * minute,
    limit: 0.05,
    limits: "ratio",
    spans: ["for"]
  },
  override: { severity: "warning", for: 60 * minute, window: 0, limit: 0, spans: ["for"] },
  openEnded: { severity: "warning", for: 60 * minute, window: 0, limit: 0, spans: ["for"] },
  bulkhead: { severity: "warning", for: 5 * minute, window: 0, limit: 0.9, limits: "fullness", spans: ["for"] },
  latency: { severity: "warning", for: 5 * minute, window: 5 * minute, limit: 0.8, limits: "share", spans: ["for"] },
  outOfTouch: { severity: "warning", for: 5 * minute, window: 0, limit: 0, spans: ["for"] }
}

const ruleNames = Object.keys(defaults) as ReadonlyArray<RuleName> // keys of a record that is written out above

type Settings = Readonly<Record<RuleName, Thresholds | undefined>> & {
  readonly runbooks: string
  readonly labels: Readonly<Record<string, string>>
}

const severities: ReadonlyArray<unknown> = ["critical", "warning", "info"]

const resolveRule = (where: string, name: RuleName, given: unknown): Thresholds | undefined => {
  if (given === false) return undefined
  const { limits, spans, ...base } = defaults[name]
  if (given === undefined) return base
  const field = `${where}.${name}`
  Check.noUnknown(field, given, ["severity", ...spans, ...(limits === undefined ? [] : [limits])])
  // What is no object was refused above.
  const options = given as Readonly<Record<string, unknown>> & { readonly severity?: Severity }
  const severity = Check.orDefault(options.severity, base.severity)
  if (!severities.includes(severity)) Check.invalid(field, "severity", '"critical", "warning" or "info"', severity)
  const time = (option: "for" | "window"): number =>
    options[option] === undefined
      ? base[option]
      : Check.millis(field, option, options[option] as Duration.Input, { zero: option === "for" }) // checked there
  const limit = limits === undefined || options[limits] === undefined ? base.limit : (options[limits] as number) // checked below
  if (limits === "openings") Check.integer(field, limits, limit, 1)
  else if (limits !== undefined) Check.ratio(field, limits, limit)
  return { severity, for: time("for"), window: time("window"), limit }
}

const where = "Alerts"

const resolve = (options: Options): Settings => {
  Check.noUnknown(where, options, ["runbooks", "labels", ...ruleNames])
  const runbooks = Check.nonEmpty(where, "runbooks", Check.orDefault(options.runbooks, "docs/runbooks"))
  const labels: unknown = options.labels === undefined ? {} : options.labels
  const isLabels =
    isObject(labels) &&
    Object.entries(labels).every(([name, value]) => /^[a-zA-Z_]\w*$/.test(name) && typeof value === "string")
  if (!isLabels) return Check.invalid(where, "labels", 'names of labels with strings, such as { team: "a" }', labels)
  const one = (name: RuleName): Thresholds | undefined => resolveRule(where, name, options[name])
  return {
    runbooks: runbooks.replace(/\/+$/, ""),
    labels: { ...labels },
    notClosed: one("notClosed"),
    openShare: one("openShare"),
    flapping: one("flapping"),
    budget: one("budget"),
    rejections: one("rejections"),
    override: one("override"),
    openEnded: one("openEnded"),
    bulkhead: one("bulkhead"),
    latency: one("latency"),
    outOfTouch: one("outOfTouch")
  }
}

const kinds: ReadonlyArray<unknown> = [
  "Policy",
  "CircuitBreaker",
  "Bulkhead",
  "RateLimit",
  "RetryBudget",
  "StaleFallback",
  "TokenBudget",
  "Fuse"
]

/**
 * The policies to generate for: of several of one name and kind the last, as `Policies.find` has it.
 *
 * @internal
 */
export const distinct = (where: string, entries: ReadonlyArray<Described>): ReadonlyArray<Described> => {
  const known = new Map<string, Described>()
  for (const [i, { kind, name, settings }] of entries.entries()) {
    Check.nonEmpty(`${where}: entries[${i}]`, "name", name)
    if (!kinds.includes(kind)) Check.invalid(`${where}: entries[${i}]`, "kind", kinds.join(", "), kind)
    if (!isObject(settings)) Check.invalid(`${where}: entries[${i}]`, "settings", "an object", settings)
    known.set(`${kind} ${name}`, { kind, name, settings })
  }
  return Array.from(known.values())
}

// ---------------------------------------------------------------------------------------------------------------------
// Rules
// ---------------------------------------------------------------------------------------------------------------------

/** The largest finite bucket of `resilience_attempt_duration_seconds`, in milliseconds: no quantile is above it. */
const largestBucket = 10_000

const percent = (share: number): string => `${Math.round(share * 1000) / 10} %`

/** A rule without what all rules have in common. */
interface Draft {
  readonly alert: string
  readonly page: string
  readonly expr: string
  /** Prometheus' template of a summary and a description: what comes from a user goes through `literal`. */
  readonly summary: string
  readonly description: string
}

type Write = (policy: Described, parts: Parts, thresholds: Thresholds, settings: Settings) => Draft | undefined

/** Of the targets (processes) of a policy the one with the highest value: another one with a low value hides nothing. */
const worstTarget = (expr: string): string => `max by (policy) (${expr})`

const write: Readonly<Record<RuleName, Write>> = {
  notClosed: (policy, { breaker }, { for: time, window }) => {
    if (breaker === undefined) return undefined
    const range = span(Math.max(window, time))
    const name = literal(policy.name)
    return {
      alert: "ResilienceCircuitNotClosed",
      page: "circuit-not-closed",
      // `state="open"` alone would start `for` again at every probe. A circuit whose open time is over stays half-open while no call
      // comes: that is no outage, so there must be open time or rejections within the last minutes.
      expr: [
        `sum by (policy) (${select(policy, "resilience_circuits", 'state=~"open|half-open"')}) > 0`,
        "and on (policy) (",
        `  sum by (policy) (increase(${select(policy, "resilience_circuit_time_seconds_total", 'state="open"')}[${range}])) > 0`,
        "  or",
        `  sum by (policy) (increase(${select(policy, "resilience_rejections_total", 'reason="CircuitOpen"')}[${range}])) > 0`,
        ")"
      ].join("\n"),
      summary: `Circuits of ${name} have not been closed for ${span(time)}`,
      description:
        `Not closed: {{ $value }} of the circuits of ${name}, for at least ${span(time)}. Calls are rejected, and probes fail. ` +
        `It opens by ${literal(breaker.trip)}; its open time is ${breaker.openFor}.`
    }
  },
  openShare: (policy, { breaker }, { limit, window }) => {
    if (breaker === undefined) return undefined
    const name = literal(policy.name)
    const increase = `increase(${select(policy, "resilience_circuit_time_seconds_total", 'state="open"')}[${span(window)}])`
    return {
      alert: "ResilienceCircuitOpenShare",
      page: "circuit-open-share",
      expr: `${worstTarget(`sum without (key, state) (${increase})`)} > ${seconds(window * limit)}`,
      summary: `Circuits of ${name} were open for more than ${percent(limit)} of ${span(window)}`,
      description:
        `Within ${span(window)} the circuits of ${name} in one process were open for {{ $value | humanizeDuration }} together, also if ` +
        `each opening was short. It opens by ${literal(breaker.trip)}; its open time is ${breaker.openFor}.`
    }
  },
  flapping: (policy, { breaker }, { limit, window }, { notClosed }) => {
    if (breaker === undefined) return undefined
    const name = literal(policy.name)
    const outage = notClosed?.for ?? defaults.notClosed.for
    const increase = `increase(${select(policy, "resilience_circuit_openings_total")}[${span(window)}])`
    const longest = `max_over_time(${select(policy, "resilience_circuit_unhealthy_seconds")}[${span(window)}])`
    return {
      alert: "ResilienceCircuitFlapping",
      page: "circuit-flapping",
      // A failed probe is an opening too, so an outage has many of them: that is ResilienceCircuitNotClosed.
      expr: [
        `${worstTarget(`sum without (key) (${increase})`)} >= ${limit}`,
        `and on (policy) max by (policy) (${longest}) < ${seconds(outage)}`
      ].join("\n"),
      summary: `Circuits of ${name} open again and again`,
      description:
        `Openings of ${name} within ${span(window)}: {{ $value | humanize }}, and each time the circuits closed again within ` +
        `${span(outage)}. It opens by ${literal(breaker.trip)}; its open time is ${breaker.openFor}.`
    }
  },
  budget: (policy, { budget }, { for: time, window }) => {
    if (budget === undefined) return undefined
    const name = literal(policy.name)
    const refused = select(policy, "resilience_retry_giveups_total", 'reason="budget"')
    const of =
      budget.shared !== undefined
        ? `The budget is ${literal(budget.shared)}, which several policies may share.`
        : budget.capacity === undefined
          ? ""
          : `The budget holds up to ${budget.capacity} tokens.`
    return {
      alert: "ResilienceRetryBudgetSpent",
      page: "retry-budget-spent",
      expr: `sum by (policy) (increase(${refused}[${span(window)}])) > 0`,
      summary: `The retry budget of ${name} has been spent for ${span(time)}`,
      description:
        `Retries of ${name} that were refused within ${span(window)}, because the budget had no token: {{ $value | humanize }}. ${of}`.trim()
    }
  },
  rejections: (policy, { breaker, bulkhead, deadline, rateLimit }, { for: time, limit, window }) => {
    const reasons = [
      ...(breaker === undefined ? [] : [`an open circuit (${literal(breaker.trip)})`]),
      ...(bulkhead === undefined
        ? []
        : [`a full bulkhead (${bulkhead.maxConcurrent} permits, ${bulkhead.maxQueued} places in the queue)`]),
      ...(rateLimit === undefined ? [] : [`the rate limit (${rateLimit.limit} calls in ${span(rateLimit.window)})`]),
      ...(deadline === undefined ? [] : [`the deadline (${span(deadline)})`])
    ]
    if (reasons.length === 0) return undefined
    const name = literal(policy.name)
    const rate = (metric: string): string => `sum by (policy) (rate(${select(policy, metric)}[${span(window)}]))`
    return {
      alert: "ResilienceRejectionsHigh",
      page: "rejections-high",
      expr: `${rate("resilience_rejections_total")} / ${rate("resilience_calls_total")} > ${limit}`,
      summary: `More than ${percent(limit)} of the calls of ${name} have been rejected for ${span(time)}`,
      description: `{{ $value | humanizePercentage }} of the calls of ${name} are rejected. What may reject: ${reasons.join(", ")}.`
    }
  },
  override: (policy, { breaker }, { for: time }) => {
    if (breaker === undefined) return undefined
    const name = literal(policy.name)
    return {
      alert: "ResilienceOverrideForgotten",
      page: "override-forgotten",
      expr: `sum by (policy, state) (${select(policy, "resilience_circuits", 'state=~"isolated|disabled"')}) > 0`,
      summary: `Circuits of ${name} have been {{ $labels.state }} for ${span(time)}`,
      description:
        `{{ $labels.state }}: {{ $value }} of the circuits of ${name}, by a command of an operator, and until another command. An ` +
        "isolated circuit rejects every call, and a disabled one protects nothing."
    }
  },
  openEnded: (policy, { breaker, bulkhead }, { for: time }) => {
    if (breaker === undefined && bulkhead === undefined) return undefined
    const name = literal(policy.name)
    return {
      alert: "ResilienceChangeOpenEnded",
      page: "change-open-ended",
      expr: `sum by (policy, action) (${select(policy, "resilience_overrides", 'open_ended="true"')}) > 0`,
      summary: `A change of ${name} ({{ $labels.action }}) has held for ${span(time)}, and has no end`,
      description:
        `{{ $labels.action }}: {{ $value }} of the changes of ${name} were made without an end, and hold until they are undone or ` +
        "another command ends them. Policies.inForce says who made them, and why."
    }
  },
  bulkhead: (policy, { bulkhead }, { for: time, limit }) => {
    if (bulkhead === undefined) return undefined
    const name = literal(policy.name)
    const sum = (metric: string): string => `sum without (key) (${select(policy, metric)})`
    return {
      alert: "ResilienceBulkheadNearlyFull",
      page: "bulkhead-nearly-full",
      expr: `${worstTarget(`${sum("resilience_bulkhead_running")} / ${sum("resilience_bulkhead_max_concurrent")}`)} >= ${limit}`,
      summary: `At least ${percent(limit)} of the permits of ${name} have been taken for ${span(time)}`,
      description:
        `{{ $value | humanizePercentage }} of the permits of ${name} are taken. It is set to ${bulkhead.maxConcurrent} permits for each key ` +
        `and ${bulkhead.maxQueued} places in the queue; when both are taken, calls are rejected.`
    }
  },
  latency: (policy, { timeout }, { for: time, limit, window }) => {
    if (timeout === undefined || timeout * limit >= largestBucket) return undefined
    const name = literal(policy.name)
    const buckets = select(policy, "resilience_attempt_duration_seconds_bucket")
    return {
      alert: "ResilienceLatencyNearTimeout",
      page: "latency-near-timeout",
      expr: `histogram_quantile(0.99, sum by (policy, le) (rate(${buckets}[${span(window)}]))) > ${seconds(timeout * limit)}`,
      summary: `The 99th percentile of ${name} has been above ${percent(limit)} of its timeout for ${span(time)}`,
      description:
        `1 of 100 attempts of ${name} takes at least {{ $value | humanizeDuration }}. The timeout is set to ${span(timeout)}: it will end ` +
        "attempts that would have succeeded."
    }
  },
  outOfTouch: (policy, { shared }, { for: time }) => {
    if (shared === undefined) return undefined
    const name = literal(policy.name)
    return {
      alert: "ResilienceBoardOutOfTouch",
      page: "board-out-of-touch",
      expr: `count by (policy) (${select(policy, "resilience_fleet_in_touch")} == 0)`,
      summary: `Processes of ${name} have been out of touch with the board of their fleet for ${span(time)}`,
      description:
        `Out of touch: {{ $value }} of the processes of ${name}, for at least ${span(time)}. They decide alone, and no command reaches them. ` +
        `The fleet shares: ${shared.what}.`
    }
  }
}

const ruleOf = (name: RuleName, policy: Described, parts: Parts, settings: Settings): ReadonlyArray<Rule> => {
  const thresholds = settings[name]
  const draft = thresholds === undefined ? undefined : write[name](policy, parts, thresholds, settings)
  if (thresholds === undefined || draft === undefined) return []
  const { alert, description, expr, page, summary } = draft
  return [
    {
      alert,
      expr,
      ...(thresholds.for === 0 ? {} : { for: span(thresholds.for) }),
      labels: { ...settings.labels, severity: thresholds.severity, policy: literal(policy.name) },
      annotations: { summary, description, runbook_url: `${settings.runbooks}/${page}.md` }
    }
  ]
}

/**
 * Generates alerting rules as data, in a group for each policy. {@link prometheus} writes the same rules as YAML.
 *
 * **When to use** To put them into another format, such as a `PrometheusRule` of Kubernetes.
 *
 * Throws a `RangeError` when an option or an entry is wrong.
 *
 * @category constructors
 * @since 0.1.0
 */
export const rules = (entries: ReadonlyArray<Described>, options: Options = {}): ReadonlyArray<Group> => {
  const settings = resolve(options)
  return distinct(where, entries).flatMap((policy) => {
    const parts = partsOf(policy)
    const list = ruleNames.flatMap((name) => ruleOf(name, policy, parts, settings))
    // Groups of one file have names of their own, and a policy of another kind may have the same name.
    return list.length === 0 ? [] : [{ name: `resilience ${policy.kind} ${policy.name}`, rules: list }]
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// YAML
// ---------------------------------------------------------------------------------------------------------------------

const indented = (text: string, indent: string): string => text.replaceAll(/^/gm, indent)

const map = (name: string, values: Readonly<Record<string, string>>): string =>
  [`        ${name}:`, ...Object.entries(values).map(([field, value]) => `          ${field}: ${quote(value)}`)].join(
    "\n"
  )

const yamlOf = ({ alert, annotations, expr, for: time, labels }: Rule): string =>
  [
    `      - alert: ${alert}`,
    `        expr: |-\n${indented(expr, "          ")}`,
    ...(time === undefined ? [] : [`        for: ${time}`]),
    map("labels", labels),
    map("annotations", { ...annotations })
  ].join("\n")

/**
 * Generates the alerting rules of the policies as the YAML of a rules file of Prometheus.
 *
 * **When to use** In a job that writes the file which Prometheus loads, whenever settings change. `entries` are those of `Policies.all`,
 * or plain data.
 *
 * **Details** A policy gets the rules for the parts that it has; see {@link Options} for the rules and their thresholds. Each alert has
 * the labels `policy` and `severity`, and the annotations `summary`, `description` and `runbook_url`.
 *
 * The rules sum over all processes and keys, or take the worst process; labels such as `instance` and `key` are not on an alert.
 * There is no rule about latency for a timeout of 12.5 seconds or more, because the histogram ends at 10 seconds.
 *
 * Throws a `RangeError` when an option or an entry is wrong.
 *
 * **Example** (Rules for what lives in a program)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead, Policies } from "effect-resilience"
 * import * as Alerts from "effect-resilience/telemetry/Alerts"
 *
 * class Database extends Bulkhead.Service<Database>()("app/Database", { maxConcurrent: 5 }) {}
 *
 * const rules = Effect.map(Policies.all, (entries) => Alerts.prometheus(entries, { bulkhead: { fullness: 0.8 } }))
 * const yaml = await Effect.runPromise(rules.pipe(Effect.provide(Database.layer), Effect.provide(Policies.layer)))
 * yaml.match(/alert: \w+/g) // => ["alert: ResilienceRejectionsHigh", "alert: ResilienceChangeOpenEnded", "alert: ResilienceBulkheadNearlyFull"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const prometheus = (entries: ReadonlyArray<Described>, options: Options = {}): string => {
  const groups = rules(entries, options)
  if (groups.length === 0) return "groups: []\n"
  const texts = groups.map(({ name, rules }) =>
    [`  - name: ${quote(name)}`, "    rules:", ...rules.map(yamlOf)].join("\n")
  )
  return `groups:\n${texts.join("\n")}\n`
}
