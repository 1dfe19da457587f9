import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Scope } from "effect"
import { TestClock } from "effect/testing"
import { Bulkhead, CircuitBreaker, Fallback, Policy, Retry, Shared } from "effect-resilience"
import type { RunningFiber } from "../../packages/bench/src/baselines/internals.ts"
import { frames } from "../../packages/bench/src/limits.ts"
import type { Unavailable } from "../../packages/bench/src/policies/work.ts"

/** Work that answers how many frames wait for it on its fiber, and which fiber that is. */
const place: Effect.Effect<{ readonly depth: number; readonly fiber: number }, Unavailable> = Effect.withFiber(
  (fiber) =>
    // The stack is no part of the public type.
    Effect.succeed({ depth: (fiber as unknown as RunningFiber)._stack.length, fiber: fiber.id })
)

const framesOf = <E>(protectedPlace: Effect.Effect<{ readonly depth: number; readonly fiber: number }, E>) =>
  Effect.gen(function* () {
    const bare = yield* place
    const inside = yield* protectedPlace
    assert.strictEqual(inside.fiber, bare.fiber, "the work runs on the caller's fiber")
    return inside.depth - bare.depth
  })

describe("frames between the caller and the work", () => {
  it.effect("are counted: one for a frame, none for none", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* framesOf(place), 0)
      assert.strictEqual(yield* framesOf(Effect.onExit(place, () => Effect.void)), 1)
    })
  )

  it.effect("breaker", () =>
    Effect.gen(function* () {
      const breaker = yield* CircuitBreaker.make("bench")
      assert.isAtMost(yield* framesOf(breaker.protect(place)), frames.breaker)
    })
  )

  it.effect("bulkhead", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("bench", { maxConcurrent: 1 })
      assert.isAtMost(yield* framesOf(bulkhead.protect(place)), frames.bulkhead)
    })
  )

  it.effect("retry", () =>
    Effect.gen(function* () {
      assert.isAtMost(yield* framesOf(place.pipe(Retry.transient(Retry.backoff()))), frames.retry)
    })
  )

  it.effect("fallback", () =>
    Effect.gen(function* () {
      const answered = place.pipe(Fallback.value({ depth: 0, fiber: 0 }, { when: "any" }))
      assert.isAtMost(yield* framesOf(answered), frames.fallback)
    })
  )

  it.effect("policy of retry, budget, breaker and bulkhead", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("bench", {
        retry: Retry.backoff(),
        budget: {},
        breaker: {},
        bulkhead: { maxConcurrent: 1 }
      })
      assert.isAtMost(yield* framesOf(policy.protect(place)), frames.policy)
    })
  )

  it.effect("the same as a member of a fleet whose board never answers", () =>
    Effect.gen(function* () {
      const board = Shared.Board.of({ name: "none", sync: () => Effect.never, pushes: () => Effect.void })
      const make = Policy.make("bench", {
        retry: Retry.backoff(),
        budget: {},
        breaker: {},
        bulkhead: { maxConcurrent: 1 },
        shared: { breaker: {} }
      })
      // Its scope stays open: closing it would wait for the last report.
      const member = make.pipe(
        Effect.provideService(Shared.Board, board),
        Effect.provideService(Scope.Scope, Scope.makeUnsafe()),
        Effect.forkChild({ startImmediately: true })
      )
      const made = yield* member
      yield* TestClock.adjust("1 second")
      assert.isAtMost(yield* framesOf((yield* Fiber.join(made)).protect(place)), frames.policy)
    })
  )

  it.effect("policy of breaker and bulkhead", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("bench", { breaker: {}, bulkhead: { maxConcurrent: 1 } })
      assert.isAtMost(yield* framesOf(policy.protect(place)), frames.policyWithoutRetry)
    })
  )
})
