/** Work with a time limit: a child fiber, one timer, and an answer only when the work has really ended. */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Timer from "./timer.ts"

type AnyFiber = Fiber.Fiber<unknown, unknown>

/**
 * Runs `self` in a child fiber with the given context, and interrupts it after `limit` milliseconds.
 *
 * The interruption is waited for, so that whoever holds a permit for the work still holds it while the work goes on. If
 * the work then ends by itself after all (it could not be interrupted in the middle of a commit), its own result stands:
 * to call a done deed a timeout would have it done twice. Otherwise `fired` says how it ended.
 */
export const within = <A, E>(
  self: Effect.Effect<A, E, any>,
  limit: number,
  context: Context.Context<never>,
  parent: AnyFiber,
  fired: () => Exit.Exit<A, E>
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    // The context holds all that `self` needs: it runs where its parent runs.
    const child = Effect.runForkWith(context as Context.Context<any>)(self)
    const exit = child.pollUnsafe()
    if (exit !== undefined) return resume(exit)
    let late = false
    const cancel = Timer.start(parent, limit, () => {
      late = true
      child.interruptUnsafe(parent.id)
    })
    child.addObserver((exit) => {
      cancel()
      resume(late && interrupted(exit) ? fired() : exit)
    })
    return Effect.suspend(() => {
      cancel()
      return Fiber.interrupt(child)
    })
  })

const interrupted = (exit: Exit.Exit<unknown, unknown>): boolean =>
  exit._tag === "Failure" && exit.cause.reasons.every((reason) => reason._tag === "Interrupt")
