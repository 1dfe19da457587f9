/**
 * Effect #8093 (and #8103): a token bucket that refilled wrongly with fractions, and gave tokens for a clock that went backward.
 * We promise: fractions of a token add up exactly, and a clock set back gives nothing.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { RetryBudget } from "effect-resilience"
import * as Tokens from "../../packages/resilience/src/machine/Tokens.ts"

it.effect("ten deposits of a tenth are one token, and not a token more for a clock set back", () =>
  Effect.gen(function* () {
    yield* TestClock.setTime(3_600_000)
    const budget = yield* RetryBudget.make("b", { ratio: 0.1, capacity: 100, initial: 0 })
    for (let i = 0; i < 9; i++) yield* budget.deposit
    assert.isFalse(yield* budget.tryWithdraw)
    yield* budget.deposit
    assert.isTrue(yield* budget.tryWithdraw)
    assert.isFalse(yield* budget.tryWithdraw)
    yield* TestClock.setTime(0)
    assert.isFalse(yield* budget.tryWithdraw)
    assert.strictEqual(yield* budget.balance, 0)
  })
)

it("a machine whose clock is set back gives nothing for it", () => {
  const tokens = Tokens.make({ ratio: 0, capacity: 2, initial: 1, perSecond: 1 })
  assert.isTrue(Tokens.tryWithdraw(tokens, 1, 5000))
  for (const now of [4000, 0, -1e6, 5000]) assert.isFalse(Tokens.tryWithdraw(tokens, 1, now))
  assert.isTrue(Tokens.tryWithdraw(tokens, 1, 6000))
})
