/** What the lab shows of the findings, for the rows of the tuning table and for the limits. */
import { assert, describe, it } from "@effect/vitest"
import { Advice, type Trace } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import { inPart, inRest } from "../support/share.ts"
import { entryOf, recordedOf } from "./support/advice.ts"

const prove = (part: Advice.Part, source: Parameters<typeof Advice.of>[0]) =>
  Effect.gen(function* () {
    const finding = (yield* Advice.of(source)).find((one) => one.part === part)
    assert.isDefined(finding?.run, part)
    return yield* Advice.prove(finding!, { seeds: 2 })
  })

const recorded = (settings: Schema.Json, trace: Trace.Trace) => ({ name: "payments", trace, settings })

describe("the lab shows", () => {
  it.effect.runIf(inPart)("that a shorter timeout frees the time that hung calls hold, at no cost in goodput", () =>
    Effect.gen(function* () {
      const settings = { timeout: 5000, retry: { backoff: {} }, budget: {}, breaker: {} }
      const { present, sentence, suggested, verdict } = yield* prove(
        "timeout",
        recorded(settings, recordedOf({ hung: 0.02 }))
      )
      assert.strictEqual(verdict, "better")
      assert.isAtMost(suggested.held, 0.1 * present.held)
      assert.isAtLeast(suggested.goodput, present.goodput)
      assert.match(sentence, /^in 2 runs of 2,000 calls, goodput .* attempts that hang hold 9\d % less time$/)
    })
  )

  it.effect.runIf(inPart)("that a timeout that is too short costs goodput", () =>
    Effect.gen(function* () {
      const { present, suggested } = yield* prove("timeout", recorded({ timeout: 150 }, recordedOf({})))
      assert.isBelow(present.goodput, 0.75)
      assert.isAbove(suggested.goodput, 0.99)
    })
  )

  it.effect.runIf(inRest)("that a breaker that opens too often costs goodput", () =>
    Effect.gen(function* () {
      const breaker = { trip: { name: "consecutive", failures: 2, minDuration: 0 }, openFor: "5 seconds" }
      const shown = yield* prove("breaker", recorded({ timeout: 400, breaker }, recordedOf({ failed: 0.2 })))
      assert.isAbove(shown.suggested.goodput, shown.present.goodput + 0.1)
      const counts = { successes: 4000, failures: 1000, openings: 40, seconds: 3600 }
      const live = yield* prove("breaker", [entryOf({ timeout: 400, breaker: { ...breaker, openFor: 5000 } }, counts)])
      assert.strictEqual(live.verdict, "better")
    })
  )

  it.effect.runIf(inRest)("that a budget stops the retries of an overload", () =>
    Effect.gen(function* () {
      const settings = { timeout: 400, retry: { backoff: { times: 3 } } }
      const counts = { successes: 1000, failures: 600, retries: 600, calls: 1000, below: 250, seconds: 10 }
      const { present, suggested, verdict } = yield* prove("retry", [entryOf(settings, counts)])
      assert.strictEqual(verdict, "better")
      assert.isBelow(suggested.amplification, 0.8 * present.amplification)
    })
  )

  it.effect.runIf(inRest)("that a budget that is never enough costs goodput", () =>
    Effect.gen(function* () {
      const settings = { timeout: 400, breaker: {}, retry: { backoff: {} }, budget: { ratio: 0.01 } }
      const shown = yield* prove("budget", recorded(settings, recordedOf({ failed: 0.1 })))
      assert.isAbove(shown.suggested.goodput, shown.present.goodput + 0.05)
    })
  )

  it.effect.runIf(inRest)("that a breaker that never opens lets every call through an outage", () =>
    Effect.gen(function* () {
      const trip = { name: "failureRate", threshold: 0.5, window: 10_000, minimumCalls: 20 }
      const trace = recordedOf({ calls: 600, every: 5000, outage: [200, 300] })
      const { present, suggested, verdict } = yield* prove(
        "breaker",
        recorded({ timeout: 400, breaker: { trip } }, trace)
      )
      assert.notStrictEqual(verdict, "worse")
      assert.isBelow(suggested.amplification, present.amplification + 0.01)
      const missing = yield* prove("breaker", recorded({ timeout: 400 }, recordedOf({ outage: [500, 900] })))
      assert.strictEqual(missing.verdict, "better")
    })
  )

  it.effect.runIf(inPart)("that a bulkhead that is too small costs goodput", () =>
    Effect.gen(function* () {
      const settings = { timeout: 400, breaker: {}, bulkhead: { maxConcurrent: 5 } }
      const shown = yield* prove("bulkhead", recorded(settings, recordedOf({ every: 10 })))
      assert.isAbove(shown.suggested.goodput, shown.present.goodput + 0.1)
    })
  )

  it.effect.runIf(inPart)("nothing of a finding that suggests no change", () =>
    Effect.gen(function* () {
      const [finding] = yield* Advice.of(recorded({ timeout: 400 }, recordedOf({ calls: 10 })))
      const error = yield* Effect.flip(Advice.prove(finding!))
      assert.strictEqual(error.message, "payments: the finding on policy suggests no change")
      assert.throws(() => Advice.prove(finding!, { seeds: 0 }), /Advice\.prove: seeds must be an integer >= 1, got 0/)
    })
  )
})
