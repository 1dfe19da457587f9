import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { down, type Failure, ok, oneProbe, strict, tagOf } from "../support/dependency.ts"
import { start } from "../support/observe.ts"

type AnyBreaker = CircuitBreaker.CircuitBreaker<CircuitBreaker.Options>

const slow: Effect.Effect<string, Failure> = Effect.delay(ok, "2 seconds")

const slowAndDown = Effect.andThen(slow, down)

const slowness = TripPolicy.slowCallRate({ slowerThan: "1 second", calls: 1 })
const failures = TripPolicy.consecutive(1)

const breakerWith = (trip: TripPolicy.Any) => CircuitBreaker.make("users", { ...strict, trip, probes: oneProbe })

/** Runs a call to its end. */
const run = (breaker: AnyBreaker, call: Effect.Effect<string, Failure>) =>
  Effect.andThen(start(Effect.exit(breaker.protect(call))), TestClock.adjust("2 seconds"))

/** The state after a call that opens the circuit, its open time, and a probe. */
const afterProbe = (
  trip: TripPolicy.Any,
  opening: Effect.Effect<string, Failure>,
  probe: Effect.Effect<string, Failure>
) =>
  Effect.gen(function* () {
    const breaker = yield* breakerWith(trip)
    yield* run(breaker, opening)
    assert.strictEqual(yield* tagOf(breaker), "open")
    yield* TestClock.adjust("5 seconds")
    yield* run(breaker, probe)
    return yield* tagOf(breaker)
  })

describe("a probe is judged by what opened the circuit", () => {
  const cases = [
    ["slowness", slowness, slow, slow, "open"],
    ["slowness", slowness, slow, ok, "closed"],
    ["slowness", slowness, slow, down, "open"],
    ["failures", failures, down, slow, "closed"],
    ["slowness, of any", TripPolicy.any(failures, slowness), slow, slow, "open"],
    ["slowness, of any", TripPolicy.any(failures, slowness), slow, ok, "closed"],
    ["failures, of any", TripPolicy.any(failures, slowness), down, slow, "closed"],
    ["slowness, of any inside any", TripPolicy.any(TripPolicy.any(failures, slowness), failures), slow, slow, "open"],
    ["two kinds of slowness, of all", TripPolicy.all(slowness, slowness), slow, slow, "open"],
    ["failures and slowness, of all", TripPolicy.all(failures, slowness), slowAndDown, slow, "open"],
    ["failures and slowness, of all", TripPolicy.all(failures, slowness), slowAndDown, ok, "closed"],
    [
      "failures and slowness, of all inside any",
      TripPolicy.any(TripPolicy.all(failures, slowness)),
      slowAndDown,
      slow,
      "open"
    ],
    ["failures, of all", TripPolicy.all(failures, failures), down, slow, "closed"]
  ] as const
  it.effect.each(cases.map(([by, trip, opening, probe, state], i) => ({ i, by, trip, opening, probe, state })))(
    "case $i, opened by $by: $state",
    ({ opening, probe, state, trip }) =>
      Effect.gen(function* () {
        assert.strictEqual(yield* afterProbe(trip, opening, probe), state)
      })
  )

  it.effect("also when the policy reads no duration while the circuit is closed", () =>
    Effect.gen(function* () {
      const trip = { ...failures, probeFailed: ({ duration }: { readonly duration: number }) => duration >= 1000 }
      assert.strictEqual(yield* afterProbe(trip, down, slow), "open")
      assert.strictEqual(yield* afterProbe(trip, down, ok), "closed")
    })
  )

  const restored = (opening: Effect.Effect<string, Failure>, forget: boolean) =>
    Effect.gen(function* () {
      const trip = TripPolicy.any(failures, slowness)
      const breaker = yield* breakerWith(trip)
      yield* run(breaker, opening)
      const snapshot: CircuitBreaker.Snapshot = JSON.parse(JSON.stringify(yield* breaker.snapshot))
      yield* TestClock.adjust("5 seconds")
      const next = yield* breakerWith(trip)
      const circuits = snapshot.circuits.map(({ openedBy, ...circuit }) =>
        forget || openedBy === undefined ? circuit : { ...circuit, openedBy }
      )
      yield* next.restore({ ...snapshot, circuits })
      yield* run(next, slow)
      return yield* tagOf(next)
    })

  it.effect("also after a restore", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* restored(slow, false), "open")
      assert.strictEqual(yield* restored(down, false), "closed")
    })
  )

  it.effect("by every part when the snapshot does not say which opened it", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* restored(down, true), "open")
    })
  )

  it.effect("several slow probes of which enough are quick close it", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, trip: slowness })
      yield* run(breaker, slow)
      yield* TestClock.adjust("5 seconds")
      yield* run(breaker, slow)
      yield* run(breaker, ok)
      assert.strictEqual(yield* tagOf(breaker), "half-open")
      yield* run(breaker, ok)
      assert.strictEqual(yield* tagOf(breaker), "closed")
    })
  )
})

