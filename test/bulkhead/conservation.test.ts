import { assert, describe, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Rejection } from "effect-resilience"
import { Busy } from "../support/errors.ts"
import { start } from "../support/observe.ts"

const one = Bulkhead.make("one", { maxConcurrent: 1, maxQueued: 2 })

const empty = (bulkhead: Bulkhead.Bulkhead) =>
  Effect.gen(function* () {
    const { running, waiting } = yield* bulkhead.state()
    assert.deepStrictEqual([running, waiting], [0, 0])
    yield* Effect.orDie(bulkhead.protect(Effect.void))
  })

describe("Bulkhead, permits are conserved", () => {
  it.effect("under interruption at every yield point", () =>
    Effect.gen(function* () {
      const swept = yield* Sweep.run({ setup: one, program: (one) => one.protect(Sweep.turns(3)), invariant: empty })
      assert.isAbove(swept.interrupted, 40)
    })
  )

  it.effect("under interruption at every yield point of a call that waits", () =>
    Effect.gen(function* () {
      let waited = 0
      const swept = yield* Sweep.run({
        setup: one,
        contender: (one) => Effect.andThen(one.protect(Sweep.turns(6)), Effect.void),
        program: (one) =>
          Effect.gen(function* () {
            if ((yield* one.state()).running === 1) waited += 1
            yield* one.protect(Sweep.turns(2))
          }),
        invariant: empty
      })
      assert.isAbove(swept.interrupted, 60)
      assert.isAbove(waited, 60)
    })
  )

  it.effect("under interruption at every yield point between two that wait", () =>
    Effect.gen(function* () {
      let served = 0
      yield* Sweep.run({
        setup: one,
        contender: (one) =>
          Effect.all([one.protect(Sweep.turns(3)), one.protect(Effect.sync(() => (served += 1)))], {
            concurrency: "unbounded"
          }),
        program: (one) => one.protect(Sweep.turns(1)),
        invariant: (one, { contended }) =>
          Effect.gen(function* () {
            assert.strictEqual(served, contended ? 1 : 0, "the other waiter was never woken")
            served = 0
            yield* empty(one)
          })
      })
    })
  )

  it.effect("under interruption while the bulkhead shrinks and grows", () =>
    Effect.gen(function* () {
      const swept = yield* Sweep.run({
        setup: Bulkhead.make("resized", { maxConcurrent: 2, maxQueued: 9 }),
        contender: (bulkhead) =>
          Effect.all(
            [
              bulkhead.protect(Sweep.turns(4)),
              bulkhead.protect(Sweep.turns(2)),
              bulkhead.protect(Sweep.turns(1)),
              Effect.andThen(Sweep.turns(1), bulkhead.resize(1)),
              Effect.andThen(Sweep.turns(5), bulkhead.resize(3)),
              Effect.andThen(Sweep.turns(7), bulkhead.resize(1))
            ],
            { concurrency: "unbounded" }
          ),
        program: (bulkhead) => bulkhead.protect(Sweep.turns(2)),
        invariant: empty
      })
      assert.isAbove(swept.interrupted, 20)
    })
  )

  it.effect("under a defect in the work (failsafe-go: a panic leaks a permit)", () =>
    Effect.gen(function* () {
      const bulkhead = yield* one
      const exit = yield* Effect.exit(bulkhead.protect(Effect.die("boom")))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      const thrown = Effect.sync((): number => {
        throw new Error("thrown")
      })
      yield* Effect.exit(bulkhead.protect(thrown))
      yield* empty(bulkhead)
    })
  )

  it.effect("under a failure, and a defect in a finalizer", () =>
    Effect.gen(function* () {
      const bulkhead = yield* one
      yield* Effect.exit(bulkhead.protect(Effect.fail(new Busy())))
      const exit = yield* Effect.exit(bulkhead.protect(Effect.ensuring(Effect.void, Effect.die("finalizer"))))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      yield* empty(bulkhead)
    })
  )

  it.effect("under interruption whose finalizer fails with a defect", () =>
    Effect.gen(function* () {
      const bulkhead = yield* one
      const fiber = yield* start(bulkhead.protect(Effect.never.pipe(Effect.onInterrupt(() => Effect.die("finalizer")))))
      yield* Fiber.interrupt(fiber)
      yield* empty(bulkhead)
    })
  )

  it.effect("when the work uses the same bulkhead again, and when the same effect runs twice at once", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("nested", { maxConcurrent: 1 })
      const inner = yield* Effect.flip(bulkhead.protect(bulkhead.protect(Effect.void)))
      assert.instanceOf(inner, Rejection.BulkheadFull)
      const call = bulkhead.protect(Effect.sleep("1 second"))
      const first = yield* start(call)
      assert.instanceOf(yield* Effect.flip(call), Rejection.BulkheadFull)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      yield* empty(bulkhead)
    })
  )

  it.effect("every waiter that is not interrupted is served, whichever others are interrupted", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("busy", { maxConcurrent: 3, maxQueued: 500 })
      let served = 0
      const work = Effect.andThen(
        Effect.sleep("10 millis"),
        Effect.sync(() => {
          served += 1
        })
      )
      const fibers: Array<Fiber.Fiber<void, Rejection.BulkheadFull>> = []
      for (let i = 0; i < 300; i++) fibers.push(yield* start(bulkhead.protect(work)))
      for (let i = 0; i < 300; i += 3) yield* Fiber.interrupt(fibers[i]!)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(served, 200)
      assert.deepStrictEqual(yield* bulkhead.state(), { running: 0, waiting: 0, maxConcurrent: 3 })
    })
  )
})
