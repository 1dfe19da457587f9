/**
 * tower #857: a ratio of 0.6 was cut to whole tokens, and every call could be retried.
 * We promise: a budget is exact for each ratio from 0.01 to 1.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { RetryBudget } from "effect-resilience"

it.effect("for each ratio, n first tries pay for n times the ratio, and not one more", () =>
  Effect.gen(function* () {
    for (let percent = 1; percent <= 100; percent++) {
      const budget = yield* RetryBudget.make("b", { ratio: percent / 100, capacity: 1000, initial: 0 })
      for (let i = 0; i < 300; i++) yield* budget.deposit
      let paid = 0
      while (yield* budget.tryWithdraw) paid += 1
      assert.strictEqual(paid, percent * 3, `ratio ${percent / 100}`)
    }
  })
)
