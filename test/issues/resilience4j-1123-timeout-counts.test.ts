/**
 * resilience4j #1123: a call that its time limiter cancelled was no failure for the circuit breaker, so a hanging dependency never
 * opened its circuit.
 * We promise: our timeout inside a breaker, or of a policy, counts as a failure.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policy, Timeout, TripPolicy } from "effect-resilience"
import { hung, outcome, start, strict, tagOf } from "./support.ts"

it.effect("a dependency that hangs opens its circuit by its timeouts", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, trip: TripPolicy.consecutive(3) })
    const policy = yield* Policy.make("users", { breaker: { trip: TripPolicy.consecutive(3) }, timeout: "1 second" })
    for (let i = 0; i < 3; i++) {
      const one = yield* start(outcome(hung.pipe(Timeout.after("1 second"), breaker.protect)))
      const other = yield* start(outcome(policy.protect(hung)))
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([yield* Fiber.join(one), yield* Fiber.join(other)], ["TimedOut", "TimedOut"])
    }
    assert.strictEqual(yield* tagOf(breaker), "open")
    assert.strictEqual((yield* policy.stats()).circuit?._tag, "open")
  })
)
