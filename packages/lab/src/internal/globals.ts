/** The globals of a sender: JavaScript that asks the process for the time or for random numbers gets those of the world. */
import * as Result from "effect/Result"
import type { Engine } from "../Engine.ts"

const RealDate = Date

const replace = (target: object, name: string, value: unknown): (() => void) => {
  const before = Object.getOwnPropertyDescriptor(target, name)
  Object.defineProperty(target, name, { configurable: true, enumerable: false, writable: true, value })
  return () => {
    if (before === undefined) Reflect.deleteProperty(target, name)
    else Object.defineProperty(target, name, before)
  }
}

/** `Date` with another time; a proxy, because `instanceof` must hold for dates of both. */
const dateOf = (now: () => number): DateConstructor =>
  new Proxy(RealDate, {
    apply: () => new RealDate(now()).toString(),
    construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
    get: (target, name) => (name === "now" ? now : Reflect.get(target, name))
  })

/**
 * Returns a function that runs synchronous code with the time and the random numbers of a world, and restores the
 * globals of the process when it ends: `Date`, `performance.now`, `Math.random`.
 */
export const globalsOf = (engine: Engine): (<A>(what: () => A) => A) => {
  const now = (): number => Math.floor(engine.now)
  const date = dateOf(now)
  const random = engine.random("globals")
  return (what) => {
    const restores = [
      replace(globalThis, "Date", date),
      replace(performance, "now", () => engine.now),
      replace(Math, "random", random)
    ]
    const result = Result.try({ try: what, catch: (error) => error })
    for (const restore of restores) restore()
    if (Result.isFailure(result)) throw result.failure
    return result.success
  }
}
