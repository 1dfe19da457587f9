/**
 * Runs a program again and again, interrupts it at another point each time, and checks after each run that nothing was
 * lost.
 *
 * A permit, a probe or a lock that is taken before the code that gives it back is in place gets lost when the fiber is
 * interrupted in between. Such a place is one step wide: a test that sleeps and interrupts will not hit it, a sweep does.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Scheduler from "effect/Scheduler"
import * as Check from "./internal/check.ts"

/**
 * What is swept.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `budgets` | integers >= 3 | 3, 4, 5 |
 * | `prefixes` | an integer >= 1 | as many as the budget |
 * | `longest` | an integer >= 1 | 200 |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<S, E = never, R = never> {
  /** New state for every run. */
  readonly setup: Effect.Effect<S, E, R>
  /** What is interrupted. How it ends does not matter; what it leaves behind does. */
  readonly program: (state: S) => Effect.Effect<unknown, unknown, R>
  /**
   * What runs at the same time, to its end: it holds the permit that the program waits for, or stands behind it in a
   * queue. With it every point is run twice, alone and contended.
   */
  readonly contender?: ((state: S) => Effect.Effect<unknown, unknown, R>) | undefined
  /** What must hold after each run. It is broken by a failure and by a defect, so assertions of any kind will do. */
  readonly invariant: (state: S, ran: Ran) => Effect.Effect<unknown, unknown, R>
  /**
   * What lets time pass for a program that waits for it, such as `TestClock.adjust("1 second")`. It is run beside the
   * program at every tenth yield.
   */
  readonly tick?: Effect.Effect<unknown, never, R> | undefined
  /** Operations after which a fiber yields. */
  readonly budgets?: ReadonlyArray<number> | undefined
  /** How many alignments are tried for each budget. */
  readonly prefixes?: number | undefined
  /** Yields after which a run that has still not ended never will. */
  readonly longest?: number | undefined
}

/**
 * Where a run was interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Point {
  /** Was the contender there? */
  readonly contended: boolean
  /** Operations after which the program yielded. */
  readonly budget: number
  /** Operations that did nothing before the program began: they move its yields to other operations. */
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
  /** Did the interruption come before the program's end? */
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
  /** Runs that were interrupted before their end. */
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
  /** What went wrong; the last two: it waits for something that does not come. */
  readonly reason: "the invariant does not hold" | "the program does not end" | "the contender does not end"
  /** What the invariant said. */
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

/** Defaults of a sweep; the only place where they stand. With a budget below 3 Effect makes no progress. */
const defaults = { budgets: [3, 4, 5], longest: 200 } as const

/** Yields between two ticks: enough for what the last one woke to come to rest. */
const pace = 10

const checked = <S, E, R>(options: Options<S, E, R>) => {
  const { budgets = defaults.budgets, contender, longest = defaults.longest, prefixes } = options
  for (const budget of budgets) Check.integer("Sweep", "budgets", budget, 3)
  if (prefixes !== undefined) Check.integer("Sweep", "prefixes", prefixes, 1)
  Check.integer("Sweep", "longest", longest, 1)
  return { budgets, longest, prefixes, contentions: contender === undefined ? [false] : [false, true] }
}

/** Begins an effect in a fiber that yields after `budget` operations, of which the first `prefix` do nothing. */
const begin = <R>(self: Effect.Effect<unknown, unknown, R>, prefix: number, budget: number) => {
  let aligned = self
  for (let i = 0; i < prefix; i++) aligned = Effect.andThen(Effect.void, aligned)
  // Detached: a fiber waits for its children, and one that never ends must not hang the sweep that finds it.
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

const once = <S, E, R>(options: Options<S, E, R>, point: Point, longest: number): Effect.Effect<Outcome, E, R> =>
  Effect.suspend(() => {
    const { contender, invariant, program, setup, tick } = options
    const fibers: Array<AnyFiber> = []
    let ticking: AnyFiber | undefined
    let turn = 0
    const next = Effect.suspend(() => {
      turn += 1
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

    return Effect.gen(function* () {
      const state = yield* setup
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
      if (ticking !== undefined) yield* Fiber.await(ticking)
      const held = yield* Effect.exit(invariant(state, { ...point, interrupted, exit }))
      return held._tag === "Success"
        ? { interrupted, violation: undefined }
        : broken("the invariant does not hold", Cause.squash(held.cause))
    }).pipe(
      Effect.ensuring(
        Effect.sync(() => {
          for (const fiber of fibers) fiber.interruptUnsafe()
        })
      )
    )
  })

/** Every point. A violation ends the sweep if `found` fails with it. */
const sweep = <S, E, R, E2>(
  options: Options<S, E, R>,
  found: (violation: Violation) => Effect.Effect<void, E2>
): Effect.Effect<Swept, E | E2, R> => {
  const { budgets, contentions, longest, prefixes } = checked(options)
  return Effect.gen(function* () {
    const swept = { runs: 0, interrupted: 0, ended: 0 }
    for (const contended of contentions) {
      for (const budget of budgets) {
        for (let prefix = 0; prefix < (prefixes ?? budget); prefix++) {
          for (let yields = 0, over = false; !over; yields++) {
            const point: Point = { contended, budget, prefix, yields }
            const { interrupted, violation } = yield* once(options, point, longest)
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
 * Sweeps a program, until the first violation.
 *
 * **When to use** For every path on which something is taken and given back: a call that succeeds, one that fails, a wait
 * in a queue, a probe, a pause between two attempts.
 *
 * **Details** Effect lets a fiber yield after so many operations (`Scheduler.MaxOpsBeforeYield`), and an interruption
 * arrives at a yield or where the fiber waits. The sweep gives the program a budget of three operations, so that it yields
 * nearly everywhere; tries other budgets, as some operations never stand at a multiple of three; begins it with a prefix
 * of operations that do nothing, to move its yields by one; and interrupts it after no yield, one, two, until it ends
 * first. With a `contender` all of that is done twice. For what it covers see {@link Swept}.
 *
 * **Gotchas** A program that does not run the same way twice (chance, the real clock) may be interrupted at a point
 * without it; give it a seed and a `TestClock`. Time passes only by `tick`.
 *
 * **Example** (A lock that takes before it can give back)
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
 * Sweeps a program to the end, and collects every violation.
 *
 * **When to use** To see how wide a leak is, and at which points it stands.
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
 * Runs the one point of a violation again.
 *
 * @category running
 * @since 0.1.0
 */
export const replay = <S, E = never, R = never>(
  options: Options<S, E, R>,
  point: Point
): Effect.Effect<void, E | Violation, R> => {
  const { longest } = checked(options)
  return Effect.flatMap(once(options, point, longest), ({ violation }) =>
    violation === undefined ? Effect.void : Effect.fail(violation)
  )
}

/**
 * Work that gives way to other fibers so many times: something to be interrupted in.
 *
 * @category running
 * @since 0.1.0
 */
export const turns = (n: number): Effect.Effect<void> =>
  n <= 0 ? Effect.void : Effect.andThen(Effect.yieldNow, turns(n - 1))
