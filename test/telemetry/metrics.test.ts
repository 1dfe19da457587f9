import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import * as Clock from "effect/Clock"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, CircuitBreaker, Policy, Retry, RetryBudget, StaleFallback, TripPolicy } from "effect-resilience"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import type { Summable } from "../../packages/resilience/src/engine/sums.ts"
import { liveClock } from "../../packages/resilience/src/runtime/clock.ts"
import { EngineKey } from "../../packages/resilience/src/runtime/frame.ts"
import { down, isolated, ok, read, readOne } from "./support.ts"

class Payments extends Policy.Service<Payments>()("app/Payments", {
  deadline: "3 seconds",
  retry: Retry.backoff({ base: "100 millis", cap: "2 seconds", times: 2, jitter: "none" }),
  budget: { ratio: 0.1, initial: 1, minPerSecond: 0 },
  breaker: { trip: TripPolicy.consecutive(3), openFor: "30 seconds" },
  bulkhead: { maxConcurrent: 20, maxQueued: 40 },
  timeout: "1 second"
}) {}
class Users extends CircuitBreaker.Service<Users>()("app/Users", { trip: TripPolicy.consecutive(1) }) {}
class Database extends Bulkhead.Service<Database>()("app/Database", { maxConcurrent: 5, maxQueued: 9 }) {}
class Budget extends RetryBudget.Service<Budget>()("app/Budget", { ratio: 0.5 }) {}
class Rates extends StaleFallback.Service<Rates, string>()("app/Rates", { maxAge: "1 hour", when: "any" }) {}

const every = Layer.mergeAll(Payments.layer, Users.layer, Database.layer, Budget.layer, Rates.layer)
const seriesOf = (name: string, all: Record<string, number>) =>
  Object.keys(all)
    .filter((series) => series.includes(`policy=${name}`))
    .map((series) => series.replace(new RegExp(`,?policy=${name},?`), "").replace("resilience.", ""))
    .sort()

