/**
 * cockatiel #112: after waiters of a bulkhead had been aborted, those behind them starved.
 * We promise: a waiter that goes away leaves its place at once, and the next one moves up.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Bulkhead } from "effect-resilience"
import { hung, ok, start } from "./support.ts"

it.effect("behind a thousand waiters that went away the next is served", () =>
  Effect.gen(function* () {
    const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 1001 })
    const holder = yield* start(bulkhead.protect(hung))
    const gone = yield* Effect.forEach(Array.from({ length: 1000 }), () => start(bulkhead.protect(hung)))
    const waiter = yield* start(bulkhead.protect(ok))
    assert.strictEqual((yield* bulkhead.state()).waiting, 1001)
    yield* Fiber.interruptAll(gone)
    assert.strictEqual((yield* bulkhead.state()).waiting, 1)
    yield* Fiber.interrupt(holder)
    assert.strictEqual(yield* Fiber.join(waiter), "ok")
  })
)
