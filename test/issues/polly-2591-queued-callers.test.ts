/**
 * resilience4j #370 and #1117, Polly #2591, tower-resilience #233: callers that were queued before a circuit opened went on
 * waiting for a permit, and learnt of it one by one, each when a hung call gave its permit back.
 * We promise: a call that waits for a permit learns at once that its circuit has opened or was isolated.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { Policy } from "effect-resilience"
import { down, hung, ok, outcome, start, strict } from "./support.ts"

it.effect("no time passes between the opening and the rejection of the calls that wait", () =>
  Effect.gen(function* () {
    const policy = yield* Policy.make("users", { breaker: strict, bulkhead: { maxConcurrent: 2, maxQueued: 50 } })
    yield* start(policy.protect(hung))
    const failing = yield* start(policy.protect(Effect.andThen(Effect.yieldNow, down)))
    const waiting = yield* Effect.forEach(Array(50).fill(0), () => start(outcome(policy.protect(ok))))
    yield* Fiber.await(failing)
    const tags = yield* Effect.forEach(waiting, Fiber.join)
    assert.deepStrictEqual(new Set(tags), new Set(["CircuitOpen"]))
    assert.deepInclude(yield* policy.stats(), { running: 1, waiting: 0 })
  })
)
