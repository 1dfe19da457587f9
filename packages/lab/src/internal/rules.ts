/** The rules of `Advice`: what would be better in the settings of a policy, from what it has done. */
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import type { Policies } from "effect-resilience"
import type { Trace } from "../Trace.ts"
import { type Evidence, patience, type Replayed, replay } from "./evidence.ts"
import { permitsFor } from "./little.ts"
import type { Settings } from "./settings.ts"

type Part = "policy" | "timeout" | "deadline" | "breaker" | "retry" | "budget" | "bulkhead" | "keys"

interface Change {
  readonly option: string
  readonly from: Schema.Json
  readonly to: Schema.Json
}

/**
 * The world in which a change is shown: `steady`, the measured behaviour; `slow`, the same with calls that would have
 * ended after the timeout; `overload`, a dependency that is slowed down until it cannot keep up; `outage`.
 */
export type Scene = "steady" | "slow" | "overload" | "outage"

export interface Draft {
  readonly part: Part
  readonly severity: "info" | "warning"
  readonly found: string
  readonly why: string
  readonly change?: Change | undefined
  readonly evidence: Readonly<Record<string, number>>
  readonly scene?: Scene | undefined
}

export interface Objective {
  readonly success: number
  readonly retries: number
  readonly openings: number
}

export interface Given {
  readonly kind: Policies.Kind
  /** With all defaults filled in. */
  readonly settings: Settings
  readonly evidence: Evidence
  readonly objective: Objective
  readonly trace: Trace | undefined
  /** The trip policy of a breaker at its defaults. */
  readonly standard: Schema.JsonObject
}

type Rule = (given: Given) => ReadonlyArray<Draft>

// ---------------------------------------------------------------------------------------------------------------------
// Figures in sentences
// ---------------------------------------------------------------------------------------------------------------------

const show = (value: number, digits = 0): string => value.toLocaleString("en", { maximumFractionDigits: digits })

/** Three significant digits. */
const figure = (value: number): string => value.toLocaleString("en", { maximumSignificantDigits: 3 })

export const time = (millis: number): string => (millis >= 1000 ? `${figure(millis / 1000)} s` : `${figure(millis)} ms`)

const percent = (share: number): string => {
  const digits = share > 0.99 || share < 0.01 ? 2 : share > 0.9 || share < 0.1 ? 1 : 0
  return `${show(100 * share, digits)} %`
}

/** A count of some among many: `no`, or `1 of 4,000`. */
const among = (some: number, all: number): string =>
  some < 0.5 ? `none of ${show(all)}` : `${show(some)} of ${show(all)}`

const steps = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10]

/** The next number that people write. */
const round = (value: number): number => {
  if (!(value > 0) || !Number.isFinite(value)) return value
  const scale = 10 ** Math.floor(Math.log10(value))
  const step = steps.find((one) => one * scale >= value * (1 - 1e-9)) ?? 10
  return Number((step * scale).toPrecision(2))
}

// ---------------------------------------------------------------------------------------------------------------------
// Timeout and deadline
// ---------------------------------------------------------------------------------------------------------------------

/** Below this number of good calls the tail of their latencies is not known. */
const enough = 200

/** A timeout that cuts no more good calls than it may, with room for the part of the tail that was not seen. */
const limitOf = ({ evidence: { good }, objective }: Given): number =>
  round(Math.max(good.quantile(objective.success), 2 * good.quantile(0.99)))

const attemptsOf = ({ retry }: Settings): number => (retry?.backoff?.times ?? 0) + 1

