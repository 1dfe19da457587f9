import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policy, Retry, Transient, TripPolicy } from "effect-resilience"
import { Down, down, type Failure, ok, oneProbe, outcome } from "../support/dependency.ts"
import { start } from "../support/observe.ts"

const trip = TripPolicy.consecutive(1)

const failing = (millis: number): Effect.Effect<string, Failure> =>
  Effect.fail(new Down({ retryAfter: Duration.millis(millis) }))

/** How long a circuit that has just opened stays open, in milliseconds. */
const openFor = (options: CircuitBreaker.Options, call: Effect.Effect<string, Failure>) =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { trip, probes: oneProbe, ...options })
    yield* outcome(breaker.protect(call))
    const state = yield* breaker.state()
    return state._tag === "open" ? Duration.toMillis(state.retryAfter) : -1
  })

describe("the open time that the dependency asks for", () => {
  const spreadOf = (options: CircuitBreaker.Options, asked: number) =>
    Effect.gen(function* () {
      const times: Array<number> = []
      for (let i = 0; i < 100; i++) times.push(yield* openFor(options, failing(asked)))
      return [Math.min(...times), Math.max(...times)] as const
    })

  it.effect.each([
    ["20 % by default", {}, 0.2],
    ["the jitter of `openFor`, if it is less", { openFor: { initial: "1 second", jitter: 0.1 } }, 0.1],
    ["20 % with a larger one", { openFor: { initial: "1 second", jitter: 1 } }, 0.2],
    ["20 % with a Schedule, which sets no jitter", { openFor: Schedule.spaced("1 second") }, 0.2]
  ] as const)("keeps its spread: %s at most on top, and never less than asked", ([, options, share]) =>
    Effect.gen(function* () {
      const [least, most] = yield* spreadOf(options, 30_000)
      assert.isAtLeast(least, 30_000)
      assert.isBelow(least, 30_000 * (1 + share * 0.1))
      assert.isAtMost(most, 30_000 * (1 + share))
      assert.isAbove(most, 30_000 * (1 + share * 0.9))
    })
  )

  it.effect("keeps it at `maxRetryAfter`, too", () =>
    Effect.gen(function* () {
      const [least, most] = yield* spreadOf({ maxRetryAfter: "1 minute" }, 1e9)
      assert.isAtLeast(least, 60_000)
      assert.isAtMost(most, 72_000)
      assert.isAbove(most - least, 6000)
    })
  )
})

describe("openFor: Schedule.cron", () => {
  const minute = 60_000

  it.effect("is open until the next mark, at every opening in a row", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2026, 0, 5, 10, 20, 20))
      const breaker = yield* CircuitBreaker.make("users", {
        trip,
        probes: oneProbe,
        openFor: Schedule.cron("0,30 * * * *")
      })
      const left = Effect.map(breaker.state(), (state) =>
        state._tag === "open" ? Duration.toMillis(state.retryAfter) : -1
      )
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* left, 9 * minute + 40_000)
      yield* TestClock.adjust("14 minutes")
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* left, 25 * minute + 40_000, "from 10:34:20 to 11:00")
      yield* TestClock.adjust("26 minutes")
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* left, 29 * minute + 40_000, "from 11:00:20 to 11:30")
    })
  )
})

describe("a retry and a circuit that wait for the same moment meet", () => {
  const fractions = [20, 20.1, 0.3, 33.333333, 1 / 3, 1234.567891, 99.999999]

  it.effect.each(fractions)("of %s ms after a start at any fraction of a millisecond", (millis) =>
    Effect.gen(function* () {
      for (const from of [0, 0.1, 0.7, 1.000001, 77.123457, 1e7 + 0.3]) {
        yield* TestClock.adjust(Duration.millis(from))
        for (const asks of [true, false]) {
          const policy = yield* Policy.make("p", {
            retry: asks
              ? Schedule.recurs(1)
              : Schedule.spaced(Duration.millis(millis)).pipe(Schedule.upTo({ times: 1 })),
            breaker: { trip, openFor: { initial: Duration.millis(asks ? 0.001 : millis), jitter: 0 } }
          })
          let calls = 0
          const call = Effect.suspend(() => (calls++ > 0 ? ok : asks ? failing(millis) : down))
          const fiber = yield* start(outcome(policy.protect(call)))
          yield* TestClock.adjust(Duration.millis(millis))
          // What the dependency asks for keeps a spread of 20 %.
          yield* TestClock.adjust(asks ? 1 + 0.2 * millis : 1)
          assert.strictEqual(yield* Fiber.join(fiber), "ok", `from ${from}, ${asks ? "asked for" : "of the schedule"}`)
        }
      }
    })
  )

  it.effect.each([0, 0.2, 0.7, 1])("when the open time has a jitter of %s", (jitter) =>
    Effect.gen(function* () {
      for (let run = 0; run < 50; run++) {
        const policy = yield* Policy.make("p", {
          retry: Schedule.recurs(1),
          breaker: { trip, openFor: { initial: "1 second", jitter } }
        })
        let calls = 0
        const fiber = yield* start(outcome(policy.protect(Effect.suspend(() => (calls++ > 0 ? ok : failing(20_000))))))
        yield* TestClock.adjust("25 seconds")
        assert.strictEqual(yield* Fiber.join(fiber), "ok")
      }
    })
  )

  /** Composed by hand, each call with a circuit of its own that opens for what the dependency asks. */
  const byHand = (jitter: number, retry: (self: Effect.Effect<string, any>) => Effect.Effect<string, any>) =>
    Effect.gen(function* () {
      let met = 0
      for (let run = 0; run < 50; run++) {
        const breaker = yield* CircuitBreaker.make("users", { trip, openFor: { initial: "1 second", jitter } })
        let calls = 0
        const call = Effect.suspend(() => (calls++ > 0 ? ok : failing(20_000)))
        const fiber = yield* start(outcome(retry(call.pipe(breaker.protect))))
        yield* TestClock.adjust("25 seconds")
        if ((yield* Fiber.join(fiber)) === "ok") met += 1
      }
      return met
    })

  it.effect("composed by hand too, if the open time has no jitter; with a jitter of its own it may come later", () =>
    Effect.gen(function* () {
      const transient = Retry.transient(Schedule.recurs(1)) as (self: Effect.Effect<string, any>) => any
      assert.strictEqual(yield* byHand(0, transient), 50)
      const met = yield* byHand(0.2, transient)
      assert.isTrue(met > 0 && met < 50, `${met} of 50`)
    })
  )

  it.effect("with Effect.retry and a delay of at least the `retryAfter` of each error, rejections included", () =>
    Effect.gen(function* () {
      const patient = Schedule.recurs(5).pipe(
        Schedule.modifyDelay(({ duration, input }) =>
          Effect.succeed(Duration.max(duration, Transient.retryAfter(input) ?? Duration.zero))
        )
      )
      assert.strictEqual(yield* byHand(0.2, Effect.retry(patient)), 50)
    })
  )
})
