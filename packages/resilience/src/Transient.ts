/**
 * Marks errors that another attempt may cure, in their type.
 *
 * The compiler uses the mark to refuse a retry that can never succeed, and a circuit breaker that could never trip. An
 * error class declares the mark once with {@link TaggedError}; errors of other libraries get it from {@link when} or
 * {@link known}.
 *
 * A retry that gives up returns the *same* error, typed as {@link Exhausted}: `catchTag` still finds it, but it is no
 * longer transient, so a second `Retry.transient` around the first does not compile. `Effect.retry` does not read the
 * mark, so it compiles.
 *
 * @since 0.1.0
 */

import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type * as EffectTypes from "effect/Types"
import { dual } from "./runtime/dual.ts"
import * as EffectErrors from "./runtime/effectErrors.ts"
import * as Check from "./runtime/options.ts"
import { attempt, has, isObject, read } from "./runtime/read.ts"
import { shared } from "./runtime/shared.ts"
import type * as Types from "./Types.ts"

/**
 * The property key of the mark.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-resilience/Transient" as const

/**
 * The type of the property key of the mark.
 *
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof TypeId

/**
 * The mark of an error that another attempt may cure.
 *
 * **Gotchas** A class that declares the mark by hand uses the whole type (`readonly [Transient.TypeId]:
 * Transient.Mark`) instead of `"transient"`, because the same class is the type of its exhausted errors.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transient {
  readonly [TypeId]: Mark
}

/**
 * The values of the mark. At run time it is always `"transient"`: `"exhausted"` exists in types only.
 *
 * @category models
 * @since 0.1.0
 */
export type Mark = "transient" | "exhausted"

/**
 * The mark of an error on which a retry gave up.
 *
 * @category models
 * @since 0.1.0
 */
export interface ExhaustedMark {
  readonly [TypeId]: "exhausted"
}

/**
 * The error `E` after a retry gave up on it: the same value, no longer transient.
 *
 * @category models
 * @since 0.1.0
 */
export type Exhausted<E> = E & ExhaustedMark

/**
 * The members of `E` that another attempt may cure.
 *
 * @category utility types
 * @since 0.1.0
 */
export type TransientOf<E> = E extends Transient ? (E extends ExhaustedMark ? never : E) : never

/**
 * The members of `E` that another attempt cannot cure, exhausted errors included.
 *
 * @category utility types
 * @since 0.1.0
 */
export type PermanentOf<E> = E extends Transient ? (E extends ExhaustedMark ? E : never) : E

/**
 * The members of `E` that a retry gave up on.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ExhaustedOf<E> = E extends ExhaustedMark ? E : never

/**
 * `E` after a retry: permanent errors as they are, transient errors exhausted.
 *
 * @category utility types
 * @since 0.1.0
 */
export type AfterRetry<E> = E extends Transient ? (E extends ExhaustedMark ? E : Exhausted<E>) : E

/** What is known of an error of another library. Data only: another version of this package may read it. */
interface Lifted {
  /** Whether another attempt may cure it. An error that is known to say nothing about the dependency need not be. */
  readonly transient: boolean
  /** Milliseconds. */
  readonly retryAfter: number | undefined
  readonly unprocessed: boolean
  readonly throttled: boolean
  /** A circuit breaker ignores it. */
  readonly ignored: boolean
  /** Whether {@link when} recorded it, and not {@link known}. */
  readonly explicit: boolean
}

/**
 * The marks of errors of other libraries. They are not properties of the errors, because a user's value is never
 * changed. All copies of this package in a program share them: a library may have brought its own.
 */
const lifted = shared("Transient/lifted/1", () => new WeakMap<object, Lifted>())

const liftedOf = (error: unknown): Lifted | undefined =>
  typeof error === "object" && error !== null ? lifted.get(error) : undefined

/**
 * Checks whether an error is marked as transient.
 *
 * **Gotchas** An exhausted error is the same value as before, so this returns `true` for it too.
 *
 * @category guards
 * @since 0.1.0
 */
export const is = (error: unknown): error is Transient => has(error, TypeId) || liftedOf(error)?.transient === true

/**
 * Returns how long the dependency asked callers to wait: the `retryAfter` that {@link when} recorded, or else the
 * `retryAfter` of the error if it is a `Duration`; otherwise `undefined`.
 *
 * @category getters
 * @since 0.1.0
 */
