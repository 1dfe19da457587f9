/**
 * Model-based testing: runs random sequences of commands on a real system and on a small model of it. After each
 * command both must return the same result and have the same visible state.
 *
 * A model is the simplest implementation, which need not be fast, concurrent or interruptible. Where the two differ,
 * one of them is wrong, and the sequence is shrunk until every command in it is needed.
 *
 * @since 0.1.0
 */
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import * as Callers_ from "./internal/callers.ts"
import * as Inputs from "./internal/inputs.ts"
import * as Plain from "./internal/plain.ts"
import { world } from "./internal/world.ts"

/**
 * A command, for the model and for the real system.
 *
 * **Details** `next` changes the model in place and returns the expected result; `run` runs the command on the real
 * system. Results are compared as plain data. A command whose precondition `when` does not hold is skipped.
 *
 * @category models
 * @since 0.1.0
 */
export interface Command<M, Real, I> {
  /** The inputs. */
  readonly input: Arbitrary.Arbitrary<I> | Schema.Schema<I>
  /** Default: always. */
  readonly when?: ((model: M, input: I) => boolean) | undefined
  readonly next: (model: M, input: I) => unknown
  readonly run: (real: Real, input: I) => Effect.Effect<unknown, unknown, Scope.Scope>
  /** How often it is drawn relative to other commands, an integer >= 1. Default: 1. */
  readonly weight?: number | undefined
}

/**
 * The commands of a model, by name.
 *
 * @category models
 * @since 0.1.0
 */
// biome-ignore lint/suspicious/noExplicitAny: each command has its own input type
export type Commands<M, Real> = Readonly<Record<string, Command<M, Real, any>>>

/**
 * A model and the real system that it describes.
 *
 * **Details** Each run has a new model, a new real system, a virtual clock at zero, a seeded `Random` and its own
 * scope. After each command all fibers run until they wait for time or input; then `expected` of the model must equal
 * `actual` of the real system.
 *
 * @category models
 * @since 0.1.0
 */
export interface Model<M, Real> {
  readonly name: string
  readonly initial: () => M
  readonly real: Effect.Effect<Real, unknown, Scope.Scope>
  /** The simplest command first, because shrinking tries earlier commands in place of later ones. */
  readonly commands: Commands<M, Real>
  /** The visible state that the model expects. */
  readonly expected: (model: M) => unknown
  readonly actual: (real: Real) => Effect.Effect<unknown, unknown, Scope.Scope>
}

/**
 * Makes a command and infers the type of its input.
 *
 * @category constructors
 * @since 0.1.0
 */
export const command =
  <M, Real>() =>
  <I>(command: Command<M, Real, I>): Command<M, Real, I> =>
    command

/**
 * For commands without an input.
 *
 * @category constructors
 * @since 0.1.0
 */
export const none: Arbitrary.Arbitrary<undefined> = Arbitrary.Constant(undefined)

/**
 * One of several values. List the simplest first, because shrinking prefers it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const oneOf: <const A>(...values: readonly [A, ...Array<A>]) => Arbitrary.Arbitrary<A> = Inputs.oneOf

/**
 * An integer in a range, both ends included.
 *
 * @category constructors
 * @since 0.1.0
 */
export const integer: (minimum: number, maximum: number) => Arbitrary.Arbitrary<number> = Inputs.integer

/**
 * Combines inputs: a tuple or a record of arbitraries becomes an arbitrary of tuples or records.
 *
 * @category constructors
 * @since 0.1.0
 */
export const all = Arbitrary.all

/**
 * A command by its name, with its input.
 *
 * @category models
 * @since 0.1.0
 */
export type Call = readonly [name: string, input?: unknown]

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Sequences of commands, an integer >= 1. Default: 100. */
  readonly runs?: number | undefined
  /** The most commands in a sequence, an integer >= 1; the first quarter of the sequences are shorter. Default: 40. */
  readonly length?: number | undefined
  /** The same seed gives the same sequences. Default: 0, so that a test is deterministic. */
  readonly seed?: string | number | undefined
  /** The most shorter sequences to try after a failure. Default: 2,000. */
  readonly maxShrinks?: number | undefined
}

/**
 * The result of a check. `commands` counts by name the commands that ran; a command that is missing was never possible.
 *
 * @category models
 * @since 0.1.0
 */
export interface Passed {
  readonly model: string
  readonly seed: string | number
  readonly runs: number
  readonly steps: number
  readonly skipped: number
  readonly commands: Readonly<Record<string, number>>
}

/**
 * One step of a sequence: the results of model and real system, and their visible states afterwards.
 *
 * @category models
 * @since 0.1.0
 */