describe("Metrics.layer", () => {
  it.effect("exports what a policy has done", () =>
    Effect.gen(function* () {
      yield* ok.pipe(Payments.protect)
      const failing = yield* Effect.forkChild(Effect.exit(down.pipe(Payments.protect)))
      yield* TestClock.adjust("3 seconds")
      failing.pollUnsafe()
      yield* Effect.exit(down.pipe(Payments.protect))
      yield* Effect.exit(ok.pipe(Payments.protect))
      yield* TestClock.adjust("10 seconds")
      const all = yield* read
      const expected: Record<string, number> = {
        "resilience.calls{policy=app/Payments}": 4,
        "resilience.attempts{outcome=success,policy=app/Payments}": 1,
        "resilience.attempts{outcome=failure,policy=app/Payments}": 3,
        "resilience.rejections{policy=app/Payments,reason=CircuitOpen}": 1,
        "resilience.retries{policy=app/Payments}": 1,
        "resilience.retry.giveups{policy=app/Payments,reason=budget}": 1,
        "resilience.circuits{policy=app/Payments,state=open}": 1,
        "resilience.circuits{policy=app/Payments,state=closed}": 0,
        "resilience.circuit.openings{policy=app/Payments}": 1,
        "resilience.circuit.unhealthy{policy=app/Payments}": 10,
        "resilience.circuit.due{policy=app/Payments}": 0,
        "resilience.bulkhead.max_concurrent{policy=app/Payments}": 20,
        "resilience.bulkhead.max_queued{policy=app/Payments}": 40,
        "resilience.limit{limit=timeout,policy=app/Payments}": 1,
        "resilience.limit{limit=deadline,policy=app/Payments}": 3,
        "resilience.attempt.duration{policy=app/Payments}": 4,
        "resilience.instances{policy=app/Payments}": 1
      }
      assert.deepInclude(all, expected)
      assert.approximately(all["resilience.circuit.time{policy=app/Payments,state=open}"]!, 10, 0.001)
      assert.approximately(all["resilience.budget.balance{policy=app/Payments}"]!, 0.3, 0.001)
      yield* TestClock.adjust("30 seconds")
      assert.deepInclude(yield* read, {
        "resilience.circuits{policy=app/Payments,state=open}": 0,
        "resilience.circuits{policy=app/Payments,state=half-open}": 1,
        "resilience.circuit.due{policy=app/Payments}": 1,
        "resilience.circuit.unhealthy{policy=app/Payments}": 40
      })
    }).pipe(Effect.provide(Layer.mergeAll(every, Metrics.layer())), isolated)
  )

  it.effect("has the series of the parts that a policy has", () =>
    Effect.gen(function* () {
      const all = yield* read
      assert.deepStrictEqual(seriesOf("app/Users", all), [
        "attempts{outcome=failure}",
        "attempts{outcome=ignored}",
        "attempts{outcome=success}",
        "calls{}",
        "changes{action=close}",
        "changes{action=disable}",
        "changes{action=enable}",
        "changes{action=expire}",
        "changes{action=isolate}",
        "changes{action=open}",
        "changes{action=reset}",
        "changes{action=set}",
        "changes{action=undo}",
        "circuit.due{}",
        "circuit.openings{}",
        "circuit.time{state=closed}",
        "circuit.time{state=disabled}",
        "circuit.time{state=half-open}",
        "circuit.time{state=isolated}",
        "circuit.time{state=open}",
        "circuit.unhealthy{}",
        "circuits{state=closed}",
        "circuits{state=disabled}",
        "circuits{state=half-open}",
        "circuits{state=isolated}",
        "circuits{state=open}",
        "events.lost{}",
        "instances{}",
        "overrides{action=disable,open_ended=false}",
        "overrides{action=disable,open_ended=true}",
        "overrides{action=isolate,open_ended=false}",
        "overrides{action=isolate,open_ended=true}",
        "overrides{action=open,open_ended=false}",
        "overrides{action=open,open_ended=true}",
        "overrides{action=set,open_ended=false}",
        "overrides{action=set,open_ended=true}",
        "rejections{reason=CircuitOpen}"
      ])
      assert.deepStrictEqual(seriesOf("app/Database", all), [
        "bulkhead.max_concurrent{}",
        "bulkhead.max_queued{}",
        "bulkhead.running{}",
        "bulkhead.waiting{}",
        "calls{}",
        "changes{action=expire}",
        "changes{action=resize}",
        "changes{action=set}",
        "changes{action=undo}",
        "events.lost{}",
        "instances{}",
        "overrides{action=resize,open_ended=false}",
        "overrides{action=resize,open_ended=true}",
        "overrides{action=set,open_ended=false}",
        "overrides{action=set,open_ended=true}",
        "rejections{reason=BulkheadFull}"
      ])
      assert.deepStrictEqual(seriesOf("app/Budget", all), [
        "budget.balance{}",
        "budget.capacity{}",
        "calls{}",
        "changes{action=expire}",
        "changes{action=set}",
        "changes{action=undo}",
        "events.lost{}",
        "instances{}",
        "overrides{action=set,open_ended=false}",
        "overrides{action=set,open_ended=true}",
        "retries{}",
        "retry.giveups{reason=budget}"
      ])
      assert.deepStrictEqual(seriesOf("app/Rates", all), [
        "calls{}",
        "changes{action=expire}",
        "changes{action=set}",
        "changes{action=undo}",
        "events.lost{}",
        "fallbacks{}",
        "instances{}",
        "overrides{action=set,open_ended=false}",
        "overrides{action=set,open_ended=true}"
      ])
    }).pipe(Effect.provide(Layer.mergeAll(every, Metrics.layer())), isolated)
  )
})

