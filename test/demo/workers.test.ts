import { afterEach, assert, beforeEach, describe, it, vi } from "@effect/vitest"
import { ends, isRecovery, phaseAt, type Script } from "../../packages/demo/src/script.ts"
import { Workers } from "../../packages/demo/src/workers.ts"

const script: Script = [
  { name: "healthy", mode: "healthy", seconds: 1 },
  { name: "slow", mode: "slow", seconds: 0.5 },
  { name: "after slow", mode: "healthy", seconds: 1 }
]

describe("script", () => {
  it("has the phase at each moment, and none before and after", () => {
    assert.deepStrictEqual(ends(script), [1000, 1500, 2500])
    assert.deepStrictEqual(
      [-1, 0, 999, 1000, 1500, 2499, 2500].map((at) => phaseAt(script, at)),
      [-1, 0, 0, 1, 2, 2, 3]
    )
  })

  it("recovers only in a healthy phase after a fault", () => {
    assert.deepStrictEqual(
      script.map((_, index) => isRecovery(script, index)),
      [false, false, true]
    )
  })
})

describe("Workers", () => {
  beforeEach(() => {
    vi.useFakeTimers()
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  /** Two workers, two places in the queue; every call takes 40 ms while all is well. */
  const upstream = () => {
    const answers: Array<number> = []
    const workers = new Workers({ workers: 2, maxQueue: 2, random: () => 0.5 })
    return { workers, answers, call: () => workers.handle((status) => answers.push(status)) }
  }

  it("does so much at once, queues so much, and refuses the rest", () => {
    const { answers, call, workers } = upstream()
    for (let calls = 0; calls < 5; calls += 1) call()
    assert.deepStrictEqual(answers, [503])
    assert.strictEqual(workers.waiting, 2)
    vi.advanceTimersByTime(40)
    assert.deepStrictEqual(answers, [503, 200, 200])
    vi.advanceTimersByTime(40)
    assert.deepStrictEqual(answers, [503, 200, 200, 200, 200])
  })

  it("takes four times as long while it is slow", () => {
    const { answers, call, workers } = upstream()
    workers.enter("slow")
    call()
    vi.advanceTimersByTime(159)
    assert.deepStrictEqual(answers, [])
    vi.advanceTimersByTime(1)
    assert.deepStrictEqual(answers, [200])
  })

  it("holds calls while it hangs, with the workers they occupy, and does them afterwards", () => {
    const { answers, call, workers } = upstream()
    workers.enter("hanging")
    for (let calls = 0; calls < 3; calls += 1) call()
    vi.advanceTimersByTime(60_000)
    assert.deepStrictEqual(answers, [])
    workers.enter("healthy")
    vi.advanceTimersByTime(80)
    assert.deepStrictEqual(answers, [200, 200, 200])
  })

  it("fails half of the calls in the phase of errors", () => {
    const draws = [0.1, 0.5, 0.9, 0.5]
    const answers: Array<number> = []
    const workers = new Workers({ workers: 1, maxQueue: 1, random: () => draws.shift() ?? 0.5 })
    workers.enter("errors")
    workers.handle((status) => answers.push(status))
    workers.handle((status) => answers.push(status))
    vi.advanceTimersByTime(80)
    assert.deepStrictEqual(answers, [500, 200])
  })

  it("forgets everything when it crashes, and can work again", () => {
    const { answers, call, workers } = upstream()
    for (let calls = 0; calls < 4; calls += 1) call()
    workers.crash()
    vi.advanceTimersByTime(1000)
    assert.deepStrictEqual(answers, [])
    call()
    vi.advanceTimersByTime(40)
    assert.deepStrictEqual(answers, [200])
  })
})
