/** Trip policies as values: from those of `Config` and of `control.set`, and to JSON. */
import * as Duration from "effect/Duration"
import type * as Schema from "effect/Schema"
import * as Check from "../runtime/options.ts"
import { has, isObject } from "../runtime/read.ts"
import * as TripPolicy from "../TripPolicy.ts"

type Values = Readonly<Record<string, unknown>>

const where = "TripPolicy"

const types = ["consecutive", "failureRate", "slowCallRate", "any", "all"]

const rateNames = ["threshold", "window", "calls", "minimumCalls"]

/** The options of each constructor. */
const optionNames: Readonly<Record<string, ReadonlyArray<string>>> = {
  consecutive: ["failures", "minDuration", "forgetAfter"],
  failureRate: rateNames,
  slowCallRate: ["slowerThan", ...rateNames]
}

/** The options of all of them. */
const numberNames = Array.from(new Set(Object.values(optionNames).flat()))

/**
 * A trip policy from values: one as it is, one by its `type` and options, a combination by its `type` and `policies`, or without a
 * `type` the one before with other numbers.
 */
export const fromValues = (values: unknown, before: TripPolicy.TripPolicy): TripPolicy.TripPolicy => {
  if (has(values, "trips")) return values as TripPolicy.TripPolicy
  if (!isObject(values)) return Check.invalid(where, "trip", "a trip policy, or its type and options", values)
  const { type, ...options } = values as { readonly type?: unknown } & Values
  if (type === undefined) return withNumbers(before, options)
  // The constructors check the options.
  const given = options as never
  switch (type) {
    case "consecutive": {
      const { failures, ...rest } = options
      return TripPolicy.consecutive(failures as number, rest) as TripPolicy.TripPolicy
    }
    case "failureRate":
      return TripPolicy.failureRate(given)
    case "slowCallRate":
      return TripPolicy.slowCallRate(given)
    case "any":
    case "all": {
      Check.noUnknown(`${where}.${type}`, options, ["policies"])
      const { policies } = options
      if (!Array.isArray(policies)) return Check.invalid(`${where}.${type}`, "policies", "an array", policies)
      return combine(
        type === "any" ? "any" : "all",
        policies.map((one: unknown) => fromValues(one, before))
      )
    }
    default:
      return Check.invalid(where, "type", `one of ${types.join(", ")}`, type)
  }
}

const combine = (type: "any" | "all", policies: ReadonlyArray<TripPolicy.TripPolicy>): TripPolicy.TripPolicy =>
  type === "any" ? TripPolicy.any(...policies) : TripPolicy.all(...policies)

/** The policy with other numbers: each belongs to the one part that has an option of its name. */
const withNumbers = (policy: TripPolicy.TripPolicy, numbers: Values): TripPolicy.TripPolicy => {
  Check.noUnknown(where, numbers, ["type", ...numberNames])
  const given = Object.keys(numbers).filter((name) => numbers[name] !== undefined)
  for (const name of given) {
    const owners = leavesOf(policy).filter((leaf) => ownsNumber(leaf, name)).length
    if (owners === 1) continue
    const found = owners === 0 ? "no part of it has this number" : `${owners} parts of it have this number`
    throw new RangeError(
      `${where}: ${name} cannot be set on ${policy.name}: ${found}: give the trip policy with its type`
    )
  }
  return given.length === 0 ? policy : rebuild(policy, Object.fromEntries(given.map((name) => [name, numbers[name]])))
}

const leavesOf = (policy: TripPolicy.TripPolicy): ReadonlyArray<TripPolicy.TripPolicy> => {
  const made = TripPolicy.builtIn(policy)
  return made !== undefined && "policies" in made ? made.policies.flatMap(leavesOf) : [policy]
}

const ownsNumber = (leaf: TripPolicy.TripPolicy, name: string): boolean =>
  optionNames[TripPolicy.builtIn(leaf)?.type ?? ""]?.includes(name) === true

const rebuild = (policy: TripPolicy.TripPolicy, numbers: Values): TripPolicy.TripPolicy => {
  const made = TripPolicy.builtIn(policy)
  if (made === undefined) return policy
  if ("policies" in made)
    return combine(
      made.type,
      made.policies.map((part) => rebuild(part, numbers))
    )
  const own = Object.entries(numbers).filter(([name]) => ownsNumber(policy, name))
  if (own.length === 0) return policy
  const { calls, window, ...rest } = made.options as Values
  // A window of calls replaces one of time, and the other way round.
  const span = "calls" in numbers || "window" in numbers ? {} : { calls, window }
  const options = Object.entries({ ...rest, ...span, ...Object.fromEntries(own) })
  const given = Object.fromEntries(options.filter(([, value]) => value !== undefined))
  return fromValues({ type: made.type, ...given }, policy)
}

/** The values of a trip policy as JSON, durations in milliseconds: what {@link fromValues} takes. One of the user's has its name only. */
export const toJson = (values: unknown): Schema.Json => {
  if (!has(values, "trips")) return isObject(values) ? jsonOf(values as Values) : null
  // A trip policy, which `resolve` has checked.
  const policy = values as TripPolicy.TripPolicy
  const made = TripPolicy.builtIn(policy)
  if (made === undefined) return { type: "custom", name: policy.name }
  return "policies" in made
    ? { type: made.type, policies: made.policies.map(toJson) }
    : { type: made.type, ...made.options }
}

const jsonOf = (values: Values): Schema.JsonObject =>
  Object.fromEntries(
    Object.entries(values).flatMap(([name, value]): ReadonlyArray<[string, Schema.Json]> => {
      if (value === undefined) return []
      if (name === "policies" && Array.isArray(value)) return [[name, value.map(toJson)]]
      if (typeof value === "number") return [[name, value]]
      if (name === "type") return [[name, String(value)]]
      return [[name, Duration.toMillis(Duration.fromInputUnsafe(value as Duration.Input))]]
    })
  )