export const retryAfter = (error: unknown): Duration.Duration | undefined => {
  const known = liftedOf(error)?.retryAfter
  if (known !== undefined) return Duration.millis(known)
  const own = read(error, "retryAfter")
  return attempt(() => Duration.isDuration(own), false) ? (own as Duration.Duration) : undefined
}

/**
 * Checks whether the dependency refused the call before it did any work.
 *
 * **When to use** To retry work that is not idempotent. After a timeout it is not known whether the work was done.
 *
 * **Details** `true` for an error whose `unprocessed` is `true`, and for an error that was lifted with `unprocessed`.
 *
 * @category getters
 * @since 0.1.0
 */
export const isUnprocessed = (error: unknown): boolean =>
  liftedOf(error)?.unprocessed === true || read(error, "unprocessed") === true

/**
 * Checks whether the dependency is available and asks for fewer calls.
 *
 * **When to use** To tell a rate limit from an outage. A retry waits for the `retryAfter` of such an error; a circuit
 * breaker ignores it unless `failures` names its tag or `throttled` is `"failure"`.
 *
 * **Details** `true` for an error whose `throttled` is `true`, and for an error that was lifted with `throttled`.
 *
 * **Example** (A rate limit opens no circuit)
 *
 * ```ts
 * import { Exit } from "effect"
 * import { Outcome, Transient } from "effect-resilience"
 *
 * class TooManyRequests extends Transient.TaggedError<TooManyRequests>()("TooManyRequests", {}) {
 *   readonly throttled = true
 * }
 *
 * Transient.isThrottled(new TooManyRequests()) // => true
 * Outcome.classify(Exit.fail(new TooManyRequests())) // => "ignored"
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const isThrottled = (error: unknown): boolean =>
  liftedOf(error)?.throttled === true || read(error, "throttled") === true

/**
 * Whether it was recorded of an error that it says nothing about the dependency.
 *
 * @internal
 */
export const isIgnored = (error: unknown): boolean => liftedOf(error)?.ignored === true

/**
 * Creates a class of transient errors: `Schema.TaggedError` with the mark.
 *
 * **When to use** For your own errors that another attempt may cure: a timeout, a reset connection, a 503.
 *
 * **Details** A field `retryAfter` (a `Duration`) is the least delay before the next attempt, and the least open time
 * of a circuit that opens on the error. A member `readonly unprocessed = true` means that the dependency refused the
 * call before it did any work, a member `readonly throttled = true` that it is available and asks for fewer calls.
 *
 * **Example** (A transient error and a permanent error)
 *
 * ```ts
 * import { Effect, Schedule, Schema } from "effect"
 * import { Retry, Transient } from "effect-resilience"
 *
 * class GatewayTimeout extends Transient.TaggedError<GatewayTimeout>()("GatewayTimeout", { after: Schema.Duration }) {}
 * class CardDeclined extends Schema.TaggedError<CardDeclined>()("CardDeclined", {}) {}
 *
 * declare const charge: Effect.Effect<string, GatewayTimeout | CardDeclined>
 *
 * // Effect<string, CardDeclined | Transient.Exhausted<GatewayTimeout>>
 * const retried = () => charge.pipe(Retry.transient(Schedule.recurs(2)))
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const TaggedError: <Self = never>(
  identifier?: string
) => {
  <Tag extends string, const Fields extends Schema.Struct.Fields>(
    tag: Tag,
    fields: Fields,
    annotations?: Schema.Annotations.Declaration<Self, readonly [Schema.TaggedStruct<Tag, Fields>]>
  ): [Self] extends [never]
    ? "Name the class itself: class MyError extends Transient.TaggedError<MyError>()(...)"
    : Schema.Class<Self, Schema.TaggedStruct<Tag, Fields>, Cause.YieldableError & Transient>
} = (identifier) => (tag, fields, annotations) => {
  // The class type is Effect's with the mark added. TypeScript cannot see that the two generic results are the same.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  const make = Schema.TaggedError<any, any>(identifier) as any
  const Base = make(tag, fields, annotations)
  Object.defineProperty(Base.prototype, TypeId, { value: "transient" })
  return Base
}

/**
 * Sets what {@link when} records about an error in addition to the mark.
 *
 * @category models
 * @since 0.1.0
 */
export interface LiftOptions<E> {
  /**
   * Reads how long the dependency asked callers to wait. What is no duration counts as no wish. Default: the `retryAfter`
   * of the error.
   */
  readonly retryAfter?: ((error: E) => Duration.Input | undefined) | undefined
  /** Whether the dependency refused the call before it did any work. Default: `false`. */
  readonly unprocessed?: boolean | ((error: E) => boolean) | undefined
  /** Whether the dependency is available and asks for fewer calls. Default: `false`. */
  readonly throttled?: boolean | ((error: E) => boolean) | undefined
}