describe("Metrics.layer: single policies", () => {
  it.effect("a bulkhead, a budget and a stale fallback count what they do", () =>
    Effect.gen(function* () {
      const held = yield* Effect.forkChild(Effect.never.pipe(Database.protect), { startImmediately: true })
      yield* Budget.deposit
      yield* Budget.tryWithdraw
      yield* ok.pipe(Rates.protect)
      yield* down.pipe(Rates.protect)
      assert.deepInclude(yield* read, {
        "resilience.calls{policy=app/Database}": 1,
        "resilience.bulkhead.running{policy=app/Database}": 1,
        "resilience.bulkhead.max_concurrent{policy=app/Database}": 5,
        "resilience.bulkhead.max_queued{policy=app/Database}": 9,
        "resilience.calls{policy=app/Budget}": 1,
        "resilience.retries{policy=app/Budget}": 1,
        "resilience.fallbacks{policy=app/Rates}": 1
      })
      yield* Fiber.interrupt(held)
    }).pipe(Effect.provide(Layer.mergeAll(every, Metrics.layer())), isolated)
  )

  it.effect("shows limits and the balance of a policy without a call", () =>
    Effect.gen(function* () {
      assert.deepInclude(yield* read, {
        "resilience.bulkhead.max_concurrent{policy=app/Payments}": 20,
        "resilience.budget.balance{policy=app/Payments}": 1,
        "resilience.bulkhead.max_concurrent{policy=app/Database}": 5
      })
    }).pipe(Effect.provide(Layer.mergeAll(every, Metrics.layer())), isolated)
  )

  it.effect("counts events that streams have lost", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("flood", { breaker: {} })
      const slow = yield* Effect.forkChild(
        Stream.runForEach(policy.events, () => Effect.never),
        {
          startImmediately: true
        }
      )
      yield* Effect.yieldNow
      // The first event is taken, and handled for ever.
      yield* policy.control.isolate()
      yield* Effect.yieldNow
      yield* Effect.yieldNow
      for (let call = 0; call < 1100; call++) yield* Effect.exit(policy.protect(ok))
      assert.deepStrictEqual(yield* readOne("resilience.events.lost"), {
        "resilience.events.lost{policy=flood}": 1100 - 1024
      })
      yield* Fiber.interrupt(slow)
    }).pipe(Effect.provide(Metrics.layer()), isolated)
  )
})

describe("Metrics.layer: reading", () => {
  it.effect("reads each policy once for each export, and not in between", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("counted", { breaker: {}, bulkhead: { maxConcurrent: 1 } })
      const engine = (policy as unknown as { readonly [EngineKey]: Summable })[EngineKey]
      const { sum } = engine
      let readings = 0
      Object.assign(engine, {
        sum: (...args: Parameters<typeof sum>) => {
          readings += 1
          sum.apply(engine, args)
        }
      })
      yield* policy.protect(ok)
      assert.strictEqual(readings, 0)
      yield* read
      assert.strictEqual(readings, 1)
      yield* policy.protect(ok)
      assert.strictEqual((yield* read)["resilience.calls{policy=counted}"], 2)
      assert.strictEqual(readings, 2)
    }).pipe(Effect.provide(Metrics.layer()), isolated)
  )

  it.effect(
    "reads a policy once for an export also when that takes longer than a reading is fresh, as of a million keys",
    () => {
      let now = 1000
      const clock: Clock.Clock = Object.assign(Object.create(liveClock), {
        monotonicTimeNanosUnsafe: () => BigInt(now * 1_000_000)
      })
      return Effect.gen(function* () {
        const policy = yield* Policy.make("slow", { breaker: {}, bulkhead: { maxConcurrent: 1 } })
        const engine = (policy as unknown as { readonly [EngineKey]: Summable })[EngineKey]
        const { sum } = engine
        let readings = 0
        Object.assign(engine, {
          sum: (...args: Parameters<typeof sum>) => {
            readings += 1
            now += 200
            sum.apply(engine, args)
          }
        })
        yield* read
        assert.strictEqual(readings, 1)
        yield* read
        assert.strictEqual(readings, 2)
      }).pipe(Effect.provide(Metrics.layer()), isolated, Effect.provideService(Clock.Clock, clock))
    }
  )
})

describe("Metrics.layer: options", () => {
  it("refuses keys out of range", () => {
    const tooMany = Array.from({ length: 21 }, (_, i) => `k${i}`)
    for (const keys of [[], tooMany, ["other"], [""], "closed" as "not-closed"]) {
      assert.throws(
        () => Metrics.layer({ keys }),
        /^Metrics\.layer: keys must be "not-closed" or a list of 1 to 20 keys without "other", got /
      )
    }
    assert.throws(() => Metrics.layer({ key: ["eu"] } as object), /^Metrics\.layer: /)
  })
})
