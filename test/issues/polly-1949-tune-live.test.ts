/**
 * Polly #1949, and Polly's reload of options: a change of options at run time builds a new pipeline, and with it forgets state.
 * We promise: a bulkhead is resized in place. Who runs goes on, who waits keeps the order, the circuit keeps its state.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, TripPolicy } from "effect-resilience"
import { down, type Failure, outcome, settle, start } from "./support.ts"

it.effect("a policy is resized without losing its queue or its circuit", () =>
  Effect.gen(function* () {
    const policy = yield* Policy.make("db", {
      breaker: { trip: TripPolicy.consecutive(3) },
      bulkhead: { maxConcurrent: 1, maxQueued: 5 }
    })
    for (let i = 0; i < 2; i++) yield* outcome(policy.protect(down))
    const served: Array<number> = []
    const work = (i: number): Effect.Effect<string, Failure> =>
      Effect.andThen(
        Effect.sync(() => served.push(i)),
        Effect.delay(down, "1 second")
      )
    const calls = yield* Effect.forEach([0, 1, 2, 3], (i) => start(outcome(policy.protect(work(i)))))
    yield* policy.control.resize(3)
    yield* settle
    assert.deepStrictEqual(served, [0, 1, 2])
    yield* policy.control.resize(1)
    assert.deepInclude(yield* policy.stats(), { running: 3, waiting: 1, maxConcurrent: 1 })
    yield* TestClock.adjust("1 second")
    assert.strictEqual((yield* policy.stats()).circuit?._tag, "open", "the two failures from before were kept")
    yield* Fiber.awaitAll(calls)
  })
)
