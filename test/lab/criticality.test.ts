/** S5, twice the capacity for ten seconds, with calls of three criticalities. */
import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, Scenarios, Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import { Propagation } from "effect-resilience"
import { sample } from "../support/sample.ts"

const mean = (values: ReadonlyArray<number>): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** A fifth of the world: as many calls of each client, to a fifth of the workers. */
const small = Scenario.make({ ...Scenarios.more.X13, clients: 10, rate: 280, workers: 4 })

describe("Lab: criticality", () => {
  it("an overload costs next to none of the calls of the highest class, and most of those of the lowest", () => {
    const scenario = sample(small, Scenario.make(Scenarios.more.X13))
    const runs = sample([1000], [1000, 1001, 1002, 1003]).map((seed) =>
      Lab.run({ scenario, sender: Sender.adaptive, seed })
    )
    const shareOf = (name: Propagation.Criticality): number =>
      mean(runs.map(({ classes }) => classes[name] ?? Number.NaN))
    // Four workers are busy by chance more often than twenty. The least that was measured, of seeds 1000 to 1005: 0.979 and 0.9992.
    assert.isAtLeast(shareOf("critical-plus"), sample(0.97, 0.999))
    // Half of the calls can be served: all of the first third, and half of the second.
    assert.isAtLeast(shareOf("critical"), 0.4)
    assert.isAbove(shareOf("sheddable"), 0.01, "none starves")
  })

  it("each call has one class, by the proportions of the scenario, and a sender sees it", () => {
    const scenario = Scenario.make({
      name: "classes",
      rate: 200,
      clients: 3,
      classes: { "critical-plus": 1, sheddable: 3 },
      warmUp: "0 seconds",
      window: "20 seconds",
      after: "1 second"
    })
    const seen = new Map<Propagation.Criticality, number>()
    const failing: Sender.Sender = {
      name: "failing",
      title: "what is sheddable fails",
      make: () =>
        Effect.succeed((call) =>
          Effect.flatMap(Propagation.current, ({ criticality }): Effect.Effect<void, unknown> => {
            seen.set(criticality, (seen.get(criticality) ?? 0) + 1)
            return criticality === "sheddable" ? Effect.fail("not sent") : call.limited
          })
        )
    }
    const { calls, classes } = Lab.run({ scenario, sender: failing, seed: 1 })
    assert.deepStrictEqual([...seen.keys()].sort(), ["critical-plus", "sheddable"])
    assert.approximately((seen.get("sheddable") ?? 0) / calls, 0.75, 0.03)
    assert.deepStrictEqual(Object.keys(classes), ["critical-plus", "sheddable"])
    assert.strictEqual(classes.sheddable, 0)
    assert.isAbove(classes["critical-plus"] ?? 0, 0.99)
  })

  it("without classes there are none, and the calls are the same as with one", () => {
    const scenario = {
      name: "plain",
      rate: 100,
      clients: 2,
      warmUp: "1 second",
      window: "3 seconds",
      after: "1 second"
    } as const
    const run = (classes: Scenario.Input["classes"]) =>
      Lab.run({
        scenario: Scenario.make({ ...scenario, ...(classes && { classes }) }),
        sender: References.none,
        seed: 1
      })
    const [without, with_] = [run(undefined), run({ critical: 1 })]
    assert.deepStrictEqual(without.classes, {})
    assert.deepStrictEqual({ ...with_, classes: {} }, without)
  })

  it("classes without a proportion, or with another name, are refused", () => {
    const make = (classes: object) => () => Scenario.make({ name: "wrong", classes })
    assert.throws(make({}), /one class at least, got none\n {2}at \["classes"\]/)
    assert.throws(make({ critical: 0 }), /between 0\.001 and 1000000, got 0\n {2}at \["classes"\]\["critical"\]/)
    assert.throws(make({ important: 1 }), /important/)
  })
})
