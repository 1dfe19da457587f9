/**
 * Errors that another try may cure, marked in their type.
 *
 * The mark is what lets the compiler refuse a retry of an error that can never succeed, and a circuit breaker that could
 * never trip. An error class says it once; errors of other libraries are lifted with {@link when} or {@link known}.
 *
 * A retry that gives up hands back the *same* error, typed as {@link Exhausted}: `catchTag` still finds it, but it is no
 * longer transient, so a second `Retry.transient` around the first does not compile. (`Effect.retry` does not know the
 * mark, and does.)
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
 * The key of the mark.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-resilience/Transient" as const

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = typeof TypeId

/**
 * The mark of an error that another try may cure.
 *
 * **Gotchas**
 *
 * A class that carries the mark by hand declares the whole type (`readonly [Transient.TypeId]: Transient.Mark`), not just
 * `"transient"`: the same class is also the type of its exhausted errors.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transient {
  readonly [TypeId]: Mark
}

/**
 * @category models
 * @since 0.1.0
 */
export type Mark = "transient" | "exhausted"

/**
 * The mark of an error that was retried until the retry gave up.
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
 * The members of `E` that another try may cure.
 *
 * @category utility types
 * @since 0.1.0
 */
export type TransientOf<E> = E extends Transient ? (E extends ExhaustedMark ? never : E) : never

/**
 * The members of `E` that another try cannot cure, exhausted ones included.
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
 * `E` after a retry: permanent errors as they are, transient ones exhausted.
 *
 * @category utility types
 * @since 0.1.0
 */
export type AfterRetry<E> = E extends Transient ? (E extends ExhaustedMark ? E : Exhausted<E>) : E

/** What is known of an error that was lifted from another library, or of a mark set by hand. */
interface Lifted {
  readonly retryAfter: Duration.Duration | undefined
  readonly unprocessed: boolean
}

/** Errors of other libraries are marked beside the value, never in it: it is the user's. */
const lifted = new WeakMap<object, Lifted>()

/**
 * Is this error marked as transient? An exhausted error still is, as a value: what makes it exhausted is the retry it
 * went through.
 *
 * @category guards
 * @since 0.1.0
 */
export const is = (error: unknown): error is Transient =>
  typeof error === "object" && error !== null && (TypeId in error || lifted.has(error))

/**
 * How long the dependency asked to be left alone: the `retryAfter` of a transient error, if it has one.
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
 * Was the call refused before any work was done? `true` for an error whose `unprocessed` is `true` and for one lifted
 * with `unprocessed`. Only such errors are safe to retry when the work is not idempotent; a timeout is not one.
 *
 * @category getters
 * @since 0.1.0
 */
export const isUnprocessed = (error: unknown): boolean => {
  if (typeof error !== "object" || error === null) return false
  return lifted.get(error)?.unprocessed === true || ("unprocessed" in error && error.unprocessed === true)
}

/**
 * Makes a class of transient errors: `Schema.TaggedError` with the mark.
 *
 * **When to use** For your own errors that another try may cure: a timeout, a reset connection, a 503.
 *
 * **Details** A field `retryAfter` (a `Duration`) is a lower bound for the next try's delay. A member
 * `readonly unprocessed = true` says that the dependency refused before doing any work.
 *
 * **Example** (A transient error beside a permanent one)
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
  // The class type is Effect's, with the brand added; TypeScript cannot see that the two generic results are the same.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  const make = Schema.TaggedError<any, any>(identifier) as any
  const Base = make(tag, fields, annotations)
  Object.defineProperty(Base.prototype, TypeId, { value: "transient" })
  return Base
}

/**
 * What {@link when} records of an error beside the mark.
 *
 * @category models
 * @since 0.1.0
 */
export interface LiftOptions<E> {
  /** Reads how long the dependency asked to be left alone. Default: the error's own `retryAfter`. */
  readonly retryAfter?: ((error: E) => Duration.Input | undefined) | undefined
  /** Was the call refused before any work was done? Default: no. */
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
 * Marks the errors for which the predicate holds as transient. The error value stays the same and is not touched.
 *
 * **When to use** For errors of other libraries, and for your own when only some values of a class are worth another try.
 *
 * **Details** A type guard moves its members from `E` to transient; a plain predicate keeps `E` and adds the transient
 * part, since some values stay permanent. Only objects can be marked.
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
  (predicate: (error: unknown) => boolean, options?: LiftOptions<unknown>) => (self) =>
    Effect.mapError(self, (error) => {
      if (predicate(error)) lift(error, options)
      return error
    })
)

/** The errors of Effect that carry a convention of their own about another try. */
type KnownTag =
  | "SqlError"
  | "AiError"
  | "HttpClientError"
  | "DnsError"
  | "PlatformError"
  | "TimeoutError"
  | "GraphQLClientError"

/**
 * `E` with the transient part of Effect's own errors added.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Known<E> = E extends { readonly _tag: KnownTag } ? (E extends Transient ? E : E | (E & Transient)) : E

/**
 * Do Effect's own conventions call this error worth another try?
 *
 * **Details** In this order: `isRetryable` (`SqlError`, `AiError`, `GraphQLClientError`), `isTemporary` (`DnsError`),
 * `HttpClientError` with a transport error or a status 408, 429, 500, 502, 503 or 504, `Cause.TimeoutError`,
 * `PlatformError` with `Busy`, `TimedOut` or `WouldBlock`. Any other error is not.
 *
 * @category guards
 * @since 0.1.0
 */
export const isKnown: (error: unknown) => boolean = EffectErrors.isTransient

/**
 * Marks Effect's own errors as transient where their own conventions say so: `SqlError`, `AiError`, `HttpClientError`,
 * `DnsError`, `PlatformError`, `GraphQLClientError` and `Cause.TimeoutError`.
 *
 * **Example** (A timeout of Effect's)
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
  // The mark is kept beside the value, so the value already has the wider type.
  Effect.mapError(self as Effect.Effect<A, E, R>, (error) => {
    if (isKnown(error)) {
      lift(error, { unprocessed: EffectErrors.isUnprocessed(error), retryAfter: EffectErrors.retryAfter })
    }
    return error as Known<E>
  })

type NothingKnown =
  "No error of this effect is one of Effect's own that may be transient: use Transient.when with your own predicate"
