import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { type Event, Retry } from "effect-resilience"
import { Busy, Denied } from "../support/errors.ts"
import { ended, recording, start } from "../support/observe.ts"

const twice = Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 2 }))

/** Takes a second, then fails with an error of its own. */
const failing = () => {
  const errors: Array<Busy> = []
  const work = Effect.andThen(
    Effect.sleep("1 second"),
    Effect.suspend(() => {
      errors.push(new Busy())
      return Effect.fail(errors[errors.length - 1]!)
    })
  )
  return { errors, work }
}

const plain = (attempt: Retry.Attempt) => [
  attempt.attempt,
  attempt.error,
  Duration.toMillis(attempt.elapsed),
  attempt.delay === undefined ? undefined : Duration.toMillis(attempt.delay)
]

describe("Retry, giving up", () => {
  it.effect("fails with the same error, and with reason, attempts, time and history on the cause", () =>
    Effect.gen(function* () {
      const { errors, work } = failing()
      const fiber = yield* start(work.pipe(Retry.transient(twice)))
      yield* TestClock.adjust("10 seconds")
      const exit = ended(fiber)
      assert.isTrue(Exit.isFailure(exit))
      if (!Exit.isFailure(exit)) return
      const reason = exit.cause.reasons[0]!
      assert.isTrue(reason._tag === "Fail" && reason.error === errors[2])
      const gaveUp = Option.getOrThrow(Retry.gaveUp(exit.cause))
      assert.strictEqual(gaveUp.reason, "attempts")
      assert.strictEqual(gaveUp.attempts, 3)
      assert.strictEqual(Duration.toMillis(gaveUp.elapsed), 5000)
      assert.deepStrictEqual(gaveUp.history.map(plain), [
        [1, errors[0], 1000, 1000],
        [2, errors[1], 3000, 1000],
        [3, errors[2], 5000, undefined]
      ])
    })
  )

  it.effect("does not change the error", () =>
    Effect.gen(function* () {
      const frozen = Object.freeze(new Busy())
      const before = Reflect.ownKeys(frozen)
      const error = yield* Effect.flip(Effect.fail(frozen).pipe(Retry.transient(Schedule.recurs(2))))
      assert.strictEqual(error, frozen)
      assert.deepStrictEqual(Reflect.ownKeys(error), before)
    })
  )

  it.effect("a permanent error after a retry is not marked as given up", () =>
    Effect.gen(function* () {
      let made = 0
      const work = Effect.suspend(() => Effect.fail(++made === 1 ? new Busy() : new Denied()))
      const exit = yield* Effect.exit(work.pipe(Retry.transient(Schedule.recurs(9))))
      assert.strictEqual(made, 2)
      assert.isTrue(Exit.isFailure(exit) && Option.isNone(Retry.gaveUp(exit.cause)))
    })
  )

  it.effect("emits each decision and the end, with key, delay and error", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      const { errors, work } = failing()
      yield* start(work.pipe(Retry.transient(twice, { name: "charge" }), Effect.exit))
      yield* TestClock.adjust("10 seconds")
      const delay = Duration.seconds(1)
      const common = { policy: "charge", key: "default" }
      assert.deepStrictEqual(events, [
        { _tag: "RetryScheduled", ...common, at: 1000, attempt: 1, delay, error: errors[0] },
        { _tag: "RetryScheduled", ...common, at: 3000, attempt: 2, delay, error: errors[1] },
        {
          _tag: "GaveUp",
          ...common,
          at: 5000,
          reason: "attempts",
          attempts: 3,
          elapsed: Duration.seconds(5),
          error: errors[2]
        }
      ])
    }).pipe(recording(events))
  })

  it.effect("a success emits no event", () => {
    const events: Array<Event.Event> = []
    const fine = Effect.void as Effect.Effect<void, Busy>
    return Effect.map(fine.pipe(Retry.transient(twice)), () => assert.deepStrictEqual(events, [])).pipe(
      recording(events)
    )
  })
})

