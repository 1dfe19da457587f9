/**
 * cockatiel 3.2.1 (as measured), failsafe-go, resilience4j, and Effect's own breaker: the open time was kept as a moment of the wall
 * clock, and a clock set back an hour kept the circuit open for an hour more.
 * We promise: intervals are monotonic. A wall clock that is set, back or forth, moves nothing.
 */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { ok, oneProbe, outcome, strict, trip } from "./support.ts"

it.effect.each(["back", "forward"])("a wall clock set %s an hour leaves the open time as it was", (way) =>
  Effect.gen(function* () {
    const real = yield* Clock.Clock
    let offset = 0
    const skewed: Clock.Clock = {
      ...real,
      currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe() + offset,
      currentTimeMillis: Effect.sync(() => real.currentTimeMillisUnsafe() + offset),
      monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
      sleep: (duration) => real.sleep(duration)
    }
    const program = Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      yield* trip(breaker)
      yield* TestClock.adjust("2 seconds")
      offset = way === "back" ? -3_600_000 : 3_600_000
      assert.deepInclude(yield* breaker.state(), { _tag: "open", retryAfter: Duration.seconds(3) })
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
      yield* TestClock.adjust("3 seconds")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
    })
    yield* Effect.provideService(program, Clock.Clock, skewed)
  })
)