const timeout: Rule = (given) => {
  const { evidence, kind, objective, settings, trace } = given
  const { good, hung } = evidence
  const { deadline = Infinity, timeout } = settings
  if (kind !== "Policy" || good.count < enough) return []
  const p99 = good.quantile(0.99)
  const limit = limitOf(given)
  const known = { goodCalls: good.count, p99, hung, attempts: evidence.attempts }
  if (timeout === undefined) {
    if (!Number.isFinite(limit)) return []
    const to = Math.min(limit, deadline)
    const isBounded = deadline < Infinity
    return [
      {
        part: "timeout",
        severity: isBounded ? "info" : "warning",
        found: `no timeout, p99 of good calls ${time(p99)}: ${time(to)} would cut ${among(good.count * (1 - good.within(to)), good.count)} good calls`,
        why: isBounded
          ? `An attempt that hangs uses up the whole deadline of ${time(deadline)}, so that no retry is left.`
          : "A call that hangs holds its fiber, its permit and its caller until the dependency hangs up.",
        change: { option: "timeout", from: null, to },
        evidence: { ...known, cut: 1 - good.within(to) },
        scene: "steady"
      }
    ]
  }
  const share = evidence.attempts === 0 ? 0 : hung / evidence.attempts
  const may = 1 - objective.success
  const cut = 1 - good.within(timeout)
  if (trace === undefined ? share > may && good.above(timeout / 2) >= 0.01 : cut > may && cut * good.count >= 1) {
    const to = Math.min(deadline, trace === undefined ? round(2 * timeout) : limit)
    return [
      {
        part: "timeout",
        severity: "warning",
        found:
          trace === undefined
            ? `timeout ${time(timeout)}, and ${percent(good.above(timeout / 2))} of the good calls take more than half of it: it cut ${among(hung, evidence.attempts)} attempts`
            : `timeout ${time(timeout)}, p99 of good calls ${time(p99)}: it cuts ${among(cut * good.count, good.count)} good calls`,
        why: `At most ${percent(may)} of the good calls may be cut, and latencies that go up to the timeout continue above it.`,
        change: to > timeout ? { option: "timeout", from: timeout, to } : undefined,
        evidence: { ...known, timeout, cut: trace === undefined ? share : cut },
        scene: trace === undefined ? "slow" : "steady"
      }
    ]
  }
  if (!(timeout >= 2 * limit)) return []
  const freed = 1 - limit / timeout
  const held = hung * timeout
  const isHeld = held >= 0.05 * (held + good.count * good.mean)
  const losing = among(good.count * (1 - good.within(limit)), good.count)
  return [
    {
      part: "timeout",
      severity: isHeld ? "warning" : "info",
      found: `timeout ${time(timeout)}, p99 of good calls ${time(p99)}: ${time(limit)} would cut ${losing} good calls and free ${percent(freed)} of the time that hung calls hold`,
      why: isHeld
        ? `${show(hung)} of ${show(evidence.attempts)} attempts hung, and each held its permit and its caller for ${time(timeout)}.`
        : "Hardly any call has hung so far; in an outage each would hold its permit and its caller for the whole timeout.",
      change: { option: "timeout", from: timeout, to: limit },
      evidence: { ...known, timeout, cut: 1 - good.within(limit), freed },
      scene: "steady"
    }
  ]
}

const deadline: Rule = (given) => {
  const { evidence, kind, objective, settings, trace } = given
  const { good } = evidence
  const { deadline, timeout } = settings
  if (kind !== "Policy" || deadline === undefined || good.count < enough) return []
  const found: Array<Draft> = []
  const above = good.above(deadline)
  if (above > 1 - objective.success) {
    found.push({
      part: "deadline",
      severity: "warning",
      found: `deadline ${time(deadline)}, p99 of good calls ${time(good.quantile(0.99))}: it cuts ${among(above * good.count, good.count)} good calls`,
      why: "No other limit can help: either the caller waits longer, or the dependency gets faster.",
      evidence: { deadline, p99: good.quantile(0.99), cut: above, goodCalls: good.count }
    })
  }
  const attempts = attemptsOf(settings)
  if (timeout === undefined || attempts === 1 || deadline >= timeout * attempts) return found
  const limit = limitOf(given)
  const fits = limit < timeout && limit * attempts <= deadline
  const late = evidence.giveUps.deadline + evidence.rejections.DeadlineExceeded
  const share =
    trace === undefined ? late / Math.max(1, evidence.calls) : evidence.hung / Math.max(1, evidence.attempts)
  const fit = Math.floor(deadline / timeout)
  found.push({
    part: "deadline",
    severity: fits && share > 1 - objective.success ? "warning" : "info",
    found: `deadline ${time(deadline)} is shorter than ${attempts} attempts of ${time(timeout)}: there is time for ${fit === 1 ? "1 that hangs" : `${show(fit)} that hang`}`,
    why: fits
      ? `With a timeout of ${time(limit)} all ${attempts} attempts fit, and it cuts ${among(good.count * (1 - good.within(limit)), good.count)} good calls.`
      : "Only failures that come sooner than the timeout get all their retries; good calls need the timeout as it is.",
    change: fits ? { option: "timeout", from: timeout, to: limit } : undefined,
    evidence: { deadline, timeout, attempts, late, calls: evidence.calls },
    scene: "steady"
  })
  return found
}