describe("Retry, options", () => {
  it.effect("onRetry runs after each decision, before the delay", () =>
    Effect.gen(function* () {
      const { errors, work } = failing()
      const seen: Array<ReturnType<typeof plain>> = []
      const onRetry = (attempt: Retry.Attempt) =>
        Effect.andThen(
          Effect.sync(() => seen.push(plain(attempt))),
          Effect.sleep("1 minute")
        )
      const fiber = yield* start(work.pipe(Retry.transient(twice, { onRetry })))
      yield* TestClock.adjust("61 seconds")
      assert.strictEqual(errors.length, 1, "the pause follows the hook")
      yield* TestClock.adjust("10 minutes")
      yield* Fiber.await(fiber)
      assert.deepStrictEqual(seen, [
        [1, errors[0], 1000, 1000],
        [2, errors[1], 63_000, 1000]
      ])
    })
  )

  it.effect("a defect in onRetry is a defect of the call", () =>
    Effect.gen(function* () {
      let made = 0
      const work = Effect.suspend(() => {
        made += 1
        return Effect.fail(new Busy())
      })
      const options = { onRetry: () => Effect.die("hook") }
      const exit = yield* Effect.exit(work.pipe(Retry.transient(Schedule.recurs(5), options)))
      assert.strictEqual(made, 1)
      assert.isTrue(Exit.hasDies(exit))
    })
  )

  it.effect("while retries on the value, and returns the last value when it gives up", () => {
    const events: Array<Event.Event> = []
    return Effect.gen(function* () {
      let polls = 0
      const poll = Effect.sync(() => ++polls)
      const until = (n: number) => ({ while: (value: number) => value < n })
      assert.strictEqual(yield* poll.pipe(Retry.transient(Schedule.recurs(9), until(4))), 4)
      assert.strictEqual(polls, 4)
      assert.strictEqual(yield* poll.pipe(Retry.transient(Schedule.recurs(2), until(100))), 7)
      const last = events[events.length - 1]!
      assert.deepInclude({ ...last }, { _tag: "GaveUp", reason: "attempts", attempts: 3, error: 7 })
    }).pipe(recording(events))
  })

  it.effect("while counts failures and values together", () =>
    Effect.gen(function* () {
      let tries = 0
      const work = Effect.suspend((): Effect.Effect<string, Busy> => {
        tries += 1
        return tries % 2 === 1 ? Effect.fail(new Busy()) : Effect.succeed(tries < 6 ? "pending" : "done")
      })
      const options = { while: (state: string) => state === "pending" }
      assert.strictEqual(yield* work.pipe(Retry.transient(Schedule.recurs(5), options)), "done")
      assert.strictEqual(tries, 6)
    })
  )

  it.effect("attempts see Schedule.CurrentMetadata, and effects after the retry do not", () =>
    Effect.gen(function* () {
      const seen: Array<readonly [number, number, number]> = []
      const work = Effect.gen(function* () {
        const metadata = yield* Schedule.CurrentMetadata
        seen.push([metadata.attempt, metadata.elapsed, Duration.toMillis(metadata.duration)])
        return yield* Effect.fail(new Busy())
      })
      const after = start(
        work.pipe(
          Retry.transient(twice),
          Effect.exit,
          Effect.andThen(Effect.map(Schedule.CurrentMetadata, (m) => m.attempt))
        )
      )
      const fiber = yield* after
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(seen, [
        [0, 0, 0],
        [1, 0, 1000],
        [2, 1000, 1000]
      ])
      assert.strictEqual(yield* Fiber.join(fiber), 0)
    })
  )

  const bad: ReadonlyArray<readonly [options: unknown, message: string]> = [
    [{ maxRetryAfter: -1 }, 'maxRetryAfter must be a duration of zero or more, such as "5 seconds", got -1'],
    [{ maxRetryAfter: "long" }, 'maxRetryAfter must be a duration of zero or more, such as "5 seconds", got "long"'],
    [{ onRetry: 3 }, "onRetry must be a function that returns an Effect, got 3"],
    [{ while: true }, "while must be a function that returns true or false, got true"],
    [{ unprocessedOnly: "yes" }, 'unprocessedOnly must be true or false, got "yes"'],
    [{ name: "" }, 'name must be a non-empty string, got ""']
  ]
  for (const [options, message] of bad) {
    it(`fails at construction: ${message}`, () => {
      const make = () => Retry.transient(Schedule.recurs(1), options as Retry.Options)
      assert.throws(make, RangeError, `Retry.transient: ${message}`)
    })
  }

  for (const schedule of [undefined, null, 3, "1 second", { times: 3 }, () => Schedule.recurs(1)]) {
    it(`fails at construction: the schedule ${JSON.stringify(schedule)}`, () => {
      const make = () => Retry.transient(schedule as unknown as Schedule.Schedule<number>)
      assert.throws(make, RangeError, "Retry.transient: schedule must be a Schedule, got ")
    })
  }
})
