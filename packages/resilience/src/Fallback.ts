/**
 * An answer in place of the dependency's, when a policy refused the call or a retry gave up on it.
 *
 * By default a fallback answers only those two: a permanent error is the dependency's answer, and a transient one that
 * nobody retried should be retried first. Defects and interruption are never answered.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { reporterOf } from "./internal/hub.ts"
import { Keyed } from "./internal/keyed.ts"
import * as Options_ from "./internal/options.ts"
import * as Protecting from "./internal/protect.ts"
import { isExhausted } from "./internal/retry.ts"
import * as Time from "./internal/time.ts"
import type { AnyEffect, AnyFiber, NoOther } from "./internal/types.ts"
import * as Rejection from "./Rejection.ts"
import type * as Transient from "./Transient.ts"

/**
 * The members of `E` that a fallback answers when nothing else is said: rejections and exhausted errors.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Handled<E> = E extends Rejection.Rejection ? E : Transient.ExhaustedOf<E>

/**
 * Which errors a fallback answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<in E = never> {
  /** `"rejected"`: rejections and exhausted errors. `"any"`: every error. Or those for which a predicate holds. Default: `"rejected"`. */
  readonly when?: "rejected" | "any" | ((error: E) => boolean) | undefined
  /** The name in events. Default: `"Fallback"`. */
  readonly name?: string | undefined
}

type Answered<E, O> = O extends { readonly when: infer W } ? (W extends "rejected" ? Handled<E> : E) : Handled<E>

/** What stays in the error type: a predicate may leave any error. */
type Left<E, O> = 0 extends 1 & E ? E : LeftOf<E, O>

type LeftOf<E, O> = O extends { readonly when: infer W }
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
  ? "No error of this effect is a rejection or an exhausted error: there is nothing to fall back from. The option `when` lets it answer others"
  : unknown

/**
 * A function that answers errors of effects.
 *
 * @category models
 * @since 0.1.0
 */
export interface Apply<E, O, A2, E2, R2> {
  <A, R>(self: Effect.Effect<A, E, R> & CanFallBack<E, O>): Effect.Effect<A | A2, Left<E, O> | E2, R | R2>
}

const checkedWhen = (where: string, when: unknown): Options<unknown>["when"] =>
  when === undefined || when === "rejected" || when === "any" || typeof when === "function"
    ? (when as Options<unknown>["when"])
    : Options_.reject(where, "when", '"rejected", "any" or a predicate', when)

/** What a fallback makes of a cause: an error to answer, or the cause that stays. */
type Verdict = { readonly error: unknown } | { readonly stays: Cause.Cause<unknown> }

/**
 * Defects and interruption are never answered. Of failures that came together those that are not answered stay, and the
 * others are left out, as the type says.
 */
const judge = (cause: Cause.Cause<unknown>, when: Options<unknown>["when"]): Verdict => {
  if (cause.reasons.some((reason) => reason._tag !== "Fail")) return { stays: cause }
  const failures = cause.reasons.filter(Cause.isFailReason)
  const stay = failures.filter((reason) => !isAnswered(reason, when))
  const [first] = failures
  if (stay.length > 0 || first === undefined) return { stays: Cause.fromReasons(stay) }
  return { error: first.error }
}

const isAnswered = (reason: Cause.Fail<unknown>, when: Options<unknown>["when"]): boolean => {
  if (when === "any") return true
  if (typeof when === "function") return when(reason.error)
  return Rejection.is(reason.error) || isExhausted(reason)
}

const report = (name: string, key: string, error: unknown, fiber: AnyFiber): void => {
  const reporter = reporterOf(name, fiber)
  if (reporter.heard) {
    reporter.report({ _tag: "FallbackUsed", policy: name, key, at: Time.epochMillis(fiber), error })
  }
}

