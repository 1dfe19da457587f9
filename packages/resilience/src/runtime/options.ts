/**
 * Checks of option values. A bad value is a `RangeError` at construction that names module, policy, field, allowed range and
 * the value: `CircuitBreaker app/Users: probes.permitted must be an integer >= 1, got 0`. What has no name is told by its module:
 * `TripPolicy.failureRate: threshold must be in (0, 1], got 2`.
 */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { attempt, read } from "./read.ts"

export const invalid = (where: string, field: string, range: string, value: unknown): never => {
  throw new RangeError(`${where}: ${field} must be ${range}, got ${Formatter.format(value)}`)
}

/** Where an error is: a module and the name of a policy. */
export const named = (module: string, name: string): string => `${module} ${name}`

/** The same, for what has its name among its options, if it has one: a wrong name is told later. */
export const namedBy = (module: string, options: unknown): string => {
  const name = read(options, "name")
  return typeof name === "string" && name !== "" ? named(module, name) : module
}

/** A part of a module, or one of its functions: `Policy.breaker app/Payments`. */
export const inside = (where: string, part: string): string => {
  const end = where.indexOf(" ")
  return end < 0 ? `${where}.${part}` : `${where.slice(0, end)}.${part}${where.slice(end)}`
}

/** The value of an option, or its default. Only `undefined` is an option left out: `null` is a mistake. */
export const orDefault = <A>(value: A | undefined, otherwise: A): A => (value === undefined ? otherwise : value)

/**
 * The names in an object of options; `undefined` if it is none. A promise, a date or a map has no names of its own either, but
 * is no empty object of options: it is one only if its class defines an option.
 */
const optionsGiven = (options: unknown, names: ReadonlyArray<string>): ReadonlyArray<string> | undefined => {
  if (typeof options !== "object" || options === null || Array.isArray(options)) return undefined
  const given = Object.keys(options)
  if (given.length > 0) return given
  const prototype = Object.getPrototypeOf(options)
  const isPlain = prototype === null || Object.getPrototypeOf(prototype) === null
  return isPlain || (!(options instanceof Map) && names.some((name) => name in options)) ? given : undefined
}

/** Refuses what is no object, before its members are read. */
export const object = (where: string, options: unknown): void => {
  if (typeof options !== "object" || options === null) invalid(where, "options", "an object", options)
}

/** As `Schedule.isSchedule`, of a value that may throw when it is read. */
export const isSchedule = (value: unknown): value is Schedule.Schedule<unknown, never, unknown, unknown> =>
  attempt(() => Schedule.isSchedule(value), false)

/** Refuses what is no object of options, and names that are no options: for plain JavaScript, which no compiler checks. */
export const noUnknown = (where: string, options: unknown, names: ReadonlyArray<string>): void => {
  const given = attempt(() => optionsGiven(options, names), undefined)
  if (given === undefined) throw new RangeError(`${where}: options must be an object, got ${Formatter.format(options)}`)
  for (const name of given) {
    if (!names.includes(name))
      throw new RangeError(`${where}: there is no option ${name}; there are ${names.join(", ")}`)
  }
}

/** The options of a classification, which several policies have among their own. */
export const classificationNames = ["failures", "ignore", "others", "throttled", "failWhen", "classify"]

/** A number in (0, 1]. */
export const ratio = (where: string, field: string, value: number): number =>
  typeof value === "number" && value > 0 && value <= 1 ? value : invalid(where, field, "in (0, 1]", value)

/** A number in `[least, most]`. */
export const inRange = (where: string, field: string, value: number, least: number, most: number): number =>
  typeof value === "number" && value >= least && value <= most
    ? value
    : invalid(where, field, most === Infinity ? `a number >= ${least}` : `in [${least}, ${most}]`, value)

export const integer = (where: string, field: string, value: number, least: number, most = Infinity): number =>
  Number.isInteger(value) && value >= least && value <= most
    ? value
    : invalid(where, field, most === Infinity ? `an integer >= ${least}` : `an integer in [${least}, ${most}]`, value)

export const nonEmpty = (where: string, field: string, value: string): string =>
  typeof value === "string" && value.length > 0 ? value : invalid(where, field, "a non-empty string", value)

/** The key of a call or of a command. */
export const key = (where: string, value: string): string =>
  typeof value === "string" ? value : invalid(where, "key", "a string", value)

interface DurationRange {
  /** Whether zero is allowed. Default: `false`. */
  readonly zero?: boolean
  /** Whether infinity is allowed. Default: `false`. */
  readonly infinite?: boolean
  /** What is allowed, if it is not a duration only. */
  readonly allowed?: string
}

const units = ["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"]

