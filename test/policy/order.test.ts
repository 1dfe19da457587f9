import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, Timeout, TripPolicy } from "effect-resilience"
import { Down, down, hang, ok, pauses, script, settle, start, takes, touchy } from "./support.ts"

describe("Policy: order of breaker, bulkhead, timeout and call", () => {
  it.effect("holds no permit during a delay", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(1), bulkhead: { maxConcurrent: 1 } })
      const retried = yield* start(policy.protect(script(down, ok).call))
      assert.strictEqual((yield* policy.stats()).running, 0)
      assert.strictEqual(yield* policy.protect(ok), "ok")
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* Fiber.join(retried), "ok")
    })
  )

  it.effect("a full bulkhead never counts against the dependency", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      const holder = yield* start(policy.protect(takes("1 second")))
      for (let i = 0; i < 50; i++) {
        const error = yield* Effect.flip(policy.protect(ok))
        assert.instanceOf(error, Rejection.BulkheadFull)
      }
      const { circuit, totals } = yield* policy.stats()
      assert.strictEqual(circuit?._tag, "closed")
      assert.strictEqual(totals.rejections.BulkheadFull, 50)
      assert.deepStrictEqual([totals.successes, totals.failures, totals.ignored], [0, 0, 0])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(holder)
    })
  )

  it.effect("an open circuit rejects before the bulkhead is consulted", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      yield* start(policy.protect(hang))
      yield* policy.control.isolate()
      assert.instanceOf(yield* Effect.flip(policy.protect(ok)), Rejection.CircuitOpen)
    })
  )

  it.effect("consults the circuit again after the queue: when it has opened meanwhile, the permit is released", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1, maxQueued: 2 } })
      const dependency = script(ok)
      const failing = yield* start(policy.protect(Effect.delay(down, "1 second")))
      const waiting = [
        yield* start(Effect.flip(policy.protect(dependency.call))),
        yield* start(Effect.flip(policy.protect(dependency.call)))
      ]
      assert.strictEqual((yield* policy.stats()).waiting, 2)
      yield* TestClock.adjust("1 second")
      assert.instanceOf(yield* Effect.flip(Fiber.join(failing)), Down)
      for (const fiber of waiting) assert.instanceOf(yield* Fiber.join(fiber), Rejection.CircuitOpen)
      assert.strictEqual(dependency.calls, 0)
      const stats = yield* policy.stats()
      assert.deepStrictEqual([stats.running, stats.waiting], [0, 0])
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* policy.protect(dependency.call), "ok")
    })
  )

  it.effect("a probe never waits in a queue", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1, maxQueued: 5 } })
      // Admitted before the circuit opened, and still running while it is half-open.
      yield* start(policy.protect(takes("6 seconds")))
      yield* policy.control.resize(2)
      yield* Effect.flip(policy.protect(down))
      yield* policy.control.resize(1)
      yield* TestClock.adjust("5 seconds")
      const waiting = yield* start(policy.protect(takes("2 seconds")))
      const { circuit, waiting: queued } = yield* policy.stats()
      assert.strictEqual(queued, 1)
      assert.isTrue(circuit?._tag === "half-open" && circuit.due)
      yield* TestClock.adjust("1 second")
      const after = yield* policy.stats()
      assert.strictEqual(after.circuit?._tag, "half-open")
      assert.strictEqual(after.circuit?._tag === "half-open" && after.circuit.probing, 1)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(waiting), "ok")
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    })
  )

  it.effect("a half-open circuit admits at most `permitted` probes, also when many calls waited for a permit", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        breaker: { ...touchy, probes: { permitted: 2, successes: 2 } },
        bulkhead: { maxConcurrent: 20 }
      })
      yield* Effect.flip(policy.protect(down))
      yield* TestClock.adjust("5 seconds")
      const dependency = script(takes("1 second"))
      const calls = yield* Effect.forEach(Array.from({ length: 10 }), () =>
        start(Effect.exit(policy.protect(dependency.call)))
      )
      assert.strictEqual(dependency.calls, 2)
      yield* TestClock.adjust("1 second")
      const exits = yield* Effect.forEach(calls, Fiber.join)
      assert.strictEqual(exits.filter((exit) => exit._tag === "Success").length, 2)
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    })
  )

  it.effect("the timeout begins with the permit, not with the wait", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1, maxQueued: 1 }, timeout: "1 second" })
      const first = yield* start(policy.protect(takes("900 millis")))
      const second = yield* start(policy.protect(takes("900 millis")))
      yield* TestClock.adjust("1800 millis")
      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["ok", "ok"])
    })
  )

  it.effect("a timeout releases the permit only when the work has ended", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1 }, timeout: "1 second" })
      const slowToStop = Effect.never.pipe(Effect.onInterrupt(() => Effect.sleep("2 seconds")))
      const call = yield* start(Effect.flip(policy.protect(slowToStop)))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* policy.stats()).running, 1)
      assert.instanceOf(yield* Effect.flip(policy.protect(ok)), Rejection.BulkheadFull)
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(call)
      assert.instanceOf(error, Timeout.TimedOut)
      assert.deepStrictEqual([error.policy, error.key, Duration.toMillis(error.after)], ["p", "default", 1000])
      assert.strictEqual((yield* policy.stats()).running, 0)
    })
  )

  it.effect("each attempt is one result for the circuit", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(2), breaker: { trip: TripPolicy.consecutive(3) } })
      const call = yield* start(Effect.flip(policy.protect(down)))
      yield* TestClock.adjust("299 millis")
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(call)
      const { circuit, totals } = yield* policy.stats()
      assert.strictEqual(circuit?._tag, "open")
      assert.deepStrictEqual([totals.calls, totals.failures, totals.retries], [1, 3, 2])
    })
  )

  it.effect("a timeout counts as a failure of the attempt", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, timeout: "1 second" })
      const call = yield* start(Effect.flip(policy.protect(hang)))
      yield* TestClock.adjust("1 second")
      assert.instanceOf(yield* Fiber.join(call), Timeout.TimedOut)
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
    })
  )

  it.effect("a result of an attempt admitted before an opening never changes the state after it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 9 } })
      const old = yield* start(policy.protect(takes("6 seconds")))
      const oldFailure = yield* start(Effect.flip(policy.protect(Effect.delay(down, "7 seconds"))))
      yield* Effect.flip(policy.protect(down))
      yield* TestClock.adjust("5 seconds")
      const probe = yield* start(policy.protect(takes("500 millis")))
      yield* TestClock.adjust("500 millis")
      yield* Fiber.join(probe)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(old)
      yield* Fiber.join(oldFailure)
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    })
  )

  it.effect("an interrupted probe releases its permit and counts as ignored", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      yield* Effect.flip(policy.protect(down))
      yield* TestClock.adjust("5 seconds")
      const probe = yield* start(policy.protect(hang))
      assert.instanceOf(yield* Effect.flip(policy.protect(ok)), Rejection.CircuitOpen)
      yield* Fiber.interrupt(probe)
      yield* settle
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "half-open")
      assert.strictEqual(yield* policy.protect(ok), "ok")
      assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
    })
  )
})
