/**
 * resilience4j #2013, #528, #1901: with a list of exceptions that count, those of the time limiter did not, and the circuit stayed
 * closed over a dependency that no longer responded.
 * We promise: a timeout is a failure whatever `failures` names, and a probe that times out closes nothing.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policy, Timeout } from "effect-resilience"
import { hung, oneProbe, start, strict, tagOf } from "./support.ts"

const options = { ...strict, probes: oneProbe, failures: ["Down"] } as const

it.effect("in a policy", () =>
  Effect.gen(function* () {
    const policy = yield* Policy.make("users", { timeout: "1 second", breaker: options })
    const state = Effect.map(policy.stats(), ({ circuit }) => circuit?._tag)
    yield* start(Effect.exit(policy.protect(hung)))
    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* state, "open")
    yield* TestClock.adjust("5 seconds")
    yield* start(Effect.exit(policy.protect(hung)))
    assert.strictEqual(yield* state, "half-open")
    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* state, "open")
  })
)

it.effect("around a timeout", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", options)
    yield* start(Effect.exit(hung.pipe(Timeout.after("1 second"), breaker.protect)))
    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* tagOf(breaker), "open")
  })
)
