/** The warning about work that goes on after its time limit has interrupted it. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Platform from "../runtime/platform.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"

/** Whether a warning is logged: off in production. */
export const WarnOfOverrun = Context.Reference<boolean>("effect-resilience/Timeout/WarnOfOverrun", {
  defaultValue: () => !Platform.isProduction()
})

/** Milliseconds after the limit. */
const patience = 1000

/** The policies that a warning has been logged for, up to a number that a program with fixed policies does not reach. */
const warned = new Set<string>()
const mostWarned = 1000

/** Logs a warning in a second, once for each policy, unless the returned function is called before. */
export const warnOfOverrun = (fiber: AnyFiber, name: string): (() => void) => {
  if (warned.has(name) || warned.size >= mostWarned || !fiber.getRef(WarnOfOverrun)) return () => {}
  return Timer.start(fiber, patience, () => {
    if (warned.has(name)) return
    warned.add(name)
    Effect.runForkWith(fiber.context)(Effect.logWarning(message(name)))
  })
}

const message = (name: string): string =>
  `${name}: work still runs 1 second after its time limit, and holds its permit until it ends. It is in an uninterruptible ` +
  "region or in a slow finalizer. Make the slow part interruptible (with a promise: pass the signal of Effect.tryPromise on), or " +
  "give the call a longer limit. This warning is logged once for each policy, and not in production " +
  "(Timeout.WarnOfOverrun)."
