import { assert, describe, it } from "@effect/vitest"
import { addEnded, measure, measureNow, nothingSeen, percentile, recovery } from "../../packages/demo/src/measure.ts"
import type { Script } from "../../packages/demo/src/script.ts"

const script: Script = [
  { name: "healthy", mode: "healthy", seconds: 1 },
  { name: "down", mode: "down", seconds: 1 },
  { name: "healthy again", mode: "healthy", seconds: 1 }
]

/** A call every 10 ms; `outcome` says what becomes of the one due at a moment. */
const seenWith = (outcome: (due: number) => readonly [latency: number, ok: boolean] | undefined) => {
  const due = Array.from({ length: 300 }, (_, index) => index * 10)
  const seen = nothingSeen(due)
  addEnded(
    seen,
    due.flatMap((moment, index) => {
      const became = outcome(moment)
      return became === undefined ? [] : [[index, ...became] as const]
    })
  )
  return seen
}

describe("percentile", () => {
  it("is the nearest rank, whatever the order", () => {
    const values = Array.from({ length: 100 }, (_, index) => 100 - index)
    assert.strictEqual(percentile(values, 0.99), 99)
    assert.strictEqual(percentile(values, 0.5), 50)
    assert.strictEqual(percentile([7], 0.99), 7)
  })

  it("is unknown for no values", () => {
    assert.isUndefined(percentile([], 0.99))
  })
})

describe("measure", () => {
  it("counts late, failed and missing answers as lost, and only answers in the p99", () => {
    const seen = seenWith((due) => {
      if (due >= 400) return [10, true]
      if (due >= 200) return undefined
      return due >= 100 ? [1500, true] : [5, false]
    })
    const [healthy] = measure(script, seen).phases
    assert.strictEqual(healthy?.calls, 100)
    assert.strictEqual(healthy?.lost, 40)
    assert.strictEqual(healthy?.goodput, 0.6)
    assert.strictEqual(healthy?.p99, 1500)
  })

  it("gives requests per call, by phase and in all", () => {
    const seen = seenWith(() => [10, true])
    seen.sent = [100, 400, 110]
    seen.received = [100, 0, 110]
    const { all, phases } = measure(script, seen)
    assert.deepStrictEqual(
      phases.map((phase) => [phase.sent, phase.received]),
      [
        [1, 1],
        [4, 0],
        [1.1, 1.1]
      ]
    )
    assert.strictEqual(all.sent, 610 / 300)
    assert.strictEqual(all.received, 0.7)
  })

  it("has a recovery only for the phases after a fault, and their sum in all", () => {
    const { all, phases } = measure(
      script,
      seenWith((due) => [10, due < 1000 || due >= 2300])
    )
    const after = { after: 500, bound: false }
    assert.deepStrictEqual(
      phases.map((phase) => phase.recovery),
      [undefined, undefined, after]
    )
    assert.deepStrictEqual(all.recovery, after)
  })
})

describe("recovery", () => {
  it("takes no time for a client that is well from the start", () => {
    assert.deepStrictEqual(
      recovery(
        seenWith(() => [10, true]),
        2000,
        3000
      ),
      { after: 0, bound: false }
    )
  })

  it("is not over while a relapse is still to come", () => {
    const relapse = seenWith((due) => [10, due < 2250 || due >= 2500])
    assert.deepStrictEqual(recovery(relapse, 2000, 3000), { after: 500, bound: false })
  })

  it("is only bounded when the client is not well at the end", () => {
    const never = seenWith(() => [10, false])
    assert.deepStrictEqual(recovery(never, 2000, 3000), { after: 750, bound: true })
  })

  it("leaves out the last quarter of a second, which may meet the next fault", () => {
    const cut = seenWith((due) => [10, due < 2800])
    assert.deepStrictEqual(recovery(cut, 2000, 3000), { after: 0, bound: false })
  })

  it("forgives fewer than one call in ten", () => {
    const few = seenWith((due) => [10, due % 130 !== 0])
    assert.isFalse(recovery(few, 2000, 3000).bound)
    const fifth = seenWith((due) => [10, due % 50 !== 0])
    assert.isTrue(recovery(fifth, 2000, 3000).bound)
  })
})

describe("measureNow", () => {
  it("decides a call when it ends or when its time is over, whichever is first", () => {
    const seen = seenWith((due) => (due < 500 ? [10, true] : undefined))
    assert.strictEqual(measureNow(seen, 500).success, 1)
    // In the second before 1600: nothing answered, and the calls due from 500 on have run out of time.
    assert.strictEqual(measureNow(seen, 1600).success, 0)
    assert.isUndefined(measureNow(seen, 1600).p99)
  })

  it("knows nothing before the first call", () => {
    assert.isUndefined(
      measureNow(
        seenWith(() => undefined),
        -1
      ).success
    )
  })
})
