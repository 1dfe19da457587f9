/**
 * The keys of Effect's run loop, which Effect does not document. They are found on effects that public functions make, so
 * that a release which renames them is noticed here and nowhere else.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"

/** What the run loop's fiber has beyond its public type. */
export interface RunningFiber extends Fiber.Fiber<unknown, unknown> {
  /** Frames that wait for the effect in progress, the innermost last. */
  readonly _stack: Array<unknown>
  /** Hands a value to the next frame without making an `Exit`. */
  readonly succeedWith: (value: unknown) => AnyEffect
}

export type AnyEffect = Effect.Effect<never, never>

const sample = Effect.matchCauseEffect(Effect.void, { onSuccess: () => Effect.void, onFailure: () => Effect.void })

const keyOf = (object: object, end: string): string => {
  const key = Object.keys(object).find((name) => name.endsWith(end))
  if (key === undefined) throw new Error(`this version of Effect has no ${end}: the baselines need a new look`)
  return key
}

/** Called with the fiber when the effect is run. */
export const evaluate = keyOf(Object.getPrototypeOf(sample), "/evaluate")
/** Called on a frame with (value, fiber). */
export const onValue = keyOf(sample, "/successCont")
/** Called on a frame with (cause, fiber, exit). */
export const onCause = keyOf(sample, "/failureCont")
/** Called on a frame whenever it is left, also by an interruption, which skips the other two. */
export const onLeave = onValue.replace("successCont", "ensureCont")
