/** Services whose effects go through somebody else's hands. */
import * as Effect from "effect/Effect"
import type { AnyEffect } from "./types.ts"

export type Change = (self: AnyEffect) => AnyEffect

/**
 * A service like another, with each effect changed, and each effect that a function returns. What is neither stays as it
 * is; `changeOf` answers `undefined` for members that are to stay as well.
 */
export const decorate = <Shape extends object>(
  real: Shape,
  changeOf: (name: PropertyKey) => Change | undefined
): Shape => {
  const memberOf = (name: PropertyKey): unknown => {
    const member: unknown = Reflect.get(real, name)
    const change = changeOf(name)
    if (change === undefined) return member
    const changed = (value: unknown): unknown => (Effect.isEffect(value) ? change(value) : value)
    return typeof member === "function"
      ? (...args: ReadonlyArray<unknown>) => changed(Reflect.apply(member, real, args))
      : changed(member)
  }
  const decorated: Shape = Object.create(Object.getPrototypeOf(real))
  // What a class has in its prototype is decorated as well.
  for (let level: object = real; level !== null && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const name of Reflect.ownKeys(level)) {
      if (name === "constructor" || Object.hasOwn(decorated, name)) continue
      const enumerable = Object.prototype.propertyIsEnumerable.call(level, name)
      Object.defineProperty(decorated, name, { enumerable, configurable: true, get: () => memberOf(name) })
    }
  }
  return decorated
}
