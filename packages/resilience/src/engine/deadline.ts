/** The deadline of the work in progress, which travels in the fiber's context. */
import * as Context from "effect/Context"
import * as Time from "../runtime/clock.ts"
import type { AnyFiber } from "../runtime/types.ts"

/**
 * A deadline, and the one around it. It applies while its owner waits: work that outlives its owner (a detached fiber, a layer
 * that was built inside) is no longer bound by it.
 */
export interface Deadline {
  /** The monotonic time, in milliseconds, at which the owner stops waiting. */
  readonly at: number
  readonly outer: Deadline | undefined
  /** The owner has stopped waiting. */
  over: boolean
}

export const Current = Context.Reference<Deadline | undefined>("effect-resilience/Deadline/Current", {
  defaultValue: () => undefined
})

/** The innermost deadline that applies. */
const current = (fiber: AnyFiber): Deadline | undefined => {
  let deadline = fiber.getRef(Current)
  while (deadline?.over === true) deadline = deadline.outer
  return deadline
}

/** The time of the deadline that applies; `Infinity` without one. An inner deadline is never later than an outer one. */
export const instant = (fiber: AnyFiber): number => current(fiber)?.at ?? Infinity

/** Milliseconds before the deadline, or before an earlier time `before`; zero or less when it has passed. */
export const remaining = (fiber: AnyFiber, before = Infinity): number => {
  const at = Math.min(before, instant(fiber))
  return at === Infinity ? Infinity : at - Time.monotonicMillis(fiber)
}

/** A deadline inside the one that applies. */
export const nested = (fiber: AnyFiber, at: number): Deadline => {
  const outer = current(fiber)
  return { at: outer === undefined ? at : Math.min(at, outer.at), outer, over: false }
}
