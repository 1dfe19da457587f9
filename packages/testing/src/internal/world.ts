import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Policies } from "effect-resilience"

/** Each run is a program of its own: its policies may have the names of those of another. */
export const inOwnProgram = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideServiceEffect(self, Policies.CurrentRegistry, Effect.sync(Policies.makeRegistry))

/** Runs an effect in its own world: a virtual clock at zero, a seeded `Random`, a registry, a scope. */
export const world =
  (seed: string | number) =>
  <A, E>(self: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E> =>
    self.pipe(
      Effect.scoped,
      Random.withSeed(seed),
      inOwnProgram,
      // The world starts here, so its clock is provided here.
      // @effect-diagnostics-next-line strictEffectProvide:off
      Effect.provide(TestClock.layer())
    )
