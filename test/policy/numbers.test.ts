import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Event, Policy, type Stats, Transient, TripPolicy } from "effect-resilience"
import { type Down, down, hang, ok, settle, start, takes, touchy, wrong } from "./support.ts"

const millisIn = ({ totals }: Stats.Stats) =>
  Object.fromEntries(Object.entries(totals.timeIn).map(([state, time]) => [state, Duration.toMillis(time)]))

describe("Policy: openings and the time in each state", () => {
  it.effect("an opening between two reads is seen, and so is each failed probe", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* policy.protect(ok)
      assert.strictEqual((yield* policy.stats()).totals.openings, 0)
      yield* TestClock.adjust("2 seconds")
      yield* Effect.flip(policy.protect(down))
      yield* TestClock.adjust("6 seconds")
      yield* Effect.flip(policy.protect(down))
      yield* TestClock.adjust("10 seconds")
      yield* policy.protect(ok)
      yield* TestClock.adjust("7 seconds")
      const stats = yield* policy.stats()
      assert.strictEqual(stats.totals.openings, 2)
      // Closed 2 s and 7 s, open 5 s and 10 s, and 1 s without a call until the first probe.
      assert.deepStrictEqual(millisIn(stats), {
        closed: 9000,
        open: 15_000,
        "half-open": 1000,
        isolated: 0,
        disabled: 0
      })
    })
  )

  it.effect("the present state is included, also while an open circuit waits for its first probe", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* Effect.flip(policy.protect(down))
      yield* TestClock.adjust("8 seconds")
      assert.deepInclude(millisIn(yield* policy.stats()), { open: 5000, "half-open": 3000 })
      yield* policy.control.isolate()
      yield* TestClock.adjust("1 second")
      yield* policy.control.reset()
      assert.deepInclude(millisIn(yield* policy.stats()), { open: 5000, "half-open": 3000, isolated: 1000, closed: 0 })
      assert.strictEqual((yield* policy.stats()).totals.openings, 1, "a reset takes nothing back")
    })
  )

  it.effect("a policy without a breaker spends no time in a state", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second" })
      yield* policy.protect(ok)
      yield* TestClock.adjust("8 seconds")
      const stats = yield* policy.stats()
      assert.strictEqual(stats.circuit, undefined)
      assert.strictEqual(
        Object.values(millisIn(stats)).reduce((a, b) => a + b, 0),
        0
      )
    })
  )
})

describe("Policy: the circuit", () => {
  it.effect("figures: how near a closed circuit is to opening, and none of an isolated one", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: { trip: TripPolicy.consecutive(3) } })
      yield* Effect.flip(policy.protect(down))
      yield* Effect.flip(policy.protect(down))
      const { circuit } = yield* policy.stats()
      assert.deepInclude(circuit, { _tag: "closed", figures: { failures: 2, limit: 3 }, dueForProbe: false })
      yield* policy.control.isolate()
      assert.notProperty((yield* policy.stats()).circuit, "figures")
    })
  )

  it.effect.each([
    () => {
      throw new Error("bug")
    },
    () => null as never,
    () => 5 as never
  ])("figures of the user's that are none are empty: case %#", (figures) =>
    Effect.gen(function* () {
      const trip = TripPolicy.make({ name: "own", initial: () => 0, record: () => {}, trips: () => false, figures })
      const policy = yield* Policy.make("p", { breaker: { trip } })
      yield* policy.protect(ok)
      assert.deepInclude((yield* policy.stats()).circuit, { _tag: "closed", figures: {} })
    })
  )

  it.effect("dueForProbe: exactly when the next call would be a probe", () =>
    Effect.gen(function* () {
      const probes = { permitted: 2, successes: 2 } as const
      const policy = yield* Policy.make("p", { breaker: { ...touchy, probes } })
      const due = Effect.map(policy.stats(), ({ circuit }) => circuit?.dueForProbe)
      assert.isFalse(yield* due)
      yield* Effect.flip(policy.protect(down))
      assert.isFalse(yield* due, "open")
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(yield* due, "the open time is over")
      yield* start(policy.protect(hang))
      assert.isTrue(yield* due, "one of two probes is free")
      yield* start(policy.protect(hang))
      assert.isFalse(yield* due, "both run")
      yield* TestClock.adjust("10 seconds")
      assert.isTrue(yield* due, "their leases have ended")
    })
  )
})

class Rejected extends Schema.TaggedError<Rejected>()("Rejected", { reason: Schema.String, body: Schema.String }) {
  override get message(): string {
    return this.reason
  }
}

class Hostile extends Transient.TaggedError<Hostile>()("Hostile", {}) {
  override get message(): string {
    throw new Error("no message")
  }
}

