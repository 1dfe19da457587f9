/**
 * Classifies how a call ended, as seen from its dependency: a success, a failure, or ignored.
 *
 * A circuit breaker counts outcomes, not exits. A dependency that returns "card declined" is available, and a call that
 * was interrupted or rejected by a policy says nothing about the dependency.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type * as Exit from "effect/Exit"
import * as Rejection from "./Rejection.ts"
import * as Check from "./runtime/options.ts"
import { has, read } from "./runtime/read.ts"
import * as Transient from "./Transient.ts"
import type * as Types from "./Types.ts"

/**
 * The outcome of a call.
 *
 * - `"success"`: the dependency is available.
 * - `"failure"`: the call counts against the dependency.
 * - `"ignored"`: the call is not counted, and a probe with this outcome is neutral.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "success" | "failure" | "ignored"

/**
 * Sets which exits count against the dependency, in place of the {@link classify | default}.
 *
 * **Details** With `classify` the other options are not read. The tags in `failures` and `ignore` are checked against
 * the error type of each protected effect. Whatever the tags are, rejections are ignored, as is a request that the HTTP
 * client refused to send, if `Transient.known` has seen it; defects are failures;
 * `Timeout.TimedOut` is a failure unless `ignore` names it, because the dependency has not responded.
 *
 * **Gotchas** Ignored is not success: an ignored call is not counted at all, so it does not lower a failure rate.
 *
 * @category models
 * @since 0.1.0
 */
export interface Classification<in A = unknown, in E = unknown> {
  /** Only errors with these tags count as failures (defects and timeouts still do). Default: transient errors. */
  readonly failures?: ReadonlyArray<string> | undefined
  /** Errors with these tags are ignored. Default: none. */
  readonly ignore?: ReadonlyArray<string> | undefined
  /**
   * What every other error counts as: a success, because the dependency has responded, or ignored, where such an error
   * does not prove that it has. Default: `"success"`.
   */
  readonly others?: "success" | "ignored" | undefined
  /**
   * What an error counts as that `Transient.isThrottled` and `failures` does not name, such as the status 429: ignored,
   * because the dependency is available, or a failure. Default: `"ignored"`.
   */
  readonly throttled?: "ignored" | "failure" | undefined
  /** A success counts as a failure when this is `true` for its value, and nothing else. The caller still gets the value. */
  readonly failWhen?: Bivariant<A, boolean> | undefined
  /**
   * Classifies an exit. It is not called for an interruption, which is always `"ignored"`. What it throws is a defect beside
   * the error of the call, which then counts as `"ignored"`.
   */
  readonly classify?: Bivariant<Exit.Exit<A, E>, Outcome> | undefined
}

/**
 * A function whose parameter may be narrower than `In`, because it is checked against each protected effect and not
 * here.
 */
type Bivariant<In, Out> = { of(value: In): Out }["of"]

/**
 * Classifies an exit when no classification is configured.
 *
 * **Details** In this order, for all reasons of the exit together:
 *
 * - A defect is a failure.
 * - A transient or exhausted error is a failure, `Timeout.TimedOut` included, unless it is throttled.
 * - Any other typed error is a success, because the dependency has responded.
 * - Rejections, interruptions, and throttled errors alone are ignored. So is a request that the HTTP client itself refused
 *   to send, if `Transient.known` has seen it.
 *
 * **Example** (Classifying exits)
 *
 * ```ts
 * import { Exit } from "effect"
 * import { Outcome } from "effect-resilience"
 *
 * Outcome.classify(Exit.succeed(1)) // => "success"
 * Outcome.classify(Exit.fail({ _tag: "NotFound" })) // => "success"
 * Outcome.classify(Exit.die("bug")) // => "failure"
 * Outcome.classify(Exit.interrupt()) // => "ignored"
 * ```
 *
 * @category classification
 * @since 0.1.0
 */
export const classify = (exit: Exit.Exit<unknown, unknown>): Outcome =>
  exit._tag === "Success" ? "success" : classifyCause(exit, classifyError)

const classifyCause = (exit: Exit.Failure<unknown, unknown>, classifyError: (error: unknown) => Outcome): Outcome => {
  let outcome: Outcome = "ignored"
  for (const reason of exit.cause.reasons) {
    if (reason._tag === "Interrupt") continue
    const one =
      reason._tag === "Fail" ? classifyError(reason.error) : Transient.isIgnored(reason.defect) ? "ignored" : "failure"
    if (one === "failure") return one
    if (one === "success") outcome = one
  }
  return outcome
}

