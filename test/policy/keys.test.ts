import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, type Stats, TripPolicy } from "effect-resilience"
import { Down, down, hang, ok, pauses, Refused, script, start, touchy, Wrong, wrong } from "./support.ts"

describe("Policy: keys", () => {
  it.effect("one circuit per key", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* Effect.flip(down.pipe(policy.protect({ key: "a" })))
      const error = yield* Effect.flip(ok.pipe(policy.protect({ key: "a" })))
      assert.instanceOf(error, Rejection.CircuitOpen)
      assert.strictEqual(error.key, "a")
      assert.strictEqual(yield* ok.pipe(policy.protect({ key: "b" })), "ok")
      assert.strictEqual(yield* policy.protect(ok), "ok")
    })
  )

  it.effect("permits per key", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1 } })
      yield* start(hang.pipe(policy.protect({ key: "a" })))
      const error = yield* Effect.flip(ok.pipe(policy.protect({ key: "a" })))
      assert.instanceOf(error, Rejection.BulkheadFull)
      assert.deepStrictEqual([error.key, error.running, error.waiting, error.reason], ["a", 1, 0, "full"])
      assert.strictEqual(yield* ok.pipe(policy.protect({ key: "b" })), "ok")
    })
  )

  it.effect("idle keys are removed, keys with an open circuit or a held permit never", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", {
        breaker: touchy,
        bulkhead: { maxConcurrent: 1 },
        keys: { maxKeys: 2, idleTimeToLive: "1 minute" }
      })
      yield* start(hang.pipe(policy.protect({ key: "held" })))
      yield* TestClock.adjust("1 hour")
      yield* Effect.flip(down.pipe(policy.protect({ key: "open" })))
      for (let i = 0; i < 20; i++) yield* ok.pipe(policy.protect({ key: `k${i}` }))
      assert.strictEqual((yield* policy.stats("open")).totals.failures, 1)
      assert.strictEqual((yield* policy.stats("held")).running, 1)
      assert.isAtMost((yield* policy.allStats).length, 3)
    })
  )

  it.effect("a key with a running call is never removed, whichever parts the policy has", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { timeout: "1 hour", keys: { maxKeys: 1 } })
      yield* start(hang.pipe(policy.protect({ key: "busy" })))
      yield* ok.pipe(policy.protect({ key: "other" }))
      assert.strictEqual((yield* policy.stats("busy")).running, 1)
    })
  )

  it.effect("closed and idle keys are removed when there is no room", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, keys: { maxKeys: 3 } })
      for (let i = 0; i < 100; i++) {
        yield* ok.pipe(policy.protect({ key: `k${i}` }))
        // Keys used at the same instant have no order.
        yield* TestClock.adjust(1)
      }
      const keys = (yield* policy.allStats).map((stats) => stats.key)
      assert.deepStrictEqual(keys, ["k97", "k98", "k99", "(evicted)"])
    })
  )
})

