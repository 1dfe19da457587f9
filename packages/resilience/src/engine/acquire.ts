/**
 * Calls that hold what they were admitted with longer than their work runs: for scopes and streams. The frame of such a call
 * acquires, and after a success it releases nothing: `end` does, once, when the scope or the stream has ended.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"

/** A call that has been admitted, and has not ended. */
export interface Hold {
  /** The dependency has responded: from now on the call is no longer timed, and a probe has succeeded. */
  responded(fiber: AnyFiber): void
  /** Releases what the call holds, and settles it. Only the first end of an admitted call counts. */
  end(exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber): void
  /** The cause with which the caller sees a failure after the first response. */
  left(cause: Cause.Cause<unknown>, fiber: AnyFiber): Cause.Cause<unknown>
}

export const causeOf = (exit: Exit.Exit<unknown, unknown>): Cause.Cause<unknown> | undefined =>
  exit._tag === "Failure" ? exit.cause : undefined

/** Acquires what the call of `make` needs, and holds it until the scope closes; the exit of the scope is that of the call. */
export const inScope = <H extends AnyEffect & Hold>(make: () => H): Effect.Effect<H, any, Scope.Scope> =>
  Effect.flatMap(Effect.scope, (scope) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        const hold = make()
        const acquired = Effect.onExit(restore(hold), (exit) =>
          exit._tag === "Failure" ? ending(hold, exit) : Effect.void
        )
        return Effect.andThen(
          acquired,
          Effect.as(
            Scope.addFinalizerExit(scope, (exit) => ending(hold, exit)),
            hold
          )
        )
      })
    )
  )

export const ending = (hold: Hold, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    hold.end(exit, fiber)
    return Effect.void
  })
