/**
 * Runs a program many times, interrupts it at a different point each time, and checks an invariant after each run.
 *
 * A permit, a probe or a lock is lost if the fiber is interrupted after it is acquired and before its finalizer is
 * installed. Such a gap is one step wide: a test that sleeps and then interrupts misses it, a sweep finds it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Scheduler from "effect/Scheduler"
import * as Check from "./internal/check.ts"
import * as Limit from "./internal/limit.ts"
import { inOwnProgram } from "./internal/world.ts"

/**
 * The program to sweep.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `budgets` | integers >= 3, at least one | 3, 4, 5 |
 * | `prefixes` | an integer >= 1 | the budget |
 * | `longest` | an integer >= 1 | 200 |
 * | `timeLimit` | a duration above zero | `TimeLimit.TimeLimit`, or 5 seconds |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<S, E = never, R = never> {
  /** Makes new state for every run. */
  readonly setup: Effect.Effect<S, E, R>
  /** The program that is interrupted. Its exit does not matter, only the state that it leaves. */
  readonly program: (state: S) => Effect.Effect<unknown, unknown, R>
  /**
   * A program that runs at the same time, to its end: it holds the permit that the first program waits for, or waits
   * behind it in a queue. With it every point is run twice, alone and contended.
   */
  readonly contender?: ((state: S) => Effect.Effect<unknown, unknown, R>) | undefined
  /**
   * What must hold after each run. It is broken by a failure, by a defect and by the result `false`, so any assertion
   * library works. `true` and no result hold; any other result is a violation, because it is no verdict.
   */
  readonly invariant: (state: S, ran: Ran) => Effect.Effect<unknown, unknown, R>
  /**
   * Lets time pass for a program that waits for it, such as `TestClock.adjust("1 second")`. It runs at every tenth
   * yield of the program.
   */
  readonly tick?: Effect.Effect<unknown, never, R> | undefined
  /** Operations after which a fiber yields. */
  readonly budgets?: ReadonlyArray<number> | undefined
  /** The number of alignments to try for each budget. */
  readonly prefixes?: number | undefined
  /** Yields after which a run counts as one that never ends. */
  readonly longest?: number | undefined
  /** Real time after which a setup, an invariant, a tick or a turn of the program is stopped. */
  readonly timeLimit?: Duration.Input | undefined
}

/**
 * Where a run was interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Point {
  /** Whether the contender ran. */
  readonly contended: boolean
  /** Operations after which the program yielded. */
  readonly budget: number
  /** Operations without an effect before the program, which move its yields to other operations. */
  readonly prefix: number
  /** Yields before the interruption. */
  readonly yields: number
}

/**
 * One run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ran extends Point {
  /** Whether the interruption came before the end of the program. */
  readonly interrupted: boolean
  /** How the program ended. */
  readonly exit: Exit.Exit<unknown, unknown>
}

/**
 * What a sweep has covered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Swept {
  readonly runs: number
  /** Runs that were interrupted. */
  readonly interrupted: number
  /** Runs that ended before the interruption came. */
  readonly ended: number
}

/**
 * A run after which the invariant did not hold, or which never ended. Run it again with {@link replay}.
 *
 * @category errors
 * @since 0.1.0
 */
export class Violation extends Data.TaggedError("SweepViolation")<{
  readonly point: Point
  /** The reason. A program that does not end waits for something that never happens. */
  readonly reason:
    | "the invariant does not hold"
    | "the program does not end"
    | "the contender does not end"
    | "the setup does not end"
    | "the tick does not end"
    | "the invariant does not end"
  /** The error of the invariant; for a program that was stopped by its time limit, the limit. */
  readonly cause: unknown
}> {
  override get message(): string {
    const { budget, contended, prefix, yields } = this.point
    const point = `{ contended: ${contended}, budget: ${budget}, prefix: ${prefix}, yields: ${yields} }`
    const { cause } = this
    const said = cause === undefined ? "" : `: ${cause instanceof Error ? cause.message : Formatter.format(cause)}`
    return `${this.reason} when interrupted at ${point}${said}`
  }
}

/** The defaults of a sweep. With a budget below 3 Effect makes no progress. */
const defaults = { budgets: [3, 4, 5], longest: 200 } as const

/** Yields between two ticks, enough for the fibers that the last tick woke to finish. */
const pace = 10

