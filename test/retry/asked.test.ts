/** A delay that the dependency asked for: the lower bound, with a spread above it. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Policy, Retry, TripPolicy } from "effect-resilience"
import { Later } from "../support/errors.ts"
import { start } from "../support/observe.ts"

/** Notes the time of each attempt, and fails. */
const timed = (retryAfter: Duration.Input) => {
  const at: Array<number> = []
  const error = new Later({ retryAfter: Duration.fromInputUnsafe(retryAfter) })
  const work = Effect.clockWith((clock) => {
    at.push(Number(clock.monotonicTimeNanosUnsafe()) / 1e6)
    return Effect.fail(error)
  })
  return { at, work }
}

const calls = 1000

/** Each tenth of the range has its share. */
const assertSpread = (moments: ReadonlyArray<number>, least: number, most: number) => {
  assert.strictEqual(moments.length, calls)
  const tenths: Array<number> = new Array(10).fill(0)
  for (const at of moments) {
    assert.isAtLeast(at, least)
    assert.isAtMost(at, most)
    tenths[Math.min(9, Math.floor((10 * (at - least)) / (most - least)))]! += 1
  }
  for (const count of tenths) assert.closeTo(count, calls / 10, calls / 20)
}

describe("a delay that the dependency asked for", () => {
  const schedules: ReadonlyArray<readonly [string, Schedule.Schedule<unknown>]> = [
    ["Retry.backoff", Retry.backoff({ times: 1 })],
    ["a schedule without jitter", Schedule.recurs(1)],
    ["decorrelated jitter", Retry.backoff({ times: 1, jitter: "decorrelated" })]
  ]
  for (const [name, schedule] of schedules) {
    it.effect(`a thousand calls that were asked to wait for 10 seconds return within the 2 after them: ${name}`, () =>
      Effect.gen(function* () {
        const { at, work } = timed("10 seconds")
        const once = Effect.exit(work.pipe(Retry.transient(schedule)))
        yield* start(
          Effect.all(
            Array.from({ length: calls }, () => once),
            { concurrency: "unbounded", discard: true }
          )
        )
        yield* TestClock.adjust("1 minute")
        assertSpread(at.slice(calls), 10_000, 12_000)
      }).pipe(Random.withSeed(name))
    )
  }

  it.effect("a longer delay of the schedule stays as it is", () =>
    Effect.gen(function* () {
      const { at, work } = timed("10 seconds")
      const schedule = Schedule.exponential("16 seconds").pipe(Schedule.upTo({ times: 2 }))
      yield* start(work.pipe(Retry.transient(schedule), Effect.exit))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(at, [0, 16_000, 48_000])
    })
  )

  it.effect("a backoff without jitter adds no spread, so that it can be turned off", () =>
    Effect.gen(function* () {
      const { at, work } = timed("10 seconds")
      yield* start(work.pipe(Retry.transient(Retry.backoff({ times: 2, jitter: "none" })), Effect.exit))
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(at, [0, 10_000, 20_000])
    })
  )

  it.effect("a deadline that leaves room for it, but not for all of the spread, does not end the retry", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 20; i++) {
        const { at, work } = timed("10 seconds")
        yield* start(work.pipe(Retry.transient(Schedule.recurs(1)), Deadline.within("10001 millis"), Effect.exit))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(at.length, 2)
      }
    })
  )

  it.effect("a retry meets its own circuit, which opened for the same time", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 50; i++) {
        const policy = yield* Policy.make("p", {
          retry: Schedule.recurs(1),
          breaker: { trip: TripPolicy.consecutive(1), openFor: { initial: "1 millis", jitter: 0 } }
        })
        const { at, work } = timed(20 + i / 7)
        yield* start(Effect.exit(policy.protect(work)))
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(at.length, 2)
      }
    })
  )
})
