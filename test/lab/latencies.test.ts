import { assert, describe, it } from "@effect/vitest"
import { Latencies, quantilesOf } from "../../packages/lab/src/internal/latencies.ts"
import { streamOf } from "../../packages/lab/src/internal/random.ts"

describe("latencies", () => {
  it("are exact for up to a million", () => {
    const latencies = new Latencies()
    for (let i = 1_000_000; i > 0; i--) latencies.push(i)
    const at = quantilesOf(latencies)
    assert.deepStrictEqual([at(0), at(0.5), at(1)], [1, 500_000.5, 1_000_000])
    assert.isNaN(quantilesOf(new Latencies())(0.5))
  })

  it("need no more memory beyond that, and are exact to 0.1 %", () => {
    const latencies = new Latencies()
    const random = streamOf(1, "latencies")
    const values = Float64Array.from({ length: 1_200_000 }, () => -Math.log(1 - random()) * 10)
    for (const value of values) latencies.push(value)
    assert.strictEqual(latencies.exact.length, 0)
    assert.isBelow(latencies.counts?.length ?? Infinity, 30_000)
    values.sort()
    const at = quantilesOf(latencies)
    for (const share of [0.5, 0.99, 0.999]) {
      const exact = values[Math.floor(share * (values.length - 1))]!
      assert.closeTo(at(share) / exact, 1, 0.001)
    }
  })
})
