/**
 * Kevlar #23: a permit that was granted in the same moment in which its waiter was cancelled belonged to nobody.
 * We promise: it goes on to the next waiter, or back to the bulkhead.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Bulkhead } from "effect-resilience"
import { hung, ok, outcome, start } from "./support.ts"

for (const order of ["granted, then cancelled", "cancelled, then granted"]) {
  for (const another of [true, false]) {
    it.effect(`${order}, ${another ? "with" : "without"} another waiter: the permit is not lost`, () =>
      Effect.gen(function* () {
        const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 2 })
        const holder = yield* start(bulkhead.protect(hung))
        const waiter = yield* start(bulkhead.protect(hung))
        const next = another ? yield* start(bulkhead.protect(ok)) : undefined
        const [first, second] = order.startsWith("granted") ? [holder, waiter] : [waiter, holder]
        // In one turn: the waiter has not run when both have happened.
        first.interruptUnsafe()
        second.interruptUnsafe()
        yield* Fiber.awaitAll([holder, waiter])
        if (next !== undefined) assert.strictEqual(yield* Fiber.join(next), "ok")
        assert.deepInclude(yield* bulkhead.state(), { running: 0, waiting: 0 })
        assert.strictEqual(yield* outcome(bulkhead.protect(ok)), "ok")
      })
    )
  }
}
