import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry, RetryBudget } from "effect-resilience"
import { Down, down, hang, ok, pauses, script, start, touchy } from "./support.ts"

const onlyRatio = { ratio: 0.5, capacity: 100, initial: 0 } as const

const many = <A, E, R>(n: number, effect: Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: n }), () => Effect.exit(effect), { discard: true })

describe("Policy: budget", () => {
  it.effect(
    "first attempts earn tokens, decided retries cost tokens, and without tokens the caller gets the original error",
    () =>
      Effect.gen(function* () {
        const policy = yield* Policy.make("p", { retry: pauses(1), budget: onlyRatio })
        yield* many(4, policy.protect(ok))
        assert.strictEqual((yield* policy.stats()).balance, 2)
        const calls = yield* Effect.forEach([1, 2, 3, 4, 5], () => start(Effect.exit(policy.protect(down))))
        // Nine first tries, four retries.
        assert.strictEqual((yield* policy.stats()).balance, 0.5)
        yield* TestClock.adjust("100 millis")
        const reasons = (yield* Effect.forEach(calls, Fiber.join)).map((exit) =>
          Exit.isFailure(exit) ? Option.getOrThrow(Retry.gaveUp(exit.cause)).reason : "none"
        )
        assert.deepStrictEqual(reasons, ["attempts", "attempts", "attempts", "attempts", "budget"])
        const { totals } = yield* policy.stats()
        assert.deepStrictEqual([totals.retries, totals.giveUps.attempts, totals.giveUps.budget], [4, 4, 1])
      })
  )

  it.effect("calls that never reach the dependency earn no token", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(1),
        budget: onlyRatio,
        breaker: touchy,
        bulkhead: { maxConcurrent: 1 }
      })
      const holder = yield* start(policy.protect(hang))
      yield* many(10, policy.protect(ok))
      yield* Fiber.interrupt(holder)
      yield* policy.control.isolate()
      yield* many(10, policy.protect(ok))
      // Only the holder's own first try.
      assert.strictEqual((yield* policy.stats()).balance, 0.5)
    })
  )

  it.effect("retries earn no token", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(2), budget: { ratio: 0.5, capacity: 100, initial: 10 } })
      const call = yield* start(Effect.exit(policy.protect(down)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(call)
      // Ten to begin with, one first try, two retries.
      assert.strictEqual((yield* policy.stats()).balance, 8.5)
    })
  )

  it.effect("is shared by all keys", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(1),
        budget: { ratio: 0, capacity: 1 }
      })
      const a = script(down, ok)
      const b = script(down, ok)
      const first = yield* start(a.call.pipe(policy.protect({ key: "a" })))
      assert.instanceOf(yield* Effect.flip(b.call.pipe(policy.protect({ key: "b" }))), Down)
      yield* TestClock.adjust("100 millis")
      yield* Fiber.join(first)
      assert.deepStrictEqual([a.calls, b.calls], [2, 1])
    })
  )

  it.effect('with `per: "key"` each key has its own: a failing tenant takes no retry from another (linkerd #737)', () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(1),
        budget: { ratio: 0, capacity: 2, per: "key" }
      })
      const key = (name: string) => policy.protect({ key: name })
      for (let i = 0; i < 5; i++) yield* start(Effect.exit(down.pipe(key("failing"))))
      assert.strictEqual((yield* policy.stats("failing")).balance, 0)
      assert.strictEqual((yield* policy.stats("failing")).totals.giveUps.budget, 3)
      assert.strictEqual((yield* policy.stats("healthy")).balance, 2)
      const dependency = script(down, ok)
      const call = yield* start(dependency.call.pipe(key("healthy")))
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* Fiber.join(call), "ok")
      assert.strictEqual((yield* policy.stats("healthy")).balance, 1)
    })
  )

  it.effect("balances per key are bounded by the keys of the policy, and one in use is not dropped", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(1),
        budget: { ratio: 0, capacity: 1, per: "key" },
        keys: { maxKeys: 2 }
      })
      const reasons = yield* Effect.forEach(["a", "b", "a", "c", "d", "b"], (name) =>
        Effect.gen(function* () {
          const call = yield* start(Effect.exit(down.pipe(policy.protect({ key: name }))))
          yield* TestClock.adjust("100 millis")
          const exit = yield* Fiber.join(call)
          return Exit.isFailure(exit) ? Option.getOrThrow(Retry.gaveUp(exit.cause)).reason : "none"
        })
      )
      // "c" and "d" share the balance of all keys beyond the limit.
      assert.deepStrictEqual(reasons, ["attempts", "attempts", "budget", "attempts", "budget", "budget"])
    })
  )

  it.effect("a shared service with per key has one balance for a key of both policies", () => {
    class Shared extends RetryBudget.Service<Shared>()("test/SharedPerKey", {
      ratio: 0,
      capacity: 1,
      per: "key"
    }) {}
    return Effect.gen(function* () {
      const a = yield* Policy.make("a", { retry: pauses(1), budget: Shared })
      const b = yield* Policy.make("b", { retry: pauses(1), budget: Shared })
      yield* start(Effect.exit(down.pipe(a.protect({ key: "eu" }))))
      assert.strictEqual((yield* b.stats("eu")).balance, 0)
      assert.strictEqual((yield* b.stats("us")).balance, 1)
      assert.strictEqual(yield* Shared.forKey("eu").balance, 0)
      assert.isTrue(yield* Shared.forKey("us").tryWithdraw)
      assert.isFalse(yield* Shared.forKey("us").tryWithdraw)
      assert.strictEqual(yield* Shared.balance, 1)
    }).pipe(Effect.provide(Shared.layer))
  })

  it.effect("one service shared by two policies has one set of tokens", () => {
    class Shared extends RetryBudget.Service<Shared>()("test/Shared", onlyRatio) {}
    class A extends Policy.Service<A>()("test/A", { retry: pauses(1), budget: Shared }) {}
    class B extends Policy.Service<B>()("test/B", { retry: pauses(1), budget: Shared }) {}
    const layer = Layer.mergeAll(A.layer, B.layer).pipe(Layer.provideMerge(Shared.layer))
    return Effect.gen(function* () {
      yield* many(1, A.protect(ok))
      assert.strictEqual(yield* Shared.balance, 0.5)
      assert.strictEqual((yield* B.stats()).balance, 0.5)
      const fromB = script(down, ok)
      const paid = yield* start(B.protect(fromB.call))
      const fromA = script(down, ok)
      assert.instanceOf(yield* Effect.flip(A.protect(fromA.call)), Down)
      yield* TestClock.adjust("100 millis")
      assert.strictEqual(yield* Fiber.join(paid), "ok")
      assert.deepStrictEqual([fromB.calls, fromA.calls], [2, 1])
    }).pipe(Effect.provide(layer))
  })

  it.effect("a shared budget also serves policies made with make", () => {
    class Shared extends RetryBudget.Service<Shared>()("test/Shared2", {
      ratio: 0,
      capacity: 1
    }) {}
    return Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(1), budget: Shared })
      assert.isTrue(yield* Shared.tryWithdraw)
      assert.instanceOf(yield* Effect.flip(policy.protect(down)), Down)
      assert.strictEqual((yield* policy.stats()).totals.giveUps.budget, 1)
    }).pipe(Effect.provide(Shared.layer))
  })

  it.effect("a retry after a timeout takes `timeoutCost` tokens, and one token if the attempt was overtaken", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: pauses(1),
        budget: { ratio: 0, capacity: 10, timeoutCost: 5 },
        timeout: "1 second"
      })
      const timedOut = (key: string, meanwhile: Effect.Effect<unknown>) =>
        Effect.gen(function* () {
          const call = yield* start(Effect.exit(script(hang, ok).call.pipe(policy.protect({ key }))))
          yield* meanwhile
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.join(call)
          return (yield* policy.stats(key)).balance
        })
      const success = (key: string) => Effect.orDie(ok.pipe(policy.protect({ key })))
      yield* success("a")
      yield* TestClock.adjust(1)
      assert.strictEqual(yield* timedOut("a", Effect.void), 5, "the last success started before it")
      assert.strictEqual(yield* timedOut("a", Effect.andThen(TestClock.adjust(1), success("a"))), 4)
      assert.strictEqual(yield* timedOut("a", success("a")), 3, "started at the same time")
      assert.strictEqual(yield* timedOut("b", success("a")), 3, "another key proves nothing: no retry")
    })
  )
})
