import { assert, describe, it } from "@effect/vitest"
import { Oracle, Scenario } from "@effect-resilience/lab"
import { figuresOf } from "../../packages/lab/src/internal/figures.ts"
import { Ledger } from "../../packages/lab/src/internal/ledger.ts"

// A ledger written by hand: 10 calls in every tenth of a second, down from second 1 to second 3, until second 10.

const scenario = Scenario.make({
  name: "by hand",
  rate: 100,
  warmUp: "1 second",
  after: "7 seconds",
  faults: [{ kind: "down", lasts: "2 seconds" }]
})

interface Slot {
  readonly good: number
  readonly attempts: number
  readonly refusedFalsely?: number
}

/** The figures of a ledger whose slot at a second is as `at` says; 10 of 10 good with one attempt each where it says nothing. */
const figures = (at: (second: number) => Slot | undefined, more: (ledger: Ledger) => void = () => {}) => {
  const ledger = new Ledger(scenario)
  ledger.offered.fill(10)
  ledger.good.forEach((_, index) => {
    const slot = at(index / 10) ?? { good: 10, attempts: 10 }
    ledger.good[index] = slot.good
    ledger.attempts[index] = slot.attempts
    ledger.falselyRejected[index] = slot.refusedFalsely ?? 0
  })
  more(ledger)
  return figuresOf(ledger, Oracle.of(scenario))
}

const isDown = (second: number): boolean => second >= 1 && second < 3

describe("the figures of a ledger written by hand", () => {
  it("of a sender that goes on sending", () => {
    const found = figures((second) => (isDown(second) ? { good: 0, attempts: 30 } : undefined))
    assert.deepStrictEqual(
      [found.goodput, found.amplification, found.peak, found.leak, found.detection],
      [0, 3, 3, 3, Infinity]
    )
    assert.deepStrictEqual([found.recovery, found.lost, found.falseRejects], [0, 0, 0])
    assert.closeTo(found.regret, 0, 1e-3)
  })

  it("of a breaker that opens after half a second and closes two seconds late", () => {
    const found = figures((second) => {
      if (second >= 1 && second < 1.5) return { good: 0, attempts: 10 }
      if (second >= 1.5 && second < 3) return { good: 0, attempts: 0 }
      return second >= 3 && second < 5 ? { good: 0, attempts: 0, refusedFalsely: 10 } : undefined
    })
    assert.deepStrictEqual([found.leak, found.detection, found.recovery], [0.25, 500, 2])
    assert.closeTo(found.lost, 2, 1e-9)
    // Two of the nine seconds since the fault, and two of the seven in which the oracle serves.
    assert.closeTo(found.falseRejects, 2 / 9, 1e-9)
    assert.closeTo(found.regret, 2 / 7, 1e-3)
  })

  it("is not healthy for a second or two alone", () => {
    const found = figures((second) =>
      isDown(second) || Math.floor(second) === 5 ? { good: 0, attempts: 10 } : undefined
    )
    assert.strictEqual(found.recovery, 3)
  })

  it("never heals when it never does", () => {
    const found = figures((second) => (second >= 1 ? { good: 9, attempts: 10 } : undefined))
    assert.strictEqual(found.recovery, Infinity)
    assert.closeTo(found.lost, 0.7, 1e-9)
  })

  it("of latencies and of work", () => {
    const found = figures(
      () => undefined,
      (ledger) => {
        for (let i = 1000; i >= 0; i--) ledger.latencies.push(i)
        ledger.worked = 400
        ledger.wasted = 100
      }
    )
    assert.deepStrictEqual([found.p99, found.p999, found.waste], [990, 999, 0.25])
  })

  it("has no leak where something can be reached", () => {
    const slow = Scenario.make({ name: "slow", faults: [{ kind: "slow", factor: 2, lasts: "1 second" }] })
    const ledger = new Ledger(slow)
    ledger.offered.fill(1)
    assert.isNaN(figuresOf(ledger, Oracle.of(slow)).leak)
  })
})

describe("regret and the time of failing callers", () => {
  const half = Scenario.make({
    name: "half",
    rate: 100,
    warmUp: "1 second",
    after: "7 seconds",
    faults: [{ kind: "capacity", factor: 0.5, lasts: "2 seconds" }]
  })
  const of = (good: (second: number) => number, more: (ledger: Ledger) => void = () => {}) => {
    const ledger = new Ledger(half)
    ledger.offered.fill(10)
    ledger.good.forEach((_, index) => {
      ledger.good[index] = good(index / 10)
    })
    more(ledger)
    return figuresOf(ledger, Oracle.of(half))
  }

  it("is counted once with its sign, and at least 0 in the regrets", () => {
    const ahead = of(() => 12)
    assert.closeTo(ahead.shortfall, -0.2, 0.01)
    assert.deepStrictEqual([ahead.regret, ahead.faultRegret], [0, 0])
  })

  it("is not diluted by the healthy time after the fault in the regret during it", () => {
    const found = of((second) => (isDown(second) ? 5 : 10))
    assert.closeTo(found.faultRegret, 0.5, 0.01)
    assert.closeTo(found.regret, 1 / 9, 0.01)
  })

  it("is the mean wait of the calls that failed during the fault", () => {
    const found = of(
      () => 10,
      (ledger) => {
        ledger.failed = 4
        ledger.failWait = 600
        ledger.calls = 10
        ledger.ended = 7
      }
    )
    assert.deepStrictEqual([found.timeToFail, found.unended], [150, 3])
    assert.isNaN(of(() => 10).timeToFail)
  })
})