/**
 * Goes on with another effect.
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
export const orElse = <E, A2, E2, R2, const O extends Options<E> = {}>(
  f: (error: Answered<E, O>) => Effect.Effect<A2, E2, R2>,
  options?: O & Options<E> & NoOther<O, Options>
): Apply<E, O, A2, E2, R2> => {
  if (options !== undefined) Options_.known("Fallback", options, ["when", "name"])
  const name = Options_.nonEmpty("Fallback", "name", options?.name ?? "Fallback")
  const when = checkedWhen("Fallback", options?.when)
  // The error handed to `f` was found to be one of those it takes; the rest keeps its type.
  return (self) =>
    Effect.catchCause(self, (cause) =>
      Effect.withFiber((fiber): Effect.Effect<A2, Left<E, O> | E2, R2> => {
        const verdict = judge(cause, when)
        if ("stays" in verdict) return Effect.failCause(verdict.stays as Cause.Cause<Left<E, O>>)
        const { error } = verdict
        report(name, Rejection.is(error) ? error.key : Rejection.defaultKey, error, fiber)
        return f(error as Answered<E, O>)
      })
    )
}

/**
 * Answers with a value.
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
export const value = <E, const A2, const O extends Options<E> = {}>(
  value: A2,
  options?: O & Options<E> & NoOther<O, Options>
): Apply<E, O, A2, never, never> => orElse<E, A2, never, never, O>(() => Effect.succeed(value), options)

/**
 * Options of a fallback to the last good value.
 *
 * @category models
 * @since 0.1.0
 */
export interface StaleOptions {
  /** A value older than this is not used. A duration above zero. */
  readonly maxAge: Duration.Input
  /** Values kept; when there are more, one of the oldest is dropped. An integer >= 1. Default: 10,000. */
  readonly maxKeys?: number | undefined
  /** `"rejected"`: rejections and exhausted errors. `"any"`: every error. Or those for which a predicate holds. Default: `"rejected"`. */
  readonly when?: "rejected" | "any" | ((error: unknown) => boolean) | undefined
}

/**
 * A fallback that remembers the last good value of each key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stale<in out A, R = never> {
  /** Remembers the successes of an effect, and answers its failures with the last one. */
  readonly protect: ProtectStale<A, R>
  /** Forgets the value of one key. */
  readonly forget: (key?: string) => Effect.Effect<void, never, R>
}

/**
 * @category models
 * @since 0.1.0
 */
export interface ProtectStale<A, R2> {
  <Arg extends AnyEffect | { readonly key?: string | undefined }>(
    arg: Arg & TakesStale<Arg, A>,
    options?: { readonly key?: string | undefined }
  ): [Arg] extends [Effect.Effect<infer _A1, infer E, infer R>]
    ? Effect.Effect<A, E, R | R2>
    : <A1, E, R>(self: Effect.Effect<A1, E, R> & RemembersStale<A1, A>) => Effect.Effect<A, E, R | R2>
}

type TakesStale<Arg, A> = [Arg] extends [Effect.Effect<infer A1, infer _E, infer _R>]
  ? RemembersStale<A1, A>
  : NoOther<Arg, { readonly key?: string | undefined }>

type RemembersStale<A1, A> = [A1] extends [A]
  ? unknown
  : "The values of this effect are not those that this fallback remembers"

interface Remembered<A> {
  readonly key: string
  lastUsed: number
  value: A | undefined
  /** When the value was good; `-Infinity` before there is one. */
  at: number
}

/**
 * Makes a fallback to the last good value.
 *
 * **Example** (Yesterday's price is better than none)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fallback, Transient } from "effect-resilience"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 *
 * const program = Effect.gen(function*() {
 *   const prices = yield* Fallback.stale<number>("prices", { maxAge: "1 day", when: "any" })
 *   const good = yield* Effect.succeed(42).pipe(prices.protect({ key: "tea" }))
 *   const stale = yield* Effect.fail(new Down()).pipe(prices.protect({ key: "tea" }))
 *   return [good, stale]
 * })
 * await Effect.runPromise(program) // => [42, 42]
 * ```
 *
 * @category fallbacks
 * @since 0.1.0
 */
