import * as Cause from "effect/Cause"
import * as Rejection from "../Rejection.ts"

/** The rejection that ended work of this program before it started; `undefined` of any other end. */
export const rejectionIn = (cause: Cause.Cause<unknown>): Rejection.Rejection | undefined => {
  const rejection = Rejection.of(Cause.squash(cause))
  return rejection !== undefined && Rejection.neverStarted(rejection) ? rejection : undefined
}
