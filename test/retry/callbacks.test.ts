/** Functions of the user's that return no effect, in plain JavaScript: a defect that names them, and no permit is lost. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Deadline, Fallback, Policy, Retry, TripPolicy } from "effect-resilience"
import { Busy } from "../support/errors.ts"
import { ended, start } from "../support/observe.ts"

const not = (value: unknown): any => value

const down: Effect.Effect<string, Busy> = Effect.fail(new Busy())

/** What is returned in place of an effect. */
const values: ReadonlyArray<unknown> = [undefined, null, 5, "done", Promise.resolve("done"), {}, () => Effect.void]

const policy = (retry: unknown) => (self: typeof down) =>
  Effect.flatMap(Policy.make("p", { retry: not(retry) as Schedule.Schedule<number> }), ({ protect }) => protect(self))

const functions: Record<string, readonly [where: string, call: (value: unknown) => any]> = {
  onRetry: [
    "Retry.transient: onRetry",
    (value) => down.pipe(Retry.transient(Schedule.recurs(1), { onRetry: () => not(value) }))
  ],
  "onRetry under a deadline": [
    "Retry.transient: onRetry",
    (value) => down.pipe(Retry.transient(Retry.backoff(), { onRetry: () => not(value) }), Deadline.within("1 minute"))
  ],
  "onRetry of a policy": [
    "Policy.retry p: onRetry",
    (value) => down.pipe(policy({ schedule: Retry.backoff(), onRetry: () => not(value) }))
  ],
  "the effect that onRetry returns": [
    "Retry.transient: onRetry",
    (value) =>
      down.pipe(Retry.transient(Schedule.recurs(1), { onRetry: () => Effect.andThen(Effect.void, () => not(value)) }))
  ],
  "the step of a schedule": [
    "Retry.transient: schedule",
    (value) => down.pipe(Retry.transient(Schedule.fromStep(Effect.succeed(() => not(value)))))
  ],
  "the tap of a schedule": [
    "Policy.retry p: schedule",
    (value) => down.pipe(policy(Schedule.recurs(1).pipe(Schedule.tap(() => not(value)))))
  ],
  "a schedule": [
    "Retry.transient: schedule",
    (value) => down.pipe(Retry.transient(Schedule.fromStep(not(Effect.flatMap(Effect.void, () => not(value))))))
  ],
  "the function of a fallback": [
    "Fallback.orElse: the argument",
    (value) => down.pipe(Fallback.orElse(() => not(value), { when: "any" }))
  ]
}

/** The last defect: frames of Effect's public API keep the failure that came before it beside it. */
const defectOf = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? exit.cause.reasons.filter(Cause.isDieReason).at(-1)?.defect : undefined

it.effect("a step of a schedule that decides no delay: a defect that names the schedule", () =>
  Effect.gen(function* () {
    for (const decided of [undefined, "again", [], [0], [0, "soon"], [0, Number.NaN]]) {
      const schedule: Schedule.Schedule<number> = Schedule.fromStep(not(Effect.succeed(() => Effect.succeed(decided))))
      const defect = defectOf(yield* Effect.exit(down.pipe(Retry.transient(schedule))))
      assert.instanceOf(defect, RangeError, String(decided))
      assert.include(defect.message, "Retry.transient: schedule must be steps of an output and a Duration, got")
    }
  })
)

describe("a function that returns no effect", () => {
  for (const [name, [where, call]] of Object.entries(functions)) {
    it.effect(`${name}: the call fails with a defect that names it, and the permits around it are released`, () =>
      Effect.gen(function* () {
        const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1 })
        for (const value of values) {
          // `Effect.andThen` also takes values that are no effects.
          if (name.startsWith("the effect that") && typeof value !== "object" && typeof value !== "undefined") continue
          const fiber = yield* start(Effect.exit(bulkhead.protect(call(value) as typeof down)))
          yield* TestClock.adjust("1 second")
          const exit = yield* ended(fiber)
          const defect = defectOf(exit)
          assert.instanceOf(defect, RangeError, `${typeof value}`)
          assert.include(defect.message, where)
          assert.include(defect.message, "that return")
          assert.strictEqual((yield* bulkhead.state()).running, 0)
        }
      })
    )
  }

  it.effect("inside the effect that a fallback returns: the fiber ends, and the permits around it are released", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 2 })
      const breaker = yield* CircuitBreaker.make("c", { trip: TripPolicy.consecutive(1), openFor: "1 minute" })
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1 }, retry: Schedule.recurs(1) })
      const late = (self: Effect.Effect<void>): typeof down =>
        down.pipe(
          policy.protect,
          Fallback.orElse(() => Effect.flatMap(self, (): Effect.Effect<string> => not(Promise.resolve("done"))), {
            when: "any"
          })
        )
      for (const self of [Effect.void, Effect.yieldNow, Effect.sleep("1 second")]) {
        yield* breaker.control.reset()
        const call = policy.protect(bulkhead.protect(bulkhead.protect(breaker.protect(late(self)))), { key: "b" })
        const fiber = yield* start(Effect.exit(call))
        yield* TestClock.adjust("1 second")
        // Effect's loop has ended the fiber: it does not even reach `Effect.exit`.
        assert.include(String(defectOf(ended(fiber))), "Not a valid effect")
        assert.strictEqual((yield* bulkhead.state()).running, 0)
        assert.deepStrictEqual([(yield* policy.stats()).running, (yield* policy.stats("b")).running], [0, 0])
        assert.strictEqual((yield* breaker.state())._tag, "open")
      }
    })
  )

  it.effect("a fallback that ends leaves nothing on the fiber, whichever way it ends", () =>
    Effect.gen(function* () {
      // Who started the fiber observes it from its first pause on.
      yield* Effect.yieldNow
      const fiber = yield* Effect.withFiber((fiber) => Effect.succeed(fiber as unknown as { readonly _observers: [] }))
      const before = fiber._observers?.length ?? 0
      for (const end of [Effect.yieldNow, Effect.fail("no"), Effect.die("no")]) {
        yield* Effect.exit(down.pipe(Fallback.orElse(() => Effect.andThen(Effect.void, end), { when: "any" })))
        assert.strictEqual(fiber._observers?.length ?? 0, before)
      }
    })
  )

  it.effect("a hook and a step that do return effects run as before, failures and interruption included", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1 })
      const hang = down.pipe(Retry.transient(Schedule.recurs(1), { onRetry: () => Effect.never }))
      const cut = yield* start(Effect.flip(bulkhead.protect(hang).pipe(Deadline.within("1 second"))))
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* ended(cut))._tag, "Busy")
      const stuck = down.pipe(Retry.transient(Schedule.recurs(1).pipe(Schedule.tap(() => Effect.never))))
      const fiber = yield* start(bulkhead.protect(stuck))
      yield* TestClock.adjust("1 second")
      fiber.interruptUnsafe()
      yield* TestClock.adjust("1 second")
      assert.isTrue(Exit.hasInterrupts(ended(fiber)))
      assert.strictEqual((yield* bulkhead.state()).running, 0)
    })
  )

  it.effect("a classification that returns no outcome is a defect: also an array of one", () =>
    Effect.gen(function* () {
      for (const outcome of [["success"], undefined, "ok", {}]) {
        const breaker = yield* CircuitBreaker.make("b", { classify: () => not(outcome) })
        const exit = yield* Effect.exit(breaker.protect(down))
        const defect = defectOf(exit)
        assert.instanceOf(defect, TypeError)
        assert.include(defect.message, 'classify must return "success", "failure" or "ignored", got')
      }
    })
  )
})
