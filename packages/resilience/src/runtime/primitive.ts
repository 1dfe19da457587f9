/**
 * The only module that knows how Effect's run loop is made.
 *
 * Effect's public API pushes a foreign frame only inside frames of its own. The loop itself takes any
 * object that follows its protocol, whose keys are read here from an effect that the public API made. The protocol is not
 * documented; `frameCheck.ts` tries it at start, with every way in which a call can end.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { AnyEffect, AnyFiber } from "./types.ts"

/** What the run loop keeps on a fiber, as far as it is used here. */
interface Loop {
  readonly _stack: Array<unknown>
  readonly _interruptedCause: Cause.Cause<never> | undefined
  readonly interruptible: boolean
  /** Hands a value to the next frame without a turn of the loop. */
  succeedWith(value: unknown): AnyEffect
}

const sample = Effect.matchCauseEffect(Effect.void, { onSuccess: () => Effect.void, onFailure: () => Effect.void })

const keyOf = (suffix: string): string =>
  [...Object.keys(sample), ...Object.keys(Object.getPrototypeOf(sample))].find((key) => key.endsWith(suffix)) ?? suffix

/** The loop calls these on a frame that it takes off the stack. */
export const onSuccess = keyOf("/successCont")
export const onFailure = keyOf("/failureCont")
/** Called whichever way a frame comes off. An interruption then passes it over, so this is where it learns of one. */
export const onLeave = keyOf("/ensureCont")

const loopOf = (fiber: AnyFiber): Loop => fiber as unknown as Loop

export const push = (frame: object, fiber: AnyFiber): void => {
  loopOf(fiber)._stack.push(frame)
}

/**
 * The frames that are left when a fiber has ended, the innermost first. There are some only if the loop met a value that is no
 * effect: it ends the fiber then, and unwinds nothing.
 */
export const left = (fiber: AnyFiber): ReadonlyArray<unknown> => loopOf(fiber)._stack.toReversed()

/** Goes on with the frame below. */
export const succeed = (value: unknown, fiber: AnyFiber): AnyEffect => loopOf(fiber).succeedWith(value)

/** The interruption that is about to pass over the frame that is being left. */
export const interruption = (fiber: AnyFiber): Cause.Cause<never> | undefined => {
  const loop = loopOf(fiber)
  return loop._interruptedCause !== undefined && loop.interruptible ? loop._interruptedCause : undefined
}
