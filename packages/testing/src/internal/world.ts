import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"

/** Runs an effect in its own world: a virtual clock at zero, a seeded `Random`, a scope. */
export const world =
  (seed: string | number) =>
  <A, E>(self: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E> =>
    self.pipe(
      Effect.scoped,
      Random.withSeed(seed),
      // The world starts here, so its clock is provided here.
      // @effect-diagnostics-next-line strictEffectProvide:off
      Effect.provide(TestClock.layer())
    )
