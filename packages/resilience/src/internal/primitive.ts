/**
 * A frame of our own on a fiber's stack: the only module that knows how Effect's run loop is made.
 *
 * Effect's public API can put a frame of ours on the stack only inside frames of its own. The loop itself takes any object
 * that answers to its protocol, whose keys are read here off an effect that the public API made. The protocol is not
 * documented; `frame.ts` checks it at start, with every way a call can end, and does without it if the check fails.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type { AnyEffect, AnyFiber } from "./types.ts"

/** What the run loop keeps on a fiber, as far as it is used here. */
interface Loop {
  readonly _stack: Array<unknown>
  readonly _interruptedCause: Cause.Cause<never> | undefined
  readonly interruptible: boolean
  /** Hands a value to the next frame without a turn of the loop. */
  succeedWith(value: unknown): AnyEffect
}

interface Frame {
  succeeded(value: unknown, fiber: AnyFiber): AnyEffect | undefined
  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined
}

const sample = Effect.matchCauseEffect(Effect.void, { onSuccess: () => Effect.void, onFailure: () => Effect.void })

const keyOf = (suffix: string): string =>
  [...Object.keys(sample), ...Object.keys(Object.getPrototypeOf(sample))].find((key) => key.endsWith(suffix)) ?? suffix

/** The loop calls these on a frame that it takes off the stack. */
export const continuations = {
  [keyOf("/successCont")](this: Frame, value: unknown, fiber: AnyFiber & Loop): AnyEffect {
    return this.succeeded(value, fiber) ?? fiber.succeedWith(value)
  },
  [keyOf("/failureCont")](
    this: Frame,
    cause: Cause.Cause<unknown>,
    fiber: AnyFiber & Loop,
    exit: Exit.Exit<unknown, unknown> | undefined
  ): AnyEffect {
    return this.failed(cause, fiber) ?? exit ?? Effect.failCause(cause)
  },
  /** Called whichever way the frame comes off. An interruption then passes it over, so this is where it learns of one. */
  [keyOf("/ensureCont")](this: Frame, fiber: AnyFiber & Loop): void {
    if (fiber._interruptedCause !== undefined && fiber.interruptible) this.failed(fiber._interruptedCause, fiber)
  }
}

export const push = (frame: Frame, fiber: AnyFiber): void => {
  ;(fiber as unknown as Loop)._stack.push(frame)
}
