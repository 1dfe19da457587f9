import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { TripPolicy } from "effect-resilience"

/** Tells a policy of calls, one per millisecond, and after each whether it would open. */
const tell = (policy: TripPolicy.TripPolicy<any>, calls: string, start = 0): Array<boolean> => {
  const evidence = policy.initial()
  return Array.from(calls, (call, i) => {
    policy.record(evidence, call === "x", 1, start + i)
    return policy.trips(evidence, start + i)
  })
}

/** The number of the call that opens, from 1; 0 when none does. */
const opensAt = (policy: TripPolicy.TripPolicy<any>, calls: string): number => tell(policy, calls).indexOf(true) + 1

describe("consecutive", () => {
  it.each([
    [1, "x", 1],
    [3, "xxx", 3],
    [3, "xxoxx", 0],
    [3, "xxoxxx", 6],
    [3, "oooooo", 0]
  ] as const)("%i in a row, of %s, opens at call %i", (failures, calls, at) => {
    assert.strictEqual(opensAt(TripPolicy.consecutive(failures), calls), at)
  })

  it("shows the number of failures and the number it takes to trip", () => {
    const policy = TripPolicy.consecutive(2)
    const evidence = policy.initial()
    policy.record(evidence, true, 1, 0)
    assert.deepStrictEqual(policy.figures(evidence, 0), { failures: 1, limit: 2 })
  })
})

describe("failureRate", () => {
  it("does not trip below minimumCalls", () => {
    const policy = TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 4 })
    assert.deepStrictEqual(tell(policy, "xxxx"), [false, false, false, true])
  })

  it("trips at the threshold, not only above it", () => {
    assert.strictEqual(opensAt(TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 4 }), "ooxx"), 4)
    assert.strictEqual(opensAt(TripPolicy.failureRate({ threshold: 0.51, minimumCalls: 4 }), "ooxx"), 0)
    assert.strictEqual(opensAt(TripPolicy.failureRate({ threshold: 1, minimumCalls: 3 }), "oxxxxxx"), 0)
  })

  it.prop(
    "exactly m of n failures reach the threshold m / n, for every m and n",
    { n: Schema.Literals([3, 7, 50, 100, 1000]), m: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1000 })) },
    ({ m, n }) => {
      const failures = ((m - 1) % n) + 1
      const policy = TripPolicy.failureRate({ threshold: failures / n, calls: n, minimumCalls: n })
      const calls = "x".repeat(failures).padEnd(n, "o")
      assert.strictEqual(opensAt(policy, calls), n)
      if (failures > 1) assert.strictEqual(opensAt(policy, calls.slice(1).padEnd(n, "o")), 0)
    },
    { arbitrary: { seed: 1 } }
  )

  it("forgets calls that have left the window of time", () => {
    const policy = TripPolicy.failureRate({ threshold: 0.5, window: "1 second", minimumCalls: 2 })
    const evidence = policy.initial()
    policy.record(evidence, true, 1, 0)
    policy.record(evidence, true, 1, 1000)
    assert.isFalse(policy.trips(evidence, 1000))
    policy.record(evidence, true, 1, 1100)
    assert.isTrue(policy.trips(evidence, 1100))
    assert.deepStrictEqual(policy.figures(evidence, 1100), { calls: 2, failures: 2, rate: 1, threshold: 0.5 })
  })

  it("shows the figures of the present time, not of the last call", () => {
    const policy = TripPolicy.failureRate({ threshold: 0.5, window: "1 second" })
    const evidence = policy.initial()
    policy.record(evidence, true, 1, 0)
    assert.deepStrictEqual(policy.figures(evidence, 5000), { calls: 0, failures: 0, rate: 0, threshold: 0.5 })
  })

  it("forgets calls that have left the window of calls", () => {
    const policy = TripPolicy.failureRate({ threshold: 0.5, calls: 4, minimumCalls: 4 })
    assert.strictEqual(opensAt(policy, "xooooxxo"), 7)
  })

  it("trips at a threshold of one half, of at least 20 calls", () => {
    const policy = TripPolicy.failureRate({ threshold: 0.5 })
    assert.strictEqual(opensAt(policy, "x".repeat(30)), 20)
    assert.strictEqual(opensAt(policy, "xo".repeat(10)), 20)
    assert.strictEqual(opensAt(policy, `${"xo".repeat(9)}oo`), 0)
  })

  it("by default trips at 80 % failures of at least 20 calls in 10 seconds", () => {
    const policy = TripPolicy.failureRate()
    assert.strictEqual(opensAt(policy, "x".repeat(30)), 20)
    assert.strictEqual(opensAt(policy, "xxxxo".repeat(4)), 20)
    assert.strictEqual(opensAt(policy, `${"xxxxo".repeat(3)}xxxoo`), 0)
    const evidence = policy.initial()
    for (let i = 0; i < 19; i++) policy.record(evidence, true, 1, 0)
    policy.record(evidence, true, 1, 10_000)
    assert.isFalse(policy.trips(evidence, 10_000))
  })

  it("over a window of calls, the default of minimumCalls is at most the window", () => {
    assert.strictEqual(opensAt(TripPolicy.failureRate({ calls: 5 }), "xxxxx"), 5)
  })
})

