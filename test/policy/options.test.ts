import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Policy, Retry, RetryBudget } from "effect-resilience"
import { refusal } from "../support/refusal.ts"
import { touchy } from "./support.ts"

class Budget extends RetryBudget.Service<Budget>()("test/OptionsBudget", {}) {}

const atLeastOne =
  "Policy p: give at least one of deadline, retry, hedge, breaker, rateLimit, bulkhead, adaptive and timeout, got none"
const above = `must be a finite duration above zero, such as "5 seconds", got`

/** Options that are wrong, and what is said about them. Types refuse some of them too. */
const wrong: ReadonlyArray<readonly [options: unknown, text: string]> = [
  [{}, atLeastOne],
  [{ keys: {} }, atLeastOne],
  [{ budget: {} }, atLeastOne],
  [
    { deadline: "1 second", budget: {} },
    "Policy p: budget pays for retries and hedges and needs one of them, got none"
  ],
  [{ hedge: {}, retry: Retry.backoff() }, "Policy p: hedge beside retry needs budget, which pays for both, got none"],
  [
    { hedge: { after: "p100" } },
    `Policy.hedge p: after must be a duration above zero, or a percentage such as "p95", got "p100"`
  ],
  [{ hedge: { after: "p" } }, "Policy.hedge p: after must be a duration above zero, or a percentage"],
  [
    { hedge: { after: 0 } },
    `Policy.hedge p: after must be a duration above zero, or a percentage such as "p95", got 0`
  ],
  [{ hedge: { idempotent: "yes" } }, `Policy.hedge p: idempotent must be true or false, got "yes"`],
  [{ hedge: { afterwards: 1 } }, "Policy.hedge p: there is no option afterwards"],
  [{ hedge: null }, "Policy.hedge p: options must be an object, got null"],
  [{ deadline: 0 }, `Policy p: deadline ${above} 0`],
  [{ deadline: -5 }, `Policy p: deadline ${above}`],
  [{ deadline: "soon" }, `Policy p: deadline ${above} "soon"`],
  [{ deadline: Number.POSITIVE_INFINITY }, `Policy p: deadline ${above}`],
  [{ timeout: 0 }, `Policy p: timeout ${above} 0`],
  [{ timeout: Number.NaN }, `Policy p: timeout ${above}`],
  [
    { deadline: "1 second", timeout: "2 seconds" },
    "Policy p: timeout must be at most the deadline (1000 ms), got 2000 ms: the deadline would always fire first"
  ],
  [{ retry: "often" }, 'Policy p: retry must be a Schedule, such as Retry.backoff(), or options with one, got "often"'],
  ...[null, "", Number.NaN, -0, false].flatMap((none): typeof wrong => [
    [{ retry: none }, "Policy p: retry must be a Schedule, such as Retry.backoff(), or options with one, got"],
    [
      { timeout: "1 second", budget: none },
      "Policy p: budget pays for retries and hedges and needs one of them, got none"
    ],
    [{ retry: Retry.backoff(), budget: none }, "Policy.budget p: options must be an object, got"],
    [{ breaker: none }, "Policy.breaker p: options must be an object, got"],
    [{ bulkhead: none }, "Policy.bulkhead p: options must be an object, got"],
    [{ deadline: none }, `Policy p: deadline ${above}`],
    [{ breaker: touchy, keys: none }, "Policy.keys p: options must be an object, got"]
  ]),
  [{ retry: { times: 3 } }, "Policy p: retry must be a Schedule, such as Retry.backoff(), or options with one, got"],
  [{ retry: { schedule: 3 } }, "Policy.retry p: schedule must be a Schedule, got 3"],
  [
    { retry: Schedule.recurs(1).pipe(Budget.gated) },
    "Policy.retry p: schedule must not be gated, got one that is: give the budget as `budget`"
  ],
  [
    { retry: { schedule: Retry.backoff(), maxRetryAfter: "later" } },
    "Policy.retry p: maxRetryAfter must be a duration"
  ],
  [{ retry: Retry.backoff(), budget: { ratio: 1.5 } }, "Policy.budget p: ratio must be in [0, 1], got 1.5"],
  [
    { retry: Retry.backoff(), budget: { minPerSecond: -1 } },
    "Policy.budget p: minPerSecond must be a number >= 0, got -1"
  ],
  [{ retry: Retry.backoff(), budget: { capacity: 0 } }, "Policy.budget p: capacity must be a number >= 1, got 0"],
  [{ bulkhead: {} }, "Policy.bulkhead p: maxConcurrent must be an integer >= 1, got undefined"],
  [{ bulkhead: { maxConcurrent: 0 } }, "Policy.bulkhead p: maxConcurrent must be an integer >= 1, got 0"],
  [{ bulkhead: { maxConcurrent: 1.5 } }, "Policy.bulkhead p: maxConcurrent must be an integer >= 1, got 1.5"],
  [{ bulkhead: { maxConcurrent: 1, maxQueued: -1 } }, "Policy.bulkhead p: maxQueued must be an integer >= 0, got -1"],
  [
    { bulkhead: { maxConcurrent: 1, maxWait: "1 second" } },
    "Policy.bulkhead p: maxWait requires maxQueued >= 1, got maxQueued 0: without a queue no call waits"
  ],
  [{ bulkhead: { maxConcurrent: 1, maxQueued: 1, maxWait: "x" } }, "Policy.bulkhead p: maxWait must be a duration"],
  [{ breaker: { openFor: 0 } }, `Policy.breaker p: openFor ${above} 0`],
  [
    { breaker: { openFor: { initial: "1 second", factor: 0.5 } } },
    "Policy.breaker p: openFor.factor must be in [1, 1000]"
  ],
  [
    { breaker: { openFor: { initial: "1 second", jitter: 2 } } },
    "Policy.breaker p: openFor.jitter must be in [0, 1], got 2"
  ],
  [
    { breaker: { openFor: { initial: "5 seconds", factor: 2, max: "1 second" } } },
    "Policy.breaker p: openFor.max must be at least openFor.initial"
  ],
  [
    { breaker: { openFor: { initial: "5 seconds", max: "1 minute" } } },
    "Policy.breaker p: openFor.max has no effect without openFor.factor > 1"
  ],
  [{ breaker: { maxRetryAfter: 0 } }, "Policy.breaker p: maxRetryAfter must be a duration above zero"],
  [{ breaker: { probes: { permitted: 0 } } }, "Policy.breaker p: probes.permitted must be an integer >= 1, got 0"],
  [
    { breaker: { probes: { permitted: 2, successes: 3 } } },
    "Policy.breaker p: probes.successes must be an integer in [1, 2], got 3"
  ],
  [{ breaker: { probes: { lease: 0 } } }, `Policy.breaker p: probes.lease ${above} 0`],
  [{ breaker: { trip: "often" } }, "Policy.breaker p: trip must be a TripPolicy"],
  [{ breaker: { failures: "Down" } }, "Policy.breaker p: failures must be an array of tags"],
  [{ breaker: { ignore: [1] } }, "Policy.breaker p: ignore must be an array of tags"],
  [{ breaker: { failWhen: true } }, "Policy.breaker p: failWhen must be a function"],
  [{ breaker: { others: "failure" } }, 'Policy.breaker p: others must be "success" or "ignored", got "failure"'],
  [{ breaker: { throttled: true } }, 'Policy.breaker p: throttled must be "ignored" or "failure", got true'],
  [{ breaker: { classify: "failure" } }, "Policy.breaker p: classify must be a function"],
  [{ breaker: touchy, keys: { maxKeys: 0 } }, "Policy p: keys.maxKeys must be an integer >= 1, got 0"],
  [{ breaker: touchy, keys: { idleTimeToLive: 0 } }, "Policy p: keys.idleTimeToLive must be a duration above zero"]
]