export interface StepTaken {
  readonly call: Call
  readonly answer: unknown
  readonly state: unknown
}

/**
 * The real system and the model differ, at the last of `calls`. The message has the code that replays it.
 *
 * @category errors
 * @since 0.1.0
 */
export class Diverged extends Data.TaggedError("Diverged")<{
  readonly model: string
  /** `undefined` after {@link replay}. */
  readonly seed: string | number | undefined
  readonly calls: ReadonlyArray<Call>
  readonly steps: ReadonlyArray<StepTaken>
  readonly where: "answer" | "state" | "failure"
  readonly expected: unknown
  readonly actual: unknown
  /** Sequences tried until it failed, and shorter ones accepted since. */
  readonly runs: number
  readonly shrinks: number
}> {
  override get message(): string {
    const { actual, calls, expected, model, runs, seed, shrinks, steps, where } = this
    const name = ([command, input]: Call): string =>
      input === undefined ? command : `${command} ${Plain.show(input, 120)}`
    const width = Math.max(0, ...calls.map((call) => name(call).length))
    const literal = (value: unknown): string => JSON.stringify(value)
    const words = { answer: "result", state: "state", failure: "failure" } as const
    return [
      `${model}: the ${words[where]} of the real system differs from the model`,
      ...Plain.differences(expected, actual).map(
        ([path, says, is]) =>
          `  ${path}${path === "" ? "" : ": "}${Plain.show(is)}, but the model expects ${Plain.show(says)}`
      ),
      ...calls.map((call, at) => {
        const step = steps[at]
        const number = String(at + 1).padStart(4)
        const changes = Plain.differences(steps[at - 1]?.state, step?.state).map(
          ([path, , is]) => `${path}${path === "" ? "" : ": "}${Plain.show(is, 80)}`
        )
        return `${number}  ${name(call).padEnd(width)}  ${step === undefined ? "<- here" : changes.join("; ")}`
      }),
      "Replay:",
      `  Model.replay(model, [${calls.map(literal).join(", ")}]${seed === undefined || seed === 0 ? "" : `, { seed: ${literal(seed)} }`})`,
      ...(seed === undefined
        ? []
        : [`  Model.check(model, { seed: ${literal(seed)} })  (run ${runs}, shrunk ${shrinks} times)`])
    ].join("\n")
  }
}

/**
 * Checks a real system against its model.
 *
 * **When to use** For code with state: a policy of your own, a cache, a client with a connection. Run it with
 * `it.effect` in vitest, or with `Effect.runPromise`.
 *
 * **Details** Uses Effect's `Arbitrary`, which shrinks a failing sequence to the commands that it needs. A defect, and
 * a failure of `run` or `actual`, count as a difference. The same seed gives the same sequences.
 *
 * **Gotchas** `when` and `next` must depend on the model and the input alone. Work that does not end in virtual time (a
 * real socket) hangs the check. Effect's `Arbitrary` is unstable: another version may draw other sequences for the same
 * seed, so keep a finding as a {@link replay}.
 *
 * **Example** (A counter that restarts after three)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Model } from "@effect-resilience/testing"
 *
 * const counter: Model.Model<{ n: number }, { n: number }> = {
 *   name: "counter",
 *   initial: () => ({ n: 0 }),
 *   real: Effect.sync(() => ({ n: 0 })),
 *   commands: {
 *     add: Model.command<{ n: number }, { n: number }>()({
 *       input: Model.none,
 *       next: (model) => ++model.n,
 *       run: (real) => Effect.sync(() => (real.n = real.n === 3 ? 0 : real.n + 1))
 *     }),
 *     reset: Model.command<{ n: number }, { n: number }>()({
 *       input: Model.none,
 *       next: (model) => void (model.n = 0),
 *       run: (real) => Effect.sync(() => void (real.n = 0))
 *     })
 *   },
 *   expected: (model) => model.n,
 *   actual: (real) => Effect.succeed(real.n)
 * }
 *
 * const found = await Effect.runPromise(Effect.flip(Model.check(counter)))
 * found.calls // => [["add"], ["add"], ["add"], ["add"]]
 * found.expected // => 4
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const check = <M, Real>(model: Model<M, Real>, options: Options = {}): Effect.Effect<Passed, Diverged> =>
  Effect.gen(function* () {
    const { length = 40, maxShrinks = 2000, runs = 100, seed = 0 } = options
    const tally = { steps: 0, skipped: 0, commands: {} as Record<string, number> }
    let last: Divergence | undefined
    const result = yield* Arbitrary.checkEffect(
      sequences(model.commands, length),
      (calls) =>
        Effect.map(runSequence(model, calls, seed, tally), (divergence) => {
          if (divergence !== undefined) last = divergence
          return divergence === undefined
        }),
      // Lengths grow with the size, up to their maximum in three quarters of the runs.
      { runs, seed, size: 4 * length, maxShrinks }
    )
    if (result._tag === "Passed") return { model: model.name, seed, runs, ...tally }
    // An arbitrary that discards too many values is an error of the model, not a finding.
    if (result._tag !== "Falsified") return yield* Effect.die(new Error(Arbitrary.formatCheckFailure(result)))
    // Run again, because the last difference may belong to a sequence that was not accepted.
    const shrunk = (yield* runSequence(model, result.shrunkInput, seed)) ?? last
    if (shrunk === undefined)
      return yield* Effect.die(new Error(`${model.name}: diverged once, and not when it was run again`))
    return yield* new Diverged({ model: model.name, seed, runs: result.runs, shrinks: result.shrinks, ...shrunk })
  })

/**
 * Runs one sequence of commands, for a regression test. The message of {@link Diverged} has the call.
 *
 * @category running
 * @since 0.1.0
 */
