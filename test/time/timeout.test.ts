import { assert, describe, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, type Event, Rejection, Timeout, Transient } from "effect-resilience"
import { Busy } from "../support/errors.ts"
import { ended, recording, start } from "../support/observe.ts"

const errorOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined

const tags = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? exit.cause.reasons.map((reason) => reason._tag) : ["Success"]

const limited = Timeout.after("1 second")

const seconds = (n: number) => Effect.sleep(Duration.seconds(n))

describe("Timeout", () => {
  it.effect("does not change work that ends in time", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* limited(Effect.succeed("now")), "now")
      const fiber = yield* start(limited(Effect.as(Effect.sleep("999 millis"), "just")))
      yield* TestClock.adjust("999 millis")
      assert.deepStrictEqual(ended(fiber), Exit.succeed("just"))
      const busy = new Busy()
      assert.strictEqual(yield* Effect.flip(Timeout.after(Effect.fail(busy), "1 second")), busy)
    })
  )

  it.effect("interrupts the work when the time is over, and fails with TimedOut", () =>
    Effect.gen(function* () {
      let interrupted = false
      const work = Effect.onInterrupt(Effect.never, () =>
        Effect.sync(() => {
          interrupted = true
        })
      )
      const fiber = yield* start(work.pipe(Timeout.after("1 second", { name: "users" })))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isTrue(interrupted)
      const error = errorOf(ended(fiber))
      assert.instanceOf(error, Timeout.TimedOut)
      assert.deepInclude({ ...error }, { policy: "users", key: "default", after: Duration.seconds(1) })
      assert.isTrue(Transient.is(error))
      assert.isFalse(Transient.isUnprocessed(error))
      assert.isFalse(Rejection.is(error))
    })
  )

  it.effect(
    "fails only after the interrupted work has ended (opossum: the permit was free while the work went on)",
    () =>
      Effect.gen(function* () {
        const fiber = yield* start(limited(Effect.onInterrupt(Effect.never, () => seconds(10))))
        yield* TestClock.adjust("10 seconds")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 second")
        assert.instanceOf(errorOf(ended(fiber)), Timeout.TimedOut)
      })
  )

  it.effect(
    "a success of uninterruptible work is returned although the timeout has fired, so that it is not retried",
    () =>
      Effect.gen(function* () {
        const commit = yield* start(limited(Effect.uninterruptible(Effect.as(seconds(5), "committed"))))
        const cleaned = yield* start(
          limited(Effect.ensuring(Effect.as(Effect.sleep("900 millis"), "answer"), seconds(3)))
        )
        yield* TestClock.adjust("2 seconds")
        assert.isUndefined(commit.pollUnsafe())
        yield* TestClock.adjust("5 seconds")
        assert.deepStrictEqual(ended(commit), Exit.succeed("committed"))
        assert.deepStrictEqual(ended(cleaned), Exit.succeed("answer"))
      })
  )

  it.effect("work that goes on after an uninterruptible region is interrupted at its end", () =>
    Effect.gen(function* () {
      let after = 0
      const work = Effect.andThen(
        Effect.uninterruptible(seconds(5)),
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => (after += 1)),
            seconds(1)
          )
        )
      )
      const fiber = yield* start(limited(work))
      yield* TestClock.adjust("4999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.instanceOf(errorOf(ended(fiber)), Timeout.TimedOut)
      const before = after
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(after, before)
    })
  )

  it.effect("a typed failure during interruption is the failure of the call, without the interruption", () =>
    Effect.gen(function* () {
      const busy = new Busy()
      const inRegion = yield* start(limited(Effect.uninterruptible(Effect.andThen(seconds(2), Effect.fail(busy)))))
      const inFinalizer = yield* start(limited(Effect.onInterrupt(Effect.never, () => Effect.fail(busy))))
      yield* TestClock.adjust("5 seconds")
      for (const fiber of [inRegion, inFinalizer]) {
        const exit = ended(fiber)
        assert.deepStrictEqual(tags(exit), ["Fail"])
        assert.strictEqual(errorOf(exit), busy)
      }
    })
  )

  it.effect("a defect in a finalizer is reported, without the interruption", () =>
    Effect.gen(function* () {
      const fiber = yield* start(limited(Effect.ensuring(Effect.never, Effect.die("finalizer"))))
      yield* TestClock.adjust("1 second")
      const exit = ended(fiber)
      assert.deepStrictEqual(tags(exit), ["Die"])
      assert.strictEqual(errorOf(exit), "finalizer")
    })
  )

  it.effect("work that interrupts itself is not reported as timed out", () =>
    Effect.gen(function* () {
      const fiber = yield* start(limited(Effect.andThen(Effect.sleep("10 millis"), Effect.interrupt)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(tags(ended(fiber)), ["Interrupt"])
    })
  )

  it.effect("of two, the shorter one fires, whichever is outside", () =>
    Effect.gen(function* () {
      const short = Timeout.after("1 second", { name: "short" })
      const long = Timeout.after("5 seconds", { name: "long" })
      for (const both of [Effect.never.pipe(short, long), Effect.never.pipe(long, short)]) {
        const fiber = yield* start(both)
        yield* TestClock.adjust("1 second")
        assert.deepInclude({ ...(errorOf(ended(fiber)) as object) }, { policy: "short" })
        yield* TestClock.adjust("10 seconds")
      }
    })
  )

  it.effect("the parent's interruption reaches the work, and waits for it", () =>
    Effect.gen(function* () {
      const steps: Array<string> = []
      const note = (step: string) => Effect.sync(() => steps.push(step))
      const work = Effect.onInterrupt(Effect.never, () => Effect.andThen(seconds(2), note("work ended")))
      const fiber = yield* start(Timeout.after(work, "1 minute"))
      const interrupting = yield* start(Effect.andThen(Fiber.interrupt(fiber), note("interrupted")))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(steps, [])
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(steps, ["work ended", "interrupted"])
      assert.isTrue(Exit.hasInterrupts(ended(fiber)))
    })
  )

  it.effect("leaves no work behind when it is interrupted at any yield point", () =>
    Effect.gen(function* () {
      const swept = yield* Sweep.run({
        setup: Effect.sync(() => ({ running: 0 })),
        program: (state) =>
          Effect.acquireUseRelease(
            Effect.sync(() => (state.running += 1)),
            () => Sweep.turns(3),
            () => Effect.sync(() => (state.running -= 1))
          ).pipe(limited),
        invariant: (state) => Effect.sync(() => assert.strictEqual(state.running, 0))
      })
      assert.isAbove(swept.interrupted, 20)
    })
  )

  it.effect("leaves no timer behind", () =>
    Effect.gen(function* () {
      const clock = yield* TestClock.testClockWith(Effect.succeed)
      let sleeping = 0
      const watched = {
        ...clock,
        sleep: (duration: Duration.Duration) =>
          Effect.acquireUseRelease(
            Effect.sync(() => (sleeping += 1)),
            () => clock.sleep(duration),
            () => Effect.sync(() => (sleeping -= 1))
          )
      }
      const work = limited(Effect.andThen(Effect.yieldNow, Effect.void))
      yield* work.pipe(Effect.provideService(Clock.Clock, watched))
      assert.strictEqual(sleeping, 0)
      const fiber = yield* start(limited(Effect.never).pipe(Effect.provideService(Clock.Clock, watched)))
      assert.strictEqual(sleeping, 1)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(sleeping, 0)
    })
  )

  it.effect("may be infinite, or longer than a timer can be set for (2^31 ms)", () =>
    Effect.gen(function* () {
      const forever = yield* start(Effect.as(Effect.sleep("900 days"), "late").pipe(Timeout.after(Infinity)))
      const long = yield* start(Effect.never.pipe(Timeout.after("60 days")))
      yield* TestClock.adjust("59 days")
      assert.isUndefined(long.pollUnsafe())
      yield* TestClock.adjust("1 day")
      assert.instanceOf(errorOf(ended(long)), Timeout.TimedOut)
      yield* TestClock.adjust("840 days")
      assert.deepStrictEqual(ended(forever), Exit.succeed("late"))
    })
  )

  it.live("on the live clock one longer than 2^31 ms does not fire at once, and a short one does", () =>
    Effect.gen(function* () {
      const work = Effect.as(Effect.sleep(20), "done")
      assert.strictEqual(yield* work.pipe(Timeout.after("60 days")), "done")
      assert.strictEqual(yield* work.pipe(Timeout.after(Infinity)), "done")
      assert.strictEqual(yield* work.pipe(Timeout.after("1 minute")), "done")
      const [elapsed, error] = yield* Effect.timed(Effect.flip(Effect.never.pipe(Timeout.after(10))))
      assert.instanceOf(error, Timeout.TimedOut)
      assert.isBelow(Duration.toMillis(elapsed), 5000)
    })
  )

  it.effect("is the deadline of what runs inside, and no later than the one outside", () =>
    Effect.gen(function* () {
      const left = Effect.map(Deadline.remaining, Duration.toMillis)
      assert.strictEqual(yield* left.pipe(limited), 1000)
      assert.strictEqual(yield* left.pipe(Timeout.after("1 minute"), limited), 1000)
      assert.strictEqual(yield* left.pipe(Timeout.after(Infinity)), Infinity)
      assert.strictEqual(yield* Effect.andThen(limited(Effect.void), left), Infinity)
    })
  )

  it.effect("emits TimedOut when it fires, and no other event", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      yield* limited(Effect.void)
      const fiber = yield* start(Effect.never.pipe(Timeout.after("2 seconds", { name: "slow" })))
      yield* TestClock.adjust("2 seconds")
      assert.isTrue(Exit.isFailure(ended(fiber)))
      assert.deepStrictEqual(events, [
        { _tag: "TimedOut", policy: "slow", key: "default", at: 2000, after: Duration.seconds(2) }
      ])
    }).pipe(recording(events))
  })

  for (const [duration, got] of [
    [0, "0"],
    [-1, "-1"],
    [NaN, "NaN"],
    ["soon", '"soon"'],
    [undefined, "undefined"],
    [null, "null"],
    [true, "true"]
  ] as const) {
    it(`fails at construction: a duration of ${got}`, () => {
      const message = `Timeout.after: duration must be a duration above zero, such as "5 seconds", got ${got}`
      assert.throws(() => Timeout.after(duration as unknown as Duration.Input), RangeError, message)
      assert.throws(() => Timeout.after(Effect.void, duration as unknown as Duration.Input), RangeError, message)
    })
  }

  it("fails at construction: an empty name", () => {
    const make = () => Timeout.after("1 second", { name: "" })
    assert.throws(make, RangeError, 'Timeout.after: name must be a non-empty string, got ""')
  })
})
