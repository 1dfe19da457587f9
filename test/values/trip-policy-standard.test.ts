import { assert, describe, it } from "@effect/vitest"
import { TripPolicy } from "effect-resilience"

const { standard } = TripPolicy

/** Tells it of calls, so many milliseconds apart; which one opens, from 1, or 0. */
const opensAt = (calls: Iterable<boolean>, apart: number): number => {
  const evidence = standard.initial()
  let n = 0
  for (const failed of calls) {
    standard.record(evidence, failed, 1, n * apart)
    n += 1
    if (standard.trips(evidence, (n - 1) * apart)) return n
  }
  return 0
}

const calls = (text: string): ReadonlyArray<boolean> => Array.from(text, (call) => call === "x")

const all = (n: number) => calls("x".repeat(n))

describe("TripPolicy.standard", () => {
  it("opens when ten in a row have failed over half a second", () => {
    assert.strictEqual(opensAt(all(10), 60), 10)
    assert.strictEqual(opensAt(all(100), 100), 10)
    assert.strictEqual(opensAt(all(100), 5000), 10, "however little traffic there is")
    assert.strictEqual(opensAt(all(9), 5000), 0)
  })

  it("not before the half second is over", () => {
    const evidence = standard.initial()
    for (let i = 0; i < 15; i++) {
      standard.record(evidence, true, 1, i === 0 ? 0 : 499)
      assert.isFalse(standard.trips(evidence, 499))
    }
    standard.record(evidence, true, 1, 500)
    assert.isTrue(standard.trips(evidence, 500))
  })

  it("ten failures in one moment are a broken connection, not an outage", () => {
    assert.strictEqual(opensAt(all(10), 0), 0)
    assert.strictEqual(opensAt([...all(19), false], 0), 20, "by the rate: 20 calls are enough for one")
  })

  it("opens at four of five of at least 20 calls in 10 seconds", () => {
    assert.strictEqual(opensAt(calls("xxxxo".repeat(4)), 100), 20)
    assert.strictEqual(opensAt(calls("oxxxx".repeat(4)), 100), 20)
    assert.strictEqual(opensAt(calls("xxxxo".repeat(3)), 100), 0)
    assert.strictEqual(opensAt(calls("xxxo".repeat(1000)), 100), 0)
    assert.strictEqual(opensAt(calls("xxxxo".repeat(1000)), 600), 0, "16 or 17 in 10 seconds are too few")
  })

  it("a service of which half of the calls fail is still worth calling, for ever", () => {
    assert.strictEqual(opensAt(calls("xo".repeat(50_000)), 10), 0)
    // By chance, 100 calls a second for an hour.
    let state = 1
    const chance = function* () {
      for (let i = 0; i < 360_000; i++) {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        yield state < 2 ** 31
      }
    }
    assert.strictEqual(opensAt(chance(), 10), 0)
  })

  it("has one value, and each circuit evidence of its own", () => {
    const [one, other] = [standard.initial(), standard.initial()]
    for (let i = 0; i < 30; i++) standard.record(one, true, 1, i * 100)
    assert.deepStrictEqual([standard.trips(one, 2900), standard.trips(other, 2900)], [true, false])
  })

  it("shows the figures of both parts, and does not look at durations", () => {
    assert.deepStrictEqual([standard.name, standard.usesDuration], ["any(failureRate, consecutive)", false])
    const evidence = standard.initial()
    for (const at of [0, 100, 250]) standard.record(evidence, true, 1, at)
    assert.deepStrictEqual(standard.figures(evidence, 250), {
      "failureRate.calls": 3,
      "failureRate.failures": 3,
      "failureRate.rate": 1,
      "failureRate.threshold": 0.8,
      "consecutive.failures": 3,
      "consecutive.limit": 10,
      "consecutive.millis": 250,
      "consecutive.lasting": 500
    })
  })
})
