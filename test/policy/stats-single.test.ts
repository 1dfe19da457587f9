import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, RetryBudget, StaleFallback, type Stats } from "effect-resilience"
import { down, hang, ok, start, touchy, wrong } from "./support.ts"

const keysOf = (all: ReadonlyArray<Stats.Stats>) => all.map(({ key }) => key)

const sumOf = (all: ReadonlyArray<Stats.Stats>, count: (totals: Stats.Totals) => number): number =>
  all.reduce((sum, { totals }) => sum + count(totals), 0)

describe("CircuitBreaker: stats", () => {
  it.effect("calls, outcomes, rejections, openings, running calls and the last error", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...touchy, others: "ignored" })
      yield* breaker.protect(ok)
      yield* Effect.flip(breaker.protect(wrong))
      const running = yield* start(breaker.protect(hang))
      yield* TestClock.adjust("1 second")
      yield* Effect.flip(breaker.protect(down))
      yield* Effect.flip(breaker.protect(ok))
      yield* Effect.scoped(Effect.flip(breaker.acquire()))
      yield* TestClock.adjust("2 seconds")
      const stats = yield* breaker.stats()
      assert.deepInclude(stats, { policy: "users", key: "default", running: 1, waiting: 0, maxConcurrent: undefined })
      assert.deepInclude(stats.totals, { calls: 6, successes: 1, failures: 1, ignored: 1, openings: 1 })
      assert.strictEqual(stats.totals.rejections.CircuitOpen, 2)
      assert.deepInclude(stats.totals.timeIn, { closed: Duration.seconds(1), open: Duration.seconds(2) })
      assert.deepStrictEqual(stats.lastError, { tag: "Down", message: "", ago: Duration.seconds(2) })
      assert.deepStrictEqual(stats.circuit, yield* breaker.state())
      assert.deepInclude(stats.recent, { attempts: 0, window: Duration.zero })
      running.interruptUnsafe()
    })
  )

  it.effect("a permit is a call, and its report an outcome", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", touchy)
      yield* Effect.scoped(Effect.flatMap(breaker.acquire(), (permit) => permit.succeed))
      yield* Effect.scoped(breaker.acquire())
      yield* Effect.scoped(Effect.flatMap(breaker.acquire(), (permit) => permit.fail()))
      const { lastError, running, totals } = yield* breaker.stats()
      assert.deepInclude(totals, { calls: 3, successes: 1, failures: 1, ignored: 1 })
      assert.deepStrictEqual([running, lastError?.tag], [0, "(reported)"])
    })
  )

  it.effect("no sum over the keys decreases when keys are evicted, and no read creates a key", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("users", { ...touchy, keys: { maxKeys: 3 } })
      assert.strictEqual((yield* breaker.stats("unseen")).totals.calls, 0)
      assert.deepStrictEqual(yield* breaker.allStats, [])
      for (let i = 0; i < 50; i++) {
        yield* Effect.exit((i % 2 === 0 ? ok : down).pipe(breaker.protect({ key: `k${i}` })))
        yield* TestClock.adjust("4 seconds")
        const all = yield* breaker.allStats
        assert.strictEqual(
          sumOf(all, ({ calls }) => calls),
          i + 1
        )
        assert.strictEqual(
          sumOf(all, ({ openings }) => openings),
          Math.ceil(i / 2)
        )
      }
      assert.include(keysOf(yield* breaker.allStats), "(evicted)")
    })
  )

  it.effect("a restore is no opening, and time before it is not counted", () =>
    Effect.gen(function* () {
      const before = yield* CircuitBreaker.make("users", touchy)
      yield* Effect.flip(before.protect(down))
      yield* TestClock.adjust("2 seconds")
      const after = yield* CircuitBreaker.make("users", touchy)
      yield* after.restore(yield* before.snapshot)
      yield* TestClock.adjust("1 second")
      const { circuit, totals } = yield* after.stats()
      assert.deepInclude(circuit, { _tag: "open", since: Duration.seconds(3) })
      assert.strictEqual(totals.openings, 0)
      assert.deepInclude(totals.timeIn, { open: Duration.seconds(1), closed: Duration.zero })
    })
  )
})

describe("Bulkhead: stats", () => {
  it.effect("calls and rejections, running and waiting calls, and the limits", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 2, maxWait: "1 second" })
      for (let i = 0; i < 5; i++) yield* start(Effect.exit(bulkhead.protect(hang)))
      const stats = yield* bulkhead.stats()
      assert.deepInclude(stats, { running: 1, waiting: 2, maxConcurrent: 1, maxQueued: 2, circuit: undefined })
      assert.deepStrictEqual([stats.totals.calls, stats.totals.rejections.BulkheadFull], [5, 2])
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* bulkhead.stats()).totals.rejections.BulkheadFull, 4)
    })
  )

  it.effect("every key, and the totals of those that are no longer kept", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1, keys: { maxKeys: 2 } })
      for (let i = 0; i < 9; i++) yield* ok.pipe(bulkhead.protect({ key: `k${i}` }))
      const all = yield* bulkhead.allStats
      assert.strictEqual(keysOf(all).at(-1), "(evicted)")
      assert.strictEqual(
        sumOf(all, ({ calls }) => calls),
        9
      )
    })
  )
})

