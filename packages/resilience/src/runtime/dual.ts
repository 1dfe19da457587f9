/** What tells a data-first call from a data-last one. */
import * as Effect from "effect/Effect"
import * as Check from "./options.ts"
import type { AnyEffect } from "./types.ts"

/**
 * As `Effect.isEffect`, by reading the property instead of `in`, which costs V8 twenty times as much. What cannot be read, such
 * as a revoked proxy, is no effect.
 */
export const isEffect = (u: unknown): u is AnyEffect => {
  // biome-ignore lint/plugin: no effect; `attempt` would allocate in every call
  try {
    return (
      (typeof u === "object" ? u !== null : typeof u === "function") &&
      (u as { readonly [Effect.TypeId]?: unknown })[Effect.TypeId] !== undefined
    )
  } catch {
    return false
  }
}

/**
 * What a function of the user's returned, if it is an effect. Effect's loop ends a fiber without unwinding it when it meets a
 * value that is no effect, and what the callers hold would be lost; what this throws is a defect of the call instead.
 */
export const returned = (where: string, name: string, value: unknown): AnyEffect =>
  isEffect(value) ? value : Check.invalid(where, name, "a function that returns an Effect", value)

/**
 * Both forms of a combinator: `combinator(...options)(effect)` and `combinator(effect, ...options)`. Options are checked
 * when they are given, before there is an effect. The type of the result is the overloads of the caller.
 */
export const dual =
  (where: string, make: (...options: ReadonlyArray<any>) => (self: AnyEffect) => AnyEffect): any =>
  (first: unknown, ...rest: ReadonlyArray<unknown>) => {
    if (isEffect(first)) return make(...rest)(first)
    const apply = make(first, ...rest)
    return (self: unknown) => (isEffect(self) ? apply(self) : Check.invalid(where, "the argument", "an Effect", self))
  }
