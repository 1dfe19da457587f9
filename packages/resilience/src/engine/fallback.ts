/** Which errors a fallback handles. */
import * as Cause from "effect/Cause"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import type { AnyFiber } from "../runtime/types.ts"
import { reporterOf } from "./reporter.ts"
import { isExhausted } from "./retry.ts"

export type When = "rejected" | "any" | ((error: unknown) => boolean)

/** The settings of `when`; the default stands here. */
export const resolveWhen = (where: string, when: unknown = "rejected"): When =>
  when === "rejected" || when === "any" || typeof when === "function"
    ? (when as When)
    : Check.invalid(where, "when", '"rejected", "any" or a predicate', when)

/** An error to handle, or the cause that remains. */
type Verdict = { readonly error: unknown } | { readonly remaining: Cause.Cause<unknown> }

/**
 * Defects and interruptions are never handled. Of failures that came together, those that are not handled remain, and the
 * others are left out, as the type says.
 */
export const examine = (cause: Cause.Cause<unknown>, when: When): Verdict => {
  if (cause.reasons.some((reason) => reason._tag !== "Fail")) return { remaining: cause }
  const failures = cause.reasons.filter(Cause.isFailReason)
  const remaining = failures.filter((reason) => !isHandled(reason, when))
  const [first] = failures
  if (remaining.length > 0 || first === undefined) return { remaining: Cause.fromReasons(remaining) }
  return { error: first.error }
}

const isHandled = (reason: Cause.Fail<unknown>, when: When): boolean => {
  if (when === "any") return true
  if (typeof when === "function") return when(reason.error)
  return Rejection.is(reason.error) || isExhausted(reason)
}

export const report = (name: string, key: string, error: unknown, fiber: AnyFiber): void => {
  const reporter = reporterOf(name, fiber)
  if (reporter.hasListeners) {
    reporter.emit({ _tag: "FallbackUsed", policy: name, key, at: Time.epochMillis(fiber), error })
  }
}
