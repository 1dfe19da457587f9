/** Work with a time limit: a child fiber, one timer, and an answer only when the work has really ended. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Deadline from "./deadline.ts"
import * as Timer from "./timer.ts"
import type { AnyFiber } from "./types.ts"

/**
 * Runs `self` in a child fiber, and interrupts it after `limit` milliseconds. With a deadline, the work inside sees it, for
 * as long as it is waited for.
 *
 * The interruption is waited for, so that whoever holds a permit for the work still holds it while the work goes on. If
 * the work then ends by itself after all, its own result stands: to call a done deed a timeout would have it done twice.
 * Otherwise `fired` says how it ended.
 */
export const within = <A, E>(
  self: Effect.Effect<A, E, any>,
  limit: number,
  deadline: Deadline.Deadline | undefined,
  parent: AnyFiber,
  fired: () => Exit.Exit<A, E>
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    // The context holds all that `self` needs: it runs where its parent runs.
    const context = deadline === undefined ? parent.context : Context.add(parent.context, Deadline.Current, deadline)
    const child = Effect.runForkWith(context as Context.Context<any>)(self)
    const exit = child.pollUnsafe()
    if (exit !== undefined) {
      if (deadline !== undefined) deadline.over = true
      return resume(exit)
    }
    let interrupting = false
    const interrupt = (again: number): void => {
      // A fiber that is interrupted inside a region that cannot be loses the region's result at its end. So a commit or a
      // finalizer ends first; work that goes on after it is stopped then.
      if (uninterruptible(child)) {
        cancel = Timer.start(parent, again, () => interrupt(Math.min(again * 2, longestLook)))
        return
      }
      interrupting = true
      child.interruptUnsafe(parent.id)
    }
    let cancel = Timer.start(parent, limit, () => interrupt(1))
    child.addObserver((exit) => {
      cancel()
      if (deadline !== undefined) deadline.over = true
      resume(interrupting ? whenInterrupted(exit, fired) : exit)
    })
    return Effect.suspend(() => {
      cancel()
      return Fiber.interrupt(child)
    })
  })

/** Milliseconds between two looks at most, so that work that goes on after its region does not go on for long. */
const longestLook = 50

/** Effect keeps this on its fibers, though not in their interface. */
const uninterruptible = (fiber: Fiber.Fiber<unknown, unknown> & { readonly interruptible?: boolean }): boolean =>
  fiber.interruptible === false

/** Our own interruption is not the caller's: what else went wrong (a finalizer that failed) comes without it. */
const whenInterrupted = <A, E>(exit: Exit.Exit<A, E>, fired: () => Exit.Exit<A, E>): Exit.Exit<A, E> => {
  if (exit._tag === "Success") return exit
  const reasons = exit.cause.reasons.filter((reason) => reason._tag !== "Interrupt")
  return reasons.length === 0 ? fired() : Exit.failCause(Cause.fromReasons(reasons))
}
