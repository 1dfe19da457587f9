/**
 * resilience4j #2093 (also cockatiel #91, failsafe-go #97, opossum #719): with a timer for the way from open to half-open, a
 * circuit could miss it and stay open; without traffic, or in a process that sleeps between calls, it never came.
 * We promise: no timer. The first call after the open time is the probe, however long nobody called.
 */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { down, ok, oneProbe, outcome, strict, tagOf, trip } from "./support.ts"

it.effect("the first call after a day without traffic is the probe", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    yield* trip(breaker)
    yield* TestClock.adjust("1 day")
    assert.deepInclude(yield* breaker.state(), { _tag: "half-open", due: true, since: Duration.seconds(86_395) })
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
    assert.strictEqual(yield* tagOf(breaker), "closed")
  })
)

it.live("an open circuit holds no timer", () =>
  Effect.gen(function* () {
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length
    const breaker = yield* CircuitBreaker.make("users", strict)
    const before = timers()
    for (let i = 0; i < 50; i++) yield* Effect.exit(down.pipe(breaker.protect({ key: `${i}` })))
    assert.strictEqual((yield* breaker.states).filter((state) => state._tag === "open").length, 50)
    assert.isAtMost(timers(), before)
  })
)
