import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { type Event, Retry, RetryBudget, Timeout } from "effect-resilience"
import { type Busy, failing } from "../support/errors.ts"
import { recording } from "../support/observe.ts"

describe("RetryBudget, a balance per key", () => {
  it.effect('with `per: "key"` a schedule is charged to the account of its key, and reports it', () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      class PerKey extends RetryBudget.Service<PerKey>()("app/PerKey", {
        ratio: 0,
        capacity: 2,
        per: "key"
      }) {}
      const schedule = (key: string) => Schedule.recurs(9).pipe(PerKey.forKey(key).gated)
      const program = Effect.gen(function* () {
        const acme = failing(100)
        yield* Effect.exit(acme.work.pipe(Retry.transient(schedule("acme"))))
        assert.strictEqual(acme.made.length, 3)
        const other = failing(100)
        yield* Effect.exit(other.work.pipe(Effect.retry(schedule("other"))))
        assert.strictEqual(other.made.length, 3)
        assert.strictEqual(yield* PerKey.forKey("acme").balance, 0)
        assert.strictEqual(yield* PerKey.balance, 2)
        yield* PerKey.forKey("third").deposit
        assert.strictEqual(yield* PerKey.forKey("third").balance, 2)
      })
      yield* program.pipe(Effect.provide(PerKey.layer))
      assert.deepStrictEqual(
        events.filter((event) => event._tag === "BudgetExhausted").map((event) => event.key),
        ["acme", "other"]
      )
      assert.isTrue(events.filter((event) => event._tag === "RetryScheduled").every((event) => event.key === "acme"))
    }).pipe(recording(events))
  })

  it.effect("without `per` every key has the one account", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 1 })
      assert.isTrue(yield* budget.forKey("a").tryWithdraw)
      assert.isFalse(yield* budget.forKey("b").tryWithdraw)
      assert.strictEqual(yield* budget.balance, 0)
      assert.throws(
        () => budget.forKey(1 as unknown as string),
        RangeError,
        "RetryBudget.forKey b: key must be a string"
      )
    })
  )

  it.effect("the success of one key makes no timeout of another key cheap", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { per: "key", ratio: 0, capacity: 9, timeoutCost: 5 })
      const schedule = (key: string) => budget.forKey(key).gated(Schedule.recurs(1))
      const hangs = (Effect.never as Effect.Effect<void, Busy>).pipe(Timeout.after("1 second"))
      yield* Effect.forkChild(Effect.exit(hangs.pipe(Retry.transient(schedule("a")))), { startImmediately: true })
      yield* TestClock.adjust(1)
      yield* (Effect.void as Effect.Effect<void, Busy>).pipe(Retry.transient(schedule("b")))
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* budget.forKey("a").balance, 4)
    })
  )
})