/** Is this one of what `Duration.fromInput` silently reads as zero: NaN, or an object without a unit such as `{ millis: 5 }`? */
const isNoDuration = (value: unknown): boolean => {
  if (typeof value === "number") return Number.isNaN(value)
  if (typeof value !== "object" || value === null || Duration.isDuration(value)) return false
  if (Array.isArray(value)) return value.some(Number.isNaN)
  // `in`, because a `Temporal.Duration` has its units on the prototype.
  const given = units.filter((unit) => unit in value)
  const isNumber = (unit: string): boolean => {
    const amount = (value as Record<string, unknown>)[unit]
    return amount === undefined || (typeof amount === "number" && !Number.isNaN(amount))
  }
  return given.length === 0 || !given.every(isNumber) || !Object.keys(value).every((name) => units.includes(name))
}

const decodedMillis = (value: Duration.Input): number =>
  Option.match(Duration.fromInput(value), { onNone: () => NaN, onSome: Duration.toMillis })

/** The milliseconds of what a function of the user's returned; `undefined` if it is no duration, or below zero. */
export const millisIfAny = (value: unknown): number | undefined => {
  const found = attempt(() => (isNoDuration(value) ? NaN : decodedMillis(value as Duration.Input)), NaN)
  return found >= 0 ? found : undefined
}

/** A duration in milliseconds. */
export const millis = (where: string, field: string, value: Duration.Input, range: DurationRange = {}): number => {
  const finite = range.infinite === true ? "a duration" : "a finite duration"
  const allowed = `${finite} ${range.zero === true ? "of zero or more" : "above zero"}, such as "5 seconds"`
  const result = attempt(() => (isNoDuration(value) ? NaN : decodedMillis(value)), NaN)
  const ok = (result > 0 || (result === 0 && range.zero === true)) && (result < Infinity || range.infinite === true)
  return ok ? result : invalid(where, field, range.allowed ?? allowed, value)
}

const hasFunctions = (value: unknown, names: ReadonlyArray<string>): boolean =>
  names.every((name) => typeof read(value, name) === "function")

/** Is this an `async` function? Transpiled ones and functions that return a promise cannot be told. */
const isAsync = (value: unknown): boolean =>
  typeof value === "function" &&
  attempt(() => /^Async/.test(String((value as { readonly [Symbol.toStringTag]?: string })[Symbol.toStringTag])), false)

/**
 * A function of the user's; `what` says what it returns. An `async` one is refused, because it returns a promise whatever is in
 * it: a promise is always truthy, and no effect.
 */
export const callback = (where: string, field: string, what: string, value: unknown): void => {
  if (typeof value !== "function") invalid(where, field, what, value)
  if (isAsync(value)) throw new RangeError(`${where}: ${field} must be ${what}, got an async function`)
}

export const predicate = "a function that returns true or false"

const functionIfGiven = (where: string, field: string, what: string, value: unknown): void => {
  if (value !== undefined) callback(where, field, what, value)
}

const tripFunctions = ["initial", "record", "trips", "figures"]

/** A trip policy, and not a function that returns one. */
export const tripPolicy = <T>(where: string, field: string, value: T): T => {
  if (!hasFunctions(value, tripFunctions)) {
    return invalid(where, field, "a TripPolicy, such as TripPolicy.consecutive(5)", value)
  }
  // Only whether they are functions is read.
  const { adopt, fromJson, probeFailed, toJson, trippedBy } = value as { readonly [name: string]: unknown }
  for (const name of tripFunctions) callback(where, `${field}.${name}`, "a function", read(value, name))
  functionIfGiven(where, `${field}.probeFailed`, predicate, probeFailed)
  functionIfGiven(where, `${field}.trippedBy`, "a function that returns names", trippedBy)
  functionIfGiven(where, `${field}.adopt`, "a function that returns a state", adopt)
  functionIfGiven(where, `${field}.toJson`, "a function that returns data", toJson)
  functionIfGiven(where, `${field}.fromJson`, "a function that returns a state", fromJson)
  return value
}

const tagsIfGiven = (where: string, field: string, value: unknown): void => {
  const isTags = (): boolean => Array.isArray(value) && value.every((tag) => typeof tag === "string")
  if (value === undefined || attempt(isTags, false)) return
  invalid(where, field, "an array of tags", value)
}

const oneOfIfGiven = (where: string, field: string, value: unknown, names: ReadonlyArray<string>): void => {
  if (value === undefined || names.includes(value as string)) return
  invalid(where, field, names.map((name) => `"${name}"`).join(" or "), value)
}

/** The options of a classification. */
export const classification = (
  where: string,
  value: {
    readonly failures?: unknown
    readonly ignore?: unknown
    readonly others?: unknown
    readonly throttled?: unknown
    readonly failWhen?: unknown
    readonly classify?: unknown
  }
): void => {
  object(where, value)
  tagsIfGiven(where, "failures", value.failures)
  tagsIfGiven(where, "ignore", value.ignore)
  oneOfIfGiven(where, "others", value.others, ["success", "ignored"])
  oneOfIfGiven(where, "throttled", value.throttled, ["ignored", "failure"])
  functionIfGiven(where, "failWhen", predicate, value.failWhen)
  functionIfGiven(where, "classify", 'a function that returns "success", "failure" or "ignored"', value.classify)
}