export const replay = <M, Real>(
  model: Model<M, Real>,
  calls: ReadonlyArray<Call>,
  options: Pick<Options, "seed"> = {}
): Effect.Effect<ReadonlyArray<StepTaken>, Diverged> =>
  Effect.gen(function* () {
    const steps: Array<StepTaken> = []
    const divergence = yield* runSequence(model, calls, options.seed ?? 0, undefined, steps)
    if (divergence === undefined) return steps
    return yield* new Diverged({ model: model.name, seed: undefined, runs: 1, shrinks: 0, ...divergence })
  })

type Divergence = Pick<Diverged, "calls" | "steps" | "where" | "expected" | "actual">

interface Tally {
  steps: number
  skipped: number
  readonly commands: Record<string, number>
}

const arbitraryOf = (input: Arbitrary.Arbitrary<unknown> | Schema.Schema<unknown>): Arbitrary.Arbitrary<unknown> =>
  Arbitrary.isArbitrary(input) ? input : Arbitrary.schema(input)

/** Commands drawn by weight; the index shrinks towards the first command. */
const sequences = <M, Real>(commands: Commands<M, Real>, length: number): Arbitrary.Arbitrary<Array<Call>> => {
  const drawn = Object.entries(commands).flatMap(([name, { input, weight = 1 }]) => {
    if (!Number.isInteger(weight) || weight < 1) {
      throw new RangeError(`Model: the weight of ${name} must be an integer >= 1, got ${weight}`)
    }
    const call = Arbitrary.map(arbitraryOf(input), (input): Call => (input === undefined ? [name] : [name, input]))
    return new Array<Arbitrary.Arbitrary<Call>>(weight).fill(call)
  })
  if (drawn.length === 0) throw new RangeError("Model: a model needs at least one command")
  const call = Arbitrary.flatMap(integer(0, drawn.length - 1), (at) => drawn[at] as Arbitrary.Arbitrary<Call>)
  return Arbitrary.array(call, { minLength: 1, maxLength: length })
}

/** Lets all fibers run that do not wait for time. */
const settle = Effect.andThen(TestClock.adjust(0), Effect.repeat(Effect.yieldNow, { times: 4 }))

const runSequence = <M, Real>(
  model: Model<M, Real>,
  calls: ReadonlyArray<Call>,
  seed: string | number,
  tally?: Tally,
  steps: Array<StepTaken> = []
): Effect.Effect<Divergence | undefined> =>
  Effect.gen(function* () {
    const done: Array<Call> = []
    const diverged = (where: Divergence["where"], expected: unknown, actual: unknown): Divergence => ({
      calls: done,
      steps,
      where,
      expected,
      actual
    })
    const attempt = <A>(self: Effect.Effect<A, unknown, Scope.Scope>) =>
      Effect.matchCause(self, {
        onSuccess: (value) => ({ failed: false as const, value }),
        onFailure: (cause) => ({ failed: true as const, cause: Cause.pretty(cause) })
      })
    const made = yield* attempt(model.real)
    if (made.failed) return diverged("failure", "that it can be made", made.cause)
    const real = made.value
    const state = model.initial()
    for (const call of calls) {
      const [name, input] = call
      const command = model.commands[name]
      if (command === undefined) return diverged("failure", "a command of the model", `no command ${name}`)
      if (command.when !== undefined && !command.when(state, input)) {
        if (tally !== undefined) tally.skipped += 1
        continue
      }
      done.push(call)
      if (tally !== undefined) {
        tally.steps += 1
        tally.commands[name] = (tally.commands[name] ?? 0) + 1
      }
      const answer = command.next(state, input)
      const answered = yield* attempt(command.run(real, input))
      if (answered.failed) return diverged("failure", answer, answered.cause)
      if (!same(answer, answered.value)) return diverged("answer", answer, answered.value)
      yield* settle
      const expected = model.expected(state)
      const seen = yield* attempt(model.actual(real))
      if (seen.failed) return diverged("failure", expected, seen.cause)
      if (!same(expected, seen.value)) return diverged("state", expected, seen.value)
      steps.push({ call, answer, state: seen.value })
    }
    return undefined
  }).pipe(world(seed))

