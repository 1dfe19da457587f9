/**
 * Polly #2381 (also #311, #717, cockatiel #73, gobreaker #63, opossum #613): one lucky or unlucky probe decided for all.
 * We promise: so many successes of so many probes close the circuit, and it opens as soon as they cannot be reached.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker } from "effect-resilience"
import { down, ok, outcome, ready, strict, tagOf } from "./support.ts"

it.effect.each([
  { answers: "ss", to: "closed" },
  { answers: "sfs", to: "closed" },
  { answers: "s", to: "half-open" },
  { answers: "f", to: "half-open" },
  { answers: "ff", to: "open" }
])("two of three probes close: after $answers it is $to", ({ answers, to }) =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: { permitted: 3, successes: 2 } })
    yield* ready(breaker)
    for (const answer of answers) yield* outcome(breaker.protect(answer === "s" ? ok : down))
    assert.strictEqual(yield* tagOf(breaker), to)
  })
)
