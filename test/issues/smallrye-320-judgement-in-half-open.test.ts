/**
 * smallrye-fault-tolerance #320: half-open, every exception was a failure, also those that the options say are none.
 * We promise: a probe is judged as any other call.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker, type Outcome } from "effect-resilience"
import { notFound, oneProbe, outcome, ready, strict, tagOf } from "./support.ts"

it.effect("what is no failure while closed is none in a probe", () =>
  Effect.gen(function* () {
    for (const [judgement, to] of [
      [{ failures: ["Down"] }, "closed"],
      [{ ignore: ["NotFound"] }, "half-open"],
      [{ classify: () => "success" as const }, "closed"],
      [{ failures: ["NotFound"] }, "open"]
    ] as const) {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, probes: oneProbe })
      yield* ready(breaker)
      yield* outcome(notFound.pipe(breaker.protect(judgement as Outcome.Classification)))
      assert.strictEqual(yield* tagOf(breaker), to)
    }
  })
)
