/** A limit on requests: a bucket that holds as many as a minute allows, and fills evenly. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import { type OrRefusal, Refusal } from "./responses.ts"

const minute = 60_000

export const perMinute = (limit: number): OrRefusal<void> => {
  let left = limit
  let at = -Infinity
  return Effect.flatMap(Clock.currentTimeMillis, (now) => {
    left = at === -Infinity ? limit : Math.min(limit, left + (Math.max(0, now - at) * limit) / minute)
    at = now
    if (left < 1) {
      const seconds = Math.max(1, Math.ceil(((1 - left) * minute) / limit / 1000))
      return Effect.fail(
        new Refusal({
          status: 429,
          code: "TooManyActions",
          detail: `at most ${limit} of these a minute are accepted; the next in ${seconds} s`,
          headers: { "retry-after": String(seconds) }
        })
      )
    }
    left -= 1
    return Effect.void
  })
}
