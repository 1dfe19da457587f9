import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Histogram from "../../packages/resilience/src/machine/Histogram.ts"

/** One bucket's width. */
const error = 1 + 1 / 16

const record = (histogram: Histogram.Histogram, duration: number, now: number): void => {
  Histogram.advance(histogram, now)
  Histogram.record(histogram, duration)
}

const length = 10_000

const exact = (durations: ReadonlyArray<number>, q: number): number =>
  durations.toSorted((a, b) => a - b)[Math.max(1, Math.ceil(q * durations.length)) - 1]!

describe("quantiles", () => {
  const Exponent = Schema.Finite.check(Schema.isGreaterThanOrEqualTo(-4), Schema.isLessThan(20))
  it.prop(
    "are at least the exact quantiles, and at most one bucket above",
    {
      exponents: Schema.Array(Exponent).check(Schema.isMinLength(1), Schema.isMaxLength(200)),
      q: Schema.Literals([0, 0.01, 0.5, 0.9, 0.99, 1])
    },
    ({ exponents, q }) => {
      const durations = exponents.map((exponent) => 2 ** exponent)
      const histogram = Histogram.make(length)
      // Over both generations.
      durations.forEach((duration, i) => {
        record(histogram, duration, (i / durations.length) * 2 * length)
      })
      const found = Histogram.quantile(histogram, q, 2 * length - 1)!
      const wanted = exact(durations, q)
      assert.isAtLeast(found * (1 + 1e-9), wanted)
      assert.isAtMost(found, wanted * error * (1 + 1e-9))
    },
    { arbitrary: { runs: 300, size: 200, seed: 1 } }
  )

  it("are undefined without calls", () => {
    assert.isUndefined(Histogram.quantile(Histogram.make(length), 0.5, 0))
  })

  it("durations outside the range count in the outermost buckets", () => {
    const histogram = Histogram.make(length)
    for (const duration of [0, -1, 1e-9]) record(histogram, duration, 0)
    assert.isAtMost(Histogram.quantile(histogram, 1, 0)!, 0.07)
    for (const duration of [2 ** 20, 2 ** 21, Number.POSITIVE_INFINITY]) {
      const histogram = Histogram.make(length)
      record(histogram, duration, 0)
      assert.strictEqual(Histogram.quantile(histogram, 1, 0), 2 ** 20, `of ${duration}`)
    }
  })
})

describe("generations", () => {
  it("a call is visible for at least one length and at most two", () => {
    for (const at of [0, 1, length / 2, length - 1]) {
      const asked = (now: number) => {
        const histogram = Histogram.make(length)
        record(histogram, 10, at)
        return Histogram.quantile(histogram, 0.5, now)
      }
      assert.isDefined(asked(at + length), `recorded at ${at}`)
      assert.isUndefined(asked(at + 2 * length), `recorded at ${at}`)
    }
  })

  it("after a gap of more than two lengths no earlier call is visible again", () => {
    const histogram = Histogram.make(length)
    record(histogram, 10, 0)
    record(histogram, 20, length)
    assert.isUndefined(Histogram.quantile(histogram, 0.5, 10 * length))
    record(histogram, 1000, 10 * length)
    assert.isAbove(Histogram.quantile(histogram, 0, 10 * length)!, 999)
  })

  it("a call that is visible one length later is gone after two", () => {
    const histogram = Histogram.make(length)
    record(histogram, 10, 0)
    assert.isDefined(Histogram.quantile(histogram, 0.5, length))
    assert.isUndefined(Histogram.quantile(histogram, 0.5, 2 * length))
  })

  it("a call of the second generation outlives those of the first", () => {
    const histogram = Histogram.make(length)
    record(histogram, 10, 0)
    record(histogram, 20, length)
    assert.isAbove(Histogram.quantile(histogram, 0, 2 * length)!, 19)
  })

  it("calls that are gone count in no rank", () => {
    const histogram = Histogram.make(length)
    record(histogram, 10, 0)
    record(histogram, 20, 5 * length)
    assert.isAbove(Histogram.quantile(histogram, 1, 5 * length)!, 19)
  })

  it("a key with few calls allocates nothing from one generation to the next", () => {
    const histogram = Histogram.make(length)
    const { counts } = histogram
    for (let i = 0; i < 50; i++) record(histogram, 10 * i, (i * length) / 4)
    assert.strictEqual(histogram.counts, counts)
    assert.isAtMost(counts.length, 4)
  })

  it("nor does a key with many calls whose latencies stay in their range", () => {
    const histogram = Histogram.make(length)
    for (let i = 0; i < 500; i++) record(histogram, 10 + (i % 50), 0)
    const { counts } = histogram
    assert.isAtMost(counts.length, 60, "as long as the range, in steps of a sixteenth")
    for (let i = 0; i < 5000; i++) record(histogram, 10 + (i % 50), (i * length) / 500)
    assert.strictEqual(histogram.counts, counts)
  })

  it("a key that has become idle is as small as before, and keeps its latencies", () => {
    const histogram = Histogram.make(length)
    for (let i = 0; i < 500; i++) record(histogram, 2 ** (i % 20), 0)
    record(histogram, 7, length)
    record(histogram, 900, length)
    Histogram.advance(histogram, 2 * length)
    assert.isAtMost(histogram.counts.length, 4)
    assert.isAtMost(Histogram.quantile(histogram, 0.5, 2 * length)!, 7 * error)
    assert.isAtLeast(Histogram.quantile(histogram, 1, 2 * length)!, 900)
  })
})

