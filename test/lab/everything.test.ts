import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, Scenarios, Sender } from "@effect-resilience/lab"
import { sample } from "../support/sample.ts"

const senders = [Sender.ours, Sender.oursWithoutBreaker, References.none, References.jitter]

/** Everything that a world can have, and everything that can go wrong in it. */
const everything = Scenario.make({
  name: "everything",
  rate: 20,
  clients: 4,
  workers: 2,
  shards: 2,
  weights: [3, 1],
  fanOut: 3,
  tiers: 2,
  pool: { slots: 20, wait: "100 millis" },
  queue: 40,
  discipline: "codel-lifo",
  warmUp: "2 seconds",
  after: "4 seconds",
  faults: [
    { kind: "down", lasts: "1 second", every: "3 seconds", times: 2 },
    { kind: "cold", factor: 5, keys: 500, at: "1 second", lasts: "2 seconds" },
    { kind: "hang", at: "1500 millis", lasts: "1 second", shards: [1] },
    { kind: "errors", rate: 0.5, at: "4 seconds", lasts: "1 second" },
    { kind: "surge", factor: 4, at: "5 seconds", lasts: "1 second" }
  ]
})

describe("a world with everything in it", () => {
  for (const sender of sample([Sender.ours, References.jitter], senders)) {
    it(`runs the same for the same seed, and ends every call once: ${sender.name}`, () => {
      const once = Lab.run({ scenario: everything, sender, seed: 3 })
      assert.deepStrictEqual(Lab.run({ scenario: everything, sender, seed: 3 }), once)
      assert.notDeepEqual(Lab.run({ scenario: everything, sender, seed: 4 }).metrics, once.metrics)
      for (const cancels of [false, true]) {
        const { calls, ended, good } = Lab.run({ scenario: { ...everything, cancels }, sender, seed: 5 })
        assert.strictEqual(ended, calls)
        assert.isTrue(good > 0 && good < calls)
      }
    })
  }
})

describe("the oracle is not beaten", () => {
  const short = { warmUp: "1 second", window: "3 seconds", after: "2 seconds" } as const
  const inputs: ReadonlyArray<Scenario.Input> = [
    {
      ...Scenarios.all.S7b,
      ...short,
      faults: [
        { kind: "down", lasts: "1 second" },
        { kind: "cold", factor: 4, keys: 1000, at: "1 second", lasts: "3 seconds" }
      ]
    },
    { ...Scenarios.all.S8, ...short },
    { ...Scenarios.all.S8b, ...short, warmUp: "0 seconds", window: "1 second" },
    { ...Scenarios.all.S9, ...short, faults: [{ kind: "hang", lasts: "3 seconds", shards: [1] }] },
    { ...Scenarios.all.S10, ...short, faults: [{ kind: "errors", rate: 0.3, lasts: "3 seconds" }] }
  ]
  for (const input of inputs) {
    it(`in ${input.name}`, () => {
      for (const sender of sample([Sender.ours, References.jitter], senders)) {
        const { shortfall } = Lab.run({ scenario: Scenario.make(input), sender, seed: 7 }).metrics
        // By no more than the arrivals of one run differ from their mean.
        assert.isAbove(shortfall, -0.03, sender.name)
      }
    })
  }
})
