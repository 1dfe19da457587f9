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

/** After {@link growing}, the full rate, for as long as anybody asks for the next. */
export function* warming(options: { readonly rate: number; readonly seed: number; readonly length: number }) {
  yield* growing(options)
  const second = 1000
  for (let from = 0; ; from += second) {
    yield* arrivals({ ...options, seed: options.seed + 1 + from / second, from, to: from + second })
  }
}

/** The moments before an end that may not be known yet. */
export function* until(due: Iterable<number>, end: () => number) {
  for (const at of due) {
    if (at >= end()) return
    yield at
  }
}

/** Whether a client and its upstream keep up with the traffic before the script: they did so for a second. */
export class WarmUp {
  private readonly ended: Array<readonly [at: number, well: boolean]> = []
  private readonly calls: number

  constructor(rate: number) {
    this.calls = rate / 2
  }

  add(at: number, well: boolean): void {
    this.ended.push([at, well])
  }

  keepsUp(at: number): boolean {
    while ((this.ended[0]?.[0] ?? Infinity) <= at - 1000) this.ended.shift()
    const well = this.ended.filter(([, well]) => well).length
    return well >= this.calls && well >= 0.98 * this.ended.length
  }
}

/** Begins every call when it is due, or at once if that moment has passed; ends with the last beginning. The calls live as long as the caller. */
export const openLoop = Effect.fnUntraced(function* <R>(
  due: Iterable<number>,
  now: () => number,
  call: (index: number, due: number) => Effect.Effect<void, never, R>
) {
  let index = 0
  for (const at of due) {
    const wait = at - now()
    if (wait > 0) yield* Effect.sleep(wait)
    yield* Effect.forkChild(call(index, at))
    index += 1
  }
})