// Wrong on purpose, and so beyond the types.
const make = Policy.make as (name: string, options: unknown) => unknown
const service = Policy.Service<never>() as (id: string, options: unknown) => unknown

describe("Policy: one bad option is a RangeError at construction", () => {
  it("of make, before anything runs", () => {
    for (const [options, text] of wrong)
      assert.include(
        refusal(() => make("p", options)),
        text
      )
  })

  it("of Service, when the class is declared", () => {
    for (const [options, text] of wrong)
      assert.include(
        refusal(() => service("test/Wrong", options)),
        text.replace(" p: ", " test/Wrong: ")
      )
  })

  it("an empty name", () => {
    const text = `Policy: name must be a non-empty string, got ""`
    assert.strictEqual(
      refusal(() => make("", { timeout: "1 second" })),
      text
    )
    assert.strictEqual(
      refusal(() => service("", { timeout: "1 second" })),
      text
    )
  })

  it.effect("resize refuses anything but a positive integer", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 2 } })
      for (const permits of [0, -1, 1.5, Number.NaN]) {
        const text = `Policy.control.resize p: maxConcurrent must be an integer >= 1, got ${permits}`
        assert.strictEqual(
          refusal(() => policy.control.resize(permits)),
          text
        )
      }
      assert.strictEqual((yield* policy.stats()).maxConcurrent, 2)
    })
  )

  it.effect("a judgement given with one call is checked when it is given", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      const protect = policy.protect as (options: unknown) => unknown
      const text = refusal(() => protect({ failures: "Down" }))
      assert.include(text, "Policy.protect p: failures must be an array of tags")
    })
  )

  it("a part that is undefined counts as absent", () => {
    assert.include(
      refusal(() => make("p", { timeout: undefined, breaker: undefined })),
      atLeastOne
    )
  })
})
