import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, Scenarios, Sender } from "@effect-resilience/lab"

const base = {
  name: "pool",
  rate: 300,
  clients: 1,
  rtt: "0 millis",
  warmUp: "1 second",
  window: "20 seconds",
  after: "0 seconds"
} as const

const run = (input: Scenario.Input, sender: Sender.Sender = References.none) =>
  Lab.run({ scenario: Scenario.make(input), sender, seed: 11 })

describe("a pool", () => {
  it("of 4 slots before plenty of workers waits as 4 workers do", () => {
    const pooled = run({ ...base, workers: 1000, pool: { slots: 4 } }).metrics
    const queued = run({ ...base, workers: 4 }).metrics
    assert.deepStrictEqual([pooled.goodput, pooled.p99, pooled.p999], [queued.goodput, queued.p99, queued.p999])
    assert.isAbove(pooled.p99, 50)
  })

  it("with room for all changes nothing", () => {
    const { events: _, ...plain } = run({ ...base, workers: 4 })
    const { events: __, ...pooled } = run({ ...base, workers: 4, pool: { slots: 1000, wait: "1 millis" } })
    assert.deepStrictEqual(pooled, plain)
  })

  it("makes nobody wait for longer than it says", () => {
    const { goodput, p999 } = run({
      ...base,
      rate: 1000,
      workers: 1000,
      service: { kind: "constant", value: "10 millis" },
      pool: { slots: 5, wait: "30 millis" }
    }).metrics
    assert.closeTo(goodput, 0.5, 0.02)
    assert.isAtMost(p999, 40)
  })

  it.each([false, true])("gives every slot back, whatever happens to its attempt (cancels: %s)", (cancels) => {
    const faults: Scenario.Input["faults"] = [
      { kind: "hang", lasts: "1 second", every: "2 seconds", times: 3 },
      { kind: "down", at: "1 second", lasts: "500 millis", every: "2 seconds", times: 3 },
      { kind: "slow", factor: 50, at: "1500 millis", lasts: "1 second" }
    ]
    const input = { ...base, faults, cancels, pool: { slots: 4, wait: "50 millis" }, after: "5 seconds" } as const
    for (const sender of [References.naive, Sender.ours, Sender.oursWithoutBreaker]) {
      const { calls, ended, metrics } = run({ ...input, window: "0 seconds" }, sender)
      assert.strictEqual(ended, calls)
      assert.isBelow(metrics.goodput, 0.6)
      if (sender !== Sender.ours) assert.isAtMost(metrics.recovery, 1)
    }
  })
})

describe("a noisy neighbour (S9)", () => {
  const scenario = { ...Scenarios.all.S9, warmUp: "2 seconds", after: "0 seconds" }

  it("takes the slots of the other: what is served is slots over mean holding time", () => {
    const [a, b] = run(scenario).shards
    // 500 calls of 11 ms and 200 of 2 s want to be served in each second, and there are 100 slots.
    assert.closeTo(a!, 100 / (500 * 0.011 + 200 * 2), 0.02)
    assert.strictEqual(b, 0)
  })

  it("takes its own share of them when there is a bulkhead per key", () => {
    const { metrics, shards } = run(scenario, Sender.ours)
    assert.isAbove(shards[0]!, 0.999)
    // As the oracle's, and as fast as alone.
    assert.closeTo(metrics.goodput, 5 / 7, 0.02)
    assert.closeTo(metrics.p99, 47, 3)
  })
})
