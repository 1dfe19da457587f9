/** Work with a time limit: a child fiber, one timer, and a result only when the work has really ended. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import * as Deadline from "./deadline.ts"
import * as Left from "./left.ts"

/**
 * Runs `self` in a child fiber, and interrupts it after `limit` milliseconds. With a deadline, the work inside sees it until
 * the result is there.
 *
 * The interruption is awaited, so a caller that holds a permit for the work holds it as long as the work goes on. If the work
 * completes all the same, its own result stands: reporting completed work as a timeout would make callers repeat it.
 * Otherwise `onTimeout` returns the exit.
 */
export const runWithin = <A, E>(
  self: Effect.Effect<A, E, any>,
  limit: number,
  deadline: Deadline.Deadline | undefined,
  parent: AnyFiber,
  onTimeout: () => Exit.Exit<A, E>
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    // The context holds all that `self` needs: it runs where its parent runs.
    const context = deadline === undefined ? parent.context : Context.add(parent.context, Deadline.Current, deadline)
    const child = Effect.runForkWith(context as Context.Context<any>)(self)
    const exit = child.pollUnsafe()
    if (exit !== undefined) {
      Left.inherit(exit, parent)
      if (deadline !== undefined) deadline.over = true
      return resume(exit)
    }
    let interrupting = false
    const interrupt = (delay: number): void => {
      // A fiber that is interrupted inside an uninterruptible region loses the region's result at its end. So the region (a
      // commit, a finalizer) ends first, and work that goes on after it is interrupted then.
      if (uninterruptible(child)) {
        cancel = Timer.start(parent, delay, () => interrupt(Math.min(delay * 2, longestPollMs)))
        return
      }
      interrupting = true
      child.interruptUnsafe(parent.id)
    }
    let cancel = Timer.start(parent, limit, () => interrupt(1))
    child.addObserver((exit) => {
      Left.inherit(exit, parent)
      cancel()
      if (deadline !== undefined) deadline.over = true
      resume(interrupting ? exitOfInterrupted(exit, onTimeout) : exit)
    })
    return Effect.suspend(() => {
      cancel()
      return Fiber.interrupt(child)
    })
  })

/** The longest delay between two polls, in milliseconds: work that goes on after its region goes on that long at most. */
const longestPollMs = 50

/** Effect keeps this on its fibers, though not in their interface. */
const uninterruptible = (fiber: Fiber.Fiber<unknown, unknown> & { readonly interruptible?: boolean }): boolean =>
  fiber.interruptible === false

/** The interruption of the limit is not the caller's: other reasons (a finalizer that failed) are returned without it. */
const exitOfInterrupted = <A, E>(exit: Exit.Exit<A, E>, onTimeout: () => Exit.Exit<A, E>): Exit.Exit<A, E> => {
  if (exit._tag === "Success") return exit
  const reasons = exit.cause.reasons.filter((reason) => reason._tag !== "Interrupt")
  return reasons.length === 0 ? onTimeout() : Exit.failCause(Cause.fromReasons(reasons))
}
