import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { Bulkhead, CircuitBreaker, Policy, Retry, RetryBudget } from "effect-resilience"
import { configError, from, fromEnv } from "./support.ts"

class Payments extends Policy.Service<Payments>()("test/Payments", {
  deadline: "3 seconds",
  retry: Retry.backoff(),
  budget: {},
  breaker: {},
  timeout: "1 second"
}) {}

class Users extends CircuitBreaker.Service<Users>()("test/Users", {}) {}
class Files extends Bulkhead.Service<Files>()("test/Files", { maxConcurrent: 1 }) {}
class Budget extends RetryBudget.Service<Budget>()("test/Budget", {}) {}

/** Builds a layer, and returns its warnings. */
const warnings = <I, E>(layer: Layer.Layer<I, E>, provider: ConfigProvider.ConfigProvider) =>
  Effect.gen(function* () {
    const logged: Array<string> = []
    const logger = Logger.make<unknown, void>(({ logLevel, message }) => {
      if (logLevel === "Warn") logged.push(String(message))
    })
    yield* Effect.void.pipe(
      Effect.provide(layer),
      Effect.provideService(ConfigProvider.ConfigProvider, provider),
      Effect.provide(Logger.layer([logger]))
    )
    return logged
  })

const env = (variables: Record<string, string>) => ConfigProvider.fromEnv({ env: variables })
const constant = (variables: Record<string, string>) => env(variables).pipe(ConfigProvider.constantCase)

describe("an error of a configured option names the policy, the option and the variable", () => {
  const build = <I, E>(layer: Layer.Layer<I, E>) => Effect.provide(Effect.void, layer)

  const payments: ReadonlyArray<readonly [variables: Record<string, string>, message: string]> = [
    [
      { PAYMENTS_BUDGET_RATIO: "20" },
      "Policy.budget test/Payments: ratio must be in [0, 1], got 20, from PAYMENTS_BUDGET_RATIO"
    ],
    [
      { PAYMENTS_RETRY_TIMES: "-1", PAYMENTS_TIMEOUT: "2 seconds" },
      "test/Payments: Retry.backoff: times must be an integer >= 0, got -1, from PAYMENTS_RETRY_TIMES"
    ],
    [
      { PAYMENTS_BREAKER_TRIP_TYPE: "failureRate", PAYMENTS_BREAKER_TRIP_THRESHOLD: "2" },
      "threshold must be in (0, 1], got 2, from PAYMENTS_BREAKER_TRIP_THRESHOLD"
    ],
    [{ PAYMENTS_TIMEOUT: "4 seconds" }, "the deadline would always fire first, from PAYMENTS_TIMEOUT"],
    [{ PAYMENTS_DEADLINE: "1 millis" }, "the deadline would always fire first, from PAYMENTS_DEADLINE"],
    [
      { PAYMENTS_BREAKER_PROBES_PERMITTED: "0", PAYMENTS_BREAKER_OPEN_FOR: "1 second" },
      "probes.permitted must be an integer >= 1, got 0, from PAYMENTS_BREAKER_PROBES_PERMITTED"
    ],
    [{ PAYMENTS_BREAKER_OPEN_FOR: "soon" }, ", from PAYMENTS_BREAKER_OPEN_FOR"]
  ]
  for (const [variables, message] of payments) {
    it.effect(message, () =>
      Effect.gen(function* () {
        const error = yield* configError(build(Payments.layerConfig("payments")).pipe(fromEnv(variables)))
        assert.include(error, message)
        assert.include(error, "test/Payments: ")
      })
    )
  }

  it.effect("also of a single policy, of a nested path, and of an object", () =>
    Effect.gen(function* () {
      const nested = build(Files.layerConfig(["app", "files"])).pipe(fromEnv({ APP_FILES_MAX_QUEUED: "-1" }))
      assert.include(
        yield* configError(nested),
        "Bulkhead test/Files: maxQueued must be an integer >= 0, got -1, from APP_FILES_MAX_QUEUED"
      )
      const object = build(Budget.layerConfig("budget")).pipe(from({ budget: { minPerSecond: -1 } }))
      assert.include(yield* configError(object), "got -1, from budget.minPerSecond")
      const breaker = build(Users.layerConfig("users")).pipe(from({ users: { probes: { lease: "0 seconds" } } }))
      assert.include(yield* configError(breaker), "CircuitBreaker test/Users: probes.lease must be")
      const prefixed = build(Files.layerConfig("files")).pipe(
        Effect.provideService(
          ConfigProvider.ConfigProvider,
          env({ APP_FILES_MAX_CONCURRENT: "0" }).pipe(ConfigProvider.nested("app"), ConfigProvider.constantCase)
        )
      )
      assert.include(yield* configError(prefixed), "got 0, from APP_FILES_MAX_CONCURRENT")
    })
  )
})

describe("a variable below the path that no option reads is reported when the layer is built", () => {
  it.effect("misspelt, or of a part that the policy does not have", () =>
    Effect.gen(function* () {
      const logged = yield* warnings(
        Payments.layerConfig("payments"),
        constant({
          PAYMENTS_TIMEOT: "1 second",
          PAYMENTS_RETRY_TIMES: "1",
          PAYMENTS_BREAKER_OPENFOR: "1 second",
          PAYMENTS_BULKHEAD_MAX_CONCURRENT: "4",
          PAYMENT_TIMEOUT: "1 second",
          PATH: "/bin"
        })
      )
      assert.deepStrictEqual(logged, [
        "test/Payments: no option reads PAYMENTS_TIMEOT",
        "test/Payments: no option reads PAYMENTS_BREAKER_OPENFOR",
        "test/Payments: no option reads PAYMENTS_BULKHEAD_MAX_CONCURRENT"
      ])
    })
  )

  it.effect("in an object, by its path", () =>
    Effect.gen(function* () {
      const provider = ConfigProvider.fromUnknown({ users: { probes: { permited: 3 }, openFor: "1 second" }, other: 1 })
      assert.deepStrictEqual(yield* warnings(Users.layerConfig("users"), provider), [
        "test/Users: no option reads users.probes.permited"
      ])
    })
  )

  it.effect("in constant case, without a provider in constant case", () =>
    Effect.gen(function* () {
      const logged = yield* warnings(
        Files.layerConfig("files"),
        env({ FILES_MAX_CONCURRENT: "5", files_maxQueued: "1", FILES_COUNT: "3" })
      )
      assert.deepStrictEqual(logged, [
        "test/Files: no option reads FILES_MAX_CONCURRENT, because the ConfigProvider looks up files_maxConcurrent: apply ConfigProvider.constantCase to it"
      ])
    })
  )

  it.effect("nothing is reported when every variable is read, for the root, and for a Config per option", () =>
    Effect.gen(function* () {
      const variables = { FILES_MAX_CONCURRENT: "5", FILES_MAX_QUEUED: "2", FILES_MAX_WAIT: "1 second" }
      assert.deepStrictEqual(yield* warnings(Files.layerConfig("files"), constant(variables)), [])
      assert.deepStrictEqual(
        yield* warnings(Files.layerConfig([]), constant({ MAX_CONCURRENT: "5", PATH: "/bin" })),
        []
      )
      assert.deepStrictEqual(yield* warnings(Files.layerConfig("files"), constant({})), [])
      assert.deepStrictEqual(yield* warnings(Files.layerConfig({}), constant({ FILES_X: "1" })), [])
    })
  )
})
