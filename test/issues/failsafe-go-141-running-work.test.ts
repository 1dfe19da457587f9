/**
 * failsafe-go #141: when the budget was spent, hedges that were already running were ended.
 * We promise: a spent budget forbids new retries. What runs goes on.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Retry, RetryBudget } from "effect-resilience"
import { down, type Failure, ok, outcome, start } from "./support.ts"

it.effect("retries that are decided and work that runs outlive the last token", () =>
  Effect.gen(function* () {
    const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 1 })
    let tried = 0
    const flaky: Effect.Effect<string, Failure> = Effect.suspend(() => {
      tried += 1
      return tried === 1 ? down : Effect.delay(ok, "5 seconds")
    })
    const call = yield* start(outcome(flaky.pipe(Retry.transient(budget.gated(Schedule.spaced("1 second"))))))
    assert.strictEqual(yield* budget.balance, 0, "decided and paid")
    assert.strictEqual(yield* outcome(down.pipe(Retry.transient(budget.gated(Schedule.recurs(1))))), "Down")
    yield* TestClock.adjust("6 seconds")
    assert.strictEqual(yield* Fiber.join(call), "ok")
    assert.strictEqual(tried, 2)
  })
)
