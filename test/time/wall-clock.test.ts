import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Deadline, Policy, Retry, StaleFallback, Timeout, TripPolicy } from "effect-resilience"
import { Busy } from "../support/errors.ts"
import { start } from "../support/observe.ts"

/** The test's clock, with a wall that can be moved while its intervals stay as they are. */
const withWall = <A, E, R>(f: (setWall: (millis: number) => Effect.Effect<void>) => Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const clock = yield* Clock.Clock
    let moved = 0
    const wall: Clock.Clock = Object.assign(Object.create(clock), {
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + moved,
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(moved) * 1_000_000n,
      currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + moved),
      currentTimeNanos: Effect.sync(() => clock.currentTimeNanosUnsafe() + BigInt(moved) * 1_000_000n)
    })
    const setWall = (millis: number) =>
      Effect.sync(() => {
        moved = millis
      })
    return yield* f(setWall).pipe(Effect.provideService(Clock.Clock, wall))
  })

const hour = 3_600_000

const bothWays = [
  ["back", -hour],
  ["forward", hour]
] as const

/** The tag of the error of a call, "ok" if it succeeds. */
const tagOf = <A, E extends { readonly _tag: string }, R>(call: Effect.Effect<A, E, R>) =>
  Effect.match(call, { onSuccess: () => "ok", onFailure: (error) => error._tag })

/** A call that is going on must end after exactly so many milliseconds. */
const endsAfter = <A, E>(fiber: Fiber.Fiber<A, E>, millis: number) =>
  Effect.gen(function* () {
    yield* TestClock.adjust(millis - 1)
    assert.isUndefined(fiber.pollUnsafe(), "ended too early")
    yield* TestClock.adjust(1)
    const exit = fiber.pollUnsafe()
    assert.isDefined(exit, "did not end in time")
    return yield* exit
  })

const secondsLeft = Effect.map(Deadline.remaining, Duration.toSeconds)

describe("a wall clock that is set does not change any interval", () => {
  it.effect.each(bothWays)("of a bulkhead: neither maxWait nor a deadline, set %s", ([, by]) =>
    withWall((setWall) =>
      Effect.gen(function* () {
        const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1, maxQueued: 1, maxWait: "6 seconds" })
        yield* start(bulkhead.protect(Effect.never))
        const queued = Effect.andThen(Effect.sleep("4 seconds"), bulkhead.protect(Effect.void))
        for (const [deadline, ends, reason] of [
          ["1 minute", 10, "wait"],
          ["7 seconds", 7, "DeadlineExceeded"]
        ] as const) {
          const call = queued.pipe(
            Deadline.within(deadline),
            Effect.flip,
            Effect.map((error) => (error._tag === "BulkheadFull" ? error.reason : error._tag))
          )
          const fiber = yield* start(call)
          yield* TestClock.adjust("3 seconds")
          // Before it queues, and again while it waits.
          yield* setWall(by)
          yield* TestClock.adjust("2 seconds")
          yield* setWall(0)
          assert.strictEqual(yield* endsAfter(fiber, (ends - 5) * 1000), reason)
        }

        // Work that outlives its deadline may not queue, however much time the wall says is left.
        const late = yield* queued.pipe(Effect.uninterruptible, Effect.flip, Deadline.within("3 seconds"), start)
        yield* TestClock.adjust("2 seconds")
        yield* setWall(by)
        const refused = yield* endsAfter(late, 2000)
        assert.deepInclude({ ...refused }, { _tag: "BulkheadFull", reason: "deadline" })
      })
    )
  )

  it.effect.each(bothWays)("of a timeout, nor the time that remains, set %s", ([, by]) =>
    withWall((setWall) =>
      Effect.gen(function* () {
        const seen: Array<number> = []
        const work = Effect.gen(function* () {
          yield* Effect.sleep("4 seconds")
          seen.push(yield* secondsLeft)
          // Longer than what is left: it is cut by the outer one.
          return yield* Timeout.after(Effect.never, "9 seconds")
        })
        const fiber = yield* start(tagOf(Timeout.after(work, "10 seconds")))
        yield* TestClock.adjust("3 seconds")
        yield* setWall(by)
        assert.strictEqual(yield* endsAfter(fiber, 7000), "TimedOut")
        assert.deepStrictEqual(seen, [6])
      })
    )
  )

  it.effect.each(bothWays)("of a deadline: neither its end nor atLeast, set %s", ([, by]) =>
    withWall((setWall) =>
      Effect.gen(function* () {
        const seen: Array<unknown> = []
        const work = Effect.gen(function* () {
          yield* Effect.sleep("4 seconds")
          seen.push(
            yield* secondsLeft,
            yield* tagOf(Effect.void.pipe(Deadline.atLeast("6 seconds"))),
            yield* tagOf(Effect.void.pipe(Deadline.atLeast("6001 millis"))),
            yield* Deadline.within(secondsLeft, "1 minute")
          )
          return yield* Effect.never
        })
        const fiber = yield* start(tagOf(Deadline.within(work, "10 seconds")))
        yield* TestClock.adjust("3 seconds")
        yield* setWall(by)
        assert.strictEqual(yield* endsAfter(fiber, 7000), "DeadlineExceeded")
        assert.deepStrictEqual(seen, [6, "ok", "DeadlineExceeded", 6])
      })
    )
  )

  it.effect.each(bothWays)("of a stale value: its maximum age, set %s", ([, by]) =>
    withWall((setWall) =>
      Effect.gen(function* () {
        const prices = yield* StaleFallback.make<number>("prices", { maxAge: "10 seconds", when: "any" })
        const ask = tagOf(prices.protect(Effect.fail(new Busy())))
        yield* prices.protect(Effect.succeed(42))
        yield* setWall(by)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(yield* ask, "ok")
        yield* setWall(0)
        yield* TestClock.adjust("1 millis")
        yield* setWall(by)
        assert.strictEqual(yield* ask, "Busy")
      })
    )
  )

  it.effect.each(bothWays)("of a policy: neither deadline, delay, open time nor classification, set %s", ([, by]) =>
    withWall((setWall) =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", {
          deadline: "10 seconds",
          retry: Retry.backoff({ base: "4 seconds", cap: "4 seconds", times: 9, jitter: "none" }),
          breaker: {
            trip: TripPolicy.consecutive(2),
            openFor: { initial: "5 seconds", factor: 2, jitter: 0 },
            probes: { permitted: 1, successes: 1 }
          }
        })
        let attempts = 0
        const hangs = Effect.suspend((): Effect.Effect<void, Busy> => {
          attempts += 1
          return attempts === 1 ? Effect.fail(new Busy()) : Effect.never
        })
        const fiber = yield* start(tagOf(policy.protect(hangs)))
        yield* TestClock.adjust("2 seconds")
        yield* setWall(by)
        // The second attempt begins after a pause of 4 seconds and is cut at 10: more than half of an attempt's time.
        yield* endsAfter(fiber, 8000)
        assert.strictEqual(attempts, 2)
        const { circuit, totals } = yield* policy.stats()
        assert.deepInclude(circuit, { _tag: "open", retryAfter: Duration.seconds(5) })
        assert.deepInclude(totals, { calls: 1, failures: 2, retries: 1 })

        const good = tagOf(policy.protect(Effect.void as Effect.Effect<void, Busy>))
        yield* setWall(0)
        yield* TestClock.adjust("4999 millis")
        assert.strictEqual(yield* good, "CircuitOpen")
        yield* setWall(by)
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(yield* good, "ok")
      })
    )
  )
})
