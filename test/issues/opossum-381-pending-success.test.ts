/**
 * opossum #381: a success that was pending when the circuit opened closed it, before its open time was over.
 * We promise: a success closes a circuit only as a probe of it.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { held, ok, oneProbe, outcome, strict, tagOf, trip } from "./support.ts"

it.effect("successes of calls from before the opening close nothing, open or half-open", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    const [early, late] = [yield* held(breaker), yield* held(breaker)]
    yield* trip(breaker)
    yield* early.succeed
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
    yield* TestClock.adjust("5 seconds")
    const probe = yield* held(breaker)
    yield* late.succeed
    assert.strictEqual(yield* tagOf(breaker), "half-open")
    yield* probe.fail
    assert.strictEqual(yield* tagOf(breaker), "open")
  })
)
