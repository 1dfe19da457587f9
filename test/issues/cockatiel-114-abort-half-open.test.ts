/**
 * cockatiel #114 (and 3.2.1 as measured), Polly: aborting a half-open probe decided about the circuit; in cockatiel and Polly a
 * cancelled probe closed it.
 * We promise: a cancelled probe says nothing. Its place is free, and the next call is a probe.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker } from "effect-resilience"
import { down, held, oneProbe, outcome, ready, strict, tagOf } from "./support.ts"

it.effect("five probes that are aborted one after the other decide nothing", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    yield* ready(breaker)
    const before = yield* breaker.state()
    for (let i = 0; i < 5; i++) {
      const probe = yield* held(breaker)
      yield* probe.interrupt
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0, successes: 0 })
    }
    assert.strictEqual((yield* breaker.state()).openings, before.openings)
    yield* outcome(breaker.protect(down))
    assert.strictEqual(yield* tagOf(breaker), "open", "the dependency was still down")
  })
)
