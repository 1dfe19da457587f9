import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"
import { Keyed, overflowKey, resolve } from "../../packages/resilience/src/engine/keyed.ts"
import { down, ok, oneProbe, outcome, strict, tagOf, trip } from "../support/dependency.ts"

type AnyBreaker = CircuitBreaker.CircuitBreaker<CircuitBreaker.Options>

const use = (breaker: AnyBreaker, prefix: string, count: number) =>
  Effect.forEach(Array.from({ length: count }), (_, i) => ok.pipe(breaker.protect({ key: `${prefix}${i}` })), {
    discard: true
  })

const keysOf = (breaker: AnyBreaker) => Effect.map(breaker.states, (states) => states.map((state) => state.key))

describe("one circuit per key", () => {
  it.effect("circuits of different keys are independent, and calls without a key share one circuit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", strict)
      yield* outcome(down.pipe(breaker.protect({ key: "a" })))
      assert.strictEqual(yield* outcome(ok.pipe(breaker.protect({ key: "a" }))), "CircuitOpen")
      assert.strictEqual(yield* outcome(ok.pipe(breaker.protect({ key: "b" }))), "ok")
      assert.strictEqual(yield* outcome(breaker.protect(ok)), "ok")
      assert.strictEqual(yield* outcome(ok.pipe(breaker.protect({ key: "a" }))), "CircuitOpen")
      assert.sameMembers(yield* keysOf(breaker), ["a", "b", "default"])
    })
  )

  it.effect("fn takes the key from the arguments, per call", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", strict)
      const fetch = breaker.fn((host: string, fails: boolean) => (fails ? down : Effect.as(ok, host)), {
        key: (host) => host
      })
      yield* outcome(fetch("eu", true))
      assert.strictEqual(yield* outcome(fetch("eu", false)), "CircuitOpen")
      assert.strictEqual(yield* outcome(fetch("us", false)), "us")
    })
  )

  it.effect("reading the state of an unused key does not create its circuit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", strict)
      assert.deepInclude(yield* breaker.state("nobody"), { _tag: "closed", openings: 0 })
      assert.deepStrictEqual(yield* keysOf(breaker), [])
    })
  )

  it.effect("names such as `constructor` and `__proto__` are ordinary keys", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", strict)
      for (const key of ["__proto__", "constructor", "toString", ""]) {
        yield* outcome(down.pipe(breaker.protect({ key })))
        assert.strictEqual(yield* tagOf(breaker, key), "open")
      }
    })
  )
})

describe("the number of circuits is bounded", () => {
  it.effect("never holds more than maxKeys", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...strict, keys: { maxKeys: 10 } })
      yield* use(breaker, "k", 1000)
      assert.strictEqual((yield* keysOf(breaker)).length, 10)
    })
  )

  it.effect("holds up to 10,000 keys by default", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", strict)
      yield* use(breaker, "k", 10_050)
      assert.strictEqual((yield* keysOf(breaker)).length, 10_000)
    })
  )

  it.effect("removes idle keys, after one hour by default", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", strict)
      yield* use(breaker, "old", 20)
      yield* TestClock.adjust("59 minutes")
      yield* use(breaker, "old", 1)
      yield* TestClock.adjust("1 minute")
      yield* use(breaker, "new", 20)
      const old = (yield* keysOf(breaker)).filter((key) => key.startsWith("old"))
      assert.deepStrictEqual(old, ["old0"])
    })
  )

  it.effect(
    "never removes a circuit that is open, half-open with probes, isolated or disabled, neither when full nor when idle",
    () =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("users", {
          ...strict,
          probes: oneProbe,
          keys: { maxKeys: 10, idleTimeToLive: "1 minute" }
        })
        yield* trip(breaker, "open")
        yield* trip(breaker, "half-open")
        yield* TestClock.adjust("5 seconds")
        yield* Effect.forkChild(Effect.delay(ok, "1 day").pipe(breaker.protect({ key: "half-open" })), {
          startImmediately: true
        })
        yield* breaker.control.isolate({ key: "isolated" })
        yield* breaker.control.disable({ key: "disabled" })
        yield* TestClock.adjust("1 hour")
        yield* trip(breaker, "open")
        yield* use(breaker, "k", 500)
        for (const key of ["open", "half-open", "isolated", "disabled"]) {
          assert.strictEqual(yield* tagOf(breaker, key), key)
        }
        assert.strictEqual((yield* keysOf(breaker)).length, 10)
      })
  )

  it.effect("removes an idle circuit whose open time has ended, so that dead hosts do not fill the map", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("hosts", {
        ...strict,
        keys: { maxKeys: 10, idleTimeToLive: "1 minute" }
      })
      for (let i = 0; i < 10; i++) yield* trip(breaker, `dead${i}`)
      yield* TestClock.adjust("1 hour")
      yield* trip(breaker, "new1")
      assert.strictEqual(yield* ok.pipe(breaker.protect({ key: "new2" })), "ok")
    })
  )

  it.effect("never removes a closed circuit while a call runs or a permit is held", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("hosts", { ...strict, keys: { maxKeys: 2 } })
      yield* Effect.forkChild(Effect.delay(ok, "1 hour").pipe(breaker.protect({ key: "busy" })), {
        startImmediately: true
      })
      const permit = yield* breaker.acquire({ key: "out" })
      yield* use(breaker, "k", 20)
      yield* permit.fail()
      assert.strictEqual(yield* tagOf(breaker, "out"), "open")
      assert.includeMembers(Array.from(yield* keysOf(breaker)), ["busy", "out"])
    }).pipe(Effect.scoped)
  )

  it.effect("applies a command of an operator to one key even when there is no room for another circuit", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("hosts", { ...strict, keys: { maxKeys: 1 } })
      yield* trip(breaker, "a")
      yield* breaker.control.isolate({ key: "b" })
      assert.strictEqual(yield* tagOf(breaker, "b"), "isolated")
      assert.strictEqual(yield* ok.pipe(breaker.protect({ key: "c" })), "ok")
    })
  )
})

