import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection } from "effect-resilience"
import { type Down, hang, ok, pauses, settle, start } from "../policy/support.ts"

const callers = Array.from({ length: 1000 }, (_, i) => i)

const crowded = Policy.make("p", {
  deadline: "1 minute",
  retry: pauses(2),
  breaker: {},
  bulkhead: { maxConcurrent: 10, maxQueued: 1000 },
  timeout: "30 seconds"
})

describe("a thousand callers at once", () => {
  it.effect("are served in the order in which they came, ten at a time", () =>
    Effect.gen(function* () {
      const policy = yield* crowded
      const began: Array<number> = []
      let inside = 0
      let most = 0
      const work = (i: number): Effect.Effect<string, Down> =>
        Effect.suspend(() => {
          began.push(i)
          inside += 1
          most = Math.max(most, inside)
          return Effect.delay(ok, "10 millis")
        }).pipe(
          Effect.onExit(() =>
            Effect.sync(() => {
              inside -= 1
            })
          )
        )
      const fibers = yield* Effect.forEach(callers, (i) => start(policy.protect(work(i))))
      const { running, waiting } = yield* policy.stats()
      assert.deepStrictEqual([running, waiting], [10, 990])
      yield* TestClock.adjust("2 seconds")
      for (const fiber of fibers) assert.strictEqual(yield* Fiber.join(fiber), "ok")
      assert.deepStrictEqual(began, callers)
      assert.strictEqual(most, 10)
      const after = yield* policy.stats()
      assert.deepStrictEqual([after.running, after.waiting, after.totals.successes], [0, 0, 1000])
    })
  )

  it.effect("whose calls take no time do not run each inside the one before", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1, maxQueued: 1000 } })
      const gate = yield* Deferred.make<void>()
      const holder = yield* start(policy.protect(Deferred.await(gate)))
      const depths: Array<number> = []
      const work = Effect.sync(() => {
        const stack = new Error("here").stack ?? ""
        depths.push(stack.split("protect.ts").length + stack.split("gate.ts").length)
      })
      const limit = Error.stackTraceLimit
      Error.stackTraceLimit = 1000
      const fibers = yield* Effect.forEach(callers, () => start(policy.protect(work)))
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(holder)
      yield* Effect.forEach(fibers, Fiber.join)
      Error.stackTraceLimit = limit
      assert.strictEqual(depths.length, 1000)
      assert.isBelow(Math.max(...depths), 10)
    })
  )

  it.effect("beyond the queue are rejected at once", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 10, maxQueued: 100 } })
      const fibers = yield* Effect.forEach(callers, () => start(Effect.exit(policy.protect(hang))))
      const refused = fibers.flatMap((fiber) => {
        const exit = fiber.pollUnsafe()
        return exit === undefined ? [] : [exit]
      })
      assert.strictEqual(refused.length, 890)
      for (const exit of refused) {
        const inner = Exit.isSuccess(exit) ? exit.value : assert.fail("interrupted")
        const error = yield* Effect.flip(inner)
        assert.instanceOf(error, Rejection.BulkheadFull)
      }
      assert.strictEqual((yield* policy.stats()).totals.rejections.BulkheadFull, 890)
    })
  )

  it.effect("that are all interrupted leave no permit and no waiter behind", () =>
    Effect.gen(function* () {
      const policy = yield* crowded
      const fibers = yield* Effect.forEach(callers, () => start(policy.protect(hang)))
      // The last ones first, then the holders: each of both kinds leaves its own way.
      yield* Effect.forEach(fibers.slice(10).reverse(), Fiber.interrupt)
      assert.deepStrictEqual((yield* policy.stats()).waiting, 0)
      yield* Effect.forEach(fibers.slice(0, 10), Fiber.interrupt)
      yield* settle
      const { running, totals, waiting } = yield* policy.stats()
      assert.deepStrictEqual([running, waiting, totals.ignored], [0, 0, 10])
      assert.strictEqual(yield* policy.protect(ok), "ok")
    })
  )
})