const record = (error: object, found: Partial<Lifted>): void => {
  lifted.set(error, {
    transient: true,
    retryAfter: undefined,
    unprocessed: false,
    throttled: false,
    ignored: false,
    explicit: false,
    ...found
  })
}

const lift = (error: object, options: LiftOptions<unknown>): void => {
  // Functions of the user's: what they throw must not hide the error.
  const flag = (option: LiftOptions<unknown>["unprocessed"]): boolean =>
    typeof option === "function" ? attempt(() => option(error), false) === true : option === true
  record(error, {
    retryAfter: Check.millisIfAny(attempt(() => options.retryAfter?.(error), undefined)),
    unprocessed: flag(options.unprocessed),
    throttled: flag(options.throttled),
    explicit: true
  })
}

const checkLift = (where: string, predicate: unknown, options: LiftOptions<unknown>): void => {
  Check.callback(where, "the predicate", Check.predicate, predicate)
  Check.noUnknown(where, options, ["retryAfter", "unprocessed", "throttled"])
  const { retryAfter, throttled, unprocessed } = options
  if (retryAfter !== undefined) Check.callback(where, "retryAfter", "a function that returns a duration", retryAfter)
  for (const [name, flag] of Object.entries({ unprocessed, throttled })) {
    if (flag !== undefined && typeof flag !== "boolean") {
      Check.callback(where, name, `true, false or ${Check.predicate}`, flag)
    }
  }
}

/** Looks at each reason of a failure. The cause stays as it is, with its annotations. */
const examining = (self: Types.AnyEffect, look: (reason: Cause.Reason<unknown>) => void): Types.AnyEffect =>
  Effect.catchCause(self, (cause: Cause.Cause<unknown>) => {
    cause.reasons.forEach(look)
    return Effect.failCause(cause)
  })

/** Marks each failure for which the predicate is `true`. */
const lifting =
  (predicate: (error: unknown) => boolean, options: LiftOptions<unknown>) =>
  (self: Types.AnyEffect): Types.AnyEffect =>
    examining(self, (reason) => {
      if (reason._tag !== "Fail" || attempt(() => predicate(reason.error), false) !== true) return
      if (isObject(reason.error) && !has(reason.error, TypeId)) lift(reason.error, options)
    })

/**
 * Marks the errors for which the predicate is `true` as transient. The error value stays the same and is not changed.
 *
 * **When to use** For errors of other libraries, and for your own errors when only some values of a class are
 * transient.
 *
 * **Details** A type guard replaces its members of `E` with transient ones. A predicate without a type keeps `E` and
 * adds the transient type, because some values stay permanent. An error that has a mark already keeps it.
 *
 * **Gotchas** Only objects can be marked: a string as an error stays permanent. What the predicate or an option throws
 * counts as `false` or as no wish, so that the error itself is never hidden.
 *
 * **Example** (Lifting an error of another library)
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Retry, Transient } from "effect-resilience"
 *
 * interface DriverError { readonly _tag: "DriverError"; readonly code: string }
 * let tries = 0
 * const query = Effect.suspend((): Effect.Effect<string, DriverError> =>
 *   ++tries < 3 ? Effect.fail({ _tag: "DriverError", code: "DEADLOCK" }) : Effect.succeed("rows"))
 *
 * const rows = query.pipe(
 *   Transient.when((error: DriverError) => error.code === "DEADLOCK"),
 *   Retry.transient(Schedule.recurs(5))
 * )
 * await Effect.runPromise(rows) // => "rows"
 * ```
 *
 * @category lifting
 * @since 0.1.0
 */
