/**
 * Reports the health of every live policy, for people and for the probes of an orchestrator.
 *
 * A report lists the policies with problems first: circuits that are not closed with their evidence, budgets without a token,
 * full bulkheads. The routes of {@link layerHttp} are a liveness probe, which no dependency can make fail, and a readiness probe,
 * which fails only for policies that the service named as critical.
 *
 * This is an adapter: it depends on Effect's `http` modules, which Effect marks as unstable.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import type * as Change from "../Change.ts"
import type * as Event from "../Event.ts"
import * as Instances from "../engine/instances.ts"
import * as Policies from "../Policies.ts"
import type { Evidence } from "../Rejection.ts"
import * as Check from "../runtime/options.ts"
import type * as Stats from "../Stats.ts"
import { partsOf } from "./internal/settingsParts.ts"

/**
 * Options of {@link check}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The names of the policies without which the service cannot work, such as `["app/Database"]`. While a circuit of one of
   * them is open, the report is not `ready`. Default: none.
   */
  readonly critical?: ReadonlyArray<string> | undefined
}

/**
 * Options of {@link layerHttp}.
 *
 * @category models
 * @since 0.1.0
 */
export interface HttpOptions extends Options {
  /**
   * The path of the report; `/live` and `/ready` are below it. It starts with `/` and has neither parameters nor wildcards.
   * Default: `"/health"`.
   */
  readonly path?: `/${string}` | undefined
}

/**
 * How a policy does, from the worst.
 *
 * - `"failing"`: a circuit is open.
 * - `"isolated"`: an operator isolated a circuit.
 * - `"recovering"`: a circuit is half-open.
 * - `"strained"`: a bulkhead would reject the next call, or a budget has no token for a retry.
 * - `"disabled"`: an operator disabled a circuit: nothing is protected.
 * - `"healthy"`: none of these.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = "failing" | "isolated" | "recovering" | "strained" | "disabled" | "healthy"

/**
 * A circuit that is not closed.
 *
 * @category models
 * @since 0.1.0
 */
export interface CircuitHealth {
  readonly key: string
  readonly state: Exclude<Event.CircuitState, "closed">
  /** Milliseconds in this state. */
  readonly sinceMillis: number
  /** Milliseconds since the circuit left closed, through probes that failed; set when open or half-open. */
  readonly unhealthySinceMillis?: number
  /** Milliseconds until the first probe is admitted; set when open. */
  readonly retryAfterMillis?: number
  /** Openings in a row. */
  readonly openings: number
  /** Why the circuit opened, if it is known. */
  readonly evidence?: Evidence
}

/**
 * The balance of a budget: of the key with the lowest if there is a balance for each key.
 *
 * @category models
 * @since 0.1.0
 */
export interface BudgetHealth {
  readonly balance: number
  /** The tokens that the budget can hold. */
  readonly capacity: number
}

/**
 * The fullest permits of a bulkhead.
 *
 * @category models
 * @since 0.1.0
 */
export interface BulkheadHealth {
  readonly key: string
  readonly running: number
  readonly maxConcurrent: number
  readonly waiting: number
  readonly maxQueued: number
  /** What is taken of the permits and the places in the queue together, from 0 to 1. */
  readonly fullness: number
}

/**
 * The last failure that counted against the dependency.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorHealth {
  readonly key: string
  /** See `Stats.LastError`. */
  readonly tag: string
  /** Its first 200 characters. */
  readonly message: string
  /** Milliseconds since the failure. */
  readonly agoMillis: number
}

/**
 * A change that holds: see `Policies.inForce`.
 *
 * @category models
 * @since 0.1.0
 */
export interface OverrideHealth {
  /** Its id, for `Policies.undo`. */
  readonly id: number
  readonly action: Change.Action
  /** Absent: every key. */
  readonly key?: string
  readonly by: string
  readonly reason: string
  /** Milliseconds since it was made. */
  readonly sinceMillis: number
  /** Milliseconds until it ends; absent without an end. */
  readonly endsInMillis?: number
}

