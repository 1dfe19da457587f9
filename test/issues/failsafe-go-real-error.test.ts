/**
 * failsafe-go, as read in its source: when the budget was spent, its error took the place of the dependency's.
 * We promise: the caller gets the same error value that the dependency failed with, whyever the retry gave up.
 */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { CircuitBreaker, Deadline, Retry, RetryBudget } from "effect-resilience"
import { Down, type Failure, strict } from "./support.ts"

type Retried = (work: Effect.Effect<string, Failure>) => Effect.Effect<Effect.Effect<string, unknown>>

const reasons: Record<string, Retried> = {
  attempts: (work) => Effect.succeed(work.pipe(Retry.transient(Schedule.recurs(1)))),
  budget: (work) =>
    Effect.map(RetryBudget.make("b", { ratio: 0, minPerSecond: 0 }), (budget) =>
      work.pipe(Retry.transient(budget.gated(Schedule.recurs(1))))
    ),
  rejected: (work) =>
    Effect.map(CircuitBreaker.make("users", strict), (breaker) =>
      work.pipe((work) => breaker.protect(work), Retry.transient(Schedule.recurs(1)))
    ),
  deadline: (work) => Effect.succeed(work.pipe(Retry.transient(Schedule.spaced("1 hour")), Deadline.within("1 second")))
}

for (const [reason, give] of Object.entries(reasons)) {
  it.effect(`given up for ${reason}: the caller gets the error itself`, () =>
    Effect.gen(function* () {
      const error = new Down({})
      const exit = yield* Effect.exit(Effect.flatten(give(Effect.fail(error))))
      assert.isTrue(Exit.isFailure(exit))
      if (!Exit.isFailure(exit)) return
      assert.strictEqual(Cause.squash(exit.cause), error)
      assert.strictEqual(Option.getOrThrow(Retry.gaveUp(exit.cause)).reason, reason)
    })
  )
}
