/**
 * failsafe-go #139: the floor of a budget was ignored, and a client with little traffic could never retry.
 * We promise: a budget's floor is there whatever the traffic.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { RetryBudget } from "effect-resilience"

it.effect.each([0.4, 0.01, 3])(
  "a floor of %d a second pays that many in the long run, with a ratio that gives nothing",
  (minPerSecond) =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0.0001, minPerSecond, initial: 0 })
      // Time counts from the first use.
      yield* budget.deposit
      let paid = 0
      for (let second = 0; second < 1000; second++) {
        yield* TestClock.adjust("1 second")
        while (yield* budget.tryWithdraw) paid += 1
      }
      assert.strictEqual(paid, 1000 * minPerSecond)
    })
)
