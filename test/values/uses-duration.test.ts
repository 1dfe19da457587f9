import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, TripPolicy } from "effect-resilience"

/** Readings of the clock that one call through a closed breaker makes. */
const readings = (trip: TripPolicy.TripPolicy<any>) =>
  Effect.gen(function* () {
    const clock = yield* TestClock.testClockWith(Effect.succeed)
    let readings = 0
    const watched: Clock.Clock = {
      ...clock,
      monotonicTimeNanosUnsafe: () => {
        readings += 1
        return clock.monotonicTimeNanosUnsafe()
      }
    }
    const breaker = yield* CircuitBreaker.make("users", { trip })
    const call = Effect.succeed(1).pipe(breaker.protect({ classify: () => "success" }))
    yield* call
    readings = 0
    yield* call.pipe(Effect.provideService(Clock.Clock, watched))
    return readings
  })

const own = (usesDuration: boolean | undefined, durations: Array<number> = []) =>
  TripPolicy.make({
    name: "own",
    initial: () => durations,
    record: (evidence, _, duration) => {
      evidence.push(duration)
    },
    trips: () => false,
    usesDuration
  }) as TripPolicy.TripPolicy

describe("usesDuration", () => {
  it.effect("a breaker reads the clock twice per call for a trip policy that uses durations, else once", () =>
    Effect.gen(function* () {
      const slow = TripPolicy.slowCallRate({ slowerThan: "1 second" })
      for (const timed of [
        slow,
        TripPolicy.any(TripPolicy.consecutive(3), slow),
        TripPolicy.all(slow),
        own(undefined)
      ]) {
        assert.strictEqual(yield* readings(timed), 2, timed.name)
      }
      const rate = TripPolicy.failureRate()
      for (const untimed of [rate, TripPolicy.consecutive(3), TripPolicy.any(rate, own(false)), own(false)]) {
        assert.strictEqual(yield* readings(untimed), 1, untimed.name)
      }
    })
  )

  it.effect("a custom trip policy receives durations unless usesDuration is false", () =>
    Effect.gen(function* () {
      for (const usesDuration of [undefined, true, false]) {
        const durations: Array<number> = []
        const breaker = yield* CircuitBreaker.make("users", { trip: own(usesDuration, durations) })
        const work = TestClock.adjust("3 seconds")
        yield* work.pipe(breaker.protect({ classify: () => "success" }))
        assert.deepStrictEqual(durations, [usesDuration === false ? 0 : 3000])
      }
    })
  )
})
