/** The parts of a policy, read from its settings as JSON: the same for a whole policy and for a single one. */
import type * as Schema from "effect/Schema"
import type { Kind } from "../../engine/instances.ts"
import { isObject } from "../../runtime/read.ts"
import { span } from "./promql.ts"

/** What health, alerts and dashboards need to know of the settings. Durations are in milliseconds. */
export interface Parts {
  readonly breaker:
    | {
        /** The trip policy in words, with its settings. */
        readonly trip: string
        /** The open time in words. */
        readonly openFor: string
        readonly failureRate: number | undefined
      }
    | undefined
  readonly bulkhead: { readonly maxConcurrent: number; readonly maxQueued: number } | undefined
  readonly rateLimit: { readonly limit: number; readonly window: number; readonly burst: number } | undefined
  readonly retry: boolean
  /** A budget with its capacity, or the name of the service that several policies share. */
  readonly budget: { readonly capacity: number | undefined; readonly shared: string | undefined } | undefined
  /** What a fleet shares, in words, with the permits of the fleet and its calls per second. */
  readonly shared:
    | {
        readonly what: string
        readonly breaker: boolean
        readonly permits: number | undefined
        readonly rate: number | undefined
      }
    | undefined
  readonly timeout: number | undefined
  readonly deadline: number | undefined
}

export interface Described {
  readonly kind: Kind
  readonly settings: Schema.JsonObject
}

const recordOf = (value: Schema.Json | undefined): Schema.JsonObject | undefined =>
  isObject(value) && !Array.isArray(value) ? (value as Schema.JsonObject) : undefined // JSON's objects, without arrays

const numberOf = (value: Schema.Json | undefined): number | undefined => (typeof value === "number" ? value : undefined)

/** The failure rate of a trip policy, or of the first of its parts that has one. */
const failureRateOf = (trip: Schema.JsonObject | undefined): number | undefined => {
  if (trip === undefined) return undefined
  if (trip["name"] === "failureRate") return numberOf(trip["threshold"])
  const parts = trip["parts"]
  if (!Array.isArray(parts)) return undefined
  const rates = parts.map((part) => failureRateOf(recordOf(part)))
  return rates.find((rate) => rate !== undefined)
}

/** Fields of trip policies that are durations, in milliseconds. */
const durations = ["window", "minDuration", "forgetAfter", "slowerThan"]

const describeField = (name: string, value: Schema.Json | undefined): string =>
  typeof value === "number" && durations.includes(name) ? `${name} ${span(value)}` : `${name} ${String(value)}`

/** `failureRate (threshold 0.8, window 10s, minimumCalls 20)`. */
const describeTrip = (trip: Schema.JsonObject | undefined): string => {
  const { name, parts, ...settings } = trip ?? {}
  if (typeof name !== "string") return "custom"
  if (Array.isArray(parts)) {
    // The name of a combination repeats the names of its parts: `any(failureRate,consecutive)`.
    return `${name.split("(")[0]} of ${parts.map((part) => describeTrip(recordOf(part))).join(" and ")}`
  }
  const fields = Object.entries(settings).filter(([, value]) => typeof value !== "object")
  return fields.length === 0
    ? name
    : `${name} (${fields.map(([field, value]) => describeField(field, value)).join(", ")})`
}

const describeOpenFor = (openFor: Schema.Json | undefined): string => {
  const settings = recordOf(openFor)
  const initial = numberOf(settings?.["initial"])
  if (initial === undefined) return "by a schedule"
  const max = numberOf(settings?.["max"])
  const grows = settings?.["factor"] !== 1 && max !== undefined && max !== initial
  return grows ? `${span(initial)}, growing to ${span(max)}` : span(initial)
}

const breakerOf = (breaker: Schema.JsonObject | undefined): Parts["breaker"] => {
  if (breaker === undefined) return undefined
  const trip = recordOf(breaker["trip"])
  return { trip: describeTrip(trip), openFor: describeOpenFor(breaker["openFor"]), failureRate: failureRateOf(trip) }
}

/** What an adaptive policy has in the place of a breaker. */
const pacingOf = (adaptive: Schema.Json | undefined): Parts["breaker"] =>
  adaptive === undefined
    ? undefined
    : { trip: "adaptive", openFor: "paced, with gaps that grow with the outage", failureRate: undefined }

const bulkheadOf = (bulkhead: Schema.JsonObject | undefined): Parts["bulkhead"] => {
  const maxConcurrent = numberOf(bulkhead?.["maxConcurrent"])
  if (maxConcurrent === undefined) return undefined
  return { maxConcurrent, maxQueued: numberOf(bulkhead?.["maxQueued"]) ?? 0 }
}

const rateLimitOf = (rateLimit: Schema.JsonObject | undefined): Parts["rateLimit"] => {
  const [limit, window, burst] = ["limit", "window", "burst"].map((field) => numberOf(rateLimit?.[field]))
  return limit === undefined || window === undefined ? undefined : { limit, window, burst: burst ?? limit }
}

const budgetOf = (budget: Schema.Json | undefined): Parts["budget"] => {
  if (typeof budget === "string") return { capacity: undefined, shared: budget }
  const settings = recordOf(budget)
  return settings && { capacity: numberOf(settings["capacity"]), shared: undefined }
}

const sharedOf = (shared: Schema.JsonObject | undefined, rateLimit: Parts["rateLimit"]): Parts["shared"] => {
  if (shared === undefined) return undefined
  const [permits, calls] = ["bulkhead", "rateLimit"].map((part) => numberOf(recordOf(shared[part])?.["fleet"]))
  const rate = calls === undefined || rateLimit === undefined ? undefined : (calls * 1000) / rateLimit.window
  const what = [
    ...(shared["breaker"] === undefined ? [] : ["openings and probes"]),
    ...(shared["budget"] === true ? ["the floor of the budget"] : []),
    ...(permits === undefined ? [] : [`${permits} permits`]),
    ...(rate === undefined ? [] : [`${rate} calls a second`]),
    "commands"
  ]
  return { what: what.join("; "), breaker: shared["breaker"] !== undefined, permits, rate }
}

const none: Parts = {
  breaker: undefined,
  bulkhead: undefined,
  rateLimit: undefined,
  retry: false,
  budget: undefined,
  shared: undefined,
  timeout: undefined,
  deadline: undefined
}

export const partsOf = ({ kind, settings }: Described): Parts => {
  switch (kind) {
    case "Policy":
      return {
        breaker: breakerOf(recordOf(settings["breaker"])) ?? pacingOf(settings["adaptive"]),
        bulkhead: bulkheadOf(recordOf(settings["bulkhead"])),
        rateLimit: rateLimitOf(recordOf(settings["rateLimit"])),
        retry: settings["retry"] !== undefined,
        budget: budgetOf(settings["budget"]),
        shared: sharedOf(recordOf(settings["shared"]), rateLimitOf(recordOf(settings["rateLimit"]))),
        timeout: numberOf(settings["timeout"]),
        deadline: numberOf(settings["deadline"])
      }
    case "CircuitBreaker":
      return { ...none, breaker: breakerOf(settings) }
    case "Bulkhead":
      return { ...none, bulkhead: bulkheadOf(settings) }
    case "RateLimit":
      return { ...none, rateLimit: rateLimitOf(settings) }
    case "RetryBudget":
      return { ...none, budget: budgetOf(settings) }
    case "StaleFallback":
    case "TokenBudget":
    case "Fuse":
      return none
  }
}
