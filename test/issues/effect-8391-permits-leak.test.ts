/**
 * Effect #8391 (also #6910, #6638, #6081, #7580): PartitionedSemaphore.withPermits loses permits to interruption; 95 of 9,900 swept
 * interleavings of 4.1.0.
 * We promise: none of ours, keyed or not, contended or not.
 */
import { assert, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import { Bulkhead } from "effect-resilience"

const keys = ["a", "b", "a"]

it.effect("a keyed bulkhead, contended on the same key and beside another, loses nothing to interruption", () =>
  Effect.gen(function* () {
    let runs = 0
    for (const key of keys) {
      const swept = yield* Sweep.run({
        setup: Bulkhead.make("db", { maxConcurrent: 1, maxQueued: 3 }),
        program: (bulkhead) => Sweep.turns(2).pipe(bulkhead.protect({ key })),
        contender: (bulkhead) =>
          Effect.all(
            [Sweep.turns(3).pipe(bulkhead.protect({ key: "a" })), Sweep.turns(2).pipe(bulkhead.protect({ key: "a" }))],
            {
              concurrency: "unbounded"
            }
          ),
        invariant: (bulkhead) =>
          Effect.gen(function* () {
            for (const key of ["a", "b"]) {
              assert.deepInclude(yield* bulkhead.state(key), { running: 0, waiting: 0 })
              yield* Effect.orDie(Effect.void.pipe(bulkhead.protect({ key })))
            }
          })
      })
      runs += swept.interrupted
    }
    assert.isAbove(runs, 100)
  })
)
