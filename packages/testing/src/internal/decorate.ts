/** Decorates the effects of a service. */
import * as Effect from "effect/Effect"
import type { AnyEffect } from "./types.ts"

export type Change = (self: AnyEffect) => AnyEffect

/**
 * Returns a copy of a service in which each effect, and each effect that a function returns, is changed. Other members
 * stay unchanged, and so do those for which `changeOf` returns `undefined`.
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
  // Members in the prototype of a class are decorated as well.
  for (let level: object = real; level !== null && level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const name of Reflect.ownKeys(level)) {
      if (name === "constructor" || Object.hasOwn(decorated, name)) continue
      const enumerable = Object.prototype.propertyIsEnumerable.call(level, name)
      Object.defineProperty(decorated, name, { enumerable, configurable: true, get: () => memberOf(name) })
    }
  }
  return decorated
}
