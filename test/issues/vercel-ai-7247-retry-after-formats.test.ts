/**
 * vercel/ai #7247: `retry-after-ms` and `Retry-After` as a date were not read, so calls came back after the backoff, too early.
 * We promise: the next attempt waits for what the server asked for, in each of these formats.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry, Transient } from "effect-resilience"
import { status as responded } from "../support/effectErrors.ts"
import { start } from "./support.ts"

const cases: ReadonlyArray<readonly [headers: Record<string, string>, seconds: number]> = [
  [{ "retry-after": "30" }, 30],
  [{ "retry-after-ms": "30000" }, 30],
  [{ "retry-after": "Thu, 01 Jan 1970 00:00:30 GMT" }, 30],
  [{ date: "Thu, 29 Oct 2026 12:00:00 GMT", "retry-after": "Thu, 29 Oct 2026 12:00:30 GMT" }, 30]
]

it.effect.each(cases)("%j: the next attempt starts after %i seconds", ([headers, seconds]) =>
  Effect.gen(function* () {
    const api = yield* Policy.make("api", { retry: Retry.backoff({ base: "1 second", times: 1, jitter: "none" }) })
    let attempts = 0
    const call = Effect.suspend(() => (++attempts === 1 ? Effect.fail(responded(503, headers)) : Effect.succeed("ok")))
    const fiber = yield* start(call.pipe(Transient.known, api.protect))
    yield* TestClock.adjust(seconds * 1000 - 1)
    assert.strictEqual(attempts, 1)
    yield* TestClock.adjust(1)
    assert.strictEqual(attempts, 2)
    assert.isDefined(fiber.pollUnsafe())
  })
)
