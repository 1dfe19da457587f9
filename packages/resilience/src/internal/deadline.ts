/** The deadline of the work in progress, which travels in the fiber's context. */
import * as Context from "effect/Context"
import * as Time from "./time.ts"
import type { AnyFiber } from "./types.ts"

/** The monotonic instant, in milliseconds, at which nobody waits for the work any more. */
export const Current = Context.Reference<number>("effect-resilience/Deadline/Current", { defaultValue: () => Infinity })

/** Milliseconds left; zero or less when the time is over. */
export const remaining = (fiber: AnyFiber): number => {
  const at = fiber.getRef(Current)
  return at === Infinity ? Infinity : at - Time.monotonicMillis(fiber)
}

/** The fiber's context with a deadline that is no later than the one it has. */
export const tightened = (fiber: AnyFiber, at: number): Context.Context<never> =>
  fiber.getRef(Current) <= at ? fiber.context : Context.add(fiber.context, Current, at)
