/**
 * resilience4j #172 (also Polly #2348, tower-resilience #171, Kevlar #500): retries without a budget multiply the load of an
 * outage. The most repeated unmet request of the field.
 * We promise: during a total outage retries are at most the ratio of the first tries, plus the floor.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Retry, RetryBudget } from "effect-resilience"
import { down } from "./support.ts"

it.effect("a total outage of 1,000 calls with three retries each costs 200 retries and the floor, not 3,000", () =>
  Effect.gen(function* () {
    let reached = 0
    const outage = Effect.suspend(() => {
      reached += 1
      return down
    })
    const budget = yield* RetryBudget.make("b", { ratio: 0.2, capacity: 100, initial: 10 })
    const schedule = budget.gated(Schedule.recurs(3))
    for (let i = 0; i < 1000; i++) {
      yield* Effect.exit(outage.pipe(Retry.transient(schedule)))
      yield* TestClock.adjust(1)
    }
    assert.isAtMost(reached, 1000 + 200 + 10)
    assert.isAbove(reached, 1000 + 150, "and the budget is there to be spent")
  })
)
