/**
 * A clock with the time of the live one, whose sleeps do not keep the process alive: for what only decides and holds no caller up.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Time from "./clock.ts"
import * as Timer from "./timer.ts"
import type { AnyFiber } from "./types.ts"

/** The base of the monotonic time is that of `Time.liveMillis`, which may differ from that of Effect's live clock. */
const monotonicNanos = (): bigint => BigInt(Math.round(Time.liveMillis() * 1e6))

const sleepMillis = (millis: number): Effect.Effect<void> => {
  if (millis <= 0) return Effect.yieldNow
  if (millis === Infinity) return Effect.never
  return Effect.callback((resume) => {
    const cancel = Timer.alarm(Time.liveClock, millis, () => resume(Effect.void))
    return Effect.sync(cancel)
  })
}

const quietClock: Clock.Clock = {
  currentTimeMillisUnsafe: () => Time.liveClock.currentTimeMillisUnsafe(),
  currentTimeMillis: Time.liveClock.currentTimeMillis,
  currentTimeNanosUnsafe: () => Time.liveClock.currentTimeNanosUnsafe(),
  currentTimeNanos: Time.liveClock.currentTimeNanos,
  monotonicTimeNanosUnsafe: monotonicNanos,
  monotonicTimeNanos: Effect.sync(monotonicNanos),
  sleep: (duration) => sleepMillis(Duration.toMillis(duration))
}

/** The context of a fiber, on the quiet clock if the fiber is on the live one. Any other clock stays. */
export const quietly = (fiber: AnyFiber): Context.Context<never> =>
  fiber.getRef(Clock.Clock) === Time.liveClock ? Context.add(fiber.context, Clock.Clock, quietClock) : fiber.context
