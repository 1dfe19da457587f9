/** When a hedge starts, and what becomes of its delay when hedges do not win. */
import { assert, describe, it } from "@effect/vitest"
import * as Machine from "../../packages/resilience/src/machine/Hedge.ts"

const known = (after: number | string, level: number, samples = 1000): Machine.Hedge => {
  const state = Machine.make(after)
  state.level = level
  // The share `q` of the attempts is faster than `1000 q` ms.
  Machine.compute(state, after, samples, (q) => 1000 * q, 0)
  return state
}

describe("Hedge: the machine", () => {
  it("doubles a fixed delay per level, and halves the share of a percentage", () => {
    assert.deepStrictEqual(
      [0, 1, 2].map((level) => known(50, level).delay),
      [50, 100, 200]
    )
    assert.deepStrictEqual(
      [0, 1, 2].map((level) => known("p95", level).delay),
      [950, 975, 988]
    )
  })

  it("needs samples for a percentage, of which two are beyond it", () => {
    assert.deepStrictEqual(
      ["p50", "p95", "p98.5", "p99"].map((name) => Machine.leastSamples(Machine.quantileOf(name)!)),
      [20, 40, 134, 200]
    )
    assert.strictEqual(known("p95", 0, 39).delay, Infinity)
    assert.strictEqual(known("p95", 0, 40).delay, 950)
    assert.strictEqual(known(50, 0, 0).delay, 50)
  })

  it("begins with at most 2.5 % of the attempts, and with a fixed delay as it is", () => {
    const level = (after: number | string): number => Machine.make(after).level
    assert.deepStrictEqual([level("p90"), level("p95"), level("p97.5"), level("p99"), level(50)], [2, 1, 0, 0, 0])
  })

  it("never waits less than a millisecond", () => {
    const state = Machine.make(50)
    Machine.compute(state, "p95", 100, () => 0.07, 0)
    assert.strictEqual(state.delay, 1)
  })

  it("raises the delay when more than one in three hedges lost, and lowers it when eight in a row won", () => {
    const state = Machine.make(50)
    for (const won of [false, true]) Machine.decided(state, won, 0)
    assert.strictEqual(state.level, 0)
    Machine.decided(state, false, 0)
    assert.strictEqual(state.level, 1)
    for (let i = 0; i < 7; i++) Machine.decided(state, true, 0)
    assert.strictEqual(state.level, 1)
    Machine.decided(state, true, 0)
    assert.strictEqual(state.level, 0)
  })

  it("lowers a raised delay after five minutes", () => {
    const state = known(50, 3)
    Machine.compute(state, 50, 0, () => undefined, 299_999)
    assert.strictEqual(state.level, 3)
    Machine.compute(state, 50, 0, () => undefined, 300_000)
    assert.strictEqual(state.level, 2)
    assert.strictEqual(state.delay, 200)
  })

  it("counts those five minutes from the last change, and lowers no delay that was not raised", () => {
    const state = Machine.make(50)
    state.level = 2
    Machine.compute(state, 50, 0, () => undefined, 1000)
    Machine.compute(state, 50, 0, () => undefined, 300_999)
    assert.strictEqual(state.level, 2)
    for (const now of [301_000, 601_000, 901_000, 1_201_000]) Machine.compute(state, 50, 0, () => undefined, now)
    assert.strictEqual(state.level, 0)
    assert.strictEqual(state.delay, 50)
  })

  it("computes a delay again after a quarter of a second, for another option, and after a change of its level", () => {
    const state = Machine.make(50)
    assert.isTrue(Machine.isStale(state, 50, 0))
    assert.isTrue(Machine.isStale({ ...state, after: 50 }, 50, 0), "none was computed")
    Machine.compute(state, 50, 0, () => undefined, 1000)
    for (const [now, isStale] of [
      [1000, false],
      [1249, false],
      [1250, true],
      [9000, true]
    ] as const) {
      assert.strictEqual(Machine.isStale(state, 50, now), isStale)
      assert.isTrue(Machine.isStale(state, 60, now))
    }
    for (let i = 0; i < 2; i++) Machine.decided(state, false, 1000)
    assert.isTrue(Machine.isStale(state, 50, 1000))
  })

  it("begins with the same share of the attempts, however long the process has run", () => {
    for (const now of [0, 1e9]) {
      const state = Machine.make("p95")
      let asked = Number.NaN
      const find = (quantile: number) => {
        asked = quantile
        return 100
      }
      Machine.compute(state, "p95", 1000, find, now)
      assert.approximately(asked, 0.975, 1e-9)
      Machine.compute(state, "p95", 1000, find, now + 300_000)
      assert.approximately(asked, 0.95, 1e-9)
    }
  })

  it("stays within bounds, whatever the hedges do", () => {
    const state = Machine.make(50)
    for (let i = 0; i < 1000; i++) Machine.decided(state, i % 7 === 0, i)
    assert.isAtMost(state.level, 6)
    for (let i = 0; i < 1000; i++) Machine.decided(state, true, i)
    assert.strictEqual(state.level, 0)
  })

  it("keeps hedging while two of three hedges win, and nearly stops where none does", () => {
    const levels = (winsOf: (i: number) => boolean): number => {
      const state = Machine.make(50)
      for (let i = 0; i < 600; i++) Machine.decided(state, winsOf(i), 0)
      return state.level
    }
    assert.strictEqual(
      levels((i) => i % 3 !== 0),
      0
    )
    assert.strictEqual(
      levels(() => false),
      6
    )
  })

  it("lets a late attempt be hedged when it is the only one, or when a later one has succeeded", () => {
    const state = Machine.make(50)
    Machine.becameLate(state)
    assert.isTrue(Machine.mayStart(state, false))
    Machine.becameLate(state)
    assert.isFalse(Machine.mayStart(state, false))
    assert.isTrue(Machine.mayStart(state, true))
  })

  it("takes a late end for a queue, unless the attempt was cut or overtaken, until an answer is in time", () => {
    const ends = ["answered", "failed", "cut"] as const
    for (const how of ends) {
      for (const overtaken of [false, true]) {
        const state = Machine.make(50)
        Machine.becameLate(state)
        Machine.ended(state, how, true, overtaken, 60, 50)
        assert.strictEqual(state.late, 0)
        assert.strictEqual(state.endedLate, how !== "cut" && !overtaken, `${how} ${overtaken}`)
        assert.strictEqual(Machine.mayStart(state, false), !state.endedLate)
      }
      for (const [duration, forgets] of [
        [50, how === "answered"],
        [51, false]
      ] as const) {
        const state = Machine.make(50)
        state.endedLate = true
        Machine.ended(state, how, false, false, duration, 50)
        assert.strictEqual(state.endedLate, !forgets, `${how} ${duration}`)
        assert.strictEqual(state.late, 0)
      }
    }
  })
})
