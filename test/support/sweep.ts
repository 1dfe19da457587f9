/**
 * A small interruption sweep: a program is run again and again, and interrupted at another yield point each time. What
 * must hold afterwards, however the run ended, is asserted after every run.
 *
 * Effect yields after every few operations when `Scheduler.MaxOpsBeforeYield` says so. Some operations never meet such a
 * yield, as they are always the second of two, so each run also begins with a prefix of `k` operations that do nothing.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Scheduler from "effect/Scheduler"

export interface Sweep<S> {
  /** New state for every run. */
  readonly setup: Effect.Effect<S>
  /** What is interrupted. */
  readonly program: (state: S) => Effect.Effect<unknown, unknown>
  /** What runs at the same time, to its end: it holds a permit, or stands in the queue. */
  readonly beside?: (state: S) => Effect.Effect<unknown, unknown>
  /** What must hold after each run. It throws when it does not. */
  readonly invariant: (state: S) => Effect.Effect<void>
  /** Yields after which a program that has still not ended is too long for this sweep. */
  readonly longest?: number
}

export interface Swept {
  readonly runs: number
  /** Runs that were interrupted before their end. */
  readonly interrupted: number
  /** Runs that ended before the interruption came. */
  readonly ended: number
}

/** Fewer than three and Effect makes no progress; with more, other operations meet a yield. */
const budgets = [3, 4, 5]

export const sweep = <S>(options: Sweep<S>): Effect.Effect<Swept> =>
  Effect.gen(function* () {
    const { beside, invariant, longest = 200, program, setup } = options
    let interrupted = 0
    let ended = 0
    for (const budget of budgets) {
      for (let prefix = 0; prefix < budget; prefix++) {
        let over = false
        for (let yields = 0; !over; yields++) {
          assert.isBelow(yields, longest, "the program is longer than the sweep")
          const state = yield* setup
          const other = beside === undefined ? undefined : yield* run(beside(state), 0, budget)
          const fiber = yield* run(program(state), prefix, budget)
          for (let i = 0; i < yields; i++) yield* Effect.yieldNow
          over = fiber.pollUnsafe() !== undefined
          yield* Fiber.interrupt(fiber)
          if (over) ended += 1
          else interrupted += 1
          if (other !== undefined) yield* Fiber.await(other)
          yield* invariant(state)
        }
      }
    }
    return { runs: interrupted + ended, interrupted, ended }
  })

const run = (self: Effect.Effect<unknown, unknown>, prefix: number, budget: number) => {
  let aligned = self
  for (let i = 0; i < prefix; i++) aligned = Effect.andThen(Effect.void, aligned)
  return Effect.forkChild(Effect.provideService(aligned, Scheduler.MaxOpsBeforeYield, budget), {
    startImmediately: true
  })
}

/** So many turns of other fibers. */
export const turns = (n: number): Effect.Effect<void> =>
  n === 0 ? Effect.void : Effect.andThen(Effect.yieldNow, turns(n - 1))
