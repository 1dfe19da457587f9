/**
 * coder #24701: the status 429 opened the circuit of a provider that was available, and stopped calls that it would have served.
 * We promise: a throttled call is retried and ignored by the breaker, as a probe too, unless `throttled` or `failures` asks for
 * more.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker, Transient, TripPolicy } from "effect-resilience"
import { status as responded } from "../support/effectErrors.ts"
import { oneProbe, ready, strict, tagOf } from "./support.ts"

const throttled = Effect.fail(responded(429)).pipe(Transient.known)

describe("429", () => {
  it.effect("opens no circuit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("provider", { trip: TripPolicy.consecutive(1) })
      for (let call = 0; call < 60; call++) yield* Effect.exit(throttled.pipe(breaker.protect))
      assert.strictEqual((yield* breaker.state())._tag, "closed")
    })
  )

  it.effect("as a probe is neutral, and frees its permit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("provider", { ...strict, probes: oneProbe })
      yield* ready(breaker)
      yield* Effect.exit(throttled.pipe(breaker.protect))
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0, successes: 0 })
    })
  )

  it.effect("opens the circuit of a breaker that asks for it", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("provider", strict)
      yield* Effect.exit(throttled.pipe(breaker.protect({ key: "a", throttled: "failure" })))
      yield* Effect.exit(throttled.pipe(breaker.protect({ key: "b", failures: ["HttpClientError"] })))
      assert.deepStrictEqual([yield* tagOf(breaker, "a"), yield* tagOf(breaker, "b")], ["open", "open"])
    })
  )
})
