import { assert, describe, it } from "@effect/vitest"
import { Laws } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { TripPolicy } from "effect-resilience"

describe("a suite that would prove nothing, or not end", () => {
  it("refuses no laws, and options that make no sense", () => {
    assert.throws(() => Laws.check([]), "Laws.check: there are no laws to check")
    const schedule = Schedule.recurs(1)
    assert.throws(() => Laws.schedule("mine", schedule, { times: -1 }), "Laws: mine: times must be an integer >= 0")
    assert.throws(
      () => Laws.onRetry("mine", () => Effect.void, { runs: 0 }),
      "Laws: mine: runs must be an integer >= 1"
    )
    const policy = TripPolicy.consecutive(1)
    assert.throws(() => Laws.tripPolicy("mine", policy, { calls: 0 }), "Laws: mine: calls must be an integer >= 1")
    assert.throws(
      () => Laws.trips("mine", policy, { failures: 1, within: 0 }),
      "Laws.trips mine: within must be above zero"
    )
    assert.throws(() => Laws.replay(Laws.trips("mine", policy, { failures: 1 }), "no"), "there is no law")
  })

  it.effect("every law of a policy that never ends, or cannot be interrupted, is broken and ends", () =>
    Effect.gen(function* () {
      const stuck = Effect.uninterruptible(Effect.never)
      for (const law of Laws.policy(
        "mine",
        Effect.succeed(() => stuck),
        { runs: 1, timeLimit: "1 second" }
      )) {
        assert.strictEqual((yield* Effect.flip(law.check)).law, law.name)
      }
      const unmade = Laws.policy("mine", stuck, { runs: 1, timeLimit: "20 millis" })
      for (const law of unmade) {
        assert.include((yield* Effect.flip(law.check)).message, "it had not ended after 20ms, and was stopped")
      }
    })
  )

  it.effect("a broken law is replayed with the input that it prints", () =>
    Effect.gen(function* () {
      const laws = Laws.fallback("mine", () => Effect.die("no"))
      const broken = yield* Effect.flip(Laws.check(laws))
      assert.include(broken.message, 'Replay: Laws.replay(laws, "never dies", error.input)')
      const again = yield* Effect.flip(Laws.replay(laws, broken.law, broken.input))
      assert.strictEqual(again.reason, broken.reason)
    })
  )
})
