/** Runs what a function of the user's returned in a fiber of its own. */
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { returned } from "../runtime/dual.ts"
import type { AnyFiber } from "../runtime/types.ts"

/**
 * The effect that a user's function returns, in a fiber of its own. Effect's loop ends a fiber without unwinding it when a
 * combinator inside gets no effect (from an `async` function, say): it ends this fiber, and not the one of the call, which
 * holds the caller's permits. The call then fails with a defect that names the function.
 */
export const inOwnFiber = <A, E>(
  where: string,
  name: string,
  make: () => Effect.Effect<A, E, any>,
  parent: AnyFiber
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    // The context holds all that the effect needs: it runs where its parent runs.
    const child: Fiber.Fiber<A, E> = Effect.runForkWith(parent.context as Context.Context<any>)(
      Effect.suspend(() => returned(where, name, make()))
    )
    child.addObserver((exit) => resume(named(where, name, exit)))
    return Fiber.interrupt(child)
  })

/** What Effect's loop says of a value that is no effect. */
const notAnEffect = "Fiber.runLoop: Not a valid effect: "

const named = <A, E>(where: string, name: string, exit: Exit.Exit<A, E>): Exit.Exit<A, E> => {
  if (exit._tag === "Success") return exit
  const defect = exit.cause.reasons.find(Cause.isDieReason)?.defect
  if (typeof defect !== "string" || !defect.startsWith(notAnEffect)) return exit
  return Exit.die(
    new RangeError(
      `${where}: ${name} must run functions that return an Effect, got ${defect.slice(notAnEffect.length)}`
    )
  )
}
