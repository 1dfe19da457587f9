/**
 * resilience4j #1366 and #1568, Kevlar #508: a circuit that opened because calls were slow was closed by slow probes, and opened
 * again a moment later. A dependency that stays slow got half of its traffic.
 * We promise: what opened the circuit judges its probes.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { ok, oneProbe, outcome, start, tagOf } from "./support.ts"

it.effect("a dependency that is always slow gets a probe per open time, and no call more", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", {
      trip: TripPolicy.any(TripPolicy.standard, TripPolicy.slowCallRate({ slowerThan: "1 second", calls: 2 })),
      openFor: { initial: "10 seconds", jitter: 0 },
      probes: { ...oneProbe, lease: "10 seconds" }
    })
    let calls = 0
    const slow = breaker.protect(
      Effect.andThen(
        Effect.sync(() => calls++),
        Effect.delay(ok, "2 seconds")
      )
    )
    yield* start(slow)
    yield* start(slow)
    yield* TestClock.adjust("2 seconds")
    assert.strictEqual(yield* tagOf(breaker), "open")
    const before = calls
    for (let second = 0; second < 120; second++) {
      yield* start(Effect.exit(slow))
      yield* TestClock.adjust("1 second")
    }
    assert.strictEqual(calls - before, 10, "one probe in twelve seconds")
    yield* TestClock.adjust("12 seconds")
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
    assert.strictEqual(yield* tagOf(breaker), "closed", "a probe that is not slow closes it")
  })
)
