/**
 * opossum #385: calls that failed together opened the circuit twice; the second opening cancelled the first one's timer, and the
 * circuit stayed open for ever.
 * We promise: calls that fail together open the circuit once, for one open time, counted from the first.
 */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { held, ok, oneProbe, outcome, strict, tagOf } from "./support.ts"

it.effect("six failures of which the fifth opens: open once, and probed in time", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", {
      ...strict,
      trip: TripPolicy.consecutive(5),
      probes: oneProbe
    })
    const calls = yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => held(breaker))
    for (const call of calls.slice(0, 5)) yield* call.fail
    yield* TestClock.adjust("2 seconds")
    yield* calls[5]!.fail
    assert.deepInclude(yield* breaker.state(), { _tag: "open", openings: 1, retryAfter: Duration.seconds(3) })
    yield* TestClock.adjust("3 seconds")
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
    assert.strictEqual(yield* tagOf(breaker), "closed")
  })
)
