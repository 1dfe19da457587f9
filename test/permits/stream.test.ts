/** `protectStream`: one call per run of a stream, with its permit for the stream's life and its outcome from the stream's end. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Deadline, Policy, type Timeout, TripPolicy } from "effect-resilience"
import { Down, down, listen, settle, start, touchy, Wrong } from "../policy/support.ts"
import { breaks, make, numbers, script, silent } from "./support.ts"

describe("protectStream of a bulkhead", () => {
  it.effect("holds a permit from the first pull to the end", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("events", { maxConcurrent: 1 })
      const running = Effect.map(bulkhead.state(), (state) => state.running)
      const stream = numbers.pipe(bulkhead.protectStream)
      assert.strictEqual(yield* running, 0)
      const seen = yield* stream.pipe(
        Stream.mapEffect(() => running),
        Stream.runCollect
      )
      assert.deepStrictEqual(seen, [1, 1, 1])
      assert.strictEqual(yield* running, 0)
      assert.deepStrictEqual(yield* Stream.runCollect(stream), [1, 2, 3], "each run is a call of its own")
    })
  )

  it.effect("rejects a stream when no permit is free, and runs nothing of it", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("events", { maxConcurrent: 1 })
      const { counts, stream } = script(numbers)
      const holder = yield* start(Stream.runDrain(silent.pipe(bulkhead.protectStream)))
      const full = yield* Effect.flip(Stream.runDrain(stream.pipe(bulkhead.protectStream({}))))
      assert.strictEqual(full._tag, "BulkheadFull")
      assert.strictEqual(counts.openings, 0)
      yield* Stream.runDrain(stream.pipe(bulkhead.protectStream({ key: "another" })))
      yield* Fiber.interrupt(holder)
      assert.deepInclude(yield* bulkhead.state(), { running: 0 })
    })
  )

  it.effect("releases the permit after what the stream holds", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("events", { maxConcurrent: 1 })
      const order: Array<number> = []
      const note = Effect.map(bulkhead.state(), ({ running }) => order.push(running))
      const held = Stream.scoped(
        Stream.concat(Stream.fromEffect(Effect.acquireRelease(Effect.void, () => note)), numbers)
      )
      const stream = held.pipe(bulkhead.protectStream)
      yield* Stream.runDrain(stream)
      yield* Stream.runDrain(Stream.take(stream, 1))
      yield* Effect.exit(Stream.runForEach(stream, () => Effect.fail("stop")))
      assert.deepStrictEqual(order, [1, 1, 1])
    })
  )
})

describe("the outcome of a protected stream", () => {
  const ends = [
    { how: "ends", run: Stream.runDrain, stream: numbers, counts: "successes" },
    { how: "has no elements", run: Stream.runDrain, stream: Stream.empty as typeof numbers, counts: "successes" },
    {
      how: "is closed early by its consumer",
      run: (self: typeof numbers) => Stream.runDrain(Stream.take(self, 1)),
      stream: breaks,
      counts: "successes"
    },
    {
      how: "has a consumer that fails",
      run: (self: typeof numbers) => Stream.runForEach(self, () => Effect.fail("consumer")),
      stream: numbers,
      counts: "successes"
    },
    { how: "fails before an element", run: Stream.runDrain, stream: Stream.fail(new Down()), counts: "failures" },
    { how: "fails after an element", run: Stream.runDrain, stream: breaks, counts: "failures" },
    {
      how: "dies after an element",
      run: Stream.runDrain,
      stream: Stream.concat(numbers, Stream.die("bug")),
      counts: "failures"
    },
    {
      how: "fails with a permanent error",
      run: Stream.runDrain,
      stream: Stream.concat(numbers, Stream.fail(new Wrong() as never)),
      counts: "successes"
    },
    {
      how: "is interrupted",
      run: (self: typeof numbers) =>
        Effect.flatMap(start(Stream.runDrain(self)), (fiber) => Effect.andThen(settle, Fiber.interrupt(fiber))),
      stream: Stream.concat(numbers, silent),
      counts: "ignored"
    },
    {
      how: "is interrupted before an element",
      run: (self: typeof numbers) =>
        Effect.flatMap(start(Stream.runDrain(self)), (fiber) => Effect.andThen(settle, Fiber.interrupt(fiber))),
      stream: silent,
      counts: "ignored"
    }
  ] as const

  for (const { counts, how, run, stream } of ends) {
    it.effect(`that ${how}: ${counts}`, () =>
      Effect.gen(function* () {
        const policy = yield* make
        const breaker = yield* CircuitBreaker.make("events", touchy)
        // The types of these runs differ in what they fail with.
        const by = run as (self: Stream.Stream<number, unknown>) => Effect.Effect<unknown, unknown>
        yield* Effect.exit(by(stream.pipe(policy.protectStream({ retry: false }))))
        const { running, totals, waiting } = yield* policy.stats()
        assert.deepStrictEqual([running, waiting], [0, 0])
        assert.deepInclude(totals, { calls: 1, successes: 0, failures: 0, ignored: 0, [counts]: 1 })
        yield* Effect.exit(by(stream.pipe(breaker.protectStream)))
        assert.strictEqual((yield* breaker.state())._tag, counts === "failures" ? "open" : "closed")
      })
    )
  }

  it.effect("an open circuit rejects a stream, and runs nothing of it", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("events", touchy)
      const { counts, stream } = script(breaks)
      yield* Effect.exit(Stream.runDrain(stream.pipe(breaker.protectStream)))
      const open = yield* Effect.flip(Stream.runDrain(stream.pipe(breaker.protectStream)))
      assert.strictEqual(open._tag, "CircuitOpen")
      assert.deepStrictEqual(counts, { openings: 1, open: 0 })
    })
  )

  it.effect("the first element of a probe closes the circuit, however long the stream lives", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("events", touchy)
      const policy = yield* Policy.make("events", { breaker: touchy })
      const subjects: ReadonlyArray<
        readonly [(self: Stream.Stream<number, Down>) => Stream.Stream<number, unknown>, Effect.Effect<unknown>]
      > = [
        [(self) => self.pipe(breaker.protectStream), Effect.map(breaker.state(), (state) => state._tag)],
        [(self) => self.pipe(policy.protectStream), Effect.map(policy.stats(), ({ circuit }) => circuit?._tag)]
      ]
      for (const [protect, tag] of subjects) {
        yield* Effect.exit(Stream.runDrain(protect(Stream.fail(new Down()))))
        yield* TestClock.adjust("5 seconds")
        const events = yield* Queue.unbounded<number, Down>()
        const fiber = yield* start(Stream.runDrain(protect(Stream.fromQueue(events))))
        assert.strictEqual(yield* tag, "half-open")
        yield* Queue.offer(events, 1)
        yield* settle
        assert.strictEqual(yield* tag, "closed")
        yield* Queue.fail(events, new Down())
        yield* Fiber.await(fiber)
        assert.strictEqual(yield* tag, "closed", "its end belongs to an older generation")
      }
      assert.deepInclude((yield* policy.stats()).totals, { failures: 2, successes: 0 })
    })
  )

  it.effect("a stream is as slow as its first element", () =>
    Effect.gen(function* () {
      const trip = TripPolicy.slowCallRate({ slowerThan: "1 second", threshold: 0.5, minimumCalls: 1 })
      const policy = yield* Policy.make("events", { breaker: { ...touchy, trip } })
      const breaker = yield* CircuitBreaker.make("events", { ...touchy, trip })
      const first = (after: Duration.Input) =>
        Stream.concat(
          Stream.fromEffect(Effect.delay(Effect.succeed(1), after)),
          Stream.fromEffect(Effect.sleep("1 hour"))
        )
      const tags = Effect.all([
        Effect.map(policy.stats(), ({ circuit }) => circuit?._tag),
        Effect.map(breaker.state(), (state) => state._tag)
      ])
      const run = (after: Duration.Input) =>
        Effect.gen(function* () {
          const stream: Stream.Stream<unknown, Down> = first(after)
          const fibers = [
            yield* start(Stream.runDrain(stream.pipe(policy.protectStream))),
            yield* start(Stream.runDrain(stream.pipe(breaker.protectStream)))
          ]
          yield* TestClock.adjust(Duration.sum(Duration.fromInputUnsafe(after), Duration.hours(1)))
          yield* Fiber.joinAll(fibers)
        })
      yield* run("100 millis")
      assert.deepStrictEqual(yield* tags, ["closed", "closed"])
      assert.isBelow(Duration.toMillis((yield* policy.stats()).recent.latency?.p99 ?? 0), 200)
      yield* run("2 seconds")
      assert.deepStrictEqual(yield* tags, ["open", "open"])
    })
  )

  it.effect("an ignored failure is an event, and a deadline around a live stream is no failure", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("events", { breaker: { ...touchy, ignore: ["Down"] }, timeout: "1 second" })
      const heard = yield* listen(policy.events)
      const failing: Stream.Stream<number, Down | Timeout.TimedOut> = breaks
      yield* Effect.exit(Stream.runDrain(failing.pipe(policy.protectStream({ ignore: ["Down"] }))))
      yield* settle
      assert.deepStrictEqual(
        heard.map((event) => event._tag),
        ["FailureIgnored"]
      )
      const live = Stream.concat(numbers, silent).pipe(policy.protectStream({ classify: () => "failure" }))
      const fiber = yield* start(Effect.exit(Stream.runDrain(live).pipe(Deadline.within("1 minute"))))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      assert.deepInclude((yield* policy.stats()).totals, { ignored: 2, failures: 0 })
    })
  )
})

describe("protectStream of a service class", () => {
  class Events extends Policy.Service<Events>()("app/Events", { breaker: {}, bulkhead: { maxConcurrent: 1 } }) {}
  class Seats extends Bulkhead.Service<Seats>()("app/Seats", { maxConcurrent: 1 }) {}
  class Feed extends CircuitBreaker.Service<Feed>()("app/Feed", {}) {}

  it.effect("finds its policy when the stream is run, in both forms", () =>
    Effect.gen(function* () {
      const all = numbers.pipe(
        Seats.protectStream,
        Feed.protectStream({ key: "a" }),
        Events.protectStream({ key: "b" })
      )
      assert.deepStrictEqual(yield* Stream.runCollect(all), [1, 2, 3])
      assert.deepStrictEqual(yield* Stream.runCollect(numbers.pipe(Events.protectStream)), [1, 2, 3])
      assert.deepInclude((yield* Events.stats("b")).totals, { successes: 1 })
      assert.deepStrictEqual(
        (yield* Feed.states).map(({ key }) => key),
        ["a"]
      )
    }).pipe(Effect.provide([Events.layer, Seats.layer, Feed.layer]))
  )

  it("checks its argument and its options when they are given", () => {
    const loose: (arg: unknown) => unknown = Seats.protectStream as never
    assert.throws(
      () => loose(Effect.void),
      "Bulkhead.protectStream app/Seats: the argument must be a Stream or options"
    )
    assert.throws(() => loose({ kay: "a" }), "Bulkhead.protectStream app/Seats: there is no option kay; there are key")
    assert.throws(
      () => (loose({}) as typeof loose)(down),
      "Bulkhead.protectStream app/Seats: the argument must be a Stream"
    )
    assert.throws(
      () => Events.protectStream({ retry: true as never }),
      `Policy.protectStream app/Events: retry must be false or "unprocessed", got true`
    )
  })
})
