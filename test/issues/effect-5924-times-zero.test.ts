/**
 * Effect #5924: times: 0 was taken for nothing said, and retried.
 * We promise: times: 0 means no retry.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Policy, Retry } from "effect-resilience"
import { down } from "./support.ts"

it.effect("with times 0 the first try is the only one", () =>
  Effect.gen(function* () {
    let tried = 0
    const counted = Effect.suspend(() => {
      tried += 1
      return down
    })
    const schedule = Retry.backoff({ times: 0 })
    const policy = yield* Policy.make("users", { retry: schedule })
    yield* Effect.exit(counted.pipe(Retry.transient(schedule)))
    yield* Effect.exit(policy.protect(counted))
    assert.strictEqual(tried, 2)
  })
)
