import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { Down, down, type Failure, held, ok, oneProbe, outcome, strict, tagOf, trip } from "../support/dependency.ts"

type AnyBreaker = CircuitBreaker.CircuitBreaker<CircuitBreaker.Options>

const options = { ...strict, probes: oneProbe } as const

/** What a process writes down when it ends, and the next one reads. */
const written = (breaker: AnyBreaker) => Effect.map(breaker.snapshot, (snapshot) => JSON.stringify(snapshot))

const read = Schema.decodeUnknownEffect(Schema.fromJsonString(CircuitBreaker.Snapshot))

/** A new breaker, with the other's circuits, after some time away. */
const restarted = (breaker: AnyBreaker, away: Duration.Input, extra: CircuitBreaker.Options = {}) =>
  Effect.gen(function* () {
    const text = yield* written(breaker)
    yield* TestClock.adjust(away)
    const next = yield* CircuitBreaker.make("users", { ...options, ...extra })
    yield* next.restore(yield* read(text))
    return next
  })

describe("export and hydrate across a restart", () => {
  it.effect("an open circuit continues with the rest of its open time", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      yield* trip(breaker)
      yield* TestClock.adjust("1 second")
      const next = yield* restarted(breaker, "3 seconds")
      const state = yield* next.state()
      assert.deepInclude(state, { _tag: "open", retryAfter: Duration.seconds(1), since: Duration.seconds(4) })
      assert.strictEqual(yield* outcome(next.protect(ok)), "CircuitOpen")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* outcome(next.protect(ok)), "ok")
      assert.strictEqual(yield* tagOf(next), "closed")
    })
  )

  it.effect("after the open time ended during the restart, the first call is a probe", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      yield* trip(breaker)
      const next = yield* restarted(breaker, "1 hour")
      const probe = yield* held(next)
      assert.strictEqual(yield* tagOf(next), "half-open")
      yield* probe.fail
      assert.deepInclude(yield* next.state(), { _tag: "open", openings: 2, retryAfter: Duration.seconds(10) })
    })
  )

  it.effect("a half-open circuit is restored as due for a probe, without its probes", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      yield* trip(breaker)
      yield* TestClock.adjust("5 seconds")
      yield* held(breaker)
      const next = yield* restarted(breaker, 0)
      assert.deepInclude(yield* next.state(), { _tag: "half-open", due: true, probing: 0 })
      assert.strictEqual(yield* outcome(next.protect(ok)), "ok")
    })
  )

  it.effect("isolated and disabled last until the next command", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      yield* breaker.control.isolate({ key: "a" })
      yield* breaker.control.disable({ key: "b" })
      const next = yield* restarted(breaker, "1 day")
      assert.deepStrictEqual([yield* tagOf(next, "a"), yield* tagOf(next, "b")], ["isolated", "disabled"])
      yield* next.control.close({ key: "a" })
      yield* next.control.enable({ key: "b" })
      assert.deepStrictEqual([yield* tagOf(next, "a"), yield* tagOf(next, "b")], ["closed", "closed"])
    })
  )

  it.effect.each([
    ["4999 millis", 2, 10],
    ["5 seconds", 1, 5]
  ] as const)(
    "a closed circuit keeps its openings in a row, and the time of the restart counts as closed time: %s",
    ([away, openings, seconds]) =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", options)
        yield* trip(breaker)
        yield* breaker.control.close()
        const next = yield* restarted(breaker, away)
        assert.strictEqual((yield* next.state()).openings, openings - 1)
        yield* trip(next)
        assert.deepInclude(yield* next.state(), { openings, retryAfter: Duration.seconds(seconds) })
      })
  )

  it.effect("a wall clock that was set back during the restart lengthens no open time", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1e12)
      const breaker = yield* CircuitBreaker.make("users", options)
      yield* trip(breaker)
      const text = yield* written(breaker)
      yield* TestClock.setTime(0)
      const next = yield* CircuitBreaker.make("users", options)
      yield* next.restore(yield* read(text))
      assert.deepInclude(yield* next.state(), { _tag: "open", retryAfter: Duration.seconds(5) })
    })
  )
})

describe("hydrate into circuits that are in use", () => {
  it.effect("the state of the snapshot replaces the present one, with fresh evidence", () =>
    Effect.gen(function* () {
      const healthy = yield* CircuitBreaker.make("users", options)
      yield* outcome(healthy.protect(ok))
      const snapshot = yield* healthy.snapshot
      const breaker = yield* CircuitBreaker.make("users", {
        ...options,
        trip: TripPolicy.failureRate({ threshold: 0.5, minimumCalls: 2 })
      })
      yield* trip(breaker)
      yield* breaker.restore(snapshot)
      assert.strictEqual(yield* tagOf(breaker), "closed")
      yield* outcome(breaker.protect(ok))
      assert.strictEqual(yield* tagOf(breaker), "closed", "what had opened it is no evidence any more")
    })
  )

  it.effect("results of calls admitted before restore are ignored", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      const late = yield* held(breaker)
      yield* breaker.restore(yield* breaker.snapshot)
      yield* late.fail
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )

  it.effect("circuits of keys that the snapshot does not name do not change", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", options)
      yield* trip(breaker, "a")
      yield* breaker.restore({ version: 1, at: 0, circuits: [] })
      assert.strictEqual(yield* tagOf(breaker, "a"), "open")
    })
  )
})

describe("what a snapshot may hold", () => {
  it.effect("an infinite open time is written as a number that JSON can hold", () =>
    Effect.gen(function* () {
      const forever = Duration.infinity
      const breaker = yield* CircuitBreaker.make("users", { ...options, maxRetryAfter: forever })
      const failing: Effect.Effect<string, Failure> = Effect.fail(new Down({ retryAfter: forever }))
      yield* outcome(breaker.protect(failing))
      const next = yield* restarted(breaker, "365 days", { maxRetryAfter: forever })
      assert.strictEqual(yield* tagOf(next), "open")
      assert.strictEqual(yield* outcome(next.protect(ok)), "CircuitOpen")
    })
  )

  const sound = { key: "a", state: "open", since: 0, retryAfter: 5, openFor: 5, openings: 1 }
  const bad = [
    ["another version", { version: 3, at: 0, circuits: [] }],
    ["an unknown state", { version: 1, at: 0, circuits: [{ ...sound, state: "half-open" }] }],
    ["no number of openings", { version: 1, at: 0, circuits: [{ ...sound, openings: null }] }],
    ["a fraction of an opening", { version: 1, at: 0, circuits: [{ ...sound, openings: 0.5 }] }],
    ["a negative number of openings", { version: 1, at: 0, circuits: [{ ...sound, openings: -1 }] }],
    ["a time that JSON could not write", { version: 1, at: 0, circuits: [{ ...sound, retryAfter: null }] }],
    ["nothing", null]
  ] as const
  it.effect.each(bad)("refuses %s", ([, value]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* Effect.flip(read(JSON.stringify(value))))._tag, "SchemaError")
    })
  )

  it.effect("a circuit whose open time is a Schedule continues at the opening it had reached", () =>
    Effect.gen(function* () {
      const openFor = Schedule.exponential("1 second")
      const breaker = yield* CircuitBreaker.make("users", { ...options, openFor })
      yield* trip(breaker)
      yield* TestClock.adjust("1 second")
      yield* outcome(breaker.protect(down))
      const next = yield* restarted(breaker, "2 seconds", { openFor })
      yield* outcome(next.protect(down))
      assert.deepInclude(yield* next.state(), { openings: 3, retryAfter: Duration.seconds(4) })
    })
  )
})
