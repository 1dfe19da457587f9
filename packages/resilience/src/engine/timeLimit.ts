/** Work with a time limit: a child fiber, one timer, and a result only when the work has really ended. */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import { interruptLate } from "../runtime/lateInterruption.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import * as Deadline from "./deadline.ts"
import * as Left from "./left.ts"
import { warnOfOverrun } from "./overrun.ts"

/**
 * Runs `self` in a child fiber, and interrupts it after `limit` milliseconds. With a deadline, the work inside sees it until
 * the result is there. `name` is the policy's, for the warning about work that goes on after its interruption.
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
  name: string,
  onTimeout: () => Exit.Exit<A, E>
): Effect.Effect<A, E> =>
  Effect.callback((resume) => {
    // The context holds all that `self` needs: it runs where its parent runs.
    const context = deadline === undefined ? parent.context : Context.add(parent.context, Deadline.Current, deadline)
    const child = fork(context, self)
    const exit = child.pollUnsafe()
    if (exit !== undefined) {
      Left.inherit(exit, parent)
      if (deadline !== undefined) deadline.over = true
      return resume(exit)
    }
    let interrupting = false
    let cancel = Timer.start(parent, limit, () => {
      const stop = interruptLate(child, parent.id, () => {
        interrupting = true
      })
      // It ended at once: the observer below has run.
      if (child.pollUnsafe() !== undefined) return
      const cancelWarning = warnOfOverrun(parent, name)
      cancel = () => {
        stop()
        cancelWarning()
      }
    })
    child.addObserver((exit) => {
      Left.inherit(exit, parent)
      cancel()
      if (deadline !== undefined) deadline.over = true
      const result = interrupting ? exitOfInterrupted(exit, onTimeout) : exit
      continueWith(parent, resume, result)
    })
    return Effect.suspend(() => {
      cancel()
      return interrupt(child, parent)
    })
  })

/** Interrupts the work and waits for its end, as `Fiber.interrupt` does. */
const interrupt = (child: AnyFiber, parent: AnyFiber): Effect.Effect<void> =>
  Effect.callback((resume) => {
    child.addObserver(() => continueWith(parent, resume, Effect.void))
    continueWith(parent, (id) => child.interruptUnsafe(id), parent.id)
  })

/**
 * Limits inside each other start, end and are interrupted on one JavaScript stack, which overflows at a thousand levels. This
 * counts the levels; the deepest ones continue on a new stack, through the scheduler.
 */
let depth = 0
const deepest = 100

const fork = <A, E>(context: Context.Context<never>, self: Effect.Effect<A, E, any>): Fiber.Fiber<A, E> => {
  const run = Effect.runForkWith(context as Context.Context<any>)
  depth += 1
  // biome-ignore lint/plugin: no effect; the count must be right also after an overflow in the work
  try {
    return run(depth % deepest === 0 ? Effect.andThen(Effect.yieldNow, self) : self)
  } finally {
    depth -= 1
  }
}

const continueWith = <A>(fiber: AnyFiber, next: (value: A) => void, value: A): void => {
  depth += 1
  // biome-ignore lint/plugin: no effect; the count must be right also after an overflow in the work
  try {
    if (depth % deepest === 0) fiber.currentDispatcher.scheduleTask(() => next(value), 0)
    else next(value)
  } finally {
    depth -= 1
  }
}

/** The interruption of the limit is not the caller's: other reasons (a finalizer that failed) are returned without it. */
const exitOfInterrupted = <A, E>(exit: Exit.Exit<A, E>, onTimeout: () => Exit.Exit<A, E>): Exit.Exit<A, E> => {
  if (exit._tag === "Success") return exit
  const reasons = exit.cause.reasons.filter((reason) => reason._tag !== "Interrupt")
  return reasons.length === 0 ? onTimeout() : Exit.failCause(Cause.fromReasons(reasons))
}
