import { assert, describe, it } from "@effect/vitest"
import { TripPolicy } from "effect-resilience"

/** Records calls, one each 100 ms: `f` failed, `.` succeeded, `s` was slow. */
const play = (policy: TripPolicy.TripPolicy, calls: string, state: unknown = policy.initial(), from = 0): unknown => {
  for (const [i, call] of Array.from(calls).entries()) {
    policy.record(state, call === "f", call === "s" ? 5000 : 1, from + i * 100)
  }
  return state
}

const adopt = (policy: TripPolicy.TripPolicy, state: unknown, from: TripPolicy.TripPolicy): unknown => {
  const copy = structuredClone(state)
  const adopted = policy.adopt?.(state, from)
  assert.deepStrictEqual(state, copy, "the state before is left as it is")
  return adopted
}

const consecutive = (failures: number, minDuration = 0): TripPolicy.TripPolicy =>
  TripPolicy.consecutive(failures, { minDuration }) as TripPolicy.TripPolicy

describe("a trip policy adopts the state of one of its kind", () => {
  it("a row of failures, with its beginning", () => {
    const from = consecutive(10)
    const to = consecutive(3, 200)
    const state = adopt(to, play(from, ".fff"), from)
    assert.deepStrictEqual(to.figures(state, 300), { failures: 3, limit: 3, millis: 200, minDuration: 200 })
    assert.isTrue(to.trips(state, 300))
  })

  for (const window of [{ window: "10 seconds" }, { calls: 20 }] as const) {
    it(`the calls of a window, with another threshold: ${JSON.stringify(window)}`, () => {
      const from = TripPolicy.failureRate({ ...window, threshold: 0.9, minimumCalls: 10 })
      const to = TripPolicy.failureRate({ ...window, threshold: 0.5, minimumCalls: 4 })
      const before = play(from, "ff..f.ff")
      const state = adopt(to, before, from)
      assert.isFalse(from.trips(before, 700))
      assert.deepStrictEqual(to.figures(state, 700), { calls: 8, failures: 5, rate: 5 / 8, threshold: 0.5 })
      assert.isTrue(to.trips(state, 700))
      // Both go on alone.
      to.record(state, true, 1, 800)
      assert.deepInclude(from.figures(before, 800), { calls: 8, failures: 5 })
    })
  }

  it("the last calls, when it keeps fewer or more", () => {
    const from = TripPolicy.failureRate({ calls: 10, minimumCalls: 1 })
    const before = play(from, "ffffffffff..f.ff")
    const fewer = TripPolicy.failureRate({ calls: 4, minimumCalls: 1 })
    assert.deepInclude(fewer.figures(adopt(fewer, before, from), 0), { calls: 4, failures: 3 })
    const more = TripPolicy.failureRate({ calls: 50, minimumCalls: 1 })
    const state = adopt(more, before, from)
    assert.deepInclude(more.figures(state, 0), { calls: 10, failures: 7 })
    play(more, ".".repeat(45), state)
    assert.deepInclude(more.figures(state, 0), { calls: 50, failures: 3 }, "the oldest leave first")
  })

  it("the calls of a time span that the new one reaches back to, and each leaves when it is too old", () => {
    const from = TripPolicy.failureRate({ window: "10 seconds", minimumCalls: 1 })
    const before = play(from, "f".repeat(100))
    const shorter = TripPolicy.failureRate({ window: "2 seconds", minimumCalls: 1 })
    const short = adopt(shorter, before, from)
    assert.deepInclude(shorter.figures(short, 9900), { calls: 20, failures: 20 })
    assert.deepInclude(shorter.figures(short, 10_000), { calls: 10, failures: 10 })
    assert.deepInclude(shorter.figures(short, 11_000), { calls: 0, failures: 0 })
    const longer = TripPolicy.failureRate({ window: "60 seconds", minimumCalls: 1 })
    const long = adopt(longer, before, from)
    assert.deepInclude(longer.figures(long, 10_000), { calls: 100, failures: 100 })
    assert.deepInclude(longer.figures(long, 59_900), { calls: 100, failures: 100 })
    assert.deepInclude(longer.figures(long, 66_000), { calls: 0, failures: 0 })
  })

  it("an odd time span adopts itself to the last call, at any time", () => {
    for (const window of [999, 7, 0.3, 123_457]) {
      const from = TripPolicy.failureRate({ window, minimumCalls: 1 })
      for (let now = 0; now < 50 * window; now += window * 0.37) {
        const state = from.initial()
        from.record(state, true, 1, now)
        assert.deepStrictEqual(adopt(TripPolicy.failureRate({ window }), state, from), state)
      }
    }
  })

  it("slow calls, as they were judged when they ended", () => {
    const from = TripPolicy.slowCallRate({ slowerThan: "1 second", minimumCalls: 1 })
    const to = TripPolicy.slowCallRate({ slowerThan: "9 seconds", minimumCalls: 1 })
    assert.deepInclude(to.figures(adopt(to, play(from, "ss.."), from), 300), { calls: 4, slow: 2 })
  })

  it("but not that of another kind", () => {
    const rate = TripPolicy.failureRate()
    const calls = TripPolicy.failureRate({ calls: 20 })
    const slow = TripPolicy.slowCallRate({ slowerThan: 1 })
    const all = [rate, calls, slow, consecutive(5)]
    for (const from of all) {
      for (const to of all) {
        assert.strictEqual(adopt(to, play(from, "ff."), from) === undefined, from !== to)
      }
    }
    const custom = TripPolicy.make({ name: "failureRate", initial: () => 0, record: () => {}, trips: () => false })
    assert.isUndefined(adopt(rate, 0, custom as TripPolicy.TripPolicy))
    assert.isUndefined(adopt(TripPolicy.any(rate, slow), 0, custom as TripPolicy.TripPolicy))
  })
})

