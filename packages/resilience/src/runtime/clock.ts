/** Time for the core: monotonic, from Effect's `Clock`, in milliseconds. Setting the wall clock changes no interval. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Platform from "./platform.ts"
import type { AnyFiber } from "./types.ts"

export const liveClock = Context.get(Context.empty(), Clock.Clock)

/** The time of the live clock, in milliseconds. */
export const liveMillis = Platform.now

/** The clock is looked up again only when the context differs from the last one: consecutive calls often share a context. */
let context: AnyFiber["context"] = Context.empty()
let isLive = true

/** The time of the fiber's clock. The live clock is read directly, because its `bigint` costs more than the reading. */
export const monotonicMillis = (fiber: AnyFiber): number => {
  if (fiber.context !== context) {
    context = fiber.context
    isLive = fiber.getRef(Clock.Clock) === liveClock
  }
  return isLive ? Platform.now() : millisOf(fiber.getRef(Clock.Clock))
}

/** The time of a clock, in milliseconds. */
export const millisOf = (clock: Clock.Clock): number =>
  directOf(clock)?.millis() ?? Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** The property under which a clock that is not live has what costs less than the members of `Clock`; the lab's clock has it. */
const DirectKey = "~effect-resilience/Clock/direct" as const

/** What a simulated clock does without a `bigint` and without a fiber; its times and its order are those of the members of `Clock`. */
export interface Direct {
  /** The monotonic time in milliseconds. */
  readonly millis: () => number
  /** Calls `fire` after `delay` milliseconds, unless it is cancelled before. */
  readonly after: (delay: number, fire: () => void) => { readonly cancel: () => void }
}

export const directOf = (clock: Clock.Clock & { readonly [DirectKey]?: Direct }): Direct | undefined => clock[DirectKey]

/** The time of the clock of a context, for what runs in no fiber. */
export const millisIn = (context: Context.Context<never>): number => {
  const clock = Context.get(context, Clock.Clock)
  return clock === liveClock ? Platform.now() : millisOf(clock)
}

/** Wall time, for timestamps that people read; never for intervals. */
export const epochMillis = (fiber: AnyFiber): number => fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()

/** An effect that reads the current time. */
export const withNow = <A>(f: (now: number, fiber: AnyFiber) => A): Effect.Effect<A> =>
  Effect.withFiber((fiber) => Effect.succeed(f(monotonicMillis(fiber), fiber)))
