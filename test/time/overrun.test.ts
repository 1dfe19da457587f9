import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Policy, Timeout } from "effect-resilience"
import type { Busy } from "../support/errors.ts"
import { start } from "../support/observe.ts"

/** Runs an effect and collects what it logs. */
const logging = <A, E, R>(self: (logged: ReadonlyArray<string>) => Effect.Effect<A, E, R>) => {
  const logged: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    logged.push(`${logLevel} ${String(message)}`)
  })
  return Effect.provide(
    Effect.suspend(() => self(logged)),
    Logger.layer([logger])
  )
}

/** Uninterruptible work of this length. */
const slow = (millis: number): Effect.Effect<void, Busy> => Effect.uninterruptible(Effect.sleep(millis))

// A warning is logged once for each name, so each test has names of its own.
describe("work that goes on after its time limit", () => {
  it.effect("is warned of after one second, once for each policy", () =>
    logging((logged) =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("overrun policy", { timeout: "1 second" })
        yield* start(policy.protect(slow(10_000)))
        yield* TestClock.adjust("1999 millis")
        assert.deepStrictEqual(logged, [])
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(logged.length, 1)
        assert.include(logged[0]!, "Warn overrun policy: work still runs 1 second after its time limit")
        yield* start(policy.protect(slow(10_000)))
        yield* start(Timeout.after(slow(10_000), "1 second", { name: "overrun timeout" }))
        yield* start(
          Deadline.within(
            Effect.onInterrupt(Effect.never, () => slow(5000)),
            "1 second",
            { name: "overrun deadline" }
          )
        )
        yield* TestClock.adjust("1 minute")
        assert.strictEqual(logged.length, 3)
      })
    )
  )

  it.effect("is not warned of when it ends within a second, or when its caller interrupts it", () =>
    logging((logged) =>
      Effect.gen(function* () {
        yield* start(Timeout.after(slow(1999), "1 second", { name: "overrun in time" }))
        yield* start(Timeout.after(slow(900), "1 second", { name: "overrun in time" }))
        yield* start(Timeout.after(Effect.never, "1 second", { name: "overrun in time" }))
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(logged, [])
      })
    )
  )

  it.effect("is not warned of where the warning is off", () =>
    logging((logged) =>
      Effect.gen(function* () {
        yield* start(Timeout.after(slow(10_000), "1 second", { name: "overrun off" }))
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(logged, [])
      })
    ).pipe(Effect.provideService(Timeout.WarnOfOverrun, false))
  )
})
