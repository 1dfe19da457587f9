/**
 * Carries what a call inherits from its caller over a transport: the remaining time, the criticality, the number of the attempt,
 * and the retries that are left.
 *
 * Three tiers with four attempts each make 64 attempts of one call. With propagation the tiers share one allowance: a retry that
 * one of them makes is missing from the others. `effect-resilience/http/HttpClient` sends the headers when its option `propagate`
 * says so, and `effect-resilience/http/HttpServer` reads them. For other transports use {@link toHeaders}, {@link fromHeaders}
 * and {@link provide}.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Deadline from "./engine/deadline.ts"
import * as Current from "./engine/propagated.ts"
import { isEffect } from "./runtime/dual.ts"
import * as Check from "./runtime/options.ts"
import { read } from "./runtime/read.ts"

/**
 * How important a call is, from the most important: a server under load rejects the least important first.
 *
 * - `"critical-plus"`: its loss is an incident.
 * - `"critical"`: a person waits for it. The default.
 * - `"sheddable-plus"`: work that may be done some minutes later, such as a batch that is repeated.
 * - `"sheddable"`: work that may be lost, such as a prefetch.
 *
 * @category models
 * @since 0.1.0
 */
export type Criticality = "critical-plus" | "critical" | "sheddable-plus" | "sheddable"

/**
 * What a call inherits from its caller. A field that is left out was not sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Propagated {
  /** The time that the caller still waits; never a date, because clocks differ. */
  readonly remaining?: Duration.Duration | undefined
  /** The number of the caller's attempt, from 1. */
  readonly attempt?: number | undefined
  readonly criticality?: Criticality | undefined
  /** The retries that may still be made for this call, in this process and in those that it calls. */
  readonly retries?: number | undefined
}

/**
 * Headers by lower-case name: plain objects, those of Effect and those of Node.
 *
 * @category models
 * @since 0.1.0
 */
export type HeaderRecord = Readonly<Record<string, string | ReadonlyArray<string> | undefined>>

/**
 * The names of the headers.
 *
 * | header | value |
 * |---|---|
 * | `resilience-timeout-ms` | the remaining time in whole milliseconds |
 * | `resilience-attempt` | the number of the attempt, from 1 |
 * | `resilience-criticality` | a {@link Criticality} |
 * | `resilience-retries` | the retries that the receiver may make |
 * | `resilience-retries-left` | in a response: those that it did not make |
 *
 * @category constants
 * @since 0.1.0
 */
export const headerNames = {
  remaining: "resilience-timeout-ms",
  attempt: "resilience-attempt",
  criticality: "resilience-criticality",
  retries: "resilience-retries",
  retriesLeft: "resilience-retries-left"
} as const

// ---------------------------------------------------------------------------------------------------------------------
// Reading
// ---------------------------------------------------------------------------------------------------------------------

/** No header that is read here is longer; a longer text is not read. */
const longestText = 200

/** The values of a header: several, if a proxy added one, or if it was sent twice. */
const valuesOf = (headers: unknown, name: string): ReadonlyArray<string> => {
  const found = read(headers, name)
  const texts = Array.isArray(found) ? found.slice(0, 10) : [found]
  return texts.flatMap((text) =>
    typeof text === "string" && text.length <= longestText ? text.split(",").map((value) => value.trim()) : []
  )
}

type Parse = (text: string) => number | undefined

/** A whole number in `[least, most]`; a larger one is `otherwise`. */
const whole =
  (least: number, most: number, otherwise?: number): Parse =>
  (text) => {
    if (!/^\d+$/.test(text)) return undefined
    const value = Number(text)
    if (value > most) return otherwise
    return value >= least ? value : undefined
  }

/** The longest time that is sent or read, in milliseconds: about 25 days. */
const longestMillis = 2 ** 31 - 1

const millis = whole(0, longestMillis, longestMillis)

/** A timeout of zero means none in Envoy. */
const millisOfEnvoy = whole(1, longestMillis, longestMillis)

const unitsOfGrpc: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 }

const millisOfGrpc: Parse = (text) => {
  const [, digits, unit] = /^(\d{1,8})([HMSmun])$/.exec(text) ?? []
  return unit === undefined ? undefined : Math.min(longestMillis, Number(digits) * (unitsOfGrpc[unit] ?? NaN))
}

