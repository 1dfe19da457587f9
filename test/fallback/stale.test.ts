import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/testing/TestClock"
import { type Event, StaleFallback } from "effect-resilience"
import { Busy, Denied } from "../support/errors.ts"
import { recording, start } from "../support/observe.ts"

const down = Effect.fail(new Busy()) as Effect.Effect<number, Busy>

const minute = { maxAge: "1 minute", when: "any" } as const

describe("StaleFallback", () => {
  it.effect("replaces a failure by the last successful value of its key", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", minute)
      const tea = prices.protect({ key: "tea" })
      assert.strictEqual(yield* tea(Effect.succeed(41)), 41)
      assert.strictEqual(yield* tea(Effect.succeed(42)), 42)
      yield* Effect.succeed(7).pipe(prices.protect({ key: "milk" }))
      assert.strictEqual(yield* tea(down), 42)
      assert.strictEqual(yield* down.pipe(prices.protect({ key: "milk" })), 7)
      assert.isTrue(Exit.isFailure(yield* Effect.exit(prices.protect(down))), "nothing was kept for this key")
    })
  )

  it.effect("keeps undefined and null as the values they are", () =>
    Effect.gen(function* () {
      const kept = yield* StaleFallback.make<undefined | null>("kept", minute)
      for (const value of [undefined, null]) {
        yield* kept.protect(Effect.succeed(value))
        assert.strictEqual(yield* kept.protect(Effect.fail(new Busy())), value)
      }
    })
  )

  it.effect("a value is used up to its maximum age, and not after", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", minute)
      yield* prices.protect(Effect.succeed(42))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* prices.protect(down), 42)
      yield* TestClock.adjust("1 millis")
      assert.instanceOf(yield* Effect.flip(prices.protect(down)), Busy)
    })
  )

  it.effect("using a value does not reset its age", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", minute)
      yield* prices.protect(Effect.succeed(42))
      for (let i = 0; i < 4; i++) {
        yield* TestClock.adjust("15 seconds")
        assert.strictEqual(yield* prices.protect(down), 42)
      }
      yield* TestClock.adjust("15 seconds")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(prices.protect(down))))
    })
  )

  it.effect("a value is used for ever with an infinite maximum age", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", { maxAge: Infinity, when: "any" })
      yield* prices.protect(Effect.succeed(42))
      yield* TestClock.adjust("9000 days")
      assert.strictEqual(yield* prices.protect(down), 42)
    })
  )

  it.effect("keeps no more than maxKeys, and drops an older value for a newer", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", { ...minute, maxKeys: 3 })
      for (let i = 0; i < 5; i++) {
        yield* Effect.succeed(i).pipe(prices.protect({ key: `${i}` }))
        yield* TestClock.adjust("1 second")
      }
      const found: Array<number> = []
      for (let i = 0; i < 5; i++) {
        const exit = yield* Effect.exit(down.pipe(prices.protect({ key: `${i}` })))
        if (Exit.isSuccess(exit)) found.push(i)
      }
      assert.deepStrictEqual(found, [2, 3, 4])
    })
  )

  it.effect("removes a key on request", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", minute)
      yield* prices.protect(Effect.succeed(1))
      yield* Effect.succeed(2).pipe(prices.protect({ key: "tea" }))
      yield* prices.forget()
      assert.isTrue(Exit.isFailure(yield* Effect.exit(prices.protect(down))))
      assert.strictEqual(yield* down.pipe(prices.protect({ key: "tea" })), 2)
      yield* prices.forget("tea")
      assert.isTrue(Exit.isFailure(yield* Effect.exit(down.pipe(prices.protect({ key: "tea" })))))
    })
  )

  const slow = (value: number, time: Duration.Input) => Effect.delay(Effect.succeed(value), time)

  it.effect("keeps the answer that was asked for last, in whatever order the answers come", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", minute)
      yield* start(prices.protect(slow(1, "10 seconds")))
      yield* start(prices.protect(slow(2, "3 seconds")))
      yield* start(slow(3, "1 second").pipe(prices.protect({ key: "tea" })))
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* prices.protect(down), 2)
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(yield* prices.protect(down), 2, "1 was asked for before 2")
      assert.strictEqual(yield* down.pipe(prices.protect({ key: "tea" })), 3)
      assert.strictEqual(yield* prices.protect(slow(4, 0)), 4)
      assert.strictEqual(yield* prices.protect(down), 4)
    })
  )

  it.effect("a call that began before its key was forgotten stores nothing, and one that begins later does", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", { ...minute, maxKeys: 2 })
      for (const key of ["a", "b", "c"]) yield* start(slow(1, "10 seconds").pipe(prices.protect({ key })))
      yield* TestClock.adjust("5 seconds")
      for (const key of ["a", "b", "c"]) yield* prices.forget(key)
      const kept = (key: string) => Effect.map(Effect.exit(down.pipe(prices.protect({ key }))), Exit.isSuccess)
      yield* start(slow(2, "1 second").pipe(prices.protect({ key: "a" })))
      yield* TestClock.adjust("1 second")
      assert.isTrue(yield* kept("a"))
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* down.pipe(prices.protect({ key: "a" })), 2)
      assert.deepStrictEqual([yield* kept("b"), yield* kept("c")], [false, false])
    })
  )

  it.effect("one protected effect may run many times at once", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", minute)
      let asked = 0
      const call = prices.protect(Effect.suspend(() => slow(++asked, 1000 - 100 * asked)))
      for (let i = 0; i < 5; i++) yield* start(call)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* prices.protect(down), 5)
    })
  )

  it.effect("by default replaces rejections and exhausted errors only; defects and interruption never", () =>
    Effect.gen(function* () {
      const plain = yield* StaleFallback.make<number>("plain", { maxAge: "1 minute" })
      const any = yield* StaleFallback.make<number>("any", minute)
      const some = yield* StaleFallback.make<number>("some", {
        maxAge: "1 minute",
        when: (e: unknown) => e instanceof Busy
      })
      for (const fallback of [plain, any, some]) yield* fallback.protect(Effect.succeed(1))
      const succeeds = (fallback: StaleFallback.StaleFallback<number>, work: Effect.Effect<number, Busy | Denied>) =>
        Effect.map(Effect.exit(fallback.protect(work)), Exit.isSuccess)
      const denied = Effect.fail(new Denied())
      assert.deepStrictEqual([yield* succeeds(plain, down), yield* succeeds(plain, denied)], [false, false])
      assert.deepStrictEqual([yield* succeeds(any, down), yield* succeeds(any, denied)], [true, true])
      assert.deepStrictEqual([yield* succeeds(some, down), yield* succeeds(some, denied)], [true, false])
      for (const fallback of [plain, any, some]) {
        assert.isFalse(yield* succeeds(fallback, Effect.die("boom")))
        assert.isFalse(yield* succeeds(fallback, Effect.interrupt))
      }
    })
  )

  it.effect("each fallback from make, and each layer, has its own values", () =>
    Effect.gen(function* () {
      const make = StaleFallback.make<number>("prices", minute)
      const [one, two] = [yield* make, yield* make]
      yield* one.protect(Effect.succeed(1))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(two.protect(down))))
      class Rates extends StaleFallback.Service<Rates, number>()("app/Rates", minute) {}
      const twice = Effect.andThen(Rates.protect(Effect.succeed(3)), Rates.protect(down))
      assert.strictEqual(yield* twice.pipe(Effect.provide(Rates.layer)), 3)
      const forgotten = Effect.andThen(Rates.forget(), Rates.protect(down)).pipe(Effect.provide(Rates.layer))
      assert.isTrue(Exit.isFailure(yield* Effect.exit(forgotten)))
    })
  )

  it.effect("emits FallbackUsed", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      const prices = yield* StaleFallback.make<number>("prices", minute)
      yield* Effect.exit(down.pipe(prices.protect({ key: "tea" })))
      yield* Effect.succeed(1).pipe(prices.protect({ key: "tea" }))
      yield* down.pipe(prices.protect({ key: "tea" }))
      assert.strictEqual(events.length, 1)
      assert.deepInclude({ ...events[0] }, { _tag: "FallbackUsed", policy: "prices", key: "tea" })
    }).pipe(recording(events))
  })

  const bad: ReadonlyArray<readonly [options: unknown, message: string]> = [
    [{ maxAge: 0 }, 'maxAge must be a duration above zero, such as "5 seconds", got 0'],
    [{ maxAge: "old" }, 'maxAge must be a duration above zero, such as "5 seconds", got "old"'],
    [{}, 'maxAge must be a duration above zero, such as "5 seconds", got undefined'],
    [{ maxAge: "1 day", maxKeys: 0 }, "maxKeys must be an integer >= 1, got 0"],
    [{ maxAge: "1 day", maxKeys: "9" }, 'maxKeys must be an integer >= 1, got "9"'],
    [{ maxAge: "1 day", when: "all" }, 'when must be "rejected", "neverStarted", "any" or a predicate, got "all"']
  ]
  for (const [options, message] of bad) {
    it(`fails at construction: ${message}`, () => {
      const given = options as StaleFallback.Options
      assert.throws(() => StaleFallback.make("prices", given), RangeError, `StaleFallback prices: ${message}`)
      assert.throws(
        () => StaleFallback.Service<never, number>()("prices", given),
        RangeError,
        `StaleFallback prices: ${message}`
      )
    })
  }

  it("fails at construction: an empty name", () => {
    assert.throws(() => StaleFallback.make("", minute), RangeError, "StaleFallback: name must be a non-empty string")
  })
})
