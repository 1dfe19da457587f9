import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { type Event, Policy } from "effect-resilience"
import { down, hang, ok, pauses, script, start, takes, touchy, wrong } from "./support.ts"

const nothing = {
  calls: 0,
  successes: 0,
  failures: 0,
  ignored: 0,
  rejections: { CircuitOpen: 0, BulkheadFull: 0, RateLimited: 0, DeadlineExceeded: 0 },
  retries: 0,
  giveUps: { attempts: 0, budget: 0, deadline: 0, rejected: 0, retryAfter: 0 },
  timeouts: 0,
  hedges: 0,
  hedgeWins: 0,
  fallbacks: 0,
  openings: 0
}

const inStates = (millis: Partial<Record<Event.CircuitState, number>>) => ({
  closed: Duration.millis(millis.closed ?? 0),
  open: Duration.millis(millis.open ?? 0),
  "half-open": Duration.millis(millis["half-open"] ?? 0),
  isolated: Duration.millis(millis.isolated ?? 0),
  disabled: Duration.millis(millis.disabled ?? 0)
})

describe("Policy: stats", () => {
  it.effect("of an unused key: all zero, and the key is not created", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 3 }, retry: pauses(1) })
      const stats = yield* policy.stats("unseen")
      assert.deepStrictEqual(stats.totals, { ...nothing, timeIn: inStates({}) })
      assert.deepStrictEqual(
        [stats.policy, stats.key, stats.running, stats.waiting, stats.maxConcurrent, stats.balance],
        ["p", "unseen", 0, 0, 3, undefined]
      )
      assert.strictEqual(stats.circuit?._tag, "closed")
      assert.deepStrictEqual(
        [stats.recent.attempts, stats.recent.successRate, stats.recent.latency],
        [0, undefined, undefined]
      )
      assert.deepStrictEqual(yield* policy.allStats, [])
    })
  )

  it.effect("reading the stats of a key does not keep it from being removed", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, keys: { maxKeys: 2 } })
      yield* ok.pipe(policy.protect({ key: "a" }))
      yield* TestClock.adjust("1 second")
      yield* ok.pipe(policy.protect({ key: "b" }))
      yield* policy.stats("a")
      yield* ok.pipe(policy.protect({ key: "c" }))
      assert.deepStrictEqual(
        (yield* policy.allStats).map((stats) => stats.key),
        ["b", "c", "(evicted)"]
      )
    })
  )

  it.effect("totals by kind", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        deadline: "10 seconds",
        retry: pauses(1),
        breaker: { ...touchy, trip: { ...touchy.trip, trips: () => false } },
        bulkhead: { maxConcurrent: 1 },
        timeout: "1 second"
      })
      yield* policy.protect(ok)
      yield* Effect.flip(policy.protect(wrong))
      yield* Effect.exit(policy.protect(Effect.die("bug") as typeof ok))
      const retried = yield* start(policy.protect(script(down, ok).call))
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(retried)
      const timedOut = yield* start(Effect.flip(policy.protect(hang)))
      yield* Effect.flip(policy.protect(ok))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(timedOut)
      const interrupted = yield* start(policy.protect(hang))
      yield* Fiber.interrupt(interrupted)
      yield* policy.control.isolate()
      yield* Effect.flip(policy.protect(ok))
      assert.deepStrictEqual((yield* policy.stats()).totals, {
        calls: 8,
        successes: 3,
        failures: 4,
        ignored: 1,
        rejections: { CircuitOpen: 1, BulkheadFull: 1, RateLimited: 0, DeadlineExceeded: 0 },
        retries: 2,
        giveUps: { attempts: 1, budget: 0, deadline: 0, rejected: 0, retryAfter: 0 },
        timeouts: 2,
        hedges: 0,
        hedgeWins: 0,
        fallbacks: 0,
        openings: 0,
        timeIn: inStates({ closed: 3100 })
      })
    })
  )

  it.effect("recent: success rate and latencies of the attempts in the window, and of no older attempt", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 100 } })
      for (const [n, time] of [
        [90, 10],
        [9, 100],
        [1, 1000]
      ] as const) {
        for (let i = 0; i < n; i++) yield* start(policy.protect(takes(time)))
      }
      yield* TestClock.adjust("1 second")
      // A permanent error is an answer, a defect a failure.
      for (let i = 0; i < 25; i++) yield* Effect.exit(policy.protect(Effect.die("bug")))
      const { recent } = yield* policy.stats()
      assert.strictEqual(Duration.toMillis(recent.window), 10_000)
      assert.deepStrictEqual([recent.attempts, recent.successRate], [125, 0.8])
      yield* TestClock.adjust("11 seconds")
      const later = (yield* policy.stats()).recent
      assert.deepStrictEqual([later.attempts, later.successRate, later.latency], [0, undefined, undefined])
    })
  )

  it.effect("recent: quantiles are upper bounds, at most a tenth too high", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 100 } })
      for (const [n, time] of [
        [89, 10],
        [9, 100],
        [2, 1000]
      ] as const) {
        for (let i = 0; i < n; i++) yield* start(policy.protect(takes(time)))
      }
      yield* TestClock.adjust("1 second")
      const { latency } = (yield* policy.stats()).recent
      if (latency === undefined) return assert.fail("no latency")
      for (const [quantile, time] of [
        [latency.p50, 10],
        [latency.p90, 100],
        [latency.p99, 1000]
      ] as const) {
        const millis = Duration.toMillis(quantile)
        assert.isAtLeast(millis, time)
        assert.isAtMost(millis, time * 1.1)
      }
    })
  )

  it.effect("circuit: state, since when, and its evidence", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* TestClock.adjust("1 second")
      yield* Effect.flip(policy.protect(down))
      yield* TestClock.adjust("2 seconds")
      const { circuit } = yield* policy.stats()
      if (circuit?._tag !== "open") return assert.fail("not open")
      assert.strictEqual(Duration.toMillis(circuit.since), 2000)
      assert.strictEqual(Duration.toMillis(circuit.retryAfter), 3000)
      assert.strictEqual(circuit.openings, 1)
      assert.deepStrictEqual(circuit.evidence, { trip: "consecutive", figures: { failures: 1, limit: 1 } })
    })
  )

  it.effect("running, waiting and permits", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 2, maxQueued: 3 } })
      for (let i = 0; i < 5; i++) yield* start(policy.protect(takes("1 second")))
      const { maxConcurrent, running, waiting } = yield* policy.stats()
      assert.deepStrictEqual([running, waiting, maxConcurrent], [2, 3, 2])
      yield* TestClock.adjust("3 seconds")
      const after = yield* policy.stats()
      assert.deepStrictEqual([after.running, after.waiting, after.totals.successes], [0, 0, 5])
    })
  )

  it.effect("running is counted without a bulkhead; figures of absent parts are undefined", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second" })
      yield* start(policy.protect(takes("500 millis")))
      const stats = yield* policy.stats()
      assert.deepStrictEqual(
        [stats.running, stats.waiting, stats.maxConcurrent, stats.balance, stats.circuit],
        [1, 0, undefined, undefined, undefined]
      )
    })
  )

  it.effect("allStats: every key in memory", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* policy.protect(ok)
      yield* Effect.flip(down.pipe(policy.protect({ key: "b" })))
      const seen = (yield* policy.allStats).map(({ circuit, key, totals }) => [key, circuit?._tag, totals.calls])
      assert.deepStrictEqual(seen, [
        ["default", "closed", 1],
        ["b", "open", 1]
      ])
    })
  )

  it.effect("returned stats do not change afterwards", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1 } })
      yield* policy.protect(ok)
      const before = yield* policy.stats()
      yield* start(policy.protect(hang))
      yield* Effect.flip(policy.protect(ok))
      assert.deepStrictEqual(before.totals, { ...nothing, timeIn: inStates({}), calls: 1, successes: 1 })
    })
  )

  it.effect("returned counts of give-ups do not change afterwards", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(0) })
      yield* Effect.flip(policy.protect(down))
      const { totals } = yield* policy.stats()
      yield* Effect.flip(policy.protect(down))
      assert.strictEqual(totals.giveUps.attempts, 1)
    })
  )
})