// ---------------------------------------------------------------------------------------------------------------------
// Breaker
// ---------------------------------------------------------------------------------------------------------------------

const numberOf = (value: Schema.Json | undefined): number | undefined => (typeof value === "number" ? value : undefined)

const partsOf = ({ parts }: Schema.JsonObject): ReadonlyArray<Schema.JsonObject> =>
  Array.isArray(parts) ? parts.filter((part): part is Schema.JsonObject => Predicate.isObject(part)) : []

/** The probability that at least `least` of `count` calls fail, each with probability `failing`. */
const atLeast = (least: number, count: number, failing: number): number => {
  if (failing <= 0) return 0
  if (failing >= 1) return 1
  let term = count * Math.log1p(-failing)
  let sum = least <= 0 ? Math.exp(term) : 0
  for (let k = 1; k <= count; k++) {
    term += Math.log(((count - k + 1) / k) * (failing / (1 - failing)))
    if (k >= least) sum += Math.exp(term)
  }
  return Math.min(1, sum)
}

/** Openings per hour by chance alone, at a share of failures that do not depend on each other. */
const chance = (trip: Schema.JsonObject, rate: number, failing: number): number => {
  const hour = 3600 * rate
  switch (trip.name) {
    case "consecutive": {
      const failures = Math.max(numberOf(trip.failures) ?? 1, 1 + (rate * (numberOf(trip.minDuration) ?? 0)) / 1000)
      return hour * (1 - failing) * failing ** failures
    }
    case "failureRate": {
      const minimum = numberOf(trip.minimumCalls) ?? 1
      const window = numberOf(trip.calls) ?? (rate * (numberOf(trip.window) ?? 0)) / 1000
      // Beyond that the chance is nil, or the failures are the rule.
      const calls = Math.min(2000, Math.floor(window))
      return calls < minimum
        ? 0
        : (hour / calls) * atLeast(Math.ceil((numberOf(trip.threshold) ?? 1) * calls - 1e-9), calls, failing)
    }
    case "slowCallRate":
      return 0
    default: {
      const parts = partsOf(trip).map((part) => chance(part, rate, failing))
      if (parts.length === 0) return 0
      return String(trip.name).startsWith("all") ? Math.min(...parts) : parts.reduce((sum, part) => sum + part, 0)
    }
  }
}

const isMuchBetter = (before: Replayed, after: Replayed | undefined): boolean =>
  after !== undefined && 2 * after.wrong <= before.wrong

const opensTooOften: Rule = ({ evidence, objective, settings, standard, trace }) => {
  const { attempts, failures, keys, openings, replayed, seconds } = evidence
  const trip = settings.breaker?.trip
  if (trip === undefined || seconds === undefined || openings < 3 || attempts < enough) return []
  const hourly = (openings / seconds) * 3600
  const failing = failures / attempts
  if (hourly <= objective.openings || failing >= 0.5) return []
  const known = { openings, openingsPerHour: hourly, failures, attempts }
  const name = String(trip.name)
  if (trace !== undefined) {
    if (replayed === undefined || replayed.wrong < Math.max(1, 0.5 * replayed.rejected)) return []
    const better = isMuchBetter(replayed, replay(trace, settings, standard))
    return [
      {
        part: "breaker",
        severity: "warning",
        found: `the breaker (${name}) would have opened ${show(openings)} times, ${figure(hourly)} times per hour, and ${among(replayed.wrong, replayed.rejected)} calls that it rejects were good`,
        why: `${percent(failing)} of the calls fail, so calling is worth more than not calling.`,
        change: better ? { option: "breaker.trip", from: trip, to: standard } : undefined,
        evidence: { ...known, rejected: replayed.rejected, wronglyRejected: replayed.wrong },
        scene: "steady"
      }
    ]
  }
  const rate = attempts / seconds / Math.max(1, keys.length)
  const expected = chance(trip, rate, failing) * Math.max(1, keys.length)
  // Openings that chance does not explain are those of real faults.
  if (expected < 1) return []
  const better = chance(standard, rate, failing) * Math.max(1, keys.length) <= expected / 10
  return [
    {
      part: "breaker",
      severity: "warning",
      found: `the breaker (${name}) opened ${show(openings)} times, ${figure(hourly)} times per hour, although only ${percent(failing)} of the attempts failed`,
      why: `At this share of failures chance alone opens it ${figure(expected)} times per hour.`,
      change: better ? { option: "breaker.trip", from: trip, to: standard } : undefined,
      evidence: { ...known, expectedPerHour: expected },
      scene: "steady"
    }
  ]
}

