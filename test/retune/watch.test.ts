import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policies, Policy, Retry, RetryBudget } from "effect-resilience"
import { configError } from "../config/support.ts"

class Payments extends Policy.Service<Payments>()("test/Payments", {
  deadline: "3 seconds",
  timeout: "1 second",
  retry: Retry.backoff(),
  breaker: {}
}) {}
class Users extends CircuitBreaker.Service<Users>()("test/Users", {}) {}
class Files extends Bulkhead.Service<Files>()("test/Files", { maxConcurrent: 1 }) {}
class Budget extends RetryBudget.Service<Budget>()("test/Budget", {}) {}

/** Variables that a test changes, and what is logged meanwhile. */
const source = (variables: Record<string, string> = {}) => {
  const logged: Array<string> = []
  const env = { ...variables }
  const provider = Effect.sync(() => ConfigProvider.fromEnv({ env: { ...env } }).pipe(ConfigProvider.constantCase))
  const logger = Logger.layer([
    Logger.make<unknown, void>(({ logLevel, message }) => {
      if (logLevel === "Warn") logged.push(String(message))
    })
  ])
  const put = (changes: Record<string, string | undefined>) => {
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) delete env[name]
      else env[name] = value
    }
    return TestClock.adjust("10 seconds")
  }
  const started = Effect.cached(provider)
  return { env, logged, logger, provider, put, started }
}

const settings = Effect.map(Policies.all, (entries) => entries[0]?.settings)
const changes = Effect.map(Policies.changes, (all) => all.map(({ action, by, values }) => ({ action, by, values })))

const watching = (from: ReturnType<typeof source>, layer: Layer.Layer<Payments> = Payments.layer) =>
  Payments.watchConfig("payments", { provider: from.provider }).pipe(
    Layer.provideMerge(layer),
    Layer.provideMerge(from.logger),
    Layer.provideMerge(Policies.layer)
  )

