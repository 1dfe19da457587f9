import { assert, describe, it } from "@effect/vitest"
import { Lab, Oracle, References, Scenario, Scenarios, Sender } from "@effect-resilience/lab"

const run = (input: Scenario.Input, sender: Sender.Sender) =>
  Lab.run({ scenario: Scenario.make(input), sender, seed: 11 })

describe("a call of many parts", () => {
  const input = {
    name: "parts",
    rate: 100,
    fanOut: 20,
    workers: 100,
    warmUp: "0 seconds",
    after: "0 seconds",
    faults: [{ kind: "errors", rate: 0.02, lasts: "20 seconds" }]
  } as const

  it("is good when all of them are, and an attempt for each is one", () => {
    const { calls, ended, metrics, shards } = run(input, References.none)
    assert.closeTo(metrics.goodput, 0.98 ** 20, 0.03)
    assert.closeTo(shards[0]!, 0.98, 0.003)
    assert.closeTo(metrics.amplification, 1, 1e-9)
    assert.strictEqual(ended, calls)
  })

  it("is helped by retries", () => {
    const { amplification, goodput } = run(input, References.naive).metrics
    assert.isAbove(goodput, 0.999)
    assert.closeTo(amplification, 1 / 0.98, 0.003)
  })

  it("is lost when the shard of one part is", () => {
    const dead = {
      ...input,
      fanOut: 5,
      shards: 10,
      faults: [{ kind: "down", lasts: "20 seconds", shards: [0] }]
    } as const
    const { goodput } = run(dead, References.naive).metrics
    assert.closeTo(goodput, 0.9 ** 5, 0.03)
    assert.closeTo(Oracle.of(Scenario.make(dead)).goodput, 0.9 ** 5, 1e-6)
  })
})

describe("stragglers", () => {
  it("are one call in a hundred (S8)", () => {
    const { goodput, p99 } = run(
      { ...Scenarios.all.S8, warmUp: "2 seconds", window: "15 seconds", after: "0 seconds" },
      References.none
    ).metrics
    assert.closeTo(goodput, 0.99, 0.003)
    assert.isBelow(p99, 20)
  })

  it("are in two of three calls with 100 parts (S8b)", () => {
    const scenario = { ...Scenarios.all.S8b, warmUp: "1 second", window: "5 seconds", after: "0 seconds" } as const
    assert.closeTo(run(scenario, References.none).metrics.goodput, 0.99 ** 100, 0.05)
    const { goodput, p99 } = run(scenario, Sender.oursWithoutBreaker).metrics
    assert.isAbove(goodput, 0.99)
    assert.isAbove(p99, 200)
  })
})

describe("shards of unequal traffic", () => {
  it("get it in proportion to their weights", () => {
    const input = {
      name: "weights",
      shards: 4,
      weights: [5, 3, 1.5, 0.5],
      warmUp: "0 seconds",
      after: "0 seconds"
    } as const
    for (const [shard, share] of [0.5, 0.3, 0.15, 0.05].entries()) {
      const scenario = Scenario.make({
        ...input,
        workers: 400,
        faults: [{ kind: "down", lasts: "10 seconds", shards: [shard] }]
      })
      const { metrics, shards } = Lab.run({ scenario, sender: References.none, seed: 11 })
      assert.closeTo(metrics.goodput, 1 - share, 0.01)
      assert.closeTo(Oracle.of(scenario).goodput, 1 - share, 1e-6)
      assert.strictEqual(shards[shard], 0)
    }
  })
})
