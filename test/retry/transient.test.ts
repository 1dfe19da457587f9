import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Rejection, Retry, RetryBudget, Transient, TripPolicy } from "effect-resilience"
import { Busy, Denied, Refused } from "../support/errors.ts"
import { start } from "../support/observe.ts"

/** What is wrong on purpose needs no types. */
const retryAnything = (self: Effect.Effect<unknown, unknown>, times = 5): Effect.Effect<unknown, unknown> =>
  Retry.transient(self as Effect.Effect<unknown, Busy>, Schedule.recurs(times))

const counting = <A, E>(each: (attempt: number) => Effect.Effect<A, E>) => {
  const calls = { made: 0 }
  return { calls, work: Effect.suspend(() => each(++calls.made)) }
}

const rejection = Bulkhead.make("full", { maxConcurrent: 1 }).pipe(
  Effect.flatMap((full) => Effect.orDie(Effect.flip(full.protect(full.protect(Effect.void)))))
)

const busy = Cause.makeFailReason(new Busy())

describe("Retry.transient, what it retries", () => {
  it.effect("transient errors, until one attempt succeeds", () =>
    Effect.gen(function* () {
      const { calls, work } = counting((attempt) => (attempt < 3 ? Effect.fail(new Busy()) : Effect.succeed(attempt)))
      assert.strictEqual(yield* work.pipe(Retry.transient(Schedule.recurs(5))), 3)
      assert.strictEqual(calls.made, 3)
      assert.strictEqual(yield* Retry.transient(work, Schedule.recurs(5)), 4)
    })
  )

  const never: ReadonlyArray<readonly [name: string, cause: Effect.Effect<Cause.Cause<unknown>>]> = [
    ["a permanent error", Effect.succeed(Cause.fail(new Denied()))],
    ["a defect", Effect.succeed(Cause.die(new Busy()))],
    ["an interruption", Effect.succeed(Cause.interrupt(1))],
    ["a rejection", Effect.map(rejection, Cause.fail)],
    ["no failure at all", Effect.succeed(Cause.empty)],
    ["a transient error beside a defect", Effect.succeed(Cause.fromReasons([busy, Cause.makeDieReason("boom")]))],
    [
      "a transient error beside an interruption",
      Effect.succeed(Cause.fromReasons([busy, Cause.makeInterruptReason(1)]))
    ],
    [
      "a transient error before a permanent one",
      Effect.succeed(Cause.fromReasons<unknown>([busy, Cause.makeFailReason(new Denied())]))
    ],
    [
      "a transient error after a permanent one",
      Effect.succeed(Cause.fromReasons<unknown>([Cause.makeFailReason(new Denied()), busy]))
    ],
    [
      "a transient error before a rejection",
      Effect.map(rejection, (error) => Cause.fromReasons<unknown>([busy, Cause.makeFailReason(error)]))
    ]
  ]
  for (const [name, made] of never) {
    it.effect(`never ${name}`, () =>
      Effect.gen(function* () {
        const cause = yield* made
        const { calls, work } = counting(() => Effect.failCause(cause))
        const exit = yield* Effect.exit(retryAnything(work))
        assert.strictEqual(calls.made, 1)
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) {
          // The retry annotates transient failures that it passes on, and keeps everything else.
          const plain = (reasons: ReadonlyArray<Cause.Reason<unknown>>) =>
            reasons.map((reason) => (reason._tag === "Fail" ? Cause.makeFailReason(reason.error) : reason))
          assert.deepStrictEqual(plain(exit.cause.reasons), plain(cause.reasons))
          assert.isTrue(Option.isNone(Retry.gaveUp(exit.cause)))
        }
      })
    )
  }

  it.effect("two transient errors in one cause", () =>
    Effect.gen(function* () {
      const { calls, work } = counting(() => Effect.failCause(Cause.fromReasons([busy, busy])))
      yield* Effect.exit(retryAnything(work, 2))
      assert.strictEqual(calls.made, 3)
    })
  )

  it.effect("a defect of a later attempt ends it at once", () =>
    Effect.gen(function* () {
      const { calls, work } = counting((attempt) => (attempt === 1 ? Effect.fail(new Busy()) : Effect.die("boom")))
      const exit = yield* Effect.exit(retryAnything(work))
      assert.strictEqual(calls.made, 2)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )

  it.effect("only errors marked as unprocessed, with unprocessedOnly", () =>
    Effect.gen(function* () {
      const refused = counting(() => Effect.fail(new Refused()))
      yield* Effect.exit(refused.work.pipe(Retry.transient(Schedule.recurs(2), { unprocessedOnly: true })))
      assert.strictEqual(refused.calls.made, 3)
      const unknown = counting(() => Effect.fail(new Busy()))
      const exit = yield* Effect.exit(unknown.work.pipe(Retry.transient(Schedule.recurs(2), { unprocessedOnly: true })))
      assert.strictEqual(unknown.calls.made, 1)
      assert.isTrue(Exit.isFailure(exit) && Option.isNone(Retry.gaveUp(exit.cause)))
      const lifted = counting(() => Effect.fail(new TypeError("refused")))
      yield* lifted.work.pipe(
        Transient.when((_: TypeError) => true, { unprocessed: true }),
        Retry.transient(Schedule.recurs(2), { unprocessedOnly: true }),
        Effect.exit
      )
      assert.strictEqual(lifted.calls.made, 3)
    })
  )

  it.effect(
    "never a rejection by an open circuit: it ends the retry with the last failure of the dependency (go-service #2862)",
    () =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("b", { trip: TripPolicy.consecutive(2), openFor: "1 hour" })
        const made: Array<Busy> = []
        const work = Effect.suspend(() => {
          made.push(new Busy())
          return Effect.fail(made[made.length - 1]!)
        })
        const exit = yield* Effect.exit(work.pipe(breaker.protect, Retry.transient(Schedule.recurs(9))))
        assert.strictEqual(made.length, 2)
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) {
          assert.strictEqual(Cause.squash(exit.cause), made[1])
          assert.strictEqual(Option.getOrThrow(Retry.gaveUp(exit.cause)).reason, "rejected")
        }
        // Nothing real came before this one: the caller sees the rejection.
        const refused = yield* Effect.flip(work.pipe(breaker.protect, Retry.transient(Schedule.recurs(9))))
        assert.instanceOf(refused, Rejection.CircuitOpen)
        assert.strictEqual(made.length, 2)
      })
  )

  it.effect("retries around retries do not multiply, even when a cast hides the types", () =>
    Effect.gen(function* () {
      const { calls, work } = counting(() => Effect.fail(new Busy()))
      const exit = yield* Effect.exit(retryAnything(retryAnything(retryAnything(work, 2), 2), 2))
      assert.strictEqual(calls.made, 3)
      assert.isTrue(Exit.isFailure(exit) && Option.getOrThrow(Retry.gaveUp(exit.cause)).attempts === 3)
    })
  )

  it.effect("the same error object, given up on once, is retried in the next call", () =>
    Effect.gen(function* () {
      const singleton = new Busy()
      const { calls, work } = counting(() => Effect.fail(singleton))
      const failing = Effect.fail(singleton)
      for (let call = 1; call <= 3; call++) {
        yield* Effect.exit(work.pipe(Retry.transient(Schedule.recurs(2))))
        assert.strictEqual(calls.made, 3 * call)
        const exit = yield* Effect.exit(
          Effect.onExit(failing, () => Effect.void).pipe(Retry.transient(Schedule.recurs(2)))
        )
        assert.isTrue(Exit.isFailure(exit) && Option.getOrThrow(Retry.gaveUp(exit.cause)).attempts === 3)
      }
      const bare = yield* Effect.exit(failing)
      assert.isTrue(Exit.isFailure(bare) && Option.isNone(Retry.gaveUp(bare.cause)), "the mark stuck to the error")
    })
  )

  it.effect("a success steps no schedule, and a gated schedule only makes its deposit", () =>
    Effect.gen(function* () {
      let begun = 0
      const schedule = Schedule.fromStep(
        Effect.sync(() => {
          begun += 1
          return () => Cause.done(0)
        })
      )
      const budget = yield* RetryBudget.make("b", { ratio: 1, capacity: 100, initial: 0 })
      const fine = Effect.succeed("fine") as Effect.Effect<string, Busy>
      yield* fine.pipe(Retry.transient(schedule))
      yield* fine.pipe(Retry.transient(budget.gated(schedule)))
      assert.strictEqual(begun, 0)
      assert.strictEqual(yield* budget.balance, 1)
      yield* Effect.exit(Effect.fail(new Busy()).pipe(Retry.transient(schedule)))
      assert.strictEqual(begun, 1)
    })
  )

  it.effect("runs of one retried effect share no state", () =>
    Effect.gen(function* () {
      let made = 0
      const work = Effect.suspend(() => {
        made += 1
        return Effect.fail(new Busy())
      })
      const retried = work.pipe(Retry.transient(Schedule.recurs(2)), Effect.exit)
      const fibers = [yield* start(retried), yield* start(retried)]
      yield* TestClock.adjust("1 second")
      yield* Fiber.awaitAll(fibers)
      assert.strictEqual(made, 6)
    })
  )
})
