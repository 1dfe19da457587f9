/**
 * resilience4j #2336 (also #2194, #1283): a caller waited its whole timeout for a permit that it could never have got.
 * We promise: who cannot make it before the deadline is told at once, in a retry's pause and at a bulkhead.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Deadline, Retry } from "effect-resilience"
import { down, hung, ok, outcome, start } from "./support.ts"

it.effect("a pause that would outlast the deadline is not begun", () =>
  Effect.gen(function* () {
    const fiber = yield* start(
      down.pipe(Retry.transient(Schedule.spaced("10 seconds")), Deadline.within("5 seconds"), outcome)
    )
    assert.strictEqual(yield* Fiber.join(fiber), "Down", "without any time passing")
  })
)

it.effect("with no time left nobody stands in a queue", () =>
  Effect.gen(function* () {
    const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 10, maxWait: "1 minute" })
    yield* start(bulkhead.protect(hung))
    // Work that cannot be interrupted outlives its deadline, and then asks for a permit.
    const late = Effect.uninterruptible(Effect.andThen(Effect.sleep("2 seconds"), bulkhead.protect(ok)))
    const fiber = yield* start(Effect.exit(late.pipe(Deadline.within("1 second"))))
    yield* TestClock.adjust("2 seconds")
    const { waiting } = yield* bulkhead.state()
    assert.strictEqual(waiting, 0)
    assert.isDefined(fiber.pollUnsafe())
  })
)
