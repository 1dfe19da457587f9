/**
 * cockatiel 3.2.1, as measured: bulkhead(1, 1): a job that came later overtook the one that waited, which was then rejected.
 * Effect's Semaphore lets small requests pass large ones.
 * We promise: first come, first served. Nobody is overtaken, and nobody who was given a place loses it.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Bulkhead } from "effect-resilience"
import { hung, outcome, start } from "./support.ts"

it.effect.each(["comes in just after the permit is free", "was there just before"])(
  "a caller that %s passes nobody",
  (when) =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 3 })
      const served: Array<string> = []
      const work = (name: string) =>
        outcome(
          bulkhead.protect(
            Effect.as(
              Effect.andThen(
                Effect.sync(() => served.push(name)),
                Effect.yieldNow
              ),
              name
            )
          )
        )
      const holder = yield* start(bulkhead.protect(hung))
      const waiters = [yield* start(work("first")), yield* start(work("second"))]
      const free = Effect.sync(() => holder.interruptUnsafe())
      // In one turn of the holder's and the newcomer's: nobody who waits has run in between.
      const [before, after] = when.startsWith("comes") ? [free, Effect.void] : [Effect.void, free]
      yield* before
      waiters.push(yield* start(work("third")))
      yield* after
      const ends = yield* Effect.forEach(waiters, Fiber.join)
      assert.deepStrictEqual(served, ["first", "second", "third"])
      assert.deepStrictEqual(ends, served, "and nobody is rejected")
    })
)
