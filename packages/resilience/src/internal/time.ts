/** The one clock of the core: monotonic, from Effect's `Clock`, in milliseconds. A wall clock set back changes nothing. */
import * as Clock from "effect/Clock"
import type { AnyFiber } from "./types.ts"

export const monotonicMillis = (fiber: AnyFiber): number =>
  Number(fiber.getRef(Clock.Clock).monotonicTimeNanosUnsafe()) / 1e6

/** Wall time, for stamps that people read; never for intervals. */
export const epochMillis = (fiber: AnyFiber): number => fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