/** The upper end of each bucket: sixteen per doubling, from a sixteenth of a millisecond. */
const ends = Array.from({ length: 24 * 16 }, (_, i) => ((16 + (i % 16) + 1) * 2 ** Math.floor(i / 16)) / 256)

/** The bucket of a duration: its lower end is in it, its upper end is in the next one. */
const bucketIn = (duration: number): number => {
  const at = ends.findIndex((end) => duration < end)
  return at === -1 ? ends.length - 1 : at
}

describe("few calls and many", () => {
  const Call = Schema.Struct({
    exponent: Schema.Finite.check(Schema.isGreaterThanOrEqualTo(-5), Schema.isLessThan(21)),
    gap: Schema.Literals([0, 0, 0, 0, 10, 100, 4000, 11_000, 25_000])
  })

  it.prop(
    "at any rate of calls the quantiles are those of a naive histogram",
    { calls: Schema.Array(Call).check(Schema.isMinLength(1), Schema.isMaxLength(400)) },
    ({ calls }) => {
      const histogram = Histogram.make(length)
      const naive: Array<{ readonly generation: number; readonly duration: number }> = []
      let now = 0
      for (const { exponent, gap } of calls) {
        now += gap
        const duration = 2 ** exponent
        record(histogram, duration, now)
        naive.push({ generation: Math.floor(now / length), duration })
      }
      const newest = Math.floor(now / length)
      const kept = naive.filter(({ generation }) => generation >= newest - 1).map(({ duration }) => duration)
      for (const q of [0, 0.1, 0.5, 0.9, 0.99, 1]) {
        const found = Histogram.quantile(histogram, q, now)!
        const wanted = Math.min(Math.max(exact(kept, q), 2 ** -4), 2 ** 20)
        assert.isAtLeast(found * (1 + 1e-9), wanted)
        assert.isAtMost(found, wanted * error * (1 + 1e-9))
      }
    },
    { arbitrary: { runs: 150, size: 400, seed: 1 } }
  )

  it.prop(
    "at any rate of calls the quantiles are to the digit those of a histogram with a count for every bucket",
    { calls: Schema.Array(Call).check(Schema.isMinLength(1), Schema.isMaxLength(400)) },
    ({ calls }) => {
      const histogram = Histogram.make(length)
      const dense = new Map<number, ReadonlyArray<number>>()
      let now = 0
      for (const { exponent, gap } of calls) {
        now += gap
        record(histogram, 2 ** exponent, now)
        const generation = Math.floor(now / length)
        const counts = dense.get(generation) ?? new Array<number>(ends.length).fill(0)
        dense.set(generation, counts.with(bucketIn(2 ** exponent), counts[bucketIn(2 ** exponent)]! + 1))
      }
      const newest = Math.floor(now / length)
      const counts = ends.map((_, i) => (dense.get(newest)?.[i] ?? 0) + (dense.get(newest - 1)?.[i] ?? 0))
      let total = 0
      const ranks = counts.map((count) => {
        total += count
        return total
      })
      for (const q of [0, 0.1, 0.5, 0.9, 0.99, 1]) {
        const rank = Math.max(1, Math.ceil(q * total))
        assert.strictEqual(Histogram.quantile(histogram, q, now), ends[ranks.findIndex((seen) => seen >= rank)])
      }
    },
    { arbitrary: { runs: 100, size: 400, seed: 2 } }
  )
})
