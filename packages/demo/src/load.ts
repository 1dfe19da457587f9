/** An open loop: calls begin when they are due, whether or not earlier ones have ended. */
import * as Effect from "effect/Effect"
import { random } from "./random.ts"

/** When calls are due, in milliseconds: a Poisson process of so many a second, the same for the same seed. */
export const arrivals = (options: {
  readonly rate: number
  readonly seed: number
  readonly from: number
  readonly to: number
}): ReadonlyArray<number> => {
  const next = random(options.seed)
  const due: Array<number> = []
  let at = options.from
  while (true) {
    at -= (Math.log(1 - next()) * 1000) / options.rate
    if (at >= options.to) return due
    due.push(at)
  }
}

/** Before zero, from no calls to the full rate: a cold process that gets the full load at once would be late from the start. */
export const growing = (options: {
  readonly rate: number
  readonly seed: number
  readonly length: number
}): ReadonlyArray<number> => {
  const { length, rate, seed } = options
  return arrivals({ rate: rate / 2, seed, from: 0, to: length }).map((at) => Math.sqrt(at * length) - length)
}

/** Begins every call when it is due, or at once if that moment has passed; ends with the last beginning. The calls live as long as the caller. */
export const openLoop = Effect.fnUntraced(function* <R>(
  due: ReadonlyArray<number>,
  now: () => number,
  call: (index: number, due: number) => Effect.Effect<void, never, R>
) {
  for (const [index, at] of due.entries()) {
    const wait = at - now()
    if (wait > 0) yield* Effect.sleep(wait)
    yield* Effect.forkChild(call(index, at))
  }
})
