/**
 * A call in flight, seen from the fiber: one frame on its stack between the caller and the work.
 *
 * Everything that a policy takes (a permit, a probe, a place in a queue) it takes in `enter`, which runs when the frame
 * is already in place, and gives back in `leave`, which runs exactly once however the call ends: success, failure,
 * defect or interruption, at any yield point. Taking anything before the frame is in place would lose it when the fiber
 * is interrupted in between; that is how semaphores leak.
 */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { AnyFiber } from "./types.ts"

export interface Frame<A, E, R> {
  enter(fiber: AnyFiber): Effect.Effect<A, E, R>
  leave(exit: Exit.Exit<A, E>, fiber: AnyFiber): void
}

/** An effect that begins a new frame each time it runs. */
export const make = <A, E, R>(begin: () => Frame<A, E, R>): Effect.Effect<A, E, R> => Effect.suspend(() => run(begin()))

/** Runs a frame that has just been made. */
export const run = <A, E, R>(frame: Frame<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) =>
    Effect.onExitPrimitive(
      Effect.suspend(() => frame.enter(fiber)),
      (exit) => {
        frame.leave(exit, fiber)
        return undefined
      }
    )
  )
