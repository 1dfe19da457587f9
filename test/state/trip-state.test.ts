/** What a trip policy has counted, as data: in another process, on another clock, with other options, and for policies of one's own. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policy, TripPolicy } from "effect-resilience"
import { down, ok, outcome, tagOf } from "../support/dependency.ts"

const fiveTimes = Schedule.recurs(5)

type Breaker = CircuitBreaker.CircuitBreaker<CircuitBreaker.Options>

const make = (trip: TripPolicy.TripPolicy<any>): Effect.Effect<Breaker> =>
  CircuitBreaker.make("users", { trip, openFor: "1 minute" })

const fail = (breaker: Breaker, times: number) =>
  Effect.forEach(Array.from({ length: times }), () => outcome(breaker.protect(down)), { discard: true })

/** The breaker of the next process: with another trip policy, after some time. */
const next = (before: Breaker, trip: TripPolicy.TripPolicy<any>, options?: { readonly timeToLive?: "1 second" }) =>
  Effect.gen(function* () {
    const breaker = yield* make(trip)
    yield* breaker.restore(JSON.parse(JSON.stringify(yield* before.snapshot)), options)
    return breaker
  })

const failures = (breaker: Breaker) =>
  Effect.map(breaker.state(), (state) => (state._tag === "closed" ? state.figures?.["failures"] : state._tag))

describe("the failures of a closed circuit", () => {
  it.effect("of five runs, a day apart, open it at the fifth", () =>
    Effect.gen(function* () {
      let breaker = yield* make(TripPolicy.consecutive(5))
      const seen: Array<unknown> = []
      for (let day = 1; day <= 5; day++) {
        yield* fail(breaker, 1)
        seen.push(yield* failures(breaker))
        const text = JSON.stringify(yield* breaker.snapshot)
        yield* TestClock.adjust("1 day")
        breaker = yield* make(TripPolicy.consecutive(5))
        yield* breaker.restore(JSON.parse(text))
      }
      assert.deepStrictEqual(seen, [1, 2, 3, 4, "open"])
    })
  )

  it.effect.each([
    ["from Friday to Monday", "72 hours", undefined, 2],
    ["after just four days", "96 hours", undefined, 2],
    ["of last week", "7 days", undefined, 0],
    ["older than timeToLive", "2 seconds", "1 second", 0]
  ] as const)("%s", ([, away, timeToLive, kept]) =>
    Effect.gen(function* () {
      const breaker = yield* make(TripPolicy.consecutive(5))
      yield* fail(breaker, 2)
      const snapshot = yield* breaker.snapshot
      yield* TestClock.adjust(away)
      const after = yield* make(TripPolicy.consecutive(5))
      yield* after.restore(snapshot, { timeToLive })
      assert.strictEqual(yield* failures(after), kept)
    })
  )

  it.effect("age over runs in which their key is not called", () =>
    Effect.gen(function* () {
      let breaker = yield* make(TripPolicy.consecutive(5))
      yield* fail(breaker, 2)
      for (let day = 1; day <= 5; day++) {
        const snapshot = yield* breaker.snapshot
        yield* TestClock.adjust("1 day")
        breaker = yield* make(TripPolicy.consecutive(5))
        yield* breaker.restore(snapshot)
        yield* outcome(ok.pipe(breaker.protect({ key: "other" })))
        assert.strictEqual(yield* failures(breaker), day === 5 ? 0 : 2, `day ${day}`)
      }
    })
  )

  it.effect("are kept in the memory of the next process as those of a key in use", () =>
    Effect.gen(function* () {
      const before = yield* make(TripPolicy.consecutive(5))
      yield* fail(before, 2)
      const snapshot = yield* before.snapshot
      yield* TestClock.adjust("1 day")
      const breaker = yield* CircuitBreaker.make("users", { trip: TripPolicy.consecutive(5), keys: { maxKeys: 100 } })
      yield* breaker.restore(snapshot)
      for (let i = 0; i < 50; i++) yield* outcome(ok.pipe(breaker.protect({ key: `other ${i}` })))
      assert.strictEqual(yield* failures(breaker), 2)
    })
  )

  it.effect("outside the window of the trip policy are none", () =>
    Effect.gen(function* () {
      const trip = TripPolicy.failureRate({ window: "10 seconds", minimumCalls: 2 })
      const before = yield* make(trip)
      yield* fail(before, 1)
      const snapshot = yield* before.snapshot
      yield* TestClock.adjust("11 seconds")
      const after = yield* make(trip)
      yield* after.restore(snapshot)
      assert.strictEqual(yield* failures(after), 0)
    })
  )
})

