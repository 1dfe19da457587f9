/**
 * opossum #658 (and #719): in a process that restores its state for each call, a half-open circuit never called the function, as its
 * probe had died with the process before.
 * We promise: probes do not survive a snapshot. A circuit that was half-open is probed by the first call after it is restored.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, held, ok, oneProbe, outcome, ready, strict, tagOf } from "./support.ts"

it.effect("a circuit saved in the middle of its probe is probed after the restart", () =>
  Effect.gen(function* () {
    // One failure opens no closed circuit of these; it opens a half-open one.
    const options = { ...strict, trip: TripPolicy.consecutive(3), probes: oneProbe }
    const before = yield* CircuitBreaker.make("users", options)
    yield* ready(before)
    yield* held(before)
    const snapshot: CircuitBreaker.Snapshot = JSON.parse(JSON.stringify(yield* before.snapshot))
    const after = yield* CircuitBreaker.make("users", options)
    yield* after.restore(snapshot)
    assert.strictEqual(yield* outcome(after.protect(down)), "Down", "the function is called")
    assert.deepInclude(yield* after.state(), { _tag: "open", openings: 2 }, "and it was a probe")
    yield* TestClock.adjust("10 seconds")
    yield* outcome(after.protect(ok))
    assert.strictEqual(yield* tagOf(after), "closed")
  })
)
