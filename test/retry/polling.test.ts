import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Deadline, type Event, Fallback, Rejection, Retry } from "effect-resilience"
import { Busy, type Denied, Refused } from "../support/errors.ts"
import { ended, recording, start } from "../support/observe.ts"

const every = Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 5 }))
const pending = { while: (state: string) => state === "pending" }

/** The results of the polls in order; the last one repeats. */
const polls = (...results: ReadonlyArray<Effect.Effect<string, Busy | Refused | Denied>>) => {
  let made = 0
  return Effect.suspend(() => results[Math.min(made++, results.length - 1)]!)
}

const state: Effect.Effect<string, Busy> = Effect.succeed("pending")

describe("Retry with `while`, a later poll that is rejected", () => {
  it.effect("by a circuit: the call succeeds with the last value, and gives up with the reason `rejected`", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("jobs")
      const call = yield* start(state.pipe(breaker.protect, Retry.transient(every, pending)))
      yield* breaker.control.isolate()
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ended(call), Exit.succeed("pending"))
      const last = events.filter((event) => event._tag === "GaveUp")
      assert.deepInclude({ ...last[0] }, { reason: "rejected", attempts: 1, error: "pending" })
    }).pipe(recording(events))
  })

  it.effect("by a bulkhead: the same", () =>
    Effect.gen(function* () {
      const one = yield* Bulkhead.make("jobs", { maxConcurrent: 1 })
      const call = yield* start(state.pipe(one.protect, Retry.transient(every, pending)))
      yield* start(one.protect(Effect.never))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ended(call), Exit.succeed("pending"))
    })
  )

  it.effect("the first poll: the caller gets the rejection, because there is no value", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("jobs")
      yield* breaker.control.isolate()
      const error = yield* Effect.flip(state.pipe(breaker.protect, Retry.transient(every, pending)))
      assert.instanceOf(error, Rejection.CircuitOpen)
    })
  )

  it.effect("after a failure: the caller gets that failure, whatever value came before it", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("jobs")
      const busy = new Busy()
      const job = polls(Effect.succeed("pending"), Effect.fail(busy))
      const call = yield* start(Effect.flip(job.pipe(breaker.protect, Retry.transient(every, pending))))
      yield* TestClock.adjust("1 second")
      yield* breaker.control.isolate()
      yield* TestClock.adjust("1 second")
      const exit = ended(call)
      assert.isTrue(Exit.isSuccess(exit) && exit.value === busy)
    })
  )

  it.effect("after a failure and a value: the caller gets the value", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("jobs")
      const job = polls(Effect.fail(new Busy()), Effect.succeed("pending"))
      const call = yield* start(job.pipe(breaker.protect, Retry.transient(every, pending)))
      yield* TestClock.adjust("1 second")
      yield* breaker.control.isolate()
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(ended(call), Exit.succeed("pending"))
    })
  )

  it.effect("a poll that started and was cut by a deadline is DeadlineExceeded", () =>
    Effect.gen(function* () {
      const job = polls(Effect.succeed("pending"), Effect.never)
      const call = yield* start(job.pipe(Deadline.within("3 seconds"), Retry.transient(every, pending), Effect.flip))
      yield* TestClock.adjust("10 seconds")
      const exit = ended(call)
      assert.isTrue(Exit.isSuccess(exit) && exit.value instanceof Rejection.DeadlineExceeded && exit.value.started)
    })
  )

  it.effect("a refusal after a poll that ran does not say that the call never started", () =>
    Effect.gen(function* () {
      const job = polls(Effect.succeed("pending"), Effect.fail(new Refused()))
      const call = yield* start(
        job.pipe(
          Retry.transient(Schedule.recurs(1), pending),
          Fallback.value("queued", { when: "neverStarted" }),
          Effect.flip
        )
      )
      yield* TestClock.adjust("10 seconds")
      const exit = ended(call)
      assert.isTrue(Exit.isSuccess(exit) && exit.value instanceof Refused)
    })
  )
})