describe("when no circuit can be removed, new keys share one circuit", () => {
  const crowded = Effect.gen(function* () {
    const breaker = yield* CircuitBreaker.make("users", {
      ...strict,
      trip: TripPolicy.consecutive(2),
      keys: { maxKeys: 5 }
    })
    for (let i = 0; i < 5; i++) yield* trip(breaker, `open${i}`)
    return breaker
  })

  it.effect("calls of new keys are still protected, and memory stays bounded", () =>
    Effect.gen(function* () {
      const breaker = yield* crowded
      const ends: Array<unknown> = []
      for (let i = 0; i < 3; i++) ends.push(yield* outcome(down.pipe(breaker.protect({ key: `new${i}` }))))
      assert.deepStrictEqual(ends, ["Down", "Down", "CircuitOpen"])
      yield* use(breaker, "more", 100).pipe(Effect.ignore)
      assert.strictEqual((yield* keysOf(breaker)).length, 6)
      assert.include(yield* keysOf(breaker), overflowKey)
    })
  )

  it.effect("a key gets its own circuit as soon as there is room", () =>
    Effect.gen(function* () {
      const breaker = yield* crowded
      for (let i = 0; i < 2; i++) yield* outcome(down.pipe(breaker.protect({ key: "new" })))
      yield* breaker.control.close({ key: "open3" })
      assert.strictEqual(yield* outcome(ok.pipe(breaker.protect({ key: "new" }))), "ok")
      assert.notInclude(yield* keysOf(breaker), "open3")
    })
  )

  it.effect("the shared circuit is not part of a snapshot", () =>
    Effect.gen(function* () {
      const breaker = yield* crowded
      for (let i = 0; i < 2; i++) yield* outcome(down.pipe(breaker.protect({ key: "new" })))
      const { circuits } = yield* breaker.snapshot
      assert.deepStrictEqual(
        circuits.map((circuit) => circuit.key),
        ["open0", "open1", "open2", "open3", "open4"]
      )
    })
  )

  it.effect(
    "a snapshot with more circuits than there is room for overwrites neither the kept circuits nor the shared one",
    () =>
      Effect.gen(function* () {
        const breaker = yield* crowded
        const other = yield* CircuitBreaker.make("users", strict)
        for (const key of ["x", "y"]) yield* outcome(down.pipe(other.protect({ key })))
        yield* breaker.restore(yield* other.snapshot)
        assert.strictEqual(yield* outcome(ok.pipe(breaker.protect({ key: "new" }))), "ok")
        assert.deepStrictEqual(
          (yield* breaker.states).map((state) => state._tag),
          ["open", "open", "open", "open", "open", "closed"]
        )
      })
  )
})

describe("lookups", () => {
  it.effect("of a known key allocate nothing and visit no other entry, with 10,000 keys", () =>
    Effect.withFiber((fiber) => {
      let made = 0
      let looked = 0
      const keyed = new Keyed<{ readonly key: string; lastUsed: number }>(
        resolve("Test"),
        (key, now) => {
          made += 1
          return { key, lastUsed: now }
        },
        () => {
          looked += 1
          return false
        }
      )
      for (let i = 0; i < 10_000; i++) keyed.get(`k${i}`, fiber)
      made = looked = 0
      for (let i = 0; i < 10_000; i++) {
        assert.strictEqual(keyed.get(`k${i}`, fiber), keyed.peek(`k${i}`))
        assert.strictEqual(keyed.getDedicated(`k${i}`, 1), keyed.peek(`k${i}`))
      }
      assert.deepStrictEqual([made, looked], [0, 0])
      return Effect.void
    })
  )
})
