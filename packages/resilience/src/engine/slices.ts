/**
 * Work on every key, in slices with a yield between them: what takes a second for a million keys keeps no other fiber waiting for longer
 * than a slice takes.
 */
import * as Effect from "effect/Effect"
import * as Time from "../runtime/clock.ts"
import type { AnyFiber } from "../runtime/types.ts"

/** A microsecond each as a snapshot, and two as JSON: a slice takes a few milliseconds. */
export const keysPerSlice = 2048

/** The time of the slice that runs. */
export interface Moment {
  now: number
}

/** Pauses after each slice. */
export type Sliced<A> = Generator<void, A, void>

/**
 * What `of` makes of each of the first `size` entries, which is how many there are at the start; `undefined` leaves one out. An entry is
 * read in one slice, so it is consistent, and two entries may be read at different times. So entries that are added meanwhile are read
 * only if as many were dropped: otherwise a collection that grows as fast as it is read would have no end.
 */
export function* collect<T, A>(entries: Iterable<T>, size: number, of: (entry: T) => A | undefined): Sliced<Array<A>> {
  const all: Array<A> = []
  let seen = 0
  for (const entry of entries) {
    if (seen === size) break
    if (seen > 0 && seen % keysPerSlice === 0) yield
    seen += 1
    const one = of(entry)
    if (one !== undefined) all.push(one)
  }
  return all
}

/** The milliseconds that all slices have run in this process, without the turns of other fibers between them. */
export const spent = { millis: 0 }

/** Runs the slices: at once when there is one, also for `Effect.runSync`, and else with a turn for other fibers between two. */
export const run = <A, B>(
  work: (moment: Moment) => Sliced<A>,
  end: (result: A, fiber: AnyFiber) => B
): Effect.Effect<B> =>
  Effect.withFiber((fiber) => {
    const moment: Moment = { now: Time.monotonicMillis(fiber) }
    const slices = work(moment)
    const step = (): Effect.Effect<B> => {
      moment.now = Time.monotonicMillis(fiber)
      const { done, value } = slices.next()
      spent.millis += Time.monotonicMillis(fiber) - moment.now
      return done === true ? Effect.succeed(end(value, fiber)) : Effect.flatMap(Effect.yieldNow, step)
    }
    return step()
  })
