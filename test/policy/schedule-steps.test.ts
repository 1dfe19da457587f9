/** The steps of a schedule may run effects, and the deadline of a policy bounds them as it bounds attempts and delays. */
import { assert, describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry } from "effect-resilience"
import { Busy } from "../support/errors.ts"
import { ended, start } from "../support/observe.ts"

const busy = Effect.fail(new Busy()) as Effect.Effect<string, Busy>

const hangs = Effect.as(Effect.never, Duration.zero)

const schedules: ReadonlyArray<readonly [string, Schedule.Schedule<unknown>]> = [
  ["Schedule.tap", Schedule.recurs(3).pipe(Schedule.tap(() => Effect.never))],
  ["Schedule.addDelay", Schedule.recurs(3).pipe(Schedule.addDelay(() => hangs))],
  ["Schedule.modifyDelay", Schedule.recurs(3).pipe(Schedule.modifyDelay(() => hangs))],
  ["the start of the schedule", Schedule.fromStep(Effect.never)],
  [
    "the second step",
    Schedule.recurs(3).pipe(Schedule.tap(({ output }) => (output === 0 ? Effect.void : Effect.never)))
  ]
]

describe("the deadline of a policy bounds the steps of its schedule", () => {
  for (const [name, retry] of schedules) {
    it.effect(`${name}: the caller gets the failure, with the reason deadline`, () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { deadline: "1 second", retry })
        const fiber = yield* start(policy.protect(busy))
        yield* TestClock.adjust("999 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const exit = ended(fiber)
        assert.isTrue(Exit.isFailure(exit))
        if (!Exit.isFailure(exit)) return
        assert.instanceOf(Cause.squash(exit.cause), Busy)
        assert.strictEqual(Option.getOrThrow(Retry.gaveUp(exit.cause)).reason, "deadline")
        const { totals } = yield* policy.stats()
        assert.strictEqual(totals.giveUps.deadline, 1)
      })
    )
  }

  it.effect("a step that ends in time is followed by the next attempt", () =>
    Effect.gen(function* () {
      let attempts = 0
      const second = Effect.suspend(() => (++attempts === 1 ? busy : Effect.succeed("ok")))
      const slowly = Schedule.recurs(3).pipe(Schedule.tap(() => Effect.sleep("900 millis")))
      const patient = yield* Policy.make("p", { deadline: "1 second", retry: slowly })
      const fiber = yield* start(patient.protect(second))
      yield* TestClock.adjust("900 millis")
      assert.deepStrictEqual(ended(fiber), Exit.succeed("ok"))
    })
  )

  it.effect("the caller's interruption ends a step at once", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { deadline: "1 second", retry: schedules[0]![1] })
      const fiber = yield* start(policy.protect(busy))
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Exit.hasInterrupts(ended(fiber)))
    })
  )
})

describe("an infinite delay without a deadline", () => {
  it.effect("is the end of the schedule, and not a deadline", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: Schedule.spaced(Duration.infinity) })
      for (const call of [policy.protect(busy), busy.pipe(Retry.transient(Schedule.spaced(Duration.infinity)))]) {
        const exit = yield* Effect.exit(call)
        const gaveUp = Exit.isFailure(exit) ? Retry.gaveUp(exit.cause) : Option.none()
        assert.strictEqual(Option.getOrThrow(gaveUp).reason, "attempts")
      }
      const { totals } = yield* policy.stats()
      assert.deepInclude(totals.giveUps, { attempts: 1, deadline: 0 })
    })
  )
})
