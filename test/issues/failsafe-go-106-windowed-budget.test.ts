/**
 * failsafe-go #106, Envoy #43022: a budget without a window lets credit of a quiet night be spent in one storm.
 * We promise: what can be saved up is bounded by `capacity`, whatever the traffic was.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { RetryBudget } from "effect-resilience"

it.effect("a thousand first tries save up no more than the capacity", () =>
  Effect.gen(function* () {
    const budget = yield* RetryBudget.make("b", { ratio: 0.5, capacity: 10, initial: 0 })
    yield* Effect.repeat(budget.deposit, { times: 999 })
    assert.strictEqual(yield* budget.balance, 10)
    yield* TestClock.adjust("1 hour")
    assert.strictEqual(yield* budget.balance, 10)
  })
)