export const when: {
  <E, T extends E & object>(
    refinement: (error: E) => error is T,
    options?: LiftOptions<T>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, Exclude<E, T> | (T & Transient), R>
  <E extends object>(
    predicate: (error: E) => boolean,
    options?: LiftOptions<E>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | (E & Transient), R>
  <A, E, R, T extends E & object>(
    self: Effect.Effect<A, E, R>,
    refinement: (error: E) => error is T,
    options?: LiftOptions<T>
  ): Effect.Effect<A, Exclude<E, T> | (T & Transient), R>
  <A, E extends object, R>(
    self: Effect.Effect<A, E, R>,
    predicate: (error: E) => boolean,
    options?: LiftOptions<E>
  ): Effect.Effect<A, E | (E & Transient), R>
} = dual("Transient.when", (predicate: (error: unknown) => boolean, options: LiftOptions<unknown> = {}) => {
  checkLift("Transient.when", predicate, options)
  return lifting(predicate, options)
})

/**
 * Marks the errors of one tag as transient: those for which the predicate is `true`, or all of them without one.
 *
 * **When to use** When only one error of a union may be cured by another attempt. The predicate has the type of that error, and the other
 * errors keep theirs, as in `Effect.catchTag`.
 *
 * **Details** Without a predicate the error is replaced by its transient type. With one both types remain, because some values stay
 * permanent. `options` are those of {@link when}.
 *
 * **Example** (A job whose exit code says that another run may succeed)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Retry, Transient } from "effect-resilience"
 *
 * class Exited extends Schema.TaggedError<Exited>()("Exited", { code: Schema.Int }) {}
 * class NoCommand extends Schema.TaggedError<NoCommand>()("NoCommand", {}) {}
 * let runs = 0
 * const job = Effect.suspend((): Effect.Effect<string, Exited | NoCommand> =>
 *   ++runs < 3 ? Effect.fail(new Exited({ code: 75 })) : Effect.succeed("done"))
 *
 * const patient = job.pipe(
 *   Transient.whenTag("Exited", (error) => error.code === 75),
 *   Retry.transient(Retry.backoff({ base: "1 millis", times: 2 }))
 * )
 * await Effect.runPromise(patient) // => "done"
 * ```
 *
 * @category lifting
 * @since 0.1.0
 */
export const whenTag: {
  <const Tag extends EffectTypes.Tags<E>, E>(
    tag: Tag
  ): <A, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A, EffectTypes.ExcludeTag<E, Tag> | (EffectTypes.ExtractTag<E, Tag> & Transient), R>
  <const Tag extends EffectTypes.Tags<E>, E>(
    tag: Tag,
    predicate: (error: EffectTypes.ExtractTag<E, Tag>) => boolean,
    options?: LiftOptions<EffectTypes.ExtractTag<E, Tag>>
  ): <A, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | (EffectTypes.ExtractTag<E, Tag> & Transient), R>
  <A, E, R, const Tag extends EffectTypes.Tags<E>>(
    self: Effect.Effect<A, E, R>,
    tag: Tag
  ): Effect.Effect<A, EffectTypes.ExcludeTag<E, Tag> | (EffectTypes.ExtractTag<E, Tag> & Transient), R>
  <A, E, R, const Tag extends EffectTypes.Tags<E>>(
    self: Effect.Effect<A, E, R>,
    tag: Tag,
    predicate: (error: EffectTypes.ExtractTag<E, Tag>) => boolean,
    options?: LiftOptions<EffectTypes.ExtractTag<E, Tag>>
  ): Effect.Effect<A, E | (EffectTypes.ExtractTag<E, Tag> & Transient), R>
} = dual(
  "Transient.whenTag",
  (tag: string, predicate: (error: unknown) => boolean = () => true, options: LiftOptions<unknown> = {}) => {
    const where = "Transient.whenTag"
    if (typeof tag !== "string" || tag === "") Check.invalid(where, "the tag", "a non-empty string", tag)
    checkLift(where, predicate, options)
    return lifting((error) => read(error, "_tag") === tag && predicate(error), options)
  }
)

/** The tags of Effect's errors that may be transient. */
type KnownTag =
  | "SqlError"
  | "AiError"
  | "HttpClientError"
  | "DnsError"
  | "PlatformError"
  | "TimeoutError"
  | "GraphQLClientError"
  | "SocketError"
  | "RpcClientError"
  | "RateLimiterError"
  | "MailboxFull"
  | "EntityNotAssignedToRunner"
  | "RunnerUnavailable"

/**
 * `E`, with a transient type added for each of Effect's own errors that may be transient.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Known<E> = E extends { readonly _tag: KnownTag } ? (E extends Transient ? E : E | (E & Transient)) : E

/**
 * Checks whether an error is transient by Effect's own conventions.
 *
 * **Details** If the error has one of these flags, the flag decides: `isRetryable` (`SqlError`, `AiError`,
 * `GraphQLClientError`), `isTemporary` (`DnsError`). Otherwise these are transient, and any other error is not:
 *
 * - `Cause.TimeoutError`
 * - `HttpClientError` with the status 408, 429, 500, 502, 503 or 504, with a body that was cut off, or with a transport
 *   error, except one with which the client itself refuses a request: a URL, method, header, port or body that it does not
 *   send, or a rejection of a policy
 * - `SocketError` of opening, reading or writing, or with the close code 1001, 1006, 1011, 1012, 1013 or 1014
 * - `RpcClientError` with one of these
 * - `RateLimiterError` with `RateLimitExceeded`
 * - of a cluster: `MailboxFull`, `EntityNotAssignedToRunner`, `RunnerUnavailable`
 * - `PlatformError` with `Busy`, `TimedOut` or `WouldBlock`
 *
 * @category guards
 * @since 0.1.0
 */
export const isKnown: (error: unknown) => boolean = EffectErrors.isTransient

/**
 * Marks Effect's own errors as transient where {@link isKnown} is `true`.
 *
 * **Details** Recorded are
 *
 * - as `retryAfter`: the header `retry-after-ms`, or `Retry-After` in seconds or as a date. A date is compared with the
 *   `Date` of the response, or else with the clock; a date that has passed asks for nothing.
 * - as throttled: the status 429, a rate limit of `AiError` or `RateLimiterError`, and `MailboxFull`.
 * - as unprocessed: what is throttled, a 503 with `Retry-After`, a connection that was never made, a request that the
 *   client refused to send, `EntityNotAssignedToRunner`, and a deadlock or a serialization failure of `SqlError`, which the
 *   server rolls back.
 *
 * A circuit breaker ignores what is throttled, a request that the client refused to send, and poor answers of an AI model.
 * An error that {@link when} has marked keeps that mark.
 *
 * **Gotchas** A lost connection does not prove that nothing was done: an `SqlError` with `ConnectionError` may follow a
 * commit. To retry a whole transaction set `unprocessedOnly`.
 *
 * **Example** (A timeout of `Effect.timeout`)
 *
 * ```ts
 * import { Effect, Schedule } from "effect"
 * import { Retry, Transient } from "effect-resilience"
 *
 * let tries = 0
 * const slowOnce = Effect.suspend(() => Effect.sleep(++tries === 1 ? "1 minute" : "1 millis")).pipe(
 *   Effect.timeout("20 millis"),
 *   Transient.known,
 *   Retry.transient(Schedule.recurs(1)),
 *   Effect.as("done")
 * )
 * await Effect.runPromise(slowOnce) // => "done"
 * ```
 *
 * @category lifting
 * @since 0.1.0
 */
export const known = <A, E, R>(
  self: Effect.Effect<A, E, R> &
    ([Extract<E, { readonly _tag: KnownTag }> | TransientOf<E>] extends [never] ? NothingKnown : unknown)
): Effect.Effect<A, Known<E>, R> =>
  // The mark is not a property of the value, so the value already has the wider type.
  examining(self as Types.AnyEffect, (reason) => {
    if (reason._tag === "Fail") markKnown(reason.error)
    else if (reason._tag === "Die" && isObject(reason.defect) && EffectErrors.isRefusal(reason.defect)) {
      markRefused(reason.defect)
    }
  })

/**
 * Marks an error or a defect with which a client or a policy refused a call: it is not transient, and says nothing about the dependency.
 *
 * @internal
 */
export const markRefused = (error: object, unprocessed = true): void =>
  record(error, { transient: false, unprocessed, ignored: true })

/**
 * Marks an error of Effect's as {@link known} does, and as transient whatever it is.
 *
 * @internal
 */
export const markTransient = (error: object): void => markKnown(error, true)

/**
 * Marks an error of Effect's as {@link known} does.
 *
 * @internal
 */
export const markKnown = (error: unknown, transient = isKnown(error)): void => {
  if (!isObject(error) || has(error, TypeId) || liftedOf(error)?.explicit === true) return
  const ignored = EffectErrors.isIgnored(error)
  if (!transient && !ignored) return
  const wait = EffectErrors.retryAfter(error, wallTime)
  record(error, {
    transient,
    ignored,
    retryAfter: wait && Duration.toMillis(wait),
    unprocessed: EffectErrors.isUnprocessed(error),
    throttled: EffectErrors.isThrottled(error)
  })
}

const wallTime = (): number => {
  const fiber = Fiber.getCurrent()
  return fiber === undefined ? 0 : fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
}

type NothingKnown =
  "No error of this effect is one of Effect's own that may be transient: use Transient.when with your own predicate"
