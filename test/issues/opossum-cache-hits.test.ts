/**
 * opossum 9.0.0, as measured: 51 answers from its cache hid 20 failures of 20, and the circuit did not open.
 * We promise: an answer that is not the dependency's is no success of the dependency.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker, StaleFallback, TripPolicy } from "effect-resilience"
import { down, type Failure, ok, tagOf } from "./support.ts"

it.effect("answers from the last good value do not dilute the failures", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("prices", {
      trip: TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 10 }),
      openFor: "1 minute"
    })
    const prices = yield* StaleFallback.make<string>("prices", { maxAge: "1 day", when: "any" })
    const get = (work: Effect.Effect<string, Failure>) => work.pipe((work) => breaker.protect(work), prices.protect)
    assert.strictEqual(yield* get(ok), "ok")
    const answers: Array<string> = []
    for (let i = 0; i < 60; i++) answers.push(yield* Effect.orDie(get(down)))
    assert.deepStrictEqual(new Set(answers), new Set(["ok"]), "everybody was answered")
    assert.strictEqual(yield* tagOf(breaker), "open")
  })
)
