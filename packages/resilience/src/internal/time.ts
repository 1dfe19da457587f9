/** The one clock of the core: monotonic, from Effect's `Clock`, in milliseconds. A wall clock set back changes nothing. */
import * as Clock from "effect/Clock"
import type * as Fiber from "effect/Fiber"

export const monotonicMillis = (fiber: Fiber.Fiber<unknown, unknown>): number =>
  Number(fiber.getRef(Clock.Clock).monotonicTimeNanosUnsafe()) / 1e6

/** Wall time, for stamps that people read; never for intervals. */
export const epochMillis = (fiber: Fiber.Fiber<unknown, unknown>): number =>
  fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
