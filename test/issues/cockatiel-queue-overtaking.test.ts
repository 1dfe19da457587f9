/**
 * cockatiel 3.2.1, as measured: bulkhead(1, 1): a job that came later overtook the one that waited, which was then rejected.
 * Effect's Semaphore lets small requests pass large ones.
 * We promise: first come, first served. Nobody is overtaken, and nobody who was given a place loses it.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead } from "effect-resilience"
import { ended, outcome, start } from "./support.ts"

it.effect("who comes in the moment in which a permit is free does not pass the one who waits", () =>
  Effect.gen(function* () {
    const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 1 })
    const served: Array<string> = []
    const work = (name: string) =>
      Effect.andThen(
        Effect.sync(() => served.push(name)),
        Effect.sleep("1 second")
      )
    yield* start(bulkhead.protect(work("first")))
    const waits = yield* start(outcome(bulkhead.protect(work("second"))))
    // A fiber that is woken in the same instant in which the permit comes back.
    const third = yield* start(Effect.delay(outcome(bulkhead.protect(work("third"))), "1 second"))
    yield* TestClock.adjust("3 seconds")
    assert.deepStrictEqual(served, ["first", "second", "third"])
    assert.isTrue(Exit.isSuccess(ended(waits)) && Exit.isSuccess(ended(third)))
  })
)