/** Fewer calls cannot show that most calls fail. */
const least = 20

/** Where most calls failed: how many of how many, at which rate. */
const failingOf = ({ evidence }: Given, share: number) => {
  const { keys, seconds, worst } = evidence
  if (worst !== undefined) {
    return worst.failures >= share * worst.calls
      ? {
          key: undefined,
          failures: worst.failures,
          calls: worst.calls,
          rate: worst.calls / Math.max(0.001, worst.seconds)
        }
      : undefined
  }
  const [key] = keys
    .filter(({ attempts, failures, openings, overridden }) => {
      return !overridden && openings === 0 && attempts >= least && failures >= share * attempts
    })
    .sort((a, b) => b.failures - a.failures)
  if (key === undefined) return undefined
  return { key: key.key, failures: key.failures, calls: key.attempts, rate: key.attempts / (seconds ?? Infinity) }
}

/** For few calls: a window of ten seconds would never see enough of them. */
const fewCalls = { name: "consecutive", failures: 5, minDuration: 0 }

/** The rate below which the standard trip policy needs minutes. */
const isFew = (rate: number): boolean => rate < 1

const neverOpens: Rule = (given) => {
  const { evidence, settings, standard } = given
  const trip = settings.breaker?.trip
  const failing = failingOf(given, 0.8)
  if (trip === undefined || failing === undefined || evidence.openings > 0) return []
  const parts = partsOf(trip).length === 0 ? [trip] : partsOf(trip)
  const starved = parts.find((part) => {
    const window = numberOf(part.window)
    return window !== undefined && (numberOf(part.minimumCalls) ?? 0) > (failing.rate * window) / 1000
  })
  const where = failing.key === undefined || failing.key === "default" ? "" : ` to ${failing.key}`
  const isStandard = JSON.stringify(trip) === JSON.stringify(standard)
  const to = isFew(failing.rate) || isStandard ? fewCalls : standard
  const window = numberOf(starved?.window) ?? 0
  return [
    {
      part: "breaker",
      severity: "warning",
      found: `${among(failing.failures, failing.calls)} attempts${where} failed, and the breaker (${String(trip.name)}) never opened`,
      why:
        starved === undefined
          ? "Its trip policy did not see enough failures: its threshold, or its number of failures in a row, is too high."
          : `It waits for ${show(numberOf(starved.minimumCalls) ?? 0)} calls in ${time(window)}, which sees about ${figure((failing.rate * window) / 1000)}.`,
      change: { option: "breaker.trip", from: trip, to },
      evidence: { failures: failing.failures, attempts: failing.calls, callsPerSecond: failing.rate },
      scene: "outage"
    }
  ]
}

const noBreaker: Rule = (given) => {
  const { evidence, kind, settings } = given
  if (kind !== "Policy" || settings.breaker !== undefined) return []
  const failing = failingOf(given, 0.8)
  if (failing === undefined && evidence.attempts < enough) return []
  const rate = failing?.rate ?? (evidence.seconds === undefined ? Infinity : evidence.attempts / evidence.seconds)
  return [
    {
      part: "breaker",
      severity: failing === undefined ? "info" : "warning",
      found:
        failing === undefined
          ? `no breaker: ${percent(evidence.failures / evidence.attempts)} of the attempts failed so far`
          : `${among(failing.failures, failing.calls)} attempts failed, and no breaker stopped the calls`,
      why: "Without a breaker every call waits for a dependency that is down, and adds to its load while it recovers.",
      change: { option: "breaker", from: null, to: isFew(rate) ? { trip: fewCalls } : {} },
      evidence: { failures: failing?.failures ?? evidence.failures, attempts: failing?.calls ?? evidence.attempts },
      scene: "outage"
    }
  ]
}

