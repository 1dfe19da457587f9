import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Event, Hedge } from "effect-resilience"
import { Down, hang, listen, script, settle, start, takes } from "../policy/support.ts"

describe("Hedge.after", () => {
  it.effect("starts a second attempt after the delay, and takes the first success", () =>
    Effect.gen(function* () {
      const dependency = script(takes("1 minute"), Effect.as(takes("5 millis"), "second"))
      const fiber = yield* start(dependency.call.pipe(Hedge.after("20 millis")))
      yield* TestClock.adjust("19 millis")
      assert.strictEqual(dependency.calls, 1)
      yield* TestClock.adjust("6 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "second")
      assert.strictEqual(dependency.calls, 2)
    })
  )

  it.effect("waits for the other attempt when one fails, and fails with the last failure", () =>
    Effect.gen(function* () {
      const fails = (after: number) => Effect.delay(Effect.fail(new Down()), after)
      const one = yield* start(script(fails(30), takes("50 millis")).call.pipe(Hedge.after("20 millis")))
      yield* TestClock.adjust("70 millis")
      assert.strictEqual(yield* Fiber.join(one), "ok")
      const both = yield* start(Effect.flip(script(fails(30), fails(30)).call.pipe(Hedge.after("20 millis"))))
      yield* TestClock.adjust("50 millis")
      assert.instanceOf(yield* Fiber.join(both), Down)
    })
  )

  it.effect("starts at most one hedge for ten calls", () =>
    Effect.gen(function* () {
      const hedged = Hedge.after("20 millis")
      let attempts = 0
      const work = Effect.suspend(() => {
        attempts += 1
        return takes("30 millis")
      })
      for (let i = 0; i < 40; i++) {
        yield* takes("0 millis").pipe(hedged)
        const fiber = yield* start(work.pipe(hedged))
        yield* TestClock.adjust("50 millis")
        yield* Fiber.join(fiber)
      }
      assert.isAtMost(attempts, 40 + 1 + 8)
      assert.isAtLeast(attempts, 42)
    })
  )

  it.effect("learns the delay from the effects that it runs", () =>
    Effect.gen(function* () {
      const hedged = Hedge.after("p95")
      for (let i = 0; i < 40; i++) {
        const fiber = yield* start(takes("10 millis").pipe(hedged))
        yield* TestClock.adjust("10 millis")
        yield* Fiber.join(fiber)
      }
      const dependency = script(takes("1 minute"), Effect.as(takes("5 millis"), "second"))
      yield* TestClock.adjust("1 second")
      const fiber = yield* start(dependency.call.pipe(hedged))
      // Twice 11 ms, and the 5 of the second attempt.
      yield* TestClock.adjust("27 millis")
      assert.strictEqual(yield* Fiber.join(fiber), "second")
    })
  )

  it.effect("interrupts both attempts with the call", () =>
    Effect.gen(function* () {
      let ended = 0
      const work = hang.pipe(
        Effect.onInterrupt(() =>
          Effect.sync(() => {
            ended += 1
          })
        )
      )
      const fiber = yield* start(work.pipe(Hedge.after("20 millis")))
      yield* TestClock.adjust("20 millis")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(ended, 2)
    })
  )

  it.effect("closes what the loser acquired, also when it succeeds after all", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      let number = 0
      const work = Effect.suspend(() => {
        const me = ++number
        const opened = Effect.acquireRelease(Effect.succeed(me), () =>
          Effect.sync(() => {
            log.push(`closed ${me}`)
          })
        )
        return Effect.as(
          Effect.andThen(
            opened,
            me === 1 ? Effect.uninterruptible(Effect.sleep("100 millis")) : Effect.sleep("10 millis")
          ),
          me
        )
      })
      yield* Effect.scoped(
        Effect.gen(function* () {
          const fiber = yield* start(work.pipe(Hedge.after("20 millis")))
          yield* TestClock.adjust("100 millis")
          assert.strictEqual(yield* Fiber.join(fiber), 2)
          assert.deepStrictEqual(log, ["closed 1"])
        })
      )
      assert.deepStrictEqual(log, ["closed 1", "closed 2"])
    })
  )

  it.effect("keeps no scope of a call that has acquired nothing", () =>
    Effect.scoped(
      Effect.gen(function* () {
        const scope = yield* Effect.scope
        const hedged = Hedge.after("20 millis")
        for (let i = 0; i < 3; i++) yield* takes("0 millis").pipe(hedged)
        assert.strictEqual(scope.state._tag === "Open" ? (scope.state.finalizers?.size ?? 0) : 0, 0)
      })
    )
  )

  it.effect("emits its hedges under its name", () =>
    Effect.gen(function* () {
      const heard = yield* listen(Event.stream)
      const call = script(takes("1 minute"), takes("1 millis")).call.pipe(Hedge.after("20 millis", { name: "search" }))
      const fiber = yield* start(call)
      yield* TestClock.adjust("30 millis")
      yield* Fiber.join(fiber)
      yield* settle
      assert.deepInclude(heard[0], { _tag: "Hedged", policy: "search", result: "won" })
    }).pipe(Effect.provideService(Event.CurrentHub, Event.makeHub()))
  )

  it("refuses options out of range", () => {
    assert.throws(() => Hedge.after("0 millis"), /Hedge.after: after must be above zero|RangeError|must be/)
    assert.throws(
      () => Hedge.after("p0"),
      /after must be a duration above zero, or a percentage such as "p95", got "p0"/
    )
    assert.throws(() => Hedge.after("p100"), RangeError)
    assert.throws(() => Hedge.after("20 millis", { ratio: 0 }), /ratio must be a number in \(0, 1\], got 0/)
    assert.throws(() => Hedge.after("20 millis", { name: "" }), RangeError)
  })
})
