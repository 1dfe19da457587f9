/**
 * OmniRoute #13849: a lease for the probe is not enough without a generation: the probe that had lost its lease came back, and decided
 * about a circuit that was not its own any more.
 * We promise: after the circuit has changed its state, a probe of before says nothing.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { held, oneProbe, ready, strict } from "./support.ts"

it.effect.each(["succeed", "fail"] as const)(
  "a probe that lost its lease and comes back to %s decides nothing",
  (late) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { ...oneProbe, lease: "1 second" } })
      yield* ready(breaker)
      const first = yield* held(breaker)
      yield* TestClock.adjust("1 second")
      const second = yield* held(breaker)
      yield* late === "succeed" ? second.fail : second.succeed
      const before = yield* breaker.state()
      assert.strictEqual(before._tag, late === "succeed" ? "open" : "closed")
      yield* first[late]
      assert.deepStrictEqual(yield* breaker.state(), before)
    })
)
