import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, type Event, Policies, RateLimit, Rejection } from "effect-resilience"
import { ended, recording, start } from "../support/observe.ts"
import { refusal } from "../support/refusal.ts"

const limited = (exit: Exit.Exit<unknown, unknown>): Rejection.RateLimited => {
  const error = Exit.isFailure(exit) && exit.cause.reasons[0]?._tag === "Fail" ? exit.cause.reasons[0].error : undefined
  assert.instanceOf(error, Rejection.RateLimited)
  return error
}

const tokens = (rate: RateLimit.RateLimit, key?: string) => Effect.map(rate.state(key), (state) => state.tokens)

describe("RateLimit", () => {
  it.effect("rejects the call for which no token is left, and says when the next one comes", () =>
    Effect.gen(function* () {
      const rate = yield* RateLimit.make("geo", { limit: 2, window: "1 second" })
      assert.deepStrictEqual(
        yield* Effect.all([rate.protect(Effect.succeed(1)), rate.protect(Effect.succeed(2))]),
        [1, 2]
      )
      yield* TestClock.adjust("100 millis")
      const error = limited(yield* Effect.exit(rate.protect(Effect.void)))
      assert.deepInclude({ ...error }, { policy: "geo", key: "default", reason: "limit", limit: 2 })
      assert.strictEqual(Duration.toMillis(error.retryAfter), 400)
      assert.strictEqual(
        error.message,
        "geo: the rate limit of 2 calls per 1s is reached; the next call can start in 400ms"
      )
      assert.isTrue(Rejection.is(error))
      assert.isTrue(Rejection.neverStarted(error))
      assert.isUndefined(error.stack)
      yield* TestClock.adjust("399 millis")
      limited(yield* Effect.exit(rate.protect(Effect.void)))
      yield* TestClock.adjust("1 millis")
      yield* rate.protect(Effect.void)
    })
  )

  it.effect(
    "calls wait for their turn in the order of arrival, and one that would come too late is rejected at once",
    () =>
      Effect.gen(function* () {
        const rate = yield* RateLimit.make("geo", { limit: 2, window: "1 second", maxWait: "1 second" })
        const order: Array<number> = []
        const call = (n: number) => start(rate.protect(Effect.sync(() => order.push(n))))
        const calls = yield* Effect.forEach([0, 1, 2, 3, 4], call)
        assert.deepStrictEqual(order, [0, 1])
        const late = limited(ended(calls[4]!))
        assert.strictEqual(late.reason, "wait")
        assert.strictEqual(Duration.toMillis(late.retryAfter), 1500)
        assert.strictEqual((yield* rate.state()).waiting, 2)
        yield* TestClock.adjust("499 millis")
        assert.deepStrictEqual(order, [0, 1])
        yield* TestClock.adjust("1 millis")
        assert.deepStrictEqual(order, [0, 1, 2])
        yield* TestClock.adjust("500 millis")
        assert.deepStrictEqual(order, [0, 1, 2, 3])
        assert.strictEqual((yield* rate.state()).waiting, 0)
      })
  )

  it.effect("a call that leaves the queue makes room for those behind it", () =>
    Effect.gen(function* () {
      const rate = yield* RateLimit.make("geo", { limit: 1, window: "1 second", maxWait: "2 seconds" })
      yield* rate.protect(Effect.void)
      const first = yield* start(rate.protect(Effect.void))
      const second = yield* start(rate.protect(Effect.void))
      limited(yield* Effect.exit(rate.protect(Effect.void)))
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isSuccess(ended(second)))
      assert.strictEqual(yield* tokens(rate), 0)
    })
  )

  it.effect("a call that is interrupted between its token and its start returns the token", () =>
    Effect.gen(function* () {
      const rate = yield* RateLimit.make("geo", { limit: 1, window: "1 second", burst: 1, maxWait: "2 seconds" })
      yield* rate.protect(Effect.void)
      let ran = 0
      const calls = yield* Effect.forEach([1, 2], () => start(rate.protect(Effect.sync(() => ran++))))
      // At the same moment: the token of the first is granted, and its fiber has not gone on.
      yield* Effect.andThen(Effect.sleep("1 second"), Fiber.interrupt(calls[0]!)).pipe(
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 second")
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isSuccess(ended(calls[1]!)))
      assert.isAtMost(ran, 2)
      assert.strictEqual((yield* rate.state()).waiting, 0)
    })
  )

  it.effect("no call waits past its deadline", () =>
    Effect.gen(function* () {
      const rate = yield* RateLimit.make("geo", { limit: 1, window: "1 second", maxWait: "5 seconds" })
      yield* rate.protect(Effect.void)
      const error = limited(
        yield* Effect.exit(
          rate.protect(Effect.void).pipe(Deadline.within("900 millis"), Effect.sandbox, Effect.catch(Effect.failCause))
        )
      )
      assert.strictEqual(error.reason, "deadline")
      assert.match(error.message, /the next call can start in 1s, which is after the deadline$/)
      assert.strictEqual((yield* rate.state()).waiting, 0)
    })
  )

  it.effect("keys have tokens of their own, and one that lacks some is not dropped", () =>
    Effect.gen(function* () {
      const rate = yield* RateLimit.make("geo", {
        limit: 1,
        window: "1 hour",
        keys: { maxKeys: 2, idleTimeToLive: "1 second" }
      })
      yield* rate.protect({ key: "a" })(Effect.void)
      yield* TestClock.adjust("1 minute")
      for (const key of ["b", "c", "d"]) yield* Effect.exit(rate.protect({ key })(Effect.void))
      limited(yield* Effect.exit(rate.protect({ key: "a" })(Effect.void)))
      // What has no room shares one key.
      assert.deepStrictEqual(
        (yield* rate.allStats).map(({ key }) => key),
        ["a", "b", "(overflow)"]
      )
    })
  )

  it.effect("counts calls and rejections, and emits an event for each rejection", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      const rate = yield* RateLimit.make("geo", { limit: 1, window: "1 second" })
      yield* rate.protect(Effect.void)
      const error = yield* Effect.flip(rate.protect(Effect.void))
      const stats = yield* rate.stats()
      assert.strictEqual(stats.totals.calls, 2)
      assert.deepStrictEqual(stats.totals.rejections, {
        CircuitOpen: 0,
        BulkheadFull: 0,
        RateLimited: 1,
        DeadlineExceeded: 0
      })
      assert.deepInclude(stats.rateLimit!, { limit: 1, burst: 1, tokens: 0, waiting: 0 })
      assert.deepStrictEqual(
        events.map((event) => event._tag === "Rejected" && event.rejection),
        [error]
      )
    }).pipe(recording(events))
  })

  it.effect("a stream takes one token, and so does `take`", () =>
    Effect.gen(function* () {
      const rate = yield* RateLimit.make("feed", { limit: 2, window: "1 second" })
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.make(1, 2, 3).pipe(rate.protectStream)), [1, 2, 3])
      assert.strictEqual(yield* tokens(rate), 1)
      yield* rate.take()
      assert.strictEqual((yield* Effect.flip(rate.take()))._tag, "RateLimited")
    })
  )

  it.effect("`admitted` waits for a token, and takes none", () =>
    Effect.gen(function* () {
      const rate = yield* RateLimit.make("geo", { limit: 1, window: "1 second" })
      yield* rate.admitted()
      yield* rate.take()
      const watcher = yield* start(rate.admitted())
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(watcher.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Exit.isSuccess(ended(watcher)))
      assert.strictEqual(yield* tokens(rate), 1)
    })
  )

  it.effect("`admitted` resumes with the next token when the calls before it have left the queue", () =>
    Effect.gen(function* () {
      const rate = yield* RateLimit.make("geo", { limit: 1, window: "1 second", maxWait: "1 minute" })
      yield* rate.take()
      const calls = yield* Effect.forEach([1, 2, 3, 4], () => start(rate.take()))
      const watcher = yield* start(rate.admitted())
      yield* TestClock.adjust("100 millis")
      yield* Fiber.interruptAll(calls)
      yield* TestClock.adjust("899 millis")
      assert.isUndefined(watcher.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isTrue(Exit.isSuccess(ended(watcher)))
    })
  )

  it.effect("a restore rejects the waiting calls whose tokens come too late by it, and continues the others", () =>
    Effect.gen(function* () {
      const options = { limit: 1, window: "1 second", burst: 3, maxWait: "1500 millis" } as const
      const empty = yield* RateLimit.make("geo", options)
      yield* Effect.replicateEffect(empty.take(), 3)
      const snapshot = yield* empty.snapshot
      const rate = yield* RateLimit.make("geo2", options)
      yield* Effect.replicateEffect(rate.take(), 3)
      yield* TestClock.adjust("900 millis")
      const calls = yield* Effect.forEach([1, 2], () => start(Effect.exit(rate.take())))
      yield* rate.restore({ ...snapshot, at: snapshot.at + 900 })
      yield* Effect.yieldNow
      const second = ended(calls[1]!)
      assert.strictEqual(Exit.isSuccess(second) && limited(second.value).reason, "wait")
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.isSuccess(ended(calls[0]!)))
      assert.deepInclude(yield* rate.state(), { waiting: 0 })
    })
  )

  it.effect(
    "`set` keeps the tokens; waiting calls go on by the new limit, and those that it makes too late are rejected",
    () =>
      Effect.gen(function* () {
        const rate = yield* RateLimit.make("geo", { limit: 1, window: "1 second", maxWait: "3 seconds" })
        yield* rate.take()
        const calls = yield* Effect.forEach([1, 2, 3], () => start(Effect.exit(rate.take())))
        yield* rate.control.set({ limit: 2, burst: 1 })
        yield* TestClock.adjust("500 millis")
        assert.isTrue(Exit.isSuccess(ended(calls[0]!)))
        yield* rate.control.set({ limit: 1, window: "2 seconds" })
        yield* Effect.yieldNow
        const third = ended(calls[2]!)
        assert.strictEqual(Exit.isSuccess(third) && limited(third.value).reason, "wait")
        yield* TestClock.adjust("2 seconds")
        assert.isTrue(Exit.isSuccess(ended(calls[1]!)))
        assert.deepInclude(yield* rate.state(), { limit: 1, burst: 1, waiting: 0 })
      })
  )

  it.effect("a snapshot keeps what was taken, and time away returns it", () =>
    Effect.gen(function* () {
      const options = { limit: 10, window: "10 seconds" } as const
      const rate = yield* RateLimit.make("geo", options)
      yield* Effect.replicateEffect(rate.take(), 8)
      const snapshot = yield* rate.snapshot
      assert.deepStrictEqual(snapshot.keys, [{ key: "default", tokens: 2 }])
      yield* TestClock.adjust("3 seconds")
      const next = yield* RateLimit.make("geo2", options)
      yield* next.restore(snapshot)
      assert.strictEqual(yield* tokens(next), 5)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual((yield* next.snapshot).keys, [])
    })
  )

  it.effect("is found by its name, and its layer reads its options from the environment", () =>
    Effect.gen(function* () {
      class Geo extends RateLimit.Service<Geo>()("test/RateLimitGeo", { limit: 1, window: "1 second" }) {}
      const program = Effect.gen(function* () {
        yield* Geo.take()
        yield* Geo.take()
        assert.strictEqual((yield* Effect.flip(Geo.take()))._tag, "RateLimited")
        const entry = Option.getOrThrow(yield* Policies.find("test/RateLimitGeo"))
        assert.strictEqual(entry.kind, "RateLimit")
        assert.deepInclude(entry.settings, { limit: 2, window: 60_000, burst: 2, maxWait: 0 })
      })
      const provider = ConfigProvider.fromUnknown({ GEO: { limit: "2", window: "1 minute" } })
      yield* program.pipe(
        Effect.provide(Geo.layerConfig("GEO")),
        Effect.provideService(ConfigProvider.ConfigProvider, provider)
      )
    })
  )

  const wrong: ReadonlyArray<readonly [options: unknown, text: string]> = [
    [{}, "RateLimit geo: limit must be an integer in [1, 9007199254740991], got undefined"],
    [{ limit: 0, window: 1 }, "RateLimit geo: limit must be an integer in [1, 9007199254740991], got 0"],
    [{ limit: 1 }, 'RateLimit geo: window must be a finite duration above zero, such as "5 seconds", got undefined'],
    [{ limit: 1, window: 0 }, "RateLimit geo: window must be a finite duration above zero"],
    [{ limit: 1, window: 1, burst: 0.5 }, "RateLimit geo: burst must be an integer in [1, 9007199254740991], got 0.5"],
    [{ limit: 1, window: 1, maxWait: Infinity }, "RateLimit geo: maxWait must be a finite duration of zero or more"],
    [{ limit: 1, window: 1, tokens: 1 }, "RateLimit geo: there is no option tokens"]
  ]
  for (const [options, text] of wrong) {
    it(`refuses ${JSON.stringify(options)}`, () => {
      assert.include(
        refusal(() => RateLimit.make("geo", options as RateLimit.Options)),
        text
      )
    })
  }
})