// ---------------------------------------------------------------------------------------------------------------------
// Retry and budget
// ---------------------------------------------------------------------------------------------------------------------

/** The share of retries per call that failures ask for. */
const wantedBy = (failing: number, times: number): number => {
  let sum = 0
  for (let n = 1; n <= Math.min(times, 1000); n++) sum += failing ** n
  return sum
}

const retry: Rule = ({ evidence, kind, objective, settings, trace }) => {
  const { budget } = settings
  const times = settings.retry?.backoff?.times ?? (settings.retry === undefined ? 0 : 1)
  if (kind !== "Policy" || times === 0 || evidence.calls < enough || typeof budget === "string") return []
  const { worst } = evidence
  const rate = evidence.seconds === undefined ? undefined : evidence.calls / evidence.seconds
  const perSecond = budget?.minPerSecond ?? 0
  const paid = budget === undefined ? Infinity : (budget.ratio ?? 0) + (rate === undefined ? 0 : perSecond / rate)
  const perCall =
    trace === undefined
      ? evidence.retries / evidence.calls
      : Math.min(paid, wantedBy(worst === undefined ? 0 : worst.failures / worst.calls, times))
  const isMany = perCall > objective.retries * 1.05
  const spike = `retries still spike: ${figure(perCall)} per call${trace === undefined ? "" : " at the worst time"}`
  const known = { retriesPerCall: perCall, calls: evidence.calls, times }
  if (budget === undefined) {
    return [
      {
        part: "retry",
        severity: isMany ? "warning" : "info",
        found: isMany
          ? `${spike}, and no budget limits them`
          : `no budget limits the retries: ${figure(perCall)} per call so far`,
        why: `In an outage every call makes ${show(times + 1)} attempts, and this load keeps the dependency down.`,
        change: { option: "budget", from: null, to: { ratio: 0.2 } },
        evidence: known,
        scene: "overload"
      }
    ]
  }
  if (!isMany) return []
  const ratio = budget.ratio ?? 0
  const isRatio = ratio > objective.retries
  const isFloor = rate !== undefined && perSecond / rate > objective.retries
  return [
    {
      part: "retry",
      severity: isRatio || isFloor ? "warning" : "info",
      found: isRatio
        ? `${spike}, which the budget's ratio of ${figure(ratio)} allows`
        : isFloor
          ? `${spike}: the budget pays ${figure(perSecond)} retries per second whatever happens, and there are ${figure(rate)} calls per second`
          : `${spike}, from the ${String(budget.capacity ?? 0)} tokens that the budget begins with`,
      why:
        isRatio || isFloor
          ? `A dependency that fails gets ${percent(Math.min(paid, times))} more load; up to ${percent(objective.retries)} is usual.`
          : "With more calls the capacity no longer counts.",
      change: isRatio
        ? { option: "budget.ratio", from: ratio, to: objective.retries }
        : isFloor
          ? { option: "budget.minPerSecond", from: perSecond, to: 0 }
          : undefined,
      evidence: { ...known, ratio, minPerSecond: perSecond },
      scene: "overload"
    }
  ]
}

