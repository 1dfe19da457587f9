/** The ways in which a call ends, as works to be protected. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Timeout } from "effect-resilience"
import { bug, type Failure, hung, NotFound, ok } from "../support/dependency.ts"
import { Down, start } from "./support.ts"

export const howItEnds = [
  "success",
  "transient failure",
  "permanent failure",
  "ignored failure",
  "defect",
  "interrupt",
  "timeout"
] as const
export type How = (typeof howItEnds)[number]
export type Work = Effect.Effect<string, Failure | Down | Timeout.TimedOut>

export const seconds = "1 second"

export const work: Record<How, Work> = {
  success: ok,
  // A new error for each call: a fallback remembers an error that a retry gave up on.
  "transient failure": Effect.suspend(() => Effect.fail(new Down())),
  "permanent failure": Effect.fail(new NotFound()),
  "ignored failure": Effect.fail(new NotFound()),
  defect: bug,
  interrupt: hung,
  timeout: hung.pipe(Timeout.after(seconds))
}

/** What the caller gets when no policy changes it. */
export const bare: Record<How, string> = {
  success: "ok",
  "transient failure": "Down",
  "permanent failure": "NotFound",
  "ignored failure": "NotFound",
  defect: "Die",
  interrupt: "Interrupt",
  timeout: "TimedOut"
}

const told = (exit: Exit.Exit<unknown, { readonly _tag: string }>): string => {
  if (Exit.isSuccess(exit)) return String(exit.value)
  const [reason] = exit.cause.reasons
  return reason?._tag === "Fail" ? reason.error._tag : (reason?._tag ?? "nothing")
}

/** The end of a call that has begun: one that hangs is interrupted, one that takes too long meets its timeout. */
export const endOf = <E extends { readonly _tag: string }>(fiber: Fiber.Fiber<unknown, E>, how: How) =>
  Effect.gen(function* () {
    if (how === "interrupt") yield* Fiber.interrupt(fiber)
    // Once for each attempt.
    for (let tries = 0; how === "timeout" && tries < 3 && fiber.pollUnsafe() === undefined; tries++) {
      yield* TestClock.adjust(seconds)
    }
    return told(yield* Fiber.await(fiber))
  })

export const toItsEnd = <E extends { readonly _tag: string }>(call: Effect.Effect<unknown, E>, how: How) =>
  Effect.flatMap(start(call), (fiber) => endOf(fiber, how))
