/**
 * opossum 9.0.0, as measured: with a capacity of 1 and a healthy dependency, the breaker's own rejections counted as failures, and it
 * opened.
 * We promise: a rejection is nobody's failure. It says that we are busy, not that the dependency is ill.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Bulkhead, CircuitBreaker, Policy, TripPolicy } from "effect-resilience"
import { hung, ok, outcome, start, tagOf } from "./support.ts"

it.effect("a thousand rejections of a full bulkhead leave the circuit closed and unimpressed", () =>
  Effect.gen(function* () {
    const options = { trip: TripPolicy.failureRate({ threshold: 0.1, minimumCalls: 2 }) }
    const policy = yield* Policy.make("users", { breaker: options, bulkhead: { maxConcurrent: 1 } })
    const breaker = yield* CircuitBreaker.make("users", options)
    const gate = yield* Bulkhead.make("users", { maxConcurrent: 1 })
    yield* start(policy.protect(hung))
    yield* start(gate.protect(hung))
    for (let i = 0; i < 1000; i++) {
      assert.strictEqual(yield* outcome(policy.protect(ok)), "BulkheadFull")
      assert.strictEqual(yield* outcome(ok.pipe(gate.protect, (call) => breaker.protect(call))), "BulkheadFull")
    }
    const { circuit, totals } = yield* policy.stats()
    assert.strictEqual(circuit?._tag, "closed")
    assert.deepStrictEqual([totals.failures, totals.ignored], [0, 0])
    assert.strictEqual(yield* tagOf(breaker), "closed")
  })
)
