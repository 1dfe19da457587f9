import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy, type RetryBudget, TripPolicy } from "effect-resilience"
import { type Down, down, pauses, start } from "./support.ts"

/** How many frames are on the stack of the fiber that runs this. */
const depth: Effect.Effect<number, Down> = Effect.withFiber((fiber) =>
  Effect.succeed((fiber as unknown as { readonly _stack: ReadonlyArray<unknown> })._stack.length)
)

/** Frames that a policy puts between the caller and the work. */
const added = (protect: (self: Effect.Effect<number, Down>) => Effect.Effect<number, unknown>) =>
  Effect.gen(function* () {
    const bare = yield* depth
    return (yield* protect(depth)) - bare
  })

const breaker = { trip: TripPolicy.consecutive(5) }
const bulkhead = { maxConcurrent: 5 }

describe("frames of a call that succeeds", () => {
  it.effect("a single policy adds one", () =>
    Effect.gen(function* () {
      const circuit = yield* CircuitBreaker.make("c", breaker)
      const gate = yield* Bulkhead.make("b", bulkhead)
      assert.strictEqual(yield* added((self) => circuit.protect(self)), 1)
      assert.strictEqual(yield* added((self) => gate.protect(self)), 1)
    })
  )

  it.effect("a composed policy adds one for breaker and bulkhead together", () =>
    Effect.gen(function* () {
      for (const options of [{ breaker }, { bulkhead }, { breaker, bulkhead }]) {
        const policy = yield* Policy.make("p", options as { readonly breaker: typeof breaker })
        assert.strictEqual(yield* added((self) => policy.protect(self)), 1)
      }
    })
  )

  it.effect("with retry it still adds one", () =>
    Effect.gen(function* () {
      const budget: Omit<RetryBudget.Options, "keys"> = { ratio: 0.2 }
      const policy = yield* Policy.make("p", { retry: pauses(2), budget, breaker, bulkhead })
      assert.strictEqual(yield* added((self) => policy.protect(self)), 1)
    })
  )

  it.effect("the service class adds no frame to those of its policy", () => {
    class Users extends Policy.Service<Users>()("test/FramesUsers", { breaker, bulkhead }) {}
    return Effect.gen(function* () {
      const policy = yield* Users
      const ofPolicy = yield* added((self) => policy.protect(self))
      const bare = yield* depth
      assert.strictEqual((yield* Users.protect(depth)) - bare, ofPolicy)
    }).pipe(Effect.provide(Users.layer))
  })

  it.effect("retries add no frames", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(50), breaker: { trip: TripPolicy.consecutive(1000) } })
      const depths: Array<number> = []
      const failing = Effect.flatMap(depth, (now) => {
        depths.push(now)
        return down
      })
      const call = yield* start(Effect.exit(policy.protect(failing)))
      yield* TestClock.adjust("1 hour")
      yield* Fiber.join(call)
      assert.strictEqual(depths.length, 51)
      assert.strictEqual(depths[50], depths[2])
    })
  )
})
