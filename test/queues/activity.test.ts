/** Activities of a workflow whose work is protected. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Activity, Workflow, WorkflowEngine } from "effect/workflow"
import { Policy, Rejection, Transient, TripPolicy } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}
const error = Schema.Union([Down, Rejection.CircuitOpen])
const breaker = { trip: TripPolicy.consecutive(1) }

/** A workflow with one activity, whose work is protected in one of two ways. */
const order = (how: "protect" | "whenAdmitted") =>
  Effect.gen(function* () {
    const policy = yield* Policy.make(`activity ${how}`, { breaker })
    const charge: Effect.Effect<string, Down> = Effect.succeed("charged")
    const Order = Workflow.make(`Order/${how}`, {
      payload: { id: Schema.String },
      success: Schema.String,
      error,
      idempotencyKey: ({ id }) => id
    })
    const Charge = Activity.make({
      name: "Charge",
      success: Schema.String,
      error,
      execute: how === "protect" ? charge.pipe(policy.protect) : charge.pipe(Policy.whenAdmitted(policy))
    })
    const engine = Order.toLayer(() => Charge).pipe(Layer.provideMerge(WorkflowEngine.layerMemory))
    return { policy, Order, engine }
  })

describe("an activity that runs during an outage", () => {
  it.effect("stores the rejection as the result of the execution, if it is protected alone", () =>
    Effect.gen(function* () {
      const { engine, Order, policy } = yield* order("protect")
      yield* Effect.gen(function* () {
        yield* policy.control.isolate()
        const first = yield* Effect.flip(Order.execute({ id: "7" }))
        yield* policy.control.close()
        const second = yield* Effect.flip(Order.execute({ id: "7" }))
        assert.deepStrictEqual([first._tag, second._tag], ["CircuitOpen", "CircuitOpen"])
      }).pipe(Effect.provide(engine), Effect.scoped)
    })
  )

  it.effect("waits with `whenAdmitted`, and stores the result of the work", () =>
    Effect.gen(function* () {
      const { engine, Order, policy } = yield* order("whenAdmitted")
      yield* Effect.gen(function* () {
        yield* policy.control.isolate()
        const fiber = yield* Effect.forkChild(Effect.exit(Order.execute({ id: "7" })), { startImmediately: true })
        yield* TestClock.adjust("1 minute")
        assert.isUndefined(fiber.pollUnsafe())
        yield* policy.control.close()
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.succeed("charged"))
        assert.strictEqual(yield* Order.execute({ id: "7" }), "charged")
      }).pipe(Effect.provide(engine), Effect.scoped)
    })
  )
})
