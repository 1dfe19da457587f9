/**
 * Polly #1828: there was no way to ask a registry what it holds.
 * We promise: all circuits that are kept, and all keys of a policy, can be listed.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker, Policy } from "effect-resilience"
import { down, ok, outcome, strict } from "./support.ts"

it.effect("every key is listed with its state", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", strict)
    const policy = yield* Policy.make("users", { breaker: strict })
    for (const [key, call] of [
      ["eu", ok],
      ["us", down]
    ] as const) {
      yield* outcome(call.pipe(breaker.protect({ key })))
      yield* outcome(call.pipe(policy.protect({ key })))
    }
    const states = yield* breaker.states
    assert.deepStrictEqual(Object.fromEntries(states.map(({ _tag, key }) => [key, _tag])), { eu: "closed", us: "open" })
    const stats = yield* policy.allStats
    const told = stats.map(({ circuit, key }) => [key, circuit?._tag])
    assert.deepStrictEqual(Object.fromEntries(told), { eu: "closed", us: "open" })
  })
)
