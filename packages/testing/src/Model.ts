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
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Callers_ from "./internal/callers.ts"
import * as Check from "./internal/check.ts"
import * as Inputs from "./internal/inputs.ts"
import * as Limit from "./internal/limit.ts"
import { type AnyCommand, Generator, type Planned } from "./internal/model/generate.ts"
import { Pool } from "./internal/model/pool.ts"
import { type AnyModel, type Divergence, runSequence } from "./internal/model/run.ts"
import { Shrinker } from "./internal/model/shrink.ts"
import * as Plain from "./internal/plain.ts"

/**
 * A command, for the model and for the real system.
 *
 * **Details** `next` changes the model in place and returns the expected result; `run` runs the command on the real
 * system. Sequences contain a command only where its precondition `when` holds; a {@link replay} skips it elsewhere.
 * Results are compared by Effect's `Equal` where a value defines it, by their contents for dates, errors, maps and
 * other built-in classes, and by their fields otherwise. A value that cannot be compared is refused.
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
  /**
   * How often it is drawn relative to other commands, an integer >= 1. Default: 1. Commands that ran seldom in a kind
   * of state are drawn up to 13 times as often there.
   */
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
  /** What counts when results and states are compared: values with equal keys are equal. Default: the value. */
  readonly key?: ((value: unknown) => unknown) | undefined
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
 * An integer in a range, both ends included. Throws a `RangeError` if the range is empty.
 *
 * @category constructors
 * @since 0.1.0
 */
export const integer = (minimum: number, maximum: number): Arbitrary.Arbitrary<number> => {
  if (!Number.isSafeInteger(minimum)) Check.refuse("Model.integer", "minimum", "an integer", minimum)
  if (!(Number.isSafeInteger(maximum) && maximum >= minimum)) {
    Check.refuse("Model.integer", "maximum", `an integer >= ${minimum}, which is its minimum`, maximum)
  }
  return Inputs.integer(minimum, maximum)
}

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
  /** Sequences of commands, an integer >= 1. Default: as many as fit into `time`, but at least 100. */
  readonly runs?: number | undefined
  /** Real time for the sequences if `runs` is not set, a duration above zero. Default: 1 second. */
  readonly time?: Duration.Input | undefined
  /** The most commands in a sequence, an integer >= 1; the first 40 sequences are shorter. Default: 40. */
  readonly length?: number | undefined
  /** The same seed gives the same sequences. Default: 0, so that a test is deterministic. */
  readonly seed?: string | number | undefined
  /** The most shorter sequences to try after a failure, an integer >= 0. Default: 5,000, within 10 seconds. */
  readonly maxShrinks?: number | undefined
  /**
   * Real time after which one `run`, `actual` or `real` is stopped, which is a finding. Default: `TimeLimit.TimeLimit`,
   * or 2 seconds.
   */
  readonly timeLimit?: Duration.Input | undefined
}

/**
 * The result of a check. `commands` counts by name the commands that ran.
 *
 * @category models
 * @since 0.1.0
 */
