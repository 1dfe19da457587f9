import { assert, describe, it } from "@effect/vitest"
import { Lab, Oracle, References, Scenario, Scenarios } from "@effect-resilience/lab"
import { Cache } from "../../packages/lab/src/internal/cache.ts"
import { streamOf } from "../../packages/lab/src/internal/random.ts"

describe("a cold cache", () => {
  it("misses less and less: by e to the served over the keys", () => {
    const chance = streamOf(1, "keys")
    const keys = 10_000
    const cache = new Cache({ factor: 3, keys })
    assert.strictEqual(cache.slowdown, 3)
    for (let served = 1; served <= 2 * keys; served++) {
      const key = cache.miss(chance())
      if (key !== undefined) cache.put(key)
      if (served % keys === 0) assert.closeTo((cache.slowdown - 1) / 2, Math.exp(-served / keys), 0.01)
    }
  })

  it("has a key once, however many have fetched it at the same time", () => {
    const cache = new Cache({ factor: 3, keys: 2 })
    assert.deepStrictEqual([cache.miss(0.2), cache.miss(0.4), cache.miss(0.9)], [0, 0, 1])
    cache.put(0)
    cache.put(0)
    assert.deepStrictEqual([cache.miss(0.2), cache.miss(0.9), cache.slowdown], [undefined, 1, 2])
  })

  // Work whose key is not there takes 300 ms, so that its caller does not wait for it; 7,000 keys at 1,400 calls a second.
  const input = {
    name: "cold",
    workers: 2000,
    service: { kind: "constant", value: "10 millis" },
    warmUp: "0 seconds",
    after: "0 seconds"
  } as const
  const cold = { kind: "cold", factor: 30, keys: 7000 } as const

  it("warms as work is done for it", () => {
    const scenario = Scenario.make({ ...input, faults: [{ ...cold, lasts: "10 seconds" }] })
    // Of what is missing, ∫ e^(-t / 5 s) dt over ten seconds; a miss counts 300 ms after it came.
    const missed = 5 * (1 - Math.exp(-10 / 5)) + 0.3
    assert.closeTo(Lab.run({ scenario, sender: References.none, seed: 11 }).metrics.goodput, 1 - missed / 10, 0.02)
  })

  it("does not warm while nobody asks", () => {
    const scenario = Scenario.make({
      ...input,
      warmUp: "2 seconds",
      faults: [
        { ...cold, lasts: "5 seconds" },
        { kind: "surge", factor: 0, lasts: "5 seconds" }
      ],
      after: "20 seconds"
    })
    const { lost, recovery } = Lab.run({ scenario, sender: References.none, seed: 11 }).metrics
    assert.closeTo(lost, 5 * (1 - Math.exp(-20 / 5)) + 0.3, 0.3)
    assert.isAbove(recovery, 10)
  })

  it("is cold for the shards that it says, with their part of the keys", () => {
    const scenario = Scenario.make({
      ...input,
      shards: 2,
      faults: [{ ...cold, keys: 14_000, lasts: "10 seconds", shards: [1] }]
    })
    const [warm, other] = Lab.run({ scenario, sender: References.none, seed: 11 }).shards
    assert.strictEqual(warm, 1)
    // Half of the traffic, and 7,000 keys.
    assert.closeTo(other!, 1 - (10 * (1 - Math.exp(-1)) + 0.3) / 10, 0.03)
  })

  it("is bounded by the oracle as if all workers did nothing but warm it (S7b)", () => {
    const oracle = Oracle.of(Scenario.make(Scenarios.all.S7b))
    // 500 calls a second while all keys are missing, of which those longer than 199 ms are too late.
    assert.closeTo(oracle.at(50_000), (500 / 1400) * (1 - Math.exp(-199 / 40)), 0.002)
    // Until a share m is missing it takes (keys / 2000) (3 (1 - m) - ln m) seconds; 1,400 a second need m = 1 / 7.
    const enough = 50_000 + 2500 * (3 * (6 / 7) - Math.log(1 / 7))
    assert.isBelow(oracle.at(enough - 200), 1)
    assert.isAbove(oracle.at(enough + 200), 0.999)
    assert.isBelow(oracle.at(enough - 2000), 0.9)
  })
})
