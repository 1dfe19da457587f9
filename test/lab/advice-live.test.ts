import { assert, describe, it } from "@effect/vitest"
import { Advice } from "@effect-resilience/lab"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import {
  Bulkhead,
  CircuitBreaker,
  Policies,
  Policy,
  Retry,
  RetryBudget,
  StaleFallback,
  TripPolicy
} from "effect-resilience"
import { about, entryOf, first, recordedOf } from "./support/advice.ts"

describe("advice from live policies", () => {
  it.effect("reads what Policies lists, and leaves alone a policy without enough calls", () =>
    Effect.gen(function* () {
      yield* Policy.make("search", { timeout: "30 seconds", breaker: {} })
      yield* Policy.make("own", { breaker: { trip: TripPolicy.make({ ...TripPolicy.consecutive(1), name: "own" }) } })
      const findings = yield* Advice.of(yield* Policies.all)
      assert.deepStrictEqual(
        findings.map(({ part, policy, severity }) => [policy, severity, part]),
        [
          ["search", "info", "policy"],
          ["own", "info", "policy"]
        ]
      )
    }).pipe(Effect.scoped, Effect.provide(Policies.layer))
  )

  it.effect("reads the settings of every kind, and those of a policy also as a recording's", () =>
    Effect.gen(function* () {
      const budget = { ratio: 0.1, timeoutCost: Infinity }
      const bulkhead = { maxConcurrent: 3, maxQueued: 4, maxWait: "1 second" } as const
      const breaker = { probes: { permitted: 3, successes: 2 }, openFor: { initial: "1 second", factor: 2 } } as const
      const limits = { deadline: "3 seconds", timeout: "1 second", keys: { maxKeys: 5 } } as const
      const retry = { schedule: Retry.backoff({ times: 4 }), history: 3 }
      yield* Policy.make("whole", { ...limits, retry, budget, breaker, bulkhead })
      yield* CircuitBreaker.make("breaker", breaker)
      yield* Bulkhead.make("bulkhead", bulkhead)
      yield* RetryBudget.make("budget", { ...budget, per: "key" })
      // Its open time does not grow, so that its listed greatest one has no effect.
      yield* CircuitBreaker.make("constant", { openFor: "30 seconds" })
      yield* StaleFallback.make("stale", { maxAge: "1 minute" })
      const entries = yield* Policies.all
      const findings = yield* Advice.of(entries)
      assert.sameMembers(
        findings.map(({ policy }) => policy),
        ["whole", "breaker", "bulkhead", "budget", "constant"]
      )
      // Nothing that is listed is unknown to a written recording, and infinity is not lost.
      const trace = recordedOf({ hung: 0.02 })
      const recorded = yield* Advice.of({ name: "whole", trace, settings: entries[0]!.settings })
      const { present } = recorded.find(({ run }) => run !== undefined)!.run!
      assert.deepInclude(present.budget as object, { timeoutCost: "Infinity" })
    }).pipe(Effect.scoped, Effect.provide(Policies.layer))
  )

  it.effect("finds a timeout too long from the histogram: never a suggestion below what it knows", () =>
    Effect.gen(function* () {
      const entry = entryOf({ timeout: 8000, breaker: {} }, { successes: 5000, failures: 50, timeouts: 50, below: 100 })
      const finding = first("timeout", yield* Advice.of([entry]))
      assert.strictEqual(finding.severity, "warning")
      assert.strictEqual(finding.change?.to, 200)
      assert.match(finding.found, /free 97\.5 % of the time/)
    })
  )

  it.effect("finds a timeout too short when latencies reach up to it", () =>
    Effect.gen(function* () {
      const entry = entryOf(
        { timeout: 750, breaker: {} },
        { successes: 5000, failures: 100, timeouts: 100, below: 750 }
      )
      const finding = first("timeout", yield* Advice.of([entry]))
      assert.deepStrictEqual(finding.change, { option: "timeout", from: 750, to: 1500 })
    })
  )

  it.effect("says that the breaker opens too often when chance explains it", () =>
    Effect.gen(function* () {
      const breaker = { trip: { name: "consecutive", failures: 3, minDuration: 0 } }
      const counts = { successes: 4000, failures: 1000, openings: 40, seconds: 3600 }
      const finding = first("breaker", yield* Advice.of([entryOf({ timeout: 400, breaker }, counts)]))
      assert.match(finding.found, /opened 40 times, 40 times per hour, although only 20 % of the attempts failed/)
      const steady = entryOf({ timeout: 400, breaker: {} }, counts)
      assert.deepStrictEqual(about("breaker", yield* Advice.of([steady])), [])
    })
  )

  it.effect("says that retries spike, that the budget is never enough, and that a full outage is no reason", () =>
    Effect.gen(function* () {
      const settings = { timeout: 400, breaker: {}, retry: { backoff: {} } }
      const spike = yield* Advice.of([entryOf(settings, { successes: 1000, failures: 600, retries: 600, calls: 1000 })])
      assert.match(first("retry", spike).found, /^retries still spike: 0\.6 per call, and no budget limits them$/)
      const counts = { successes: 4800, failures: 200, retries: 50, calls: 5000, refused: 150 }
      const never = first("budget", yield* Advice.of([entryOf({ ...settings, budget: { ratio: 0.01 } }, counts)]))
      assert.strictEqual(never.found.split(",")[0], "the budget refused 150 of 200 retries")
      assert.deepStrictEqual(never.change, { option: "budget.ratio", from: 0.01, to: 0.05 })
      const outage = { ...counts, successes: 1000, failures: 4000 }
      const right = first("budget", yield* Advice.of([entryOf({ ...settings, budget: {} }, outage)]))
      assert.strictEqual(right.severity, "info")
    })
  )

  it.effect("names the options of a single budget and a single breaker as they have them", () =>
    Effect.gen(function* () {
      const counts = { calls: 5000, retries: 50, refused: 150 }
      const budget = { ...entryOf({ ratio: 0.01, minPerSecond: 0 }, counts), kind: "RetryBudget" as const }
      const never = first("budget", yield* Advice.of([budget]))
      assert.deepStrictEqual(never.change, { option: "ratio", from: 0.01, to: 0.05 })
      const failing = { successes: 4000, failures: 1000, openings: 40, seconds: 3600 }
      const trip = { name: "consecutive", failures: 3, minDuration: 0 }
      const breaker = { ...entryOf({ trip }, failing), kind: "CircuitBreaker" as const, durations: undefined }
      const often = first("breaker", yield* Advice.of([breaker]))
      assert.strictEqual(often.change?.option, "trip")
      const proof = yield* Advice.prove(often, { seeds: 1 })
      assert.notStrictEqual(proof.verdict, "worse")
    })
  )

  it.effect("says that the breaker of a key never opens, unless an operator has taken it out of use", () =>
    Effect.gen(function* () {
      const trip = { name: "failureRate", threshold: 0.5, window: 10_000, minimumCalls: 20 }
      const settings = { timeout: 400, breaker: { trip } }
      const entry = entryOf(settings, { successes: 5, failures: 95, seconds: 1000 })
      const never = first("breaker", yield* Advice.of([entry]))
      assert.strictEqual(never.found, "95 of 100 attempts failed, and the breaker (failureRate) never opened")
      assert.match(never.why, /^It waits for 20 calls in 10 s, which sees about 1\.$/)
      assert.deepInclude(never.change?.to, { name: "consecutive", failures: 5 })
      const disabled = Effect.map(entry.stats, (all) =>
        all.map((one) => ({
          ...one,
          circuit: { _tag: "disabled" as const, since: Duration.zero, openings: 0, dueForProbe: false }
        }))
      )
      assert.deepStrictEqual(about("breaker", yield* Advice.of([{ ...entry, stats: disabled }])), [])
    })
  )

  it.effect("says that there are too many keys", () =>
    Effect.gen(function* () {
      const settings = { timeout: 400, breaker: {}, keys: { maxKeys: 10 } }
      const full = entryOf(settings, { successes: 5000, keys: 10, overflowed: 700 })
      const finding = first("keys", yield* Advice.of([full]))
      assert.match(finding.found, /^700 of 5,700 calls shared the state of the key "\(overflow\)"/)
      assert.deepStrictEqual(finding.change, { option: "keys.maxKeys", from: 10, to: 20 })
      const evicted = entryOf(settings, { successes: 5000, keys: 10, evicted: 700 })
      assert.match(first("keys", yield* Advice.of([evicted])).found, /no longer kept/)
    })
  )

  it.effect("takes rates from `over`, or from the age of the circuits", () =>
    Effect.gen(function* () {
      const settings = { timeout: 400, bulkhead: { maxConcurrent: 5 } }
      const entry = entryOf(settings, { successes: 100_000, full: 500, seconds: 0 })
      const unknown = first("bulkhead", yield* Advice.of([entry]))
      assert.match(unknown.why, /give `over`/)
      const known = first("bulkhead", yield* Advice.of([entry], { over: Duration.minutes(10) }))
      assert.strictEqual(known.change?.option, "bulkhead.maxConcurrent")
    })
  )

  it.effect("suggests nothing that it cannot run for a schedule of your own, and says so", () =>
    Effect.gen(function* () {
      yield* Policy.make("search", { timeout: "1 second", retry: Retry.backoff() })
      const [live] = yield* Policies.all
      const entry = entryOf(
        { ...live!.settings, timeout: 8000, retry: { schedule: "custom" } },
        { successes: 5000, timeouts: 50, failures: 50 }
      )
      const finding = first("timeout", yield* Advice.of([entry]))
      assert.isDefined(finding.change)
      const error = yield* Effect.flip(Advice.prove(finding))
      assert.strictEqual(error.message, "search: the finding on timeout has settings that the lab cannot run")
    }).pipe(Effect.scoped, Effect.provide(Policies.layer))
  )
})
