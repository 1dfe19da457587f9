import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Deadline, Fallback, Policy, type Rejection, Retry, Timeout } from "effect-resilience"
import { Busy, Denied, Refused } from "../support/errors.ts"
import { ended, start } from "../support/observe.ts"

type Anything = Effect.Effect<string, Busy | Refused | Denied | Rejection.Rejection>

const attempts = (...results: ReadonlyArray<Anything>): Anything => {
  let made = 0
  return Effect.suspend(() => results[Math.min(made++, results.length - 1)]!)
}

const busy: Anything = Effect.fail(new Busy())
const refused: Anything = Effect.fail(new Refused())
const denied: Anything = Effect.fail(new Denied())
const hang: Anything = Effect.never

const twice = Retry.transient(Schedule.recurs(1))
const twiceUnprocessed = Retry.transient(Schedule.recurs(1), { unprocessedOnly: true })

const isolated = Effect.flatMap(CircuitBreaker.make("isolated"), (breaker) =>
  Effect.andThen(breaker.control.isolate(), breaker.protect(busy))
)
const full = Effect.flatMap(Bulkhead.make("full", { maxConcurrent: 1 }), ({ protect }) => protect(protect(busy)))

/** Protected calls, and whether their failure proves that no attempt did any work. */
const calls: ReadonlyArray<readonly [name: string, call: Anything, neverStarted: boolean]> = [
  ["rejected by a circuit", isolated, true],
  ["rejected by a bulkhead", full, true],
  ["rejected by a deadline before the start", hang.pipe(Deadline.within(0)), true],
  ["cut by a deadline", hang.pipe(Deadline.within("1 second")), false],
  ["an own error that says so", refused, true],
  ["an own error that does not", busy, false],
  ["a permanent error", denied, false],
  ["a defect", Effect.die(new Refused()), false],
  ["every attempt refused", refused.pipe(twice), true],
  ["every attempt refused, unprocessedOnly", refused.pipe(twiceUnprocessed), true],
  ["an unknown attempt, then a refused one", attempts(busy, refused).pipe(twice), false],
  ["a refused attempt, then an unknown one", attempts(refused, busy).pipe(twice), false],
  ["an unknown attempt that unprocessedOnly does not repeat", attempts(busy, refused).pipe(twiceUnprocessed), false],
  ["an unknown attempt, then a rejection before the start", attempts(busy, isolated).pipe(twice), false],
  // `Retry.transient` cannot tell whether the attempt had done some work before a policy inside it rejected.
  ["a refused attempt, then a rejection inside the next one", attempts(refused, isolated).pipe(twice), false],
  [
    "an unknown attempt, then a refused one, caught and failed with again",
    attempts(busy, refused).pipe(
      twice,
      Effect.catch((error) => Effect.fail(error))
    ),
    false
  ],
  [
    "the same inside a deadline",
    attempts(busy, refused).pipe(
      twice,
      Deadline.within("1 hour"),
      Effect.catch((error) => Effect.fail(error))
    ),
    false
  ],
  ["a retry around an exhausted retry", attempts(busy, refused).pipe(twice, (self) => twice(self as Anything)), false]
]

describe('Fallback with `when: "neverStarted"`', () => {
  for (const [name, call, neverStarted] of calls) {
    it.effect(`${neverStarted ? "handles" : "does not handle"}: ${name}`, () =>
      Effect.gen(function* () {
        const fiber = yield* start(call.pipe(Fallback.value("queued", { when: "neverStarted" })))
        yield* TestClock.adjust("1 minute")
        const exit = ended(fiber)
        assert.strictEqual(Exit.isSuccess(exit) && exit.value === "queued", neverStarted)
      })
    )
  }

  it.effect("a POST that hangs after charging is not queued, although unprocessedOnly did not repeat it", () =>
    Effect.gen(function* () {
      const payments = yield* Policy.make("payments", {
        retry: { schedule: Schedule.recurs(2), unprocessedOnly: true },
        timeout: "1 second"
      })
      let charged = 0
      const charge: Effect.Effect<string, Refused> = Effect.suspend(() => {
        charged += 1
        return Effect.never
      })
      const call = charge.pipe(
        payments.protect,
        Fallback.orElse(
          // The type leaves `TimedOut` out: a timeout never proves that the work did not start.
          (error) => {
            const tag: "Refused" = error._tag
            return Effect.succeed(`queued: ${tag}`)
          },
          { when: "neverStarted" }
        ),
        Effect.catchTag("TimedOut", () => Effect.succeed("look whether it was charged"))
      )
      const fiber = yield* start(call)
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual([ended(fiber), charged], [Exit.succeed("look whether it was charged"), 1])
    })
  )

  it.effect("keeps in the type what may have run, and takes out the rejections that never start work", () =>
    Effect.gen(function* () {
      const full = yield* Bulkhead.make("full", { maxConcurrent: 1 })
      const call = (hang as Effect.Effect<string, Busy | Denied>).pipe(
        Timeout.after("1 second"),
        full.protect,
        Deadline.within("1 hour"),
        Fallback.value("queued", { when: "neverStarted" })
      )
      const typed: Effect.Effect<string, Busy | Denied | Timeout.TimedOut | Rejection.DeadlineExceeded> = call
      const fiber = yield* start(Effect.flip(typed))
      yield* TestClock.adjust("1 second")
      const exit = ended(fiber)
      assert.isTrue(Exit.isSuccess(exit) && exit.value instanceof Timeout.TimedOut)
    })
  )
})

describe("a later attempt that works and is then rejected by a policy inside it", () => {
  const worked = (state: { charged: number }): Anything =>
    attempts(
      refused,
      Effect.andThen(
        Effect.sync(() => (state.charged += 1)),
        isolated
      )
    )
  it.effect("is not queued again: Retry.transient", () =>
    Effect.gen(function* () {
      const state = { charged: 0 }
      const exit = yield* Effect.exit(
        worked(state).pipe(twiceUnprocessed, Fallback.value("queued", { when: "neverStarted" }))
      )
      assert.deepStrictEqual([state.charged, Exit.isFailure(exit)], [1, true])
    })
  )

  it.effect("is not queued again: Policy", () =>
    Effect.gen(function* () {
      const state = { charged: 0 }
      const policy = yield* Policy.make("p", { retry: { schedule: Schedule.recurs(1), unprocessedOnly: true } })
      const exit = yield* Effect.exit(
        worked(state).pipe(policy.protect, Fallback.value("queued", { when: "neverStarted" }))
      )
      assert.deepStrictEqual([state.charged, Exit.isFailure(exit)], [1, true])
    })
  )
})

it.effect(
  "an earlier attempt that may have run is known on another fiber too, after the error was failed with again",
  () =>
    Effect.gen(function* () {
      const call = attempts(busy, refused).pipe(
        twice,
        Effect.catchTag("Refused", (error) => Effect.fail(error))
      )
      const wrapped = Effect.all([call, Effect.void], { concurrency: 2 })
      assert.isTrue(
        Exit.isFailure(yield* Effect.exit(wrapped.pipe(Fallback.value("queued", { when: "neverStarted" }))))
      )
    })
)
