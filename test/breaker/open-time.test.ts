import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { Down, down, type Failure, ok, oneProbe, outcome, reasons, strict, tagOf, trip } from "../support/dependency.ts"

type AnyBreaker = CircuitBreaker.CircuitBreaker<CircuitBreaker.Options>

/** How long an open circuit still stays open, in milliseconds. */
const left = (breaker: AnyBreaker) =>
  Effect.map(breaker.state(), (state) => (state._tag === "open" ? Duration.toMillis(state.retryAfter) : -1))

/** The open times of so many openings in a row, each one's probe failing at once. */
const openTimes = (breaker: AnyBreaker, openings: number) =>
  Effect.gen(function* () {
    const times: Array<number> = []
    for (let i = 0; i < openings; i++) {
      yield* outcome(breaker.protect(down))
      const time = yield* left(breaker)
      times.push(time)
      yield* TestClock.adjust(Duration.millis(time))
    }
    return times
  })

const failing = (retryAfter: Duration.Duration): Effect.Effect<string, Failure> => Effect.fail(new Down({ retryAfter }))

const options = { trip: TripPolicy.consecutive(1), probes: oneProbe } as const

describe("open time over openings in a row", () => {
  const cases: Array<[string, CircuitBreaker.Options["openFor"], Array<number>]> = [
    [
      "with a factor of 2 doubles to a minute",
      { initial: "5 seconds", factor: 2, jitter: 0 },
      [5000, 10_000, 20_000, 40_000, 60_000, 60_000]
    ],
    ["grows by its factor to its max", { initial: 100, factor: 3, max: "1 second", jitter: 0 }, [100, 300, 900, 1000]],
    ["does not grow with a factor of 1", { initial: 100, factor: 1, jitter: 0 }, [100, 100, 100]],
    ["does not grow by default", { initial: "5 seconds", jitter: 0 }, [5000, 5000, 5000]],
    [
      "an initial time above a minute is its own max",
      { initial: "2 minutes", factor: 2, jitter: 0 },
      [120_000, 120_000]
    ],
    ["and without growth, too", { initial: "2 minutes", jitter: 0 }, [120_000, 120_000]]
  ]
  it.effect.each(cases)("%s", ([, openFor, expected]) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...options, openFor })
      assert.deepStrictEqual(yield* openTimes(breaker, expected.length), expected)
    })
  )

  it.effect("is 50 milliseconds plus or minus 20 % by default, at first", () =>
    Effect.gen(function* () {
      const breakers = yield* Effect.replicateEffect(CircuitBreaker.make("users", options), 200)
      const times = yield* Effect.forEach(breakers, (breaker) =>
        Effect.andThen(outcome(breaker.protect(down)), left(breaker))
      )
      assert.isAtLeast(Math.min(...times), 40)
      assert.isAtMost(Math.max(...times), 60)
      const mean = times.reduce((sum, time) => sum + time, 0) / times.length
      assert.closeTo(mean, 50, 2.5)
    }).pipe(Random.withSeed("nothing said"))
  )

  it.effect("stays finite after a thousand openings", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        openFor: { initial: 1, factor: 1000, jitter: 0 }
      })
      const times = yield* openTimes(breaker, 1000)
      assert.strictEqual(times.at(-1), 60_000)
    })
  )
})

describe("the count of openings in a row restarts after the circuit was closed for as long as its last open time", () => {
  const reopened = (healthyFor: Duration.Input) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        openFor: { initial: "5 seconds", factor: 2, jitter: 0 }
      })
      yield* openTimes(breaker, 2)
      yield* outcome(breaker.protect(ok))
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* TestClock.adjust(healthyFor)
      const { openings } = yield* breaker.state()
      yield* outcome(breaker.protect(down))
      return { openings, time: yield* left(breaker) }
    })

  it.effect("after a shorter closed time the open time goes on growing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* reopened("9999 millis"), { openings: 2, time: 20_000 })
    })
  )

  it.effect("after a closed time of that length the open time starts at its initial value", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* reopened("10 seconds"), { openings: 0, time: 5000 })
    })
  )
})

describe("jitter of the open time", () => {
  const sample = (jitter: number | undefined, seed: string) =>
    Effect.gen(function* () {
      const times: Array<number> = []
      for (let i = 0; i < 200; i++) {
        const breaker = yield* CircuitBreaker.make("users", { ...options, openFor: { initial: 1000, jitter } })
        yield* outcome(breaker.protect(down))
        times.push(yield* left(breaker))
      }
      return times
    }).pipe(Random.withSeed(seed))

  it.effect("moves the open time by up to 20 % by default", () =>
    Effect.gen(function* () {
      const times = yield* sample(undefined, "one")
      assert.isAtLeast(Math.min(...times), 800)
      assert.isAtMost(Math.max(...times), 1200)
      assert.isBelow(Math.min(...times), 820)
      assert.isAbove(Math.max(...times), 1180)
    })
  )

  it.effect("moves the open time by up to the given ratio, and not at all at 0", () =>
    Effect.gen(function* () {
      const wide = yield* sample(1, "two")
      assert.isBelow(Math.min(...wide), 100)
      assert.isAbove(Math.max(...wide), 1900)
      assert.deepStrictEqual(new Set(yield* sample(0, "three")), new Set([1000]))
    })
  )

  it.effect("comes from Effect's Random: the same seed gives the same times", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* sample(0.2, "same"), yield* sample(0.2, "same"))
      assert.notDeepEqual(yield* sample(0.2, "same"), yield* sample(0.2, "other"))
    })
  )
})