describe("watchConfig", () => {
  it.effect("a value that changes arrives as a change by config, in place of the one before", () => {
    const from = source()
    return Effect.gen(function* () {
      assert.deepStrictEqual(yield* changes, [])
      yield* from.put({ PAYMENTS_TIMEOUT: "2 seconds", PAYMENTS_BREAKER_TRIP_THRESHOLD: "0.5" })
      const values = { timeout: 2000, breaker: { trip: { threshold: 0.5 } } }
      assert.deepStrictEqual(yield* changes, [{ action: "set", by: "config", values }])
      assert.deepInclude(yield* settings, { timeout: 2000, deadline: 3000 })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual((yield* Policies.changes).length, 1, "nothing has changed")
      yield* from.put({ PAYMENTS_TIMEOUT: "500 millis" })
      yield* from.put({ PAYMENTS_TIMEOUT: "700 millis" })
      assert.deepInclude(yield* settings, { timeout: 700 })
      const inForce = yield* Policies.inForce
      assert.deepStrictEqual(
        inForce.map(({ values }) => values),
        [{ timeout: 700, breaker: { trip: { threshold: 0.5 } } }]
      )
      assert.deepStrictEqual(from.logged, [])
    }).pipe(Effect.provide(watching(from)))
  })

  it.effect("a value that disappears is again that of the class", () => {
    const from = source({ PAYMENTS_TIMEOUT: "2 seconds", PAYMENTS_RETRY_TIMES: "5" })
    const configured = Layer.unwrap(
      Effect.map(from.provider, (provider) =>
        Payments.layerConfig("payments").pipe(
          Layer.provide(Layer.succeed(ConfigProvider.ConfigProvider, provider)),
          Layer.orDie
        )
      )
    )
    return Effect.gen(function* () {
      assert.deepInclude(yield* settings, { timeout: 2000 })
      assert.deepStrictEqual(yield* changes, [], "what the layer has read is no change")
      yield* from.put({ PAYMENTS_TIMEOUT: undefined })
      const seen = yield* settings
      assert.deepInclude(seen, { timeout: 1000 })
      assert.deepInclude((seen as any).retry.backoff, { times: 5 })
      const [change] = yield* Policies.changes
      yield* Policies.undo(change!.id)
      assert.deepInclude(yield* settings, { timeout: 2000 }, "undone: that of the start")
      yield* TestClock.adjust("1 minute")
      assert.deepInclude(yield* settings, { timeout: 2000 }, "and it stays undone until the source changes")
    }).pipe(Effect.provide(watching(from, configured)))
  })

  it.effect("a bad value is refused with the error of the start, logged once, and the values before are kept", () => {
    const from = source({ PAYMENTS_TIMEOUT: "2 seconds" })
    const bad: ReadonlyArray<Record<string, string>> = [
      { PAYMENTS_TIMEOUT: "4 seconds" },
      { PAYMENTS_TIMEOUT: "soon" },
      { PAYMENTS_RETRY_TIMES: "-1" },
      { PAYMENTS_BREAKER_TRIP_SLOWER_THAN: "1 second" },
      { PAYMENTS_BREAKER_OPEN_FOR_JITTER: "2" }
    ]
    return Effect.gen(function* () {
      for (const variables of bad) {
        const before = Object.fromEntries(Object.keys(variables).map((name) => [name, from.env[name]]))
        yield* from.put(variables)
        yield* TestClock.adjust("5 minutes")
        const provider = yield* from.provider
        const atStart = yield* configError(
          Effect.provide(Effect.void, Payments.layerConfig("payments")).pipe(
            Effect.provideService(ConfigProvider.ConfigProvider, provider),
            Effect.provide(Policies.layer)
          )
        )
        assert.deepStrictEqual(from.logged.splice(0), [`${atStart}; the values before are kept`])
        assert.deepInclude(yield* settings, { timeout: 2000 })
        yield* from.put(before)
      }
      assert.strictEqual((yield* Policies.changes).length, 1)
      yield* from.put({ PAYMENTS_TIMEOUT: "soon" })
      assert.strictEqual(from.logged.splice(0).length, 1, "an error that was mended and is back is logged again")
      yield* from.put({ PAYMENTS_TIMEOUT: "3 seconds" })
      assert.deepInclude(yield* settings, { timeout: 3000 })
    }).pipe(Effect.provide(watching(from)))
  })

  it.effect("a variable that no option reads is reported once", () => {
    const from = source({ PAYMENTS_TIMEOT: "2 seconds" })
    return Effect.gen(function* () {
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(from.logged, ["test/Payments: no option reads PAYMENTS_TIMEOT"])
    }).pipe(Effect.provide(watching(from)))
  })

  it.effect("what was set holds over the configuration", () => {
    const from = source()
    return Effect.gen(function* () {
      const { id } = yield* Payments.control.set({ timeout: 100 }, { by: "ann", for: "1 hour" })
      yield* from.put({ PAYMENTS_TIMEOUT: "2 seconds", PAYMENTS_DEADLINE: "9 seconds" })
      assert.deepInclude(yield* settings, { timeout: 100, deadline: 9000 })
      yield* Policies.undo(id)
      assert.deepInclude(yield* settings, { timeout: 2000, deadline: 9000 })
    }).pipe(Effect.provide(watching(from)))
  })

  it.effect("a source that fails is told once, and read again", () => {
    let broken: "fails" | "dies" | undefined = "fails"
    const from = source({ PAYMENTS_TIMEOUT: "2 seconds" })
    const provider = Effect.suspend((): typeof from.provider | Effect.Effect<never, Error> =>
      broken === "fails"
        ? Effect.fail(new Error("no such file"))
        : broken === "dies"
          ? Effect.die("oops")
          : from.provider
    )
    const live = Payments.watchConfig("payments", { provider, every: "1 second" }).pipe(
      Layer.provideMerge(Payments.layer),
      Layer.provideMerge(from.logger),
      Layer.provideMerge(Policies.layer)
    )
    return Effect.gen(function* () {
      yield* TestClock.adjust("1 minute")
      broken = "dies"
      yield* TestClock.adjust("1 minute")
      assert.deepStrictEqual(from.logged, [
        "test/Payments: no such file; the values before are kept",
        "test/Payments: oops; the values before are kept"
      ])
      broken = undefined
      yield* TestClock.adjust("1 second")
      assert.deepInclude(yield* settings, { timeout: 2000 })
    }).pipe(Effect.provide(live))
  })

  it.effect("ends with its scope, and `every` is checked at once", () =>
    Effect.gen(function* () {
      let reads = 0
      const provider = Effect.sync(() => {
        reads += 1
        return ConfigProvider.fromUnknown({})
      })
      yield* TestClock.adjust("25 seconds").pipe(
        Effect.provide(Payments.watchConfig("payments", { provider }).pipe(Layer.provide(Payments.layer))),
        Effect.provide(Policies.layer)
      )
      assert.strictEqual(reads, 3)
      yield* TestClock.adjust("1 hour")
      assert.strictEqual(reads, 3)
      assert.throws(
        () => Payments.watchConfig("payments", { every: 0 }),
        "Policy.watchConfig test/Payments: every must be a finite duration above zero"
      )
    })
  )

  it.effect("of the other kinds, from an object", () => {
    let config: object = {}
    const provider = Effect.sync(() => ConfigProvider.fromUnknown(config))
    const live = Layer.mergeAll(
      Users.watchConfig("users", { provider }),
      Files.watchConfig("files", { provider }),
      Budget.watchConfig({}, { provider })
    ).pipe(
      Layer.provideMerge(Layer.mergeAll(Users.layer, Files.layer, Budget.layer)),
      Layer.provideMerge(Policies.layer)
    )
    return Effect.gen(function* () {
      config = { users: { openFor: "3 seconds" }, files: { maxConcurrent: "7" } }
      yield* TestClock.adjust("10 seconds")
      const all = Object.fromEntries((yield* Policies.all).map(({ name, settings }) => [name, settings]))
      assert.deepInclude((all["test/Users"] as any).openFor, { initial: 3000 })
      assert.deepInclude(all["test/Files"], { maxConcurrent: 7 })
    }).pipe(Effect.provide(live))
  })
})
