import { assert, describe, it } from "@effect/vitest"
import * as EffectConfig from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { Config, Deadline, Policy, Retry, RetryBudget, Timeout, TripPolicy } from "effect-resilience"
import { down, hang, ok, pauses, Refused, script, start } from "../policy/support.ts"
import { configError, from, fromEnv } from "./support.ts"

class Payments extends Policy.Service<Payments>()("test/Payments", {
  deadline: "3 seconds",
  retry: pauses(1),
  budget: { ratio: 0.5, capacity: 100, initial: 10 },
  breaker: {
    trip: TripPolicy.consecutive(5),
    openFor: { initial: "5 seconds", factor: 2, jitter: 0 },
    probes: { permitted: 3, successes: 2 }
  },
  bulkhead: { maxConcurrent: 2, maxQueued: 1 },
  timeout: "1 second"
}) {}

/** Everything that can be seen of the options of a policy. */
const seen = Effect.gen(function* () {
  const left = yield* Payments.protect(
    Effect.as(ok, 0).pipe(Effect.andThen(Effect.map(Deadline.remaining, Duration.toMillis)))
  )
  const dependency = script(down)
  const call = yield* start(Effect.exit(dependency.call.pipe(Payments.protect({ key: "retry" }))))
  yield* TestClock.adjust("1 minute")
  yield* Fiber.join(call)
  let failures = 0
  while ((yield* Payments.stats("trip")).circuit?._tag === "closed") {
    failures += 1
    const one = yield* start(Effect.exit(down.pipe(Payments.protect({ key: "trip" }))))
    yield* TestClock.adjust("1 minute")
    yield* Fiber.join(one)
  }
  const { circuit, maxConcurrent } = yield* Payments.stats("trip")
  return { timeout: left, attempts: dependency.calls, failures, maxConcurrent, openings: circuit?.openings }
})

const ofClass = { timeout: 1000, attempts: 2, failures: 3, maxConcurrent: 2, openings: 1 }

