/** A recording from counts: calls, latencies and outcomes are those that were counted. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import type { Stats } from "effect-resilience"
import type { Reading } from "../../packages/console/src/internal/figures.ts"
import { Recorder } from "../../packages/console/src/internal/recording.ts"

interface Counts {
  readonly calls?: number
  readonly successes?: number
  readonly failures?: number
  readonly timeouts?: number
}

/** Only what is read. */
const reading = ({ calls = 0, failures = 0, successes = 0, timeouts = 0 }: Counts, name = "app/Search") =>
  ({
    name,
    instance: 1,
    totals: {
      calls,
      successes,
      failures,
      timeouts,
      rejections: { CircuitOpen: 0, BulkheadFull: 0, DeadlineExceeded: 0 },
      retries: 0,
      openings: 0
    }
  }) as Reading

/** Attempts that took up to 10 ms, up to 100 ms, and longer. */
const durations = (fast: number, slow: number, slowest = 0): Stats.Durations => ({
  count: fast + slow + slowest,
  sum: Duration.zero,
  buckets: [
    [10, fast],
    [100, fast + slow]
  ]
})

const id = "1 app/Search"

const recordedOf = (before: Counts, after: Counts, made: Stats.Durations, shape: ReadonlyArray<number> = []) => {
  const recorder = new Recorder()
  recorder.take(1000, [reading(before)], new Map([[id, durations(0, 0)]]))
  const recorded = recorder.of(3000, reading(after), made, shape)
  assert.isDefined(recorded)
  return recorded!
}

describe("a recording", () => {
  it("has the calls of the time since the first sample, in the order of time", () => {
    const { arrivals, measured } = recordedOf({ calls: 7 }, { calls: 47, successes: 40 }, durations(40, 0))
    assert.lengthOf(arrivals, 40)
    assert.deepStrictEqual(
      arrivals,
      [...arrivals].sort((a, b) => a - b)
    )
    assert.isTrue(arrivals.every((time) => time >= 1000 && time <= 3000))
    assert.deepInclude(measured, { millis: 2000, calls: 40, successes: 40 })
  })

  it("has latencies of their buckets, within one those of recent attempts", () => {
    const made = durations(30, 10)
    const latencies = (shape: ReadonlyArray<number>) =>
      recordedOf({}, { calls: 40, successes: 40 }, made, shape)
        .attempts.map(({ latency }) => latency)
        .sort((a, b) => a - b)
    assert.lengthOf(latencies([]), 40)
    assert.strictEqual(latencies([]).filter((latency) => latency <= 10).length, 30)
    assert.isTrue(latencies([]).every((latency) => latency <= 100))
    assert.deepStrictEqual(new Set(latencies([4, 62])), new Set([4, 62]))
  })

  it("takes attempts that ran into the timeout for the slowest, and other failures for the fastest", () => {
    const counts = { calls: 20, successes: 12, failures: 8, timeouts: 5 }
    const { attempts } = recordedOf({}, counts, durations(10, 5, 5))
    const of = (outcome: string) => attempts.filter((one) => one.outcome === outcome).map(({ latency }) => latency)
    assert.deepStrictEqual([of("ok").length, of("error").length, of("timeout").length], [12, 3, 5])
    assert.isAbove(Math.min(...of("timeout")), Math.max(...of("ok")))
    assert.isBelow(Math.max(...of("error")), Math.min(...of("ok")))
  })

  it("is the same for the same counts, and bounded: 5 minutes, 10,000 calls at their rate, 100 attempts a step", () => {
    const recorder = new Recorder()
    const most = new Map([[id, durations(0, 0)]])
    for (let step = 0; step < 1000; step++) recorder.take(step * 2000, [reading({ calls: 10 * step })], most)
    const recorded = recorder.of(2_000_000, reading({ calls: 10_000 }), durations(5000, 0), [])
    assert.strictEqual(recorded?.measured.millis, 151 * 2000)
    assert.strictEqual(recorded?.arrivals.length, 1510)
    assert.strictEqual(recorded?.attempts.length, 100)
    assert.deepStrictEqual(recorder.of(2_000_000, reading({ calls: 10_000 }), durations(5000, 0), []), recorded)
    const { arrivals } = recordedOf({}, { calls: 40_000 }, durations(40_000, 0))
    assert.lengthOf(arrivals, 10_000)
    assert.isAbove(Math.min(...arrivals), 2499)
  })

  it("is forgotten with its policy", () => {
    const recorder = new Recorder()
    recorder.take(0, [reading({})], new Map([[id, durations(0, 0)]]))
    recorder.take(1, [], new Map())
    assert.isUndefined(recorder.of(2, reading({}), durations(0, 0), []))
  })
})
