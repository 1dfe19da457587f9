/** What a histogram of a key allocates: a list of few calls, counts of many, over the latencies in use. */
import { assert, describe, it } from "@effect/vitest"
import * as Histogram from "../../packages/resilience/src/machine/Histogram.ts"

const length = 10_000

/** A latency in the middle of a bucket: of sixteen per doubling, from a sixteenth of a millisecond. */
const within = (bucket: number): number => ((16 + (bucket % 16) + 0.5) * 2 ** Math.floor(bucket / 16)) / 256

const record = (histogram: Histogram.Histogram, bucket: number, times = 1): void => {
  for (let i = 0; i < times; i++) Histogram.record(histogram, within(bucket))
}

const isList = (histogram: Histogram.Histogram): boolean => histogram.from === -1

/** Counts of 100 calls in one bucket. */
const counted = (bucket: number): Histogram.Histogram => {
  const histogram = Histogram.make(length)
  record(histogram, bucket, 100)
  assert.isFalse(isList(histogram))
  return histogram
}

const first = (histogram: Histogram.Histogram): number => histogram.from
const last = (histogram: Histogram.Histogram): number => histogram.from + histogram.counts.length - 1

describe("the list of few calls", () => {
  it("has three calls in each number, and doubles when it is full", () => {
    const histogram = Histogram.make(length)
    const lengths = [histogram.counts.length]
    const grownAt: Array<number> = []
    for (let calls = 1; calls <= 66; calls++) {
      record(histogram, calls)
      if (histogram.counts.length === lengths.at(-1)) continue
      lengths.push(histogram.counts.length)
      grownAt.push(calls)
    }
    assert.isTrue(isList(histogram))
    assert.deepStrictEqual(lengths, [4, 8, 16, 22])
    assert.deepStrictEqual(grownAt, [13, 25, 49])
    record(histogram, 100)
    assert.isFalse(isList(histogram), "more than 66 calls are counts")
  })

  it("counts calls of both generations", () => {
    const histogram = Histogram.make(length)
    record(histogram, 10, 40)
    Histogram.advance(histogram, length)
    record(histogram, 20, 26)
    assert.isTrue(isList(histogram))
    record(histogram, 20)
    assert.isFalse(isList(histogram))
  })

  it("is kept when all of its calls are gone", () => {
    const histogram = Histogram.make(length)
    const { counts } = histogram
    record(histogram, 10, 5)
    Histogram.advance(histogram, 5 * length)
    assert.strictEqual(histogram.counts, counts)
    assert.deepStrictEqual([histogram.total, histogram.previousTotal], [0, 0])
  })

  it("that is full does not grow in the next generation before there is another call", () => {
    const histogram = Histogram.make(length)
    record(histogram, 10, 12)
    Histogram.advance(histogram, length)
    assert.strictEqual(histogram.counts.length, 4)
    record(histogram, 10)
    assert.strictEqual(histogram.counts.length, 8)
  })

  it("begins again with 22 calls of the last generation, and not with 23", () => {
    for (const [calls, list] of [
      [22, true],
      [23, false]
    ] as const) {
      const histogram = counted(10)
      Histogram.advance(histogram, length)
      record(histogram, 20, calls)
      Histogram.advance(histogram, 2 * length)
      assert.strictEqual(isList(histogram), list, `${calls} calls`)
      assert.strictEqual(histogram.previousTotal, calls)
    }
  })

  it("of some calls that remain is as long as they need, and of none, or few, as a new one", () => {
    for (const [calls, numbers] of [
      [1, 4],
      [12, 4],
      [13, 5],
      [22, 8]
    ] as const) {
      const histogram = counted(10)
      Histogram.advance(histogram, length)
      record(histogram, 20, calls)
      Histogram.advance(histogram, 2 * length)
      assert.strictEqual(histogram.counts.length, numbers, `${calls} calls`)
    }
    for (const later of [2, 3, 100]) {
      const histogram = counted(10)
      Histogram.advance(histogram, later * length)
      assert.deepStrictEqual(histogram, { ...Histogram.make(length), generation: later })
    }
  })
})

