import { assert, describe, it } from "@effect/vitest"
import { Chaos, Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { start } from "../support/observe.ts"

class Down extends Schema.TaggedError<Down>()("Down", {}) {}
const down = () => new Down()

const ok = Effect.succeed("ok")

/** How a call ends, `times` times. */
const tags = (call: Effect.Effect<unknown, unknown>, times: number) =>
  Effect.map(Effect.replicateEffect(Effect.exit(call), times), (exits) => exits.map(Exit.isSuccess))

describe("Chaos: the blast radius", () => {
  const natural = (least: number, most: number) =>
    Schema.Int.check(Schema.isGreaterThanOrEqualTo(least), Schema.isLessThanOrEqualTo(most))

  it.effect.prop(
    "is never left, whatever the faults say and however calls overlap",
    [Schema.Int, natural(1, 5), natural(1, 40), natural(1, 100), Schema.Array(natural(0, 3))],
    ([seed, concurrent, total, percent, steps]) =>
      Effect.gen(function* () {
        const share = percent / 100
        const chaos = yield* Chaos.make({
          seed,
          faults: [Chaos.hang({ rate: 0.2 }), Chaos.latency("3 millis", { rate: 0.5 }), Chaos.fail(down)],
          blastRadius: { concurrent, share, total }
        })
        const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
        for (const step of [...steps, 0, 0, 0, 0]) {
          if (step < 2) fibers.push(yield* start(ok.pipe(chaos.inject(`label ${step}`))))
          if (step === 2) yield* TestClock.adjust("1 millis")
          if (step === 3) fibers[Math.floor(fibers.length / 2)]?.interruptUnsafe()
          const { active, calls, injected } = yield* chaos.stats
          assert.isAtMost(active, concurrent)
          assert.isAtMost(injected, total)
          assert.isAtMost(injected, share * calls)
        }
        yield* Fiber.interruptAll(fibers)
        assert.strictEqual((yield* chaos.stats).active, 0)
      }),
    { arbitrary: { runs: 200, size: 60, seed: 1 } }
  )

  it.effect("is used up where it allows", () =>
    Effect.gen(function* () {
      const chaos = yield* Chaos.make({ seed: 1, faults: [Chaos.fail(down)], blastRadius: { share: 0.25, total: 20 } })
      yield* tags(ok.pipe(chaos.inject("work")), 200)
      const { injected, spared } = yield* chaos.stats
      assert.deepStrictEqual([injected, spared], [20, 180])
    })
  )

  it.effect("has its place back after each call, wherever that is interrupted", () =>
    Effect.gen(function* () {
      for (const fault of [Chaos.hang(), Chaos.latency("1 second"), Chaos.lose(down), Chaos.fail(down, { delay: 5 })]) {
        const { interrupted } = yield* Sweep.run({
          setup: Chaos.make({ seed: 1, faults: [fault], blastRadius: { concurrent: 1 } }),
          program: (chaos) => Effect.timeoutOption(Sweep.turns(2).pipe(chaos.inject("work")), "2 seconds"),
          tick: TestClock.adjust("1 second"),
          invariant: (chaos) =>
            Effect.map(chaos.stats, ({ active }) => assert.strictEqual(active, 0, "a place was lost"))
        })
        assert.isAbove(interrupted, 20)
      }
    })
  )
})
