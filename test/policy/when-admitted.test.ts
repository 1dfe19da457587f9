/** `Policy.whenAdmitted`: a call that waits instead of being rejected. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Policy, Transient, TripPolicy } from "effect-resilience"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

const breaker = { trip: TripPolicy.consecutive(1), openFor: "10 seconds" } as const
const down: Effect.Effect<string, Down> = Effect.fail(new Down())
const well: Effect.Effect<string, Down> = Effect.succeed("well")

describe("Policy.whenAdmitted", () => {
  it.effect("waits for the end of the open time, and then calls once", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("waits", { breaker })
      yield* Effect.exit(policy.protect(down))
      let calls = 0
      const counted = Effect.tap(well, () => Effect.sync(() => calls++))
      const fiber = yield* Effect.forkChild(counted.pipe(Policy.whenAdmitted(policy)), { startImmediately: true })
      yield* TestClock.adjust("5 seconds")
      assert.strictEqual(calls, 0)
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* Fiber.join(fiber), "well")
      assert.strictEqual(calls, 1)
    })
  )

  it.effect("waits for a permit", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("permits", { bulkhead: { maxConcurrent: 1 } })
      const first = yield* Effect.forkChild(Effect.sleep("1 minute").pipe(policy.protect), { startImmediately: true })
      const second = yield* Effect.forkChild(well.pipe(Policy.whenAdmitted(policy)), { startImmediately: true })
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(second.pollUnsafe())
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(first)
      assert.strictEqual(yield* Fiber.join(second), "well")
    })
  )

  it.effect("fails with the errors of the effect, also with a rejection by another policy inside it", () =>
    Effect.gen(function* () {
      const outer = yield* Policy.make("outer", { breaker: { trip: TripPolicy.consecutive(9) } })
      const inner = yield* Policy.make("inner", { breaker })
      assert.instanceOf(yield* Effect.flip(down.pipe(Policy.whenAdmitted(outer))), Down)
      yield* inner.control.isolate()
      const error = yield* Effect.flip(down.pipe(inner.protect, Policy.whenAdmitted(outer)))
      assert.deepStrictEqual([error._tag, error._tag === "CircuitOpen" && error.policy], ["CircuitOpen", "inner"])
    })
  )

  it.effect("waits while an operator isolates the circuit, until a limit around it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("isolated", { breaker })
      yield* policy.control.isolate()
      const call = well.pipe(Policy.whenAdmitted(policy, { key: "eu" }), Effect.timeoutOption("1 hour"))
      const fiber = yield* Effect.forkChild(call, { startImmediately: true })
      yield* TestClock.adjust("1 hour")
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "None")
      const again = yield* Effect.forkChild(well.pipe(Policy.whenAdmitted(policy)), { startImmediately: true })
      yield* policy.control.close()
      yield* TestClock.adjust(0)
      assert.strictEqual(yield* Fiber.join(again), "well")
    })
  )

  it.effect("ends at an outer deadline, and never spins", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("deadline", { breaker, bulkhead: { maxConcurrent: 1 }, deadline: "1 minute" })
      yield* Effect.exit(policy.protect(down))
      const call = well.pipe(Policy.whenAdmitted(policy), (self) => Deadline.within(self, "1 second"))
      const fiber = yield* Effect.forkChild(Effect.exit(call), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      const exit = yield* Fiber.join(fiber)
      assert.isTrue(Exit.isFailure(exit))
    })
  )

  it.effect("of a service class requires the service; a bad key is refused at once", () =>
    Effect.gen(function* () {
      class Mail extends Policy.Service<Mail>()("test/Mail", { breaker }) {}
      assert.strictEqual(yield* well.pipe(Policy.whenAdmitted(Mail), Effect.provide(Mail.layer)), "well")
      assert.throws(() => Policy.whenAdmitted(Mail, { key: 5 as never }), RangeError, "key must be a string, got 5")
    })
  )
})
