import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Deadline, type Event, Rejection, Timeout } from "effect-resilience"
import { Busy } from "../support/errors.ts"
import { ended, recording, start } from "../support/observe.ts"

const second = Effect.sleep("1 second")

const full = (exit: Exit.Exit<unknown, unknown>): Rejection.BulkheadFull => {
  const error = Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail" ? exit.cause.reasons[0].error : undefined
  assert.instanceOf(error, Rejection.BulkheadFull)
  return error
}

describe("Bulkhead, the queue", () => {
  it.effect("rejects at once without a queue, with the numbers of running and waiting calls", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 2 })
      yield* start(bulkhead.protect(second))
      yield* start(bulkhead.protect(second))
      const error = full(yield* Effect.exit(bulkhead.protect(Effect.void)))
      assert.deepInclude({ ...error }, { policy: "db", key: "default", reason: "full", running: 2, waiting: 0 })
      assert.strictEqual(error.message, "db: the bulkhead is full (2 running, 0 waiting)")
      assert.isTrue(Rejection.neverStarted(error))
    })
  )

  it.effect("rejects the call for which the queue has no room, and no other", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 2 })
      const fibers: Array<Fiber.Fiber<void, Rejection.BulkheadFull>> = []
      for (let i = 0; i < 4; i++) fibers.push(yield* start(bulkhead.protect(second)))
      assert.deepInclude({ ...full(ended(fibers[3]!)) }, { reason: "full", running: 1, waiting: 2 })
      yield* TestClock.adjust("3 seconds")
      assert.deepStrictEqual(
        fibers.map((fiber) => Exit.isSuccess(ended(fiber))),
        [true, true, true, false]
      )
    })
  )

  it.effect("a waiter whose maxWait is over leaves the queue at once", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 1, maxWait: "500 millis" })
      yield* start(bulkhead.protect(second))
      const waiter = yield* start(bulkhead.protect(Effect.void))
      yield* TestClock.adjust("499 millis")
      assert.isUndefined(waiter.pollUnsafe())
      assert.strictEqual((yield* bulkhead.state()).waiting, 1)
      yield* TestClock.adjust("1 millis")
      assert.deepInclude({ ...full(ended(waiter)) }, { reason: "wait", running: 1, waiting: 0 })
      assert.strictEqual((yield* bulkhead.state()).waiting, 0)
      const next = yield* start(bulkhead.protect(Effect.void))
      yield* TestClock.adjust("500 millis")
      assert.isTrue(Exit.isSuccess(ended(next)), "its place was taken by nobody")
    })
  )

  it.effect("a permit that comes in the same instant as the end of maxWait is not lost", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 1, maxWait: "1 second" })
      yield* start(bulkhead.protect(second))
      const waiter = yield* start(bulkhead.protect(Effect.succeed("in")))
      yield* TestClock.adjust("1 second")
      // Either answer is right, as long as the permit is there for the next.
      assert.isDefined(waiter.pollUnsafe())
      assert.deepStrictEqual(yield* bulkhead.state(), { running: 0, waiting: 0, maxConcurrent: 1 })
      yield* bulkhead.protect(Effect.void)
    })
  )

  it.effect("maxWait 0 rejects at once although there is a queue", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 5, maxWait: 0 })
      yield* start(bulkhead.protect(second))
      assert.strictEqual(full(yield* Effect.exit(bulkhead.protect(Effect.void))).reason, "full")
    })
  )

  it.effect("a waiter whose deadline ends leaves the queue at once", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 1, maxWait: "1 minute" })
      yield* start(bulkhead.protect(second))
      let began = false
      const work = Effect.sync(() => {
        began = true
      })
      const waiter = yield* start(work.pipe(bulkhead.protect, Deadline.within("300 millis")))
      yield* TestClock.adjust("299 millis")
      assert.strictEqual((yield* bulkhead.state()).waiting, 1)
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Exit.isFailure(ended(waiter)))
      assert.strictEqual((yield* bulkhead.state()).waiting, 0)
      assert.isFalse(began)
    })
  )

  it.effect("a call whose deadline has ended is rejected when no permit is free", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 1 })
      yield* start(bulkhead.protect(Effect.sleep("1 minute")))
      // Work that outlives its deadline because it cannot be interrupted.
      const late = yield* Effect.andThen(second, Effect.exit(bulkhead.protect(Effect.void))).pipe(
        Effect.uninterruptible,
        Deadline.within("500 millis"),
        start
      )
      yield* TestClock.adjust("2 seconds")
      const exit = ended(late)
      assert.isTrue(Exit.isSuccess(exit))
      if (Exit.isSuccess(exit)) assert.strictEqual(full(exit.value).reason, "deadline")
    })
  )

  it.effect("an interrupted waiter leaves the queue at once, and those behind it move up", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 3 })
      yield* start(bulkhead.protect(second))
      const order: Array<number> = []
      const waiters: Array<Fiber.Fiber<number, Rejection.BulkheadFull>> = []
      for (const who of [1, 2, 3]) waiters.push(yield* start(bulkhead.protect(Effect.sync(() => order.push(who)))))
      yield* Fiber.interrupt(waiters[1]!)
      assert.strictEqual((yield* bulkhead.state()).waiting, 2)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(order, [1, 3])
    })
  )

  it.effect("waits without limit when neither maxWait nor a deadline is set", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 1 })
      yield* start(bulkhead.protect(Effect.sleep("400 days")))
      const waiter = yield* start(bulkhead.protect(Effect.succeed("patient")))
      yield* TestClock.adjust("399 days")
      assert.isUndefined(waiter.pollUnsafe())
      yield* TestClock.adjust("1 day")
      assert.deepStrictEqual(ended(waiter), Exit.succeed("patient"))
    })
  )

  it.effect("each key has its own permits", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1 })
      const on = bulkhead.fn((_host: string) => second, { key: (host) => host })
      yield* start(on("a"))
      const b = yield* start(on("b"))
      assert.strictEqual(full(yield* Effect.exit(on("a"))).key, "a")
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isSuccess(ended(b)))
      assert.deepStrictEqual(yield* bulkhead.state("never used"), { running: 0, waiting: 0, maxConcurrent: 1 })
    })
  )

  it.effect("a key with a held permit or a waiter is never removed (cockatiel, idle keys)", () =>
    Effect.gen(function* () {
      const keys = { maxKeys: 2, idleTimeToLive: "1 second" } as const
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, keys })
      yield* start(Effect.sleep("1 hour").pipe(bulkhead.protect({ key: "held" })))
      for (let i = 0; i < 50; i++) {
        yield* Effect.void.pipe(bulkhead.protect({ key: `passing ${i}` }))
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(full(yield* Effect.exit(Effect.void.pipe(bulkhead.protect({ key: "held" })))).running, 1)
    })
  )

  it.effect("releases the permit of work that timed out only when the work has ended", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1 })
      const stubborn = Effect.never.pipe(Effect.onInterrupt(() => Effect.sleep("10 seconds")))
      const call = yield* start(stubborn.pipe(Timeout.after("1 second"), bulkhead.protect))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual((yield* bulkhead.state()).running, 1)
      assert.isUndefined(call.pollUnsafe())
      yield* TestClock.adjust("6 seconds")
      assert.strictEqual((yield* bulkhead.state()).running, 0)
      assert.isTrue(Exit.isFailure(ended(call)))
    })
  )

  it.effect("emits one event per rejection, to its own stream and to the program's hub", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 1, maxWait: "1 second" })
      const own = yield* start(Stream.runCollect(Stream.take(bulkhead.events, 2)))
      yield* TestClock.adjust(0)
      yield* start(bulkhead.protect(Effect.never))
      const waiter = yield* start(bulkhead.protect(Effect.void))
      yield* Effect.exit(bulkhead.protect(Effect.void))
      yield* TestClock.adjust("1 second")
      yield* Fiber.await(waiter)
      const reasons = (all: Iterable<Event.Event>) =>
        Array.from(all, (event) =>
          event._tag === "Rejected" && event.rejection._tag === "BulkheadFull"
            ? [event.policy, event.rejection.reason, event.at]
            : event._tag
        )
      const expected = [
        ["db", "full", 0],
        ["db", "wait", 1000]
      ]
      assert.deepStrictEqual(reasons(events), expected)
      assert.deepStrictEqual(reasons(yield* Fiber.join(own)), expected)
    }).pipe(recording(events))
  })

  it.effect("a listener may use the bulkhead that it listens to", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1 })
      const seen = bulkhead.events.pipe(
        Stream.mapEffect(() => Effect.exit(bulkhead.protect(Effect.succeed("called")))),
        Stream.take(2),
        Stream.runCollect
      )
      const listener = yield* start(seen)
      yield* TestClock.adjust(0)
      const held = yield* start(bulkhead.protect(second))
      yield* Effect.exit(bulkhead.protect(Effect.fail(new Busy())))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(held)
      yield* start(bulkhead.protect(second))
      yield* Effect.exit(bulkhead.protect(Effect.void))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(Array.from(yield* Fiber.join(listener)).length, 2)
    })
  )
})
