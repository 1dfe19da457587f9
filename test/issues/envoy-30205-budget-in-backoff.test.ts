/**
 * Envoy #30205: retries that waited in their backoff were not counted, so a thousand calls that failed together were all retried.
 * We promise: a retry is paid when it is decided, before its pause.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Retry, RetryBudget } from "effect-resilience"
import { down, start } from "./support.ts"

it.effect("of a thousand calls that fail together as many are retried as the budget has", () =>
  Effect.gen(function* () {
    const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 10 })
    let reached = 0
    const outage = Effect.suspend(() => {
      reached += 1
      return down
    })
    const schedule = budget.gated(Schedule.spaced("1 second"))
    const calls = yield* Effect.forEach(Array.from({ length: 1000 }), () =>
      start(Effect.exit(outage.pipe(Retry.transient(schedule))))
    )
    assert.strictEqual(yield* budget.balance, 0)
    assert.strictEqual(calls.filter((call) => call.pollUnsafe() === undefined).length, 10)
    yield* TestClock.adjust("1 second")
    assert.strictEqual(reached, 1010)
  })
)