const budget: Rule = ({ evidence, kind, objective, settings, trace }) => {
  const { budget } = settings
  if (budget === undefined || typeof budget === "string" || evidence.calls < enough) return []
  const { attempts, calls, failures, giveUps, hung, retries, seconds } = evidence
  const ratio = budget.ratio ?? 0
  const priced = budget.timeoutCost ?? 1
  const timeoutCost = priced === "Infinity" ? Infinity : priced
  // Failures that ask for a retry, per call. A budget alone does not know its attempts.
  const alone = kind === "RetryBudget"
  const errors = alone ? (retries + giveUps.budget) / calls : Math.max(0, failures - hung) / calls
  const hangs = alone ? 0 : hung / calls
  const needed = errors + (hangs === 0 || timeoutCost === Infinity ? 0 : hangs * timeoutCost)
  const paid = ratio + (seconds === undefined ? 0 : ((budget.minPerSecond ?? 0) * seconds) / calls)
  const refused =
    trace === undefined
      ? giveUps.budget / Math.max(1, retries + giveUps.budget)
      : settings.retry?.backoff?.times === 0 || needed === 0
        ? 0
        : 1 - Math.min(1, paid / needed)
  if (refused < 0.3 || (trace === undefined && giveUps.budget < 10)) return []
  const failing = alone || attempts === 0 ? 0 : failures / attempts
  const known = { refused, calls, ratio, failing, neededPerCall: needed }
  const found =
    trace === undefined
      ? `the budget refused ${among(giveUps.budget, retries + giveUps.budget)} retries`
      : `the budget would refuse about ${percent(refused)} of the retries`
  if (failing >= 0.5) {
    return [
      {
        part: "budget",
        severity: "info",
        found: `${found} while ${percent(failing)} of the attempts failed`,
        why: "A budget is there for that: more retries would only add load to a dependency that fails.",
        evidence: known
      }
    ]
  }
  const cost = hangs === 0 ? timeoutCost : Math.floor((ratio - errors * 1.2) / hangs)
  const ratioTo = Math.ceil(needed * 120) / 100
  const change: Change | undefined =
    hangs * timeoutCost > errors && cost >= 1 && cost < timeoutCost && timeoutCost < Infinity
      ? { option: "budget.timeoutCost", from: timeoutCost, to: cost }
      : ratioTo > ratio && ratioTo <= objective.retries
        ? { option: "budget.ratio", from: ratio, to: ratioTo }
        : undefined
  return [
    {
      part: "budget",
      severity: "warning",
      found: `${found}, although only ${percent(alone ? Math.min(1, needed) : failing)} of the ${alone ? "calls wanted one" : "attempts failed"}: it is never enough`,
      why:
        change === undefined
          ? `The failures ask for ${figure(needed)} tokens per call, which is more than a budget should pay: the dependency is at fault, not the budget.`
          : change.option === "budget.ratio"
            ? `The failures ask for ${figure(needed)} tokens per call, and a call pays ${figure(ratio)}.`
            : `A retry after a timeout costs ${figure(timeoutCost)} tokens, and ${percent(hangs)} of the calls run into one. A dependency that is always busy needs the high price.`,
      change,
      evidence: known,
      scene: "steady"
    }
  ]
}

// ---------------------------------------------------------------------------------------------------------------------
// Bulkhead and keys
// ---------------------------------------------------------------------------------------------------------------------

