/** Streams that end in every way, and a policy with all parts. */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Policy, TripPolicy } from "effect-resilience"
import { Down, pauses, touchy } from "../policy/support.ts"

export const numbers: Stream.Stream<number, Down> = Stream.make(1, 2, 3)
/** Emits 1 and 2, then fails. */
export const breaks: Stream.Stream<number, Down> = Stream.concat(Stream.make(1, 2), Stream.fail(new Down()))
export const silent: Stream.Stream<number, Down> = Stream.never

/** A stream whose n-th opening is the n-th of these; counts what is open. */
export const script = (...streams: ReadonlyArray<Stream.Stream<number, Down>>) => {
  const counts = { openings: 0, open: 0 }
  const stream = Stream.unwrap(
    Effect.acquireRelease(
      Effect.sync(() => {
        counts.open += 1
        return streams[Math.min(counts.openings++, streams.length - 1)]!
      }),
      () =>
        Effect.sync(() => {
          counts.open -= 1
        })
    )
  )
  return { counts, stream }
}

export const make = Policy.make("events", {
  deadline: "10 seconds",
  retry: pauses(2),
  breaker: { ...touchy, trip: TripPolicy.consecutive(5) },
  bulkhead: { maxConcurrent: 1, maxQueued: 1 },
  timeout: "1 second"
})
