/** A limit that is found out, and what is held beside it for a scope or a stream. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, ConcurrencyLimit, Propagation } from "effect-resilience"
import { start, takes } from "../policy/support.ts"

const limit = ConcurrencyLimit.adaptive({ timeout: "1 second" })
const sheddable = Propagation.provide({ criticality: "sheddable" })

/** Calls one after the other, `each` milliseconds apart. Returns how many were answered in time. */
const calls = (bulkhead: Bulkhead.Bulkhead, count: number, each: number, takesFor: Duration.Input) =>
  Effect.gen(function* () {
    const fibers: Array<Fiber.Fiber<Exit.Exit<string, unknown>>> = []
    for (let i = 0; i < count; i++) {
      fibers.push(yield* start(Effect.exit(takes(takesFor).pipe(bulkhead.protect))))
      yield* TestClock.adjust(each)
    }
    const exits = fibers.map((fiber) => fiber.pollUnsafe())
    return exits.filter((exit) => exit?._tag === "Success" && Exit.isSuccess(exit.value)).length
  })

const stream = (bulkhead: Bulkhead.Bulkhead, firstAfter: Duration.Input = "10 millis") =>
  Stream.concat(Stream.fromEffect(Effect.sleep(firstAfter)), Stream.never).pipe(bulkhead.protectStream, Stream.runDrain)

const permit = (bulkhead: Bulkhead.Bulkhead) => Effect.scoped(Effect.andThen(bulkhead.acquire(), Effect.never))

describe("Bulkhead: limit, what is held", () => {
  for (const [what, hold] of Object.entries({ "a stream": stream, "a permit of acquire()": permit })) {
    it.effect(`${what} takes no place of the limit, and one of maxConcurrent`, () =>
      Effect.gen(function* () {
        const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 50, maxQueued: 3, limit })
        const holders: Array<Fiber.Fiber<unknown, unknown>> = []
        for (let i = 0; i < 20; i++) holders.push(yield* start(Effect.exit(hold(bulkhead))))
        yield* TestClock.adjust("20 millis")
        yield* calls(bulkhead, 100, 20, "10 millis")
        yield* calls(bulkhead, 60, 50, "400 millis")
        yield* TestClock.adjust("5 seconds")
        const { adaptive } = yield* bulkhead.stats()
        assert.strictEqual(adaptive?.state, "limited")
        assert.isBelow(adaptive?.limit ?? 50, 5)
        // Also a class that may use half of the limit.
        const shed = yield* start(Effect.exit(takes("10 millis").pipe(bulkhead.protect, sheddable)))
        yield* TestClock.adjust("20 millis")
        assert.isTrue(Exit.isSuccess(yield* Fiber.join(shed)))
        assert.strictEqual(yield* calls(bulkhead, 200, 20, "10 millis"), 200)
        const free = yield* bulkhead.stats()
        assert.deepStrictEqual([free.adaptive?.state, free.adaptive?.inFlight, free.running], ["free", 0, 20])
        const more = yield* Effect.forEach(Array.from({ length: 35 }), () => start(Effect.exit(hold(bulkhead))))
        yield* TestClock.adjust("20 millis")
        assert.deepStrictEqual(yield* bulkhead.state(), { running: 50, waiting: 3, maxConcurrent: 50 })
        yield* Fiber.interruptAll([...holders, ...more])
        assert.deepStrictEqual(yield* bulkhead.state(), { running: 0, waiting: 0, maxConcurrent: 50 })
        assert.strictEqual(yield* calls(bulkhead, 5, 20, "10 millis"), 5)
      })
    )
  }

  it.effect("a stream that responds leaves its place of the limit to a call that waits", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 50, maxQueued: 10, limit })
      yield* calls(bulkhead, 100, 20, "10 millis")
      yield* calls(bulkhead, 60, 50, "400 millis")
      yield* TestClock.adjust("10 seconds")
      const most = (yield* bulkhead.stats()).adaptive?.limit ?? 50
      assert.isBelow(most, 10)
      for (let i = 0; i < most; i++) yield* start(Effect.exit(stream(bulkhead, "50 millis")))
      const waits = yield* start(takes("10 millis").pipe(bulkhead.protect))
      assert.deepInclude(yield* bulkhead.state(), { running: most, waiting: 1 })
      yield* TestClock.adjust("50 millis")
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(yield* Fiber.join(waits), "ok")
    })
  )

  it.effect("the time to its first element is the latency of a stream; a permit of acquire() has none", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 50, limit })
      yield* start(Effect.exit(permit(bulkhead)))
      assert.isUndefined((yield* bulkhead.stats()).adaptive?.mean)
      for (let i = 0; i < 20; i++) {
        yield* start(Effect.exit(stream(bulkhead, "400 millis")))
        yield* TestClock.adjust("400 millis")
      }
      const { adaptive } = yield* bulkhead.stats()
      assert.deepStrictEqual([adaptive?.state, adaptive?.mean], ["free", Duration.millis(400)])
    })
  )
})