/**
 * The health of one live policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface PolicyHealth {
  readonly name: string
  readonly kind: Policies.Kind
  readonly instance: number
  readonly status: Status
  /** Whether it was named as critical. */
  readonly critical: boolean
  /** What is wrong, in sentences; empty when it is healthy. */
  readonly problems: ReadonlyArray<string>
  /** The number of circuits in each state; not set without a breaker. */
  readonly circuits?: Readonly<Record<Event.CircuitState, number>>
  /** Up to 20 circuits that are not closed, open ones first, and among them those that have been unhealthy the longest. */
  readonly notClosed?: ReadonlyArray<CircuitHealth>
  readonly budget?: BudgetHealth
  readonly bulkhead?: BulkheadHealth
  readonly lastError?: ErrorHealth
  /** Up to 20 changes that hold, the oldest first; not set without one. */
  readonly overrides?: ReadonlyArray<OverrideHealth>
}

/**
 * The health of a program, as JSON-safe data.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  /** The worst status of the policies. */
  readonly status: Status
  /** `false` while a circuit of a critical policy is open and its open time is not over. */
  readonly ready: boolean
  /** The names of the critical policies that make it not ready. */
  readonly unready: ReadonlyArray<string>
  /** What is wrong with the options: a critical name that no live policy has. */
  readonly warnings: ReadonlyArray<string>
  /** Every live policy, the worst first. */
  readonly policies: ReadonlyArray<PolicyHealth>
}

/** From the worst. */
const statuses: ReadonlyArray<Status> = ["failing", "isolated", "recovering", "strained", "disabled", "healthy"]

const rank = (status: Status): number => statuses.indexOf(status)

/** Circuits in a report for one policy. */
const mostCircuits = 20

const millis = (duration: Duration.Duration): number => Math.round(Duration.toMillis(duration))

const show = (milliseconds: number): string => Duration.format(Duration.millis(milliseconds))

// ---------------------------------------------------------------------------------------------------------------------
// Circuits
// ---------------------------------------------------------------------------------------------------------------------

const statusOfState: Readonly<Record<Event.CircuitState, Status>> = {
  open: "failing",
  isolated: "isolated",
  "half-open": "recovering",
  disabled: "disabled",
  closed: "healthy"
}

const circuitHealth = ({ circuit, key }: Stats.Stats): ReadonlyArray<CircuitHealth> => {
  if (circuit === undefined || circuit._tag === "closed") return []
  return [
    {
      key,
      state: circuit._tag,
      sinceMillis: millis(circuit.since),
      ...("unhealthySince" in circuit ? { unhealthySinceMillis: millis(circuit.unhealthySince) } : {}),
      ...("retryAfter" in circuit ? { retryAfterMillis: millis(circuit.retryAfter) } : {}),
      openings: circuit.openings,
      ...("evidence" in circuit ? { evidence: circuit.evidence } : {})
    }
  ]
}

const round = (value: number): number => Math.round(value * 100) / 100

const figuresOf = ({ figures, trip }: Evidence): string => {
  const list = Object.entries(figures).map(([name, value]) => `${name} ${round(value)}`)
  return list.length === 0 ? trip : `${trip}: ${list.join(", ")}`
}

const describeCircuit = (one: CircuitHealth): string => {
  const circuit = `circuit ${JSON.stringify(one.key)}`
  if (one.state === "isolated") {
    return `${circuit} is isolated by an operator since ${show(one.sinceMillis)}: it rejects every call`
  }
  if (one.state === "disabled") {
    return `${circuit} is disabled by an operator since ${show(one.sinceMillis)}: it admits every call and counts nothing`
  }
  const unhealthy = one.unhealthySinceMillis === undefined ? "" : `, unhealthy since ${show(one.unhealthySinceMillis)}`
  const next = one.retryAfterMillis === undefined ? "" : `, next probe in ${show(one.retryAfterMillis)}`
  const why = one.evidence === undefined ? "" : ` (${figuresOf(one.evidence)})`
  return `${circuit} is ${one.state}${unhealthy}${next}${why}`
}

