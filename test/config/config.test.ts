import { assert, describe, it } from "@effect/vitest"
import type * as EffectConfig from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Config, Rejection, Retry, RetryBudget, TripPolicy } from "effect-resilience"
import { down, hang, ok, start } from "../policy/support.ts"
import { configError, from, fromEnv } from "./support.ts"

type Read = (path?: string | ConfigProvider.Path) => EffectConfig.Config<unknown>

const all: ReadonlyArray<Read> = [
  Config.circuitBreaker,
  Config.bulkhead,
  Config.retryBudget,
  Config.backoff,
  Config.policy
]

/** Settings with durations in milliseconds. */
const plain = (settings: unknown): unknown => {
  if (Duration.isDuration(settings)) return Duration.toMillis(settings)
  if (typeof settings !== "object" || settings === null) return settings
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, plain(value)]))
}

const read = <A>(config: EffectConfig.Config<A>) => Effect.map(config, plain)

describe("Config", () => {
  it.effect("every setting is optional: an absent path, an empty object and no path all read as no settings", () =>
    Effect.gen(function* () {
      for (const config of all) {
        assert.deepStrictEqual(yield* read(config("x")).pipe(from({})), {})
        assert.deepStrictEqual(yield* read(config("x")).pipe(from({ x: {} })), {})
        assert.deepStrictEqual(yield* read(config()).pipe(from({})), {})
        assert.deepStrictEqual(yield* read(config(["a", "b"])).pipe(fromEnv({})), {})
      }
    })
  )

  it.effect("circuitBreaker: every setting", () =>
    Effect.gen(function* () {
      const x = {
        trip: {
          type: "slowCallRate",
          slowerThan: "1 second",
          threshold: "0.25",
          window: "1 minute",
          minimumCalls: "9"
        },
        openFor: "3 seconds",
        maxRetryAfter: "1 hour",
        probes: { permitted: "4", successes: "3", lease: "2 seconds" }
      }
      assert.deepStrictEqual(yield* read(Config.circuitBreaker("x")).pipe(from({ x })), {
        trip: { type: "slowCallRate", slowerThan: 1000, threshold: 0.25, window: 60_000, minimumCalls: 9 },
        openFor: 3000,
        maxRetryAfter: 3_600_000,
        probes: { permitted: 4, successes: 3, lease: 2000 }
      })
    })
  )

  it.effect("circuitBreaker: failures in a row, and how long the row must last", () =>
    Effect.gen(function* () {
      const x = { trip: { type: "consecutive", failures: "10", minDuration: "500 millis" } }
      assert.deepStrictEqual(yield* read(Config.circuitBreaker("x")).pipe(from({ x })), {
        trip: { type: "consecutive", failures: 10, minDuration: 500 }
      })
    })
  )

  it.effect("bulkhead, retryBudget and backoff: every setting, from the environment", () =>
    Effect.gen(function* () {
      const env = {
        A_MAX_CONCURRENT: "5",
        A_MAX_QUEUED: "6",
        A_MAX_WAIT: "70 millis",
        B_RATIO: "0.1",
        B_MIN_PER_SECOND: "2",
        B_CAPACITY: "20",
        B_INITIAL: "3",
        B_TIMEOUT_COST: "4",
        C_BASE: "50 millis",
        C_CAP: "1 second",
        C_TIMES: "3",
        C_JITTER: "decorrelated"
      }
      assert.deepStrictEqual(yield* read(Config.bulkhead("a")).pipe(fromEnv(env)), {
        maxConcurrent: 5,
        maxQueued: 6,
        maxWait: 70
      })
      assert.deepStrictEqual(yield* read(Config.retryBudget("b")).pipe(fromEnv(env)), {
        ratio: 0.1,
        minPerSecond: 2,
        capacity: 20,
        initial: 3,
        timeoutCost: 4
      })
      assert.deepStrictEqual(yield* read(Config.backoff("c")).pipe(fromEnv(env)), {
        base: 50,
        cap: 1000,
        times: 3,
        jitter: "decorrelated"
      })
    })
  )

  it.effect("policy: the settings of its parts below their names", () =>
    Effect.gen(function* () {
      const x = {
        deadline: "3 seconds",
        timeout: "1 second",
        retry: { times: 1 },
        budget: { ratio: 0.1 },
        breaker: { openFor: "1 second" },
        bulkhead: { maxConcurrent: 1 }
      }
      assert.deepStrictEqual(yield* read(Config.policy("x")).pipe(from({ x })), {
        ...x,
        deadline: 3000,
        timeout: 1000,
        breaker: { openFor: 1000 }
      })
    })
  )

  it.effect("a value that cannot be read is an error, not an absent setting", () =>
    Effect.gen(function* () {
      const cases: ReadonlyArray<readonly [Read, object]> = [
        [Config.circuitBreaker, { openFor: "soon" }],
        [Config.bulkhead, { maxConcurrent: "many" }],
        [Config.retryBudget, { ratio: "half" }],
        [Config.backoff, { jitter: "some" }],
        [Config.policy, { deadline: "never again" }]
      ]
      for (const [config, x] of cases) {
        assert.include(yield* configError(config("x").pipe(from({ x }))), `["x"]`)
      }
    })
  )

  it.effect("backoff reads a schedule on its own", () =>
    Effect.gen(function* () {
      const schedule = Effect.map(Config.backoff("x"), Retry.backoff)
      const dependency = { calls: 0 }
      const call = Effect.suspend(() => {
        dependency.calls += 1
        return down
      })
      const retried = yield* schedule.pipe(from({ x: { times: 3, base: "1 millis" } }))
      yield* start(Effect.exit(call.pipe(Retry.transient(retried))))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(dependency.calls, 4)
    })
  )
})

