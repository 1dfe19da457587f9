/**
 * sentinel-golang #196 (and #202): a probe that was admitted and then blocked by a rule behind the breaker never ran, and the circuit
 * stayed half-open for ever.
 * We promise: a call that is refused behind the breaker is no probe, and takes no place of one.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy } from "effect-resilience"
import { down, hung, ok, oneProbe, outcome, ready, start, strict, tagOf } from "./support.ts"

it.effect("a bulkhead that is full behind a half-open circuit does not keep it half-open", () =>
  Effect.gen(function* () {
    const policy = yield* Policy.make("db", {
      breaker: { ...strict, probes: oneProbe },
      bulkhead: { maxConcurrent: 2 }
    })
    const other = yield* start(policy.protect(hung))
    yield* outcome(policy.protect(down))
    yield* TestClock.adjust("5 seconds")
    // The one permit that is left is taken by the call from before the opening.
    yield* policy.control.resize(1)
    for (let i = 0; i < 3; i++) assert.strictEqual(yield* outcome(policy.protect(ok)), "BulkheadFull")
    yield* Fiber.interrupt(other)
    assert.strictEqual(yield* outcome(policy.protect(ok)), "ok")
    assert.strictEqual((yield* policy.stats()).circuit?._tag, "closed")
  })
)

it.effect("nor does one that was put behind it by hand", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("db", { ...strict, probes: oneProbe })
    const gate = yield* Bulkhead.make("db", { maxConcurrent: 1 })
    const call = breaker.protect(gate.protect(ok))
    yield* ready(breaker)
    const holder = yield* start(gate.protect(hung))
    assert.strictEqual(yield* outcome(call), "BulkheadFull")
    yield* Fiber.interrupt(holder)
    assert.strictEqual(yield* outcome(call), "ok")
    assert.strictEqual(yield* tagOf(breaker), "closed")
  })
)
