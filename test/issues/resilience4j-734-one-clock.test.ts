/**
 * resilience4j #734: the slow-call rate read the system's clock although another was configured.
 * We promise: all time comes from Effect's Clock, so TestClock makes a call slow, and nothing else does.
 */
import { assert, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { ok, outcome, start, tagOf } from "./support.ts"

it.effect("a call is slow by the clock of the program alone", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", {
      trip: TripPolicy.slowCallRate({ slowerThan: "1 hour", threshold: 1, minimumCalls: 2, calls: 2 })
    })
    const slow = (time: Duration.Input) =>
      Effect.gen(function* () {
        const fiber = yield* start(outcome(breaker.protect(Effect.delay(ok, time))))
        yield* TestClock.adjust(time)
        yield* Fiber.join(fiber)
      })
    yield* slow("59 minutes")
    yield* slow("59 minutes")
    assert.strictEqual(yield* tagOf(breaker), "closed")
    yield* slow("1 hour")
    yield* slow("1 hour")
    assert.strictEqual(yield* tagOf(breaker), "open")
  })
)