const checked = <S, E, R>(options: Options<S, E, R>) => {
  const { budgets = defaults.budgets, contender, longest = defaults.longest, prefixes } = options
  if (budgets.length === 0) Check.refuse("Sweep", "budgets", "at least one integer >= 3", budgets)
  for (const budget of budgets) Check.integer("Sweep", "budgets", budget, 3)
  if (prefixes !== undefined) Check.integer("Sweep", "prefixes", prefixes, 1)
  Check.integer("Sweep", "longest", longest, 1)
  const contentions = contender === undefined ? [false] : [false, true]
  return { budgets, longest, prefixes, contentions, timeLimit: Limit.checked("Sweep", options.timeLimit) }
}

const defaultLimit = 5000

/** What is wrong with the result of an invariant, if anything. */
const verdict = (result: unknown): string | undefined => {
  if (result === undefined || result === null || result === true) return undefined
  if (result === false) return "it returned false"
  const what = Effect.isEffect(result) ? "an effect, which was not run" : Formatter.format(result)
  return `it must return true, false or nothing, and returned ${what}`
}

/** Starts an effect in a fiber that yields after `budget` operations, of which the first `prefix` do nothing. */
const begin = <R>(self: Effect.Effect<unknown, unknown, R>, prefix: number, budget: number) => {
  let aligned = self
  for (let i = 0; i < prefix; i++) aligned = Effect.andThen(Effect.void, aligned)
  // Detached, because a fiber waits for its children, and a child that never ends would hang the sweep.
  return Effect.forkDetach(Effect.provideService(aligned, Scheduler.MaxOpsBeforeYield, budget), {
    startImmediately: true
  })
}

type AnyFiber = Fiber.Fiber<unknown, unknown>

/** One run: whether the interruption came in time, and what did not hold. */
interface Outcome {
  readonly interrupted: boolean
  readonly violation: Violation | undefined
}

const once = <S, E, R>(
  options: Options<S, E, R>,
  point: Point,
  { longest, timeLimit }: { readonly longest: number; readonly timeLimit: number | undefined }
): Effect.Effect<Outcome, E, R> =>
  Effect.flatMap(Limit.resolved(timeLimit, defaultLimit), (limit) => {
    const { contender, invariant, program, setup, tick } = options
    const fibers: Array<AnyFiber> = []
    let ticking: AnyFiber | undefined
    let turn = 0
    let reason: Violation["reason"] = "the setup does not end"
    let since = Limit.realMillis()
    const doing = (now: Violation["reason"]): void => {
      reason = now
      since = Limit.realMillis()
    }
    const next = Effect.suspend(() => {
      turn += 1
      since = Limit.realMillis()
      if (tick === undefined || turn % pace !== 0) return Effect.yieldNow
      const ticked = Effect.forkChild(tick, { startImmediately: true })
      return Effect.flatMap(ticked, (fiber) => {
        ticking = fiber
        return Effect.yieldNow
      })
    })
    const ends = (fiber: AnyFiber) =>
      Effect.gen(function* () {
        for (let i = 0; i < longest && fiber.pollUnsafe() === undefined; i++) yield* next
        return fiber.pollUnsafe()
      })

    const run = Effect.gen(function* () {
      const state = yield* setup
      doing("the program does not end")
      if (point.contended && contender !== undefined) fibers.push(yield* begin(contender(state), 0, point.budget))
      const fiber = yield* begin(program(state), point.prefix, point.budget)
      fibers.unshift(fiber)
      for (let i = 0; i < point.yields; i++) yield* next
      const interrupted = fiber.pollUnsafe() === undefined
      const broken = (reason: Violation["reason"], cause?: unknown): Outcome => ({
        interrupted,
        violation: new Violation({ point, reason, cause })
      })
      if (interrupted && point.yields >= longest) return broken("the program does not end")
      fiber.interruptUnsafe()
      const exit = yield* ends(fiber)
      if (exit === undefined) return broken("the program does not end")
      const other = fibers[1]
      if (other !== undefined && (yield* ends(other)) === undefined) return broken("the contender does not end")
      doing("the tick does not end")
      if (ticking !== undefined) yield* Fiber.await(ticking)
      doing("the invariant does not end")
      const held = yield* Effect.exit(Effect.suspend(() => invariant(state, { ...point, interrupted, exit })))
      if (held._tag === "Failure") return broken("the invariant does not hold", Cause.squash(held.cause))
      const wrong = verdict(held.value)
      return wrong === undefined
        ? { interrupted, violation: undefined }
        : broken("the invariant does not hold", new Error(wrong))
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          for (const fiber of fibers) fiber.interruptUnsafe()
        })
      )
    )
    return Effect.map(
      Limit.whileMoving(inOwnProgram(run), limit, () => since),
      (outcome): Outcome => {
        if (outcome !== undefined) return outcome
        ticking?.interruptUnsafe()
        const cause = new Error(`stopped after ${Duration.format(Duration.millis(limit))}`)
        return { interrupted: false, violation: new Violation({ point, reason, cause }) }
      }
    )
  })

