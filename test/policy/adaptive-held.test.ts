/** Calls of an adaptive policy that go on after the dependency has responded: streams and permits. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Policy } from "effect-resilience"
import { down, settle, start, takes } from "./support.ts"

const still = Effect.provideService(Random.Random, { nextDoubleUnsafe: () => 0.5, nextIntUnsafe: () => 0 })

const make = Policy.make("p", { timeout: "1 second", deadline: "3 seconds", adaptive: {} })
type Made = Effect.Success<typeof make>

/** Calls of 10 ms, one every 20 ms. */
const healthy = (policy: Made, calls = 100) =>
  Effect.gen(function* () {
    for (let i = 0; i < calls; i++) {
      const call = yield* start(policy.protect(takes("10 millis")))
      yield* TestClock.adjust("20 millis")
      assert.strictEqual(yield* Fiber.join(call), "ok")
    }
  })

/** Failures, one every 60 ms, until calls are paced. */
const outage = (policy: Made) =>
  Effect.gen(function* () {
    for (let i = 0; i < 10; i++) {
      yield* Effect.exit(policy.protect(down))
      yield* TestClock.adjust("60 millis")
    }
    assert.strictEqual((yield* policy.stats()).adaptive?.state, "paced")
  })

/** A stream whose first element takes 10 ms, and that goes on for ever. */
const endless = (policy: Made) =>
  Stream.concat(Stream.fromEffect(Effect.sleep("10 millis")), Stream.never).pipe(policy.protectStream, Stream.runDrain)

/** A permit whose outcome is reported after 10 ms, and that is held for an hour. */
const permit = (policy: Made, how: "succeed" | "fail" | "ignore") =>
  Effect.scoped(
    Effect.gen(function* () {
      const permit = yield* policy.acquire()
      yield* Effect.sleep("10 millis")
      yield* how === "fail" ? permit.fail() : permit[how]
      yield* Effect.sleep("1 hour")
    })
  )

const held = {
  "a stream, after its first element": endless,
  "a permit, after its success is reported": (policy: Made) => permit(policy, "succeed")
}

describe("Policy: adaptive, calls that are held", () => {
  for (const [what, hold] of Object.entries(held)) {
    it.effect(`${what}, takes no place of a limit`, () =>
      Effect.gen(function* () {
        const policy = yield* make
        for (let i = 0; i < 5; i++) yield* start(hold(policy))
        yield* TestClock.adjust("20 millis")
        yield* healthy(policy, 200)
        for (let i = 0; i < 40; i++) {
          yield* start(Effect.exit(policy.protect(takes("400 millis"))))
          yield* TestClock.adjust("50 millis")
        }
        yield* TestClock.adjust("5 seconds")
        yield* healthy(policy, 150)
        const { adaptive, running } = yield* policy.stats()
        assert.deepStrictEqual([adaptive?.state, adaptive?.inFlight, running], ["free", 0, 5])
      }).pipe(still)
    )

    it.effect(`${what}, has ended as a probe: its answer counts at once`, () =>
      Effect.gen(function* () {
        const policy = yield* make
        yield* healthy(policy)
        yield* outage(policy)
        yield* TestClock.adjust("5 seconds")
        yield* start(hold(policy))
        const waits = yield* start(policy.protect(takes("10 millis")))
        yield* TestClock.adjust("10 millis")
        assert.strictEqual((yield* policy.stats()).adaptive?.state, "limited")
        yield* TestClock.adjust("10 millis")
        assert.strictEqual(yield* Fiber.join(waits), "ok")
        assert.strictEqual((yield* policy.stats()).running, 1)
      }).pipe(still)
    )
  }

  it.effect("permits alone, reported in time, leave a key free however long they are held", () =>
    Effect.gen(function* () {
      const policy = yield* make
      for (let i = 0; i < 60; i++) {
        yield* start(permit(policy, "succeed"))
        yield* TestClock.adjust("1 second")
      }
      const { adaptive, running } = yield* policy.stats()
      assert.deepStrictEqual([adaptive?.state, running], ["free", 60])
      assert.strictEqual(adaptive?.mean && Duration.toMillis(adaptive.mean), 10)
    }).pipe(still)
  )

  it.effect("a permit counts once, as it was reported: failures in a row pace, what is ignored says nothing", () =>
    Effect.gen(function* () {
      for (const [how, state] of [
        ["fail", "paced"],
        ["ignore", "free"]
      ] as const) {
        const policy = yield* make
        yield* healthy(policy)
        const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
        for (let i = 0; i < 10; i++) {
          fibers.push(yield* start(Effect.exit(permit(policy, how))))
          yield* TestClock.adjust("60 millis")
        }
        const before = (yield* policy.stats()).adaptive
        assert.deepStrictEqual([before?.state, before?.inFlight], [state, 0])
        yield* Effect.forEach(fibers, Fiber.interrupt)
        yield* settle
        const { adaptive, running } = yield* policy.stats()
        assert.deepStrictEqual([adaptive, running], [before, 0])
      }
    }).pipe(still)
  )

  it.effect("a stream that fails before its first element is a failure", () =>
    Effect.gen(function* () {
      const policy = yield* make
      yield* healthy(policy)
      for (let i = 0; i < 10; i++) {
        const exit = yield* Effect.exit(Stream.fromEffect(down).pipe(policy.protectStream, Stream.runDrain))
        assert.isTrue(Exit.isFailure(exit))
        yield* TestClock.adjust("60 millis")
      }
      const { adaptive } = yield* policy.stats()
      assert.deepStrictEqual([adaptive?.state, adaptive?.why?.trip], ["paced", "adaptive.failures"])
    }).pipe(still)
  )
})
