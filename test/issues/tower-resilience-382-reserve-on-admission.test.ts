/**
 * tower-resilience #382 (also #407, #381, #386): places were counted when calls ended, so more were let in than there were; and a call
 * that was admitted and then dropped before it ran kept its place.
 * We promise: a place is taken at admission, and an effect that is built but not run takes none.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Bulkhead, CircuitBreaker, Policy } from "effect-resilience"
import { ok, oneProbe, outcome, ready, strict } from "./support.ts"

it.effect("effects that are built and never run take neither permits nor probes", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1 })
    const policy = yield* Policy.make("db", { breaker: strict, bulkhead: { maxConcurrent: 1 } })
    yield* ready(breaker)
    for (let i = 0; i < 10; i++) [breaker.protect(ok), bulkhead.protect(ok), policy.protect(ok)].forEach(String)
    assert.strictEqual((yield* bulkhead.state()).running, 0)
    assert.strictEqual((yield* policy.stats()).running, 0)
    assert.deepInclude(yield* breaker.state(), { _tag: "half-open", due: true }, "not even asked")
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
  })
)

it.effect("a permit that is acquired and dropped with its scope gives the probe's place back", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    yield* ready(breaker)
    yield* Effect.scoped(
      Effect.gen(function* () {
        yield* breaker.acquire()
        assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen", "taken at admission")
      })
    )
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
  })
)
