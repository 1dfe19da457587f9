/** An adaptive policy with calls of several criticalities: the more important first, and places kept for them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Propagation } from "effect-resilience"
import { down, settle, start, takes } from "./support.ts"

const options = { timeout: "1 second", deadline: "3 seconds", adaptive: {} } as const
const as = (criticality: Propagation.Criticality) => Propagation.provide({ criticality })

describe("Adaptive: criticality", () => {
  it.effect(
    "serves the most important call first when the dependency responds again, and the oldest of its class",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", options)
        for (let i = 0; i < 50; i++) {
          const call = yield* start(policy.protect(takes("10 millis")))
          yield* TestClock.adjust("20 millis")
          yield* Fiber.join(call)
        }
        for (let i = 0; i < 10; i++) {
          yield* Effect.exit(policy.protect(down))
          yield* TestClock.adjust("60 millis")
        }
        const order: Array<string> = []
        const call = (name: string, criticality: Propagation.Criticality) =>
          start(
            Effect.exit(
              Effect.suspend(() => Effect.as(takes("10 millis"), order.push(name))).pipe(
                policy.protect,
                as(criticality)
              )
            )
          )
        const fibers = [
          yield* call("c1", "critical"),
          yield* call("p1", "critical-plus"),
          yield* call("p2", "critical-plus"),
          yield* call("s1", "sheddable"),
          yield* call("c2", "critical")
        ]
        assert.strictEqual((yield* policy.stats()).waiting, 5)
        yield* TestClock.adjust("2500 millis")
        yield* settle
        for (const fiber of fibers) assert.isTrue(Exit.isSuccess(yield* Fiber.join(fiber)))
        assert.deepStrictEqual(order, ["p1", "p2", "c1", "c2", "s1"])
      })
  )
})