const bulkhead: Rule = (given) => {
  const { evidence, kind, objective, settings } = given
  const { bulkhead, timeout } = settings
  const { attempts, busiest, calls, good, hung, rejections } = evidence
  if (kind !== "Policy" || bulkhead === undefined || good.count < enough) return []
  const { maxConcurrent } = bulkhead
  const rejected = rejections.BulkheadFull / calls
  const isFull = rejected > 1 - objective.success && rejections.BulkheadFull >= 3
  const known = { maxConcurrent, rejected: rejections.BulkheadFull, calls }
  if (busiest === undefined) {
    return isFull
      ? [
          {
            part: "bulkhead",
            severity: "info",
            found: `the bulkhead of ${show(maxConcurrent)} permits rejected ${among(rejections.BulkheadFull, calls)} calls`,
            why: "The rate of the calls is not known: give `over`, the time that the counts cover.",
            evidence: known
          }
        ]
      : []
  }
  const share = attempts === 0 ? 0 : hung / attempts
  const healthy = (busiest * good.mean) / 1000
  // A call that hangs counts as long as a timeout that fits would let it: more permits are no cure for a long timeout.
  const hangs = Math.min(timeout ?? Infinity, limitOf(given))
  const inFlight = healthy * (1 - share) + (share > 0 && hangs < Infinity ? (share * busiest * hangs) / 1000 : 0)
  const permits = permitsFor(inFlight)
  const law = `${figure(busiest)} calls per second of ${time(good.mean)} keep ${figure(healthy)} in flight`
  const figures = { ...known, callsPerSecond: busiest, meanMillis: good.mean, inFlight, permits }
  if (isFull) {
    const isSmall = permits > maxConcurrent
    return [
      {
        part: "bulkhead",
        severity: isSmall ? "warning" : "info",
        found: `the bulkhead of ${show(maxConcurrent)} permits rejected ${among(rejections.BulkheadFull, calls)} calls`,
        why: isSmall
          ? `By Little's law ${law}${share > 0.001 ? ` and, with those that hang, ${figure(inFlight)}` : ""}: ${show(permits)} permits leave room for chance.`
          : `By Little's law ${law}, so the permits are enough on average: calls come in bursts, or were slow for a time.`,
        change: isSmall ? { option: "bulkhead.maxConcurrent", from: maxConcurrent, to: permits } : undefined,
        evidence: figures,
        scene: "steady"
      }
    ]
  }
  // Nothing that was measured may be rejected by fewer permits: retries, and what hangs for the present timeout.
  const perCall = Math.max(1, attempts / Math.max(1, calls))
  const held = perCall * busiest * ((good.mean * (1 - share) + share * (timeout ?? patience)) / 1000)
  const to = Math.max(permitsFor(held), Math.ceil(4 * held))
  if (maxConcurrent <= 10 * permits || to >= maxConcurrent) return []
  return [
    {
      part: "bulkhead",
      severity: "info",
      found: `the bulkhead has ${show(maxConcurrent)} permits, and ${law}`,
      why: `It would limit nothing in an outage: ${show(to)} permits are enough for a healthy day.`,
      change: { option: "bulkhead.maxConcurrent", from: maxConcurrent, to },
      evidence: figures,
      scene: "steady"
    }
  ]
}

const keys: Rule = ({ evidence, settings }) => {
  const { calls, evicted, keys, overflowed } = evidence
  const maxKeys = settings.keys?.maxKeys
  if (maxKeys === undefined || calls < enough) return []
  const live = keys.length
  const known = { keys: live, maxKeys, evictedCalls: evicted, overflowedCalls: overflowed, calls }
  // Fewer calls per key than any breaker needs: such keys name requests.
  const isPerCall = live + (evicted > 0 ? live : 0) > 100 && calls / Math.max(1, live) < 5 && evicted > 0.5 * calls
  if (overflowed === 0 && (evicted === 0 || live < 0.9 * maxKeys)) return []
  return [
    {
      part: "keys",
      severity: "warning",
      found:
        overflowed > 0
          ? `${among(overflowed, calls)} calls shared the state of the key "(overflow)": more than ${show(maxKeys)} keys are in use`
          : `${show(live)} of ${show(maxKeys)} keys are in use, and ${among(evicted, calls)} calls were to keys that are no longer kept`,
      why: isPerCall
        ? "A key has hardly any calls: use as key what fails on its own (a host, a shard, a tenant), not a request or a user."
        : "A key that is not kept forgets its failures, and keys that share a state open each other's circuit.",
      change: isPerCall ? undefined : { option: "keys.maxKeys", from: maxKeys, to: 2 * maxKeys },
      evidence: known
    }
  ]
}

// ---------------------------------------------------------------------------------------------------------------------

const notEnough: Rule = ({ evidence, kind }) => {
  const calls = Math.max(evidence.calls, evidence.attempts)
  const { count } = evidence.good
  const isFew = calls < enough || (kind === "Policy" && count < enough)
  return isFew
    ? [
        {
          part: "policy",
          severity: "info",
          found: `not enough calls yet: ${show(calls)} calls, ${show(count)} of them good; advice needs ${show(enough)} good calls`,
          why: "Figures of few calls say little about the calls to come.",
          evidence: { calls, goodCalls: count }
        }
      ]
    : []
}

const rules: ReadonlyArray<Rule> = [
  timeout,
  deadline,
  opensTooOften,
  neverOpens,
  noBreaker,
  retry,
  budget,
  bulkhead,
  keys,
  notEnough
]

/** What the rules find, warnings first. */
export const apply = (given: Given): ReadonlyArray<Draft> => {
  const found = rules.flatMap((rule) => rule(given))
  return [
    ...found.filter(({ severity }) => severity === "warning"),
    ...found.filter(({ severity }) => severity === "info")
  ]
}
