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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { dual } from "./runtime/dual.ts"
import * as EffectErrors from "./runtime/effectErrors.ts"

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

/** The mark of an error of another library, with what {@link LiftOptions} recorded. */
interface Lifted {
  readonly retryAfter: Duration.Duration | undefined
  readonly unprocessed: boolean
}

/**
 * The marks of errors of other libraries. They are not properties of the errors, because a user's value is never
 * changed.
 */
const lifted = new WeakMap<object, Lifted>()

/**
 * Checks whether an error is marked as transient.
 *
 * **Gotchas** An exhausted error is the same value as before, so this returns `true` for it too.
 *
 * @category guards
 * @since 0.1.0
 */
export const is = (error: unknown): error is Transient =>
  typeof error === "object" && error !== null && (TypeId in error || lifted.has(error))

/**
 * Returns how long the dependency asked callers to wait: the `retryAfter` that {@link when} recorded, or else the
 * `retryAfter` of the error if it is a `Duration`; otherwise `undefined`.
 *
 * @category getters
 * @since 0.1.0
 */
export const retryAfter = (error: unknown): Duration.Duration | undefined => {
  if (typeof error !== "object" || error === null) return undefined
  const known = lifted.get(error)
  if (known?.retryAfter !== undefined) return known.retryAfter
  return "retryAfter" in error && Duration.isDuration(error.retryAfter) ? error.retryAfter : undefined
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
export const isUnprocessed = (error: unknown): boolean => {
  if (typeof error !== "object" || error === null) return false
  return lifted.get(error)?.unprocessed === true || ("unprocessed" in error && error.unprocessed === true)
}

/**
 * Creates a class of transient errors: `Schema.TaggedError` with the mark.
 *
 * **When to use** For your own errors that another attempt may cure: a timeout, a reset connection, a 503.
 *
 * **Details** A field `retryAfter` (a `Duration`) is the least delay before the next attempt, and the least open time
 * of a circuit that opens on the error. A member `readonly unprocessed = true` means that the dependency refused the
 * call before it did any work.
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
  /** Reads how long the dependency asked callers to wait. Default: the `retryAfter` of the error. */
  readonly retryAfter?: ((error: E) => Duration.Input | undefined) | undefined
  /** Whether the dependency refused the call before it did any work. Default: `false`. */
  readonly unprocessed?: boolean | ((error: E) => boolean) | undefined
}

const lift = <E>(error: E, options: LiftOptions<E> | undefined): void => {
  if (typeof error !== "object" || error === null || TypeId in error) return
  const pause = options?.retryAfter?.(error)
  const unprocessed = options?.unprocessed
  lifted.set(error, {
    retryAfter: pause === undefined ? undefined : Duration.fromInputUnsafe(pause),
    unprocessed: typeof unprocessed === "function" ? unprocessed(error) : unprocessed === true
  })
}

/**
 * Marks the errors for which the predicate is `true` as transient. The error value stays the same and is not changed.
 *
 * **When to use** For errors of other libraries, and for your own errors when only some values of a class are
 * transient.
 *
 * **Details** A type guard replaces its members of `E` with transient ones. A predicate without a type keeps `E` and
 * adds the transient type, because some values stay permanent. An error that has a mark already keeps it.
 *
 * **Gotchas** Only objects can be marked: a string as an error stays permanent.
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
} = dual(
  "Transient.when",
  (predicate: (error: unknown) => boolean, options?: LiftOptions<unknown>) => (self) =>
    Effect.mapError(self, (error) => {
      if (predicate(error)) lift(error, options)
      return error
    })
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
 * - `HttpClientError` with a transport error or the status 408, 429, 500, 502, 503 or 504
 * - `PlatformError` with `Busy`, `TimedOut` or `WouldBlock`
 *
 * @category guards
 * @since 0.1.0
 */
export const isKnown: (error: unknown) => boolean = EffectErrors.isTransient

/**
 * Marks Effect's own errors as transient where {@link isKnown} is `true`: `SqlError`, `AiError`, `HttpClientError`,
 * `DnsError`, `PlatformError`, `GraphQLClientError` and `Cause.TimeoutError`.
 *
 * **Details** A `Retry-After` header in seconds is recorded as `retryAfter`; a date is not read. Recorded as
 * unprocessed are the status 429, a 503 with `Retry-After`, a rate limit of `AiError`, and a refused connection.
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
  Effect.mapError(self as Effect.Effect<A, E, R>, (error) => {
    if (isKnown(error)) {
      lift(error, { unprocessed: EffectErrors.isUnprocessed(error), retryAfter: EffectErrors.retryAfter })
    }
    return error as Known<E>
  })

type NothingKnown =
  "No error of this effect is one of Effect's own that may be transient: use Transient.when with your own predicate"
