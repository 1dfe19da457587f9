import { assert, describe, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Retry, RetryBudget } from "effect-resilience"
import { Busy, Later } from "../support/errors.ts"
import { ended, start } from "../support/observe.ts"

/** Notes the time of each attempt, and always fails. */
const timed = <E>(error: () => E) => {
  const at: Array<number> = []
  const work = Effect.flatMap(Clock.currentTimeMillis, (now) => {
    at.push(now)
    return Effect.fail(error())
  })
  return { at, work }
}

const gaveUp = (exit: Exit.Exit<unknown, unknown>) => {
  assert.isTrue(Exit.isFailure(exit))
  return Exit.isFailure(exit) ? Option.getOrThrow(Retry.gaveUp(exit.cause)) : undefined!
}

const later = (retryAfter: Duration.Input) => () => new Later({ retryAfter: Duration.fromInputUnsafe(retryAfter) })

describe("Retry, the delay", () => {
  it.effect("is the delay of the schedule", () =>
    Effect.gen(function* () {
      const { at, work } = timed(() => new Busy())
      yield* start(
        work.pipe(Retry.transient(Schedule.upTo(Schedule.exponential("100 millis"), { times: 3 })), Effect.exit)
      )
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(at, [0, 100, 300, 700])
    })
  )

  it.effect(
    "ends at once when it is interrupted, and no further attempt is made (cockatiel: backoff ignores abort)",
    () =>
      Effect.gen(function* () {
        const { at, work } = timed(() => new Busy())
        const fiber = yield* start(work.pipe(Retry.transient(Schedule.spaced("1 minute"))))
        yield* TestClock.adjust("90 seconds")
        assert.strictEqual(at.length, 2)
        yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.hasInterrupts(ended(fiber)))
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(at.length, 2)
      })
  )

  it.effect("no attempt is made after an interruption at any yield point", () =>
    Effect.gen(function* () {
      const swept = yield* Sweep.run({
        setup: Effect.sync(() => ({ made: 0 })),
        program: (state) =>
          Effect.suspend(() => {
            state.made += 1
            return Effect.fail(new Busy())
          }).pipe(Retry.transient(Schedule.recurs(3)), Effect.exit),
        invariant: (state) =>
          Effect.gen(function* () {
            const { made } = state
            yield* TestClock.adjust("1 hour")
            assert.strictEqual(state.made, made)
          })
      })
      assert.isAbove(swept.interrupted, 20)
    })
  )

  it.effect("is not begun when retryAfter exceeds maxRetryAfter: reason `retryAfter`, and no token is taken", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 10 })
      const asked = timed(later("61 seconds"))
      const gated = budget.gated(Schedule.recurs(5))
      assert.strictEqual(gaveUp(yield* Effect.exit(asked.work.pipe(Retry.transient(gated)))).reason, "retryAfter")
      assert.strictEqual(asked.at.length, 1)
      assert.strictEqual(yield* budget.balance, 10)
      const options = { maxRetryAfter: "61 seconds" } as const
      const fiber = yield* start(asked.work.pipe(Retry.transient(Schedule.recurs(1), options), Effect.exit))
      yield* TestClock.adjust("74 seconds")
      assert.strictEqual(asked.at.length, 3)
      yield* Fiber.join(fiber)
      const none = timed(later("1 millis"))
      const exit = yield* Effect.exit(none.work.pipe(Retry.transient(Schedule.recurs(5), { maxRetryAfter: 0 })))
      assert.strictEqual(gaveUp(exit).reason, "retryAfter")
    })
  )

  it.effect("is not begun when it would outlast the deadline: reason `deadline`, at once, and no token is taken", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 10 })
      const { at, work } = timed(() => new Busy())
      const schedule = budget.gated(Schedule.exponential("1 second", 4))
      const fiber = yield* start(work.pipe(Retry.transient(schedule), Deadline.within("4 seconds")))
      yield* TestClock.adjust("1 second")
      // The second pause would last until 5 seconds.
      const exit = ended(fiber)
      assert.deepStrictEqual(at, [0, 1000])
      assert.strictEqual(gaveUp(exit).reason, "deadline")
      assert.strictEqual(yield* budget.balance, 9)
    })
  )

  it.effect("is not begun when it would end with the deadline", () =>
    Effect.gen(function* () {
      const { at, work } = timed(() => new Busy())
      const fiber = yield* start(work.pipe(Retry.transient(Schedule.spaced("2 seconds")), Deadline.within("2 seconds")))
      assert.strictEqual(gaveUp(ended(fiber)).reason, "deadline")
      assert.strictEqual(at.length, 1)
    })
  )

  it.effect("is counted on the monotonic clock: a wall clock that is set does not change it", () =>
    Effect.gen(function* () {
      const clock = yield* TestClock.testClockWith(Effect.succeed)
      const skewed = (offset: () => number) => ({
        ...clock,
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + offset()
      })
      let made = 0
      const work = Effect.suspend(() => {
        made += 1
        return Effect.fail(new Busy())
      })
      const set = skewed(() => (made % 2 === 0 ? -1e10 : 1e10))
      const exit = yield* work.pipe(
        Retry.transient(Schedule.forever.pipe(Schedule.upTo({ times: 4 }))),
        Deadline.within("1 minute"),
        Effect.provideService(Clock.Clock, set),
        Effect.exit
      )
      assert.strictEqual(made, 5)
      const { elapsed, history, reason } = gaveUp(exit)
      assert.strictEqual(reason, "attempts")
      assert.strictEqual(Duration.toMillis(elapsed), 0)
      for (const attempt of history) assert.strictEqual(Duration.toMillis(attempt.elapsed), 0)
    })
  )

  it.effect("a hundred thousand retries take neither stack nor memory", () =>
    Effect.gen(function* () {
      const n = 100_000
      const one = new Busy()
      let made = 0
      const depths = new Set<number>()
      const work = Effect.withFiber((fiber): Effect.Effect<string, Busy> => {
        made += 1
        // The first attempt provides no metadata, so the frames of the second are those of all others.
        if (made > 1) depths.add((fiber as unknown as { readonly _stack: ReadonlyArray<unknown> })._stack.length)
        return made > n ? Effect.succeed("done") : Effect.fail(one)
      })
      assert.strictEqual(yield* work.pipe(Retry.transient(Schedule.forever)), "done")
      assert.strictEqual(made, n + 1)
      assert.strictEqual(depths.size, 1)
    })
  )
})
