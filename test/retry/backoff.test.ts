import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import { Retry } from "effect-resilience"
import { Later } from "../support/errors.ts"

/** The delays of a schedule in milliseconds, until it ends or `most` of them. */
const delays = (schedule: Schedule.Schedule<Duration.Duration>, most: number, input: unknown = undefined) =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    const all: Array<number> = []
    for (let i = 0; i < most; i++) {
      const decided = yield* Effect.exit(step(0, input))
      if (decided._tag === "Failure") break
      all.push(Duration.toMillis(decided.value[1]))
    }
    return all
  })

const many = 2000

/** The same step of many runs. */
const samples = (options: Retry.Backoff, index: number, seed: string) =>
  Effect.forEach(Array.from({ length: many }), () =>
    Effect.map(delays(Retry.backoff({ ...options, times: index + 1 }), index + 1), (all) => all[index]!)
  ).pipe(Random.withSeed(seed))

const mean = (all: ReadonlyArray<number>) => all.reduce((a, b) => a + b, 0) / all.length

/** Every tenth of the range has its share: no clump, no hole. */
const assertUniform = (all: ReadonlyArray<number>, least: number, most: number) => {
  const tenths: Array<number> = new Array(10).fill(0)
  for (const one of all) {
    assert.isAtLeast(one, least)
    assert.isAtMost(one, most)
    tenths[Math.min(9, Math.floor((10 * (one - least)) / (most - least)))]! += 1
  }
  for (const count of tenths) assert.closeTo(count, many / 10, many / 40)
}

const millis = (least: number, most: number) => Schema.Int.check(Schema.isBetween({ minimum: least, maximum: most }))

