/**
 * What a retry records about the errors that leave it: which are exhausted, and whether an earlier attempt may have done its
 * work. The record belongs to the call and not to the error, because a program may fail with the same error object in many
 * calls.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Exit from "effect/Exit"
import * as Rejection from "../Rejection.ts"
import { isObject } from "../runtime/read.ts"
import type { AnyFiber } from "../runtime/types.ts"
import * as Transient from "../Transient.ts"

interface Left {
  /** The error that left: `Effect.mapError` keeps annotations, also on another error. */
  readonly error: unknown
  /** The number of this record; those of later records are greater. */
  readonly number: number
  /** The error is transient: no retry repeats it any more. */
  readonly exhausted: boolean
  /** An attempt before the one that failed with this error may have done its work. */
  readonly mayHaveRun: boolean
}

class LeftRetry extends Context.Service<LeftRetry, Left>()("effect-resilience/Retry/Left") {}

/** Set in what only decides beside a call: it must leave no trace on the errors of the call. */
export const Observing = Context.Reference<boolean>("effect-resilience/Retry/Observing", { defaultValue: () => false })

/** Records so far. */
let count = 0

/** The number of the last record. What a call finds with a greater number was recorded since the call began. */
export const recorded = (): number => count

/**
 * The same records by fiber, for an error that was caught and failed with again on the fiber of the retry: its new cause has
 * no annotation.
 */
const byFiber = new WeakMap<AnyFiber, WeakMap<object, Left>>()

const rememberOn = (fiber: AnyFiber, left: Left): void => {
  if (!isObject(left.error)) return
  const records = byFiber.get(fiber) ?? new WeakMap<object, Left>()
  byFiber.set(fiber, records.set(left.error, left))
}

/**
 * The reasons that left a retry. An annotation alone does not prove that: Effect 4.1 keeps annotations by error object when
 * it maps an annotated reason, and adds them to later failures with the same object.
 */
const made = new WeakSet<Cause.Fail<unknown>>()

/**
 * The number of the last record that says so, by error. It is by error and not by call, because a cause that was made anew on
 * another fiber has no annotation: an error object that is shared may be withheld from a fallback, and is never queued twice.
 */
const mayHaveRunBefore = new WeakMap<object, number>()

/** The record of a failure: in a cause that left a retry, or made after the record `since`. */
const find = (reason: Cause.Fail<unknown>, since: number, fiber: AnyFiber): Left | undefined => {
  const { error } = reason
  const annotated = annotation(reason)
  if (annotated !== undefined && annotated.error === error && (annotated.number > since || made.has(reason))) {
    return annotated
  }
  const known = isObject(error) ? byFiber.get(fiber)?.get(error) : undefined
  return known !== undefined && known.number > since ? known : undefined
}

const annotation = (reason: Cause.Fail<unknown>): Left | undefined =>
  Context.getOrUndefined(Cause.reasonAnnotations(reason), LeftRetry)

/** Has a retry given up on this failure, or passed it on as transient? */
export const isExhausted = (reason: Cause.Fail<unknown>, since: number, fiber: AnyFiber): boolean =>
  find(reason, since, fiber)?.exhausted === true

/** As `isExhausted`, by the cause alone: for a retry around a retry, which repeats an error that was failed with again. */
export const isExhaustedByCause = (reason: Cause.Fail<unknown>, since: number): boolean => {
  const left = annotation(reason)
  return left?.exhausted === true && left.error === reason.error && left.number > since
}

/** Does this error prove that the attempt which failed with it did no work? */
const provesNoWork = (error: unknown): boolean => Rejection.neverStarted(error) || Transient.isUnprocessed(error)

/** Does this cause prove that the attempt which failed with it did no work? */
export const didNoWork = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.every((reason) => reason._tag === "Fail" && provesNoWork(reason.error))

/** Does this failure prove that the whole call, with every attempt of it, did no work? */
export const neverStarted = (reason: Cause.Fail<unknown>, since: number, fiber: AnyFiber): boolean =>
  provesNoWork(reason.error) &&
  find(reason, since, fiber)?.mayHaveRun !== true &&
  !(isObject(reason.error) && (mayHaveRunBefore.get(reason.error) ?? 0) > since)

/**
 * Records the failures of a cause that leaves a retry. `mayHaveRun` is about the attempts before the one that failed. Returns
 * the same cause when there is nothing to record.
 */
export const record = (cause: Cause.Cause<unknown>, mayHaveRun: boolean, fiber: AnyFiber): Cause.Cause<unknown> => {
  if (fiber.getRef(Observing)) return cause
  // No fallback handles what came together with a defect or an interruption.
  if (cause.reasons.some((reason) => reason._tag !== "Fail")) return cause
  let changed = false
  const reasons = cause.reasons.map((reason) => {
    if (reason._tag !== "Fail") return reason
    const { error } = reason
    const exhausted = Transient.is(error)
    if (!exhausted && !(mayHaveRun && provesNoWork(error))) return reason
    const inner = annotation(reason)
    const left: Left = {
      error,
      number: ++count,
      exhausted,
      mayHaveRun: mayHaveRun || (inner !== undefined && inner.error === error && inner.mayHaveRun)
    }
    rememberOn(fiber, left)
    if (left.mayHaveRun && isObject(error)) mayHaveRunBefore.set(error, left.number)
    changed = true
    const marked = reason.annotate(Context.make(LeftRetry, left), { overwrite: true })
    made.add(marked)
    return marked
  })
  return changed ? Cause.fromReasons(reasons) : cause
}

/** Passes the records of a child fiber's exit on to its parent, which may catch the error and fail with it again. */
export const inherit = (exit: Exit.Exit<unknown, unknown>, parent: AnyFiber): void => {
  if (exit._tag === "Success") return
  for (const reason of exit.cause.reasons) {
    const left = reason._tag === "Fail" ? annotation(reason) : undefined
    if (left !== undefined) rememberOn(parent, left)
  }
}