describe("an open circuit", () => {
  it.effect.each([
    ["96 hours", "half-open"],
    ["97 hours", "closed"]
  ] as const)("that is due for a probe for %s is %s", ([due, state]) =>
    Effect.gen(function* () {
      const before = yield* CircuitBreaker.make("users", {
        trip: TripPolicy.consecutive(1),
        openFor: { initial: "1 hour", jitter: 0 }
      })
      yield* fail(before, 1)
      const snapshot = yield* before.snapshot
      yield* TestClock.adjust("1 hour")
      yield* TestClock.adjust(due)
      const after = yield* make(TripPolicy.consecutive(1))
      yield* after.restore(snapshot)
      assert.strictEqual(yield* tagOf(after), state)
    })
  )

  it.effect("that is isolated or disabled does not become old", () =>
    Effect.gen(function* () {
      const before = yield* make(TripPolicy.consecutive(1))
      yield* before.control.isolate({ key: "a" })
      yield* before.control.disable({ key: "b" })
      const snapshot = yield* before.snapshot
      yield* TestClock.adjust("365 days")
      const after = yield* make(TripPolicy.consecutive(1))
      yield* after.restore(snapshot)
      assert.deepStrictEqual([yield* tagOf(after, "a"), yield* tagOf(after, "b")], ["isolated", "disabled"])
    })
  )
})

describe("a clock", () => {
  const trip = TripPolicy.any(TripPolicy.consecutive(9), TripPolicy.failureRate({ minimumCalls: 9 }))

  it.effect("that was set back makes nothing younger than it was, and nothing negative", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1e12)
      const before = yield* make(trip)
      yield* fail(before, 3)
      const snapshot = yield* before.snapshot
      yield* TestClock.setTime(5)
      const after = yield* make(trip)
      yield* after.restore(snapshot)
      const state = yield* after.state()
      assert.deepInclude(state._tag === "closed" ? state.figures : {}, {
        "consecutive.failures": 3,
        "failureRate.failures": 3
      })
      yield* fail(after, 5)
      assert.strictEqual(yield* tagOf(after), "closed")
      yield* fail(after, 1)
      assert.strictEqual(yield* tagOf(after), "open")
    })
  )

  it.effect.each([1e15, 8.64e15, Number.MAX_VALUE, -Number.MAX_VALUE] as const)(
    "that says %d does no harm: the circuit works as a new one",
    (at) =>
      Effect.gen(function* () {
        const before = yield* make(trip)
        yield* fail(before, 3)
        const after = yield* make(trip)
        yield* after.restore({ ...(yield* before.snapshot), at })
        yield* fail(after, 9)
        assert.strictEqual(yield* tagOf(after), "open")
        yield* TestClock.adjust("2 minutes")
        assert.strictEqual(yield* outcome(after.protect(ok)), "ok")
        assert.strictEqual(yield* tagOf(after), "closed")
        const again = yield* make(trip)
        yield* again.restore(JSON.parse(JSON.stringify(yield* after.snapshot)))
      })
  )

  it("of a process that has just begun: a window from before its beginning moves on as any other", () => {
    const rate = TripPolicy.failureRate({ window: "10 seconds", minimumCalls: 1 }) as TripPolicy.TripPolicy<unknown>
    const state = rate.initial()
    for (let second = 0; second < 10; second++) rate.record(state, true, 0, 1_000_000 + second * 1000)
    const json = rate.toJson?.(state, 1_009_500)
    assert.isDefined(json)
    for (const [later, calls] of [
      [0, 10],
      [1000, 9],
      [5000, 5],
      [9000, 1],
      [10_000, 0]
    ] as const) {
      const restored = rate.fromJson?.(json ?? null, 200, 200)
      assert.strictEqual(rate.figures(restored, 200 + later)["calls"], calls, `after ${later}`)
    }
  })
})

describe("a trip policy that has changed", () => {
  const saved = Effect.gen(function* () {
    const before = yield* make(TripPolicy.any(TripPolicy.consecutive(9), TripPolicy.failureRate({ minimumCalls: 9 })))
    yield* fail(before, 3)
    return before
  })

  it.effect("takes what its parts know by their names", () =>
    Effect.gen(function* () {
      const before = yield* saved
      assert.strictEqual(yield* failures(yield* next(before, TripPolicy.consecutive(4))), 3)
      assert.strictEqual(yield* failures(yield* next(before, TripPolicy.failureRate())), 3)
      const slow = TripPolicy.slowCallRate({ slowerThan: "1 second" })
      const state = yield* (yield* next(before, TripPolicy.any(slow, TripPolicy.consecutive(5)))).state()
      assert.deepInclude(state._tag === "closed" ? state.figures : {}, {
        "consecutive.failures": 3,
        "slowCallRate.calls": 0
      })
      const standard = yield* (yield* next(before, TripPolicy.standard)).state()
      assert.deepInclude(standard._tag === "closed" ? standard.figures : {}, {
        "consecutive.failures": 3,
        "failureRate.failures": 3
      })
    })
  )

  it.effect("begins anew when nothing is known of it, or its window is of another kind", () =>
    Effect.gen(function* () {
      const before = yield* saved
      assert.strictEqual(yield* failures(yield* next(before, TripPolicy.failureRate({ calls: 10 }))), 0)
      const own = TripPolicy.make({
        name: "own",
        initial: () => ({ failures: 0 }),
        record: (state) => {
          state.failures += 1
        },
        trips: () => false,
        figures: (state) => ({ ...state })
      })
      const after = yield* next(before, own)
      assert.strictEqual(yield* failures(after), 0)
      yield* fail(after, 1)
      assert.isUndefined((yield* after.snapshot).circuits[0]?.trip, "it has no toJson")
    })
  )

  it.effect("with a smaller limit opens with the next failure", () =>
    Effect.gen(function* () {
      const after = yield* next(yield* saved, TripPolicy.consecutive(2))
      assert.strictEqual(yield* tagOf(after), "closed")
      yield* fail(after, 1)
      assert.strictEqual(yield* tagOf(after), "open")
    })
  )
})