export interface Passed {
  readonly model: string
  readonly seed: string | number
  readonly runs: number
  readonly steps: number
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
 * **Details** `where` says what differs: the result of the last command (`"answer"`), the visible state after it
 * (`"state"`), that it failed (`"failure"`), or that it had not ended when it was stopped (`"time"`).
 *
 * @category errors
 * @since 0.1.0
 */
export class Diverged extends Data.TaggedError("Diverged")<{
  readonly model: string
  /** `undefined` after {@link replay}. */
  readonly seed: string | number | undefined
  /** The option of the check. */
  readonly length: number | undefined
  readonly calls: ReadonlyArray<Call>
  readonly steps: ReadonlyArray<StepTaken>
  readonly where: "answer" | "state" | "failure" | "time"
  readonly expected: unknown
  readonly actual: unknown
  /** Sequences tried until it failed, and shorter ones accepted since. */
  readonly runs: number
  readonly shrinks: number
}> {
  override get message(): string {
    const { actual, calls, expected, length, model, runs, seed, shrinks, steps, where } = this
    const name = ([command, input]: Call): string =>
      input === undefined ? command : `${command} ${Plain.show(input, 120)}`
    const width = Math.max(0, ...calls.map((call) => name(call).length))
    const code = Plain.literal(calls)
    const options = (all: Readonly<Record<string, unknown>>): string => {
      const set = Object.entries(all).filter(([, value]) => value !== undefined)
      return set.length === 0 ? "" : `, ${Plain.literal(Object.fromEntries(set))}`
    }
    const titles = {
      answer: "the result of the real system differs from the model",
      state: "the state of the real system differs from the model",
      failure: "the real system fails",
      time: "the real system does not end"
    } as const
    const differing =
      where === "time"
        ? [`  ${String(actual)}`]
        : Plain.differences(expected, actual).map(
            ([path, says, is]) =>
              `  ${path}${path === "" ? "" : ": "}${Plain.show(is)}, but the model expects ${Plain.show(says)}`
          )
    return [
      `${model}: ${titles[where]}`,
      ...differing,
      ...calls.map((call, at) => {
        const step = steps[at]
        const number = String(at + 1).padStart(4)
        const changes = Plain.differences(steps[at - 1]?.state, step?.state).map(
          ([path, , is]) => `${path}${path === "" ? "" : ": "}${Plain.show(is, 80)}`
        )
        return `${number}  ${name(call).padEnd(width)}  ${step === undefined ? "<- here" : changes.join("; ")}`
      }),
      "Replay:",
      code === undefined
        ? "  Model.replay(model, error.calls), with the calls of this error: an input is no plain data"
        : `  Model.replay(model, ${code}${options({ seed: seed === 0 ? undefined : seed })})`,
      ...(seed === undefined
        ? []
        : [
            `  Model.check(model${options({
              seed,
              runs: runs > leastRuns ? runs : undefined,
              length: length === defaultLength ? undefined : length
            })})  (run ${runs}, shrunk ${shrinks} times)`
          ])
    ].join("\n")
  }
}

const leastRuns = 100
const defaultLength = 40
const defaultLimit = 2000

/** Real time for shrinking, in milliseconds. */
const shrinkTime = 10_000

/**
 * Checks a real system against its model.
 *
 * **When to use** For code with state: a policy of your own, a cache, a client with a connection. Run it with
 * `it.effect` in vitest, or with `Effect.runPromise`.
 *
 * **Details** A sequence is drawn on the model first, from the commands whose `when` holds, and more often from those
 * that ran seldom in a state of the same kind; then it runs. What the n-th sequence is depends on the seed, `length` and
 * n alone, so a finding comes again with any number of `runs`. A failing sequence is shrunk until no command, no pair of
 * commands and no smaller input is left that it can do without; inputs are shrunk by Effect's `Arbitrary`. A defect, a
 * failure of `run` or `actual`, and a program that does not end count as a difference.
 *
 * Refused with a `RangeError`: values that cannot be compared, and a check in which a command never ran because its
 * `when` never held.
 *
 * **Gotchas** `when` and `next` must depend on the model and the input alone. Effect's `Arbitrary` is unstable: another
 * version may draw other inputs for the same seed, so keep a finding as a {@link replay}.
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
export const check = <M, Real>(model: Model<M, Real>, options: Options = {}): Effect.Effect<Passed, Diverged> => {
  const { length = defaultLength, maxShrinks = 5000, runs, seed = 0 } = options
  const where = `Model: ${model.name}`
  if (runs !== undefined) Check.integer(where, "runs", runs, 1)
  Check.integer(where, "length", length, 1)
  Check.integer(where, "maxShrinks", maxShrinks, 0)
  const time = Check.millis(where, "time", options.time ?? 1000)
  const timeLimit = Limit.checked(where, options.timeLimit)
  return Effect.gen(function* () {
    const limit = yield* Limit.resolved(timeLimit, defaultLimit)
    // The types of the model, of the real system and of the inputs do not matter from here on.
    const any = model as unknown as AnyModel
    const pools = yield* poolsOf(model, seed)
    const generator = new Generator(
      {
        initial: any.initial,
        expected: any.expected,
        commands: Array.from(pools, ([name, pool]) => [name, model.commands[name] as AnyCommand, pool] as const)
      },
      seed,
      length
    )
    const commands: Record<string, number> = {}
    let steps = 0
    const began = Limit.realMillis()
    const goesOn = (run: number): boolean =>
      runs === undefined ? run < leastRuns || Limit.realMillis() - began < time : run < runs
    let run = 0
    for (; goesOn(run); run++) {
      const calls = generator.sequence(run)
      const result = yield* runSequence(any, calls.map(callOf), seed, limit)
      for (const { call } of result.steps) commands[call[0]] = (commands[call[0]] ?? 0) + 1
      steps += result.steps.length
      if ("where" in result) {
        const shrunk = yield* shrink(any, pools, calls, result, { seed, limit, maxShrinks })
        return yield* new Diverged({ model: model.name, seed, length, runs: run + 1, ...shrunk })
      }
      if (result.steps.length < calls.length) {
        throw new RangeError(`${where}: \`when\` and \`next\` must depend on the model and the input alone`)
      }
    }
    const never = Object.keys(model.commands).filter((name) => commands[name] === undefined)
    if (never.length > 0 && (steps === 0 || steps >= enoughSteps)) {
      throw new RangeError(
        `${where}: nothing was checked of ${never.map((name) => `"${name}"`).join(", ")}: ` +
          `\`when\` held for none of its inputs in any state of ${run} sequences`
      )
    }
    return { model: model.name, seed, runs: run, steps, commands }
  })
}

/** Steps after which a command that was never possible is taken for impossible. */
const enoughSteps = 500

/**
 * Runs one sequence of commands, for a regression test. The message of {@link Diverged} has the call.
 *
 * **Details** Commands whose `when` does not hold are skipped. Throws a `RangeError` if none is left.
 *
 * @category running
 * @since 0.1.0
 */
export const replay = <M, Real>(
  model: Model<M, Real>,
  calls: ReadonlyArray<Call>,
  options: Pick<Options, "seed" | "timeLimit"> = {}
): Effect.Effect<ReadonlyArray<StepTaken>, Diverged> => {
  const timeLimit = Limit.checked(`Model: ${model.name}`, options.timeLimit)
  return Effect.gen(function* () {
    const limit = yield* Limit.resolved(timeLimit, defaultLimit)
    const result = yield* runSequence(model as unknown as AnyModel, calls, options.seed ?? 0, limit)
    if (!("where" in result)) {
      if (result.steps.length > 0) return result.steps
      throw new RangeError(`Model: ${model.name}: nothing was replayed: no call was possible`)
    }
    const { places: _, ...divergence } = result
    return yield* new Diverged({
      model: model.name,
      seed: undefined,
      length: undefined,
      runs: 1,
      shrinks: 0,
      ...divergence
    })
  })
}

const callOf = ({ input, name }: Planned): Call => (input === undefined ? [name] : [name, input])

const arbitraryOf = (input: Arbitrary.Arbitrary<unknown> | Schema.Schema<unknown>): Arbitrary.Arbitrary<unknown> =>
  Arbitrary.isArbitrary(input) ? input : Arbitrary.schema(input)

const poolsOf = <M, Real>(model: Model<M, Real>, seed: string | number): Effect.Effect<ReadonlyMap<string, Pool>> =>
  Effect.gen(function* () {
    const pools = new Map<string, Pool>()
    for (const [name, { input, weight = 1 }] of Object.entries(model.commands)) {
      Check.integer(`Model: ${model.name}`, `the weight of ${name}`, weight, 1)
      const pool = new Pool(name, arbitraryOf(input), seed)
      yield* pool.fill
      if (pool.empty !== undefined) {
        throw new RangeError(`Model: ${model.name}: "${name}" cannot run: ${pool.empty}`)
      }
      pools.set(name, pool)
    }
    if (pools.size === 0) throw new RangeError(`Model: ${model.name}: a model needs at least one command`)
    return pools
  })

const shrink = (
  model: AnyModel,
  pools: ReadonlyMap<string, Pool>,
  calls: ReadonlyArray<Planned>,
  found: Divergence,
  options: { readonly seed: string | number; readonly limit: number; readonly maxShrinks: number }
) =>
  Effect.gen(function* () {
    const { limit, maxShrinks, seed } = options
    const began = Limit.realMillis()
    let tried = 0
    // A program that hangs would take the whole limit for each try, so it has less, and the result is run again.
    const short = found.where === "time" ? Math.max(10, limit / 50) : limit
    const planned = (result: Divergence, of: ReadonlyArray<Planned>) => result.places.map((at) => of[at] as Planned)
    const shrinker = new Shrinker(
      pools,
      planned(found, calls),
      (calls) => {
        tried += 1
        return Effect.map(runSequence(model, calls.map(callOf), seed, short), (result) =>
          "where" in result ? planned(result, calls) : undefined
        )
      },
      () => tried < maxShrinks && Limit.realMillis() - began < shrinkTime
    )
    const smallest = yield* shrinker.run
    const again = yield* runSequence(model, smallest.map(callOf), seed, limit)
    if ("where" in again) return taken(again, shrinker.shrinks)
    return taken(found, 0)
  })

const taken = ({ places: _, ...divergence }: Divergence, shrinks: number) => ({ ...divergence, shrinks })

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
