import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { type Event, Retry, RetryBudget, Timeout } from "effect-resilience"
import { Busy, failing } from "../support/errors.ts"
import { ended, recording, start } from "../support/observe.ts"

class Broken extends Schema.TaggedError<Broken>()("Broken", {}) {}

const reasonOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Option.getOrUndefined(Retry.gaveUp(exit.cause))?.reason : undefined

describe("RetryBudget", () => {
  it.effect(
    "pays for retries until no token is left; then the caller gets the original error, with reason `budget`",
    () =>
      Effect.gen(function* () {
        const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 2 })
        const { made, work } = failing(100)
        const exit = yield* Effect.exit(work.pipe(Retry.transient(budget.gated(Schedule.recurs(50)))))
        assert.strictEqual(made.length, 3)
        assert.strictEqual(reasonOf(exit), "budget")
        assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === made[2])
      })
  )

  it.effect("is charged when a retry is decided, not when it is made (Envoy #30205)", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 10 })
      const schedule = budget.gated(Schedule.spaced("5 seconds"))
      const fibers = yield* Effect.forEach(Array.from({ length: 1000 }), () =>
        start(failing(1).work.pipe(Retry.transient(schedule)))
      )
      // All failed at once and none has been retried yet: ten wait for their retry, the rest are told at once.
      assert.strictEqual(yield* budget.balance, 0)
      assert.strictEqual(fibers.filter((fiber) => fiber.pollUnsafe() === undefined).length, 10)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(fibers.filter((fiber) => Exit.isSuccess(ended(fiber))).length, 10)
    })
  )

  it.effect("does not interrupt running work when it is spent", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 1 })
      const schedule = budget.gated(Schedule.spaced("1 second"))
      const waiting = yield* start(failing(1).work.pipe(Retry.transient(schedule)))
      const running = yield* start(
        (Effect.as(Effect.sleep("3 seconds"), "done") as Effect.Effect<string, Busy>).pipe(Retry.transient(schedule))
      )
      const refused = yield* Effect.exit(failing(1).work.pipe(Retry.transient(schedule)))
      assert.strictEqual(reasonOf(refused), "budget")
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(ended(waiting), Exit.succeed(1))
      assert.deepStrictEqual(ended(running), Exit.succeed("done"))
    })
  )

  it.effect("a retry that is interrupted in its delay is not refunded", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 2 })
      const fiber = yield* start(failing(9).work.pipe(Retry.transient(budget.gated(Schedule.spaced("1 hour")))))
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(yield* budget.balance, 1)
    })
  )

  it.effect("is shared by every effect that uses it: first attempts of one pay for retries of another", () =>
    Effect.gen(function* () {
      class Shared extends RetryBudget.Service<Shared>()("app/Shared", {
        ratio: 0.5,
        capacity: 100,
        initial: 0
      }) {}
      const program = Effect.gen(function* () {
        const healthy = (Effect.void as Effect.Effect<void, Busy>).pipe(
          Retry.transient(Schedule.recurs(1).pipe(Shared.gated))
        )
        for (let i = 0; i < 5; i++) yield* healthy
        const { made, work } = failing(100)
        yield* Effect.exit(work.pipe(Retry.transient(Schedule.recurs(50).pipe(Shared.gated))))
        assert.strictEqual(made.length, 1 + 3)
        assert.strictEqual(yield* Shared.balance, 0)
      })
      yield* program.pipe(Effect.provide(Shared.layer))
    })
  )

  it.effect("also gates a plain Effect.retry", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0.5, capacity: 100, initial: 2 })
      const { made, work } = failing(100)
      const exit = yield* Effect.exit(Effect.retry(work, budget.gated(Schedule.forever)))
      assert.strictEqual(made.length, 3, "floor 2, and half a token of the first try")
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) === made[2])
      assert.strictEqual(yield* budget.balance, 0.5)
    })
  )

  it.effect("a gated schedule that ends costs no token, and times 0 means no retry (Effect #5924)", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 10 })
      const once = failing(100)
      yield* Effect.exit(
        once.work.pipe(
          Retry.transient(Retry.backoff({ times: 1 }).pipe(budget.gated)),
          start,
          Effect.flatMap((fiber) => Effect.andThen(TestClock.adjust("1 second"), Fiber.join(fiber)))
        )
      )
      assert.strictEqual(once.made.length, 2)
      assert.strictEqual(yield* budget.balance, 9)
      for (const schedule of [Retry.backoff({ times: 0 }), Schedule.recurs(0)]) {
        const never = failing(100)
        const exit = yield* Effect.exit(
          never.work.pipe(Retry.transient(budget.gated(schedule as Schedule.Schedule<unknown>)))
        )
        assert.strictEqual(never.made.length, 1)
        assert.strictEqual(reasonOf(exit), "attempts")
      }
      assert.strictEqual(yield* budget.balance, 9)
    })
  )

  it.effect("an error of the schedule itself is returned unchanged, and costs no token", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 10 })
      const schedule = Schedule.forever.pipe(
        Schedule.tap(() => Effect.fail(new Broken())),
        budget.gated
      )
      assert.instanceOf(yield* Effect.flip(failing(9).work.pipe(Retry.transient(schedule))), Broken)
      assert.instanceOf(yield* Effect.flip(Effect.retry(failing(9).work, schedule)), Broken)
      assert.strictEqual(yield* budget.balance, 10)
    })
  )

  it.effect("first attempts in flight count, failed or not", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0.1, capacity: 100, initial: 0 })
      const call = Effect.sleep("1 hour").pipe(
        Effect.andThen(Effect.fail(new Busy())),
        Retry.transient(budget.gated(Schedule.forever))
      )
      for (let i = 0; i < 25; i++) yield* start(call)
      assert.closeTo(yield* budget.balance, 2.5, 1e-9)
      assert.isTrue(yield* budget.tryWithdraw)
      assert.isTrue(yield* budget.tryWithdraw)
      assert.isFalse(yield* budget.tryWithdraw)
      yield* budget.deposit
      assert.closeTo(yield* budget.balance, 0.6, 1e-9)
    })
  )

  it.effect("counts on the monotonic clock: a wall clock that is set refunds no token", () =>
    Effect.gen(function* () {
      const clock = yield* TestClock.testClockWith(Effect.succeed)
      let offset = 0
      const set = { ...clock, currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + offset }
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 1 })
      const taken: Array<boolean> = []
      for (offset of [0, 3_600_000, -3_600_000]) {
        taken.push(yield* budget.tryWithdraw.pipe(Effect.provideService(Clock.Clock, set)))
      }
      assert.deepStrictEqual(taken, [true, false, false])
    })
  )

  it.effect("emits BudgetExhausted when it is spent", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      const budget = yield* RetryBudget.make("mine", { ratio: 0.3, capacity: 100, initial: 0 })
      yield* Effect.exit(failing(9).work.pipe(Retry.transient(budget.gated(Schedule.forever), { name: "call" })))
      assert.deepStrictEqual(
        events.map((event) => [event._tag, event.policy]),
        [
          ["BudgetExhausted", "mine"],
          ["GaveUp", "call"]
        ]
      )
      assert.deepInclude({ ...events[0] }, { key: "default", balance: 0.3 })
    }).pipe(recording(events))
  })

  const bad: ReadonlyArray<readonly [options: unknown, message: string]> = [
    [{ ratio: -0.1 }, "ratio must be in [0, 1], got -0.1"],
    [{ ratio: 1.1 }, "ratio must be in [0, 1], got 1.1"],
    [{ ratio: NaN }, "ratio must be in [0, 1], got NaN"],
    [{ ratio: "0.2" }, 'ratio must be in [0, 1], got "0.2"'],
    [{ ratio: 20 }, "ratio must be in [0, 1], got 20"],
    [{ minPerSecond: -1 }, "minPerSecond must be a number >= 0, got -1"],
    [{ minPerSecond: NaN }, "minPerSecond must be a number >= 0, got NaN"],
    [{ minPerSecond: "1" }, 'minPerSecond must be a number >= 0, got "1"'],
    [{ ratio: 1e-7 }, "ratio must be 0, or in [0.000001, 1], got 1e-7"],
    [{ ratio: 0, timeoutCost: -1 }, "timeoutCost must be a number >= 1, got -1"],
    [{ capacity: 0.5 }, "capacity must be a number >= 1, got 0.5"],
    [{ capacity: "10" }, 'capacity must be a number >= 1, got "10"'],
    [{ initial: 21 }, "initial must be in [0, 20], got 21"],
    [{ timeoutCost: 0 }, "timeoutCost must be a number >= 1, got 0"],
    [
      { timeoutCost: 21 },
      "timeoutCost must be at most the capacity of 20, or Infinity for no retry after a timeout, got 21"
    ],
    [
      { window: "10 seconds" },
      "there is no option window; there are ratio, timeoutCost, capacity, initial, minPerSecond, per, keys"
    ],
    [{ per: "tenant" }, 'per must be "all" or "key", got "tenant"'],
    [{ keys: { maxKeys: 1 } }, 'keys has no effect without per: "key"'],
    [{ per: "key", keys: { maxKeys: 0 } }, "keys.maxKeys must be an integer >= 1, got 0"]
  ]
  for (const [options, message] of bad) {
    it(`fails at construction: ${message}`, () => {
      const given = options as RetryBudget.Options
      assert.throws(() => RetryBudget.make("b", given), RangeError, `RetryBudget b: ${message}`)
      assert.throws(() => RetryBudget.Service<never>()("b", given), RangeError, `RetryBudget b: ${message}`)
    })
  }

  it.effect("takes the defaults: ratio 0.15, a capacity of 20, full at the start, no floor", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b")
      assert.strictEqual(yield* budget.balance, 20)
      for (let i = 0; i < 15; i++) assert.isTrue(yield* budget.tryWithdraw)
      for (let i = 0; i < 10; i++) yield* budget.deposit
      assert.closeTo(yield* budget.balance, 6.5, 1e-9)
      yield* TestClock.adjust("1 hour")
      assert.closeTo(yield* budget.balance, 6.5, 1e-9)
    })
  )

  it.effect("a budget that earns nothing holds nothing", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0 })
      assert.strictEqual(yield* budget.balance, 0)
    })
  )

  it.effect("a retry after a timeout takes `timeoutCost` tokens, with any driver", () =>
    Effect.gen(function* () {
      const hangs = (Effect.never as Effect.Effect<void, Busy>).pipe(Timeout.after("1 second"))
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 7, timeoutCost: 3 })
      for (const call of [
        hangs.pipe(Retry.transient(budget.gated(Schedule.forever))),
        hangs.pipe(Effect.retry(budget.gated(Schedule.recurs(1))))
      ]) {
        const fiber = yield* start(Effect.exit(call))
        yield* TestClock.adjust("1 minute")
        assert.isTrue(Exit.isFailure(yield* Fiber.join(fiber)))
      }
      assert.strictEqual(yield* budget.balance, 1)
    })
  )

  it.effect("with a `timeoutCost` of Infinity a timeout is not retried, and other errors are", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { timeoutCost: Infinity })
      const hangs = (Effect.never as Effect.Effect<void, Busy>).pipe(Timeout.after("1 second"))
      const fiber = yield* start(Effect.exit(hangs.pipe(Retry.transient(budget.gated(Schedule.forever)))))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(reasonOf(yield* Fiber.join(fiber)), "budget")
      assert.strictEqual(yield* failing(1).work.pipe(Retry.transient(budget.gated(Schedule.forever))), 1)
    })
  )

  it.effect("a gated retry of an attempt that was overtaken takes one token", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 10, timeoutCost: 5 })
      const schedule = budget.gated(Schedule.recurs(1))
      let attempts = 0
      const slowOnce = Effect.suspend(
        (): Effect.Effect<string, Busy> => (++attempts === 1 ? Effect.never : Effect.succeed("answer"))
      ).pipe(Timeout.after("1 second"), Retry.transient(schedule))
      const slow = yield* start(slowOnce)
      yield* TestClock.adjust(1)
      yield* (Effect.void as Effect.Effect<void, Busy>).pipe(Retry.transient(schedule))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ended(slow), Exit.succeed("answer"))
      assert.strictEqual(yield* budget.balance, 9)
    })
  )

  it.effect("with an infinite capacity and an infinite price no timeout is retried", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { capacity: Infinity, timeoutCost: Infinity })
      const hangs = (Effect.never as Effect.Effect<void, Busy>).pipe(Timeout.after("1 second"))
      const fiber = yield* start(Effect.exit(hangs.pipe(Retry.transient(budget.gated(Schedule.forever)))))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(reasonOf(yield* Fiber.join(fiber)), "budget")
      assert.strictEqual(yield* budget.balance, Infinity)
    })
  )
})
