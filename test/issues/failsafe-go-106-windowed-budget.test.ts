/**
 * failsafe-go #106, Envoy #43022: a budget without a window lets credit of a quiet night be spent in one storm.
 * We promise: credit is counted over a window. What was earned before it is gone.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { RetryBudget } from "effect-resilience"

it.effect("first tries of an hour ago pay for nothing", () =>
  Effect.gen(function* () {
    const budget = yield* RetryBudget.make("b", { ratio: 0.5, minPerSecond: 0, window: "10 seconds" })
    yield* Effect.repeat(budget.deposit, { times: 999 })
    assert.isTrue((yield* budget.balance) > 400)
    yield* TestClock.adjust("1 hour")
    assert.strictEqual(yield* budget.balance, 0)
    assert.isFalse(yield* budget.tryWithdraw)
  })
)
