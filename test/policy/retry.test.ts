import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, Retry, TripPolicy } from "effect-resilience"
import { Down, down, hang, ok, pauses, Refused, script, start, takes, touchy, Wrong, wrong } from "./support.ts"

const gaveUp = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Option.getOrThrow(Retry.gaveUp(exit.cause)) : assert.fail("succeeded")

const errorOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Cause.squash(exit.cause) : assert.fail("succeeded")

describe("Policy: retry", () => {
  it.effect(
    "a circuit that opens during the delay: the call fails with the last failure of the dependency, reason `rejected`",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", {
          retry: pauses(3),
          breaker: { trip: TripPolicy.consecutive(2), openFor: "1 minute" }
        })
        const dependency = script(down)
        const call = yield* start(Effect.exit(policy.protect(dependency.call)))
        yield* Effect.flip(wrong.pipe(policy.protect({ failures: ["Wrong"] })))
        yield* TestClock.adjust("100 millis")
        const exit = yield* Fiber.join(call)
        assert.instanceOf(errorOf(exit), Down)
        const { attempts, history, reason } = gaveUp(exit)
        assert.deepStrictEqual([reason, attempts, history.length, dependency.calls], ["rejected", 1, 1, 1])
        const { totals } = yield* policy.stats()
        assert.strictEqual(totals.giveUps.rejected, 1)
        assert.strictEqual(totals.rejections.CircuitOpen, 1)
      })
  )

  it.effect("a circuit that will still be open after the delay: gives up at once, and takes no token", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(3),
        breaker: touchy,
        budget: { ratio: 0, capacity: 10 }
      })
      const exit = yield* Effect.exit(policy.protect(down))
      assert.instanceOf(errorOf(exit), Down)
      const { attempts, reason } = gaveUp(exit)
      assert.deepStrictEqual([reason, attempts], ["rejected", 1])
      const { balance, totals } = yield* policy.stats()
      assert.deepStrictEqual([balance, totals.retries, totals.rejections.CircuitOpen], [10, 0, 0])
    })
  )

  it.effect("a circuit whose open time ends before the delay: the retry is its probe", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(1),
        breaker: { ...touchy, openFor: { initial: "50 millis", factor: 2, jitter: 0 } }
      })
      const call = yield* start(policy.protect(script(down, ok).call))
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* Fiber.join(call), "ok")
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    })
  )

  it.effect(
    "a bulkhead that is full on the retry: the call fails with the last failure of the dependency, reason `rejected`",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { retry: pauses(3), bulkhead: { maxConcurrent: 1 } })
        const call = yield* start(Effect.exit(policy.protect(down)))
        yield* start(policy.protect(hang))
        yield* TestClock.adjust("100 millis")
        const exit = yield* Fiber.join(call)
        assert.instanceOf(errorOf(exit), Down)
        assert.strictEqual(gaveUp(exit).reason, "rejected")
        assert.strictEqual((yield* policy.stats()).totals.rejections.BulkheadFull, 1)
      })
  )

  it.effect("a first attempt that is rejected: the call fails with the rejection, without a retry", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(3), breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      yield* start(policy.protect(hang))
      const full = yield* Effect.exit(policy.protect(ok))
      assert.instanceOf(errorOf(full), Rejection.BulkheadFull)
      assert.isTrue(Exit.isFailure(full) && Option.isNone(Retry.gaveUp(full.cause)))
      yield* policy.control.isolate()
      assert.instanceOf(errorOf(yield* Effect.exit(policy.protect(ok))), Rejection.CircuitOpen)
      assert.strictEqual((yield* policy.stats()).totals.retries, 0)
    })
  )

  it.effect("retries transient errors and timeouts, and no other failure", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(1), timeout: "1 second" })
      const cases = [
        { dependency: script(wrong, ok), calls: 1 },
        { dependency: script(Effect.die("bug") as typeof ok, ok), calls: 1 },
        { dependency: script(Effect.interrupt as typeof ok, ok), calls: 1 },
        { dependency: script(down, ok), calls: 2 },
        { dependency: script(hang, ok), calls: 2 }
      ]
      for (const { calls, dependency } of cases) {
        const fiber = yield* start(Effect.exit(policy.protect(dependency.call)))
        yield* TestClock.adjust("2 seconds")
        const exit = yield* Fiber.join(fiber)
        assert.deepStrictEqual([dependency.calls, exit._tag], [calls, calls === 2 ? "Success" : "Failure"])
      }
    })
  )

  it.effect("ends at once when interrupted during a delay", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(1), bulkhead: { maxConcurrent: 1 } })
      const dependency = script(down, ok)
      const call = yield* start(policy.protect(dependency.call))
      yield* Fiber.interrupt(call)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(dependency.calls, 1)
      assert.strictEqual((yield* policy.stats()).running, 0)
    })
  )

  it.effect("times: 0 means no retry", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(0) })
      const dependency = script(down, ok)
      const exit = yield* Effect.exit(policy.protect(dependency.call))
      assert.strictEqual(dependency.calls, 1)
      assert.strictEqual(gaveUp(exit).reason, "attempts")
    })
  )

  it.effect("the work sees which attempt it is", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(2) })
      const seen: Array<unknown> = []
      const work = Effect.flatMap(Schedule.CurrentMetadata, ({ attempt, duration, input }) => {
        seen.push([attempt, Duration.toMillis(duration), input instanceof Down])
        return down
      })
      const call = yield* start(Effect.flip(policy.protect(work)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(call)
      assert.deepStrictEqual(seen, [
        [0, 0, false],
        [1, 100, true],
        [2, 200, true]
      ])
    })
  )

  it.effect("unprocessedOnly: retries only errors marked as unprocessed", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: { schedule: pauses(1), unprocessedOnly: true } })
      for (const [error, calls] of [
        [new Refused({ unprocessed: true }), 2],
        [new Refused({ unprocessed: false }), 1]
      ] as const) {
        const dependency = script<string, Refused, never>(Effect.fail(error), Effect.succeed("done"))
        const call = yield* start(Effect.exit(policy.protect(dependency.call)))
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(call)
        assert.strictEqual(dependency.calls, calls)
      }
    })
  )

  it.effect("an attempt is counted for its key also when the key was removed during the delay", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(1),
        bulkhead: { maxConcurrent: 1 },
        keys: { maxKeys: 1 }
      })
      const call = yield* start(script(down, takes("1 second")).call.pipe(policy.protect({ key: "a" })))
      // Only one key is kept: this one drops "a", of which nothing is held.
      yield* ok.pipe(policy.protect({ key: "b" }))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual((yield* policy.stats("a")).running, 1)
      assert.instanceOf(yield* Effect.flip(ok.pipe(policy.protect({ key: "a" }))), Rejection.BulkheadFull)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(call), "ok")
    })
  )

  it.effect("a permanent error neither counts as a failure of the dependency nor is retried", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(2), breaker: { trip: TripPolicy.consecutive(1) } })
      assert.instanceOf(yield* Effect.flip(policy.protect(wrong)), Wrong)
      const { circuit, totals } = yield* policy.stats()
      assert.deepStrictEqual([circuit?._tag, totals.successes, totals.failures], ["closed", 1, 0])
    })
  )
})
