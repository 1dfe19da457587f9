/**
 * resilience4j #2038: acquiring a permission called itself, and under load the stack overflowed.
 * We promise: waking a queue takes no stack, whatever its length, and whatever of it has gone away.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Bulkhead } from "effect-resilience"
import { hung, start } from "./support.ts"

it.effect("20,000 waiters, every second of them gone, are served one after the other", () =>
  Effect.gen(function* () {
    const count = 20_000
    const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: count })
    const holder = yield* start(bulkhead.protect(hung))
    let served = 0
    const work = Effect.sync(() => (served += 1))
    const waiters = yield* Effect.forEach(Array.from({ length: count }), () => start(bulkhead.protect(work)))
    for (const [i, waiter] of waiters.entries()) if (i % 2 === 0) yield* Fiber.interrupt(waiter)
    yield* Fiber.interrupt(holder)
    yield* Fiber.awaitAll(waiters)
    assert.strictEqual(served, count / 2)
  })
)
