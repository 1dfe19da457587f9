/** Fallbacks at run time: which errors they handle, and the frame of a call with one. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import { returned } from "../runtime/dual.ts"
import { endingCallsAround, Frame, passedBy } from "../runtime/frame.ts"
import { retainHiddenClass } from "../runtime/hiddenClass.ts"
import * as Check from "../runtime/options.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import { defaultKey } from "../Types.ts"
import * as Left from "./left.ts"
import { reporterOf } from "./reporter.ts"

export type When = "rejected" | "neverStarted" | "any" | ((error: unknown) => boolean)

/** The settings of `when`; the default stands here. */
export const resolveWhen = (where: string, when: unknown = "rejected"): When => {
  if (when === "rejected" || when === "neverStarted" || when === "any") return when
  Check.callback(where, "when", '"rejected", "neverStarted", "any" or a predicate', when)
  return when as When
}

/** An error to handle, or the cause that remains. */
type Verdict = { readonly error: unknown } | { readonly remaining: Cause.Cause<unknown> }

/**
 * Defects and interruptions are never handled. Of failures that came together, those that are not handled remain, and the
 * others are left out, as the type says. `since` is what `Left.recorded` returned when the call began.
 */
export const examine = (cause: Cause.Cause<unknown>, when: When, since: number, fiber: AnyFiber): Verdict => {
  if (cause.reasons.some((reason) => reason._tag !== "Fail")) return { remaining: cause }
  const failures = cause.reasons.filter(Cause.isFailReason)
  const remaining = failures.filter((reason) => !isHandled(reason, when, since, fiber))
  const [first] = failures
  if (remaining.length === cause.reasons.length) return { remaining: cause }
  if (remaining.length > 0 || first === undefined) return { remaining: Cause.fromReasons(remaining) }
  return { error: first.error }
}

const isHandled = (reason: Cause.Fail<unknown>, when: When, since: number, fiber: AnyFiber): boolean => {
  if (typeof when === "function") return when(reason.error) === true
  switch (when) {
    case "any":
      return true
    case "neverStarted":
      return Left.neverStarted(reason, since, fiber)
    case "rejected":
      return Rejection.is(reason.error) || Left.isExhausted(reason, since, fiber)
  }
}

export const report = (name: string, key: string, error: unknown, fiber: AnyFiber): void => {
  const reporter = reporterOf(name, fiber)
  if (reporter.hasListeners) {
    reporter.emit({ _tag: "FallbackUsed", policy: name, key, at: Time.epochMillis(fiber), error }, fiber)
  }
}

export interface FallbackSettings {
  readonly name: string
  readonly when: When
  readonly orElse: (error: unknown) => AnyEffect
}

/** An effect with a fallback: the frame of a call. */
class FallbackCall extends Frame<FallbackSettings, undefined> {
  declare private since: number

  constructor(settings: FallbackSettings, self: AnyEffect) {
    super(settings, undefined, self, undefined)
    this.since = 0
  }

  protected copy(): FallbackCall {
    return new FallbackCall(this.engine!, this.self)
  }

  protected prepare(): undefined {
    this.since = Left.recorded()
  }

  enter(): AnyEffect {
    return this.self
  }

  succeeded(): undefined {}

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const { name, orElse, when } = this.engine!
    const verdict = examine(cause, when, this.since, fiber)
    if ("remaining" in verdict && verdict.remaining === cause) return undefined
    this.free()
    if ("remaining" in verdict) return Effect.failCause(verdict.remaining)
    const { error } = verdict
    report(name, Rejection.is(error) ? error.key : defaultKey, error, fiber)
    return endingCallsAround(returned("Fallback.orElse", "the argument", orElse(error)), fiber)
  }
}

passedBy(FallbackCall)

let retained = false

export const fallback = (settings: FallbackSettings) => {
  // Here and not at the top level: other parts of this module are used without a fallback.
  if (!retained) retainHiddenClass(new FallbackCall(settings, Effect.void))
  retained = true
  return (self: AnyEffect): AnyEffect => new FallbackCall(settings, self)
}
