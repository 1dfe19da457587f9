/**
 * httpx-retries #13: a `Retry-After` whose date had passed switched the pause off, and the next attempt started at once.
 * We promise: such a date asks for nothing, and the delay is that of the schedule.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Retry, Transient } from "effect-resilience"
import { status as responded } from "../support/effectErrors.ts"
import { start } from "./support.ts"

it.effect("the delay is the backoff", () =>
  Effect.gen(function* () {
    yield* TestClock.setTime(Date.parse("2026-10-29T12:00:00Z"))
    let attempts = 0
    const failing = Effect.suspend(() => {
      attempts += 1
      return Effect.fail(responded(503, { "retry-after": "Thu, 29 Oct 2026 11:59:59 GMT" }))
    })
    const backoff = Retry.backoff({ base: "1 second", times: 1, jitter: "none" })
    yield* start(Effect.exit(failing.pipe(Transient.known, Retry.transient(backoff))))
    yield* TestClock.adjust(999)
    assert.strictEqual(attempts, 1)
    yield* TestClock.adjust(1)
    assert.strictEqual(attempts, 2)
  })
)
