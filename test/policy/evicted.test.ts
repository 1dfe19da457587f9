import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, type Stats, TripPolicy } from "effect-resilience"
import { down, ok, pauses, start, touchy } from "./support.ts"

const sumOf = (all: ReadonlyArray<Stats.Stats>, count: (totals: Stats.Totals) => number): number =>
  all.reduce((sum, { totals }) => sum + count(totals), 0)

describe("Policy: keys that are no longer kept", () => {
  it.effect("no sum over the keys decreases when keys are evicted", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(1),
        breaker: touchy,
        bulkhead: { maxConcurrent: 1 },
        keys: { maxKeys: 2 }
      })
      const counts: ReadonlyArray<(totals: Stats.Totals) => number> = [
        ({ calls }) => calls,
        ({ successes }) => successes,
        ({ failures }) => failures,
        ({ openings }) => openings,
        ({ giveUps }) => Object.values(giveUps).reduce((a, b) => a + b, 0),
        ({ rejections }) => Object.values(rejections).reduce((a, b) => a + b, 0),
        ({ timeIn }) => Object.values(timeIn).reduce((sum, time) => sum + Duration.toMillis(time), 0)
      ]
      const read = Effect.map(policy.allStats, (all) => counts.map((count) => sumOf(all, count)))
      let before = yield* read
      for (let i = 0; i < 60; i++) {
        const call = i % 3 === 0 ? down : ok
        yield* start(Effect.exit(call.pipe(policy.protect({ key: `k${i}` }))))
        yield* TestClock.adjust("3 seconds")
        const after = yield* read
        assert.isTrue(
          after.every((count, at) => count >= before[at]!),
          `${before} then ${after}`
        )
        before = after
      }
      assert.deepStrictEqual(before.slice(0, 4), [60, 40, 20, 20])
      const all = yield* policy.allStats
      assert.isAtMost(all.length, 4)
      assert.deepInclude(all.at(-1), { key: "(evicted)", circuit: undefined, running: 0 })
    })
  )

  it.effect("no row for them while every key is kept", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* policy.protect(ok)
      assert.deepStrictEqual(
        (yield* policy.allStats).map(({ key }) => key),
        ["default"]
      )
    })
  )

  it.effect("a retry that is decided after its key was evicted is counted", () =>
    Effect.gen(function* () {
      const retry = { schedule: pauses(1), onRetry: () => Effect.sleep("1 second") }
      const policy = yield* Policy.make("p", {
        retry,
        breaker: { trip: TripPolicy.consecutive(9) },
        keys: { maxKeys: 1 }
      })
      const call = yield* start(Effect.exit(down.pipe(policy.protect({ key: "a" }))))
      yield* ok.pipe(policy.protect({ key: "b" }))
      yield* TestClock.adjust("5 seconds")
      yield* Fiber.join(call)
      const all = yield* policy.allStats
      assert.strictEqual(
        sumOf(all, ({ giveUps }) => giveUps.attempts),
        1
      )
      assert.strictEqual(
        sumOf(all, ({ failures }) => failures),
        2
      )
    })
  )
})
