/** What a retry costs in an adaptive policy, at the edges of its rules. */
import { assert, describe, it } from "@effect/vitest"
import * as RetryCost from "../../packages/resilience/src/machine/adaptive/RetryCost.ts"
import { Control, Free, Limited, Paced, State } from "../../packages/resilience/src/machine/adaptive/State.ts"

const limits = { timeout: 2000, deadline: 5000 }

/** A key whose calls take 10 ms: an answer is late after 200. */
const keyWith = (state: Partial<State>, control?: Partial<Control>): State =>
  Object.assign(new State(), {
    mean: 10,
    tokens: 20,
    goodAt: 100,
    ...state,
    ...(control === undefined ? {} : { control: Object.assign(new Control(), control) })
  })

const costOf = (state: State, failed: RetryCost.Failed, isUrgent = false): number => {
  const before = state.tokens
  if (!RetryCost.pay(state, limits, failed, isUrgent)) {
    assert.strictEqual(state.tokens, before, "nothing is taken")
    return Infinity
  }
  return before - state.tokens
}

const failed = { at: 101, latency: 10, how: "failed" } as const

describe("Adaptive: the cost of a retry", () => {
  it("is one token after a failure that is as quick as three answers, and twenty after a slower one", () => {
    assert.strictEqual(costOf(keyWith({}), { ...failed, latency: 30 }), 1)
    assert.strictEqual(costOf(keyWith({}), { ...failed, latency: 30.1 }), 20)
    // Late after 70 % of the timeout.
    const slow = { mean: 1000 }
    assert.strictEqual(costOf(keyWith(slow), { ...failed, latency: 1400 }), 1)
    assert.strictEqual(costOf(keyWith(slow), { ...failed, latency: 1401 }), 20)
  })

  it("is twenty where answers are late, and one for what was overtaken or sent at the same moment", () => {
    for (const state of [{ lastLate: true }, { late: 0.5 }]) {
      assert.strictEqual(costOf(keyWith(state), failed), 20)
      assert.strictEqual(costOf(keyWith(state), { ...failed, at: 100 }), 1)
    }
    assert.strictEqual(costOf(keyWith({ late: 0.49 }), failed), 1)
  })

  it("is nothing that could be paid where a quarter has no answer", () => {
    const slow = { ...failed, latency: 100 }
    assert.strictEqual(costOf(keyWith({ noAnswer: 0.25 }), slow), 20)
    assert.strictEqual(costOf(keyWith({ noAnswer: 0.26 }), slow), Infinity)
  })

  it("is ten where fewer calls were asked for, however quick or overtaken, and also while calls are paced", () => {
    const overloaded = { at: 0, latency: 1, how: "overloaded" } as const
    assert.strictEqual(costOf(keyWith({}), overloaded), 10)
    assert.strictEqual(costOf(keyWith({ tokens: 9 }), overloaded), Infinity)
    const paced = keyWith({ inFlight: 5 }, { mode: Paced, limit: 1 })
    assert.strictEqual(costOf(paced, overloaded), 10)
    assert.strictEqual(costOf(paced, { ...failed, how: "timeout" }), 0)
  })

  it("after a timeout cannot be paid, except by the most important calls", () => {
    const timeout = { at: 101, latency: 2000, how: "timeout" } as const
    assert.strictEqual(costOf(keyWith({}), timeout), Infinity)
    assert.strictEqual(costOf(keyWith({}), timeout, true), 20)
    assert.strictEqual(costOf(keyWith({ tokens: 19 }), timeout, true), Infinity)
    assert.strictEqual(costOf(keyWith({}), { ...timeout, at: 100 }, true), 1)
  })

  it("is not paid while three quarters of a limit are in flight, unless it grows after an outage or the call is urgent", () => {
    const limited = (inFlight: number, control: Partial<Control> = {}) =>
      keyWith({ inFlight, strays: 2 }, { mode: Limited, limit: 8, ...control })
    assert.strictEqual(costOf(limited(7), failed), 1)
    assert.strictEqual(costOf(limited(8), failed), Infinity)
    assert.strictEqual(costOf(limited(8), failed, true), 1)
    assert.strictEqual(costOf(limited(8, { ramping: true }), failed), 1)
    assert.strictEqual(costOf(limited(8, { mode: Free }), failed), 1)
  })

  it("is earned by calls, up to twenty tokens or as many as there were calls", () => {
    const state = keyWith({ tokens: 19.5, calls: 20 })
    RetryCost.earn(state)
    assert.strictEqual(state.tokens, 20)
    state.calls = 22
    RetryCost.earn(state)
    assert.strictEqual(state.tokens, 21)
    assert.strictEqual(RetryCost.capacity(state), 22)
  })
})
