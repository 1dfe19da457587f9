/** The retries that a call inherits: those of all policies inside come out of one allowance. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { Policy, Propagation, Retry, Transient } from "effect-resilience"

class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}

const quick = Schedule.recurs(3)

const failing = () => {
  let attempts = 0
  const work = Effect.suspend(() => {
    attempts += 1
    return Effect.fail(new Busy())
  })
  return { work, attempts: () => attempts }
}

const reasonOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? Option.map(Retry.gaveUp(exit.cause), (gaveUp) => gaveUp.reason) : Option.none()

describe("an allowance of retries", () => {
  for (const retries of [0, 1, 2, 3, 9]) {
    it.effect(`of ${retries}: a policy makes at most that many, and gives up with the reason "budget"`, () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { retry: quick })
        const { attempts, work } = failing()
        const exit = yield* Effect.exit(work.pipe(policy.protect, Propagation.provide({ retries })))
        assert.strictEqual(attempts(), 1 + Math.min(3, retries))
        assert.deepStrictEqual(reasonOf(exit), Option.some(retries < 3 ? "budget" : "attempts"))
      })
    )
  }

  it.effect("is shared by policies and `Retry.transient`, inside each other and in parallel", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: quick })
      const { attempts, work } = failing()
      const one = Effect.exit(work.pipe(policy.protect))
      const other = Effect.exit(work.pipe(Retry.transient(quick)))
      yield* Effect.all([one, other, other, one], { concurrency: "unbounded" }).pipe(
        Propagation.provide({ retries: 5 })
      )
      assert.strictEqual(attempts(), 4 + 5)
    })
  )

  it.effect("each run of the work has one of its own, and an inner one stands in place of the outer", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: quick })
      const { attempts, work } = failing()
      const call = Effect.exit(work.pipe(policy.protect))
      const provided = call.pipe(Propagation.provide({ retries: 1 }))
      yield* provided
      yield* provided
      assert.strictEqual(attempts(), 4)
      yield* Effect.all([provided, call]).pipe(Propagation.provide({ retries: 2 }))
      assert.strictEqual(attempts(), 4 + 2 + 3)
    })
  )

  it.effect("a retry is charged to the budget too; one that the budget refuses stays in the allowance", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: quick, budget: { ratio: 0, capacity: 1, initial: 1 } })
      const { attempts, work } = failing()
      const left = yield* Effect.exit(work.pipe(policy.protect)).pipe(
        Effect.andThen(Propagation.current),
        Propagation.provide({ retries: 2 })
      )
      assert.strictEqual(attempts(), 2)
      assert.strictEqual(left.retries, 1)
    })
  )
})