const mostAttempts = 1000
const mostRetries = 100

const parseAttempt = whole(1, mostAttempts)
const parseRetries = whole(0, mostRetries)

const parseCriticality: Parse = (text) => {
  const rank = (Current.criticalities as ReadonlyArray<string>).indexOf(text.toLowerCase())
  return rank < 0 ? undefined : rank
}

/** The strictest of the values that can be read. */
const strictest = (
  headers: unknown,
  parsers: Readonly<Record<string, Parse>>,
  choose: (...values: ReadonlyArray<number>) => number
): number | undefined => {
  const values = Object.entries(parsers).flatMap(([name, parse]) =>
    valuesOf(headers, name).flatMap((text) => parse(text) ?? [])
  )
  return values.length === 0 ? undefined : choose(...values)
}

const timeouts = {
  [headerNames.remaining]: millis,
  "grpc-timeout": millisOfGrpc,
  "x-envoy-expected-rq-timeout-ms": millisOfEnvoy
}
const attempts = { [headerNames.attempt]: parseAttempt, "x-envoy-attempt-count": parseAttempt }
const criticalities = { [headerNames.criticality]: parseCriticality }
const retries = { [headerNames.retries]: parseRetries }
const retriesLeft = { [headerNames.retriesLeft]: parseRetries }

/**
 * Reads what a request carries. It never throws.
 *
 * **Details** Reads the headers of {@link headerNames}, and those of gRPC (`grpc-timeout`) and Envoy
 * (`x-envoy-expected-rq-timeout-ms`, where 0 means no timeout, and `x-envoy-attempt-count`). Of several values the strictest counts:
 * the shortest time, the fewest retries, the highest attempt, the lowest criticality. A value that cannot be read counts as not
 * sent: anything but digits, an attempt above 1,000, more than 100 retries. A time above 2,147,483,647 ms is read as that.
 *
 * **Example** (The time that is left)
 *
 * ```ts
 * import { Duration } from "effect"
 * import { Propagation } from "effect-resilience"
 *
 * const sent = Propagation.fromHeaders({ "grpc-timeout": "250m", "resilience-criticality": "sheddable" })
 * sent.criticality // => "sheddable"
 * sent.remaining // => Duration.millis(250)
 * Propagation.fromHeaders({ "resilience-timeout-ms": "-5" }) // => {}
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const fromHeaders = (headers: HeaderRecord): Propagated => {
  const remaining = strictest(headers, timeouts, Math.min)
  const attempt = strictest(headers, attempts, Math.max)
  const criticality = Current.criticalities[strictest(headers, criticalities, Math.max) ?? -1]
  const left = strictest(headers, retries, Math.min)
  return {
    ...(remaining !== undefined && { remaining: Duration.millis(remaining) }),
    ...(attempt !== undefined && { attempt }),
    ...(criticality !== undefined && { criticality }),
    ...(left !== undefined && { retries: left })
  }
}

/**
 * Reads from a response how many retries the receiver has left; `undefined` if it does not say.
 *
 * @category converting
 * @since 0.1.0
 */
export const readRetriesLeft = (headers: HeaderRecord): number | undefined => strictest(headers, retriesLeft, Math.min)

// ---------------------------------------------------------------------------------------------------------------------
// Writing
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Writes headers. A field that is left out writes none, and neither does an infinite time.
 *
 * **Details** The time is rounded down to whole milliseconds. Numbers out of range write no header. What {@link fromHeaders} reads from the result is what was written.
 *
 * **Example** (A request to another service)
 *
 * ```ts
 * import { Duration } from "effect"
 * import { Propagation } from "effect-resilience"
 *
 * const headers = Propagation.toHeaders({ remaining: Duration.seconds(2), attempt: 2 })
 * headers // => { "resilience-timeout-ms": "2000", "resilience-attempt": "2" }
 * ```
 *
 * @category converting
 * @since 0.1.0
 */
