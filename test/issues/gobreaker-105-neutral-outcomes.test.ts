/**
 * gobreaker #105 (and #107): a call that says nothing about the dependency had to be counted as a success or as a failure.
 * We promise: a third outcome, "ignored", that is not counted at all.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, notFound, outcome, tagOf } from "./support.ts"

it.effect("ignored calls neither fill the window nor end a row of failures", () =>
  Effect.gen(function* () {
    const rate = yield* CircuitBreaker.make("users", {
      trip: TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 4 }),
      ignore: ["NotFound"]
    })
    const row = yield* CircuitBreaker.make("users", { trip: TripPolicy.consecutive(2), ignore: ["NotFound"] })
    for (let i = 0; i < 100; i++) yield* outcome(rate.protect(notFound))
    for (let i = 0; i < 3; i++) yield* outcome(rate.protect(down))
    assert.strictEqual(yield* tagOf(rate), "closed", "three calls are not four")
    yield* outcome(rate.protect(down))
    assert.strictEqual(yield* tagOf(rate), "open", "four failures of four, not of 104")
    for (const call of [down, notFound, down]) yield* outcome(row.protect(call))
    assert.strictEqual(yield* tagOf(row), "open")
  })
)
