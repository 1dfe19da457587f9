/** One-shot timers on Effect's `Clock`. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Time from "./time.ts"
import type { AnyFiber } from "./types.ts"

/** The longest delay that `setTimeout` takes; a longer one would fire at once. */
const longest = 2 ** 31 - 1

/**
 * Calls `fire` once after `delay` milliseconds, unless the returned function is called first.
 *
 * A plain timer on the live clock (a sleeping fiber costs twice as much per protected call), a sleep on any other, so
 * that `TestClock` and a simulator drive it.
 */
export const start = (fiber: AnyFiber, delay: number, fire: () => void): (() => void) => {
  if (delay === Infinity) return noop
  const clock = fiber.getRef(Clock.Clock)
  if (clock === Time.liveClock && delay <= longest) {
    const handle = setTimeout(fire, delay)
    return () => clearTimeout(handle)
  }
  const sleeping = Effect.runForkWith(fiber.context)(clock.sleep(Duration.millis(delay)))
  let cancelled = false
  sleeping.addObserver((exit) => {
    if (!cancelled && exit._tag === "Success") fire()
  })
  return () => {
    cancelled = true
    sleeping.interruptUnsafe()
  }
}

const noop = (): void => {}
