import { afterAll, assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
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
  it("trips when ten calls in a row have failed over two seconds", () => {
    assert.strictEqual(opensAt(all(10), 240), 10)
    assert.strictEqual(opensAt(all(100), 230), 10)
    assert.strictEqual(opensAt(all(100), 5000), 10, "however little traffic there is")
    assert.strictEqual(opensAt(all(9), 5000), 0)
  })

  it("does not trip before the two seconds have passed", () => {
    const evidence = standard.initial()
    for (let i = 0; i < 15; i++) {
      standard.record(evidence, true, 1, i === 0 ? 0 : 1999)
      assert.isFalse(standard.trips(evidence, 1999))
    }
    standard.record(evidence, true, 1, 2000)
    assert.isTrue(standard.trips(evidence, 2000))
  })

  it("does not trip at ten failures in one instant", () => {
    assert.strictEqual(opensAt(all(10), 0), 0)
    assert.strictEqual(opensAt([...all(19), false], 0), 20, "by the rate: 20 calls are enough for one")
  })

  it("trips at 80 % failures of at least 20 calls in 10 seconds", () => {
    assert.strictEqual(opensAt(calls("xxxxo".repeat(4)), 100), 20)
    assert.strictEqual(opensAt(calls("oxxxx".repeat(4)), 100), 20)
    assert.strictEqual(opensAt(calls("xxxxo".repeat(3)), 100), 0)
    assert.strictEqual(opensAt(calls("xxxo".repeat(1000)), 100), 0)
    assert.strictEqual(opensAt(calls("xxxxo".repeat(1000)), 600), 0, "16 or 17 in 10 seconds are too few")
  })

  it("never trips while half of the calls fail", () => {
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

  it("is one shared value, and each circuit has its own evidence", () => {
    const [one, other] = [standard.initial(), standard.initial()]
    for (let i = 0; i < 30; i++) standard.record(one, true, 1, i * 100)
    assert.deepStrictEqual([standard.trips(one, 2900), standard.trips(other, 2900)], [true, false])
  })

  it("shows the figures of both parts, and uses no durations of calls", () => {
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
      "consecutive.minDuration": 2000
    })
  })
})

/** What it stands for, with evidence of several objects. */
const rate = TripPolicy.failureRate()
const row = TripPolicy.consecutive(10, { minDuration: "2 seconds" })
const either = TripPolicy.any(rate, row)

/** A timer of 32 bits comes to its end after 25 days. */
const days25 = 2 ** 31

describe("TripPolicy.standard and its two parts combined with any", () => {
  /** Which parts have tripped: calls of which none trips would show nothing. */
  const seen = new Set<string>()
  afterAll(() => assert.deepStrictEqual([...seen].sort(), ["", "rate", "rate and row", "row"]))

  const steps = [0, 0, 0.3, 1, 7.75, 49.9, 230, 240.5, 100, 499.999, 900, 1000, 4000, 10_000, -0.4, -30, -2500]
  const Calls = Schema.Array(
    Schema.Struct({ draw: Schema.Literals([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), step: Schema.Literals(steps) })
  ).check(Schema.isMinLength(1), Schema.isMaxLength(200))

  it.prop(
    "trip at the same calls, and show the same figures",
    {
      start: Schema.Literals([0, 0.25, 86_399_999.5, days25 - 2000.5, days25 + 0.5, 2 ** 40]),
      failing: Schema.Literals([5, 8, 9, 10]),
      longest: Schema.Literals([1, 60, 1000, 10_000]),
      calls: Calls
    },
    ({ calls, failing, longest, start }) => {
      const evidence = standard.initial()
      const parts = either.initial()
      const [ofRate, ofRow] = [rate.initial(), row.initial()]
      let now = start
      for (const { draw, step } of calls) {
        now = Math.max(0, now + Math.max(-longest, Math.min(step, longest)))
        const failed = draw < failing
        standard.record(evidence, failed, 1, now)
        either.record(parts, failed, 1, now)
        rate.record(ofRate, failed, 1, now)
        row.record(ofRow, failed, 1, now)
        assert.strictEqual(standard.trips(evidence, now), either.trips(parts, now))
        assert.deepStrictEqual(standard.figures(evidence, now), either.figures(parts, now))
        const tripped = [rate.trips(ofRate, now) ? ["rate"] : [], row.trips(ofRow, now) ? ["row"] : []]
        seen.add(tripped.flat().join(" and "))
      }
    },
    { arbitrary: { runs: 400, size: 200, seed: 1 } }
  )
})

describe("TripPolicy.standard in a process that lives for months", () => {
  const starts = [days25 - 250, days25, 2 * days25 - 250, 2 * days25, 10 * days25 + 0.5]

  it.each(starts)("from %d ms on it trips at the same calls as from zero", (start) => {
    const opens = (failures: number, apart: number) => {
      const evidence = standard.initial()
      for (let n = 1; n <= failures; n++) {
        const now = start + (n - 1) * apart
        standard.record(evidence, true, 1, now)
        if (standard.trips(evidence, now)) return n
      }
      return 0
    }
    assert.deepStrictEqual(
      [opens(10, 240), opens(10, 220), opens(11, 220), opens(19, 0), opens(20, 0)],
      [10, 0, 11, 0, 20]
    )
  })

  it("keeps working over two months of one circuit", () => {
    const evidence = standard.initial()
    for (let i = 0; i < 5; i++) standard.record(evidence, true, 1, i)
    for (let now = 0; now < 3 * days25; now += days25 / 4) standard.record(evidence, false, 1, now)
    const start = 3 * days25 + 0.5
    for (let i = 0; i < 10; i++) {
      assert.isFalse(standard.trips(evidence, start + i * 240))
      standard.record(evidence, true, 1, start + i * 240)
    }
    assert.isTrue(standard.trips(evidence, start + 2160))
    assert.deepInclude(standard.figures(evidence, start + 2160), { failures: 10, millis: 2159 })
    assert.deepStrictEqual(standard.trippedBy?.(evidence, start + 2160), ["consecutive"])
  })
})

describe("the evidence of TripPolicy.standard", () => {
  it("is one object beside its counters, with integers that need no allocation", () => {
    const evidence = standard.initial() as Record<string, unknown>
    for (const at of [0.4, 12.6, 5000.7]) standard.record(evidence, true, 1, at)
    const { calls, marked, ...numbers } = evidence
    assert.isTrue(Array.isArray(calls) && Array.isArray(marked))
    assert.deepStrictEqual(numbers, {
      width: 1000,
      tick: 5,
      totalCalls: 3,
      totalMarked: 3,
      failures: 3,
      since: 1
    })
  })
})
