import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, Retry, TripPolicy } from "effect-resilience"
import { Down, down, hang, listen, ok, script, settle, start, takes, touchy } from "./support.ts"

const options = {
  breaker: { ...touchy, trip: TripPolicy.consecutive(1) },
  bulkhead: { maxConcurrent: 2, maxQueued: 1000 }
} as const

/** A policy with all its permits taken, the first by a call that fails after a second, and calls that wait. */
const crowded = (count: number, extra: Policy.Options = {}) =>
  Effect.gen(function* () {
    const policy = yield* Policy.make("p", { ...options, ...extra } as typeof options)
    yield* start(Effect.exit(policy.protect(Effect.delay(down, "1 second"))))
    yield* start(Effect.exit(policy.protect(hang)))
    const dependency = script(ok)
    const waiters = yield* Effect.forEach(Array(count).fill(0), () =>
      start(Effect.flip(policy.protect(dependency.call)))
    )
    assert.strictEqual((yield* policy.stats()).waiting, count)
    return { policy, waiters, dependency }
  })

describe("calls that wait for a permit, when their circuit becomes one that rejects every call", () => {
  it.effect("leave the queue at once when it opens", () =>
    Effect.gen(function* () {
      const { dependency, policy, waiters } = yield* crowded(100)
      yield* TestClock.adjust("1 second")
      const errors = yield* Effect.forEach(waiters, Fiber.join)
      for (const error of errors) {
        assert.instanceOf(error, Rejection.CircuitOpen)
        assert.strictEqual(error.state, "open")
      }
      const { running, totals, waiting } = yield* policy.stats()
      assert.deepStrictEqual([running, waiting, dependency.calls], [1, 0, 0])
      assert.strictEqual(totals.rejections.CircuitOpen, 100)
    })
  )

  it.effect("leave it at once when an operator isolates it, one key or all", () =>
    Effect.gen(function* () {
      for (const key of ["default", undefined]) {
        const { policy, waiters } = yield* crowded(3)
        const heard = yield* listen(policy.events)
        yield* policy.control.isolate({ key })
        for (const error of yield* Effect.forEach(waiters, Fiber.join)) {
          assert.isTrue(error instanceof Rejection.CircuitOpen && error.state === "isolated")
        }
        yield* settle
        assert.deepStrictEqual(
          heard.map((event) => event._tag),
          ["Transition", "Rejected", "Rejected", "Rejected", "Changed"]
        )
      }
    })
  )

  it.effect("stay when another circuit opens, or theirs is closed or disabled", () =>
    Effect.gen(function* () {
      const { policy } = yield* crowded(3)
      yield* Effect.exit(down.pipe(policy.protect({ key: "other" })))
      yield* policy.control.isolate({ key: "another" })
      yield* policy.control.disable()
      yield* policy.control.close()
      assert.strictEqual((yield* policy.stats()).waiting, 3)
    })
  )

  it.effect("of keys that share one state, too", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        ...options,
        bulkhead: { maxConcurrent: 1, maxQueued: 5 },
        keys: { maxKeys: 1 }
      })
      yield* policy.control.isolate({ key: "kept" })
      yield* start(Effect.exit(Effect.delay(down, "1 second").pipe(policy.protect({ key: "a" }))))
      const waiter = yield* start(Effect.flip(ok.pipe(policy.protect({ key: "b" }))))
      yield* TestClock.adjust("1 second")
      assert.instanceOf(yield* Fiber.join(waiter), Rejection.CircuitOpen)
    })
  )

  it.effect("a retry that waits gives its caller the failure before it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        ...options,
        breaker: { ...options.breaker, trip: TripPolicy.consecutive(2) },
        bulkhead: { maxConcurrent: 1, maxQueued: 1 },
        retry: Retry.backoff({ base: "1 second", times: 1, jitter: "none" })
      })
      const retried = yield* start(Effect.exit(policy.protect(down)))
      yield* start(Effect.exit(policy.protect(takes("5 seconds"))))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* policy.stats()).waiting, 1)
      yield* policy.control.isolate()
      const exit = yield* Fiber.join(retried)
      assert.isTrue(exit._tag === "Failure" && exit.cause.reasons[0]?._tag === "Fail")
      assert.instanceOf(yield* Effect.flip(exit), Down)
    })
  )

  it.effect("every permit can be had afterwards", () =>
    Effect.gen(function* () {
      const { policy, waiters } = yield* crowded(10)
      for (const waiter of waiters.slice(0, 5)) yield* Effect.forkChild(Fiber.interrupt(waiter))
      yield* TestClock.adjust("1 second")
      for (const waiter of waiters) yield* Fiber.await(waiter)
      yield* policy.control.close()
      const { running, waiting } = yield* policy.stats()
      assert.deepStrictEqual([running, waiting], [1, 0])
      assert.strictEqual(yield* policy.protect(ok), "ok")
      yield* start(policy.protect(hang))
      yield* start(policy.protect(hang))
      const after = yield* policy.stats()
      assert.deepStrictEqual([after.running, after.waiting], [2, 1])
    })
  )
})
