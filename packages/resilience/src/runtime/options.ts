/**
 * Checks of option values. A bad value is a `RangeError` at construction that names module, field, allowed range and
 * the value: `TripPolicy.failureRate: threshold must be in (0, 1], got 2`.
 */
import * as Duration from "effect/Duration"
import * as Formatter from "effect/Formatter"
import * as Option from "effect/Option"

export const invalid = (where: string, field: string, range: string, value: unknown): never => {
  throw new RangeError(`${where}: ${field} must be ${range}, got ${Formatter.format(value)}`)
}

/** Refuses what is no object of options, and names that are no options: for plain JavaScript, which no compiler checks. */
export const noUnknown = (where: string, options: unknown, names: ReadonlyArray<string>): void => {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new RangeError(`${where}: options must be an object, got ${Formatter.format(options)}`)
  }
  for (const name of Object.keys(options)) {
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

/** A duration in milliseconds. */
export const millis = (where: string, field: string, value: Duration.Input, range: DurationRange = {}): number => {
  const finite = range.infinite === true ? "a duration" : "a finite duration"
  const allowed = `${finite} ${range.zero === true ? "of zero or more" : "above zero"}, such as "5 seconds"`
  const decoded = isNoDuration(value) ? undefined : Option.getOrUndefined(Duration.fromInput(value))
  const result = decoded === undefined ? NaN : Duration.toMillis(decoded)
  const ok = (result > 0 || (result === 0 && range.zero === true)) && (result < Infinity || range.infinite === true)
  return ok ? result : invalid(where, field, allowed, value)
}

const hasFunctions = (value: unknown, names: ReadonlyArray<string>): boolean =>
  typeof value === "object" &&
  value !== null &&
  names.every((name) => typeof (value as Record<string, unknown>)[name] === "function")

const functionIfGiven = (where: string, field: string, value: unknown): void => {
  if (value !== undefined && typeof value !== "function") invalid(where, field, "a function", value)
}

/** A trip policy, and not a function that returns one. */
export const tripPolicy = <T>(where: string, field: string, value: T): T => {
  if (!hasFunctions(value, ["initial", "record", "trips", "figures"])) {
    return invalid(where, field, "a TripPolicy, such as TripPolicy.consecutive(5)", value)
  }
  const { probeFailed, trippedBy } = value as { readonly probeFailed?: unknown; readonly trippedBy?: unknown }
  functionIfGiven(where, `${field}.probeFailed`, probeFailed)
  functionIfGiven(where, `${field}.trippedBy`, trippedBy)
  return value
}

const tagsIfGiven = (where: string, field: string, value: unknown): void => {
  if (value === undefined || (Array.isArray(value) && value.every((tag) => typeof tag === "string"))) return
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
  tagsIfGiven(where, "failures", value.failures)
  tagsIfGiven(where, "ignore", value.ignore)
  oneOfIfGiven(where, "others", value.others, ["success", "ignored"])
  oneOfIfGiven(where, "throttled", value.throttled, ["ignored", "failure"])
  functionIfGiven(where, "failWhen", value.failWhen)
  functionIfGiven(where, "classify", value.classify)
}
