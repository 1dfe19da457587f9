/** A defect of a function of the user's, beside the failure that it must not hide. */
import * as Cause from "effect/Cause"

/** Both causes in one. `Cause.combine` compares the reasons, and so reads errors that may throw. */
export const beside = <E>(failure: Cause.Cause<E>, defect: Cause.Cause<E>): Cause.Cause<E> =>
  Cause.fromReasons([...failure.reasons, ...defect.reasons])
