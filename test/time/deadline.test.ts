import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, type Event, Rejection, Timeout } from "effect-resilience"
import { Busy } from "../support/errors.ts"
import { ended, recording, start } from "../support/observe.ts"

const left = Effect.map(Deadline.remaining, Duration.toMillis)

const exceeded = (exit: Exit.Exit<unknown, unknown>): Rejection.DeadlineExceeded => {
  const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
  assert.instanceOf(error, Rejection.DeadlineExceeded)
  return error
}

describe("Deadline", () => {
  it.effect("travels in the fiber's context, into forked fibers too, and ends with the work", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* left, Infinity)
      const seen = yield* Effect.gen(function* () {
        const first = yield* left
        const forked = yield* Fiber.join(yield* Effect.forkChild(left))
        return [first, forked]
      }).pipe(Deadline.within("5 seconds"))
      assert.deepStrictEqual(seen, [5000, 5000])
      assert.strictEqual(yield* left, Infinity)
    })
  )

  it.effect("remaining falls with time, and never below zero", () =>
    Effect.gen(function* () {
      const work = Effect.gen(function* () {
        const seen = [yield* left]
        for (const wait of [1000, 1500, 9000]) {
          yield* Effect.sleep(wait)
          seen.push(yield* left)
        }
        return seen
      })
      const fiber = yield* start(work.pipe(Effect.uninterruptible, Deadline.within("3 seconds")))
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(ended(fiber), Exit.succeed([3000, 2000, 500, 0]))
    })
  )

  it.effect("inside another deadline it can only be earlier", () =>
    Effect.gen(function* () {
      const inside = (duration: Duration.Input) => left.pipe(Deadline.within(duration), Deadline.within("2 seconds"))
      assert.strictEqual(yield* inside("1 second"), 1000)
      assert.strictEqual(yield* inside("1 hour"), 2000)
      assert.strictEqual(yield* inside(Infinity), 2000)
    })
  )

  it.effect(
    "interrupts the work when it ends, waits for the work, and fails with an error that tells that the work had started",
    () =>
      Effect.gen(function* () {
        const work = Effect.onInterrupt(Effect.never, () => Effect.sleep("3 seconds"))
        const fiber = yield* start(work.pipe(Deadline.within("1 second", { name: "checkout" })))
        yield* TestClock.adjust("3999 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const error = exceeded(ended(fiber))
        const expected = { policy: "checkout", key: "default", deadline: Duration.seconds(1), started: true }
        assert.deepInclude({ ...error }, expected)
        assert.isFalse(Rejection.neverStarted(error))
        assert.isTrue(Rejection.is(error))
      })
  )

  it.effect("starts no work when no time is left, and fails with an error that tells so", () =>
    Effect.gen(function* () {
      let began = 0
      const work = Effect.sync(() => {
        began += 1
      })
      const none = exceeded(yield* Effect.exit(work.pipe(Deadline.within(0))))
      assert.isFalse(none.started)
      assert.isTrue(Rejection.neverStarted(none))
      const outlived = Effect.andThen(Effect.sleep("2 seconds"), Effect.exit(work.pipe(Deadline.within("1 hour"))))
      const fiber = yield* start(outlived.pipe(Effect.uninterruptible, Deadline.within("1 second")))
      yield* TestClock.adjust("2 seconds")
      const exit = ended(fiber)
      assert.isTrue(Exit.isSuccess(exit) && !exceeded(exit.value).started)
      assert.strictEqual(began, 0)
    })
  )

  it.effect("the outer one fires when it is earlier", () =>
    Effect.gen(function* () {
      const inner = Deadline.within("1 hour", { name: "inner" })
      const fiber = yield* start(Effect.never.pipe(inner, Deadline.within("1 second", { name: "outer" })))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(exceeded(ended(fiber)).policy, "outer")
    })
  )

  it.effect("fires before a longer timeout inside it, with its own error", () =>
    Effect.gen(function* () {
      const attempt = Effect.never.pipe(Timeout.after("1 second"), Effect.exit, Effect.repeat({ times: 9 }))
      const fiber = yield* start(attempt.pipe(Deadline.within("2500 millis")))
      yield* TestClock.adjust("2500 millis")
      exceeded(ended(fiber))
    })
  )

  it.effect("atLeast does not start work for which too little time is left", () =>
    Effect.gen(function* () {
      const query = Deadline.atLeast("200 millis", { name: "query" })(Effect.succeed("row"))
      assert.strictEqual(yield* query, "row")
      assert.strictEqual(yield* query.pipe(Deadline.within("200 millis")), "row")
      const error = exceeded(yield* Effect.exit(query.pipe(Deadline.within("199 millis"))))
      assert.deepInclude({ ...error }, { policy: "query", started: false, deadline: Duration.millis(199) })
      const shown = "query: the deadline of 199ms left no time to begin"
      assert.strictEqual(error.message, shown)
    })
  )

  it.effect("passes values, failures and defects on as they are", () =>
    Effect.gen(function* () {
      const busy = new Busy()
      const within = Deadline.within("1 second")
      assert.strictEqual(yield* within(Effect.succeed(1)), 1)
      assert.strictEqual(yield* Effect.flip(within(Effect.fail(busy))), busy)
      assert.isTrue(Exit.hasDies(yield* Effect.exit(Deadline.within(Effect.die("boom"), "1 second"))))
    })
  )

  it.effect("the parent's interruption reaches the work", () =>
    Effect.gen(function* () {
      let interrupted = false
      const work = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          interrupted = true
        })
      )
      const fiber = yield* start(work.pipe(Deadline.within("1 hour")))
      yield* Fiber.interrupt(fiber)
      assert.isTrue(interrupted)
    })
  )

  it.effect("emits one event per rejection and per interruption", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      yield* Deadline.within(Effect.void, "1 second")
      yield* Effect.exit(Deadline.within(Effect.void, 0, { name: "none" }))
      const fiber = yield* start(Effect.never.pipe(Deadline.within("1 second", { name: "cut" })))
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isFailure(ended(fiber)))
      const seen = events.map((event) =>
        event._tag === "Rejected" && event.rejection._tag === "DeadlineExceeded"
          ? [event.policy, event.rejection.started, event.at]
          : event._tag
      )
      assert.deepStrictEqual(seen, [
        ["none", false, 0],
        ["cut", true, 1000]
      ])
    }).pipe(recording(events))
  })

  for (const [duration, got] of [
    [-1, "-1"],
    [NaN, "NaN"],
    ["soon", '"soon"'],
    [undefined, "undefined"],
    [null, "null"],
    [true, "true"]
  ] as const) {
    it(`fails at construction: a duration of ${got}`, () => {
      const given = duration as unknown as Duration.Input
      const message = `Deadline.within: duration must be a duration of zero or more, such as "5 seconds", got ${got}`
      assert.throws(() => Deadline.within(given), RangeError, message)
      assert.throws(() => Deadline.within(Effect.void, given), RangeError, message)
      const least = `Deadline.atLeast: minimum must be a finite duration above zero, such as "5 seconds", got ${got}`
      assert.throws(() => Deadline.atLeast(given), RangeError, least)
    })
  }

  it("fails at construction: an empty name, and a minimum of zero", () => {
    assert.throws(() => Deadline.within("1 second", { name: "" }), RangeError, "Deadline.within: name must be")
    assert.throws(() => Deadline.atLeast("1 second", { name: "" }), RangeError, "Deadline.atLeast: name must be")
    assert.throws(
      () => Deadline.atLeast(0),
      RangeError,
      "Deadline.atLeast: minimum must be a finite duration above zero"
    )
  })

  it.effect("does not bind a detached fiber once the work it belongs to has ended", () =>
    Effect.gen(function* () {
      const later = Effect.andThen(Effect.sleep("1 minute"), Deadline.remaining)
      const fiber = yield* Effect.forkDetach(later).pipe(Deadline.within("1 second"))
      yield* TestClock.adjust("5 minutes")
      assert.isFalse(Duration.isFinite(yield* Fiber.join(fiber)))
    })
  )

  it.effect("leaves a detached fiber the outer deadline, while the outer work runs", () =>
    Effect.gen(function* () {
      const later = Effect.andThen(Effect.sleep("2 seconds"), Deadline.remaining)
      const inner = Effect.forkDetach(later).pipe(Deadline.within("1 second"))
      const outer = Effect.flatMap(inner, Fiber.join).pipe(Deadline.within("10 seconds"))
      const fiber = yield* start(outer)
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(Duration.toMillis(yield* Fiber.join(fiber)), 8000)
    })
  )

  it.effect("is not seen by detached work inside it", () =>
    Effect.gen(function* () {
      const left = yield* Deadline.remaining.pipe(Deadline.detached, Deadline.within("1 second"))
      assert.isFalse(Duration.isFinite(left))
    })
  )
})

it("`detached` refuses a value that is no effect", () => {
  const promise: unknown = Promise.resolve()
  assert.throws(
    () => Deadline.detached(promise as Effect.Effect<void>),
    RangeError,
    "Deadline.detached: the argument must be an Effect"
  )
})
