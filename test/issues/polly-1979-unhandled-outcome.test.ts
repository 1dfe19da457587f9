/**
 * Polly #1979: an exception that the half-open strategy did not handle left it stuck; today any unhandled outcome, a cancellation
 * included, closes the circuit.
 * We promise: a cancelled probe is neutral, a defect is a failure, and only an answer of the dependency closes.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { CircuitBreaker } from "effect-resilience"
import { bug, down, hung, notFound, oneProbe, outcome, ready, start, strict, tagOf } from "./support.ts"

const cases = [
  { end: "is cancelled", to: "half-open", probe: hung },
  { end: "dies", to: "open", probe: bug },
  { end: "fails", to: "open", probe: down },
  { end: "answers with a permanent error", to: "closed", probe: notFound }
]

it.effect.each(cases)("a probe that $end: $to", ({ probe, to }) =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
    yield* ready(breaker)
    const fiber = yield* start(outcome(breaker.protect(probe)))
    yield* Fiber.interrupt(fiber)
    assert.strictEqual(yield* tagOf(breaker), to)
  })
)
