/**
 * opossum #119 (also #57, #59, #7, #276, #388, #484): a half-open circuit asked its statistics whether a failed probe was enough.
 * With a minimum of calls, or a window that had moved on, it was not, and the circuit stayed half-open for ever.
 * We promise: while half-open only probes decide; the figures of the trip policy and its minimum of calls are about closed circuits.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, ok, oneProbe, outcome, tagOf } from "./support.ts"

it.effect("one failed probe opens again, whatever the minimum of calls and however old the window", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", {
      trip: TripPolicy.failureRate({ threshold: 0.5, window: "10 seconds", minimumCalls: 20 }),
      openFor: { initial: "1 minute", factor: 2, jitter: 0 },
      probes: oneProbe
    })
    for (let i = 0; i < 20; i++) yield* outcome(breaker.protect(down))
    for (const openings of [2, 3, 4]) {
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(yield* outcome(breaker.protect(down)), "Down")
      assert.deepInclude(yield* breaker.state(), { _tag: "open", openings })
    }
    yield* TestClock.adjust("10 minutes")
    yield* outcome(breaker.protect(ok))
    assert.strictEqual(yield* tagOf(breaker), "closed")
  })
)
