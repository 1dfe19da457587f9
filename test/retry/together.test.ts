/** Failures that came together in one cause, as those of parallel work do: their order decides nothing. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policy, Rejection, Retry, RetryBudget, Timeout, TripPolicy } from "effect-resilience"
import * as EffectBreaker from "effect-resilience/persistence/CircuitBreaker"
import { Busy, Later } from "../support/errors.ts"
import { start } from "../support/observe.ts"

const later = (seconds: number) => new Later({ retryAfter: Duration.seconds(seconds) })
type Failure = Busy | Later | Timeout.TimedOut

const together = <E>(errors: ReadonlyArray<E>): Effect.Effect<string, E> =>
  Effect.failCause(errors.map((error) => Cause.fail(error)).reduce((left, right) => Cause.combine(left, right)))

/** Each order of the same three failures, of which the longest wish is 30 seconds. */
const orders: ReadonlyArray<readonly [string, ReadonlyArray<Busy | Later>]> = [
  ["the longest first", [later(30), new Busy(), later(10)]],
  ["the longest in the middle", [later(10), later(30), new Busy()]],
  ["the longest last", [new Busy(), later(10), later(30)]]
]

const opensFor = { trip: TripPolicy.consecutive(1), openFor: { initial: "5 seconds", jitter: 0 } } as const

/** Seconds between the first attempt and the second. */
const delayOf = (
  retried: (work: Effect.Effect<string, Failure>) => Effect.Effect<unknown, unknown>,
  errors: ReadonlyArray<Failure>
) =>
  Effect.gen(function* () {
    const at: Array<number> = []
    const work = Effect.clockWith((clock) => {
      at.push(Number(clock.monotonicTimeNanosUnsafe()) / 1e9)
      return together(errors)
    })
    yield* start(Effect.exit(retried(work)))
    yield* TestClock.adjust("10 minutes")
    return (at[1] ?? Number.NaN) - (at[0] ?? Number.NaN)
  })

describe("of several `retryAfter` in one cause the longest counts", () => {
  const exact = Retry.backoff({ base: "1 second", times: 1, jitter: "none" })

  for (const [name, errors] of orders) {
    it.effect(`for a retry, also without jitter: ${name}`, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* delayOf(Retry.transient(exact), errors), 30)
        const { protect } = yield* Policy.make("p", { retry: exact })
        assert.strictEqual(yield* delayOf(protect, errors), 30)
        const spread = yield* delayOf(Retry.transient(Schedule.recurs(1)), errors)
        assert.isAtLeast(spread, 30)
        assert.isAtMost(spread, 36)
      })
    )

    it.effect(`for maxRetryAfter, and the error that the retry gave up on is the one that asked for it: ${name}`, () =>
      Effect.gen(function* () {
        const retry = Retry.transient(exact, { maxRetryAfter: "20 seconds" })
        const exit = yield* Effect.exit(together<Failure>(errors).pipe(retry))
        const gaveUp = Exit.isFailure(exit) ? Option.getOrThrow(Retry.gaveUp(exit.cause)) : undefined
        assert.strictEqual(gaveUp?.reason, "retryAfter")
        assert.strictEqual(
          gaveUp?.error,
          errors.find((error) => error._tag === "Later" && error.retryAfter.pipe(Duration.toSeconds) === 30)
        )
        // The caller gets all of them.
        assert.strictEqual(Exit.isFailure(exit) ? exit.cause.reasons.length : 0, 3)
      })
    )

    it.effect(`for the open time, of a breaker, a policy and Effect's breaker: ${name}`, () =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("b", opensFor)
        yield* Effect.exit(breaker.protect(together(errors)))
        const state = yield* breaker.state()
        const policy = yield* Policy.make("p", { breaker: opensFor })
        yield* Effect.exit(policy.protect(together(errors)))
        const { circuit } = yield* policy.stats()
        const effects = yield* EffectBreaker.make(opensFor)
        yield* Effect.exit(effects.execute(together(errors), { key: "k" }))
        const other = yield* effects.state("k")
        assert.deepInclude(state, { _tag: "open", retryAfter: Duration.seconds(30) })
        assert.deepInclude(circuit, { _tag: "open", retryAfter: Duration.seconds(30) })
        assert.deepInclude(other, { _tag: "Open", retryAfter: Duration.seconds(30) })
      })
    )
  }

  const seconds = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 500 }))
  it.effect.prop("whichever they are", [Schema.NonEmptyArray(seconds)], ([wishes]) =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("b", opensFor)
      yield* Effect.exit(breaker.protect(together(wishes.map(later))))
      assert.deepInclude(yield* breaker.state(), { retryAfter: Duration.seconds(Math.max(5, ...wishes)) })
    })
  )

  it.effect("but not that of a rejection, which is no wish of the dependency", () =>
    Effect.gen(function* () {
      const inner = yield* CircuitBreaker.make("inner", opensFor)
      yield* inner.control.isolate()
      const rejection = yield* Effect.flip(inner.protect(Effect.fail(new Busy()) as Effect.Effect<string, Busy>))
      assert.isTrue(Rejection.is(rejection) && rejection._tag === "CircuitOpen")
      const breaker = yield* CircuitBreaker.make("b", opensFor)
      yield* Effect.exit(breaker.protect(together([rejection, later(7)])))
      assert.deepInclude(yield* breaker.state(), { _tag: "open", retryAfter: Duration.seconds(7) })
    })
  )
})

describe("of several failures in one cause one timeout is enough", () => {
  const orders: ReadonlyArray<(timedOut: Timeout.TimedOut) => ReadonlyArray<Failure>> = [
    (timedOut) => [timedOut, new Busy()],
    (timedOut) => [new Busy(), timedOut]
  ]
  it.effect("for the price of the retry, in a retry and in a policy", () =>
    Effect.gen(function* () {
      const fiber = yield* start(Effect.flip(Timeout.after(Effect.never, "1 second")))
      yield* TestClock.adjust("1 second")
      const timedOut = yield* Fiber.join(fiber)
      for (const order of orders) {
        const budget = yield* RetryBudget.make("b", { ratio: 0, capacity: 7, timeoutCost: 5 })
        yield* Effect.exit(together(order(timedOut)).pipe(Retry.transient(budget.gated(Schedule.recurs(1)))))
        assert.strictEqual(yield* budget.balance, 2)
        const policy = yield* Policy.make("p", {
          retry: Schedule.recurs(1),
          budget: { ratio: 0, capacity: 7, timeoutCost: 5 }
        })
        yield* Effect.exit(policy.protect(together(order(timedOut))))
        assert.strictEqual((yield* policy.stats()).balance, 2)
      }
    })
  )
})
