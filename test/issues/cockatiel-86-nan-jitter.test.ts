/**
 * cockatiel #86: the jitter of a backoff came to NaN, and the pause to nothing.
 * We promise: every delay is finite and not negative, with each jitter, however many retries and however large the numbers.
 */
import { assert, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Retry } from "effect-resilience"
import { Down } from "./support.ts"

const jitters = ["full", "equal", "decorrelated", "none"] as const

it.effect.each(jitters)(
  "jitter %s: 2,000 delays from tiny and from huge numbers are finite, and within the cap",
  (jitter) =>
    Effect.gen(function* () {
      for (const [base, cap] of [
        [1, 1],
        [0.001, 2 ** 40],
        [2 ** 40, 2 ** 40]
      ] as const) {
        const step = yield* Schedule.toStep(Retry.backoff({ base, cap, times: 2000, jitter }))
        for (let i = 0; i < 2000; i++) {
          const [, delay] = yield* Effect.orDie(step(0, new Down({})))
          const millis = Duration.toMillis(delay)
          assert.isTrue(millis >= 0 && millis <= cap, `${millis} after ${i} retries`)
        }
      }
    })
)
