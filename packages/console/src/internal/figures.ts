/** The stats of a policy as JSON, its keys sorted by trouble. */
import * as Duration from "effect/Duration"
import type { Policies, Stats } from "effect-resilience"
import type * as State from "../State.ts"

/** From the worst. */
const statuses: ReadonlyArray<State.Status> = [
  "failing",
  "isolated",
  "erring",
  "recovering",
  "strained",
  "disabled",
  "healthy"
]

export const rank = (status: State.Status): number => statuses.indexOf(status)

const worst = (list: ReadonlyArray<State.Status>): State.Status =>
  list.reduce((a, b) => (rank(b) < rank(a) ? b : a), "healthy" satisfies State.Status as State.Status)

/** The key under which a policy keeps the counts of keys that it no longer has. */
const evicted = "(evicted)"

const millis = (duration: Duration.Duration): number => Math.round(Duration.toMillis(duration) * 10) / 10

// ---------------------------------------------------------------------------------------------------------------------
// One key
// ---------------------------------------------------------------------------------------------------------------------

const circuitOf = (circuit: Stats.Circuit): State.Circuit => ({
  state: circuit._tag,
  sinceMillis: millis(circuit.since),
  openings: circuit.openings,
  dueForProbe: circuit.dueForProbe,
  ...("unhealthySince" in circuit ? { unhealthySinceMillis: millis(circuit.unhealthySince) } : {}),
  ...("retryAfter" in circuit ? { retryAfterMillis: millis(circuit.retryAfter) } : {}),
  ...("probing" in circuit ? { probing: circuit.probing, successes: circuit.successes } : {}),
  ...("evidence" in circuit ? { evidence: circuit.evidence } : {}),
  ...("figures" in circuit ? { figures: circuit.figures } : {})
})

const totalsOf = (totals: Stats.Totals): State.Totals => {
  const { timeIn: _, ...counts } = totals
  return counts
}

const recentOf = ({ attempts, latency, successRate, window }: Stats.Recent): State.Recent => ({
  windowMillis: millis(window),
  attempts,
  ...(successRate === undefined ? {} : { successRate }),
  ...(latency === undefined
    ? {}
    : { p50Millis: millis(latency.p50), p95Millis: millis(latency.p95), p99Millis: millis(latency.p99) })
})

const statusOfCircuit = {
  open: "failing",
  isolated: "isolated",
  "half-open": "recovering",
  disabled: "disabled",
  closed: "healthy"
} as const

const leastAttempts = 10
const leastSuccessRate = 0.9

const statusOf = (stats: Stats.Stats): State.Status => {
  const { attempts, successRate = 1 } = stats.recent
  const { balance = 1, maxConcurrent = Infinity, maxQueued = 0, running, waiting } = stats
  const isFull = running >= maxConcurrent && waiting >= maxQueued
  return worst([
    statusOfCircuit[stats.circuit?._tag ?? "closed"],
    attempts >= leastAttempts && successRate < leastSuccessRate ? "erring" : "healthy",
    isFull || balance < 1 ? "strained" : "healthy"
  ])
}

type Defined<A> = { readonly [Field in keyof A]?: Exclude<A[Field], undefined> }

const defined = <A extends object>(fields: A): Defined<A> =>
  // What is left out is undefined.
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Defined<A>

const limitsOf = ({ balance, capacity, maxConcurrent, maxQueued, rateLimit }: Stats.Stats) =>
  defined({ balance, capacity, maxConcurrent, maxQueued, tokens: rateLimit?.tokens, burst: rateLimit?.burst }) as Pick<
    State.Figures,
    "balance" | "capacity" | "maxConcurrent" | "maxQueued" | "tokens" | "burst"
  >

/** What keys would have done, together; what none would have done is left out. */
const wouldOf = (all: ReadonlyArray<Stats.Stats>): Pick<State.Figures, "would"> => {
  const observed = all.flatMap(({ would }) => would ?? [])
  if (observed.length === 0) return {}
  const would: Record<string, number> = { "calls observed": sum(observed.map(({ calls }) => calls)) }
  const add = (name: string, n: number): void => {
    if (n > 0) would[name] = (would[name] ?? 0) + n
  }
  for (const { giveUps, openings, rejections, retries, timeouts } of observed) {
    for (const [tag, n] of Object.entries(rejections)) add(`rejected with ${tag}`, n)
    for (const [reason, n] of Object.entries(giveUps)) add(`given up: ${reason}`, n)
    add("retried", retries)
    add("timed out", timeouts)
    add("opened", openings)
  }
  return { would }
}

