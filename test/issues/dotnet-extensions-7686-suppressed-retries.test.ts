/**
 * dotnet/extensions #7686: a retry that the budget forbids must be seen; a budget that is silent looks like a fault of its own.
 * We promise: a retry that is not made for lack of budget is an event, and the reason is on the cause of the real error.
 */
import { assert, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import { type Event, Retry, RetryBudget } from "effect-resilience"
import { Down, down, recording } from "./support.ts"

it.effect("a suppressed retry is an event, and a reason on the cause", () =>
  Effect.gen(function* () {
    const events: Array<Event.Event> = []
    yield* Effect.gen(function* () {
      const budget = yield* RetryBudget.make("b", { ratio: 0, minPerSecond: 0 })
      const exit = yield* Effect.exit(down.pipe(Retry.transient(budget.gated(Schedule.recurs(3)), { name: "r" })))
      assert.isTrue(Exit.isFailure(exit))
      if (!Exit.isFailure(exit)) return
      assert.deepInclude(Option.getOrThrow(Retry.gaveUp(exit.cause)), { reason: "budget", attempts: 1 })
      assert.instanceOf(Cause.squash(exit.cause), Down)
    }).pipe(recording(events))
    assert.deepStrictEqual(
      events.map((event) => [event.policy, event._tag]),
      [
        ["b", "BudgetExhausted"],
        ["r", "GaveUp"]
      ]
    )
  })
)