const tagIn = (tags: ReadonlyArray<string>) => {
  const set = new Set<unknown>(tags)
  return (error: unknown): boolean => set.has(read(error, "_tag"))
}

/**
 * The mark of `Timeout.TimedOut`, on its prototype.
 *
 * @internal
 */
export const TimedOutTypeId = "~effect-resilience/TimedOut" as const

const errorClassifier = (options: Classification) => {
  const { others = "success", throttled = "ignored" } = options
  const fails = options.failures === undefined ? undefined : tagIn(options.failures)
  const isIgnored = tagIn(options.ignore ?? [])
  return (error: unknown): Outcome => {
    if (Rejection.isLocal(error) || isIgnored(error) || Transient.isIgnored(error)) return "ignored"
    if (fails !== undefined && (fails(error) || has(error, TimedOutTypeId))) return "failure"
    if (Transient.isThrottled(error)) return throttled
    return fails === undefined && Transient.is(error) ? "failure" : others
  }
}

const classifyError = errorClassifier({})

/**
 * Creates the function that classifies exits by the given options; without options it is {@link classify}.
 *
 * @category classification
 * @since 0.1.0
 */
export const classifier = <A, E>(options: Classification<A, E> | undefined): ((exit: Exit.Exit<A, E>) => Outcome) => {
  if (options === undefined) return classify
  Check.classification("Outcome.classifier", options)
  const { failWhen } = options
  const decide = options.classify
  if (decide !== undefined) {
    return (exit) =>
      exit._tag === "Failure" && exit.cause.reasons.every((reason) => reason._tag === "Interrupt")
        ? "ignored"
        : decide(exit)
  }
  if (!isClassification(options)) return classify
  const classifyError = errorClassifier(options)
  return (exit) =>
    exit._tag === "Failure"
      ? classifyCause(exit, classifyError)
      : failWhen?.(exit.value) === true
        ? "failure"
        : "success"
}

/**
 * How long a cache keeps an exit; see {@link timeToLive}.
 *
 * @category models
 * @since 0.1.0
 */
export interface TimeToLiveOptions {
  /** How long a success is kept. A duration of zero or more, also an infinite one. */
  readonly success: Duration.Input
  /** How long a permanent error is kept, such as `NotFound`. A duration of zero or more, also an infinite one. Default: zero. */
  readonly failure?: Duration.Input | undefined
}

/**
 * Computes how long a cache keeps an exit: what another call may cure is not kept at all.
 *
 * **When to use** As `timeToLive` of `Cache.makeWith`, `PersistedCache` and `RequestResolver.persisted`, around a lookup that is
 * protected. `Cache.make` keeps a rejection as long as a value, so callers would get it after the dependency has recovered.
 *
 * **Details** Not kept are rejections, also as the cause of another error, transient and exhausted errors, errors of Effect that
 * `Transient.isKnown` finds, timeouts, defects and interruptions.
 *
 * A duration out of range throws a `RangeError` at once.
 *
 * **Example** (A cache that does not keep an outage)
 *
 * ```ts
 * import { Cache, Effect } from "effect"
 * import { Outcome, Transient } from "effect-resilience"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 * let lookups = 0
 *
 * const program = Effect.gen(function*() {
 *   const users = yield* Cache.makeWith(
 *     (id: number) => Effect.suspend(() => ++lookups === 1 ? Effect.fail(new Down()) : Effect.succeed(`user ${id}`)),
 *     { capacity: 100, timeToLive: Outcome.timeToLive({ success: "1 minute", failure: "10 seconds" }) }
 *   )
 *   yield* Effect.exit(Cache.get(users, 7))
 *   yield* Cache.get(users, 7)
 *   return yield* Cache.get(users, 7)
 * })
 * await Effect.runPromise(program) // => "user 7"
 * lookups // => 2
 * ```
 *
 * @category caching
 * @since 0.1.0
 */
export const timeToLive = (
  options: TimeToLiveOptions
): ((exit: Exit.Exit<unknown, unknown>, key?: unknown) => Duration.Duration) => {
  const where = "Outcome.timeToLive"
  Check.noUnknown(where, options, ["success", "failure"])
  const millis = (field: keyof TimeToLiveOptions, value: Duration.Input): Duration.Duration => {
    const result = Check.millis(where, field, value, { zero: true, infinite: true })
    return result === Infinity ? Duration.infinity : Duration.millis(result)
  }
  const success = millis("success", options.success)
  const failure = millis("failure", Check.orDefault<Duration.Input>(options.failure, 0))
  return (exit) => {
    if (exit._tag === "Success") return success
    return exit.cause.reasons.every((reason) => reason._tag === "Fail" && isLasting(reason.error))
      ? failure
      : Duration.zero
  }
}

