/**
 * failsafe-go #139: the floor of a budget was ignored, and a client with little traffic could never retry.
 * We promise: a budget's floor is there whatever the traffic.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { RetryBudget } from "effect-resilience"

it.effect("with a ratio that gives nothing the floor still pays", () =>
  Effect.gen(function* () {
    const budget = yield* RetryBudget.make("b", { ratio: 0.01, minPerSecond: 0.3, window: "10 seconds" })
    const paid: Array<boolean> = []
    for (let i = 0; i < 5; i++) paid.push(yield* budget.tryWithdraw)
    assert.deepStrictEqual(paid, [true, true, true, false, false])
    yield* TestClock.adjust("11 seconds")
    assert.isTrue(yield* budget.tryWithdraw, "and again in the next window")
  })
)