describe("layerConfig of the single policies", () => {
  it.effect("CircuitBreaker: settings over the options of the class", () => {
    class Users extends CircuitBreaker.Service<Users>()("test/Users", {
      trip: TripPolicy.consecutive(3),
      probes: { permitted: 5, successes: 4 }
    }) {}
    const opensAfter = Effect.gen(function* () {
      let failures = 0
      while ((yield* Users.state())._tag === "closed") {
        failures += 1
        yield* Effect.flip(Users.protect(down))
      }
      return failures
    })
    return Effect.gen(function* () {
      assert.strictEqual(yield* opensAfter.pipe(Effect.provide(Users.layerConfig("users")), from({})), 3)
      const settings = { users: { trip: { type: "consecutive", failures: 2 }, probes: { permitted: 6 } } }
      assert.strictEqual(yield* opensAfter.pipe(Effect.provide(Users.layerConfig("users")), from(settings)), 2)
      const bad = { users: { probes: { permitted: 3 } } }
      const message = yield* configError(Effect.void.pipe(Effect.provide(Users.layerConfig("users")), from(bad)))
      // The four successes are the class's, and are still there.
      assert.include(message, "CircuitBreaker test/Users: probes.successes must be an integer in [1, 3], got 4")
    })
  })

  it.effect("Bulkhead", () => {
    class Files extends Bulkhead.Service<Files>()("test/Files", { maxConcurrent: 1, maxQueued: 1 }) {}
    return Effect.gen(function* () {
      yield* start(Files.protect(hang))
      yield* start(Files.protect(hang))
      yield* start(Files.protect(hang))
      assert.deepStrictEqual(yield* Files.state(), { running: 2, waiting: 1, maxConcurrent: 2 })
      assert.instanceOf(yield* Effect.flip(Files.protect(ok)), Rejection.BulkheadFull)
      const bad = Effect.void.pipe(Effect.provide(Files.layerConfig("files")), from({ files: { maxQueued: -1 } }))
      assert.include(yield* configError(bad), "Bulkhead test/Files: maxQueued must be an integer >= 0, got -1")
    }).pipe(Effect.provide(Files.layerConfig("files")), from({ files: { maxConcurrent: "2" } }))
  })

  it.effect("RetryBudget", () => {
    class Budget extends RetryBudget.Service<Budget>()("test/Budget", {
      ratio: 0.5,
      capacity: 100,
      initial: 10
    }) {}
    return Effect.gen(function* () {
      assert.strictEqual(yield* Budget.balance, 4)
      yield* Budget.deposit
      assert.strictEqual(yield* Budget.balance, 4.5)
      const bad = Effect.void.pipe(Effect.provide(Budget.layerConfig("budget")), from({ budget: { ratio: 2 } }))
      assert.include(yield* configError(bad), "RetryBudget test/Budget: ratio must be in [0, 1], got 2")
    }).pipe(Effect.provide(Budget.layerConfig("budget")), from({ budget: { capacity: 100, initial: 4 } }))
  })

  it.effect("reads the provider when the layer is built, not when the class is declared", () => {
    class Files extends Bulkhead.Service<Files>()("test/LateFiles", { maxConcurrent: 1 }) {}
    const layer = Files.layerConfig("files")
    const limit = Effect.map(Files.state(), (state) => state.maxConcurrent).pipe(Effect.provide(layer))
    return Effect.gen(function* () {
      for (const maxConcurrent of [4, 5]) {
        const provider = ConfigProvider.fromUnknown({ files: { maxConcurrent } })
        const found = yield* Effect.provideService(limit, ConfigProvider.ConfigProvider, provider)
        assert.strictEqual(found, maxConcurrent)
      }
    })
  })

  it.effect("a duration for openFor sets the initial open time, and keeps the growth of the class", () => {
    class Users extends CircuitBreaker.Service<Users>()("test/OpenForUsers", {
      trip: TripPolicy.consecutive(1),
      openFor: { initial: "1 second", factor: 3, jitter: 0 },
      probes: { permitted: 1, successes: 1 }
    }) {}
    return Effect.gen(function* () {
      for (const millis of [2000, 6000, 18_000]) {
        yield* Effect.exit(Users.protect(down))
        const state = yield* Users.state()
        assert.strictEqual(state._tag === "open" && Duration.toMillis(state.retryAfter), millis)
        yield* TestClock.adjust(millis)
      }
    }).pipe(Effect.provide(Users.layerConfig("users")), from({ users: { openFor: "2 seconds" } }))
  })
})
