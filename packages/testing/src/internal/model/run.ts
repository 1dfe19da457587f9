/** Runs one sequence of commands on a model and on the real system. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Limit from "../limit.ts"
import * as Plain from "../plain.ts"
import { world } from "../world.ts"

export type Call = readonly [name: string, input?: unknown]

export interface AnyModel {
  readonly name: string
  readonly initial: () => unknown
  readonly real: Effect.Effect<unknown, unknown, Scope.Scope>
  readonly commands: Readonly<
    Record<
      string,
      {
        readonly when?: ((model: unknown, input: unknown) => boolean) | undefined
        readonly next: (model: unknown, input: unknown) => unknown
        readonly run: (real: unknown, input: unknown) => Effect.Effect<unknown, unknown, Scope.Scope>
      }
    >
  >
  readonly expected: (model: unknown) => unknown
  readonly actual: (real: unknown) => Effect.Effect<unknown, unknown, Scope.Scope>
  readonly key?: ((value: unknown) => unknown) | undefined
}

interface StepTaken {
  readonly call: Call
  readonly answer: unknown
  readonly state: unknown
}

export interface Divergence {
  readonly calls: ReadonlyArray<Call>
  /** The places of these calls in the sequence that was given. */
  readonly places: ReadonlyArray<number>
  readonly steps: ReadonlyArray<StepTaken>
  readonly where: "answer" | "state" | "failure" | "time"
  readonly expected: unknown
  readonly actual: unknown
}

/** The result of a sequence that did not diverge. */
export interface Agreed {
  readonly steps: ReadonlyArray<StepTaken>
}

/** Lets all fibers run that do not wait for time. */
const settle = [1, 2, 3, 4, 5].reduce<Effect.Effect<void>>(
  (before) => Effect.andThen(before, Effect.yieldNow),
  TestClock.adjust(0)
)

/** What a sequence has come to, for the one who stops it. */
interface Progress {
  program: string
  expected: unknown
  /** Real time of the last change. */
  at: number
}

export const runSequence = (
  model: AnyModel,
  calls: ReadonlyArray<Call>,
  seed: string | number,
  limit: number
): Effect.Effect<Divergence | Agreed> =>
  Effect.suspend(() => {
    const progress: Progress = { program: "`real`", expected: undefined, at: Limit.realMillis() }
    const done: Array<Call> = []
    const places: Array<number> = []
    const steps: Array<StepTaken> = []
    const diverged = (where: Divergence["where"], expected: unknown, actual: unknown): Divergence => ({
      calls: done,
      places,
      steps,
      where,
      expected,
      actual
    })
    const attempt = (program: string, expected: unknown, self: () => Effect.Effect<unknown, unknown, Scope.Scope>) =>
      Effect.suspend(() => {
        progress.program = program
        progress.expected = expected
        progress.at = Limit.realMillis()
        return Effect.matchCause(Effect.suspend(self), {
          onSuccess: (value) => ({ failed: false as const, value }),
          onFailure: (cause) => ({ failed: true as const, cause: Cause.pretty(cause) })
        })
      })
    const same = (what: string, one: unknown, other: unknown): boolean => {
      const { key = (value: unknown) => value } = model
      return Result.getOrElse(
        Result.try(() => Plain.same(key(one), key(other))),
        (cause) => {
          if (!(cause instanceof Plain.Unidentified)) throw cause
          throw new RangeError(
            `Model: ${model.name}: ${what} cannot be compared: ${cause.message}, in ${Plain.show(other, 120)}. ` +
              "Return what tells it apart, or give `key` to the model"
          )
        }
      )
    }
    const sequence = Effect.gen(function* () {
      const made = yield* attempt("`real`", "that it can be made", () => model.real)
      if (made.failed) return diverged("failure", "that it can be made", made.cause)
      const real = made.value
      const state = model.initial()
      for (const [place, call] of calls.entries()) {
        const [name, input] = call
        const command = Object.hasOwn(model.commands, name) ? model.commands[name] : undefined
        if (command === undefined) {
          const names = Object.keys(model.commands).join(", ")
          throw new RangeError(`Model: ${model.name}: there is no command ${name}; there are ${names}`)
        }
        if (command.when !== undefined && !command.when(state, input)) continue
        done.push(call)
        places.push(place)
        const answer = command.next(state, input)
        const answered = yield* attempt(`\`run\` of "${name}"`, answer, () => command.run(real, input))
        if (answered.failed) return diverged("failure", answer, answered.cause)
        if (!same(`the result of "${name}"`, answer, answered.value)) return diverged("answer", answer, answered.value)
        yield* settle
        const expected = model.expected(state)
        const seen = yield* attempt("`actual`", expected, () => model.actual(real))
        if (seen.failed) return diverged("failure", expected, seen.cause)
        if (!same("the state", expected, seen.value)) return diverged("state", expected, seen.value)
        steps.push({ call, answer, state: seen.value })
      }
      progress.program = "the finalizers of the run"
      return { steps } satisfies Agreed
    }).pipe(world(seed))
    return Effect.map(
      // A defect of the model is an error of the test.
      Limit.whileMoving(sequence, limit, () => progress.at),
      (result) =>
        result ??
        diverged(
          "time",
          progress.expected,
          `${progress.program} had not ended after ${Duration.format(Duration.millis(limit))}, and was stopped`
        )
    )
  })
