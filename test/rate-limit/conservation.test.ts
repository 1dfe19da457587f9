/** No token and no place in the queue is lost, wherever a call is interrupted. */
import { assert, describe } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Policy, RateLimit } from "effect-resilience"
import { swept } from "../support/sweep.ts"

const burst = 6

const counted = Effect.map(
  Policy.make("p", { rateLimit: { limit: burst, window: "1000 days" }, bulkhead: { maxConcurrent: 1, maxQueued: 3 } }),
  (policy) => ({
    call: (turns: number) => policy.protect(Sweep.turns(turns)).pipe(Effect.ignore),
    /** Each token that is missing was used by an attempt that started. */
    check: Effect.gen(function* () {
      const { rateLimit, running, totals, waiting } = yield* policy.stats()
      assert.deepStrictEqual([running, waiting, rateLimit?.waiting], [0, 0, 0])
      const started = totals.successes + totals.failures + totals.ignored
      assert.approximately(rateLimit!.tokens, burst - started, 1e-3)
    })
  })
)

const paced = RateLimit.make("p", { limit: 1, window: "10 millis", maxWait: "1 second" })

/** Time that passes in small steps, while others go on. */
const passing = Effect.replicateEffect(Effect.andThen(Effect.yieldNow, TestClock.adjust("5 millis")), 3)

const atRest = (rate: RateLimit.RateLimit) =>
  Effect.gen(function* () {
    yield* TestClock.adjust("1 second")
    assert.strictEqual((yield* rate.state()).waiting, 0)
    assert.strictEqual((yield* rate.state()).tokens, 1)
    yield* Effect.orDie(rate.take())
  })

describe("the tokens of a rate limit are conserved", () => {
  swept(
    "under interruption of a call that runs, or waits for a permit with its token",
    {
      setup: counted,
      contender: ({ call }) => call(4),
      program: ({ call }) => call(2),
      invariant: ({ check }) => check
    },
    40
  )

  swept(
    "under interruption of calls that wait for their tokens",
    {
      setup: Effect.tap(paced, (rate) => Effect.orDie(rate.take())),
      program: (rate) => Effect.all([rate.take(), passing], { concurrency: "unbounded" }),
      invariant: atRest
    },
    20
  )
})
