/**
 * failsafe-go and tower, as read in their source: a budget was looked at and then charged, and two who looked together both passed.
 * We promise: a retry is decided and paid in one step.
 */
import { assert, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import { RetryBudget } from "effect-resilience"

it.effect("of 100 who ask for the last three tokens at one instant three get one", () =>
  Effect.gen(function* () {
    const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 3 })
    const asked = yield* Effect.all(
      Array.from({ length: 100 }, (_, i) => Effect.andThen(Sweep.turns(i % 3), budget.tryWithdraw)),
      { concurrency: "unbounded" }
    )
    assert.strictEqual(asked.filter((paid) => paid).length, 3)
    assert.strictEqual(yield* budget.balance, 0)
  })
)