describe("the counts of many calls", () => {
  it("have room for four more buckets on both sides", () => {
    const histogram = counted(100)
    assert.deepStrictEqual([first(histogram), last(histogram)], [96, 104])
  })

  it("have no room outside the range of latencies", () => {
    assert.deepStrictEqual([first(counted(0)), last(counted(0))], [0, 4])
    assert.deepStrictEqual([first(counted(3)), last(counted(3))], [0, 7])
    assert.deepStrictEqual([first(counted(383)), last(counted(383))], [379, 383])
    assert.deepStrictEqual([first(counted(380)), last(counted(380))], [376, 383])
  })

  it("stay the same array for latencies at both ends of its range", () => {
    const histogram = counted(100)
    const { counts } = histogram
    record(histogram, 96)
    record(histogram, 104)
    assert.strictEqual(histogram.counts, counts)
    assert.deepStrictEqual(counts, [1, 0, 0, 0, 100, 0, 0, 0, 1])
  })

  it.each([
    ["below", 95, 91, 104, 4],
    ["above", 105, 96, 109, 9]
  ])("grow for a latency just %s its range, and lose no call", (_, bucket, from, to, at) => {
    const histogram = counted(100)
    record(histogram, bucket)
    assert.deepStrictEqual([first(histogram), last(histogram)], [from, to])
    assert.strictEqual(histogram.counts[at], 1)
    assert.strictEqual(histogram.counts[100 - from], 100)
  })

  it("grow over the latencies in use, not over those whose calls are gone", () => {
    const histogram = counted(100)
    record(histogram, 200)
    record(histogram, 50)
    assert.deepStrictEqual([first(histogram), last(histogram)], [46, 204])
    Histogram.advance(histogram, length)
    record(histogram, 120, 30)
    Histogram.advance(histogram, 2 * length)
    record(histogram, 300)
    assert.deepStrictEqual([first(histogram), last(histogram)], [116, 304])
  })

  it("keep the generations apart, also when the list becomes counts and when the counts grow", () => {
    const histogram = Histogram.make(length)
    record(histogram, 100, 40)
    Histogram.advance(histogram, length)
    record(histogram, 200, 40)
    record(histogram, 300)
    Histogram.advance(histogram, 2 * length)
    const upper = Histogram.quantiles(histogram)
    assert.strictEqual(histogram.previousTotal, 41)
    assert.isAbove(upper(0)!, within(200))
    assert.isBelow(upper(0)!, within(201))
    assert.isAbove(upper(1)!, within(300))
    Histogram.advance(histogram, 3 * length)
    assert.isUndefined(Histogram.quantiles(histogram)(0.5))
  })
})

describe("the upper bound of a quantile", () => {
  it("is the end of its bucket, for each of the 384 buckets", () => {
    for (let bucket = 0; bucket < 384; bucket++) {
      const histogram = Histogram.make(length)
      record(histogram, bucket)
      const found = Histogram.quantiles(histogram)(1)!
      assert.closeTo(found / within(bucket), (16 + (bucket % 16) + 1) / (16 + (bucket % 16) + 0.5), 1e-12, `${bucket}`)
    }
  })

  it("is that of the call at its rank, of calls in any order", () => {
    const histogram = Histogram.make(length)
    for (const bucket of [30, 10, 20, 10]) record(histogram, bucket)
    const upper = Histogram.quantiles(histogram)
    const bucketAt = (q: number) =>
      [10, 20, 30].find((bucket) => upper(q)! > within(bucket) && upper(q)! < within(bucket + 1))
    assert.deepStrictEqual([0, 0.25, 0.5, 0.51, 0.75, 0.76, 1].map(bucketAt), [10, 10, 10, 20, 20, 30, 30])
  })
})
