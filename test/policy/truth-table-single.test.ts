/** The truth table of how a call ends, of the policies that hold no circuit, where a cell has a meaning. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import {
  Bulkhead,
  CircuitBreaker,
  Deadline,
  Fallback,
  type Rejection,
  Retry,
  RetryBudget,
  Timeout
} from "effect-resilience"
import { type Failure, hung, ok } from "../support/dependency.ts"
import { bare, endOf, type How, howItEnds, seconds, toItsEnd, type Work, work } from "./ends.ts"
import { type Down, settle, start, touchy } from "./support.ts"

describe("how a call ends: Bulkhead", () => {
  for (const how of howItEnds) {
    for (const waited of [false, true]) {
      it.effect(`${how} of a call that ${waited ? "had waited" : "came in at once"}: its permit is back`, () =>
        Effect.gen(function* () {
          const gate = yield* Bulkhead.make("gate", { maxConcurrent: 1, maxQueued: 1 })
          const holder = waited ? yield* start(gate.protect(Effect.never)) : undefined
          const fiber = yield* start(gate.protect(work[how]))
          if (holder !== undefined) {
            assert.strictEqual((yield* gate.state()).waiting, 1)
            yield* Fiber.interrupt(holder)
          }
          assert.strictEqual(yield* endOf(fiber, how), bare[how])
          yield* settle
          assert.deepInclude(yield* gate.state(), { running: 0, waiting: 0 })
          assert.strictEqual(yield* gate.protect(ok), "ok")
        })
      )
    }
  }
})

describe("how an attempt ends: Retry", () => {
  const table: Record<How, { readonly tries: number; readonly gaveUp: boolean }> = {
    success: { tries: 1, gaveUp: false },
    "transient failure": { tries: 3, gaveUp: true },
    "permanent failure": { tries: 1, gaveUp: false },
    "ignored failure": { tries: 1, gaveUp: false },
    defect: { tries: 1, gaveUp: false },
    interrupt: { tries: 1, gaveUp: false },
    timeout: { tries: 3, gaveUp: true }
  }
  for (const how of howItEnds) {
    const { gaveUp, tries } = table[how]
    it.effect(`${how}: ${tries === 1 ? "never a second try" : `tried ${tries} times, then given up`}`, () =>
      Effect.gen(function* () {
        let tried = 0
        const counted = Effect.suspend(() => {
          tried += 1
          return work[how]
        })
        const budget = yield* RetryBudget.make("b", { ratio: 1, capacity: 100, initial: 0, timeoutCost: 1 })
        yield* Effect.repeat(budget.deposit, { times: 4 })
        const before = yield* budget.balance
        const schedule = budget.gated(Schedule.recurs(2))
        const call = counted.pipe(Retry.transient(schedule))
        const caught = Effect.tapCause(call, (cause) => Effect.sync(() => reasons.push(Retry.gaveUp(cause)._tag)))
        const reasons: Array<string> = []
        assert.strictEqual(yield* toItsEnd(caught, how), bare[how], "the caller gets the real failure")
        assert.strictEqual(tried, tries)
        if (how !== "success" && how !== "interrupt") assert.deepStrictEqual(reasons, [gaveUp ? "Some" : "None"])
        // One first try earns one, and each retry that was decided has paid.
        assert.strictEqual(Math.round((yield* budget.balance) - before), 1 - (tries - 1))
      })
    )
  }
})

describe("how the work ends: Timeout and Deadline", () => {
  const limits = {
    Timeout: { apply: (self: Work) => Timeout.after(self, seconds), error: "TimedOut" },
    Deadline: { apply: (self: Work) => Deadline.within(self, seconds), error: "DeadlineExceeded" }
  } as const
  for (const [name, { apply, error }] of Object.entries(limits)) {
    for (const how of howItEnds) {
      const comesTo = how === "timeout" ? error : bare[how]
      it.effect(`${name}: ${how} comes to ${comesTo}, and no work is left behind`, () =>
        Effect.gen(function* () {
          let running = 0
          const counted = (self: Work): Work =>
            Effect.acquireUseRelease(
              Effect.sync(() => (running += 1)),
              () => self,
              () => Effect.sync(() => (running -= 1))
            )
          const self = counted(how === "timeout" ? hung : work[how])
          assert.strictEqual(yield* toItsEnd(apply(self), how), comesTo)
          assert.strictEqual(running, 0)
        })
      )
    }
  }
})

describe("how the work ends: Fallback", () => {
  const table: Record<How, { readonly rejected: boolean; readonly any: boolean }> = {
    success: { rejected: false, any: false },
    // Not retried yet: a retry comes first.
    "transient failure": { rejected: false, any: true },
    "permanent failure": { rejected: false, any: true },
    "ignored failure": { rejected: false, any: true },
    defect: { rejected: false, any: false },
    interrupt: { rejected: false, any: false },
    timeout: { rejected: false, any: true }
  }
  for (const how of howItEnds) {
    for (const when of ["rejected", "any"] as const) {
      const answers = table[how][when]
      it.effect(`${how}, when "${when}": ${answers ? "answered" : "left as it is"}`, () =>
        Effect.gen(function* () {
          // To have something to answer by default, the work may be refused too.
          const self: Effect.Effect<string, Failure | Down | Timeout.TimedOut | Rejection.BulkheadFull> = work[how]
          const call = self.pipe(Fallback.value("instead", { when }))
          assert.strictEqual(yield* toItsEnd(call, how), answers ? "instead" : bare[how])
        })
      )
    }
  }

  it.effect("what a retry gave up on, and a rejection: answered by default", () =>
    Effect.gen(function* () {
      const exhausted = work["transient failure"].pipe(Retry.transient(Schedule.recurs(1)), Fallback.value("instead"))
      assert.strictEqual(yield* toItsEnd(exhausted, "success"), "instead")
      const breaker = yield* CircuitBreaker.make("users", touchy)
      yield* breaker.control.isolate()
      const refused = breaker.protect(work.success).pipe(Fallback.value("instead"))
      assert.strictEqual(yield* toItsEnd(refused, "success"), "instead")
    })
  )
})