const same = (one: unknown, other: unknown): boolean => Plain.canonical(one) === Plain.canonical(other)

// ---------------------------------------------------------------------------------------------------------------------
// Parts of models
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What a caller does at the moment, how its last call ended (the value, the tag of the error, `"defect"`,
 * `"interrupted"`), and how often the work of that call was started.
 *
 * @category callers
 * @since 0.1.0
 */
export interface Caller {
  readonly doing: "idle" | "waiting" | "working"
  readonly last: string | undefined
  readonly attempts: number
}

/**
 * A short name for how a call ended: its value, the tag of its error, `"defect"` or `"interrupted"`.
 *
 * @category callers
 * @since 0.1.0
 */
export const describe: (exit: Exit.Exit<unknown, unknown>) => string = Callers_.describe

/**
 * Callers with one call each at a time. Their work runs until a command ends it, so that commands control every
 * interleaving.
 *
 * @category callers
 * @since 0.1.0
 */
export interface Callers<A, E> {
  /** Begins a call of an idle caller; `protect` is the policy around the work. */
  readonly begin: (
    caller: number,
    protect: (work: Effect.Effect<A, E>) => Effect.Effect<unknown, unknown>
  ) => Effect.Effect<void, never, Scope.Scope>
  /** Ends the work of a working caller. */
  readonly end: (caller: number, exit: Exit.Exit<A, E>) => Effect.Effect<void>
  /** Interrupts the call of a caller. */
  readonly interrupt: (caller: number) => Effect.Effect<void>
  readonly view: ReadonlyArray<Caller>
}

/**
 * Makes callers for the real system of a model.
 *
 * **Example** (Two calls, the second in the queue)
 *
 * ```ts
 * import { Effect, Exit } from "effect"
 * import { Bulkhead } from "effect-resilience"
 * import { Model } from "@effect-resilience/testing"
 *
 * const program = Effect.gen(function* () {
 *   const bulkhead = yield* Bulkhead.make("slots", { maxConcurrent: 1, maxQueued: 1 })
 *   const callers = Model.callers<string>(2)
 *   yield* callers.begin(0, bulkhead.protect)
 *   yield* callers.begin(1, bulkhead.protect)
 *   const before = callers.view.map(({ doing }) => doing)
 *   yield* callers.end(0, Exit.succeed("done"))
 *   yield* Effect.yieldNow
 *   return [before, callers.view.map(({ doing }) => doing)]
 * })
 * await Effect.runPromise(Effect.scoped(program)) // => [["working", "waiting"], ["idle", "working"]]
 * ```
 *
 * @category callers
 * @since 0.1.0
 */
export const callers = <A, E = never>(
  count: number,
  name: (exit: Exit.Exit<unknown, unknown>) => string = describe
): Callers<A, E> => new Callers_.Callers<A, E>(count, name)

/**
 * A wall clock that can be set while monotonic time continues, to test that code does not depend on the wall clock.
 * `within` runs an effect on it.
 *
 * @category clock
 * @since 0.1.0
 */
export interface Wall {
  /** Sets the wall clock to `millis` milliseconds after the clock of the run, or before it if negative. */
  readonly set: (millis: number) => Effect.Effect<void>
  readonly within: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
}

/**
 * Makes a wall clock that can be set back and forth.
 *
 * @category clock
 * @since 0.1.0
 */
export const wall: Effect.Effect<Wall> = Effect.map(Clock.Clock, (clock) => {
  let moved = 0
  const nanos = () => BigInt(moved) * 1_000_000n
  // Everything else, monotonic time above all, comes from the original clock.
  const walled: Clock.Clock = Object.assign(Object.create(clock), {
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + moved,
    currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + nanos(),
    currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + moved),
    currentTimeNanos: Effect.sync(() => clock.currentTimeNanosUnsafe() + nanos())
  })
  return {
    set: (millis) =>
      Effect.sync(() => {
        moved = millis
      }),
    within: (self) => Effect.provideService(self, Clock.Clock, walled)
  }
})
