/** What other settings would have done with recorded calls, in a thread. */
import { assert, describe, it } from "@effect/vitest"
import * as WhatIf from "@effect-resilience/lab/WhatIf"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"

const arrivals = Array.from({ length: 400 }, (_, index) => index * 20)
const attempts = arrivals.map((time, index) => ({ time, latency: 20 + (index % 80), outcome: "ok" as const }))

const failing = attempts.map((attempt) => ({
  ...attempt,
  outcome: attempt.time >= 3000 && attempt.time < 6000 ? ("error" as const) : attempt.outcome
}))

const settings = { present: { timeout: 1000 }, changed: { timeout: 60 } }
const options = { policy: "app/Search", ...settings, arrivals, attempts, limit: "4 minutes" } as const

describe("what if", () => {
  it.live("a timeout were shorter: it cuts the calls that took longer", () =>
    Effect.gen(function* () {
      const { calls, changed, present, sentence } = yield* WhatIf.run(options)
      assert.strictEqual(calls, 400)
      assert.strictEqual(present.success, 1)
      assert.closeTo(changed.success, 0.5, 0.06)
      assert.isAtMost(changed.p95 ?? Infinity, 60)
      assert.isAbove(present.p95 ?? 0, 80)
      assert.match(sentence, /^Successes fall from 100 % to \d+ % of the calls/)
    })
  )

  it.live("there were retries and a breaker: retries, rejections and openings are counted", () =>
    Effect.gen(function* () {
      const { changed, present } = yield* WhatIf.run({
        ...options,
        attempts: failing,
        present: { timeout: 1000, retry: { backoff: { base: 10, cap: 20, times: 2 } } },
        changed: { timeout: 1000, breaker: { trip: { name: "consecutive", failures: 3 }, openFor: 1000 } }
      })
      assert.isAbove(present.retries, 0.4)
      assert.strictEqual(present.rejected, 0)
      assert.strictEqual(changed.retries, 0)
      assert.isAbove(changed.openings, 0.9)
      assert.isAbove(changed.rejections.CircuitOpen, 0.1)
      assert.closeTo(changed.rejected, changed.rejections.CircuitOpen, 1e-9)
    })
  )

  it.live("nothing that matters were changed: it says so, and does not see differences that are chance", () =>
    Effect.gen(function* () {
      const { sentence } = yield* WhatIf.run({ ...options, changed: { timeout: 1200 }, weights: [3, 1] })
      assert.strictEqual(sentence, "No difference that is more than chance.")
    })
  )

  it.live("the settings cannot be run: it says which", () =>
    Effect.gen(function* () {
      const custom = { timeout: 1000, breaker: { trip: { name: "mine" } } }
      const error = yield* Effect.flip(WhatIf.run({ ...options, changed: custom }))
      assert.strictEqual(error.why, "refused")
      assert.include(error.reason, "the trip policy")
      const wrong = yield* Effect.flip(WhatIf.run({ ...options, changed: { timeout: -1 } }))
      assert.include(wrong.reason, "timeout")
    })
  )

  it.live("it takes too long, or is no longer wanted: the thread is ended", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(WhatIf.run({ ...options, limit: "1 millis" }))
      assert.strictEqual(error.why, "failed")
      assert.include(error.reason, "longer than")
      const fiber = yield* Effect.forkChild(WhatIf.run(options))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
    })
  )

  it("there is nothing recorded, or no time: it is refused at once", () => {
    assert.throws(() => WhatIf.run({ ...options, arrivals: [] }), /WhatIf.run: arrivals must be at least one moment/)
    assert.throws(() => WhatIf.run({ ...options, attempts: [] }), /attempts must be/)
    assert.throws(() => WhatIf.run({ ...options, limit: 0 }), /limit must be above zero/)
  })
})
