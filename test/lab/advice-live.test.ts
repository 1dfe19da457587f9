import { assert, describe, it } from "@effect/vitest"
import { Advice } from "@effect-resilience/lab"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { Policies, Policy, Retry, TripPolicy } from "effect-resilience"
import { about, entryOf, first } from "./support/advice.ts"

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
