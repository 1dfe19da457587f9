/** The base of every law: a name, and a check that returns what is wrong. */

import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Plain from "../plain.ts"
import { world } from "../world.ts"

export interface Options {
  readonly runs?: number | undefined
  readonly seed?: string | number | undefined
}

export interface Law {
  readonly name: string
  readonly check: Effect.Effect<void, Broken>
}

export class Broken extends Data.TaggedError("Broken")<{
  readonly subject: string
  readonly law: string
  readonly reason: string
  /** The smallest input that breaks the law; `undefined` for a law without inputs. */
  readonly input: unknown
  readonly seed: string | number
}> {
  override get message(): string {
    const { input, law, reason, seed, subject } = this
    return [
      `${subject} breaks the law "${law}": ${reason}`,
      ...(input === undefined ? [] : [`  with ${Plain.show(input, 2000)}`]),
      `  seed ${JSON.stringify(seed)}`
    ].join("\n")
  }
}

/** What is wrong, or `undefined`. */
export type Verdict = string | undefined

export type Holds<A> = (value: A) => Verdict | Effect.Effect<Verdict, unknown, Scope.Scope>

/** Runs the check in its own world. A defect is reported as what is wrong. */
const judged = <A>(holds: Holds<A>, value: A, seed: string | number): Effect.Effect<Verdict> =>
  Effect.suspend(() => {
    const verdict = holds(value)
    return Effect.isEffect(verdict) ? verdict : Effect.succeed(verdict)
  }).pipe(
    world(seed),
    Effect.catchCause((cause) => Effect.succeed(thrown(cause)))
  )

const thrown = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return `it threw ${error instanceof Error ? `${error.name}: ${error.message}` : Plain.show(error)}`
}

/** Synchronous checks run without a fiber, because there may be a hundred thousand of them. */
const judgedNow = <A>(holds: (value: A) => Verdict, value: A): Verdict =>
  Result.getOrElse(
    Result.try(() => holds(value)),
    (error) => thrown(Cause.die(error))
  )

/** The constructors of laws for one subject. */
export const laws = (subject: string, { runs = 100, seed = 0 }: Options) => {
  const broken = (law: string, reason: string, input?: unknown) =>
    Effect.fail(new Broken({ subject, law, reason, input, seed }))

  const report = <A>(law: string, result: Arbitrary.CheckResult<A, Verdict>): Effect.Effect<void, Broken> => {
    if (result._tag === "Passed") return Effect.void
    if (result._tag !== "Falsified") return broken(law, Arbitrary.formatCheckFailure(result) ?? result._tag)
    const reason = result.failure._tag === "PropertyError" ? result.failure.error : undefined
    return broken(law, reason ?? "it does not hold", result.shrunkInput)
  }

  const refuted = (verdict: Verdict): Effect.Effect<boolean, Verdict> =>
    verdict === undefined ? Effect.succeed(true) : Effect.fail(verdict)

  return {
    /** A law of one case. */
    once: (name: string, holds: () => ReturnType<Holds<void>>): Law => ({
      name,
      check: Effect.flatMap(judged(holds, undefined, seed), (verdict) =>
        verdict === undefined ? Effect.void : broken(name, verdict)
      )
    }),
    /** A law of all inputs. */
    forAll: <A>(name: string, inputs: Arbitrary.Arbitrary<A>, holds: Holds<A>): Law => ({
      name,
      check: Effect.flatMap(
        Arbitrary.checkEffect(inputs, (value) => Effect.flatMap(judged(holds, value, seed), refuted), {
          runs,
          seed,
          size: 60,
          maxShrinks: 1000
        }),
        (result) => report(name, result)
      )
    }),
    /** A law of all inputs, of a pure function. */
    pure: <A>(name: string, inputs: Arbitrary.Arbitrary<A>, holds: (value: A) => Verdict): Law => ({
      name,
      check: Effect.flatMap(
        Arbitrary.checkEffect(inputs, (value) => refuted(judgedNow(holds, value)), {
          runs,
          seed,
          size: 60,
          maxShrinks: 1000
        }),
        (result) => report(name, result)
      )
    })
  }
}
