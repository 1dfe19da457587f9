import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

/** Runs an effect in a world of its own: a virtual clock at zero, seeded chance, a scope. */
export const world =
  (seed: string | number) =>
  <A, E>(self: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E> =>
    self.pipe(
      Effect.scoped,
      Random.withSeed(seed),
      // A world begins here, so this is where its clock is provided.
      // @effect-diagnostics-next-line strictEffectProvide:off
      Effect.provide(TestClock.layer())
    )