export const stale = <A>(name: string, options: StaleOptions): Effect.Effect<Stale<A>> => {
  const make = staleOf<A>(name, options)
  return Effect.sync(make)
}

const staleOf = <A>(name: string, options: StaleOptions): (() => Stale<A>) => {
  const where = "Fallback.stale"
  Options_.nonEmpty(where, "name", name)
  Options_.known(where, options, ["maxAge", "maxKeys", "when"])
  const maxAge = Options_.millis(where, "maxAge", options.maxAge, { infinite: true })
  const maxKeys = options.maxKeys === undefined ? undefined : Options_.integer(where, "maxKeys", options.maxKeys, 1)
  const keys = { maxKeys, idleTimeToLive: Duration.millis(maxAge) }
  const make = (key: string, now: number): Remembered<A> => ({
    key,
    lastUsed: Math.floor(now),
    value: undefined,
    at: -Infinity
  })
  const values = () => new Keyed<Remembered<A>>(where, keys, make, () => false)
  const when = checkedWhen(where, options.when)
  return () => {
    const kept = values()
    const protect = Protecting.protect<{ readonly key?: string | undefined }>((self, call) => {
      const key = call?.key ?? Rejection.defaultKey
      return Effect.matchCauseEffect(self, {
        onSuccess: (value: A) =>
          Effect.withFiber((fiber) => {
            const now = Time.monotonicMillis(fiber)
            const entry = kept.get(key, fiber)
            entry.lastUsed = Math.floor(now)
            entry.value = value
            entry.at = now
            return Effect.succeed(value)
          }),
        onFailure: (cause) =>
          Effect.withFiber((fiber): AnyEffect => {
            const entry = kept.peek(key)
            const verdict = judge(cause, when)
            if (entry === undefined || "stays" in verdict || Time.monotonicMillis(fiber) - entry.at > maxAge) {
              return Effect.failCause(cause)
            }
            report(name, key, verdict.error, fiber)
            return Effect.succeed(entry.value)
          })
      })
    })
    return {
      // The implementation handles effects of any type; the interface says which ones.
      protect: protect as unknown as ProtectStale<A, never>,
      forget: (key = Rejection.defaultKey) => Effect.sync(() => kept.delete(key))
    }
  }
}

/**
 * The statics of the service class of a fallback to the last good value.
 *
 * @category models
 * @since 0.1.0
 */
export interface StaleClass<Self, A, Id extends string>
  extends Context.ServiceClass<Self, Id, Stale<A>>,
    Stale<A, Self> {
  readonly layer: Layer.Layer<Self>
}

/**
 * A fallback to the last good value, as a service.
 *
 * **Example** (The last good rates)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Fallback } from "effect-resilience"
 *
 * class Rates extends Fallback.Stale<Rates, number>()("app/Rates", { maxAge: "1 hour" }) {}
 *
 * await Effect.runPromise(Effect.succeed(1.08).pipe(Rates.protect, Effect.provide(Rates.layer))) // => 1.08
 * ```
 *
 * @category fallbacks
 * @since 0.1.0
 */
export const Stale =
  <Self, A>() =>
  <const Id extends string>(id: Id, options: StaleOptions): StaleClass<Self, A, Id> => {
    const make = staleOf<A>(id, options)
    const service = Context.Service<Self, Stale<A>>()(id)
    const inContext = Protecting.inContext(service)
    const members: Omit<StaleClass<Self, A, Id>, keyof Context.ServiceClass<Self, Id, Stale<A>>> = {
      protect: inContext.protect((fallback) => fallback.protect) as unknown as ProtectStale<A, Self>,
      forget: inContext.call((fallback) => fallback.forget),
      layer: Layer.effect(service, Effect.sync(make))
    }
    return Object.assign(service, members) as StaleClass<Self, A, Id>
  }
