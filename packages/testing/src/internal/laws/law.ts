/** The base of every law: a name, and a check that returns what is wrong. */

import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Check from "../check.ts"
import * as Limit from "../limit.ts"
import * as Plain from "../plain.ts"
import { world } from "../world.ts"

export interface Options {
  readonly runs?: number | undefined
  readonly seed?: string | number | undefined
  readonly timeLimit?: Duration.Input | undefined
}

export interface Law {
  readonly name: string
  readonly check: Effect.Effect<void, Broken>
  readonly replay: (input: unknown) => Effect.Effect<void, Broken>
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
      `  seed ${JSON.stringify(seed)}`,
      `Replay: Laws.replay(laws, ${JSON.stringify(law)}${
        input === undefined ? "" : `, ${Plain.literal(input) ?? "error.input"}`
      })`
    ].join("\n")
  }
}

/** What is wrong, or `undefined`. */
export type Verdict = string | undefined

export type Holds<A> = (value: A) => Verdict | Effect.Effect<Verdict, unknown, Scope.Scope>

const defaultLimit = 2000

/** Real time for shrinking an input, in milliseconds. */
const shrinkTime = 3000

/** Runs the check in its own world. A defect, and that it does not end, are reported as what is wrong. */
const judged = <A>(holds: Holds<A>, value: A, seed: string | number, limit: number): Effect.Effect<Verdict> => {
  const checking = Effect.suspend(() => {
    const verdict = holds(value)
    return Effect.isEffect(verdict) ? verdict : Effect.succeed(verdict)
  }).pipe(
    world(seed),
    Effect.catchCause((cause) => Effect.succeed(thrown(cause)))
  )
  return Effect.flatMap(
    Limit.exitWithin(checking, limit),
    (exit): Effect.Effect<Verdict> =>
      exit ?? Effect.succeed(`it had not ended after ${Duration.format(Duration.millis(limit))}, and was stopped`)
  )
}

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
export const laws = (subject: string, { runs = 100, seed = 0, timeLimit }: Options) => {
  Check.integer(`Laws: ${subject}`, "runs", runs, 1)
  const limited = Limit.resolved(Limit.checked(`Laws: ${subject}`, timeLimit), defaultLimit)
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

  const law = <A>(
    name: string,
    inputs: Arbitrary.Arbitrary<A>,
    judge: (value: A, limit: number) => Effect.Effect<Verdict>
  ): Law => ({
    name,
    check: Effect.flatMap(limited, (limit) => {
      let found: number | undefined
      return Effect.flatMap(
        Arbitrary.checkEffect(
          inputs,
          (value) => {
            const now = Limit.realMillis()
            // A smaller input that takes too long is not looked for.
            if (found !== undefined && now - found > shrinkTime) return true
            const short = found === undefined ? limit : Math.min(limit, Math.max(100, limit / 20))
            return Effect.flatMap(judge(value, short), (verdict) => {
              if (verdict !== undefined) found ??= Limit.realMillis()
              return refuted(verdict)
            })
          },
          { runs, seed, size: 60, maxShrinks: 1000 }
        ),
        (result) => report(name, result)
      )
    }),
    replay: (input) =>
      Effect.flatMap(limited, (limit) =>
        // The input of a law is what its `Broken` has, or a literal of it.
        Effect.flatMap(judge(input as A, limit), (verdict) =>
          verdict === undefined ? Effect.void : broken(name, verdict, input)
        )
      )
  })

  return {
    /** A law of one case. */
    once: (name: string, holds: () => ReturnType<Holds<void>>): Law => {
      const check = Effect.flatMap(limited, (limit) =>
        Effect.flatMap(judged(holds, undefined, seed, limit), (verdict) =>
          verdict === undefined ? Effect.void : broken(name, verdict)
        )
      )
      return { name, check, replay: () => check }
    },
    /** A law of all inputs. */
    forAll: <A>(name: string, inputs: Arbitrary.Arbitrary<A>, holds: Holds<A>): Law =>
      law(name, inputs, (value, limit) => judged(holds, value, seed, limit)),
    /** A law of all inputs, of a pure function. */
    pure: <A>(name: string, inputs: Arbitrary.Arbitrary<A>, holds: (value: A) => Verdict): Law =>
      law(name, inputs, (value) => Effect.succeed(judgedNow(holds, value)))
  }
}
