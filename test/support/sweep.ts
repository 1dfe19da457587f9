/** Sweeps of the library's own policies, on native frames and on those of Effect's public API. */
import { assert, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { sample } from "./sample.ts"

let isSecondTime = false

/** For the project `frames`, which sweeps on public frames what `unit` sweeps on native ones. */
export const sweepForTheSecondTime = (): void => {
  isSecondTime = true
}

/** Of programs that differ in the work alone: all, one more than `count` in a part, and `count` for the second time. */
export const some = <A>(programs: Readonly<Record<string, A>>, count: number): ReadonlyArray<[string, A]> =>
  Object.entries(programs).slice(0, isSecondTime ? count : sample(count + 1, undefined))

/**
 * Sweeps a program, and fails if it was interrupted at no more than `least` points. A part of the sample is one budget, at every
 * alignment: it yields at each operation, as all budgets do; they interleave it with the contender in more ways. On public
 * frames, where only pushing a frame and taking it off differ, it is one alignment, which yields at each third operation.
 */
export const swept = <S, R extends Scope.Scope = never>(
  name: string,
  options: Sweep.Options<S, never, R>,
  least: number,
  runs = true
) =>
  it.effect.runIf(runs)(name, () =>
    Effect.gen(function* () {
      const isPart = isSecondTime || sample(true, false)
      const isThin = isSecondTime && sample(true, false)
      const { ended, interrupted } = yield* Sweep.run({
        ...(isPart ? { budgets: [3] } : {}),
        ...options,
        ...(isThin ? { prefixes: 1 } : {})
      })
      assert.isAbove(interrupted, isThin ? least / 12 : isPart ? least / 4 : least)
      assert.isAbove(ended, 0)
    })
  )