describe("RetryBudget: stats", () => {
  it.effect("deposits, withdrawals, refusals, balance and capacity", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("payments", { ratio: 0.5, capacity: 2, initial: 1 })
      yield* budget.deposit
      yield* budget.tryWithdraw
      yield* budget.tryWithdraw
      const stats = yield* budget.stats()
      assert.deepInclude(stats, { policy: "payments", key: "default", balance: 0.5, capacity: 2 })
      assert.deepInclude(stats.totals, { calls: 1, retries: 1 })
      assert.strictEqual(stats.totals.giveUps.budget, 1)
      assert.deepStrictEqual(yield* budget.allStats, [stats])
      assert.deepStrictEqual(yield* budget.stats("any"), stats, "one account for all keys")
    })
  )

  it.effect("per key, also of accounts that are no longer kept", () =>
    Effect.gen(function* () {
      const budget = yield* RetryBudget.make("payments", { ratio: 0.5, per: "key", keys: { maxKeys: 2 } })
      for (let i = 0; i < 9; i++) yield* budget.forKey(`k${i}`).deposit
      const all = yield* budget.allStats
      assert.strictEqual(
        sumOf(all, ({ calls }) => calls),
        9
      )
      assert.strictEqual(keysOf(all).at(-1), "(evicted)")
      assert.strictEqual((yield* budget.stats("k8")).totals.calls, 1)
      assert.strictEqual((yield* budget.stats("unseen")).totals.calls, 0)
    })
  )
})

describe("StaleFallback: stats", () => {
  it.effect("calls, and the errors that were replaced", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<string>("prices", { maxAge: "1 minute", when: "any" })
      const tea = prices.protect({ key: "tea" })
      yield* Effect.flip(tea(down))
      yield* tea(ok)
      yield* tea(down)
      yield* tea(down)
      assert.deepInclude((yield* prices.stats("tea")).totals, { calls: 3, fallbacks: 2 })
      yield* TestClock.adjust("2 minutes")
      yield* Effect.flip(tea(down))
      const all = yield* prices.allStats
      assert.deepStrictEqual(keysOf(all), ["tea", "(evicted)"])
      assert.deepStrictEqual(
        [sumOf(all, ({ calls }) => calls), sumOf(all, ({ fallbacks }) => fallbacks)],
        [5, 2],
        "the call before there was a value is counted too"
      )
    })
  )

  it.effect("the totals of a key that is forgotten are kept", () =>
    Effect.gen(function* () {
      const prices = yield* StaleFallback.make<string>("prices", { maxAge: "1 minute", when: "any" })
      yield* prices.protect(ok)
      yield* prices.protect(down)
      yield* prices.forget()
      assert.strictEqual((yield* prices.stats()).totals.calls, 0)
      const all = yield* prices.allStats
      assert.deepStrictEqual(keysOf(all), ["(evicted)"])
      assert.strictEqual(
        sumOf(all, ({ fallbacks }) => fallbacks),
        1
      )
    })
  )
})

describe("stats of single policies", () => {
  it.effect("are members of their service classes too", () => {
    class Users extends CircuitBreaker.Service<Users>()("app/Users") {}
    class Db extends Bulkhead.Service<Db>()("app/Db", { maxConcurrent: 1 }) {}
    class Budget extends RetryBudget.Service<Budget>()("app/Budget") {}
    class Rates extends StaleFallback.Service<Rates, string>()("app/Rates", { maxAge: "1 hour" }) {}
    return Effect.gen(function* () {
      yield* ok.pipe(Users.protect, Db.protect, Rates.protect)
      yield* Budget.deposit
      for (const subject of [Users, Db, Budget, Rates]) {
        assert.strictEqual((yield* subject.stats()).totals.calls, 1, subject.key)
        assert.strictEqual((yield* subject.allStats).length, 1, subject.key)
      }
    }).pipe(Effect.provide(Layer.mergeAll(Users.layer, Db.layer, Budget.layer, Rates.layer)))
  })

  it.effect.each([
    ["CircuitBreaker", CircuitBreaker.make("p")],
    ["Bulkhead", Bulkhead.make("p", { maxConcurrent: 1 })],
    ["RetryBudget", RetryBudget.make("p")],
    ["StaleFallback", StaleFallback.make<string>("p", { maxAge: "1 hour" })]
  ] as ReadonlyArray<readonly [string, Effect.Effect<{ readonly stats: (key?: string) => unknown }>]>)(
    "%s: a key that is no string is refused",
    ([name, make]) =>
      Effect.map(make, (policy) => {
        assert.throws(() => policy.stats(5 as never), `${name}.stats p: key must be a string, got 5`)
      })
  )
})