describe("retryAfter of the failure that opens the circuit", () => {
  const openedBy = (retryAfter: Duration.Duration, extra: CircuitBreaker.Options = {}) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, ...extra })
      yield* outcome(breaker.protect(failing(retryAfter)))
      return yield* left(breaker)
    })

  const cases: Array<[string, Duration.Duration, CircuitBreaker.Options, number]> = [
    ["lengthens the open time", Duration.seconds(30), {}, 30_000],
    ["never shortens it", Duration.seconds(1), {}, 5000],
    ["of zero changes nothing", Duration.zero, {}, 5000],
    ["below zero changes nothing", Duration.seconds(-5), {}, 5000],
    ["lengthens it to 10 minutes at the most", Duration.days(1), {}, 600_000],
    ["to `maxRetryAfter` at the most", Duration.days(1), { maxRetryAfter: "1 minute" }, 60_000],
    ["is ignored when `maxRetryAfter` is below the open time", Duration.days(1), { maxRetryAfter: "1 second" }, 5000],
    ["that is infinite is capped as well", Duration.infinity, {}, 600_000]
  ]
  it.effect.each(cases)("%s", ([, retryAfter, extra, expected]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* openedBy(retryAfter, extra), expected)
    })
  )

  it.effect("applies to a probe that fails, and to the closed time after which the count of openings restarts", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      yield* trip(breaker)
      yield* TestClock.adjust("5 seconds")
      yield* outcome(breaker.protect(failing(Duration.seconds(100))))
      assert.strictEqual(yield* left(breaker), 100_000)
      yield* TestClock.adjust("100 seconds")
      yield* outcome(breaker.protect(ok))
      yield* TestClock.adjust("99 seconds")
      assert.strictEqual((yield* breaker.state()).openings, 2)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* breaker.state()).openings, 0)
    })
  )
})

describe("a Schedule as open time", () => {
  it.effect("gives opening number n in a row delay number n", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...options, openFor: Schedule.exponential("1 second") })
      assert.deepStrictEqual(yield* openTimes(breaker, 4), [1000, 2000, 4000, 8000])
    })
  )

  it.effect("gets the number of the opening as its input", () =>
    Effect.gen(function* () {
      const seconds = Schedule.identity<number>().pipe(
        Schedule.modifyDelay(({ input }) => Effect.succeed(Duration.seconds(input * 10)))
      )
      const breaker = yield* CircuitBreaker.make("users", { ...options, openFor: seconds })
      assert.deepStrictEqual(yield* openTimes(breaker, 3), [10_000, 20_000, 30_000])
    })
  )

  it.effect("that ends keeps its last delay", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        openFor: Schedule.exponential("1 second").pipe(Schedule.upTo({ times: 2 }))
      })
      assert.deepStrictEqual(yield* openTimes(breaker, 4), [1000, 2000, 2000, 2000])
    })
  )

  it.effect("is stepped for each key independently", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...options, openFor: Schedule.exponential("1 second") })
      for (const key of ["a", "b", "c"]) {
        yield* outcome(down.pipe(breaker.protect({ key })))
        assert.deepInclude(yield* breaker.state(key), { retryAfter: Duration.seconds(1) })
      }
    })
  )

  /** Sound for its first delay, which is looked at when the breaker is made. */
  const brokenLater = (rest: Effect.Effect<Duration.Duration>) =>
    Schedule.spaced("1 second").pipe(
      Schedule.modifyDelay(({ attempt, duration }) => (attempt === 1 ? Effect.succeed(duration) : rest))
    )

  it.effect.each([
    ["throws", brokenLater(Effect.die(new Error("bad schedule")))],
    ["waits", brokenLater(Effect.delay(Effect.succeed(Duration.seconds(1)), "1 second"))]
  ] as const)(
    "that %s later opens the circuit all the same, and the defect stands beside the error of the call",
    ([, openFor]) =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", { ...options, openFor })
        yield* outcome(breaker.protect(down))
        yield* TestClock.adjust("1 second")
        assert.deepStrictEqual(yield* reasons(breaker.protect(down)), ["Down", "Die"], "the probe")
        assert.strictEqual(yield* left(breaker), 60_000, "the default's longest open time")
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
        assert.strictEqual(yield* tagOf(breaker), "closed")
      })
  )
})
