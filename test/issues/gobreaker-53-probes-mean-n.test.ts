/**
 * gobreaker #53 and virtrigaud #70: the most probes and the successes that close were one number, or the first probe was not counted
 * and n meant n + 1.
 * We promise: `permitted` is how many probes run at most, `successes` how many close, and the first probe is one of them.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker } from "effect-resilience"
import { held, ok, outcome, ready, strict, tagOf } from "./support.ts"

it.effect("with three permitted a fourth is refused, and the second success closes", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { permitted: 3, successes: 2 } })
    yield* ready(breaker)
    const probes = [yield* held(breaker), yield* held(breaker), yield* held(breaker)]
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
    yield* probes[0]!.succeed
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen", "one that has ended is one of the three")
    yield* probes[1]!.succeed
    assert.strictEqual(yield* tagOf(breaker), "closed")
  })
)