describe("slowCallRate", () => {
  const policy = TripPolicy.slowCallRate({ slowerThan: "2 seconds", threshold: 0.5, minimumCalls: 2 })

  it("counts calls that took at least the threshold, failed or not", () => {
    const evidence = policy.initial()
    policy.record(evidence, true, 1999, 0)
    policy.record(evidence, true, 1999, 0)
    assert.isFalse(policy.trips(evidence, 0))
    policy.record(evidence, false, 2000, 0)
    policy.record(evidence, true, 9000, 0)
    assert.isTrue(policy.trips(evidence, 0))
    assert.deepStrictEqual(policy.figures(evidence, 0), { calls: 4, slow: 2, rate: 0.5, threshold: 0.5 })
  })
})

describe("any and all", () => {
  const row = TripPolicy.consecutive(3)
  const half = TripPolicy.failureRate({ threshold: 0.5, calls: 4, minimumCalls: 4 })

  it.each([
    ["xxxo", 3, 0],
    ["xoxo", 4, 0],
    ["oxxx", 4, 4]
  ] as const)("%s opens any at call %i, all at call %i", (calls, any, all) => {
    assert.strictEqual(opensAt(TripPolicy.any(row, half), calls), any)
    assert.strictEqual(opensAt(TripPolicy.all(row, half), calls), all)
  })

  it("combine the names of their parts, and show the figures of each", () => {
    const both = TripPolicy.any(row, half)
    assert.strictEqual(both.name, "any(consecutive, failureRate)")
    const evidence = both.initial()
    both.record(evidence, true, 1, 0)
    assert.deepStrictEqual(both.figures(evidence, 0), {
      "consecutive.failures": 1,
      "consecutive.limit": 3,
      "failureRate.calls": 1,
      "failureRate.failures": 1,
      "failureRate.rate": 1,
      "failureRate.threshold": 0.5
    })
  })

  it("show the figures of two parts with one name separately", () => {
    const two = TripPolicy.all(TripPolicy.consecutive(1), TripPolicy.consecutive(2))
    const evidence = two.initial()
    assert.deepStrictEqual(two.figures(evidence, 0), {
      "consecutive#1.failures": 0,
      "consecutive#1.limit": 1,
      "consecutive#2.failures": 0,
      "consecutive#2.limit": 2
    })
  })

  it("can be nested", () => {
    const nested = TripPolicy.any(TripPolicy.all(row, half), TripPolicy.consecutive(5))
    assert.strictEqual(nested.name, "any(all(consecutive, failureRate), consecutive)")
    assert.strictEqual(opensAt(nested, "oxxx"), 4)
  })
})

describe("custom trip policies", () => {
  const total = (limit: number) =>
    TripPolicy.make({
      name: "total",
      initial: () => ({ failures: 0 }),
      record: (evidence, failed) => {
        if (failed) evidence.failures += 1
      },
      trips: (evidence) => evidence.failures >= limit
    })

  it("a custom trip policy trips when its `trips` returns true, and needs no figures", () => {
    assert.strictEqual(opensAt(total(3), "xoxoox"), 6)
    assert.deepStrictEqual(total(3).figures({ failures: 1 }, 0), {})
  })

  it("a custom trip policy combines with those of the package", () => {
    assert.strictEqual(opensAt(TripPolicy.any(total(3), TripPolicy.consecutive(2)), "xoxoox"), 6)
    assert.strictEqual(opensAt(TripPolicy.any(total(3), TripPolicy.consecutive(2)), "xx"), 2)
  })
})

describe("evidence", () => {
  it.each([
    TripPolicy.consecutive(1),
    TripPolicy.failureRate(),
    TripPolicy.failureRate({ calls: 5 }),
    TripPolicy.slowCallRate({ slowerThan: 1 }),
    TripPolicy.any(TripPolicy.consecutive(1), TripPolicy.failureRate())
  ] as Array<TripPolicy.TripPolicy<any>>)("of one circuit is not that of another: $name", (policy) => {
    const one = policy.initial()
    const fresh = structuredClone(policy.initial())
    for (let i = 0; i < 30; i++) policy.record(one, true, 10, 0)
    assert.isTrue(policy.trips(one, 0))
    assert.deepStrictEqual(policy.initial(), fresh)
  })
})
