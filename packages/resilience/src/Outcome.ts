/**
 * How a call counts for its dependency: as a success, as a failure, or not at all.
 *
 * A circuit breaker counts outcomes, not exits: a dependency that returns "card declined" is available, and a call that was
 * interrupted or rejected by a policy tells nothing about it.
 *
 * @since 0.1.0
 */
import type * as Exit from "effect/Exit"
import * as Rejection from "./Rejection.ts"
import * as Transient from "./Transient.ts"
import type * as Types from "./Types.ts"

/**
 * - `"success"`: the dependency is available.
 * - `"failure"`: the call counts against the dependency.
 * - `"ignored"`: the call is not counted, and a probe with this outcome is neutral.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "success" | "failure" | "ignored"

/**
 * Which exits count against the dependency, in place of the {@link classify | default}.
 *
 * **Details**
 *
 * With `classify` the other options are not read. Otherwise `failures` lists the only error tags that count, `ignore` the
 * tags that are ignored (which is not the same as a success), and `failWhen` classifies successful values. The tags are
 * checked against the error type of each protected effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface Classification<in A = unknown, in E = unknown> {
  /** Only errors with these tags count as failures (defects still do). Default: transient errors. */
  readonly failures?: ReadonlyArray<string> | undefined
  /** Errors with these tags are ignored. Default: none. */
  readonly ignore?: ReadonlyArray<string> | undefined
  /** A successful value for which this is `true` counts as a failure. The caller still gets the value. */
  readonly failWhen?: Bivariant<A, boolean> | undefined
  /** Classifies an exit. It is not called for an interruption, which is always `"ignored"`. */
  readonly classify?: Bivariant<Exit.Exit<A, E>, Outcome> | undefined
}

/**
 * A function whose parameter may be narrower than `In`: a classification is checked against each protected effect, and one
 * without a type of its own accepts any.
 */
type Bivariant<In, Out> = { of(value: In): Out }["of"]

/**
 * The default: a success is a success; transient errors, exhausted errors, our timeouts and defects are failures; any
 * other typed error is a success, because the dependency has responded; rejections and interruption are ignored.
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
 * The function that classifies exits as the options say.
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
  const isFailure = failures === undefined ? Transient.is : tagIn(failures)
  const ignored = ignore === undefined ? Rejection.is : tagIn(ignore)
  const isIgnored = (error: unknown): boolean => ignored(error) || Rejection.is(error)
  return (exit) =>
    exit._tag === "Failure" ? classifyCause(exit, isFailure, isIgnored) : failWhen?.(exit.value) ? "failure" : "success"
}

// ---------------------------------------------------------------------------------------------------------------------
// What the compiler refuses
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
    : "`failWhen` does not take the value of this effect"
  : unknown

type TakesExit<A, E, C> = C extends { readonly classify: (exit: infer X) => Outcome }
  ? [Exit.Exit<A, E>] extends [X]
    ? unknown
    : "`classify` does not take the exits of this effect"
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
          ? "The errors of this effect have no type: give them one, for example with Effect.mapError, or pass `classify`"
          : "No error of this effect is Transient: the circuit could never open. Mark its errors with Transient, or pass `failures` or `classify`"
        : unknown

/**
 * `unknown` when a circuit breaker with the classification `C` can trip on an effect that succeeds with `A` and fails with
 * `E`; otherwise an English sentence that says why it never could.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanTrip<A, E, C> = Types.First<
  Has<C, "classify"> extends true
    ? [TakesExit<A, E, C>]
    : [KnownTags<E, C, "failures">, KnownTags<E, C, "ignore">, TakesSuccess<A, C>, CountsSomething<E, C>]
>

/** The options of a classification among others, those that are `undefined` left out. */
type GivenFields<O> = {
  [K in keyof O & keyof Classification]: [O[K]] extends [undefined] ? never : K
}[keyof O & keyof Classification]

/**
 * The classification among the options of a policy: `{}` when there is none.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ClassificationOf<O> = [O] extends [infer Given] ? { readonly [K in GivenFields<Given>]: Given[K] } : never

/**
 * The classification that holds for a call: its own if it has one, otherwise that of the policy.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Effective<Policy, Call> = [GivenFields<Call>] extends [never] ? Policy : ClassificationOf<Call>

/**
 * Do these options have a classification?
 *
 * @category guards
 * @since 0.1.0
 */
export const isClassification = (options: object | undefined): options is Classification<unknown, unknown> =>
  options !== undefined && fields.some((field) => (options as Classification)[field] !== undefined)

const fields: ReadonlyArray<keyof Classification> = ["failures", "ignore", "failWhen", "classify"]
