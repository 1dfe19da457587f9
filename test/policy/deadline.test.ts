import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Policy, Rejection, Retry, Timeout } from "effect-resilience"
import { Down, down, hang, ok, pauses, script, settle, start, takes, touchy } from "./support.ts"

const reasonOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Option.getOrThrow(Retry.gaveUp(exit.cause)).reason : assert.fail("succeeded")

/** Runs until the fiber has ended, and tells when. */
const endedAt = <A, E>(fiber: Fiber.Fiber<A, E>, within: number) =>
  Effect.gen(function* () {
    for (let now = 0; now <= within; now += 50) {
      yield* settle
      const exit = fiber.pollUnsafe()
      if (exit !== undefined) return { at: now, exit }
      yield* TestClock.adjust(50)
    }
    return assert.fail(`still running after ${within} ms`)
  })

describe("Policy: deadline", () => {
  it.effect("interrupts the attempt", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "1 second" })
      const { at, exit } = yield* endedAt(yield* start(Effect.flip(policy.protect(hang))), 2000)
      assert.strictEqual(at, 1000)
      const error = yield* exit
      assert.instanceOf(error, Rejection.DeadlineExceeded)
      assert.deepStrictEqual([error.policy, error.key, error.started], ["p", "default", true])
      assert.strictEqual(Duration.toMillis(error.deadline), 1000)
      assert.isFalse(Rejection.neverStarted(error))
      assert.strictEqual((yield* policy.stats()).totals.rejections.DeadlineExceeded, 1)
    })
  )

  it.effect("begins no delay that would outlast it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "250 millis", retry: pauses(5) })
      const dependency = script(down)
      const { at, exit } = yield* endedAt(yield* start(policy.protect(dependency.call)), 1000)
      // 100 ms fit, 200 ms more do not.
      assert.deepStrictEqual([at, dependency.calls, reasonOf(exit)], [100, 2, "deadline"])
      assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof Down)
      assert.strictEqual((yield* policy.stats()).totals.giveUps.deadline, 1)
    })
  )

  it.effect(
    "interrupts a later attempt: the call fails with the last failure of the dependency, reason `deadline`",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { deadline: "1 second", retry: pauses(5) })
        const dependency = script(down, hang)
        const { at, exit } = yield* endedAt(yield* start(policy.protect(dependency.call)), 2000)
        assert.deepStrictEqual([at, dependency.calls, reasonOf(exit)], [1000, 2, "deadline"])
        assert.isTrue(Exit.isFailure(exit) && Cause.squash(exit.cause) instanceof Down)
      })
  )

  it.effect("ends the wait in the queue, and the waiter leaves it at once", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "1 second", bulkhead: { maxConcurrent: 1, maxQueued: 5 } })
      yield* start(policy.protect(Effect.uninterruptible(takes("3 seconds"))))
      yield* TestClock.adjust("500 millis")
      const { at, exit } = yield* endedAt(yield* start(Effect.flip(policy.protect(ok))), 2000)
      assert.strictEqual(at, 1000)
      const error = yield* exit
      assert.instanceOf(error, Rejection.BulkheadFull)
      assert.strictEqual(error.reason, "deadline")
      assert.strictEqual((yield* policy.stats()).waiting, 0)
      yield* TestClock.adjust("3 seconds")
    })
  )

  it.effect("gives an attempt that waited the time that remains", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "1 second", bulkhead: { maxConcurrent: 1, maxQueued: 5 } })
      yield* start(policy.protect(takes("400 millis")))
      const { at, exit } = yield* endedAt(yield* start(Effect.flip(policy.protect(hang))), 2000)
      assert.strictEqual(at, 1000)
      assert.instanceOf(yield* exit, Rejection.DeadlineExceeded)
    })
  )

  it.effect("is seen by the work, as is the timeout", () =>
    Effect.gen(function* () {
      const left = Effect.map(Deadline.remaining, Duration.toMillis)
      const both = yield* Policy.make("p", { deadline: "3 seconds", timeout: "1 second" })
      const whole = yield* Policy.make("p", { deadline: "3 seconds" })
      const neither = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1 } })
      assert.strictEqual(yield* both.protect(left), 1000)
      assert.strictEqual(yield* whole.protect(left), 3000)
      assert.strictEqual(yield* neither.protect(left), Number.POSITIVE_INFINITY)
    })
  )

  it.effect("a dependency that never answers opens the circuit, with a deadline and no timeout", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "1 second", breaker: touchy })
      yield* endedAt(yield* start(Effect.flip(policy.protect(hang))), 2000)
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
      assert.instanceOf(yield* Effect.flip(policy.protect(ok)), Rejection.CircuitOpen)
    })
  )

  it.effect("an attempt that got less than its fair share of the time counts as ignored", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        deadline: "1 second",
        breaker: touchy,
        bulkhead: { maxConcurrent: 1, maxQueued: 1 }
      })
      yield* start(policy.protect(takes("600 millis")))
      const late = yield* start(Effect.flip(policy.protect(hang)))
      yield* endedAt(late, 2000)
      const { circuit, totals } = yield* policy.stats()
      assert.deepStrictEqual([circuit?._tag, totals.failures, totals.ignored], ["closed", 0, 1])
    })
  )

  it.effect("an outer deadline tightens it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "3 seconds", retry: pauses(5) })
      const cut = yield* start(Effect.flip(policy.protect(hang).pipe(Deadline.within("500 millis"))))
      const first = yield* endedAt(cut, 4000)
      assert.strictEqual(first.at, 500)
      assert.instanceOf(yield* first.exit, Rejection.DeadlineExceeded)
      const pausing = yield* start(policy.protect(down).pipe(Deadline.within("250 millis")))
      const second = yield* endedAt(pausing, 4000)
      assert.deepStrictEqual([second.at, reasonOf(second.exit)], [100, "deadline"])
    })
  )

  it.effect("a timeout that ends at the same instant fires as a timeout, and counts as a failure", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "1 second", timeout: "1 second", breaker: touchy })
      const { at, exit } = yield* endedAt(yield* start(Effect.flip(policy.protect(hang))), 2000)
      assert.strictEqual(at, 1000)
      assert.instanceOf(yield* exit, Timeout.TimedOut)
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
    })
  )

  it.effect("an outer deadline that has ended admits no call to the queue", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1, maxQueued: 5 } })
      yield* start(policy.protect(hang))
      let error: unknown
      // This goes on past the outer deadline, because it cannot be interrupted.
      const late = Effect.sleep("2 seconds").pipe(
        Effect.andThen(Effect.flip(policy.protect(ok))),
        Effect.tap((rejection) => Effect.sync(() => (error = rejection))),
        Effect.uninterruptible
      )
      const call = yield* start(Effect.exit(late.pipe(Deadline.within("1 second"))))
      yield* TestClock.adjust("2 seconds")
      assert.instanceOf(error, Rejection.BulkheadFull)
      assert.strictEqual(error.reason, "deadline")
      yield* Fiber.interrupt(call)
    })
  )

  it.effect("cannot loosen an outer deadline", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "3 seconds", timeout: "2 seconds" })
      const left = Effect.map(Deadline.remaining, Duration.toMillis)
      assert.strictEqual(yield* policy.protect(left).pipe(Deadline.within("1 second")), 1000)
    })
  )

  it.effect("an outer deadline bounds the queue and the delay of a policy without a deadline", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(5), bulkhead: { maxConcurrent: 1, maxQueued: 5 } })
      const holder = yield* start(policy.protect(hang))
      const queued = yield* start(Effect.flip(policy.protect(ok).pipe(Deadline.within("500 millis"))))
      const first = yield* endedAt(queued, 1000)
      assert.strictEqual(first.at, 500)
      assert.isTrue(
        Rejection.neverStarted(yield* first.exit) || (yield* first.exit) instanceof Rejection.DeadlineExceeded
      )
      yield* Fiber.interrupt(holder)
      const pausing = yield* start(policy.protect(down).pipe(Deadline.within("250 millis")))
      const second = yield* endedAt(pausing, 1000)
      assert.deepStrictEqual([second.at, reasonOf(second.exit)], [100, "deadline"])
    })
  )

  it.effect("begins no work without time left", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "1 second", breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      const dependency = script(ok)
      let error: unknown
      // This goes on past the outer deadline, because it cannot be interrupted.
      const late = Effect.sleep("2 seconds").pipe(
        Effect.andThen(Effect.flip(policy.protect(dependency.call))),
        Effect.tap((rejection) => Effect.sync(() => (error = rejection))),
        Effect.uninterruptible
      )
      const call = yield* start(Effect.exit(late.pipe(Deadline.within("1 second"))))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(call)
      assert.instanceOf(error, Rejection.DeadlineExceeded)
      assert.isTrue(Rejection.neverStarted(error))
      assert.strictEqual(dependency.calls, 0)
      const { running, totals } = yield* policy.stats()
      assert.deepStrictEqual([running, totals.rejections.DeadlineExceeded], [0, 1])
    })
  )

  it.effect("ends a call whose onRetry hangs", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        deadline: "3 seconds",
        retry: { schedule: pauses(2), onRetry: () => Effect.never }
      })
      const { at, exit } = yield* endedAt(yield* start(policy.protect(script(down, ok).call)), 4000)
      assert.strictEqual(at, 3000)
      assert.strictEqual(reasonOf(exit), "deadline")
    })
  )

  it.effect(
    "around the policy: a dependency that never answers within a fair share of the timeout opens the circuit",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { timeout: "2 seconds", breaker: touchy })
        const fiber = yield* start(Effect.exit(policy.protect(hang).pipe(Deadline.within("1900 millis"))))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(fiber)
        assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
      })
  )

  it.effect("around the policy: an attempt that was interrupted at once counts as ignored", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "2 seconds", breaker: touchy })
      const fiber = yield* start(Effect.exit(policy.protect(hang).pipe(Deadline.within("100 millis"))))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(fiber)
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    })
  )
})
