/**
 * gobreaker #52: a rejection did not say when to come back, so no Retry-After could be sent.
 * We promise: a rejection says how long the circuit stays open, and while half-open when a place is free at the latest.
 */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Rejection } from "effect-resilience"
import { held, ok, oneProbe, strict, trip } from "./support.ts"

it.effect("the rest of the open time, then the rest of the probe's lease", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { ...oneProbe, lease: "8 seconds" } })
    const told = Effect.map(Effect.flip(breaker.protect(ok)), (error) =>
      error instanceof Rejection.CircuitOpen ? [error.state, Duration.toMillis(error.retryAfter)] : error
    )
    yield* trip(breaker)
    yield* TestClock.adjust("2 seconds")
    assert.deepStrictEqual(yield* told, ["open", 3000])
    yield* TestClock.adjust("3 seconds")
    yield* held(breaker)
    yield* TestClock.adjust("3 seconds")
    assert.deepStrictEqual(yield* told, ["half-open", 5000])
  })
)
