import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, type Stats } from "effect-resilience"
import { down, hang, ok, script, settle, start, takes, touchy } from "./support.ts"

const phase = (policy: { readonly stats: (key?: string) => Effect.Effect<Stats.Stats> }, key?: string) =>
  Effect.map(policy.stats(key), (stats) => stats.circuit?._tag)

describe("Policy: control", () => {
  it.effect("isolate rejects every call until close", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* policy.control.isolate()
      const dependency = script(ok)
      yield* TestClock.adjust("1 hour")
      const error = yield* Effect.flip(policy.protect(dependency.call))
      assert.instanceOf(error, Rejection.CircuitOpen)
      assert.strictEqual(error.state, "isolated")
      assert.strictEqual(dependency.calls, 0)
      yield* policy.control.close()
      assert.strictEqual(yield* policy.protect(dependency.call), "ok")
    })
  )

  it.effect("an isolated circuit ignores results of calls admitted before", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      const calls = [
        yield* start(Effect.exit(policy.protect(takes("1 second")))),
        yield* start(Effect.exit(policy.protect(Effect.delay(down, "1 second"))))
      ]
      yield* policy.control.isolate()
      yield* TestClock.adjust("1 second")
      for (const call of calls) yield* Fiber.join(call)
      assert.strictEqual(yield* phase(policy), "isolated")
    })
  )

  it.effect("each command changes one key only", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* policy.control.isolate({ key: "a" })
      assert.deepStrictEqual([yield* phase(policy, "a"), yield* phase(policy, "b")], ["isolated", "closed"])
      assert.strictEqual(yield* policy.protect(ok), "ok")
    })
  )

  it.effect("close clears the evidence and keeps the count of openings in a row, reset clears both", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      for (const [command, openings] of [
        ["close", 1],
        ["reset", 0]
      ] as const) {
        yield* policy.control.reset()
        yield* Effect.flip(policy.protect(down))
        assert.strictEqual(yield* phase(policy), "open")
        yield* policy.control[command]()
        const { circuit } = yield* policy.stats()
        assert.deepStrictEqual([circuit?._tag, circuit?.openings], ["closed", openings])
        assert.strictEqual(yield* policy.protect(ok), "ok")
      }
    })
  )

  it.effect("disable admits every call and records no result, until enable", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1 } })
      yield* policy.control.disable()
      for (let i = 0; i < 10; i++) yield* Effect.flip(policy.protect(down))
      assert.strictEqual(yield* phase(policy), "disabled")
      // The bulkhead is not the circuit's business.
      const holder = yield* start(policy.protect(hang))
      assert.instanceOf(yield* Effect.flip(policy.protect(ok)), Rejection.BulkheadFull)
      yield* Fiber.interrupt(holder)
      yield* policy.control.enable()
      assert.strictEqual(yield* phase(policy), "closed")
      yield* Effect.flip(policy.protect(down))
      assert.strictEqual(yield* phase(policy), "open")
    })
  )

  it.effect("enable does nothing to a circuit that is not disabled", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* Effect.flip(policy.protect(down))
      yield* policy.control.enable()
      assert.strictEqual(yield* phase(policy), "open")
      yield* policy.control.isolate()
      yield* policy.control.enable()
      assert.strictEqual(yield* phase(policy), "isolated")
    })
  )

  it.effect("isolate also rejects the calls that wait in the queue", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, bulkhead: { maxConcurrent: 1, maxQueued: 1 } })
      const holder = yield* start(policy.protect(takes("1 second")))
      const dependency = script(ok)
      const waiter = yield* start(Effect.flip(policy.protect(dependency.call)))
      yield* policy.control.isolate()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* Fiber.join(holder), "ok")
      assert.instanceOf(yield* Fiber.join(waiter), Rejection.CircuitOpen)
      assert.strictEqual(dependency.calls, 0)
    })
  )

  it.effect("resize: more permits admit waiting calls, fewer interrupt no call, for present and new keys", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1, maxQueued: 10 } })
      const calls = yield* Effect.forEach(["a", "b", "a", "b", "a", "b"], (key) =>
        start(takes("1 second").pipe(policy.protect({ key })))
      )
      yield* policy.control.resize(2)
      yield* settle
      for (const key of ["a", "b"]) {
        const { maxConcurrent, running, waiting } = yield* policy.stats(key)
        assert.deepStrictEqual([running, waiting, maxConcurrent], [2, 1, 2])
      }
      yield* policy.control.resize(1)
      assert.strictEqual((yield* policy.stats("a")).running, 2)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* policy.stats("a")).running, 1)
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(yield* Effect.forEach(calls, Fiber.join), Array(6).fill("ok"))
      yield* start(hang.pipe(policy.protect({ key: "new" })))
      yield* start(hang.pipe(policy.protect({ key: "new" })))
      const fresh = yield* policy.stats("new")
      assert.deepStrictEqual([fresh.running, fresh.waiting], [1, 1])
    })
  )

  it.effect("commands for a part that the policy does not have are refused at once, and create no key", () =>
    Effect.gen(function* () {
      const noBreaker = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1 } })
      for (const command of ["isolate", "open", "close", "reset", "disable", "enable"] as const) {
        assert.throws(
          () => noBreaker.control[command]({ key: "a" }),
          RangeError,
          `Policy.control.${command} p: the policy does not have a breaker`
        )
      }
      assert.deepStrictEqual(yield* noBreaker.allStats, [])
      assert.strictEqual(yield* ok.pipe(noBreaker.protect({ key: "a" })), "ok")
      const noBulkhead = yield* Policy.make("p", { breaker: touchy })
      assert.throws(
        () => noBulkhead.control.resize(1),
        RangeError,
        "Policy.control.resize p: the policy does not have a bulkhead"
      )
      yield* start(noBulkhead.protect(hang))
      assert.strictEqual(yield* noBulkhead.protect(ok), "ok")
    })
  )
})