describe("a combination adopts part by part", () => {
  const rate = (threshold: number) => TripPolicy.failureRate({ threshold, minimumCalls: 2 })
  const slow = TripPolicy.slowCallRate({ slowerThan: "1 second" })

  it("the standard policy, a combination of the same parts, and each part alone, in both directions", () => {
    const parts = TripPolicy.any(TripPolicy.failureRate(), consecutive(10, 2000))
    const known = { calls: 4, failures: 3 }
    for (const [from, to] of [
      [TripPolicy.standard, parts],
      [parts, TripPolicy.standard],
      [TripPolicy.standard, TripPolicy.any(slow, TripPolicy.standard)],
      [TripPolicy.any(slow, TripPolicy.standard), TripPolicy.standard],
      [TripPolicy.any(slow, TripPolicy.standard), TripPolicy.all(consecutive(1), rate(1))]
    ] as const) {
      const figures = to.figures(adopt(to, play(from, ".fff"), from), 300)
      assert.deepInclude(figures, { "failureRate.calls": known.calls, "failureRate.failures": known.failures })
      assert.strictEqual(figures["consecutive.failures"], 3)
    }
    for (const to of [TripPolicy.failureRate({ threshold: 0.1 }), consecutive(7)]) {
      assert.deepInclude(to.figures(adopt(to, play(TripPolicy.standard, ".fff"), TripPolicy.standard), 300), {
        failures: 3
      })
      const back = adopt(TripPolicy.standard, play(to, ".fff"), to)
      assert.deepInclude(TripPolicy.standard.figures(back, 300), { [`${to.name}.failures`]: 3 })
    }
  })

  it("parts of one kind by their position, and one more of a kind has the evidence of the first", () => {
    const from = TripPolicy.any(TripPolicy.failureRate({ calls: 2 }), TripPolicy.failureRate({ calls: 5 }))
    const state = play(from, "fff..")
    const to = TripPolicy.any(
      TripPolicy.failureRate({ calls: 9 }),
      TripPolicy.failureRate({ calls: 9 }),
      TripPolicy.failureRate({ calls: 9 })
    )
    assert.deepInclude(to.figures(adopt(to, state, from), 500), {
      "failureRate#1.calls": 2,
      "failureRate#2.calls": 5,
      "failureRate#2.failures": 3,
      "failureRate#3.calls": 2
    })
  })

  it("a part that it does not know begins with an empty state", () => {
    const from = rate(0.5)
    const to = TripPolicy.any(slow, rate(0.9))
    assert.deepInclude(to.figures(adopt(to, play(from, "f.ff"), from), 300), {
      "slowCallRate.calls": 0,
      "failureRate.calls": 4
    })
  })

  it("a part of the user's that is the same one", () => {
    const total = TripPolicy.make({
      name: "total",
      initial: () => ({ failures: 0 }),
      record: (state, failed) => {
        if (failed) state.failures += 1
      },
      trips: () => false,
      figures: (state) => ({ ...state })
    }) as TripPolicy.TripPolicy
    const from = TripPolicy.any(slow, total)
    const to = TripPolicy.all(total, rate(1))
    assert.deepInclude(to.figures(adopt(to, play(from, "ff"), from), 200), { "total.failures": 2 })
  })
})