describe("evidence of combined trip policies", () => {
  const evidenceOf = (trip: TripPolicy.Any, opening: Effect.Effect<string, Failure>) =>
    Effect.gen(function* () {
      const breaker = yield* breakerWith(trip)
      yield* run(breaker, opening)
      const error = yield* Effect.flip(breaker.protect(ok))
      return error._tag === "CircuitOpen" ? error : assert.fail(error._tag)
    })

  it.effect("names what tripped, with its own figures", () =>
    Effect.gen(function* () {
      const { evidence, message } = yield* evidenceOf(TripPolicy.any(failures, slowness), slow)
      assert.deepStrictEqual(evidence, {
        trip: "slowCallRate",
        figures: { calls: 1, slow: 1, rate: 1, threshold: 0.8 }
      })
      assert.strictEqual(
        message,
        "users: the circuit is open for another 5s (slowCallRate: calls 1, slow 1, rate 1, threshold 0.80)"
      )
    })
  )

  it.effect("names all that tripped, with the name in front of each figure", () =>
    Effect.gen(function* () {
      const { evidence } = yield* evidenceOf(TripPolicy.any(failures, slowness), Effect.andThen(slow, down))
      assert.deepStrictEqual(evidence, {
        trip: "consecutive, slowCallRate",
        figures: {
          "consecutive.failures": 1,
          "consecutive.limit": 1,
          "slowCallRate.calls": 1,
          "slowCallRate.slow": 1,
          "slowCallRate.rate": 1,
          "slowCallRate.threshold": 0.8
        }
      })
    })
  )

  it.effect("the message has at most 160 characters", () =>
    Effect.gen(function* () {
      const many = Array.from({ length: 5 }, () => failures)
      const nested = TripPolicy.any(TripPolicy.standard, TripPolicy.any(slowness, TripPolicy.any(...many)))
      assert.strictEqual(nested.name, `any(failureRate, consecutive, slowCallRate${", consecutive".repeat(5)})`)
      const { message } = yield* evidenceOf(nested, Effect.andThen(slow, down))
      assert.isAtMost(message.length, 160)
      assert.include(message, "slowCallRate")
      const long = yield* evidenceOf(TripPolicy.make({ ...failures, name: "x".repeat(200) }), down)
      assert.strictEqual(long.message, "users: the circuit is open for another 3s; last failure Down")
    })
  )
})

describe("the length of an outage", () => {
  it.effect("unhealthySince goes on through failed probes, and ends with the first closing", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerWith(failures)
      yield* Effect.exit(breaker.protect(down))
      yield* TestClock.adjust("5 seconds")
      yield* Effect.exit(breaker.protect(down))
      yield* TestClock.adjust("3 seconds")
      const second = { unhealthySince: Duration.seconds(8), since: Duration.seconds(3), openings: 2 }
      assert.deepInclude(yield* breaker.state(), { _tag: "open", ...second })
      const snapshot = yield* breaker.snapshot
      yield* TestClock.adjust("1 second")
      const next = yield* breakerWith(failures)
      yield* next.restore(snapshot)
      assert.deepInclude(yield* next.state(), { _tag: "open", unhealthySince: Duration.seconds(9), openings: 2 })
      yield* TestClock.adjust("6 seconds")
      yield* breaker.protect(ok)
      assert.deepStrictEqual(yield* breaker.state(), {
        _tag: "closed",
        since: Duration.zero,
        openings: 2,
        dueForProbe: false,
        figures: { failures: 0, limit: 1 }
      })
      yield* Effect.exit(breaker.protect(down))
      assert.deepInclude(yield* breaker.state(), { _tag: "open", unhealthySince: Duration.zero })
    })
  )

  it.effect("a circuit without traffic is due for a probe when its open time is over", () =>
    Effect.gen(function* () {
      const breaker = yield* breakerWith(failures)
      yield* Effect.exit(breaker.protect(down))
      yield* TestClock.adjust("1 minute")
      const state = yield* breaker.state()
      assert.deepStrictEqual(state, {
        _tag: "half-open",
        since: Duration.seconds(55),
        unhealthySince: Duration.minutes(1),
        openings: 1,
        due: true,
        dueForProbe: true,
        probing: 0,
        successes: 0,
        evidence: { trip: "consecutive", figures: { failures: 1, limit: 1 } }
      })
      yield* start(breaker.protect(slow))
      assert.deepInclude(yield* breaker.state(), { _tag: "half-open", due: false, probing: 1, since: Duration.zero })
    })
  )
})
