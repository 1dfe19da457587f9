/**
 * gobreaker, as read in its source: runtime.Goexit in the call skipped what gives the probe's place back, and there is no time limit
 * for half-open.
 * We promise: there is no way out of a call that keeps its place: not by interruption, a defect, both at once, or never.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker } from "effect-resilience"
import { bug, down, type Failure, hung, ok, oneProbe, outcome, ready, settle, start, strict, tagOf } from "./support.ts"

const ways: Record<string, Effect.Effect<string, Failure>> = {
  "interrupts itself": Effect.interrupt,
  dies: bug,
  "fails and dies": Effect.ensuring(down, Effect.die("bug")),
  "is interrupted and dies": Effect.ensuring(Effect.interrupt, Effect.die("bug")),
  "never ends": hung
}

for (const [way, probe] of Object.entries(ways)) {
  it.effect(`a probe that ${way} holds its place for its lease at most`, () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { ...oneProbe, lease: "10 seconds" } })
      yield* ready(breaker)
      const fiber = yield* start(outcome(breaker.protect(probe)))
      yield* settle
      if (way !== "never ends") assert.isDefined(fiber.pollUnsafe())
      // The longer of the lease and of the second open time.
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )
}
