/** The deadline of the work in progress, which travels in the fiber's context. */
import * as Context from "effect/Context"
import * as Time from "./time.ts"
import type { AnyFiber } from "./types.ts"

/**
 * A deadline, and the one around it. It holds while its owner waits: work that outlives its owner (a fiber that was
 * detached, a layer that was built inside) is bound by it no longer.
 */
export interface Deadline {
  /** The monotonic instant, in milliseconds, at which nobody waits for the work any more. */
  readonly at: number
  readonly outer: Deadline | undefined
  over: boolean
}

export const Current = Context.Reference<Deadline | undefined>("effect-resilience/Deadline/Current", {
  defaultValue: () => undefined
})

/** The deadline that holds. */
const live = (fiber: AnyFiber): Deadline | undefined => {
  let deadline = fiber.getRef(Current)
  while (deadline?.over === true) deadline = deadline.outer
  return deadline
}

/** Its instant; `Infinity` without one. An inner deadline is never later than one around it. */
export const instant = (fiber: AnyFiber): number => live(fiber)?.at ?? Infinity

/** Milliseconds left, before another instant too if there is one; zero or less when the time is over. */
export const remaining = (fiber: AnyFiber, before = Infinity): number => {
  const at = Math.min(before, instant(fiber))
  return at === Infinity ? Infinity : at - Time.monotonicMillis(fiber)
}

/** A deadline inside the one that holds. */
export const within = (fiber: AnyFiber, at: number): Deadline => {
  const outer = live(fiber)
  return { at: outer === undefined ? at : Math.min(at, outer.at), outer, over: false }
}
