/** When a hedge starts, and what becomes of its delay when hedges do not win. */
import { assert, describe, it } from "@effect/vitest"
import * as Machine from "../../packages/resilience/src/machine/Hedge.ts"

/** What knows `durations`, one after the other and never late. */
const having = (option: number | string, durations: ReadonlyArray<number>, level?: number): Machine.Hedge => {
  const state = Machine.make(option)
  if (level !== undefined) state.level = level
  for (const duration of durations) Machine.ended(state, "answered", false, false, duration, Infinity, 0)
  return state
}

/** `count` of them, of which the share `q` is faster than `count q` milliseconds. */
const upTo = (count: number): ReadonlyArray<number> => Array.from({ length: count }, (_, i) => i + 1)

/** A step of the histogram is at most 6.25 % wide. */
const assertNear = (found: number, expected: number): void => {
  assert.isAtLeast(found, expected)
  assert.isAtMost(found, 1.0625 * expected + 1)
}

describe("Hedge: the machine", () => {
  it("doubles a fixed delay per level, and halves the share of a percentage", () => {
    assert.deepStrictEqual(
      [0, 1, 2].map((level) => Machine.delayAt(having(50, [], level), 50, 0)),
      [50, 100, 200]
    )
    for (const [level, percent] of [50, 75, 87.5].entries()) {
      assertNear(Machine.delayAt(having("p50", upTo(1000), level), "p50", 0), 10 * percent)
    }
  })

  it("needs samples for a percentage, of which two are beyond it", () => {
    assert.deepStrictEqual(
      ["p50", "p95", "p98.5", "p99"].map((name) => Machine.leastSamples(Machine.quantileOf(name)!)),
      [20, 40, 134, 200]
    )
    assert.strictEqual(Machine.delayAt(having("p95", upTo(39)), "p95", 0), Infinity)
    assertNear(Machine.delayAt(having("p95", upTo(40)), "p95", 0), 39)
    assert.strictEqual(Machine.delayAt(having(50, []), 50, 0), 50)
    const older = having("p95", upTo(39))
    Machine.ended(older, "answered", false, false, 39, Infinity, 10_000)
    assertNear(Machine.delayAt(older, "p95", 10_000), 38)
  })

  it("begins with at most 2.5 % of the attempts, and with a fixed delay as it is", () => {
    const level = (after: number | string): number => Machine.make(after).level
    assert.deepStrictEqual([level("p90"), level("p95"), level("p97.5"), level("p99"), level(50)], [2, 1, 0, 0, 0])
  })

  it("never waits less than a millisecond", () => {
    assert.strictEqual(Machine.delayAt(having("p95", new Array(100).fill(0.07)), "p95", 0), 1)
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
    const state = having(50, [], 3)
    assert.deepStrictEqual(
      [0, 299_749, 300_000].map((now) => Machine.delayAt(state, 50, now)),
      [400, 400, 200]
    )
  })

  it("counts those five minutes from the last change, and lowers no delay that was not raised", () => {
    const state = having(50, [], 2)
    assert.deepStrictEqual(
      [1000, 300_749, 301_000, 601_000, 901_000, 1_201_000].map((now) => Machine.delayAt(state, 50, now)),
      [200, 200, 100, 50, 50, 50]
    )
  })

  it("computes a delay again after a quarter of a second, for another option, and after a change of its level", () => {
    const state = having("p97.5", [])
    assert.strictEqual(Machine.delayAt(state, "p97.5", 1000), Infinity)
    for (let i = 0; i < 80; i++) Machine.ended(state, "answered", false, false, 10, Infinity, 1000)
    assert.strictEqual(Machine.delayAt(state, "p97.5", 1249), Infinity)
    assertNear(Machine.delayAt(state, "p97.5", 1250), 10)
    assert.strictEqual(Machine.delayAt(state, 60, 1250), 60)
    assert.strictEqual(Machine.delayAt(state, 50, 1250), 50)
    for (let i = 0; i < 2; i++) Machine.decided(state, false, 1250)
    assert.strictEqual(Machine.delayAt(state, 50, 1250), 100)
  })

  it("begins anew when a percentage takes the place of a duration, and the other way", () => {
    const state = having("p95", upTo(1000))
    for (let i = 0; i < 4; i++) Machine.decided(state, false, 0)
    assert.strictEqual(state.level, 3)
    assert.strictEqual(Machine.delayAt(state, 50, 0), 50)
    for (let i = 0; i < 2; i++) Machine.decided(state, false, 0)
    assert.strictEqual(Machine.delayAt(state, 60, 0), 120, "of the same kind the level stays")
    assert.strictEqual(Machine.delayAt(state, "p90", 1), Infinity)
    assert.strictEqual(state.level, 2)
    Machine.decided(state, false, 1)
    assert.strictEqual(state.level, 2, "the score is a new one too")
    for (let i = 0; i < 2; i++) Machine.decided(state, false, 1)
    assert.strictEqual(Machine.delayAt(state, "p95", 1), Infinity)
    assert.strictEqual(state.level, 3)
    // Five minutes after the change.
    Machine.delayAt(state, "p95", 300_001)
    assert.strictEqual(state.level, 2)
  })

  it("keeps durations for a percentage only", () => {
    const state = having(50, upTo(100))
    assert.isUndefined(state.durations)
    Machine.delayAt(state, "p95", 0)
    for (const duration of upTo(100)) Machine.ended(state, "answered", false, false, duration, Infinity, 0)
    assertNear(Machine.delayAt(state, "p90", 250), 95)
    Machine.delayAt(state, 60, 250)
    assert.isUndefined(state.durations)
  })

  it("begins with the same share of the attempts, however long the process has run", () => {
    for (const now of [0, 1e9]) {
      const state = Machine.make("p95")
      const delayAt = (now: number) => {
        for (const duration of upTo(1000)) Machine.ended(state, "answered", false, false, duration, Infinity, now)
        return Machine.delayAt(state, "p95", now)
      }
      assertNear(delayAt(now), 975)
      assertNear(delayAt(now + 300_000), 950)
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
    assert.isTrue(Machine.mayStart(state, 50, false, false))
    Machine.becameLate(state)
    assert.isFalse(Machine.mayStart(state, 50, false, true))
    assert.isTrue(Machine.mayStart(state, 50, true, false))
  })

  it("lets a learned delay pass twice, unless a later attempt has succeeded", () => {
    const state = Machine.make("p95")
    Machine.becameLate(state)
    assert.isFalse(Machine.mayStart(state, "p95", false, false))
    assert.isTrue(Machine.mayStart(state, "p95", false, true))
    assert.isTrue(Machine.mayStart(state, "p95", true, false))
    state.endedLate = true
    assert.isFalse(Machine.mayStart(state, "p95", false, true))
  })

  const learned = (state: Machine.Hedge): number => state.durations?.total ?? 0

  it("learns how long attempts take, also of those that failed or were cut when they were late", () => {
    for (const how of ["answered", "failed", "cut"] as const) {
      for (const wasLate of [false, true]) {
        const state = Machine.make("p95")
        if (wasLate) Machine.becameLate(state)
        Machine.ended(state, how, wasLate, false, 10, 5, 0)
        assert.strictEqual(learned(state), how === "cut" && !wasLate ? 0 : 1, `${how} ${wasLate}`)
      }
    }
  })

  it("learns nothing of attempts in a queue, until it has lasted for ten seconds", () => {
    const late = (state: Machine.Hedge, now: number): void => {
      Machine.becameLate(state)
      Machine.ended(state, "answered", true, false, 60, 50, now)
    }
    const state = Machine.make("p95")
    late(state, 1000)
    assert.strictEqual(learned(state), 1, "a queue is known after the first of them")
    late(state, 2000)
    late(state, 11_999)
    assert.strictEqual(learned(state) + (state.durations?.previousTotal ?? 0), 1)
    late(state, 12_000)
    assert.strictEqual(learned(state), 1, "what it takes now is usual")
    Machine.ended(state, "answered", false, false, 50, 50, 12_001)
    Machine.ended(state, "answered", false, false, 50, 50, 12_002)
    assert.strictEqual(learned(state), 3)
    for (const now of [12_003, 12_004]) late(state, now)
    assert.strictEqual(learned(state), 4, "another queue counts from its own beginning")
  })

  it("learns nothing of an attempt while another one is late", () => {
    const state = Machine.make("p95")
    Machine.becameLate(state)
    Machine.ended(state, "answered", false, false, 10, 50, 0)
    assert.strictEqual(learned(state), 0)
    Machine.ended(state, "answered", true, true, 10, 50, 0)
    assert.strictEqual(learned(state), 1)
  })

  it("takes a late end for a queue, unless the attempt was cut or overtaken, until an answer is in time", () => {
    const ends = ["answered", "failed", "cut"] as const
    for (const how of ends) {
      for (const overtaken of [false, true]) {
        const state = Machine.make(50)
        Machine.becameLate(state)
        Machine.ended(state, how, true, overtaken, 60, 50, 0)
        assert.strictEqual(state.late, 0)
        assert.strictEqual(state.endedLate, how !== "cut" && !overtaken, `${how} ${overtaken}`)
        assert.strictEqual(Machine.mayStart(state, 50, false, false), !state.endedLate)
      }
      for (const [duration, forgets] of [
        [50, how === "answered"],
        [51, false]
      ] as const) {
        const state = Machine.make(50)
        state.endedLate = true
        Machine.ended(state, how, false, false, duration, 50, 0)
        assert.strictEqual(state.endedLate, !forgets, `${how} ${duration}`)
        assert.strictEqual(state.late, 0)
      }
    }
  })
})
