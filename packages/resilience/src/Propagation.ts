/**
 * Carries what a call inherits from its caller over a transport: the remaining time, the criticality, the number of the attempt,
 * and the retries that are left.
 *
 * Three tiers with four attempts each make 64 attempts of one call. With propagation the tiers share one allowance: a retry that
 * one of them makes is missing from the others. `effect-resilience/http/HttpClient` sends the headers when its option `propagate`
 * says so, and `effect-resilience/http/HttpServer` reads them; `rpc/RpcClient` and `rpc/RpcServer` do the same. For other transports use {@link sending} on one side, {@link fromHeaders}
 * and {@link provide} on the other.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Importance from "./engine/criticality.ts"
import * as Deadline from "./engine/deadline.ts"
import * as Left from "./engine/left.ts"
import type { PolicyEngine } from "./engine/policy.ts"
import * as Current from "./engine/propagated.ts"
import { isEffect } from "./runtime/dual.ts"
import { EngineKey } from "./runtime/frame.ts"
import * as Check from "./runtime/options.ts"
import { attempt as attemptTo, has, read } from "./runtime/read.ts"
import type { AnyFiber } from "./runtime/types.ts"
import { defaultKey } from "./Types.ts"

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
  const rank = (Importance.criticalities as ReadonlyArray<string>).indexOf(text.toLowerCase())
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
  const criticality = Importance.criticalities[strictest(headers, criticalities, Math.max) ?? -1]
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
      criticality: fiber.getRef(Importance.CurrentCriticality),
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
      if (criticality !== undefined) inside = Context.add(inside, Importance.CurrentCriticality, criticality)
      // Each run of the work has an allowance of its own.
      if (retries !== undefined) inside = Context.add(inside, Current.CurrentAllowance, { left: retries })
      return inside
    })
  }
}

const checkCriticality = (where: string, value: Criticality): void => {
  if (Importance.criticalities.includes(value)) return
  Check.invalid(where, "criticality", Importance.criticalities.map((one) => `"${one}"`).join(", "), value)
}

// ---------------------------------------------------------------------------------------------------------------------
// Sending
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Options of {@link sending}.
 *
 * @category models
 * @since 0.1.0
 */
export interface SendingOptions<A, E> {
  /** The key of the call, whose budget pays. Default: `"default"`. */
  readonly key?: string | undefined
  /** The number of the attempt, from 1. Default: that of the retry around it. */
  readonly attempt?: number | undefined
  /**
   * How many of the retries that the request took with it come back: what the response says ({@link readRetriesLeft}). `undefined` when it
   * says nothing: then all come back after a success and after a failure that was surely not processed, and none otherwise.
   */
  readonly left?: ((exit: Exit.Exit<A, E>) => number | undefined) | undefined
}

/**
 * Sends one attempt of a protected call, with headers that say what it inherits.
 *
 * **When to use** For transports other than HTTP, inside the effect that the policy protects.
 *
 * **Details** The request takes retries with it: those that the fiber inherited, or one that the budget of `policy` pays for now. They are
 * with the receiver until the request ends. A policy with a retry and without a budget sends 0, one without a retry says nothing about
 * retries. What `left` throws and a number below 0 count as `undefined`. Bad options throw a `RangeError` at once.
 *
 * **Example** (A request over a bus)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Policy, Propagation, Retry, Transient } from "effect-resilience"
 *
 * class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
 *
 * const sent: Array<string | undefined> = []
 * const ask = (headers: Record<string, string>) => {
 *   sent.push(headers["resilience-attempt"])
 *   return sent.length < 2 ? Effect.fail(new Busy()) : Effect.succeed("well")
 * }
 *
 * class Bus extends Policy.Service<Bus>()("app/Bus", { retry: Retry.backoff({ base: "1 millis" }), budget: {} }) {}
 *
 * const call = Propagation.sending(Bus, ask).pipe(Bus.protect)
 * await Effect.runPromise(call.pipe(Effect.provide(Bus.layer))) // => "well"
 * sent // => ["1", "2"]
 * ```
 *
 * @category sending
 * @since 0.1.0
 */
