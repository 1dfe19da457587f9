/**
 * Semian #760 (also #847, #875, #899): during a long outage the controller's integral wound up, and when the dependency was well again
 * it went on rejecting.
 * We promise: however long the outage, the circuit closes within the longest open time and a probe.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, ok, outcome, tagOf } from "./support.ts"

const growing = { openFor: { initial: "5 seconds", factor: 2 }, probes: { permitted: 3, successes: 2 } } as const

it.effect.each([
  ["72 seconds", 72, "60 seconds, a fifth of jitter, and the probes", growing],
  ["2 seconds, where open times do not grow", 2, "a second, a fifth of jitter, and the probe", {}]
] as const)("after a week of outage a healthy dependency is served within %s", ([, seconds, why, options]) =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("db", { trip: TripPolicy.consecutive(3), ...options })
    for (let i = 0; i < 7 * 24 * 60; i++) {
      yield* outcome(breaker.protect(down))
      yield* TestClock.adjust("1 minute")
    }
    let waited = 0
    while ((yield* tagOf(breaker)) !== "closed" && waited < 600) {
      yield* outcome(breaker.protect(ok))
      yield* TestClock.adjust("1 second")
      waited += 1
    }
    assert.isAtMost(waited, seconds, why)
  })
)
