/**
 * Reads values of the user's that may be anything: a revoked proxy throws even on `in`, a getter on reading. What throws
 * counts as absent, so that the real error is never hidden.
 */
import * as Result from "effect/Result"

/** The result of `f`, or `otherwise` if it throws. */
export const attempt = <A>(f: () => A, otherwise: A): A => Result.getOrElse(Result.try(f), () => otherwise)

/** What `f` throws is thrown after `undo`. */
export const undoing = <A>(f: () => A, undo: () => void): A => {
  const result = Result.try(f)
  if (Result.isSuccess(result)) return result.success
  attempt(undo, undefined)
  throw result.failure
}

export const isObject = (value: unknown): value is object => typeof value === "object" && value !== null

/** Is this an object with the property? */
export const has = (value: unknown, name: PropertyKey): boolean =>
  isObject(value) && attempt(() => name in value, false)

/** A property of a value of unknown shape; `undefined` without one. */
export const read = (value: unknown, name: string): unknown =>
  isObject(value) ? attempt(() => (value as Readonly<Record<string, unknown>>)[name], undefined) : undefined

/** The message of an error of any class, and of what is no `Error`, such as a `ConfigError`. */
export const messageOf = (error: unknown): string => {
  const message = read(error, "message")
  return typeof message === "string" ? message : attempt(() => String(error), "an error that cannot be read")
}

/** Causes inside each other that are looked at: a chain may have no end. */
const deepest = 10

/** The error itself, or the first one among its causes and reasons, that `matches`; `undefined` when none does. */
export const findCause = (error: unknown, matches: (link: unknown) => boolean): unknown => {
  let link = error
  for (let depth = 0; depth <= deepest && link !== undefined && link !== null; depth++) {
    if (matches(link)) return link
    link = read(link, "cause") ?? read(link, "reason")
  }
  return undefined
}
