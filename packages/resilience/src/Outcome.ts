/**
 * What a call that has ended says about its dependency: a success, a failure, or nothing at all.
 *
 * A circuit breaker counts outcomes, not exits: a dependency that answers "card declined" is alive, and a call that was
 * interrupted or refused by a policy of ours says nothing about it.
 *
 * @since 0.1.0
 */
import type * as Exit from "effect/Exit"
import * as Rejection from "./Rejection.ts"
import * as Transient from "./Transient.ts"

/**
 * - `"success"`: the dependency is well.
 * - `"failure"`: the call counts against the dependency.
 * - `"ignored"`: the call says nothing; it is not counted at all, and a probe with this outcome is neutral.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "success" | "failure" | "ignored"

/**
 * Which exits count against the dependency, instead of the {@link classify | default}.
 *
 * **Details**
 *
 * `classify` decides alone. Otherwise `failures` names the only error tags that count, `ignore` the tags that never do
 * (they are neutral, not successes), and `failWhen` judges successful values. The tags are checked against the error
 * type of each protected effect.
 *
 * @category models
 * @since 0.1.0
 */
export interface Judgement<in A = unknown, in E = unknown> {
  /** Only errors with these tags count as failures (defects still do). Default: transient errors. */
  readonly failures?: ReadonlyArray<string> | undefined
  /** Errors with these tags say nothing about the dependency. Default: none. */
  readonly ignore?: ReadonlyArray<string> | undefined
  /** A successful value for which this is `true` counts as a failure. The caller still gets the value. */
  readonly failWhen?: Lenient<A, boolean> | undefined
  /** Decides alone what an exit means. Interruption is never asked about: it is always `"ignored"`. */
  readonly classify?: Lenient<Exit.Exit<A, E>, Outcome> | undefined
}

/**
 * A function whose parameter may be written narrower than `In`: a judgement is checked against each protected effect, and
 * one without a type of its own takes anything.
 */
type Lenient<In, Out> = { of(value: In): Out }["of"]

/**
 * The default: a success is a success; transient errors, exhausted errors, our timeouts and defects are failures; any
 * other typed error is a success, because the dependency has answered; rejections and interruption are ignored.
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
 * Makes the classifying function of a judgement.
 *
 * @category classification
 * @since 0.1.0
 */
export const judge = <A, E>(judgement: Judgement<A, E> | undefined): ((exit: Exit.Exit<A, E>) => Outcome) => {
  if (judgement === undefined) return classify
  const { failures, failWhen, ignore } = judgement
  const decide = judgement.classify
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

type Listed<J, Field extends "failures" | "ignore"> = J extends { readonly [K in Field]: ReadonlyArray<infer Tag> }
  ? Tag & string
  : never

/** The tags that a list names and the effect does not have. */
type Unknown<E, J, Field extends "failures" | "ignore"> = Exclude<Listed<J, Field>, TagsOf<E>>

type Has<J, Field extends keyof Judgement> = J extends { readonly [K in Field]: infer V }
  ? [V] extends [undefined]
    ? false
    : true
  : false

/** Errors that count when nothing else is said. */
type Counted<E, J> = Exclude<
  Transient.TransientOf<E> | Transient.ExhaustedOf<E>,
  { readonly _tag: Listed<J, "ignore"> }
>

type TakesValue<A, J> = J extends { readonly failWhen: (value: infer V) => boolean }
  ? [A] extends [V]
    ? true
    : false
  : true

type TakesExit<A, E, J> = J extends { readonly classify: (exit: infer X) => Outcome }
  ? [Exit.Exit<A, E>] extends [X]
    ? true
    : false
  : true

/**
 * `unknown` when a circuit breaker with the judgement `J` can trip on an effect that succeeds with `A` and fails with
 * `E`; otherwise an English sentence that says why it never could.
 *
 * @category type-level
 * @since 0.1.0
 */
export type CanTrip<A, E, J> =
  Has<J, "classify"> extends true
    ? TakesExit<A, E, J> extends true
      ? unknown
      : "`classify` does not take the exits of this effect"
    : [Unknown<E, J, "failures">] extends [never]
      ? [Unknown<E, J, "ignore">] extends [never]
        ? TakesValue<A, J> extends false
          ? "`failWhen` does not take the value of this effect"
          : Has<J, "failures"> extends true
            ? [Listed<J, "failures">] extends [never]
              ? "`failures` is empty: no error could ever open the circuit"
              : unknown
            : Has<J, "failWhen"> extends true
              ? unknown
              : [Counted<E, J>] extends [never]
                ? unknown extends E
                  ? "The errors of this effect have no type: give them one, for example with Effect.mapError, or pass `classify`"
                  : "No error of this effect is Transient: the circuit could never open. Mark its errors with Transient, or pass `failures` or `classify`"
                : unknown
        : `\`ignore\` names ${Unknown<E, J, "ignore">}, which is not the _tag of an error of this effect`
      : `\`failures\` names ${Unknown<E, J, "failures">}, which is not the _tag of an error of this effect`

/**
 * The judgement that holds for a call: its own if it gives one, otherwise that of the policy.
 *
 * @category type-level
 * @since 0.1.0
 */
export type Effective<Own, Call> = [Given<Call>] extends [never] ? Own : Call

/** The fields of a judgement that are there, `undefined` ones not counted. */
type Given<Call> = {
  [K in keyof Call & keyof Judgement]: [Call[K]] extends [undefined] ? never : K
}[keyof Call & keyof Judgement]

/**
 * @category classification
 * @since 0.1.0
 */
export const isJudgement = (options: object | undefined): options is Judgement<unknown, unknown> =>
  options !== undefined && fields.some((field) => (options as Judgement)[field] !== undefined)

const fields: ReadonlyArray<keyof Judgement> = ["failures", "ignore", "failWhen", "classify"]
