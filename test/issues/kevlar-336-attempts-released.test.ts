/**
 * Kevlar #336: what an attempt had opened was not closed when it was tried again.
 * We promise: an attempt's scope is closed before the next attempt begins, once each, whatever ended it.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Policy } from "effect-resilience"
import { down, hung, ok, outcome, start } from "./support.ts"

it.effect("each attempt's resource is released once, before the next is acquired", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    let attempt = 0
    const opened = Effect.suspend(() => {
      const me = ++attempt
      return Effect.acquireRelease(
        Effect.sync(() => log.push(`open ${me}`)),
        () => Effect.sync(() => log.push(`close ${me}`))
      ).pipe(Effect.andThen(me === 2 ? hung : me === 4 ? ok : down), Effect.scoped)
    })
    const policy = yield* Policy.make("files", { retry: Schedule.recurs(5), timeout: "1 second" })
    const call = yield* start(outcome(policy.protect(opened)))
    yield* TestClock.adjust("1 second")
    assert.strictEqual(yield* Fiber.join(call), "ok")
    assert.deepStrictEqual(
      log,
      [1, 2, 3, 4].flatMap((i) => [`open ${i}`, `close ${i}`])
    )
  })
)
