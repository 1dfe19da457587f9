/**
 * Classifies how a call ended, as seen from its dependency: a success, a failure, or ignored.
 *
 * A circuit breaker counts outcomes, not exits. A dependency that returns "card declined" is available, and a call that
 * was interrupted or rejected by a policy says nothing about the dependency.
 *
 * @since 0.1.0
 */
import type * as Exit from "effect/Exit"
import * as Rejection from "./Rejection.ts"
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
 * the error type of each protected effect. Rejections are ignored and defects are failures, whatever the tags are.
 *
 * `Timeout.TimedOut` is a failure, whatever `failures` says: the dependency has not responded. Only `classify`, or
 * `ignore` with its tag, decides otherwise.
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
  /** A success counts as a failure when this is `true` for its value. The caller still gets the value. */
  readonly failWhen?: Bivariant<A, boolean> | undefined
  /** Classifies an exit. It is not called for an interruption, which is always `"ignored"`. */
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
 * - A transient or exhausted error is a failure, `Timeout.TimedOut` included.
 * - Any other typed error is a success, because the dependency has responded.
 * - Rejections and interruptions alone are ignored.
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
  exit._tag === "Success" ? "success" : classifyCause(exit, Transient.is)

const classifyCause = (
  exit: Exit.Failure<unknown, unknown>,
  isFailure: (error: unknown) => boolean,
  isIgnored: (error: unknown) => boolean = Rejection.is
): Outcome => {
  let outcome: Outcome = "ignored"
  for (const reason of exit.cause.reasons) {
    if (reason._tag === "Die") return "failure"
    if (reason._tag === "Interrupt" || isIgnored(reason.error)) continue
    if (isFailure(reason.error)) return "failure"
    outcome = "success"
  }
  return outcome
}

const tagIn = (tags: ReadonlyArray<string>) => {
  const set = new Set<unknown>(tags)
  return (error: unknown): boolean =>
    typeof error === "object" && error !== null && "_tag" in error && set.has(error._tag)
}

/**
 * The property key of the mark on the error of a timeout.
 *
 * @internal
 */
export const TimeoutTypeId = "~effect-resilience/TimedOut" as const

/** A timeout of this package, and not an error of the user's with the same tag. */
const isTimeout = (error: unknown): boolean => typeof error === "object" && error !== null && TimeoutTypeId in error

/**
 * Creates the function that classifies exits by the given options; without options it is {@link classify}.
 *
 * @category classification
 * @since 0.1.0
 */
export const classifier = <A, E>(options: Classification<A, E> | undefined): ((exit: Exit.Exit<A, E>) => Outcome) => {
  if (options === undefined) return classify
  const { failures, failWhen, ignore } = options
  const decide = options.classify
  if (decide !== undefined) {
    return (exit) =>
      exit._tag === "Failure" && exit.cause.reasons.every((reason) => reason._tag === "Interrupt")
        ? "ignored"
        : decide(exit)
  }
  if (failures === undefined && ignore === undefined && failWhen === undefined) return classify
  const listed = failures === undefined ? Transient.is : tagIn(failures)
  const isFailure = (error: unknown): boolean => isTimeout(error) || listed(error)
  const ignored = ignore === undefined ? Rejection.is : tagIn(ignore)
  const isIgnored = (error: unknown): boolean => ignored(error) || Rejection.is(error)
  return (exit) =>
    exit._tag === "Failure" ? classifyCause(exit, isFailure, isIgnored) : failWhen?.(exit.value) ? "failure" : "success"
}

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
 * @category utility types
 * @since 0.1.0
 */
export type CanTrip<A, E, C> = Types.First<
  Has<C, "classify"> extends true
    ? [TakesExit<A, E, C>]
    : [KnownTags<E, C, "failures">, KnownTags<E, C, "ignore">, TakesSuccess<A, C>, CountsSomething<E, C>]
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
 * Checks whether options contain a classification: at least one of `failures`, `ignore`, `failWhen` and `classify`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isClassification = (options: object | undefined): options is Classification<unknown, unknown> =>
  options !== undefined && fields.some((field) => (options as Classification)[field] !== undefined)

const fields: ReadonlyArray<keyof Classification> = ["failures", "ignore", "failWhen", "classify"]