export const toHeaders = (self: Propagated): Record<string, string> => {
  const { attempt, criticality, remaining, retries } = self
  const headers: Record<string, string> = {}
  if (remaining !== undefined && Duration.isFinite(remaining)) {
    headers[headerNames.remaining] = digits(Duration.toMillis(remaining), longestMillis)
  }
  if (attempt !== undefined && attempt >= 1) headers[headerNames.attempt] = digits(attempt, mostAttempts)
  if (criticality !== undefined) headers[headerNames.criticality] = criticality
  if (retries !== undefined && retries >= 0) headers[headerNames.retries] = digits(retries, mostRetries)
  return headers
}

const digits = (value: number, most: number): string => String(Math.floor(Math.min(Math.max(0, value), most)))

// ---------------------------------------------------------------------------------------------------------------------
// In the fiber
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Returns what the fiber's work has inherited, with the time that is left of its deadline.
 *
 * **Example** (In a handler)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Propagation } from "effect-resilience"
 *
 * const handler = Propagation.current.pipe(Effect.map((inherited) => inherited.criticality))
 * await Effect.runPromise(handler) // => "critical"
 * await Effect.runPromise(handler.pipe(Propagation.provide({ criticality: "sheddable" }))) // => "sheddable"
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const current: Effect.Effect<Propagated & { readonly attempt: number; readonly criticality: Criticality }> =
  Effect.withFiber((fiber) => {
    const remaining = Deadline.remaining(fiber)
    return Effect.succeed({
      attempt: fiber.getRef(Current.CurrentAttempt),
      criticality: fiber.getRef(Current.CurrentCriticality),
      remaining: remaining === Infinity ? undefined : Duration.millis(Math.max(0, remaining)),
      retries: fiber.getRef(Current.CurrentAllowance)?.left
    })
  })

/**
 * Runs work that inherits the attempt, the criticality and the retries. For `remaining` use `Deadline.within`.
 *
 * **Details** With `retries`, all retries of the work together are at most that many, those of its policies and of
 * `Retry.transient` alike. Each is charged to the budget of its policy too. A retry beyond them ends with the reason `"budget"`.
 * Without `retries` the work inherits those of the work around it. `attempt` and `retries` are integers, of at least 1 and 0;
 * otherwise a `RangeError` is thrown.
 *
 * **Example** (No more than one retry in all)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Propagation, Retry, Transient } from "effect-resilience"
 *
 * class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
 *
 * let attempts = 0
 * const call = Effect.suspend(() => {
 *   attempts += 1
 *   return Effect.fail(new Busy())
 * }).pipe(Retry.transient(Retry.backoff({ base: "1 millis", times: 3 })))
 *
 * const twice = Effect.andThen(Effect.ignore(call), Effect.ignore(call))
 * await Effect.runPromise(twice.pipe(Propagation.provide({ retries: 1 })))
 * attempts // => 3
 * ```
 *
 * @category providing
 * @since 0.1.0
 */
export const provide = (inherited: Propagated): (<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) => {
  const where = "Propagation.provide"
  Check.noUnknown(where, inherited, ["remaining", "attempt", "criticality", "retries"])
  const { attempt, criticality, retries } = inherited
  if (attempt !== undefined) Check.integer(where, "attempt", attempt, 1)
  if (retries !== undefined) Check.integer(where, "retries", retries, 0)
  if (criticality !== undefined) checkCriticality(where, criticality)
  return <A, E, R>(self: Effect.Effect<A, E, R>) => {
    if (!isEffect(self)) return Check.invalid(where, "the argument", "an Effect", self)
    return Effect.updateContext(self, (context: Context.Context<R>) => {
      let inside = context
      if (attempt !== undefined) inside = Context.add(inside, Current.CurrentAttempt, attempt)
      if (criticality !== undefined) inside = Context.add(inside, Current.CurrentCriticality, criticality)
      // Each run of the work has an allowance of its own.
      if (retries !== undefined) inside = Context.add(inside, Current.CurrentAllowance, { left: retries })
      return inside
    })
  }
}

const checkCriticality = (where: string, value: Criticality): void => {
  if (Current.criticalities.includes(value)) return
  Check.invalid(where, "criticality", Current.criticalities.map((one) => `"${one}"`).join(", "), value)
}
