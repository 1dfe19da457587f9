/**
 * Polly #217 (also #218, #219; resilience4j, failsafe-go, cockatiel, opossum and rezilience still do it): the result of a call from
 * before an opening moved the state that came after it.
 * We promise: a result belongs to the era of its admission. One from an older era changes nothing.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { held, ok, outcome, strict, trip } from "./support.ts"

const cases = [
  { late: "fail", while: "half-open" },
  { late: "succeed", while: "half-open" },
  { late: "fail", while: "closed" },
  { late: "succeed", while: "open" }
] as const

it.effect.each(cases)("a call from before the opening that comes to $late while $while changes nothing", (one) =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { permitted: 2, successes: 2 } })
    const late = yield* held(breaker)
    yield* trip(breaker)
    if (one.while !== "open") yield* TestClock.adjust("5 seconds")
    if (one.while === "half-open") yield* outcome(breaker.protect(ok))
    if (one.while === "closed") for (let i = 0; i < 2; i++) yield* outcome(breaker.protect(ok))
    const before = yield* breaker.state()
    assert.strictEqual(before._tag, one.while)
    yield* late[one.late]
    assert.deepStrictEqual(yield* breaker.state(), before)
  })
)