/** Those that reject calls come first. */
const circuitOrder = (a: CircuitHealth, b: CircuitHealth): number =>
  rank(statusOfState[a.state]) - rank(statusOfState[b.state]) ||
  (b.unhealthySinceMillis ?? b.sinceMillis) - (a.unhealthySinceMillis ?? a.sinceMillis)

interface Part<A> {
  readonly status: Status
  readonly problems: ReadonlyArray<string>
  readonly fields: A
}

const nothing = { status: "healthy", problems: [], fields: {} } as const

const circuitsOf = (stats: ReadonlyArray<Stats.Stats>): Part<Pick<PolicyHealth, "circuits" | "notClosed">> => {
  const states = stats.flatMap(({ circuit }) => (circuit === undefined ? [] : [circuit._tag]))
  if (states.length === 0) return nothing
  const circuits = { open: 0, "half-open": 0, isolated: 0, disabled: 0, closed: 0 }
  for (const state of states) circuits[state] += 1
  const all = stats.flatMap(circuitHealth).sort(circuitOrder)
  const notClosed = all.slice(0, mostCircuits)
  const more = all.length - notClosed.length
  return {
    status: all.length === 0 ? "healthy" : statusOfState[all[0]?.state ?? "closed"],
    problems: [...notClosed.map(describeCircuit), ...(more > 0 ? [`${more} more circuits are not closed`] : [])],
    fields: { circuits, notClosed }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Budget and bulkhead
// ---------------------------------------------------------------------------------------------------------------------

const budgetOf = (
  stats: ReadonlyArray<Stats.Stats>,
  shared: string | undefined
): Part<Pick<PolicyHealth, "budget">> => {
  const [budget] = stats
    .flatMap(({ balance, capacity }) =>
      balance === undefined || capacity === undefined ? [] : [{ balance, capacity }]
    )
    .sort((a, b) => a.balance - b.balance)
  if (budget === undefined) return nothing
  const isSpent = budget.balance < 1
  const name = shared === undefined ? "" : ` ${shared}`
  const left = `${round(budget.balance)} of ${budget.capacity} tokens are left`
  return {
    status: isSpent ? "strained" : "healthy",
    problems: isSpent ? [`the budget${name} is spent: ${left}, and a retry takes one`] : [],
    fields: { budget }
  }
}

const bulkheadHealth = ({
  key,
  maxConcurrent,
  maxQueued,
  running,
  waiting
}: Stats.Stats): ReadonlyArray<BulkheadHealth> => {
  if (maxConcurrent === undefined || maxQueued === undefined) return []
  const fullness = Math.min(1, (running + waiting) / (maxConcurrent + maxQueued))
  return [{ key, running, maxConcurrent, waiting, maxQueued, fullness }]
}

const bulkheadOf = (stats: ReadonlyArray<Stats.Stats>): Part<Pick<PolicyHealth, "bulkhead">> => {
  const [bulkhead] = stats.flatMap(bulkheadHealth).sort((a, b) => b.fullness - a.fullness)
  if (bulkhead === undefined) return nothing
  const { fullness, key, maxConcurrent, maxQueued, running, waiting } = bulkhead
  const isFull = fullness >= 1
  const problem =
    `bulkhead ${JSON.stringify(key)} is full: ${running} of ${maxConcurrent} permits and ${waiting} of ${maxQueued} places ` +
    "in the queue are taken, and the next call is rejected"
  return { status: isFull ? "strained" : "healthy", problems: isFull ? [problem] : [], fields: { bulkhead } }
}

/** The last error of all keys. An error of the past is no problem: it says what failed, not whether something fails. */
const lastErrorOf = (stats: ReadonlyArray<Stats.Stats>): Pick<PolicyHealth, "lastError"> => {
  const [last] = stats
    .flatMap(({ key, lastError }) => (lastError === undefined ? [] : [{ key, ...lastError }]))
    .sort((a, b) => Duration.toMillis(a.ago) - Duration.toMillis(b.ago))
  if (last === undefined) return {}
  const { ago, key, message, tag } = last
  return { lastError: { key, tag, message, agoMillis: millis(ago) } }
}

// ---------------------------------------------------------------------------------------------------------------------
// The report
// ---------------------------------------------------------------------------------------------------------------------

const worst = (list: ReadonlyArray<Status>): Status =>
  list.reduce((a, b) => (rank(b) < rank(a) ? b : a), "healthy" satisfies Status as Status)

const policyHealth = (
  entry: Policies.Entry,
  stats: ReadonlyArray<Stats.Stats>,
  critical: ReadonlySet<string>,
  overrides: ReadonlyArray<OverrideHealth>
): PolicyHealth => {
  const { instance, kind, name } = entry
  const parts = [circuitsOf(stats), bulkheadOf(stats), budgetOf(stats, partsOf(entry).budget?.shared)] as const
  return {
    name,
    kind,
    instance,
    status: worst(parts.map(({ status }) => status)),
    critical: critical.has(name),
    problems: parts.flatMap(({ problems }) => problems),
    ...parts[0].fields,
    ...parts[1].fields,
    ...parts[2].fields,
    ...lastErrorOf(stats),
    ...(overrides.length === 0 ? {} : { overrides: overrides.slice(0, mostOverrides) })
  }
}

/** The worst first, and among those of one status the critical ones. */
const policyOrder = (a: PolicyHealth, b: PolicyHealth): number =>
  rank(a.status) - rank(b.status) || Number(b.critical) - Number(a.critical)

const warningOf = (name: string): string =>
  `Health: no live policy is named ${JSON.stringify(name)}, which is listed as critical: it is not checked. ` +
  "It has another name, or its layer is not built"

const resolve = (where: string, options: Options): ReadonlySet<string> => {
  const critical: unknown = options.critical === undefined ? [] : options.critical
  if (!Array.isArray(critical)) {
    return Check.invalid(where, "critical", 'an array of names of policies, such as ["app/Payments"]', critical)
  }
  return new Set(critical.map((name: string, i) => Check.nonEmpty(where, `critical[${i}]`, name)))
}

/** Changes that a policy shows. */
const mostOverrides = 20

const overrideOf = ({ action, at, by, id, key, reason, until }: Change.Change, epoch: number): OverrideHealth => ({
  id,
  action,
  ...(key === undefined ? {} : { key }),
  by,
  reason,
  sinceMillis: Math.max(0, epoch - at),
  ...(until === undefined ? {} : { endsInMillis: Math.max(0, until - epoch) })
})

const reportOf = (critical: ReadonlySet<string>): Effect.Effect<Report> =>
  Effect.gen(function* () {
    const entries = yield* Policies.all
    const inForce = yield* Policies.inForce
    const epoch = yield* Clock.currentTimeMillis
    const policies = yield* Effect.forEach(entries, (entry) => {
      const { instance, kind, name } = entry
      const overrides = inForce
        .filter((one) => one.policy === name && one.kind === kind && one.instance === instance)
        .map((one) => overrideOf(one, epoch))
      return Effect.map(entry.stats, (stats) => policyHealth(entry, stats, critical, overrides))
    })
    const unknown = [...critical].filter((name) => !entries.some((entry) => entry.name === name))
    const instances = yield* Instances.current
    for (const name of unknown) {
      if (instances.warnsOf(`critical ${name}`)) {
        yield* Effect.logWarning(`${warningOf(name)}. This warning is logged once for each name.`)
      }
    }
    const failing = policies.filter((one) => one.critical && (one.circuits?.open ?? 0) > 0)
    return {
      status: worst(policies.map(({ status }) => status)),
      ready: failing.length === 0,
      unready: [...new Set(failing.map(({ name }) => name))],
      warnings: unknown.map(warningOf),
      policies: [...policies].sort(policyOrder)
    }
  })

/**
 * Creates an effect that reports the health of every live policy.
 *
 * **When to use** For a command, a page or a health check of your own; {@link layerHttp} has routes for an orchestrator.
 *
 * **Details** The effect reads the stats of every key, and changes nothing. Every number with a name in `Millis` is in milliseconds.
 *
 * The report is not `ready` while a circuit of a critical policy is open. A circuit whose open time is over is half-open: its next
 * call is a probe, so the report is ready again, because without calls the circuit would never close. A circuit that an operator
 * isolated is a problem in the report, and leaves it ready: the decision of an operator must not stop every instance.
 *
 * A critical name that no live policy has is one of the `warnings`, and is logged once.
 *
 * Throws a `RangeError` when an option is wrong.
 *
 * **Example** (The policies that have problems)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CircuitBreaker, Policies, TripPolicy } from "effect-resilience"
 * import * as Health from "effect-resilience/telemetry/Health"
 *
 * class Users extends CircuitBreaker.Service<Users>()("app/Users", { trip: TripPolicy.consecutive(5) }) {}
 *
 * const check = Health.check({ critical: ["app/Users"] })
 * const program = Effect.map(check, ({ policies, ready, status }) => ({ ready, status, names: policies.map(({ name }) => name) }))
 * const live = program.pipe(Effect.provide(Users.layer), Effect.provide(Policies.layer))
 * await Effect.runPromise(live) // => { ready: true, status: "healthy", names: ["app/Users"] }
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const check = (options: Options = {}): Effect.Effect<Report> => {
  Check.noUnknown("Health.check", options, ["critical"])
  return reportOf(resolve("Health.check", options))
}

const pathOf = (where: string, path: unknown): `/${string}` => {
  const isPath = typeof path === "string" && path.startsWith("/") && !/[:*?#\s]|\/\//.test(path)
  if (!isPath) return Check.invalid(where, "path", 'a path without parameters, such as "/health"', path)
  return `/${path.slice(1).replace(/\/$/, "")}`
}

const respond = (body: unknown, status: number): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(body, { status, headers: { "cache-control": "no-store" } })

/**
 * Adds three routes to Effect's `HttpRouter`: the report, a liveness probe and a readiness probe.
 *
 * **Details**
 *
 * | route | status | body |
 * |---|---|---|
 * | `GET /health` | 200 | the {@link Report} |
 * | `GET /health/live` | 200 | `{ "live": true }`; it reads no policy, because a restart repairs no dependency |
 * | `GET /health/ready` | 503 while the report is not `ready`, else 200 | the {@link Report} |
 *
 * The policies are those of the registry in which the layer is built. Responses are never cached.
 *
 * Throws a `RangeError` when an option is wrong.
 *
 * **Gotchas** Every instance sees the same outage of a dependency. If all become unready together, no instance is left to respond,
 * so name as critical only what no response is possible without. A report contains names, keys and messages of errors: serve it where
 * only operators and the orchestrator can read it.
 *
 * **Example** (Probes of an orchestrator)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { HttpRouter } from "effect/http"
 * import { Policies, Policy } from "effect-resilience"
 * import * as Health from "effect-resilience/telemetry/Health"
 *
 * class Payments extends Policy.Service<Payments>()("app/Payments", { timeout: "1 second" }) {}
 *
 * const app = Health.layerHttp({ critical: ["app/Payments"] }).pipe(Layer.provideMerge(Payments.layer), Layer.provide(Policies.layer))
 * const { dispose, handler } = HttpRouter.toWebHandler(app, { disableLogger: true })
 * const statusOf = async (path: string) => (await handler(new Request(`http://localhost${path}`))).status
 * await statusOf("/health/ready") // => 200
 * await dispose()
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttp = (options: HttpOptions = {}): Layer.Layer<never, never, HttpRouter.HttpRouter> => {
  const where = "Health.layerHttp"
  Check.noUnknown(where, options, ["path", "critical"])
  const path = pathOf(where, Check.orDefault(options.path, "/health"))
  const below = path === "/" ? "" : path
  const report = reportOf(resolve(where, options))
  return HttpRouter.use((router) =>
    Effect.gen(function* () {
      const registry = yield* Policies.CurrentRegistry
      const current = Effect.provideService(report, Policies.CurrentRegistry, registry)
      yield* router.add(
        "GET",
        path,
        Effect.map(current, (body) => respond(body, 200))
      )
      yield* router.add("GET", `${below}/live`, respond({ live: true }, 200))
      yield* router.add(
        "GET",
        `${below}/ready`,
        Effect.map(current, (body) => respond(body, body.ready ? 200 : 503))
      )
    })
  )
}
