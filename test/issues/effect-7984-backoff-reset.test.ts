/**
 * Effect #7984 (and #7985): when the backoff of open times starts again. Never, and a flapping dependency of last week still costs a
 * minute; at once, and it never grows.
 * We promise: it starts again after the circuit has stayed closed as long as it was last open.
 */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { down, ok, oneProbe, outcome, ready, strict } from "./support.ts"

it.effect.each([
  { healthy: "9999 millis", opensFor: 20_000 },
  { healthy: "10 seconds", opensFor: 5000 }
] as const)("after openings of 5 and 10 seconds and $healthy of health it opens for $opensFor ms", (one) =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    yield* ready(breaker)
    yield* outcome(breaker.protect(down))
    yield* TestClock.adjust("10 seconds")
    yield* outcome(breaker.protect(ok))
    yield* TestClock.adjust(one.healthy)
    yield* outcome(breaker.protect(down))
    const state = yield* breaker.state()
    assert.strictEqual(state._tag === "open" && Duration.toMillis(state.retryAfter), one.opensFor)
  })
)
