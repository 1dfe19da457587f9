import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { Bulkhead, Deadline, Fallback, Retry, RetryBudget, Timeout } from "effect-resilience"
import type { Busy } from "../support/errors.ts"

/** The frames on the stack of the fiber. */
const frames: Effect.Effect<number, Busy> = Effect.withFiber((fiber) =>
  Effect.succeed((fiber as unknown as { readonly _stack: ReadonlyArray<unknown> })._stack.length)
)

describe("a call that succeeds", () => {
  it.effect("costs one frame on the stack per policy", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1, maxQueued: 1 })
      const budget = yield* RetryBudget.make("b")
      const bare = yield* frames
      const inside = [
        yield* frames.pipe(bulkhead.protect),
        yield* frames.pipe(Retry.transient(Schedule.recurs(2))),
        yield* frames.pipe(Retry.transient(budget.gated(Schedule.recurs(2)))),
        yield* frames.pipe(Retry.transient(Schedule.recurs(2), { while: (n: number) => n < 0 })),
        yield* frames.pipe(Fallback.value(0, { when: "any" }))
      ]
      assert.deepStrictEqual(inside, new Array(5).fill(bare + 1))
    })
  )
})

describe("a rejection", () => {
  it.effect("captures no stack", () =>
    Effect.gen(function* () {
      const full = yield* Bulkhead.make("b", { maxConcurrent: 1 })
      const refused = yield* Effect.flip(full.protect(full.protect(Effect.void)))
      const late = yield* Effect.flip(Deadline.within(Effect.void, 0))
      for (const error of [refused, late]) assert.isFalse(Object.hasOwn(error, "stack"))
    })
  )

  it.live("a timeout captures no stack", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Timeout.after(Effect.never, 1))
      assert.isFalse(Object.hasOwn(error, "stack"))
    })
  )
})
