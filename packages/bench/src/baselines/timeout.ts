/** The least that a timeout can cost: a yardstick, not code to ship. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

export class TooLate {
  readonly _tag = "TooLate"
}

const tooLate = Exit.fail(new TooLate())

/** Public API: a child fiber, an observer and one timer; none if the work ends at once. */
export const timeout =
  (millis: number) =>
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | TooLate> =>
    Effect.withFiber((parent): Effect.Effect<A, E | TooLate> => {
      const child = Effect.runForkWith(parent.context)(self)
      const exit = child.pollUnsafe()
      if (exit !== undefined) return exit
      return Effect.callback<A, E | TooLate>((resume) => {
        let late = false
        const timer = setTimeout(() => {
          late = true
          child.interruptUnsafe(parent.id)
        }, millis)
        child.addObserver((exit) => {
          clearTimeout(timer)
          resume(late ? tooLate : exit)
        })
        return Effect.suspend(() => {
          clearTimeout(timer)
          return Fiber.interrupt(child)
        })
      })
    })