describe("Policy: the last error", () => {
  const last = (policy: { readonly stats: () => Effect.Effect<Stats.Stats> }) =>
    Effect.map(policy.stats(), ({ lastError }) => lastError)
  const never = { ...touchy, trip: { ...touchy.trip, trips: () => false } } as const

  it.effect("tag, message and age of the last failure that counted; no success and no permanent error", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: { ...never, failures: ["Rejected"] }, timeout: "1 second" })
      assert.isUndefined(yield* last(policy))
      yield* policy.protect(ok as Effect.Effect<string, Down | Rejected>)
      assert.isUndefined(yield* last(policy))
      yield* Effect.flip(policy.protect(Effect.fail(new Rejected({ reason: "x".repeat(300), body: "secret" }))))
      yield* TestClock.adjust("3 seconds")
      yield* Effect.flip(wrong.pipe(policy.protect({ failures: ["Down"] })))
      assert.deepStrictEqual(yield* last(policy), {
        tag: "Rejected",
        message: "x".repeat(200),
        ago: Duration.seconds(3)
      })
      const timedOut = yield* start(Effect.flip(policy.protect(hang as Effect.Effect<string, Down | Rejected>)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(timedOut)
      assert.deepInclude(yield* last(policy), { tag: "TimedOut", ago: Duration.zero })
    })
  )

  it.effect.each([
    [Effect.die(new TypeError("bug")), { tag: "TypeError", message: "bug" }],
    [Effect.die("text"), { tag: "string", message: "text" }],
    [Effect.die(null), { tag: "object", message: "" }],
    [Effect.die({ _tag: 5, message: { body: 1 } }), { tag: "object", message: "" }],
    [Effect.fail(new Hostile()), { tag: "Hostile", message: "" }],
    [Effect.succeed("bad"), { tag: "(value)", message: "" }]
  ] as ReadonlyArray<readonly [Effect.Effect<string, Down>, object]>)(
    "of whatever a call ends with: case %#",
    ([call, expected]) =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { breaker: { ...never, failWhen: (value) => value === "bad" } })
        yield* Effect.exit(policy.protect(call as Effect.Effect<string, Down>))
        assert.deepStrictEqual(yield* last(policy), { ...expected, ago: Duration.zero } as Stats.LastError)
      })
  )

  it.effect("is kept without a breaker too", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 second" })
      yield* Effect.flip(policy.protect(down))
      assert.deepInclude(yield* last(policy), { tag: "Down" })
    })
  )
})

describe("Policy: latencies", () => {
  it.effect("any quantile, of the attempts at the time of reading", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 minute" })
      for (let i = 1; i <= 100; i++) yield* start(policy.protect(takes(i)))
      yield* TestClock.adjust("1 second")
      const { latency } = (yield* policy.stats()).recent
      if (latency === undefined) return assert.fail("no latency")
      yield* start(policy.protect(takes("5 seconds")))
      yield* TestClock.adjust("5 seconds")
      for (const [q, time] of [
        [0, 1],
        [0.5, 50],
        [0.95, 95],
        [0.999, 100],
        [1, 100]
      ] as const) {
        const found = Duration.toMillis(latency.quantile(q))
        assert.isAtLeast(found, time)
        assert.isAtMost(found, time * 1.0625)
      }
      assert.deepStrictEqual(latency.quantile(0.95), latency.p95)
      assert.throws(() => latency.quantile(95), "Stats.Latency.quantile: q must be in [0, 1], got 95")
    })
  )

  it.effect("durations: all attempts of all keys since the start, without those that were ignored", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 minute" })
      const durations = Effect.map(policy.durations, ({ buckets, count, sum }) => ({
        count,
        sum: Duration.toMillis(sum),
        buckets: Object.fromEntries(buckets)
      }))
      assert.deepInclude(yield* durations, { count: 0, sum: 0 })
      for (const [at, time] of [5, 6, 10, 30_000].entries()) {
        yield* start(takes(time).pipe(policy.protect({ key: `k${at % 2}` })))
      }
      const interrupted = yield* start(policy.protect(hang))
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.interrupt(interrupted)
      yield* settle
      const found = yield* durations
      assert.deepStrictEqual([found.count, found.sum], [4, 30_021])
      assert.deepInclude(found.buckets, { 5: 1, 10: 3, 25: 3, 10000: 3 })
      assert.deepStrictEqual(
        Object.keys(found.buckets).map(Number),
        [5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10_000]
      )
    })
  )

  it.effect("the members of a service class are those of its policy", () => {
    class Search extends Policy.Service<Search>()("app/Search", { timeout: "1 second" }) {}
    return Effect.gen(function* () {
      yield* Search.protect(ok)
      assert.strictEqual((yield* Search.durations).count, 1)
      assert.strictEqual((yield* Search.allStats).length, 1)
    }).pipe(Effect.provide(Search.layer), Effect.provideService(Event.CurrentHub, Event.makeHub()))
  })
})

describe("Policy: the window of recent attempts", () => {
  it.effect("is an option", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 minute", stats: { window: "1 minute" } })
      yield* policy.protect(ok)
      yield* TestClock.adjust("50 seconds")
      const { recent } = yield* policy.stats()
      assert.deepStrictEqual([recent.attempts, recent.window], [1, Duration.minutes(1)])
      assert.deepStrictEqual((yield* policy.stats("unseen")).recent.window, Duration.minutes(1))
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual((yield* policy.stats()).recent.attempts, 0)
    })
  )

  it.each(["999 millis", "601 seconds", 0, null, NaN])("%s is refused", (window) => {
    // As plain JavaScript may give it.
    const stats = { window: window as number }
    assert.throws(() => Policy.make("p", { timeout: "1 minute", stats }), "Policy p: stats.window must be a")
  })
})
