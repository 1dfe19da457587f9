/**
 * opossum 9.0.0, as measured: a timeout freed the permit while the work went on, and with a capacity of 1 five ran at a time.
 * We promise: a timeout interrupts the work, and its permit is free when the work has really ended, and no sooner.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Policy, Timeout } from "effect-resilience"
import { type Failure, hung, outcome, start } from "./support.ts"

it.effect("work that takes its time to end keeps its permit until then", () =>
  Effect.gen(function* () {
    let running = 0
    let most = 0
    const stubborn: Effect.Effect<string, Failure> = Effect.acquireUseRelease(
      Effect.sync(() => {
        most = Math.max(most, ++running)
      }),
      () => hung,
      () =>
        Effect.andThen(
          Effect.sleep("3 seconds"),
          Effect.sync(() => (running -= 1))
        )
    )
    const policy = yield* Policy.make("db", { bulkhead: { maxConcurrent: 1, maxQueued: 10 }, timeout: "1 second" })
    const gate = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 10 })
    const ways = [() => policy.protect(stubborn), () => stubborn.pipe(Timeout.after("1 second"), gate.protect)]
    for (const way of ways) {
      const calls = yield* Effect.forEach([1, 2, 3, 4, 5], () => start(outcome(way())))
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), Array(5).fill("TimedOut"))
      assert.deepStrictEqual([most, running], [1, 0])
    }
  })
)
