/**
 * cockatiel 3.2.1, as measured: an abort 50 ms into a backoff of 400 ms was heard after 403 ms, and one more attempt was made.
 * We promise: interruption inside a pause ends the retry at once, and no further attempt is made.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry } from "effect-resilience"
import { down, start } from "./support.ts"

it.effect("interrupted 50 ms into a pause of 400 ms it ends there", () =>
  Effect.gen(function* () {
    let tried = 0
    const counted = Effect.suspend(() => {
      tried += 1
      return down
    })
    const policy = yield* Policy.make("users", { retry: Schedule.spaced("400 millis") })
    for (const call of [counted.pipe(Retry.transient(Schedule.spaced("400 millis"))), policy.protect(counted)]) {
      tried = 0
      const fiber = yield* start(call)
      yield* TestClock.adjust("50 millis")
      const ending = yield* start(Fiber.interrupt(fiber))
      assert.isDefined(ending.pollUnsafe(), "without any more time")
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(tried, 1)
    }
  })
)
