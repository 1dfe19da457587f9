/** `acquire` of a bulkhead: a permit until a scope closes. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Deadline } from "effect-resilience"
import { ok, start } from "../policy/support.ts"

const one = { maxConcurrent: 1, maxQueued: 1, maxWait: "1 second" } as const

describe("Bulkhead.acquire", () => {
  it.effect("holds a permit until the scope closes", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("sockets", { maxConcurrent: 1 })
      const scope = yield* Scope.make()
      yield* bulkhead.acquire().pipe(Scope.provide(scope))
      assert.deepInclude(yield* bulkhead.state(), { running: 1, waiting: 0 })
      assert.strictEqual((yield* Effect.flip(bulkhead.protect(ok)))._tag, "BulkheadFull")
      assert.strictEqual((yield* Effect.flip(Effect.scoped(bulkhead.acquire())))._tag, "BulkheadFull")
      yield* Effect.scoped(bulkhead.acquire({ key: "another" }))
      yield* Scope.close(scope, Exit.fail("any"))
      assert.deepInclude(yield* bulkhead.state(), { running: 0, waiting: 0 })
      assert.strictEqual(yield* bulkhead.protect(ok), "ok")
    })
  )

  it.effect("waits in the queue, first come first served, and for maxWait or a deadline at most", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("sockets", { ...one, maxQueued: 3 })
      const holder = yield* start(bulkhead.protect(Effect.sleep("1500 millis")))
      const first = yield* start(Effect.flip(Effect.scoped(bulkhead.acquire())))
      const second = yield* start(Effect.flip(Effect.scoped(bulkhead.acquire()).pipe(Deadline.within("500 millis"))))
      yield* TestClock.adjust("500 millis")
      assert.deepInclude(yield* Fiber.join(second), { _tag: "BulkheadFull", reason: "deadline" })
      const third = yield* start(Effect.scoped(Effect.andThen(bulkhead.acquire(), Effect.sleep("1 second"))))
      yield* TestClock.adjust("500 millis")
      assert.deepInclude(yield* Fiber.join(first), { _tag: "BulkheadFull", reason: "wait" })
      assert.deepInclude(yield* bulkhead.state(), { running: 1, waiting: 1 })
      yield* TestClock.adjust("500 millis")
      yield* Fiber.join(holder)
      assert.deepInclude(yield* bulkhead.state(), { running: 1, waiting: 0 })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(third)
    })
  )

  it.effect("leaves nothing in the scope when it is rejected", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("sockets", { maxConcurrent: 1 })
      const held = yield* start(bulkhead.protect(Effect.never))
      const scope = yield* Scope.make()
      for (let i = 0; i < 10; i++) yield* Effect.exit(bulkhead.acquire().pipe(Scope.provide(scope)))
      assert.strictEqual(scope.state._tag, "Empty")
      yield* Fiber.interrupt(held)
    })
  )

  it.effect("on a scope that is closed already, releases at once", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("sockets", { maxConcurrent: 1 })
      const scope = yield* Scope.make()
      yield* Scope.close(scope, Exit.void)
      yield* bulkhead.acquire().pipe(Scope.provide(scope))
      assert.deepInclude(yield* bulkhead.state(), { running: 0 })
    })
  )
})