/** The mode of keys; several are named together. */
const modeOf = (all: ReadonlyArray<Stats.Stats>): { readonly mode?: string } => {
  const modes = new Set(all.map(({ mode }) => mode))
  return modes.size === 0 ? {} : { mode: [...modes].sort().join(", ") }
}

const keyOf = (stats: Stats.Stats): State.Key => ({
  key: stats.key,
  status: statusOf(stats),
  ...(stats.circuit === undefined ? {} : { circuit: circuitOf(stats.circuit) }),
  running: stats.running,
  waiting: stats.waiting,
  ...limitsOf(stats),
  ...lastErrorOf([stats]),
  ...modeOf([stats]),
  ...wouldOf([stats]),
  totals: totalsOf(stats.totals),
  recent: recentOf(stats.recent)
})

// ---------------------------------------------------------------------------------------------------------------------
// All keys together
// ---------------------------------------------------------------------------------------------------------------------

const lastErrorOf = (all: ReadonlyArray<Stats.Stats>): Pick<State.Figures, "lastError"> => {
  let last: Stats.Stats | undefined
  for (const one of all) {
    if (one.lastError === undefined) continue
    if (last?.lastError === undefined || Duration.isLessThan(one.lastError.ago, last.lastError.ago)) last = one
  }
  if (last?.lastError === undefined) return {}
  const { ago, message, tag } = last.lastError
  return { lastError: { key: last.key, tag, message, agoMillis: millis(ago) } }
}

const sum = (values: ReadonlyArray<number>): number => values.reduce((a, b) => a + b, 0)

/** Records of counts, added up name by name. */
const sumFields = <A extends Readonly<Record<string, number>>>(all: ReadonlyArray<A>, zero: A): A =>
  // The names are those of `zero`.
  Object.fromEntries(
    Object.keys(zero).map((name) => [name, sum(all.map((one) => one[name as keyof A] ?? 0))])
  ) as unknown as A

const zeroRejections: State.Totals["rejections"] = {
  CircuitOpen: 0,
  BulkheadFull: 0,
  RateLimited: 0,
  DeadlineExceeded: 0
}
const zeroGiveUps: State.Totals["giveUps"] = { attempts: 0, budget: 0, deadline: 0, rejected: 0, retryAfter: 0 }
const zeroCounts = {
  calls: 0,
  successes: 0,
  failures: 0,
  ignored: 0,
  retries: 0,
  timeouts: 0,
  fallbacks: 0,
  openings: 0
}

const sumTotals = (all: ReadonlyArray<Stats.Totals>): State.Totals => ({
  ...sumFields(
    all.map(({ calls, failures, fallbacks, ignored, openings, retries, successes, timeouts }) => ({
      calls,
      failures,
      fallbacks,
      ignored,
      openings,
      retries,
      successes,
      timeouts
    })),
    zeroCounts
  ),
  rejections: sumFields(
    all.map(({ rejections }) => rejections),
    all[0]?.rejections ?? zeroRejections
  ),
  giveUps: sumFields(
    all.map(({ giveUps }) => giveUps),
    all[0]?.giveUps ?? zeroGiveUps
  )
})

const sumRecent = (all: ReadonlyArray<Stats.Recent>): State.Recent => {
  const attempts = sum(all.map((one) => one.attempts))
  const successes = sum(all.map((one) => one.attempts * (one.successRate ?? 0)))
  const slowest = (quantile: "p50" | "p95" | "p99"): number | undefined => {
    const found = all.flatMap(({ latency }) => (latency === undefined ? [] : [millis(latency[quantile])]))
    return found.length === 0 ? undefined : Math.max(...found)
  }
  return defined({
    windowMillis: millis(all[0]?.window ?? Duration.zero),
    attempts,
    successRate: attempts === 0 ? undefined : Math.min(1, successes / attempts),
    p50Millis: slowest("p50"),
    p95Millis: slowest("p95"),
    p99Millis: slowest("p99")
  }) as State.Recent
}