/** Would a later call end in the same way? */
const isLasting = (error: unknown): boolean =>
  Rejection.of(error) === undefined && !Transient.is(error) && !Transient.isKnown(error)

// ---------------------------------------------------------------------------------------------------------------------
// Refusals of the compiler
// ---------------------------------------------------------------------------------------------------------------------

type TagsOf<E> = E extends { readonly _tag: infer Tag extends string } ? Tag : never

type ListedTags<C, Field extends "failures" | "ignore"> = C extends { readonly [K in Field]: ReadonlyArray<infer Tag> }
  ? Tag & string
  : never

type KnownTags<E, C, Field extends "failures" | "ignore"> = [Exclude<ListedTags<C, Field>, TagsOf<E>>] extends [
  infer Tag extends string
]
  ? [Tag] extends [never]
    ? unknown
    : `\`${Field}\` names ${Tag}, which is not the _tag of an error of this effect`
  : never

type Has<C, Field extends keyof Classification> = C extends { readonly [K in Field]: infer V }
  ? [V] extends [undefined]
    ? false
    : true
  : false

/** The errors that count by default. */
type CountedErrors<E, C> = Exclude<
  Transient.TransientOf<E> | Transient.ExhaustedOf<E>,
  { readonly _tag: ListedTags<C, "ignore"> }
>

type TakesSuccess<A, C> = C extends { readonly failWhen: (value: infer V) => boolean }
  ? [A] extends [V]
    ? unknown
    : "The `failWhen` predicate does not accept this effect's success type"
  : unknown

type TakesExit<A, E, C> = C extends { readonly classify: (exit: infer X) => Outcome }
  ? [Exit.Exit<A, E>] extends [X]
    ? unknown
    : "The `classify` function does not accept the exits of this effect"
  : unknown

type CountsSomething<E, C> =
  Has<C, "failures"> extends true
    ? [ListedTags<C, "failures">] extends [never]
      ? "`failures` is empty: no error could ever open the circuit"
      : unknown
    : Has<C, "failWhen"> extends true
      ? unknown
      : [CountedErrors<E, C>] extends [never]
        ? unknown extends E
          ? "The error type of this effect is `unknown`: narrow it first, for example with Effect.mapError, or pass `classify`"
          : "No error of this effect is Transient: the circuit could never open. Mark its errors with Transient, or pass `failures` or `classify`"
        : unknown

/**
 * `unknown` when a circuit breaker with the classification `C` can trip on an effect that succeeds with `A` and fails
 * with `E`; otherwise a literal type whose text says why it never could.
 *
 * **Details** `R` is what the effect requires; it tells an effect of unknown errors from a value that is no effect. `Own`
 * are the errors of the effect without those that a policy adds.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanTrip<A, E, C, R = never, Own = E> = Types.First<
  Has<C, "classify"> extends true
    ? [TakesExit<A, E, C>]
    : [
        Types.RequireEffect<E, R>,
        KnownTags<E, C, "failures">,
        KnownTags<E, C, "ignore">,
        TakesSuccess<A, C>,
        CountsSomething<Own, C>
      ]
>

/** The names of the options of a classification among other options, without those that are `undefined`. */
type GivenFields<O> = {
  [K in keyof O & keyof Classification]: [O[K]] extends [undefined] ? never : K
}[keyof O & keyof Classification]

/**
 * The classification among the options of a policy; `{}` when they have none.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ClassificationOf<O> = [O] extends [infer Given] ? { readonly [K in GivenFields<Given>]: Given[K] } : never

/**
 * The classification that applies to a call: its own if it has one, otherwise that of the policy.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Effective<Policy, Call> = [GivenFields<Call>] extends [never] ? Policy : ClassificationOf<Call>

/**
 * Checks whether options contain a classification: at least one of `failures`, `ignore`, `others`, `throttled`,
 * `failWhen` and `classify`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isClassification = (options: object | undefined): options is Classification<unknown, unknown> =>
  fields.some((field) => read(options, field) !== undefined)

const fields: ReadonlyArray<keyof Classification> = [
  "failures",
  "ignore",
  "others",
  "throttled",
  "failWhen",
  "classify"
]
