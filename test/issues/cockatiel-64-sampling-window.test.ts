/**
 * cockatiel #64: failures that had left the sampling window still counted.
 * We promise: a window of time forgets what is older than it, whether calls come or not.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, ok, outcome, tagOf } from "./support.ts"

it.effect("failures of yesterday do not open the circuit today", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", {
      trip: TripPolicy.failureRate({ threshold: 0.5, window: "10 seconds", minimumCalls: 4 })
    })
    for (let i = 0; i < 3; i++) yield* outcome(breaker.protect(down))
    yield* TestClock.adjust("1 day")
    for (let i = 0; i < 3; i++) yield* outcome(breaker.protect(ok))
    yield* outcome(breaker.protect(down))
    assert.strictEqual(yield* tagOf(breaker), "closed", "one of four")
    for (let i = 0; i < 2; i++) yield* outcome(breaker.protect(down))
    assert.strictEqual(yield* tagOf(breaker), "open", "three of six")
  })
)
