/**
 * failsafe-go, as read in its source: calls of a closed circuit that ended late gave the half-open one more permits than it had.
 * We promise: a late result neither takes a probe's place nor gives one.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker } from "effect-resilience"
import { held, ok, oneProbe, outcome, ready, strict } from "./support.ts"

it.effect("ten late results make no room for a second probe", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    const late = yield* Effect.forEach(Array.from({ length: 10 }), () => held(breaker))
    yield* ready(breaker)
    yield* held(breaker)
    for (const [i, call] of late.entries()) {
      yield* [call.succeed, call.fail, call.reject, Effect.asVoid(call.interrupt)][i % 4]!
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 1, successes: 0 })
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
    }
  })
)