describe("Retry.backoff", () => {
  it.effect("without jitter doubles up to the cap, and ends", () =>
    Effect.gen(function* () {
      const schedule = Retry.backoff({ base: "100 millis", cap: "1 second", times: 6, jitter: "none" })
      assert.deepStrictEqual(yield* delays(schedule, 99), [100, 200, 400, 800, 1000, 1000])
    })
  )

  it.effect("takes the defaults: two retries, 100 ms, full jitter", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 50; i++) {
        const [first, second, ...more] = yield* delays(Retry.backoff(), 99)
        assert.isAtMost(first!, 100)
        assert.isAtMost(second!, 200)
        assert.deepStrictEqual(more, [])
      }
      const cut = yield* delays(Retry.backoff({ times: 20, jitter: "none" }), 99)
      assert.strictEqual(Math.max(...cut), 5000)
    })
  )

  it.effect("full jitter is uniform between zero and the exponential delay", () =>
    Effect.gen(function* () {
      assertUniform(yield* samples({ base: 100, jitter: "full" }, 0, "full 1"), 0, 100)
      assertUniform(yield* samples({ base: 100, jitter: "full" }, 2, "full 3"), 0, 400)
      assertUniform(yield* samples({ base: 100, cap: 300, jitter: "full" }, 5, "full 6"), 0, 300)
    })
  )

  it.effect("equal jitter is uniform between half the exponential delay and all of it", () =>
    Effect.gen(function* () {
      assertUniform(yield* samples({ base: 100, jitter: "equal" }, 0, "equal 1"), 50, 100)
      assertUniform(yield* samples({ base: 100, jitter: "equal" }, 2, "equal 3"), 200, 400)
    })
  )

  it.effect("decorrelated jitter is uniform between the base and three times the last delay", () =>
    Effect.gen(function* () {
      assertUniform(yield* samples({ base: 100, jitter: "decorrelated" }, 0, "decorrelated 1"), 100, 300)
      // The mean of the second: half of base + 3 x the mean of the first.
      const second = yield* samples({ base: 100, jitter: "decorrelated" }, 1, "decorrelated 2")
      assert.closeTo(mean(second), (100 + 3 * 200) / 2, 10)
    })
  )

  it.effect.prop(
    "keeps its bounds for every base, cap and jitter; decorrelated never exceeds the cap",
    [millis(1, 1000), millis(1, 60_000), Schema.Literals(["full", "equal", "decorrelated", "none"])],
    ([base, more, jitter]) =>
      Effect.gen(function* () {
        const cap = base + more
        const all = yield* delays(Retry.backoff({ base, cap, times: 40, jitter }), 99)
        assert.strictEqual(all.length, 40)
        let last = base
        all.forEach((delay, i) => {
          const exponential = Math.min(cap, base * 2 ** i)
          assert.isAtMost(delay, jitter === "decorrelated" ? Math.min(cap, 3 * last) : exponential)
          assert.isAtLeast(delay, { full: 0, equal: exponential / 2, decorrelated: base, none: exponential }[jitter])
          last = delay
        })
      }),
    { arbitrary: { seed: 1 } }
  )

  it.effect("has finite delays however often it steps", () =>
    Effect.gen(function* () {
      const all = yield* delays(Retry.backoff({ times: 5000, jitter: "none" }), 5000)
      assert.strictEqual(all[4999], 5000)
    })
  )

  it.effect("two runs with one seed are alike, and two seeds are not", () =>
    Effect.gen(function* () {
      const run = (seed: string) => delays(Retry.backoff({ times: 9 }), 9).pipe(Random.withSeed(seed))
      assert.deepStrictEqual(yield* run("a"), yield* run("a"))
      assert.notDeepEqual(yield* run("a"), yield* run("b"))
    })
  )

  it.effect("uses retryAfter as a lower bound that may exceed the cap, and does not grow from it", () =>
    Effect.gen(function* () {
      const asked = new Later({ retryAfter: Duration.seconds(9) })
      const options = { base: 100, cap: 1000, times: 3 } as const
      assert.deepStrictEqual(yield* delays(Retry.backoff({ ...options, jitter: "none" }), 9, asked), [9000, 9000, 9000])
      const step = yield* Schedule.toStep(Retry.backoff({ ...options, jitter: "decorrelated" }))
      yield* step(0, asked)
      const [, next] = yield* step(0, undefined)
      assert.isAtMost(Duration.toMillis(next), 900)
      const soon = new Later({ retryAfter: Duration.millis(1) })
      assert.deepStrictEqual(yield* delays(Retry.backoff({ ...options, jitter: "none" }), 9, soon), [100, 200, 400])
    })
  )

  it.effect("times 0 means no retry (Effect #5924)", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* delays(Retry.backoff({ times: 0 }), 9), [])
    })
  )

  const bad: ReadonlyArray<readonly [options: unknown, message: string]> = [
    [{ times: -1 }, "times must be an integer >= 0, got -1"],
    [{ times: 1.5 }, "times must be an integer >= 0, got 1.5"],
    [{ times: Infinity }, "times must be an integer >= 0, got Infinity"],
    [{ times: "2" }, 'times must be an integer >= 0, got "2"'],
    [{ base: 0 }, 'base must be a finite duration above zero, such as "5 seconds", got 0'],
    [{ base: -5 }, 'base must be a finite duration above zero, such as "5 seconds", got -5'],
    [{ base: "fast" }, 'base must be a finite duration above zero, such as "5 seconds", got "fast"'],
    [{ cap: Infinity }, 'cap must be a finite duration above zero, such as "5 seconds", got Infinity'],
    [{ base: 100, cap: 50 }, "cap must be at least base (100 ms), got 50"],
    [{ jitter: "some" }, 'jitter must be one of full, equal, decorrelated, none, got "some"'],
    [{ jitter: 0.2 }, "jitter must be one of full, equal, decorrelated, none, got 0.2"]
  ]
  for (const [options, message] of bad) {
    it(`fails at construction: ${message}`, () => {
      assert.throws(() => Retry.backoff(options as Retry.Backoff), RangeError, `Retry.backoff: ${message}`)
    })
  }

  it("takes a base above the default cap as its own cap", () => {
    Retry.backoff({ base: "1 minute" })
  })
})
