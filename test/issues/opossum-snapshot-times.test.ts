/**
 * opossum 9.0.0, as measured: the snapshot's time of the timer was that of the breaker's construction, so a restored circuit opened
 * for too long or not at all.
 * We promise: a snapshot says how long a circuit has still to stay open, and a restored one goes on with what is left of it.
 */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { oneProbe, strict, trip } from "./support.ts"

it.effect("restored 2 seconds into an open time of 5, after 1 second away, 2 seconds are left", () =>
  Effect.gen(function* () {
    const options = { ...strict, probes: oneProbe }
    const before = yield* CircuitBreaker.make("users", options)
    yield* TestClock.adjust("1 hour")
    yield* trip(before)
    yield* TestClock.adjust("2 seconds")
    const snapshot = yield* before.snapshot
    yield* TestClock.adjust("1 second")
    const after = yield* CircuitBreaker.make("users", options)
    yield* after.restore(snapshot)
    assert.deepInclude(yield* after.state(), {
      _tag: "open",
      since: Duration.seconds(3),
      retryAfter: Duration.seconds(2),
      openings: 1
    })
  })
)
