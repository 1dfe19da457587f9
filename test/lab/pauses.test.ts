/** 200 calls a second through an adaptive policy, to a dependency that has twice the workers they need. */
import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, Sender } from "@effect-resilience/lab"
import { seeded } from "../support/random.ts"

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

/** No answer for so many milliseconds, three times. */
const pauses = (millis: number): NonNullable<Scenario.Input["faults"]> =>
  [0, 5, 10].map((at) => ({ kind: "hang", at: `${at} seconds`, lasts: `${millis} millis` }))

/** Percent of what could have been answered in time. */
const lost = (input: Scenario.Input, sender: Sender.Sender): number => {
  const { metrics } = Lab.run({ scenario: Scenario.make(input), sender, seed: 1000 })
  return 100 * Math.max(0, metrics.regret)
}

describe("Lab: pauses, and the first calls", () => {
  it("when the caller stands still, and then makes the calls of that time at once, no more are lost than without a policy", () => {
    const random = seeded(1)
    for (const pause of [250, 400]) {
      const times: Array<number> = []
      for (let at = 0; at < 20_000; at += (-Math.log(1 - random()) * 1000) / 200) {
        const since = (at - 5000) % 5000
        times.push(at > 5000 && since < pause ? at - since + pause : at)
      }
      times.sort((one, other) => one - other)
      const scenario = { ...healthy, arrivals: { times }, faults: pauses(pause) }
      assert.isAtMost(lost(scenario, Sender.adaptive), lost(scenario, References.none))
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