export const sending = <A, E, R>(
  policy: object,
  request: (headers: Record<string, string>) => Effect.Effect<A, E, R>,
  options: SendingOptions<A, E> = {}
): Effect.Effect<A, E, R> => {
  const where = "Propagation.sending"
  Check.noUnknown(where, options, ["key", "attempt", "left"])
  Check.callback(where, "the request", "a function that returns an Effect", request)
  const { attempt, left } = options
  const key = Check.key(where, Check.orDefault(options.key, defaultKey))
  if (attempt !== undefined) Check.integer(where, "attempt", attempt, 1)
  if (left !== undefined) Check.callback(where, "left", "a function that returns a number", left)
  return Effect.withFiber((fiber) => {
    const { end, headers } = start(policy, key, attempt, fiber)
    const sent = Effect.suspend(() => request(headers))
    if (end === undefined) return sent
    return Effect.onExit(sent, (exit) => {
      const said = left === undefined ? undefined : attemptTo(() => left(exit), undefined)
      return end(exit, said)
    })
  })
}

/** A request that is being sent. */
interface Sending {
  readonly headers: Record<string, string>
  /** Called at its end, with the retries that the receiver says it has left; `undefined` for a request that took none. */
  readonly end: ((exit: Exit.Exit<unknown, unknown>, left?: number) => Effect.Effect<void>) | undefined
}

const start = (policy: object, key: string, attempt: number | undefined, fiber: AnyFiber): Sending => {
  const engine = engineOf(policy, fiber)
  // A policy that does not enforce makes no retries, and bounds none.
  const enforcing = engine !== undefined && engine.modes.of(key) === "enforce" ? engine : undefined
  const loan = Current.lend(fiber, enforcing?.settings.retry !== undefined, enforcing?.budget, key)
  const remaining = Deadline.remaining(fiber)
  const headers = toHeaders({
    remaining: remaining === Infinity ? undefined : Duration.millis(remaining),
    attempt: attempt ?? fiber.getRef(Schedule.CurrentMetadata).attempt + 1,
    criticality: fiber.getRef(Importance.CurrentCriticality),
    retries: loan?.retries
  })
  const end = (exit: Exit.Exit<unknown, unknown>, left?: number): Effect.Effect<void> =>
    Effect.withFiber((fiber) => {
      const known = left !== undefined && left >= 0
      loan?.settle(known ? Math.floor(left) : cameBack(exit) ? loan.retries : 0, fiber)
      return Effect.void
    })
  return { headers, end: loan && end }
}

/**
 * Sends the request of a stream, which lasts as long as the stream.
 *
 * @internal
 */
export const sendingStream = <A, E, R>(
  policy: object,
  request: (headers: Record<string, string>) => Stream.Stream<A, E, R>,
  key: string
): Stream.Stream<A, E, R> =>
  Stream.unwrap(
    Effect.withFiber((fiber) => {
      const { end, headers } = start(policy, key, undefined, fiber)
      const sent = request(headers)
      return Effect.succeed(end === undefined ? sent : Stream.onExit(sent, (exit) => end(exit)))
    })
  )

/** Without a word of the receiver: it knows nothing of retries, or did nothing; otherwise it may have made them all. */
const cameBack = (exit: Exit.Exit<unknown, unknown>): boolean => exit._tag === "Success" || Left.didNoWork(exit.cause)

/** The engine of a policy: of an instance, or of the service in the context of a fiber. */
const engineOf = (policy: unknown, fiber: AnyFiber): PolicyEngine | undefined => {
  const instance: unknown = has(policy, EngineKey)
    ? policy
    : attemptTo(() => Context.getOrUndefined(fiber.context, policy as Context.Service<never, unknown>), undefined)
  // Only this library puts something under this name.
  return read(instance, EngineKey) as PolicyEngine | undefined
}
