/** `protectStream` of a policy before the first element: retries, timeout and deadline. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Fallback, Policy, Retry } from "effect-resilience"
import { Down, pauses, settle, start } from "../policy/support.ts"
import { breaks, make, numbers, script, silent } from "./support.ts"

describe("protectStream of a policy: before the first element", () => {
  it.effect(
    "a stream that fails is opened again, what it had opened closed before, without a permit in the delay",
    () =>
      Effect.gen(function* () {
        const policy = yield* make
        const { counts, stream } = script(Stream.fail(new Down()), Stream.fail(new Down()), numbers)
        const fiber = yield* start(Stream.runCollect(stream.pipe(policy.protectStream)))
        yield* settle
        assert.deepStrictEqual(counts, { openings: 1, open: 0 })
        assert.deepInclude(yield* policy.stats(), { running: 0 })
        yield* TestClock.adjust("300 millis")
        assert.deepStrictEqual(yield* Fiber.join(fiber), [1, 2, 3])
        assert.deepStrictEqual(counts, { openings: 3, open: 0 })
        assert.deepInclude((yield* policy.stats()).totals, { calls: 1, retries: 2, failures: 2, successes: 1 })
      })
  )

  it.effect(
    "the error that the retry gave up on is exhausted, as is one after an element, which is never retried",
    () =>
      Effect.gen(function* () {
        for (const failing of [Stream.fail(new Down()), breaks]) {
          const policy = yield* make
          const { counts, stream } = script(failing)
          const run = Stream.runDrain(stream.pipe(policy.protectStream))
          // A retry that does not see the type: the mark is on the cause too.
          const widened = run as Effect.Effect<void, Down>
          const fiber = yield* start(
            widened.pipe(
              Retry.transient(pauses(3)),
              Fallback.orElse(() => Effect.succeed("exhausted"), { when: "any" })
            )
          )
          yield* TestClock.adjust("10 seconds")
          assert.strictEqual(yield* Fiber.join(fiber), "exhausted")
          assert.strictEqual(counts.openings, failing === breaks ? 1 : 3)
        }
      })
  )

  it.effect("the timeout applies to each opening up to the first element, and to nothing after it", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const { counts, stream } = script(
        silent,
        Stream.concat(Stream.make(1), Stream.fromEffect(Effect.as(Effect.sleep("1 hour"), 2)))
      )
      const fiber = yield* start(Stream.runCollect(stream.pipe(policy.protectStream)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(counts, { openings: 1, open: 0 })
      yield* TestClock.adjust("2 hours")
      assert.deepStrictEqual(yield* Fiber.join(fiber), [1, 2])
      assert.deepInclude((yield* policy.stats()).totals, { timeouts: 1, failures: 1, successes: 1 })
    })
  )

  it.effect("the deadline covers waits, openings and delays up to the first element, and nothing after it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("events", {
        deadline: "2 seconds",
        bulkhead: { maxConcurrent: 1, maxQueued: 1 }
      })
      const late = yield* start(Effect.flip(Stream.runDrain(silent.pipe(policy.protectStream))))
      const queued = yield* start(Effect.flip(Stream.runDrain(numbers.pipe(policy.protectStream))))
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude(yield* Fiber.join(late), { _tag: "DeadlineExceeded", started: true })
      assert.deepInclude(yield* Fiber.join(queued), { _tag: "DeadlineExceeded", started: false })
      const long = Stream.concat(numbers, Stream.fromEffect(Effect.as(Effect.sleep("1 hour"), 4)))
      const fiber = yield* start(Stream.runCollect(long.pipe(policy.protectStream)))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* Fiber.join(fiber), [1, 2, 3, 4])
    })
  )

  it.effect("what runs beside the stream after the first element sees no deadline of the opening", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("events", { deadline: "2 seconds" })
      const left = Stream.fromEffect(Effect.map(Deadline.remaining, String))
      const [before, after] = yield* Stream.runCollect(Stream.concat(left, left).pipe(policy.protectStream))
      assert.notStrictEqual(before, after)
      assert.strictEqual(after, yield* Effect.map(Deadline.remaining, String))
    })
  )

  it.effect("a stream in a fiber of the opening lives on after it: buffers, merges", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const ticks = Stream.tick("1 second").pipe(Stream.take(5))
      const merged: Stream.Stream<unknown, Down> = Stream.merge(ticks, ticks).pipe(Stream.buffer({ capacity: 2 }))
      const fiber = yield* start(Stream.runCollect(merged.pipe(policy.protectStream)))
      yield* TestClock.adjust("10 seconds")
      assert.lengthOf(yield* Fiber.join(fiber), 10)
    })
  )

  it.effect("a budget pays for openings", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("events", { retry: pauses(9), budget: { ratio: 0.5, initial: 1, capacity: 1 } })
      const { counts, stream } = script(Stream.fail(new Down()))
      const fiber = yield* start(Effect.exit(Stream.runDrain(stream.pipe(policy.protectStream))))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.strictEqual(counts.openings, 2)
    })
  )

  it.effect('retry: false and retry: "unprocessed" hold for a stream as for an effect', () =>
    Effect.gen(function* () {
      for (const retry of [false, "unprocessed"] as const) {
        const policy = yield* make
        const { counts, stream } = script(Stream.fail(new Down()), numbers)
        const exit = yield* Effect.exit(Stream.runDrain(stream.pipe(policy.protectStream({ retry }))))
        assert.deepStrictEqual(Exit.isFailure(exit), true)
        assert.strictEqual(counts.openings, 1)
      }
    })
  )
})
