/**
 * Replaces the error of a rejected or exhausted call with another effect or a value.
 *
 * By default a fallback handles only rejections and exhausted errors, because a permanent error is a response of the
 * dependency, and a transient error should be retried first. Defects and interruptions are never handled.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { fallback, resolveWhen } from "./engine/fallback.ts"
import type * as Rejection from "./Rejection.ts"
import { dual } from "./runtime/dual.ts"
import * as Check from "./runtime/options.ts"
import type * as Transient from "./Transient.ts"
import type * as Types from "./Types.ts"

/**
 * The members of `E` that a fallback handles by default: rejections and exhausted errors.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Handled<E> = E extends Rejection.Rejection ? E : Transient.ExhaustedOf<E>

/** `Timeout.TimedOut` by its fields, because policies do not import each other. */
interface TimedOut {
  readonly _tag: "TimedOut"
  readonly policy: string
  readonly key: string
  readonly after: Duration.Duration
}

/**
 * The members of `E` that may prove that the work never started: rejections before the start, and transient errors, which
 * the dependency may mark as unprocessed. A timeout never proves it.
 *
 * @category utility types
 * @since 0.1.0
 */
export type NeverStarted<E> = E extends Rejection.CircuitOpen | Rejection.BulkheadFull | Rejection.RateLimited
  ? E
  : E extends Rejection.DeadlineExceeded
    ? E & { readonly started: false }
    : E extends TimedOut
      ? never
      : E extends Transient.Transient | { readonly unprocessed: boolean }
        ? E
        : never

/**
 * Options of a fallback.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = never> {
  /**
   * Which errors are handled. Default: `"rejected"`.
   *
   * - `"rejected"`: rejections and exhausted errors
   * - `"neverStarted"`: errors that prove that no attempt of the call did any work: `Rejection.neverStarted` or
   *   `Transient.isUnprocessed` is `true` for the error, and no earlier attempt may have done its work
   * - `"any"`: every error
   * - a predicate: the errors for which it is `true`
   */
  readonly when?: "rejected" | "neverStarted" | "any" | ((error: E) => boolean) | undefined
  /** The name in events. Default: `"Fallback"`. */
  readonly name?: string | undefined
}

/** The errors that the fallback handles. */
type HandledErrors<E, O> = O extends { readonly when: infer W }
  ? W extends "rejected"
    ? Handled<E>
    : W extends "neverStarted"
      ? NeverStarted<E>
      : E
  : Handled<E>

/** The errors that remain: with a predicate each error may remain. */
type RemainingErrors<E, O> = 0 extends 1 & E
  ? E
  : O extends { readonly when: infer W }
    ? W extends "any"
      ? never
      : W extends "rejected"
        ? Exclude<E, Handled<E>>
        : W extends "neverStarted"
          ? Exclude<E, Rejection.CircuitOpen | Rejection.BulkheadFull | Rejection.RateLimited>
          : E
    : Exclude<E, Handled<E>>

type CanFallBack<E, O> = O extends { readonly when: infer W }
  ? W extends "rejected"
    ? HasHandled<E>
    : W extends "neverStarted"
      ? HasNeverStarted<E>
      : unknown
  : HasHandled<E>

type HasHandled<E> = [Handled<E>] extends [never]
  ? "No error of this effect is a rejection or an exhausted error: there is nothing to fall back from. Use the option `when` to handle other errors"
  : unknown

type HasNeverStarted<E> = [NeverStarted<E>] extends [never]
  ? "No error of this effect can prove that the work never started: there is nothing to fall back from"
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
 * **Gotchas** An exhausted error does not prove that nothing was done: with `unprocessedOnly`, a call that timed out is
 * exhausted too. To queue work that must not be done twice, set `when` to `"neverStarted"`.
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
 * **Example** (A charge that is queued only if it never started)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fallback, Policy, Retry, Transient } from "effect-resilience"
 *
 * class Reset extends Transient.TaggedError<Reset>()("Reset", {}) {}
 *
 * const program = Effect.gen(function*() {
 *   const payments = yield* Policy.make("payments", {
 *     retry: { schedule: Retry.backoff(), unprocessedOnly: true },
 *     bulkhead: { maxConcurrent: 20 }
 *   })
 *   return yield* Effect.fail(new Reset()).pipe(
 *     payments.protect,
 *     Fallback.orElse(() => Effect.succeed("queued"), { when: "neverStarted" }),
 *     Effect.catchTag("Reset", () => Effect.succeed("ask whether it was charged"))
 *   )
 * })
 * await Effect.runPromise(program) // => "ask whether it was charged"
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
} = dual("Fallback.orElse", (f, options) => {
  Check.callback("Fallback.orElse", "the argument", "a function that returns an Effect", f)
  return make(f, options)
})

const make = (orElse: (error: unknown) => Types.AnyEffect, options: Options | undefined) => {
  const where = Check.namedBy("Fallback", options)
  if (options !== undefined) Check.noUnknown(where, options, ["when", "name"])
  const name = Check.nonEmpty(where, "name", Check.orDefault(options?.name, "Fallback"))
  return fallback({ name, when: resolveWhen(where, options?.when), orElse })
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
} = dual("Fallback.value", (value, options) => make(() => Effect.succeed(value), options))