describe("Policy.layerConfig", () => {
  it.effect("without any setting it has the options of the class", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* seen.pipe(Effect.provide(Payments.layer)), ofClass)
      for (const settings of [{}, { payments: {} }, { other: { timeout: "9 seconds" } }]) {
        const result = yield* seen.pipe(Effect.provide(Payments.layerConfig("payments")), from(settings))
        assert.deepStrictEqual(result, ofClass)
      }
    })
  )

  it.effect("reads every setting below a path", () =>
    Effect.gen(function* () {
      const settings = {
        app: {
          payments: {
            deadline: "1 hour",
            timeout: "2 seconds",
            retry: { times: "3", base: "10 millis", jitter: "none" },
            breaker: { trip: { type: "consecutive", failures: "4" } },
            bulkhead: { maxConcurrent: "7" }
          }
        }
      }
      const result = yield* seen.pipe(Effect.provide(Payments.layerConfig(["app", "payments"])), from(settings))
      assert.deepStrictEqual(result, { timeout: 2000, attempts: 4, failures: 1, maxConcurrent: 7, openings: 1 })
    })
  )

  it.effect("one setting keeps the other options of the class", () =>
    Effect.gen(function* () {
      const settings = { payments: { bulkhead: { maxConcurrent: 1 } } }
      yield* Effect.gen(function* () {
        yield* start(Payments.protect(hang))
        const queued = yield* start(Effect.exit(Payments.protect(ok)))
        const stats = yield* Payments.stats()
        assert.deepStrictEqual([stats.running, stats.waiting, stats.maxConcurrent], [1, 1, 1])
        yield* Fiber.interrupt(queued)
      }).pipe(Effect.provide(Payments.layerConfig("payments")), from(settings))
    })
  )

  it.effect("reads environment variables in constant case", () =>
    Effect.gen(function* () {
      const env = {
        PAYMENTS_TIMEOUT: "2 seconds",
        PAYMENTS_RETRY_TIMES: "0",
        PAYMENTS_BREAKER_TRIP_TYPE: "consecutive",
        PAYMENTS_BREAKER_TRIP_FAILURES: "2",
        PAYMENTS_BREAKER_OPEN_FOR: "9 seconds",
        PAYMENTS_BULKHEAD_MAX_CONCURRENT: "9"
      }
      const result = yield* seen.pipe(Effect.provide(Payments.layerConfig("payments")), fromEnv(env))
      assert.deepStrictEqual(result, { timeout: 2000, attempts: 1, failures: 2, maxConcurrent: 9, openings: 1 })
    })
  )

  it.effect("takes a Config per option, with any names", () =>
    Effect.gen(function* () {
      const layer = Payments.layerConfig({
        timeout: EffectConfig.Duration("HOW_LONG"),
        bulkhead: { maxConcurrent: EffectConfig.Number("HOW_MANY") }
      })
      const result = yield* seen.pipe(Effect.provide(layer), from({ HOW_LONG: "500 millis", HOW_MANY: "3" }))
      assert.deepStrictEqual(result, { ...ofClass, timeout: 500, maxConcurrent: 3 })
    })
  )

  it.effect("takes one Config of all options", () =>
    Effect.gen(function* () {
      const layer = Payments.layerConfig(Config.policy("payments"))
      const result = yield* seen.pipe(Effect.provide(layer), from({ payments: { timeout: "250 millis" } }))
      assert.deepStrictEqual(result, { ...ofClass, timeout: 250 })
    })
  )

  it.effect("a value out of range is a ConfigError that names the setting", () =>
    Effect.gen(function* () {
      const cases = [
        [
          { bulkhead: { maxConcurrent: 0 } },
          "Policy.bulkhead test/Payments: maxConcurrent must be an integer >= 1, got 0"
        ],
        [
          { breaker: { trip: { type: "failureRate", threshold: 2 } } },
          "TripPolicy.failureRate: threshold must be in (0, 1], got 2"
        ],
        [{ budget: { ratio: 7 } }, "Policy.budget test/Payments: ratio must be in [0, 1], got 7"],
        [{ retry: { times: -1 } }, "Retry.backoff: times must be an integer >= 0, got -1"],
        [{ timeout: "4 seconds" }, "Policy test/Payments: timeout must be at most the deadline (3000 ms), got 4000 ms"]
      ] as const
      for (const [payments, text] of cases) {
        const message = yield* Effect.void.pipe(
          Effect.provide(Payments.layerConfig("payments")),
          from({ payments }),
          configError
        )
        assert.include(message, text)
      }
    })
  )

  it.effect("a value that cannot be read is a ConfigError with its path", () =>
    Effect.gen(function* () {
      for (const [payments, where] of [
        [{ timeout: "soon" }, `["timeout"]`],
        [{ breaker: { trip: { type: "sometimes" } } }, `["trip"]["type"]`],
        [{ retry: { jitter: "some" } }, `["retry"]["jitter"]`]
      ] as const) {
        const read = Effect.provide(Effect.void, Payments.layerConfig("payments"))
        assert.include(yield* configError(read.pipe(from({ payments }))), where)
      }
    })
  )

  it.effect("parts that the class does not have are not added", () => {
    class Plain extends Policy.Service<Plain>()("test/Plain", { timeout: "1 second" }) {}
    const settings = {
      plain: {
        timeout: "2 seconds",
        deadline: "1 millis",
        bulkhead: { maxConcurrent: 1 },
        breaker: {},
        retry: {},
        budget: {}
      }
    }
    return Effect.gen(function* () {
      yield* start(Plain.protect(Effect.never))
      assert.strictEqual(yield* Plain.protect(Effect.succeed("in")), "in")
      const { balance, circuit, maxConcurrent } = yield* Plain.stats()
      assert.deepStrictEqual([circuit, maxConcurrent, balance], [undefined, undefined, undefined])
      const call = yield* start(Effect.flip(Plain.protect(Effect.never)))
      yield* TestClock.adjust("2 seconds")
      assert.instanceOf(yield* Fiber.join(call), Timeout.TimedOut)
    }).pipe(Effect.provide(Plain.layerConfig("plain")), from(settings))
  })

  it.effect("a retry keeps its other options, such as unprocessedOnly", () => {
    class Orders extends Policy.Service<Orders>()("test/Orders", {
      retry: { schedule: pauses(1), unprocessedOnly: true }
    }) {}
    return Effect.gen(function* () {
      const dependency = script(Effect.fail(new Refused({ unprocessed: false })))
      const call = yield* start(Effect.exit(Orders.protect(dependency.call)))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(call)
      assert.strictEqual(dependency.calls, 1)
    }).pipe(Effect.provide(Orders.layerConfig("orders")), from({ orders: { retry: { times: 5 } } }))
  })

  it.effect("a shared budget stays shared", () => {
    class Shared extends RetryBudget.Service<Shared>()("test/SharedByConfig", {
      ratio: 0,
      capacity: 30
    }) {}
    class Orders extends Policy.Service<Orders>()("test/Orders2", { retry: Retry.backoff(), budget: Shared }) {}
    const layer = Orders.layerConfig("orders").pipe(Layer.provideMerge(Shared.layerConfig("shared")))
    return Effect.gen(function* () {
      assert.strictEqual((yield* Orders.stats()).balance, 20)
      yield* Shared.tryWithdraw
      assert.strictEqual((yield* Orders.stats()).balance, 19)
    }).pipe(Effect.provide(layer), from({ orders: { budget: { capacity: 9 } }, shared: { capacity: 20 } }))
  })
})
