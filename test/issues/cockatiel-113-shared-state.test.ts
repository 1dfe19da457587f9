/**
 * cockatiel #113: state that was handed out was the state itself, and changed under its holder.
 * We promise: what is handed out is a picture of its moment, and two breakers share nothing.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker, Policy, TripPolicy } from "effect-resilience"
import { down, outcome, tagOf } from "./support.ts"

it.effect("a state, a snapshot and stats stay what they were", () =>
  Effect.gen(function* () {
    const options = { trip: TripPolicy.consecutive(2) } as const
    const one = yield* CircuitBreaker.make("users", options)
    const other = yield* CircuitBreaker.make("users", options)
    const policy = yield* Policy.make("users", { breaker: options })
    const pictures = [yield* one.state(), yield* one.states, yield* one.snapshot, yield* policy.stats()]
    const copies = structuredClone(pictures.map((picture) => JSON.stringify(picture)))
    for (let i = 0; i < 2; i++) {
      yield* outcome(one.protect(down))
      yield* outcome(policy.protect(down))
    }
    assert.strictEqual(yield* tagOf(one), "open")
    assert.deepStrictEqual(
      pictures.map((picture) => JSON.stringify(picture)),
      copies
    )
    assert.strictEqual(yield* tagOf(other), "closed", "one trip policy, evidence of their own")
  })
)
