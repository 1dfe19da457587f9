/** The delay that a percentage of the latencies gives. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy } from "effect-resilience"
import { start, takes } from "../policy/support.ts"

const running = (policy: { readonly stats: () => Effect.Effect<{ readonly running: number }> }) =>
  Effect.map(policy.stats(), ({ running }) => running)

describe("Hedge: a percentage", () => {
  it.effect("hedges nothing before enough latencies are known, and then what is slower than that share of them", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        hedge: { idempotent: true },
        budget: { ratio: 1, initial: 10, capacity: 10 }
      })
      const slow = yield* start(takes("1 second").pipe(policy.protect))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(slow)
      for (let i = 0; i < 80; i++) {
        const call = yield* start(takes(i === 7 ? "100 millis" : "10 millis").pipe(policy.protect))
        yield* TestClock.adjust("100 millis")
        yield* Fiber.join(call)
      }
      assert.strictEqual((yield* policy.stats()).totals.hedges, 0)
      yield* TestClock.adjust("300 millis")
      const call = yield* start(takes("1 second").pipe(policy.protect))
      yield* TestClock.adjust("21 millis")
      assert.strictEqual(yield* running(policy), 1)
      // No later call has succeeded, so it must be late twice.
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* running(policy), 2)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(call)
    })
  )

  it.effect("counts an attempt that lost as one that takes longer, so that the delay does not shrink by itself", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        hedge: { after: "20 millis", idempotent: true },
        budget: { ratio: 1, initial: 10, capacity: 10 }
      })
      let calls = 0
      const work = Effect.suspend(() => (++calls === 1 ? takes("1 second") : takes("1 millis")))
      const call = yield* start(work.pipe(policy.protect))
      yield* TestClock.adjust("30 millis")
      yield* Fiber.join(call)
      const { attempts, latency } = (yield* policy.stats()).recent
      assert.strictEqual(attempts, 1)
      // One call and its two attempts: 1 ms for the hedge, and at least 21 ms for the other one.
      assert.isAbove(Duration.toMillis(latency?.p99 ?? Duration.zero), 20)
    })
  )
})
