/**
 * effect-smol #1461: with Schedule.fixed the jitter of a real timer, a millisecond late, made a second run at once.
 * We promise: our retry over Schedule.fixed makes one attempt per interval, also when timers are late.
 */
import { assert, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Retry } from "effect-resilience"
import { down, start } from "./support.ts"

it.effect("with timers that are a millisecond late each interval has one attempt", () =>
  Effect.gen(function* () {
    const real = yield* Clock.Clock
    const late: Clock.Clock = {
      ...real,
      currentTimeMillisUnsafe: () => real.currentTimeMillisUnsafe(),
      monotonicTimeNanosUnsafe: () => real.monotonicTimeNanosUnsafe(),
      sleep: (duration) => real.sleep(Duration.sum(duration, Duration.millis(Duration.toMillis(duration) > 0 ? 1 : 0)))
    }
    const at: Array<number> = []
    const failing = Effect.suspend(() => {
      at.push(real.currentTimeMillisUnsafe())
      return down
    })
    const schedule = Schedule.fixed("1 second").pipe(Schedule.upTo({ times: 5 }))
    const call = Effect.exit(failing.pipe(Retry.transient(schedule)))
    const fiber = yield* start(Effect.provideService(call, Clock.Clock, late))
    for (let i = 0; i < 10_000; i++) yield* TestClock.adjust(1)
    assert.isDefined(fiber.pollUnsafe())
    assert.strictEqual(at.length, 6)
    for (let i = 1; i < at.length; i++) assert.isAtLeast(at[i]! - at[i - 1]!, 900)
  })
)
