/** A snapshot may have been edited, or taken with other options: nothing in it goes beyond what the options of the breaker allow. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, ok, outcome, tagOf } from "../support/dependency.ts"

const millis = Schema.Literals([0, 0.5, 1, 999, 60_000, 1e9, 1e15, Number.MAX_SAFE_INTEGER, Number.MAX_VALUE])
const whole = Schema.Literals([0, 1, 2, 100, 1e6, Number.MAX_SAFE_INTEGER])
const wall = Schema.Literals([0, -1e15, 1e15, Number.MAX_VALUE, -Number.MAX_VALUE])

/** Options, and the longest that a circuit with them is open, in milliseconds. */
const limits: ReadonlyArray<readonly [CircuitBreaker.Options, number]> = [
  [{ openFor: { initial: "1 second", jitter: 0 }, maxRetryAfter: "1 millis" }, 1000],
  [{ openFor: { initial: "1 second", jitter: 0.5 }, maxRetryAfter: "1 millis" }, 1500],
  [{ openFor: { initial: "1 second", factor: 3, max: "1 minute", jitter: 0 }, maxRetryAfter: "1 second" }, 60_000],
  [{ openFor: { initial: "1 second", jitter: 0 }, maxRetryAfter: "10 minutes" }, 600_000],
  [{ openFor: "1 second", maxRetryAfter: "10 minutes" }, 720_000],
  [{ openFor: Schedule.spaced("5 seconds"), maxRetryAfter: "1 second" }, 5000],
  [{}, 720_000]
]

const trip = TripPolicy.consecutive(1)

/** What is written of it can be read again. */
const written = (breaker: CircuitBreaker.CircuitBreaker, options: CircuitBreaker.Options) =>
  Effect.gen(function* () {
    const snapshot: CircuitBreaker.Snapshot = JSON.parse(JSON.stringify(yield* breaker.snapshot))
    const again = yield* CircuitBreaker.make("again", options)
    yield* again.restore(snapshot)
  })

describe("a restored circuit", () => {
  it.effect.prop(
    "is open no longer than the options allow, closes on a healthy call, and opens again within them",
    [millis, millis, millis, millis, whole, wall],
    ([since, retryAfter, openFor, unhealthySince, openings, at]) =>
      Effect.gen(function* () {
        for (const [options, longest] of limits) {
          const breaker = yield* CircuitBreaker.make("users", { ...options, trip })
          const circuit = {
            key: "default",
            state: "open",
            since,
            retryAfter,
            openFor,
            unhealthySince,
            openings
          } as const
          yield* breaker.restore({ version: 1, at, circuits: [circuit] })
          const state = yield* breaker.state()
          if (state._tag === "open") assert.isAtMost(Duration.toMillis(state.retryAfter), longest)
          yield* written(breaker, { ...options, trip })
          yield* TestClock.adjust(longest)
          assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
          assert.strictEqual(yield* tagOf(breaker), "closed")
          yield* outcome(breaker.protect(down))
          const next = yield* breaker.state()
          assert.isTrue(next._tag === "open" && Duration.toMillis(next.retryAfter) <= longest)
          yield* written(breaker, { ...options, trip })
        }
      })
  )

  it.effect("whose trip policy gave figures and names that JSON cannot hold, or that are none", () =>
    Effect.gen(function* () {
      // Wrong on purpose, and so beyond the types.
      const not = (value: unknown): any => value
      for (const trippedBy of [undefined, () => not("own"), () => not([1, null]), () => not(undefined)]) {
        const odd = TripPolicy.make({
          name: "odd",
          initial: () => ({}),
          record: () => {},
          trips: () => true,
          figures: () => not({ nan: Number.NaN, infinite: Number.POSITIVE_INFINITY, text: "x", none: null, two: 2 }),
          trippedBy
        })
        const breaker = yield* CircuitBreaker.make("users", { trip: odd, openFor: "1 minute" })
        yield* outcome(breaker.protect(down))
        assert.strictEqual(yield* outcome(breaker.protect(ok)), "CircuitOpen")
        assert.deepInclude((yield* breaker.snapshot).circuits[0]?.evidence, { figures: { two: 2 } })
        yield* written(breaker, { trip: odd })
      }
    })
  )

  it.effect("of more keys than there is room for: those that no operator holds stay within maxKeys", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { trip, keys: { maxKeys: 10 } })
      const circuit = (key: string, state: "open" | "isolated") =>
        ({ key, state, since: 0, retryAfter: 50, openFor: 50, openings: 1 }) as const
      const open = Array.from({ length: 100 }, (_, i) => circuit(`open ${i}`, "open"))
      yield* breaker.restore({ version: 1, at: 0, circuits: open })
      assert.lengthOf(yield* breaker.states, 10)
      const isolated = Array.from({ length: 20 }, (_, i) => circuit(`isolated ${i}`, "isolated"))
      yield* breaker.restore({ version: 1, at: 0, circuits: isolated })
      for (let i = 0; i < 20; i++) assert.strictEqual(yield* tagOf(breaker, `isolated ${i}`), "isolated")
    })
  )

  const circuit = { key: "k", state: "open", since: 0, retryAfter: 0, openFor: 0, openings: 0 }
  const wrong: ReadonlyArray<readonly [field: string, circuit: object]> = [
    ...["since", "retryAfter", "openFor", "unhealthySince"].flatMap((field) =>
      [-1, Number.NaN, Number.POSITIVE_INFINITY, "1", null].map(
        (value) => [field, { ...circuit, [field]: value }] as const
      )
    ),
    ...[-1, 1.5, "1"].map((openings) => ["openings", { ...circuit, openings }] as const),
    ["key", { ...circuit, key: 1 }],
    ["state", { ...circuit, state: "half-open" }],
    ["openedBy", { ...circuit, openedBy: "consecutive" }]
  ]
  it.effect("is refused with a sentence that names the breaker and the field, and nothing is restored", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { trip })
      for (const [field, one] of wrong) {
        // Wrong on purpose, and so beyond the types.
        const snapshot: any = { version: 1, at: 0, circuits: [circuit, one] }
        const defect = yield* Effect.catchDefect(Effect.as(breaker.restore(snapshot), undefined), Effect.succeed)
        assert.instanceOf(defect, RangeError, JSON.stringify(one))
        assert.include(defect.message, "CircuitBreaker.restore users: the argument must be a Snapshot")
        assert.include(defect.message, field)
      }
      assert.deepStrictEqual(yield* breaker.states, [])
    })
  )
})
