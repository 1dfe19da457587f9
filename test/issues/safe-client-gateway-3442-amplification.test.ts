/**
 * safe-client-gateway #3442: while half-open every call was let through until enough had failed; against an upstream that hangs, the
 * traffic of a whole timeout piled up on it, 17 times the usual.
 * We promise: a half-open circuit lets as many calls in as it has probes, for as long as their leases last.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { type Failure, hung, ready, start, strict } from "./support.ts"

it.effect("of 3,000 calls in 30 seconds at an upstream that hangs, three probes per lease reach it", () =>
  Effect.gen(function* () {
    let reached = 0
    const hangs: Effect.Effect<string, Failure> = Effect.suspend(() => {
      reached += 1
      return hung
    })
    const breaker = yield* CircuitBreaker.make("decoder", {
      ...strict,
      probes: { permitted: 3, successes: 2, lease: "10 seconds" }
    })
    yield* ready(breaker)
    for (let i = 0; i < 3000; i++) {
      yield* start(Effect.exit(breaker.protect(hangs)))
      yield* TestClock.adjust(10)
    }
    assert.strictEqual(reached, 9)
  })
)
