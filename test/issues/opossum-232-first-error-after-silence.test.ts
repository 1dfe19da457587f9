/**
 * opossum #232: after a long time without calls the first error opened the circuit, because it was all of the statistics.
 * JiRaska/open-bank-oss #2917: a breaker of a daily job wanted four calls in its window, and stayed closed through 46 failures.
 * We promise: `TripPolicy.fewCalls` opens after its failures in a row at a call a minute, an hour or a day, over restarts too; the first
 * error after a silence opens nothing, and a failure of last week is no evidence.
 */
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, ok, outcome, tagOf } from "./support.ts"

const job = (options: Parameters<typeof TripPolicy.fewCalls>[0] = {}) =>
  CircuitBreaker.make("job", { trip: TripPolicy.fewCalls(options), openFor: { initial: "10 days", jitter: 0 } })

/** What each of some failing calls of a new breaker ends with, one every so often. */
const failing = (every: Duration.Input, count: number, options: Parameters<typeof TripPolicy.fewCalls>[0] = {}) =>
  Effect.gen(function* () {
    const breaker = yield* job(options)
    const outcomes: Array<string | undefined> = []
    for (let call = 0; call < count; call++) {
      outcomes.push(yield* outcome(breaker.protect(down)))
      yield* TestClock.adjust(every)
    }
    return outcomes
  })

const three = ["Down", "Down", "Down", "CircuitOpen", "CircuitOpen", "CircuitOpen"]

describe("a circuit of few calls", () => {
  it.effect.each(["1 minute", "1 hour", "1 day"] as const)("opens after three failures, one every %s", (every) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* failing(every, 6), three)
    })
  )

  it.effect(
    "stays closed when each failure is a week after the last, and opens when a week is what was asked for",
    () =>
      Effect.gen(function* () {
        assert.notInclude(yield* failing("1 week", 46), "CircuitOpen")
        assert.include(yield* failing("1 week", 5, { failures: 2, forgetAfter: "3 weeks" }), "CircuitOpen")
      })
  )

  it.effect("is not opened by the first error after a silence", () =>
    Effect.gen(function* () {
      const breaker = yield* job()
      for (let call = 0; call < 100; call++) yield* outcome(breaker.protect(ok))
      yield* outcome(breaker.protect(down))
      yield* outcome(breaker.protect(down))
      yield* TestClock.adjust("5 days")
      yield* outcome(breaker.protect(down))
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* outcome(breaker.protect(down))
      assert.strictEqual(yield* tagOf(breaker), "open")
    })
  )

  it.effect("opens over runs of a daily job, each in a process of its own", () =>
    Effect.gen(function* () {
      const run = (kept: CircuitBreaker.Snapshot | undefined) =>
        Effect.gen(function* () {
          const breaker = yield* job()
          if (kept !== undefined) yield* breaker.restore(kept)
          const tag = yield* outcome(breaker.protect(down))
          return { tag, kept: yield* breaker.snapshot }
        })
      let kept: CircuitBreaker.Snapshot | undefined
      const tags: Array<string | undefined> = []
      for (let day = 0; day < 6; day++) {
        // As JSON, as a file has it.
        const ran = yield* run(kept)
        kept = JSON.parse(JSON.stringify(ran.kept)) as CircuitBreaker.Snapshot
        tags.push(ran.tag)
        yield* TestClock.adjust("1 day")
      }
      assert.deepStrictEqual(tags, three)
    })
  )

  it.effect("forgets over runs as it does in one process", () =>
    Effect.gen(function* () {
      const first = yield* job({ forgetAfter: "2 days" })
      yield* outcome(first.protect(down))
      yield* outcome(first.protect(down))
      const kept = yield* first.snapshot
      yield* TestClock.adjust("3 days")
      const second = yield* job({ forgetAfter: "2 days" })
      yield* second.restore(kept)
      yield* outcome(second.protect(down))
      assert.strictEqual(yield* tagOf(second), "closed")
    })
  )
})
