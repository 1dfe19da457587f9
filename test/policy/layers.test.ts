import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Fallback, Policy, Rejection, Retry, TripPolicy } from "effect-resilience"
import { Down, down, hang, ok, script, start, touchy } from "./support.ts"

class Users extends Policy.Service<Users>()("test/LayerUsers", {
  breaker: touchy,
  bulkhead: { maxConcurrent: 1 }
}) {}

describe("Policy: layers", () => {
  it.effect("one layer makes one policy for all its consumers", () => {
    class A extends Context.Service<A, { readonly fail: Effect.Effect<unknown, unknown> }>()("test/LayerA") {}
    class B extends Context.Service<B, { readonly call: Effect.Effect<string, unknown> }>()("test/LayerB") {}
    const a = Layer.effect(
      A,
      Effect.map(Effect.context<Users>(), (context) => ({
        fail: Effect.provideContext(Effect.flip(Users.protect(down)), context)
      }))
    ).pipe(Layer.provide(Users.layer))
    const b = Layer.effect(
      B,
      Effect.map(Effect.context<Users>(), (context) => ({ call: Effect.provideContext(Users.protect(ok), context) }))
    ).pipe(Layer.provide(Users.layer))
    return Effect.gen(function* () {
      yield* Effect.flatMap(A, (service) => service.fail)
      const error = yield* Effect.flip(Effect.flatMap(B, (service) => service.call))
      assert.instanceOf(error, Rejection.CircuitOpen)
    }).pipe(Effect.provide(Layer.merge(a, b)))
  })

  it.effect("provided twice, makes two policies", () =>
    Effect.gen(function* () {
      const fails = Effect.flip(Users.protect(down)).pipe(Effect.provide(Users.layer))
      assert.instanceOf(yield* fails, Down)
      assert.instanceOf(yield* fails, Down)
    })
  )

  it.effect("the class is the key of its policy", () =>
    Effect.gen(function* () {
      const policy = yield* Users
      yield* policy.control.isolate({ key: "k" })
      assert.strictEqual((yield* Users.stats("k")).circuit?._tag, "isolated")
      assert.strictEqual((yield* policy.allStats).length, 1)
    }).pipe(Effect.provide(Users.layer))
  )

  it.effect("every static does what the policy's member does", () =>
    Effect.gen(function* () {
      const fetch = Users.fn((key: string) => Effect.as(ok, key), { key: (key) => key })
      assert.strictEqual(yield* fetch("a"), "a")
      assert.strictEqual(yield* ok.pipe(Users.protect({ key: "b" })), "ok")
      assert.strictEqual(yield* ok.pipe(Users.protect({ key: "c" })), "ok")
      for (const [command, state] of [
        ["isolate", "isolated"],
        ["close", "closed"],
        ["disable", "disabled"],
        ["enable", "closed"],
        ["isolate", "isolated"],
        ["reset", "closed"]
      ] as const) {
        yield* Users.control[command]({ key: "a" })
        assert.strictEqual((yield* Users.stats("a")).circuit?._tag, state)
      }
      yield* Users.control.resize(3)
      assert.deepStrictEqual(
        (yield* Users.allStats).map(({ key, maxConcurrent }) => [key, maxConcurrent]),
        [
          ["a", 3],
          ["b", 3],
          ["c", 3]
        ]
      )
    }).pipe(Effect.provide(Users.layer))
  )

  it.effect("a protected value uses the policy that is provided when it runs", () =>
    Effect.gen(function* () {
      const call = Users.protect(ok)
      const open = Effect.andThen(Users.control.isolate(), call)
      assert.instanceOf(yield* Effect.flip(Effect.provide(open, Users.layer)), Rejection.CircuitOpen)
      assert.strictEqual(yield* Effect.provide(call, Users.layer), "ok")
    })
  )
})

describe("Policy: the program of the readme", () => {
  class Payments extends Policy.Service<Payments>()("test/Payments", {
    deadline: "3 seconds",
    retry: Retry.backoff({ base: "100 millis", cap: "2 seconds", times: 2 }),
    budget: { ratio: 0.2, capacity: 100, initial: 10 },
    breaker: {
      trip: TripPolicy.failureRate({ threshold: 0.5, window: "10 seconds", minimumCalls: 20 }),
      openFor: "5 seconds",
      probes: { permitted: 3, successes: 2 }
    },
    bulkhead: { maxConcurrent: 20, maxQueued: 40, maxWait: "500 millis" },
    timeout: "1 second"
  }) {}

  it.effect("retries within the budget, times out, opens, falls back, and recovers", () =>
    Effect.gen(function* () {
      const pay = Payments.fn((order: Effect.Effect<string, Down>) => order)
      assert.strictEqual(yield* pay(ok), "ok")
      const retried = yield* start(pay(script(down, ok).call))
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(retried), "ok")
      // An outage: everything hangs.
      const lost = yield* Effect.forEach(Array.from({ length: 20 }), () => start(Effect.exit(pay(hang))))
      yield* TestClock.adjust("3 seconds")
      yield* Effect.forEach(lost, Fiber.join)
      assert.strictEqual((yield* Payments.stats()).circuit?._tag, "open")
      const answer = yield* pay(ok).pipe(Fallback.orElse((error) => Effect.succeed(`later: ${error._tag}`)))
      assert.strictEqual(answer, "later: CircuitOpen")
      // Over: at most 20 % jitter on five seconds.
      yield* TestClock.adjust("6 seconds")
      assert.deepStrictEqual([yield* pay(ok), yield* pay(ok)], ["ok", "ok"])
      const { circuit, running, waiting } = yield* Payments.stats()
      assert.deepStrictEqual([circuit?._tag, running, waiting], ["closed", 0, 0])
    }).pipe(Effect.provide(Payments.layer))
  )

  it.effect("maxWait ends a wait in the queue", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 20; i++) yield* start(Payments.protect(hang))
      const waiter = yield* start(Effect.flip(Payments.protect(ok)))
      yield* TestClock.adjust("500 millis")
      const error = yield* Fiber.join(waiter)
      assert.instanceOf(error, Rejection.BulkheadFull)
      assert.deepStrictEqual([error.reason, error.running, error.waiting], ["wait", 20, 0])
    }).pipe(Effect.provide(Payments.layer))
  )

  it.effect("takes a plain Schedule of Effect", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        retry: Schedule.spaced("1 second").pipe(Schedule.upTo({ times: 2 })),
        deadline: "1 minute"
      })
      const dependency = script(down, down, ok)
      const call = yield* start(policy.protect(dependency.call))
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(yield* Fiber.join(call), "ok")
    })
  )

  it.effect("inside another policy: the deadlines nest", () =>
    Effect.gen(function* () {
      const outer = yield* Policy.make("outer", { deadline: "1 second" })
      const inner = yield* Policy.make("inner", { deadline: "5 seconds" })
      const left = outer.protect(inner.protect(Deadline.remaining))
      assert.strictEqual((yield* left).toString(), (yield* outer.protect(Deadline.remaining)).toString())
    })
  )
})
