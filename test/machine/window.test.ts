import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Window from "../../packages/resilience/src/machine/Window.ts"

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum), Schema.isLessThanOrEqualTo(maximum))

const Calls = Schema.Array(Schema.Struct({ pause: between(0, 40), marked: Schema.Boolean })).check(
  Schema.isMinLength(1),
  Schema.isMaxLength(200)
)

const options = { arbitrary: { runs: 300, size: 200, seed: 1 } }

describe("a window of time", () => {
  it.prop(
    "counts the same calls as a list of all calls, at the resolution of a bucket",
    { start: between(0, 1_000_000), calls: Calls },
    ({ calls, start }) => {
      const length = 100
      const width = length / Window.buckets
      const window = Window.makeTime(length)
      const list: Array<{ readonly at: number; readonly marked: boolean }> = []
      let now = start
      for (const { marked, pause } of calls) {
        // Now and then a pause of about a window, or of many.
        now += pause === 40 ? 1000 : pause > 35 ? 95 : pause
        Window.recordTime(window, marked, now)
        list.push({ at: now, marked })
        const inside = list.filter((call) => Math.floor(now / width) - Math.floor(call.at / width) < Window.buckets)
        assert.strictEqual(window.totalCalls, inside.length)
        assert.strictEqual(window.totalMarked, inside.filter((call) => call.marked).length)
      }
    },
    options
  )

  it("forgets a call after 90 to 100 % of its length, with or without reads between", () => {
    const window = Window.makeTime(100)
    Window.recordTime(window, true, 5)
    Window.advance(window, 99)
    assert.strictEqual(window.totalMarked, 1)
    Window.advance(window, 100)
    assert.deepStrictEqual([window.totalCalls, window.totalMarked], [0, 0])
  })

  it("is not moved back by an earlier time", () => {
    const window = Window.makeTime(100)
    Window.recordTime(window, true, 500)
    Window.advance(window, 0)
    Window.recordTime(window, false, 100)
    assert.deepStrictEqual([window.totalCalls, window.totalMarked, window.tick], [2, 1, 50])
  })

  it("is empty after a gap of any length, even right after its first call", () => {
    for (const gap of [100, 1000, 1e9]) {
      const window = Window.makeTime(100)
      for (let i = 0; i < 10; i++) Window.recordTime(window, true, i * 10)
      Window.recordTime(window, false, 90 + gap)
      assert.deepStrictEqual([window.totalCalls, window.totalMarked], [1, 0])
    }
  })

  it("keeps no counts by bucket until two buckets have calls, and none of marked calls until there is one", () => {
    const window = Window.makeTime(100)
    const kept = () => [window.calls !== undefined, window.marked !== undefined]
    Window.advance(window, 35)
    assert.deepStrictEqual(kept(), [false, false])
    for (const now of [35, 39, 139, 1000]) Window.recordTime(window, false, now)
    assert.deepStrictEqual(kept(), [false, false])
    Window.recordTime(window, true, 1000)
    assert.deepStrictEqual(kept(), [false, true])
    Window.recordTime(window, false, 1090)
    assert.deepStrictEqual(kept(), [true, true])
    assert.deepStrictEqual([window.totalCalls, window.totalMarked], [3, 1])
  })
})

describe("a window of calls", () => {
  it.prop(
    "counts the same calls as the end of a list of all calls",
    { size: between(1, 30), calls: Calls },
    ({ calls, size }) => {
      const window = Window.makeCalls(size)
      const list: Array<boolean> = []
      for (const { marked } of calls) {
        Window.recordCall(window, marked)
        list.push(marked)
        const last = list.slice(-size)
        assert.strictEqual(window.totalCalls, last.length)
        assert.strictEqual(window.totalMarked, last.filter(Boolean).length)
      }
    },
    options
  )
})
