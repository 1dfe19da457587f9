/** What failures that came together, such as those of parallel work, ask of their callers: of several wishes the largest counts. */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Rejection from "../Rejection.ts"
import * as Transient from "../Transient.ts"

/** Milliseconds that an error asks callers to wait; 0 if it asks for nothing. */
export const askedMillis = (error: unknown): number => {
  const asked = Transient.retryAfter(error)
  return asked === undefined ? 0 : Duration.toMillis(asked)
}

/**
 * The longest delay that the dependency asked for with the failures of a call. A rejection does not speak for the dependency: its
 * `retryAfter` is that of a policy.
 */
export const retryAfterOf = (cause: Cause.Cause<unknown>): Duration.Duration | undefined => {
  let longest: Duration.Duration | undefined
  for (const reason of cause.reasons) {
    if (reason._tag !== "Fail" || Rejection.is(reason.error)) continue
    const asked = Transient.retryAfter(reason.error)
    if (asked !== undefined && (longest === undefined || Duration.isGreaterThan(asked, longest))) longest = asked
  }
  return longest
}