/** Runs every point. The sweep ends if `found` fails with a violation. */
const sweep = <S, E, R, E2>(
  options: Options<S, E, R>,
  found: (violation: Violation) => Effect.Effect<void, E2>
): Effect.Effect<Swept, E | E2, R> => {
  const { budgets, contentions, longest, prefixes, timeLimit } = checked(options)
  return Effect.gen(function* () {
    const swept = { runs: 0, interrupted: 0, ended: 0 }
    for (const contended of contentions) {
      for (const budget of budgets) {
        for (let prefix = 0; prefix < (prefixes ?? budget); prefix++) {
          for (let yields = 0, over = false; !over; yields++) {
            const point: Point = { contended, budget, prefix, yields }
            const { interrupted, violation } = yield* once(options, point, { longest, timeLimit })
            swept.runs += 1
            swept[interrupted ? "interrupted" : "ended"] += 1
            over = !interrupted || yields >= longest
            if (violation !== undefined) yield* found(violation)
          }
        }
      }
    }
    return swept
  })
}

/**
 * Sweeps a program and fails with the first violation.
 *
 * **When to use** For every path that acquires and releases something: a call that succeeds, a call that fails, a wait
 * in a queue, a probe, a delay between two attempts.
 *
 * **Details** A fiber of Effect yields after `Scheduler.MaxOpsBeforeYield` operations, and an interruption arrives at a
 * yield or where the fiber waits. The sweep sets that budget to three operations, so that the program yields nearly
 * everywhere. It tries other budgets, because some operations are never at a multiple of three. It starts the program
 * with a prefix of operations that do nothing, which moves the yields by one. It interrupts after zero yields, one, two
 * and so on, until the program ends first. With a `contender` every point is run twice. {@link Swept} has the coverage.
 *
 * **Gotchas** The program must be deterministic, or points are missed: give it a seed and a `TestClock`. Time passes
 * only through `tick`.
 *
 * **Example** (A lock that is acquired before its finalizer is installed)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Sweep } from "@effect-resilience/testing"
 *
 * const leaky = () => {
 *   const lock = { held: 0 }
 *   const take = Effect.sync(() => { lock.held += 1 })
 *   const release = Effect.sync(() => { lock.held -= 1 })
 *   const use = (work: Effect.Effect<void>) => Effect.andThen(take, Effect.ensuring(work, release))
 *   return { lock, use }
 * }
 *
 * const swept = Sweep.run({
 *   setup: Effect.sync(leaky),
 *   program: ({ use }) => use(Sweep.turns(2)),
 *   invariant: ({ lock }) => lock.held === 0 ? Effect.void : Effect.fail(new Error(`${lock.held} held`))
 * })
 * const { message } = await Effect.runPromise(Effect.flip(swept))
 * message.includes("1 held") // => true
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const run = <S, E = never, R = never>(options: Options<S, E, R>): Effect.Effect<Swept, E | Violation, R> =>
  sweep(options, Effect.fail)

/**
 * Sweeps a program through all points and collects every violation.
 *
 * **When to use** To see at which points a leak occurs.
 *
 * @category running
 * @since 0.1.0
 */
export const collect = <S, E = never, R = never>(
  options: Options<S, E, R>
): Effect.Effect<Swept & { readonly violations: ReadonlyArray<Violation> }, E, R> => {
  checked(options)
  return Effect.suspend(() => {
    const violations: Array<Violation> = []
    const note = (violation: Violation) => Effect.sync(() => void violations.push(violation))
    return Effect.map(sweep(options, note), (swept) => ({ ...swept, violations }))
  })
}

/**
 * Runs the point of a violation again.
 *
 * @category running
 * @since 0.1.0
 */
export const replay = <S, E = never, R = never>(
  options: Options<S, E, R>,
  point: Point
): Effect.Effect<void, E | Violation, R> => {
  const limits = checked(options)
  return Effect.flatMap(once(options, point, limits), ({ violation }) =>
    violation === undefined ? Effect.void : Effect.fail(violation)
  )
}

/**
 * Work that yields to other fibers `n` times, and so can be interrupted.
 *
 * @category running
 * @since 0.1.0
 */
export const turns = (n: number): Effect.Effect<void> =>
  n <= 0 ? Effect.void : Effect.andThen(Effect.yieldNow, turns(n - 1))