describe("a trip policy of one's own", () => {
  const own = (extra: Partial<TripPolicy.TripPolicy<{ total: number }>>) =>
    TripPolicy.make({
      name: "total",
      initial: () => ({ total: 0 }),
      record: (state, failed) => {
        if (failed) state.total += 1
      },
      trips: (state) => state.total >= 3,
      figures: ({ total }) => ({ failures: total }),
      ...extra
    })
  const kept = own({
    toJson: ({ total }) => total,
    fromJson: (json) => {
      if (typeof json !== "number") throw new RangeError("a number is expected")
      return { total: json }
    }
  })

  it.effect("keeps what it says", () =>
    Effect.gen(function* () {
      const before = yield* make(kept)
      yield* fail(before, 2)
      const after = yield* next(before, TripPolicy.any(kept, TripPolicy.consecutive(9)))
      yield* outcome(after.protect(ok))
      yield* fail(after, 1)
      assert.strictEqual(yield* tagOf(after), "open")
    })
  )

  it.effect("that throws, or returns no data, is left out of the snapshot", () =>
    Effect.gen(function* () {
      const circular: Record<string, unknown> = {}
      circular["self"] = circular
      // Wrong on purpose, and so beyond the types.
      const bad: ReadonlyArray<any> = [
        () => {
          throw new Error("no")
        },
        () => Number.NaN,
        () => () => 1,
        () => circular,
        () => 1n
      ]
      for (const toJson of bad) {
        const before = yield* make(own({ toJson, fromJson: () => ({ total: 9 }) }))
        yield* fail(before, 1)
        assert.isUndefined((yield* before.snapshot).circuits[0]?.trip, String(toJson))
      }
    })
  )

  it.effect("that cannot read its data refuses the snapshot, with its name and its word, and nothing is restored", () =>
    Effect.gen(function* () {
      const before = yield* make(own({ toJson: () => "x", fromJson: () => undefined }))
      yield* fail(before, 1)
      const after = yield* make(kept)
      yield* fail(after, 2)
      const restoring = after.restore(yield* before.snapshot)
      const defect = yield* Effect.catchDefect(Effect.as(restoring, undefined), Effect.succeed)
      assert.instanceOf(defect, RangeError)
      assert.strictEqual(
        defect.message,
        "CircuitBreaker.restore users: circuits[0].trip: the state of total: a number is expected"
      )
      assert.strictEqual(yield* failures(after), 2)
    })
  )
})

describe("the other parts", () => {
  it.effect("the balance of a budget earns while the process is away, and never exceeds the capacity", () =>
    Effect.gen(function* () {
      const options = { retry: fiveTimes, budget: { ratio: 0, minPerSecond: 0.1, capacity: 2 } } as const
      const before = yield* Policy.make("users", options)
      yield* outcome(before.protect(down))
      assert.strictEqual((yield* before.stats()).balance, 0)
      const snapshot = yield* before.snapshot
      for (const [away, balance] of [
        [5000, 0.5],
        [5000, 1],
        [1e9, 2]
      ] as const) {
        yield* TestClock.adjust(away)
        const after = yield* Policy.make("users", options)
        yield* after.restore(snapshot)
        assert.strictEqual((yield* after.stats()).balance, balance)
      }
    })
  )

  it.effect("a shared budget is in its own snapshot only, and parts that are not there are left out", () =>
    Effect.gen(function* () {
      const before = yield* Policy.make("users", {
        retry: fiveTimes,
        budget: {},
        breaker: {},
        bulkhead: { maxConcurrent: 4 }
      })
      yield* before.control.resize(2)
      const snapshot = yield* before.snapshot
      const after = yield* Policy.make("users", { bulkhead: { maxConcurrent: 4 } })
      yield* after.restore(snapshot)
      assert.strictEqual((yield* after.stats()).maxConcurrent, 2)
      assert.deepStrictEqual(Object.keys(yield* after.snapshot), ["version", "at", "bulkhead"])
    })
  )
})
