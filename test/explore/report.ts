import { Explore } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"

/** Explores, and prints what was visited. */
export const explore = <S>(machine: Explore.Machine<S>, options?: Explore.Options) =>
  Effect.tap(Explore.check(machine, options), (explored) => Effect.sync(() => console.log(Explore.format(explored))))

/** The law that does not hold, with the shortest way to where it does not. */
export const violation = <S>(machine: Explore.Machine<S>) =>
  Effect.map(Effect.flip(Explore.check(machine)), (found) =>
    found._tag === "Violated" ? { law: found.law, trace: found.trace.map(({ action }) => action) } : undefined
  )
