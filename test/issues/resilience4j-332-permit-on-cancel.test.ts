/**
 * resilience4j #332 (also failsafe-go's adaptive limiter before 0.9.2): a bulkhead's permit was not released when the call was cancelled.
 * We promise: permits and places are conserved under interruption at every point, with and without a queue.
 */
import { assert, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import { Bulkhead } from "effect-resilience"

const swept = (beside: boolean) =>
  Sweep.run({
    setup: Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 2 }),
    program: (bulkhead) => bulkhead.protect(Sweep.turns(4)),
    contender: (bulkhead) => bulkhead.protect(beside ? Sweep.turns(6) : Effect.void),
    invariant: (bulkhead) =>
      Effect.gen(function* () {
        assert.deepInclude(yield* bulkhead.state(), { running: 0, waiting: 0 })
        yield* Effect.orDie(bulkhead.protect(Effect.void))
      })
  })

it.effect.each([false, true])(
  "cancelled at any point, a call gives its permit back (somebody else inside: %s)",
  (beside) =>
    Effect.gen(function* () {
      const { ended, interrupted } = yield* swept(beside)
      assert.isAbove(interrupted, 30)
      assert.isAbove(ended, 10)
    })
)
