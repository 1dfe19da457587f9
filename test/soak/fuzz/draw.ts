/** What all fuzzers draw from: numbers, values that are wrong, errors that are hard to read. A seed decides all of them. */
import * as Effect from "effect/Effect"
import { seeded } from "../../support/random.ts"

export interface Draw {
  /** A number in [0, 1). */
  readonly next: () => number
  /** An integer in [0, below). */
  readonly below: (below: number) => number
  readonly pick: <A>(items: ReadonlyArray<A>) => A
  readonly chance: (share: number) => boolean
}

export const draw = (seed: number): Draw => {
  const next = seeded(seed)
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    next,
    below,
    pick: <A>(items: ReadonlyArray<A>): A => {
      // An index below the length; every list here has items.
      return items[below(items.length)] as A
    },
    chance: (share) => next() < share
  }
}

export const boom = (): never => {
  throw new Error("boom")
}

export const revoked = (): object => {
  const { proxy, revoke } = Proxy.revocable({}, {})
  revoke()
  return proxy
}

export const throwing = (target: object = {}): object =>
  new Proxy(target, {
    get: boom,
    has: boom,
    getPrototypeOf: boom,
    getOwnPropertyDescriptor: boom,
    ownKeys: boom
  })

/** Values that plain JavaScript may give for an option, by name. Some are valid for some options. */
export const values: ReadonlyArray<readonly [name: string, make: () => unknown]> = [
  ["null", () => null],
  ["true", () => true],
  ["0", () => 0],
  ["-0", () => -0],
  ["-1", () => -1],
  ["1.5", () => 1.5],
  ["NaN", () => Number.NaN],
  ["Infinity", () => Number.POSITIVE_INFINITY],
  ["-Infinity", () => Number.NEGATIVE_INFINITY],
  ["2 ** 53", () => 2 ** 53],
  ["5n", () => 5n],
  ["-5n", () => -5n],
  ["an empty string", () => ""],
  ['"often"', () => "often"],
  ['"1"', () => "1"],
  ["a symbol", () => Symbol("x")],
  ["[]", () => []],
  ["[NaN, 1]", () => [Number.NaN, 1]],
  ["{}", () => ({})],
  ['{ seconds: "1" }', () => ({ seconds: "1" })],
  ["an object without a prototype", () => Object.create(null)],
  ["a function", () => () => 1],
  ["a promise", () => Promise.resolve({})],
  ["an invalid date", () => new Date(Number.NaN)],
  ["a map", () => new Map()],
  ["an effect", () => Effect.void],
  ["a revoked proxy", revoked],
  ["a proxy that throws", () => throwing()]
]