describe("Policy: judgements", () => {
  const trips = { breaker: { trip: TripPolicy.consecutive(1), failures: ["Wrong"] } } as const
  const state = (policy: { readonly stats: () => Effect.Effect<Stats.Stats> }) =>
    Effect.map(policy.stats(), (stats) => stats.circuit?._tag)

  it.effect("of the policy: only the named tags count", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", trips)
      yield* Effect.flip(policy.protect(wrong))
      assert.strictEqual(yield* state(policy), "open")
      yield* policy.control.reset()
      yield* Effect.flip(policy.protect(Effect.fail(new Down()) as typeof wrong))
      assert.strictEqual(yield* state(policy), "closed")
    })
  )

  it.effect("of one call: replaces that of the policy", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", trips)
      yield* Effect.flip(wrong.pipe(policy.protect({ failures: ["Down"] })))
      assert.strictEqual(yield* state(policy), "closed")
      yield* Effect.flip(wrong.pipe(policy.protect({ classify: () => "failure" })))
      assert.strictEqual(yield* state(policy), "open")
    })
  )

  it.effect("ignore: neutral, neither success nor failure", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: { ...touchy, ignore: ["Refused"] } })
      const refused: Effect.Effect<string, Down | Refused> = Effect.fail(new Refused({ unprocessed: true }))
      yield* Effect.flip(policy.protect(refused))
      const { circuit, totals } = yield* policy.stats()
      assert.deepStrictEqual([circuit?._tag, totals.successes, totals.failures, totals.ignored], ["closed", 0, 0, 1])
    })
  )

  it.effect("failWhen: a value may be a failure, and the caller still gets it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      const answer = Effect.succeed(503).pipe(policy.protect({ failWhen: (status: number) => status >= 500 }))
      assert.strictEqual(yield* answer, 503)
      assert.strictEqual(yield* state(policy), "open")
    })
  )

  it.effect("a classification that throws becomes a defect, and every permit is released", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      const bug = new Error("bug")
      const exit = yield* Effect.exit(
        ok.pipe(
          policy.protect({
            classify: () => {
              throw bug
            }
          })
        )
      )
      assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons.some((r) => r._tag === "Die" && r.defect === bug))
      const { running, totals } = yield* policy.stats()
      assert.deepStrictEqual([running, totals.ignored], [0, 1])
      assert.strictEqual(yield* policy.protect(ok), "ok")
    })
  )

  it.effect("nested policies: a rejection by the inner policy is ignored by the outer circuit", () =>
    Effect.gen(function* () {
      const inner = yield* Policy.make("inner", { breaker: touchy })
      const outer = yield* Policy.make("outer", { breaker: touchy })
      yield* inner.control.isolate()
      yield* Effect.flip(outer.protect(inner.protect(ok)))
      const { circuit, totals } = yield* outer.stats()
      assert.deepStrictEqual([circuit?._tag, totals.ignored, totals.rejections.CircuitOpen], ["closed", 1, 0])
    })
  )
})

describe("Policy: fn and effects as values", () => {
  it.effect("fn protects every call, with a key from its arguments", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      const fetch = policy.fn((host: string, fail: boolean) => (fail ? down : Effect.as(ok, host)), {
        key: (host) => host
      })
      yield* Effect.flip(fetch("a", true))
      assert.instanceOf(yield* Effect.flip(fetch("a", false)), Rejection.CircuitOpen)
      assert.strictEqual(yield* fetch("b", false), "b")
      const plain = policy.fn((n: number) => Effect.as(ok, n))
      assert.strictEqual(yield* plain(7), 7)
      assert.deepStrictEqual((yield* policy.allStats).map((stats) => stats.key).sort(), ["a", "b", "default"])
    })
  )

  it.effect("the same protected value may run again and again", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(1), breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      const dependency = script(ok, ok, wrong)
      const call = policy.protect(dependency.call)
      assert.deepStrictEqual([yield* call, yield* call], ["ok", "ok"])
      assert.instanceOf(yield* Effect.flip(call), Wrong)
      assert.strictEqual((yield* policy.stats()).totals.calls, 3)
    })
  )

  it.effect("the same protected value may run concurrently: each run has its own attempts and permit", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(1), bulkhead: { maxConcurrent: 3 }, timeout: "1 second" })
      const dependency = script(down, down, down, ok)
      const call = policy.protect(Effect.delay(dependency.call, "50 millis"))
      const fibers = yield* Effect.forEach([1, 2, 3], () => start(call))
      assert.strictEqual((yield* policy.stats()).running, 3)
      yield* TestClock.adjust("200 millis")
      assert.deepStrictEqual(yield* Effect.forEach(fibers, Fiber.join), ["ok", "ok", "ok"])
      const { running, totals } = yield* policy.stats()
      assert.deepStrictEqual([running, totals.calls, totals.retries, totals.successes], [0, 3, 3, 3])
    })
  )
})
