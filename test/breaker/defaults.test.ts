/** A breaker of which nothing is said. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { down, held, ok, outcome, tagOf } from "../support/dependency.ts"

const make = CircuitBreaker.make("users")

/** So many failures, so many milliseconds apart. */
const failures = (breaker: CircuitBreaker.CircuitBreaker, times: number, apart: number) =>
  Effect.gen(function* () {
    for (let i = 0; i < times; i++) {
      if (i > 0) yield* TestClock.adjust(apart)
      yield* outcome(breaker.protect(down))
    }
  })

describe("a breaker with default options", () => {
  it.effect("opens after ten failures in a row over at least two seconds, and shows them as evidence", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      yield* failures(breaker, 12, 150)
      assert.strictEqual(yield* tagOf(breaker), "closed", "twelve in 1.65 seconds")
      yield* TestClock.adjust(350)
      yield* outcome(breaker.protect(down))
      const state = yield* breaker.state()
      assert.isTrue(state._tag === "open" && state.evidence?.trip === "consecutive")
      const refused = yield* Effect.flip(breaker.protect(ok))
      assert.isTrue(refused._tag === "CircuitOpen")
      assert.include(refused._tag === "CircuitOpen" ? refused.message : "", "consecutive: failures 13")
    })
  )

  it.effect("stays closed when ten calls fail at once", () =>
    Effect.gen(function* () {
      const breaker = yield* make
      yield* failures(breaker, 10, 0)
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect(
    "stays open for 50 milliseconds, growing by 1.1 to one second, plus or minus 20 %; then one probe decides",
    () =>
      Effect.gen(function* () {
        const breaker = yield* make
        yield* failures(breaker, 10, 250)
        for (let opening = 1; opening <= 40; opening++) {
          const state = yield* breaker.state()
          assert.isTrue(state._tag === "open" && state.openings === opening)
          const millis = state._tag === "open" ? Duration.toMillis(state.retryAfter) : 0
          const expected = Math.min(1000, 50 * 1.1 ** (opening - 1))
          assert.isTrue(millis >= 0.8 * expected && millis <= 1.2 * expected, `opening ${opening}: ${millis} ms`)
          yield* TestClock.adjust("1200 millis")
          const probe = yield* held(breaker)
          assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
          yield* probe.fail
        }
        yield* TestClock.adjust("1200 millis")
        assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
        assert.strictEqual(yield* tagOf(breaker), "closed")
      }).pipe(Random.withSeed("defaults"))
  )
})
