/**
 * resilience4j #1432 (also #1090, Polly #216 and #223, AirMCP #249): under concurrency more calls than permitted ran while half-open,
 * and a dependency that had just come back was trampled.
 * We promise: so many probes, and no more, at any interleaving.
 */
import { assert, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { type Failure, ok, outcome, ready, settle, start, strict } from "./support.ts"

it.effect.each([1, 3])("of 500 callers at one instant %i reach a half-open dependency", (permitted) =>
  Effect.gen(function* () {
    let reached = 0
    const slow: Effect.Effect<string, Failure> = Effect.suspend(() => {
      reached += 1
      return Effect.andThen(Sweep.turns(reached % 5), Effect.delay(ok, "1 second"))
    })
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { permitted, successes: permitted } })
    yield* ready(breaker)
    const callers = Array.from({ length: 500 }, (_, i) =>
      Effect.andThen(Sweep.turns(i % 7), outcome(breaker.protect(slow)))
    )
    const all = yield* start(Effect.all(callers, { concurrency: "unbounded" }))
    yield* settle
    assert.strictEqual(reached, permitted)
    yield* TestClock.adjust("1 second")
    assert.strictEqual((yield* Fiber.join(all)).filter((end) => end === "CircuitOpen").length, 500 - permitted)
  })
)
