/**
 * Replaces the error of a rejected or exhausted call with another effect or a value.
 *
 * By default a fallback handles only rejections and exhausted errors, because a permanent error is a response of the
 * dependency, and a transient error should be retried first. Defects and interruptions are never handled.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { examine, report, resolveWhen } from "./engine/fallback.ts"
import * as Rejection from "./Rejection.ts"
import { dual } from "./runtime/dual.ts"
import * as Check from "./runtime/options.ts"
import type * as Transient from "./Transient.ts"
import type * as Types from "./Types.ts"
import { defaultKey } from "./Types.ts"

/**
 * The members of `E` that a fallback handles by default: rejections and exhausted errors.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Handled<E> = E extends Rejection.Rejection ? E : Transient.ExhaustedOf<E>

/**
 * Options of a fallback.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = never> {
  /**
   * Which errors are handled: `"rejected"` (rejections and exhausted errors), `"any"`, or those for which a predicate
   * is `true`. Default: `"rejected"`.
   */
  readonly when?: "rejected" | "any" | ((error: E) => boolean) | undefined
  /** The name in events. Default: `"Fallback"`. */
  readonly name?: string | undefined
}

/** The errors that the fallback handles. */
type HandledErrors<E, O> = O extends { readonly when: infer W } ? (W extends "rejected" ? Handled<E> : E) : Handled<E>

/** The errors that remain: with a predicate each error may remain. */
type RemainingErrors<E, O> = 0 extends 1 & E
  ? E
  : O extends { readonly when: infer W }
    ? W extends "any"
      ? never
      : W extends "rejected"
        ? Exclude<E, Handled<E>>
        : E
    : Exclude<E, Handled<E>>

type CanFallBack<E, O> = O extends { readonly when: infer W }
  ? W extends "rejected"
    ? HasHandled<E>
    : unknown
  : HasHandled<E>

type HasHandled<E> = [Handled<E>] extends [never]
  ? "No error of this effect is a rejection or an exhausted error: there is nothing to fall back from. Use the option `when` to handle other errors"
  : unknown

/**
 * Handles errors of effects: the result of {@link orElse} or {@link value} without an effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<E, O, A2, E2, R2> {
  <A, R>(self: Effect.Effect<A, E, R> & CanFallBack<E, O>): Effect.Effect<A | A2, RemainingErrors<E, O> | E2, R | R2>
}

/**
 * Runs another effect in place of an error.
 *
 * **Details** For the errors that are handled see {@link Options}. When several errors came together, all must be
 * handled; otherwise those that are not remain. Emits `FallbackUsed`. An effect whose error type has no such error does
 * not compile.
 *
 * **Gotchas** An exhausted error does not prove that nothing was done. To queue work that must not be done twice, set
 * `when` to `Rejection.neverStarted`.
 *
 * **Example** (Queueing an order for later)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead, Fallback } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const one = yield* Bulkhead.make("payments", { maxConcurrent: 1 })
 *   yield* Effect.forkChild(one.protect(Effect.never), { startImmediately: true })
 *   return yield* Effect.succeed("paid").pipe(
 *     one.protect,
 *     Fallback.orElse((rejection) => Effect.succeed(`queued: ${rejection._tag}`))
 *   )
 * })
 * await Effect.runPromise(program) // => "queued: BulkheadFull"
 * ```
 *
 * @category fallbacks
 * @since 0.1.0
 */
export const orElse: {
  <E, A2, E2, R2, const O extends Options<E> = {}>(
    f: (error: HandledErrors<E, O>) => Effect.Effect<A2, E2, R2>,
    options?: O & Options<E> & Types.NoUnknownOptions<O, Options>
  ): Apply<E, O, A2, E2, R2>
  <A, E, R, A2, E2, R2, const O extends Options<E> = {}>(
    self: Effect.Effect<A, E, R> & CanFallBack<E, O>,
    f: (error: HandledErrors<E, O>) => Effect.Effect<A2, E2, R2>,
    options?: O & Options<E> & Types.NoUnknownOptions<O, Options>
  ): Effect.Effect<A | A2, RemainingErrors<E, O> | E2, R | R2>
} = dual((f, options) => make(f, options))

const make = (f: (error: unknown) => Types.AnyEffect, options: Options | undefined) => {
  if (options !== undefined) Check.noUnknown("Fallback", options, ["when", "name"])
  const name = Check.nonEmpty("Fallback", "name", options?.name ?? "Fallback")
  const when = resolveWhen("Fallback", options?.when)
  return (self: Types.AnyEffect): Types.AnyEffect =>
    Effect.catchCause(self, (cause: Cause.Cause<unknown>) =>
      Effect.withFiber((fiber): Types.AnyEffect => {
        const verdict = examine(cause, when)
        if ("remaining" in verdict) return Effect.failCause(verdict.remaining)
        const { error } = verdict
        report(name, Rejection.is(error) ? error.key : defaultKey, error, fiber)
        return f(error)
      })
    )
}

/**
 * Succeeds with a value in place of an error.
 *
 * **Details** It handles the same errors as {@link orElse}.
 *
 * **Example** (An empty list instead of recommendations)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fallback, Timeout } from "effect-resilience"
 *
 * const recommendations = Effect.sleep("1 minute").pipe(
 *   Effect.as(["a", "b"]),
 *   Timeout.after("5 millis"),
 *   Fallback.value([], { when: "any" })
 * )
 * await Effect.runPromise(recommendations) // => []
 * ```
 *
 * @category fallbacks
 * @since 0.1.0
 */
export const value: {
  <E, const A2, const O extends Options<E> = {}>(
    value: A2,
    options?: O & Options<E> & Types.NoUnknownOptions<O, Options>
  ): Apply<E, O, A2, never, never>
  <A, E, R, const A2, const O extends Options<E> = {}>(
    self: Effect.Effect<A, E, R> & CanFallBack<E, O>,
    value: A2,
    options?: O & Options<E> & Types.NoUnknownOptions<O, Options>
  ): Effect.Effect<A | A2, RemainingErrors<E, O>, R>
} = dual((value, options) => make(() => Effect.succeed(value), options))
