/**
 * go-service #2862 and virtrigaud #70: an open circuit was an error worth another try, and a retry in front of it knocked until it was
 * out of attempts.
 * We promise: a rejection is never retried. After a real failure the retry ends with that failure.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { CircuitBreaker, Retry } from "effect-resilience"
import { down, outcome, strict } from "./support.ts"

it.effect("a retry in front of an open circuit tries once", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", strict)
    let asked = 0
    const call = Effect.suspend(() => {
      asked += 1
      return breaker.protect(down)
    })
    assert.strictEqual(yield* outcome(call.pipe(Retry.transient(Schedule.recurs(5)))), "Down")
    assert.strictEqual(asked, 2, "the second attempt was refused, and ended it")
    assert.strictEqual(yield* outcome(call.pipe(Retry.transient(Schedule.recurs(5)))), "CircuitOpen")
    assert.strictEqual(asked, 3, "and a first attempt that is refused is the only one")
  })
)
