/**
 * opossum 9.0.0 and Effect's breaker in memory, as measured, and gobreaker: a probe that hangs, without a timeout around it, kept the
 * circuit half-open for ever.
 * We promise: after its lease a probe has lost its place, and the next call is a probe.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { held, ok, oneProbe, outcome, ready, strict, tagOf } from "./support.ts"

it.effect("a probe that never ends holds the circuit for its lease, and no longer", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { ...oneProbe, lease: "10 seconds" } })
    yield* ready(breaker)
    yield* held(breaker)
    yield* TestClock.adjust("9999 millis")
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
    yield* TestClock.adjust("1 millis")
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
    assert.strictEqual(yield* tagOf(breaker), "closed")
  })
)
