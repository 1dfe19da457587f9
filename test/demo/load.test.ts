import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { arrivals, growing, openLoop, until, WarmUp, warming } from "../../packages/demo/src/load.ts"

const options = { rate: 200, seed: 1, from: 0, to: 60_000 }

describe("arrivals", () => {
  it("are the same for the same seed, and others for another", () => {
    assert.deepStrictEqual(arrivals(options), arrivals(options))
    assert.notDeepEqual(arrivals(options), arrivals({ ...options, seed: 2 }))
  })

  it("are a Poisson process: the rate is right, and gaps vary as much as they last", () => {
    const due = arrivals(options)
    const gaps = due.map((at, index) => at - (due[index - 1] ?? 0))
    const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length
    const deviation = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length)
    assert.closeTo(mean, 5, 0.2)
    assert.closeTo(deviation / mean, 1, 0.05)
  })

  it("stay within their time", () => {
    const due = arrivals({ ...options, from: -500, to: 500 })
    assert.isAtLeast(due[0] ?? Number.NaN, -500)
    assert.isBelow(due.at(-1) ?? Number.NaN, 500)
  })
})

describe("growing", () => {
  it("begins with no calls, and ends at zero with the full rate", () => {
    const due = growing({ rate: 1000, seed: 1, length: 10_000 })
    const between = (from: number, to: number) => due.filter((at) => at >= from && at < to).length
    assert.closeTo(between(-10_000, -9000), 50, 25)
    assert.closeTo(between(-1000, 0), 950, 95)
    assert.isBelow(due.at(-1) ?? Number.NaN, 0)
  })
})

describe("warming", () => {
  it("goes on at the full rate, in order, until somebody ends it", () => {
    let end = Infinity
    const due: Array<number> = []
    for (const at of until(warming({ rate: 1000, seed: 1, length: 1000 }), () => end)) {
      due.push(at)
      if (at > 2500) end = 3000
    }
    assert.deepStrictEqual(
      due,
      due.toSorted((a, b) => a - b)
    )
    assert.closeTo(due.filter((at) => at >= 1000 && at < 2000).length, 1000, 100)
    assert.isBelow(due.at(-1) ?? Number.NaN, 3000)
    assert.isAbove(due.at(-1) ?? Number.NaN, 2900)
  })
})

describe("WarmUp", () => {
  /** 100 calls a second for two seconds. */
  const kept = (well: (at: number) => boolean) => {
    const warmUp = new WarmUp(100)
    for (let at = 0; at < 2000; at += 10) warmUp.add(at, well(at))
    return warmUp.keepsUp(2000)
  }

  it("is over when the last second went well, whatever came before", () => {
    assert.isTrue(kept((at) => at > 1000))
    assert.isFalse(kept((at) => at < 1900))
  })

  it("is not over while nearly nothing ends", () => {
    const warmUp = new WarmUp(100)
    for (let at = 0; at < 1000; at += 30) warmUp.add(at, true)
    assert.isFalse(warmUp.keepsUp(1000))
    assert.isFalse(new WarmUp(100).keepsUp(0))
  })
})

describe("openLoop", () => {
  it.effect("begins calls when they are due, whatever became of the earlier ones", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const began: Array<readonly [index: number, at: number]> = []
      const now = () => clock.currentTimeMillisUnsafe()
      const hanging = (index: number) =>
        Effect.andThen(
          Effect.sync(() => began.push([index, now()])),
          Effect.never
        )
      yield* Effect.forkChild(Effect.andThen(openLoop([10, 20, 20, 50], now, hanging), Effect.never))
      yield* TestClock.adjust("30 millis")
      assert.deepStrictEqual(began, [
        [0, 10],
        [1, 20],
        [2, 20]
      ])
      yield* TestClock.adjust("20 millis")
      assert.deepStrictEqual(began.at(-1), [3, 50])
    })
  )

  it.effect("makes up at once for calls that are overdue", () =>
    Effect.gen(function* () {
      const overdue: Array<number> = []
      yield* openLoop(
        [-3, -2, -1],
        () => 0,
        (_, due) => Effect.sync(() => overdue.push(due))
      )
      yield* Effect.yieldNow
      assert.deepStrictEqual(overdue, [-3, -2, -1])
    })
  )
})
