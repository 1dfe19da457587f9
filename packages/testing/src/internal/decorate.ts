/** Decorates the effects of a service. */
import * as Effect from "effect/Effect"
import type { AnyEffect } from "./types.ts"

export type Change = (self: AnyEffect) => AnyEffect

type AnyFunction = (...args: ReadonlyArray<unknown>) => unknown

/**
 * Returns a copy of a service in which each effect, and each effect that a function returns, is changed. Other members
 * stay unchanged, and so do those for which `changeOf` returns `undefined`.
 *
 * A member runs on the real service, so a method that calls another one is changed once. What leads back to the
 * service leads back to the copy: `pipe`, and a method that returns its service. An `HttpClient` is changed where all of
 * its requests pass, because its combinators build new clients from its parts.
 */
export const decorate = <Shape extends object>(
  real: Shape,
  changeOf: (name: PropertyKey) => Change | undefined
): Shape => {
  if (isHttpClient(real)) {
    const change = changeOf("execute")
    if (change !== undefined) return decorateClient(real, change)
  }
  const changed = (name: PropertyKey, value: unknown): unknown => {
    if (value === real) return decorated
    const change = changeOf(name)
    return change !== undefined && Effect.isEffect(value) ? change(value) : value
  }
  const methods = new Map<PropertyKey, readonly [member: unknown, method: AnyFunction]>()
  const memberOf = (name: PropertyKey): unknown => {
    const member: unknown = Reflect.get(real, name)
    if (typeof member !== "function") return changed(name, member)
    // One function for one member, so that it can be compared.
    const known = methods.get(name)
    if (known !== undefined && known[0] === member) return known[1]
    const method: AnyFunction =
      name === "pipe"
        ? (...args) => Reflect.apply(member, decorated, args)
        : (...args) => changed(name, Reflect.apply(member, real, args))
    methods.set(name, [member, method])
    return method
  }
  // A service that is a function can be called; an arrow function has no members that cannot be redefined.
  const call: AnyFunction = (...args) => changed("", Reflect.apply(real as unknown as AnyFunction, undefined, args))
  const decorated: Shape =
    typeof real === "function"
      ? (Object.setPrototypeOf(call, Object.getPrototypeOf(real)) as Shape)
      : Object.create(Object.getPrototypeOf(real))
  // Members in the prototype of a class are decorated as well.
  const last = typeof real === "function" ? Function.prototype : Object.prototype
  const done = new Set<PropertyKey>(["constructor"])
  for (
    let level: object | null = real;
    level !== null && level !== last && level !== Object.prototype;
    level = Object.getPrototypeOf(level)
  ) {
    for (const name of Reflect.ownKeys(level)) {
      if (done.has(name)) continue
      done.add(name)
      const enumerable = Object.prototype.propertyIsEnumerable.call(level, name)
      Object.defineProperty(decorated, name, { enumerable, configurable: true, get: () => memberOf(name) })
    }
  }
  return decorated
}

interface Client {
  readonly preprocess: (request: unknown) => AnyEffect
  readonly postprocess: (request: AnyEffect) => AnyEffect
}

/** The mark of Effect's `HttpClient`, whose module is unstable and would be loaded for every user of this one. */
const clientTypeId = "~effect/http/HttpClient"

const isHttpClient = (service: object): service is Client =>
  clientTypeId in service && "preprocess" in service && "postprocess" in service

const decorateClient = <Shape extends object>(real: Shape & Client, change: Change): Shape => {
  const postprocess = (request: AnyEffect) => change(real.postprocess(request))
  return Object.assign(Object.create(Object.getPrototypeOf(real)), {
    preprocess: real.preprocess,
    postprocess,
    execute: (request: unknown) => postprocess(real.preprocess(request))
  })
}
