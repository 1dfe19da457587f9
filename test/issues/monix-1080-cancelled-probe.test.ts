/**
 * monix #1080 (also davenverse/circuit #98 and #258): a caller's timeout around the breaker cancelled the probe, and the circuit stayed
 * half-open.
 * We promise: whoever cancels a probe, the next call is one.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Timeout } from "effect-resilience"
import { hung, ok, oneProbe, outcome, ready, start, strict } from "./support.ts"

it.effect("a probe that an outer timeout cancels keeps no place", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    yield* ready(breaker)
    const outer = {
      effect: Effect.timeoutOption(breaker.protect(hung), "1 second"),
      ours: outcome(breaker.protect(hung).pipe(Timeout.after("1 second"))),
      race: Effect.raceFirst(Effect.exit(breaker.protect(hung)), Effect.sleep("1 second"))
    }
    for (const [name, probe] of Object.entries(outer)) {
      const fiber = yield* start(Effect.asVoid(probe as Effect.Effect<unknown>))
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 1 }, name)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0 }, name)
    }
    assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
  })
)
