/**
 * failsafe-go, as read in its source: a panic in the work kept its bulkhead's permit for ever.
 * We promise: a defect gives back everything that its call held.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Bulkhead, Policy } from "effect-resilience"
import { bug, type Failure, ok, outcome } from "./support.ts"

const explode = (): Effect.Effect<string, Failure> => {
  throw new Error("bug")
}
const defects = {
  "that fails an effect": bug,
  "that is thrown": Effect.suspend(explode),
  "in a finalizer": Effect.ensuring(ok, Effect.die("bug"))
}

for (const [name, defect] of Object.entries(defects)) {
  it.effect(`a defect ${name} keeps no permit, of a bulkhead or of a policy`, () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("db", { maxConcurrent: 1 })
      const policy = yield* Policy.make("db", { bulkhead: { maxConcurrent: 1 }, timeout: "1 second" })
      for (let i = 0; i < 3; i++) {
        assert.strictEqual(yield* outcome(bulkhead.protect(defect)), "Die")
        assert.strictEqual(yield* outcome(policy.protect(defect)), "Die")
      }
      assert.deepInclude(yield* bulkhead.state(), { running: 0 })
      assert.deepInclude(yield* policy.stats(), { running: 0 })
    })
  )
}
