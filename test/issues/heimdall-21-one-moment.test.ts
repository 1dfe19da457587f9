/**
 * gojek/heimdall #21, openclaw #68543, vercel/fetch-retry #9, hocuspocus #175: everybody who was told the same time to come back
 * comes back at one moment.
 * We promise: a Retry-After is a least open time, and the open times of circuits that got the same one differ.
 */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { Down, type Failure, outcome } from "./support.ts"

it.effect("50 circuits that are asked for the same 30 seconds are due over the six seconds after them", () =>
  Effect.gen(function* () {
    const asked: Effect.Effect<string, Failure> = Effect.fail(new Down({ retryAfter: Duration.seconds(30) }))
    const left = new Set<number>()
    for (let i = 0; i < 50; i++) {
      const breaker = yield* CircuitBreaker.make("users", { trip: TripPolicy.consecutive(1) })
      yield* outcome(breaker.protect(asked))
      const state = yield* breaker.state()
      if (state._tag === "open") left.add(Duration.toMillis(state.retryAfter))
    }
    assert.isAbove(left.size, 45)
    assert.isAtLeast(Math.min(...left), 30_000)
    assert.isAtMost(Math.max(...left), 36_000)
    assert.isAbove(Math.max(...left) - Math.min(...left), 3000)
  })
)
