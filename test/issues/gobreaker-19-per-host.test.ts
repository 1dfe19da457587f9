/**
 * gobreaker #19: one breaker for all hosts: the one that was down took the others with it.
 * We promise: one circuit per key.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { CircuitBreaker, Policy } from "effect-resilience"
import { down, type Failure, ok, outcome, strict } from "./support.ts"

it.effect("a host that is down closes the door to itself alone", () =>
  Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("hosts", strict)
    const policy = yield* Policy.make("hosts", { breaker: strict })
    for (const protect of [
      (work: Effect.Effect<string, Failure>, key: string) => work.pipe(breaker.protect({ key })),
      (work: Effect.Effect<string, Failure>, key: string) => work.pipe(policy.protect({ key }))
    ]) {
      yield* outcome(protect(down, "a.test"))
      assert.strictEqual(yield* outcome(protect(ok, "a.test")), "CircuitOpen")
      assert.strictEqual(yield* outcome(protect(ok, "b.test")), "ok")
    }
  })
)
