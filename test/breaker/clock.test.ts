import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, held, ok, oneProbe, outcome, strict, tagOf, trip } from "../support/dependency.ts"

/** The test's clock, with a wall that can be moved while its intervals stay as they are. */
const withWall = <A, E, R>(f: (setWall: (millis: number) => void) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    let moved = 0
    const wall: Clock.Clock = Object.assign(Object.create(clock), {
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + moved,
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(moved) * 1_000_000n
    })
    return yield* f((millis) => {
      moved = millis
    }).pipe(Effect.provideService(Clock.Clock, wall))
  })

const hour = 3_600_000

describe("a wall clock that is set does not change any interval of a breaker", () => {
  it.effect.each([
    ["back", -hour],
    ["forward", hour]
  ] as const)("a wall clock set %s an hour moves no open time, no lease and no window", ([, by]) =>
    withWall((setWall) =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", {
          ...strict,
          trip: TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 2, window: "10 seconds" }),
          probes: { ...oneProbe, lease: "10 seconds" }
        })
        yield* outcome(breaker.protect(down))
        setWall(by)
        yield* outcome(breaker.protect(down))
        assert.deepInclude(yield* breaker.state(), { _tag: "open", retryAfter: Duration.seconds(5) })
        setWall(0)
        yield* TestClock.adjust("4999 millis")
        setWall(by)
        assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
        yield* TestClock.adjust("1 millis")
        yield* held(breaker)
        setWall(0)
        yield* TestClock.adjust("9999 millis")
        setWall(by)
        assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
        assert.strictEqual(yield* tagOf(breaker), "closed")
      })
    )
  )

  it.effect("set back by TestClock, an open circuit is open as long as it was going to be (cockatiel, Effect)", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(hour)
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      yield* trip(breaker)
      yield* TestClock.adjust("2 seconds")
      yield* TestClock.setTime(0)
      assert.deepInclude(yield* breaker.state(), { _tag: "open", retryAfter: Duration.seconds(3) })
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
    })
  )

  it.effect("set back, failures still leave the window of time", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(hour)
      const breaker = yield* CircuitBreaker.make("users", {
        ...strict,
        trip: TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 2, window: "10 seconds" })
      })
      yield* outcome(breaker.protect(down))
      yield* TestClock.setTime(0)
      yield* TestClock.adjust("10 seconds")
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("a slow call is slow by the monotonic clock (resilience4j #734)", () =>
    withWall((setWall) =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", {
          ...strict,
          trip: TripPolicy.slowCallRate({ slowerThan: "1 second", threshold: 0.5, minimumCalls: 1 })
        })
        const quick = yield* held(breaker)
        setWall(hour)
        yield* quick.succeed
        assert.strictEqual(yield* tagOf(breaker), "closed")
        const slow = yield* held(breaker)
        yield* TestClock.adjust("1 second")
        setWall(-hour)
        yield* slow.succeed
        assert.strictEqual(yield* tagOf(breaker), "open")
      })
    )
  )
})
