/** The delay that a percentage of the latencies gives, and what becomes of it when hedges do not win. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy } from "effect-resilience"
import * as Machine from "../../packages/resilience/src/machine/Hedge.ts"
import { start, takes } from "../policy/support.ts"

const running = (policy: { readonly stats: () => Effect.Effect<{ readonly running: number }> }) =>
  Effect.map(policy.stats(), ({ running }) => running)

describe("Hedge: a percentage", () => {
  it.effect("hedges nothing before enough latencies are known, and then what is slower than that share of them", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        hedge: { idempotent: true },
        budget: { ratio: 1, initial: 10, capacity: 10 }
      })
      const slow = yield* start(takes("1 second").pipe(policy.protect))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(slow)
      for (let i = 0; i < 80; i++) {
        const call = yield* start(takes(i === 7 ? "100 millis" : "10 millis").pipe(policy.protect))
        yield* TestClock.adjust("100 millis")
        yield* Fiber.join(call)
      }
      assert.strictEqual((yield* policy.stats()).totals.hedges, 0)
      const { latency } = (yield* policy.stats()).recent
      assert.isDefined(latency)
      yield* TestClock.adjust("300 millis")
      const call = yield* start(takes("1 second").pipe(policy.protect))
      yield* TestClock.adjust("10 millis")
      assert.strictEqual(yield* running(policy), 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual(yield* running(policy), 2)
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.join(call)
    })
  )

  it.effect("counts an attempt that lost as one that takes longer, so that the delay does not shrink by itself", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        hedge: { after: "20 millis", idempotent: true },
        budget: { ratio: 1, initial: 10, capacity: 10 }
      })
      let calls = 0
      const work = Effect.suspend(() => (++calls === 1 ? takes("1 second") : takes("1 millis")))
      const call = yield* start(work.pipe(policy.protect))
      yield* TestClock.adjust("30 millis")
      yield* Fiber.join(call)
      const { attempts, latency } = (yield* policy.stats()).recent
      assert.strictEqual(attempts, 1)
      // One call and its two attempts: 1 ms for the hedge, and at least 21 ms for the other one.
      assert.isAbove(Duration.toMillis(latency?.p99 ?? Duration.zero), 20)
    })
  )
})

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
    Machine.lateEnded(state)
    Machine.tooLate(state)
    assert.isFalse(Machine.mayStart(state, false))
    Machine.inTime(state)
    assert.isTrue(Machine.mayStart(state, false))
  })
})
