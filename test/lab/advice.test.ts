import { assert, describe, it } from "@effect/vitest"
import { Advice, type Trace } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { about, first, recordedOf } from "./support/advice.ts"

const advise = (settings: Schema.Json, trace: Trace.Trace, objective?: Advice.Objective) =>
  Advice.of({ name: "payments", trace, settings }, { objective })

/** A policy whose numbers fit `recordedOf({})`. */
const fitting = {
  deadline: "3 seconds",
  timeout: 400,
  retry: { backoff: { times: 2 } },
  budget: {},
  breaker: {},
  bulkhead: { maxConcurrent: 12 }
}

describe("advice from a recording", () => {
  it.effect("finds nothing wrong with a policy whose numbers fit", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* advise(fitting, recordedOf({})), [])
    })
  )

  it.effect("says that a timeout is too long, how many good calls a shorter one cuts and how much time it frees", () =>
    Effect.gen(function* () {
      const trace = recordedOf({ calls: 4100, hung: 0.025, slow: 1 })
      const finding = first("timeout", yield* advise({ ...fitting, deadline: "20 seconds", timeout: 5000 }, trace))
      assert.strictEqual(
        finding.found,
        "timeout 5 s, p99 of good calls 179 ms: 400 ms would cut 1 of 4,005 good calls and free 92 % of the time that hung calls hold"
      )
      assert.strictEqual(trace.filter(({ outcome }) => outcome === "ok").length, 4005)
      assert.strictEqual(finding.severity, "warning")
      assert.deepStrictEqual(finding.change, { option: "timeout", from: 5000, to: 400 })
    })
  )

  it.effect("says that a timeout is too short, and cuts no more good calls than the objective allows", () =>
    Effect.gen(function* () {
      const trace = recordedOf({ calls: 4000 })
      const finding = first("timeout", yield* advise({ ...fitting, timeout: 150 }, trace))
      assert.strictEqual(finding.severity, "warning")
      assert.match(finding.found, /^timeout 150 ms, p99 of good calls 179 ms: it cuts 1,450 of 4,000 good calls$/)
      const { to } = finding.change!
      assert.isAtMost(trace.filter(({ latency }) => latency > Number(to)).length / 4000, 0.0003)
    })
  )

  it.effect("suggests a timeout where there is none, as a warning if there is no deadline either", () =>
    Effect.gen(function* () {
      const { deadline: _, timeout: __, ...rest } = fitting
      const bare = first("timeout", yield* advise(rest, recordedOf({})))
      assert.strictEqual(bare.severity, "warning")
      assert.deepStrictEqual(bare.change, { option: "timeout", from: null, to: 400 })
      const bounded = first("timeout", yield* advise({ ...rest, deadline: 300 }, recordedOf({})))
      assert.strictEqual(bounded.severity, "info")
      assert.deepStrictEqual(bounded.change, { option: "timeout", from: null, to: 300 })
    })
  )

  it.effect("says that the deadline is shorter than the attempts, and which timeout lets them fit", () =>
    Effect.gen(function* () {
      const trace = recordedOf({ hung: 0.02 })
      const finding = first("deadline", yield* advise({ ...fitting, deadline: 1500, timeout: 700 }, trace))
      assert.strictEqual(finding.severity, "warning")
      assert.strictEqual(
        finding.found,
        "deadline 1.5 s is shorter than 3 attempts of 700 ms: there is time for 2 that hang"
      )
      assert.deepStrictEqual(finding.change, { option: "timeout", from: 700, to: 400 })
      const tight = first("deadline", yield* advise({ ...fitting, deadline: 800 }, trace))
      assert.strictEqual(tight.severity, "info")
      assert.isUndefined(tight.change)
    })
  )

  it.effect("says that a deadline cuts good calls, and leaves it to the caller", () =>
    Effect.gen(function* () {
      const finding = first("deadline", yield* advise({ deadline: 120, breaker: {} }, recordedOf({})))
      assert.match(finding.found, /^deadline 120 ms, p99 of good calls 179 ms: it cuts/)
      assert.isUndefined(finding.change)
    })
  )

  it.effect("says that the breaker opens too often: openings per hour, and the good calls that it rejects", () =>
    Effect.gen(function* () {
      const breaker = { trip: { name: "consecutive", failures: 2 }, openFor: "5 seconds" }
      const finding = first("breaker", yield* advise({ ...fitting, breaker }, recordedOf({ failed: 0.2 })))
      assert.strictEqual(finding.severity, "warning")
      assert.match(finding.found, /^the breaker \(consecutive\) would have opened \d+ times, [\d,]+ times per hour/)
      assert.isAbove(finding.evidence.openingsPerHour!, 6)
      assert.strictEqual(finding.change?.option, "breaker.trip")
    })
  )

  it.effect("does not blame the breaker for the openings of an outage", () =>
    Effect.gen(function* () {
      const trace = recordedOf({ calls: 6000, outage: [2000, 3000] })
      assert.deepStrictEqual(about("breaker", yield* advise(fitting, trace)), [])
    })
  )

  it.effect("says that the breaker never opens because its window sees too few calls", () =>
    Effect.gen(function* () {
      const trace = recordedOf({ calls: 600, every: 5000, outage: [200, 300] })
      const breaker = { trip: { name: "failureRate", threshold: 0.5, window: "10 seconds", minimumCalls: 20 } }
      const finding = first("breaker", yield* advise({ ...fitting, breaker }, trace))
      assert.strictEqual(finding.found, "20 of 20 attempts failed, and the breaker (failureRate) never opened")
      assert.match(finding.why, /^It waits for 20 calls in 10 s, which sees about 2/)
      assert.deepInclude(finding.change?.to, { name: "consecutive" })
    })
  )

  it.effect("suggests a breaker, as a warning if most calls failed for a time", () =>
    Effect.gen(function* () {
      const { breaker: _, ...rest } = fitting
      const calm = first("breaker", yield* advise(rest, recordedOf({})))
      assert.strictEqual(calm.severity, "info")
      const bad = first("breaker", yield* advise(rest, recordedOf({ outage: [500, 900] })))
      assert.strictEqual(bad.severity, "warning")
      assert.deepStrictEqual(bad.change, { option: "breaker", from: null, to: {} })
    })
  )

  it.effect("says that retries would spike without a budget, and with one that allows too much", () =>
    Effect.gen(function* () {
      const trace = recordedOf({ outage: [500, 900] })
      const { budget: _, ...rest } = fitting
      const bare = first("retry", yield* advise(rest, trace))
      assert.match(bare.found, /^retries still spike: 2 per call at the worst time, and no budget limits them$/)
      assert.deepStrictEqual(bare.change, { option: "budget", from: null, to: { ratio: 0.2 } })
      const wide = first("retry", yield* advise({ ...fitting, budget: { ratio: 1 } }, trace))
      assert.deepStrictEqual(wide.change, { option: "budget.ratio", from: 1, to: 0.2 })
      const floor = first("retry", yield* advise({ ...fitting, budget: { ratio: 0.1, minPerSecond: 5 } }, trace))
      assert.deepStrictEqual(floor.change, { option: "budget.minPerSecond", from: 5, to: 0 })
    })
  )

  it.effect("says that the budget is never enough, and whether its ratio or its price of a timeout is the reason", () =>
    Effect.gen(function* () {
      const ratio = yield* advise({ ...fitting, budget: { ratio: 0.01 } }, recordedOf({ failed: 0.1 }))
      const small = first("budget", ratio)
      assert.match(
        small.found,
        /^the budget would refuse about 90 % of the retries, although only 10 % .* never enough$/
      )
      assert.deepStrictEqual(small.change, { option: "budget.ratio", from: 0.01, to: 0.12 })
      const priced = first("budget", yield* advise(fitting, recordedOf({ hung: 0.03 })))
      assert.deepStrictEqual(priced.change, { option: "budget.timeoutCost", from: 20, to: 5 })
      const hopeless = first("budget", yield* advise(fitting, recordedOf({ failed: 0.4 })))
      assert.isUndefined(hopeless.change)
      assert.match(hopeless.why, /the dependency is at fault/)
    })
  )

  it.effect("says by Little's law that a bulkhead is too small, or far too large", () =>
    Effect.gen(function* () {
      const trace = recordedOf({ every: 10 })
      const small = first("bulkhead", yield* advise({ ...fitting, bulkhead: { maxConcurrent: 5 } }, trace))
      assert.strictEqual(small.severity, "warning")
      assert.match(small.why, /By Little's law 100 calls per second of 140 ms keep 14 in flight/)
      // 14 in flight, three standard deviations and three more.
      assert.deepStrictEqual(small.change, { option: "bulkhead.maxConcurrent", from: 5, to: 29 })
      const large = first("bulkhead", yield* advise({ ...fitting, bulkhead: { maxConcurrent: 1000 } }, trace))
      assert.strictEqual(large.severity, "info")
      assert.deepStrictEqual(large.change, { option: "bulkhead.maxConcurrent", from: 1000, to: 56 })
    })
  )

  it.effect("says that there are not enough calls yet, and nothing else", () =>
    Effect.gen(function* () {
      const findings = yield* advise({ timeout: 60_000 }, recordedOf({ calls: 50 }))
      assert.strictEqual(findings.length, 1)
      assert.strictEqual(findings[0]!.severity, "info")
      assert.match(findings[0]!.found, /^not enough calls yet: 50 calls/)
    })
  )

  it.effect("refuses settings from which no policy can be made, by field and by range", () =>
    Effect.gen(function* () {
      const unknown = yield* Effect.flip(advise({ timeot: 5 }, recordedOf({})))
      assert.strictEqual(unknown.message, 'payments: Unknown field timeot; did you mean timeout?\n  at ["timeot"]')
      const range = yield* Effect.flip(advise({ timeout: 500, deadline: 100 }, recordedOf({})))
      assert.match(range.message, /^payments: .*timeout must be at most the deadline/)
      assert.throws(
        () => advise({}, [], { success: 2 }),
        /Advice\.of: objective\.success must be a number in \(0, 1\), got 2/
      )
    })
  )

  it.effect("writes findings as JSON that decodes to the same, the recording by its name", () =>
    Effect.gen(function* () {
      const findings = yield* advise({ ...fitting, timeout: 3000 }, recordedOf({ hung: 0.02 }))
      const written = JSON.parse(Advice.json(findings))
      assert.strictEqual(written[0].run.scenario.replay.calls, "payments")
      const decoded = yield* Schema.decodeUnknownEffect(Schema.Array(Advice.Finding))(
        JSON.parse(JSON.stringify(findings))
      )
      assert.deepStrictEqual(decoded, JSON.parse(JSON.stringify(findings)))
      const text = Advice.text(findings)
      assert.match(text, /^payments\n {2}warning {2}timeout {3}timeout 3 s/)
      assert.match(text, /\n +why {2}.*\n +change {2}timeout: 3 s → 400 ms/)
    })
  )
})