/** The limits of the key that is nearest to one of them. */
const tightest = (all: ReadonlyArray<Stats.Stats>): ReturnType<typeof limitsOf> => {
  const fullness = ({ maxConcurrent = Infinity, maxQueued = 0, running, waiting }: Stats.Stats): number =>
    (running + waiting) / (maxConcurrent + maxQueued)
  const bulkhead = all.reduce<Stats.Stats | undefined>(
    (a, b) => (b.maxConcurrent !== undefined && (a === undefined || fullness(b) > fullness(a)) ? b : a),
    undefined
  )
  const budget = all.reduce<Stats.Stats | undefined>(
    (a, b) => (b.balance !== undefined && (a?.balance === undefined || b.balance < a.balance) ? b : a),
    undefined
  )
  const rate = all.reduce<Stats.RateLimit | undefined>(
    (a, { rateLimit: b }) => (b !== undefined && (a === undefined || b.tokens < a.tokens) ? b : a),
    undefined
  )
  return defined({
    ...(bulkhead === undefined ? {} : limitsOf(bulkhead)),
    tokens: rate?.tokens,
    burst: rate?.burst,
    balance: budget?.balance,
    capacity: budget?.capacity
  }) as ReturnType<typeof limitsOf>
}

const circuitsOf = (all: ReadonlyArray<Stats.Stats>): Pick<State.Policy, "circuits"> => {
  const states = all.flatMap(({ circuit }) => (circuit === undefined ? [] : [circuit._tag]))
  if (states.length === 0) return {}
  const circuits = { open: 0, "half-open": 0, isolated: 0, disabled: 0, closed: 0 }
  for (const state of states) circuits[state] += 1
  return { circuits }
}

/** The worst first; among those of one status, those that have been unhealthy the longest, then those with most calls. */
const byTrouble = (a: State.Key, b: State.Key): number =>
  rank(a.status) - rank(b.status) ||
  unhealthyFor(b) - unhealthyFor(a) ||
  (a.status === "healthy" ? 0 : b.totals.calls - a.totals.calls) ||
  (a.key < b.key ? -1 : 1)

const unhealthyFor = ({ circuit, status }: State.Key): number =>
  status === "healthy" ? 0 : (circuit?.unhealthySinceMillis ?? circuit?.sinceMillis ?? 0)

/** Keys of a policy in the summary. */
const mostTroubled = 5

/** What is known of a policy at one moment, but for its past. */
export interface Reading extends Omit<State.Policy, "minute" | "trend"> {
  /** Every key, the worst first. */
  readonly all: ReadonlyArray<State.Key>
}

export const idOf = ({ instance, name }: Pick<State.Policy, "instance" | "name">): string => `${instance} ${name}`

const tenth = (value: number): number => Math.round(value * 10) / 10

/** Circuits of a fleet in the response, and shares. */
const mostOfFleet = 20

const fleetOf = (fleet: Stats.Fleet | undefined): Pick<State.Policy, "fleet"> => {
  if (fleet === undefined) return {}
  const { away, board, circuits, heard, inTouch, member, members, permits, rates, settingsDiffer } = fleet
  const open = circuits.flatMap(({ evidence, key, left, probe, prober, state }) => {
    if (state === "closed") return []
    return [{ key, state, leftMillis: millis(left), probe, ...defined({ prober, evidence }) }]
  })
  const shares = [
    ...permits.map(({ fleet, here, isShort, key }) => ({ key, part: "bulkhead" as const, here, fleet, isShort })),
    ...rates.map(({ fleet, here, isShort, key, window }) => {
      const part = "rateLimit" as const
      return { key, part, here: tenth(here), fleet: tenth(fleet), windowMillis: millis(window), isShort }
    })
  ]
  return {
    fleet: {
      board,
      member,
      inTouch,
      members,
      away,
      ...defined({ heardMillis: heard && millis(heard) }),
      settingsDiffer,
      open: open.length,
      circuits: open.slice(0, mostOfFleet),
      shares: shares.slice(0, mostOfFleet)
    }
  }
}

export const read = (
  entry: Policies.Entry,
  stats: ReadonlyArray<Stats.Stats>,
  fleet: Stats.Fleet | undefined
): Reading => {
  const live = stats.filter(({ key }) => key !== evicted)
  const all = live.map(keyOf).sort(byTrouble)
  const unhealthy = all.filter(({ status }) => status !== "healthy")
  return {
    name: entry.name,
    kind: entry.kind,
    instance: entry.instance,
    status: all[0]?.status ?? "healthy",
    settings: entry.settings,
    actions: Object.keys(entry.control),
    ...circuitsOf(live),
    ...fleetOf(fleet),
    keys: all.length,
    troubled: unhealthy.slice(0, mostTroubled),
    unhealthy: unhealthy.length,
    running: sum(live.map(({ running }) => running)),
    waiting: sum(live.map(({ waiting }) => waiting)),
    ...tightest(live),
    ...lastErrorOf(live),
    ...modeOf(live),
    ...wouldOf(live),
    totals: sumTotals(stats.map(({ totals }) => totals)),
    recent: sumRecent(live.map(({ recent }) => recent)),
    all
  }
}
