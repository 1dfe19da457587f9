/**
 * helm-api #698: a probe that ended neither in success nor in failure kept its lock: hours of outage.
 * We promise: an exit that is judged "ignored" gives its place back at once.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { down, ok, oneProbe, outcome, strict } from "./support.ts"

it.effect("ten probes that say nothing, one after the other, each have a place", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("charts", { ...strict, probes: oneProbe, classify: () => "ignored" })
    yield* outcome(down.pipe(breaker.protect({ classify: () => "failure" })))
    yield* TestClock.adjust("5 seconds")
    for (let i = 0; i < 10; i++) {
      assert.strictEqual(yield* outcome(breaker.protect(i % 2 === 0 ? ok : down)), i % 2 === 0 ? "ok" : "Down")
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0 })
    }
  })
)
