/** Sweeps of the library's own policies, on native frames and on those of Effect's public API. */
import { assert, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"

let isSecondTime = false

/**
 * For the project `frames`, which sweeps on public frames what `unit` sweeps on native ones. Only pushing a frame and taking it
 * off differ, so one budget, at every alignment, is enough: it yields at each operation of both.
 */
export const sweepForTheSecondTime = (): void => {
  isSecondTime = true
}

/** Of programs that differ in the work alone: all, and the first `count` when they are swept for the second time. */
export const some = <A>(programs: Readonly<Record<string, A>>, count: number): ReadonlyArray<[string, A]> =>
  Object.entries(programs).slice(0, isSecondTime ? count : undefined)

/** Sweeps a program, and fails if it was interrupted at no more than `least` points. */
export const swept = <S>(name: string, options: Sweep.Options<S>, least: number) =>
  it.effect(name, () =>
    Effect.gen(function* () {
      const { ended, interrupted } = yield* Sweep.run(isSecondTime ? { budgets: [3], ...options } : options)
      assert.isAbove(interrupted, isSecondTime ? least / 4 : least)
      assert.isAbove(ended, 0)
    })
  )
