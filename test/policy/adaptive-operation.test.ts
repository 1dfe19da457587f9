/** Adaptive policies under the commands of operators, over restarts, and under interruptions. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection } from "effect-resilience"
import type { PolicyEngine } from "../../packages/resilience/src/engine/policy.ts"
import { EngineKey } from "../../packages/resilience/src/runtime/frame.ts"
import { down, hang, ok, settle, start, takes } from "./support.ts"

const still = Effect.provideService(Random.Random, { nextDoubleUnsafe: () => 0.5, nextIntUnsafe: () => 0 })

const make = Policy.make("p", { timeout: "1 second", deadline: "1 minute", adaptive: {} })
type Made = Effect.Success<typeof make>

/** A key that calls were paced for, whose next probe is due. */
const paced = Effect.tap(make, (policy) =>
  Effect.gen(function* () {
    for (let i = 0; i < 100; i++) {
      yield* start(policy.protect(takes("10 millis")))
      yield* TestClock.adjust("20 millis")
    }
    for (let i = 0; i < 10; i++) {
      yield* Effect.exit(policy.protect(down))
      yield* TestClock.adjust("60 millis")
    }
    yield* TestClock.adjust("5 seconds")
  })
)

/** What the machine knows of the only key. */
const stateOf = (policy: Made) => {
  // Only this library puts something under this name.
  const { entries } = (policy as unknown as { readonly [EngineKey]: PolicyEngine })[EngineKey]
  const [entry] = entries.all()
  return entry?.adaptive ?? assert.fail()
}

describe("Policy: adaptive, in operation", () => {
  it.effect("an attempt that is interrupted before its work begins ends at that moment", () =>
    Effect.gen(function* () {
      const policy = yield* paced
      yield* start(Effect.exit(policy.protect(Effect.never)))
      const waits = yield* start(policy.protect(ok))
      // Gives it a place; its fiber goes on in a later task.
      yield* policy.control.close()
      waits.interruptUnsafe()
      yield* settle
      assert.strictEqual(stateOf(policy).lastEventAt, 2000 + 600 + 5000)
    }).pipe(still)
  )

  it.effect("disable lets calls that wait go on, and counts none of them", () =>
    Effect.gen(function* () {
      const policy = yield* paced
      const probe = yield* start(Effect.exit(policy.protect(Effect.never)))
      const waits = yield* Effect.forEach(Array.from({ length: 5 }), () => start(policy.protect(takes("10 millis"))))
      const before = yield* policy.stats()
      assert.deepStrictEqual([before.waiting, before.adaptive?.inFlight], [5, 1])
      const { lastEventAt } = stateOf(policy)
      yield* policy.control.disable()
      yield* settle
      assert.strictEqual((yield* policy.stats()).waiting, 0)
      yield* TestClock.adjust("10 millis")
      for (const call of waits) assert.strictEqual(yield* Fiber.join(call), "ok")
      assert.deepInclude((yield* policy.stats()).adaptive, { state: "paced", inFlight: 1 })
      assert.strictEqual(stateOf(policy).lastEventAt, lastEventAt)
      // What was sent before is counted as ever, and so is what comes after.
      yield* policy.control.enable()
      yield* Fiber.interrupt(probe)
      const next = yield* start(policy.protect(takes("10 millis")))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(next), "ok")
      assert.strictEqual((yield* policy.stats()).adaptive?.inFlight, 0)
    }).pipe(still)
  )

  it.effect("a restored key rejects with the evidence that it had before, and its stats have it", () =>
    Effect.gen(function* () {
      const failing = yield* paced
      const hanging = yield* make
      for (let i = 0; i < 100; i++) {
        yield* start(hanging.protect(takes("10 millis")))
        yield* TestClock.adjust("20 millis")
      }
      while ((yield* hanging.stats()).adaptive?.state !== "paced") {
        yield* start(Effect.exit(hanging.protect(hang)))
        yield* TestClock.adjust("100 millis")
      }
      for (const [policy, trip] of [
        [failing, "adaptive.failures"],
        [hanging, "adaptive.late"]
      ] as const) {
        const why = (yield* policy.stats()).adaptive?.why
        assert.strictEqual(why?.trip, trip)
        const next = yield* Policy.make("p", { timeout: "1 second", deadline: "3 seconds", adaptive: { wait: false } })
        yield* next.restore(JSON.parse(JSON.stringify(yield* policy.snapshot)))
        const { adaptive, circuit } = yield* next.stats()
        assert.strictEqual(adaptive?.why?.trip, trip)
        assert.deepStrictEqual(circuit?._tag === "half-open" ? circuit.evidence : undefined, adaptive?.why)
        const probe = yield* start(Effect.exit(next.protect(hang)))
        const error = yield* Effect.flip(next.protect(ok))
        assert.instanceOf(error, Rejection.CircuitOpen)
        assert.deepStrictEqual(error.evidence, adaptive?.why)
        yield* Fiber.interrupt(probe)
        const { failuresInRow, late, noAnswer } = stateOf(policy)
        assert.deepInclude(adaptive?.why?.figures, {
          ...(trip === "adaptive.failures" ? { failures: failuresInRow } : {}),
          late: Math.round(late * 100) / 100,
          noAnswer: Math.round(noAnswer * 100) / 100
        })
      }
    }).pipe(still)
  )
})
