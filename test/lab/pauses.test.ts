/** Calls through an adaptive policy from a client process that stands still at times, or to a dependency that is overloaded at once. */
import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, Sender } from "@effect-resilience/lab"

/** 200 calls a second to a dependency that has twice the workers they need. */
const healthy = {
  name: "pauses",
  rate: 200,
  clients: 1,
  workers: 16,
  service: { kind: "lognormal", mean: "40 millis", sigma: 0.3 },
  timeout: "500 millis",
  deadline: "1 second",
  warmUp: "5 seconds",
  after: "4 seconds"
} satisfies Scenario.Input

const stalls = (millis: number, every: number): NonNullable<Scenario.Input["faults"]> => [
  { kind: "stall", lasts: `${millis} millis`, every: `${every} millis`, times: Math.floor(15_000 / every) }
]

/** Percent of what could have been answered in time. */
const lost = (input: Scenario.Input, sender: Sender.Sender): number => {
  const { metrics } = Lab.run({ scenario: Scenario.make(input), sender, seed: 1000 })
  return 100 * Math.max(0, metrics.faultRegret)
}

describe("Lab: pauses, and the first calls", () => {
  it.each([
    [250, 5000],
    [400, 5000],
    [250, 1500]
  ])("a caller that stands still for %i ms every %i ms loses no more than without a policy", (millis, every) => {
    const scenario = { ...healthy, faults: stalls(millis, every) }
    assert.isAtMost(lost(scenario, Sender.adaptive), lost(scenario, References.none))
  })

  it("nor does one of 1,400 calls a second to the base model, up to a hundredth", () => {
    for (const [millis, every] of [
      [100, 1000],
      [200, 2000]
    ] as const) {
      const { deadline, timeout, warmUp } = {
        deadline: "1 second",
        timeout: "200 millis",
        warmUp: "5 seconds"
      } as const
      const scenario = { name: "busy", clients: 1, deadline, timeout, warmUp, faults: stalls(millis, every) }
      assert.isAtMost(lost(scenario, Sender.adaptive), lost(scenario, References.none) + 1)
    }
  })

  it("a dependency that is overloaded from the first call on is protected", () => {
    for (const workers of [7, 5]) {
      const scenario = { ...healthy, workers, warmUp: "0 seconds", window: "10 seconds", after: "1 second" } as const
      assert.isBelow(lost(scenario, Sender.adaptive), 5)
      assert.isAbove(lost(scenario, References.none), 70)
    }
  })
})
