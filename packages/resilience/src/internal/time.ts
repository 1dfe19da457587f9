/** The one clock of the core: monotonic, from Effect's `Clock`, in milliseconds. A wall clock set back changes nothing. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { AnyFiber } from "./types.ts"

export const liveClock = Context.get(Context.empty(), Clock.Clock)

/** Kept here, because in Node the global is a getter, and asked for twice a call. */
const { performance } = globalThis

/** What the live clock says. */
export const liveMillis = (): number => performance.now()

/** A clock is looked up when the context is another one than last time: calls come in rows. */
let context: AnyFiber["context"] = Context.empty()
let isLive = true

/** The live clock is read without its detour over a `bigint`, which costs more than the reading. */
export const monotonicMillis = (fiber: AnyFiber): number => {
  if (fiber.context !== context) {
    context = fiber.context
    isLive = fiber.getRef(Clock.Clock) === liveClock
  }
  return isLive ? performance.now() : Number(fiber.getRef(Clock.Clock).monotonicTimeNanosUnsafe()) / 1e6
}

/** Wall time, for stamps that people read; never for intervals. */
export const epochMillis = (fiber: AnyFiber): number => fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()

/** An effect of the present moment. */
export const withNow = <A>(f: (now: number, fiber: AnyFiber) => A): Effect.Effect<A> =>
  Effect.withFiber((fiber) => Effect.succeed(f(monotonicMillis(fiber), fiber)))
