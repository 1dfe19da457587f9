/** A server that rejects calls by a policy, with a typed error on the wire. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { Rpc, RpcClient, RpcGroup, RpcSchema, RpcTest } from "effect/rpc"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Policy, Rejection, Transient, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/rpc/RpcClient"
import * as Shedding from "effect-resilience/rpc/RpcServer"
import { Down, overHttp } from "./support.ts"

class Slots extends Bulkhead.Service<Slots>()("test/Slots", { maxConcurrent: 1 }) {}
class Shed extends Shedding.Middleware<Shed>()("test/Shed") {}

const Reports = RpcGroup.make(
  Rpc.make("Render", { error: Schema.Union([Down, Rejection.CircuitOpen]) }),
  Rpc.make("Count", { success: Schema.Number }),
  Rpc.make("Lines", { success: RpcSchema.Stream(Schema.Number, Down) })
).middleware(Shed)

const idle = {
  Render: (): Effect.Effect<void, Down | Rejection.CircuitOpen> => Effect.void,
  Count: () => Effect.succeed(1),
  Lines: (): Stream.Stream<number, Down> => Stream.make(1, 2)
}

const slots = Shedding.layer(Shed, Slots).pipe(Layer.provide(Slots.layer))

const server = <R>(some: Partial<typeof idle>, shed: Layer.Layer<Shed, never, R>) =>
  Reports.toLayer({ ...idle, ...some }).pipe(Layer.provideMerge(shed))

describe("a bulkhead", () => {
  it.live("over HTTP rejects the call above the limit with a typed error, and other procedures have permits", () =>
    Effect.gen(function* () {
      const running = yield* Deferred.make<void>()
      const finish = yield* Deferred.make<void>()
      const Render = () => Effect.andThen(Deferred.succeed(running, undefined), Deferred.await(finish))
      yield* Effect.gen(function* () {
        const client = yield* RpcClient.make(Reports)
        const first = yield* Effect.forkChild(client.Render())
        yield* Deferred.await(running)
        const error = yield* Effect.flip(client.Render())
        assert.instanceOf(error, Shedding.Rejected)
        assert.deepStrictEqual(
          { ...error },
          { _tag: "RpcRejected", rpc: "Render", reason: "BulkheadFull", started: false }
        )
        assert.deepStrictEqual(
          [Transient.is(error), Transient.isUnprocessed(error), Transient.isThrottled(error), Rejection.is(error)],
          [true, true, true, false]
        )
        assert.strictEqual(yield* client.Count(), 1)
        yield* Deferred.succeed(finish, undefined)
        yield* Fiber.join(first)
        yield* client.Render()
      }).pipe(Effect.provide(overHttp(Reports, server({ Render }, slots))), Effect.scoped)
    })
  )

  it.live("a protected client repeats what was rejected before it started, and its breaker ignores it", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("reports", {
        retry: { schedule: Schedule.spaced("5 millis") },
        breaker: { trip: TripPolicy.consecutive(1) }
      })
      const running = yield* Deferred.make<void>()
      const finish = yield* Deferred.make<void>()
      let renders = 0
      const Render = () =>
        Effect.suspend(() => {
          renders++
          return Effect.andThen(Deferred.succeed(running, undefined), Deferred.await(finish))
        })
      yield* Effect.gen(function* () {
        const client = Resilient.protect(Reports, policy)(yield* RpcClient.make(Reports))
        const first = yield* Effect.forkChild(client.Render())
        yield* Deferred.await(running)
        const second = yield* Effect.forkChild(client.Render())
        yield* Effect.repeat(policy.stats("Render"), {
          until: ({ totals }) => totals.retries > 1,
          schedule: Schedule.spaced("2 millis")
        })
        yield* Deferred.succeed(finish, undefined)
        yield* Fiber.join(first)
        yield* Fiber.join(second)
      }).pipe(Effect.provide(overHttp(Reports, server({ Render }, slots))), Effect.scoped)
      assert.strictEqual(renders, 2)
      assert.strictEqual((yield* policy.stats("Render")).totals.failures, 0)
    })
  )

  it.effect("holds the permit of a stream until it ends", () =>
    Effect.gen(function* () {
      const client = yield* RpcTest.makeClient(Reports)
      const stream = yield* Effect.forkChild(client.Lines().pipe(Stream.runDrain), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Effect.flip(client.Lines().pipe(Stream.runDrain)))._tag, "RpcRejected")
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(stream)
      assert.deepStrictEqual(yield* client.Lines().pipe(Stream.take(1), Stream.runCollect), [1])
    }).pipe(
      Effect.provide(
        server(
          {
            Lines: () => Stream.concat(Stream.make(1), Stream.fromEffect(Effect.as(Effect.sleep("30 seconds"), 2)))
          },
          slots
        )
      ),
      Effect.scoped
    )
  )

  it.effect("the key is a function of the call: one permit for each tenant", () =>
    Effect.gen(function* () {
      const client = yield* RpcTest.makeClient(Reports)
      const call = (tenant: string) => client.Render(undefined, { headers: { tenant } })
      yield* Effect.forkChild(call("a"), { startImmediately: true })
      yield* Effect.forkChild(call("b"), { startImmediately: true })
      yield* TestClock.adjust(0)
      assert.strictEqual((yield* Effect.flip(call("a")))._tag, "RpcRejected")
      assert.deepStrictEqual((yield* Slots.allStats).map(({ key }) => key).sort(), ["a", "b"])
    }).pipe(
      Effect.provide(
        server(
          { Render: () => Effect.never },
          Shedding.layer(Shed, Slots, { key: ({ headers }) => headers.tenant ?? "none" })
        ).pipe(Layer.provideMerge(Slots.layer))
      ),
      Effect.scoped
    )
  )
})

describe("a policy", () => {
  class Guard extends Policy.Service<Guard>()("test/Guard", {
    breaker: { trip: TripPolicy.consecutive(1), openFor: "10 seconds" },
    timeout: "1 second"
  }) {}
  const guarded = (some: Partial<typeof idle>) =>
    server(some, Shedding.layer(Shed, Guard).pipe(Layer.provide(Guard.layer)))

  it.effect("with a breaker rejects with the time until the next probe; the handler's error passes as it is", () =>
    Effect.gen(function* () {
      const client = yield* RpcTest.makeClient(Reports)
      assert.instanceOf(yield* Effect.flip(client.Render()), Down)
      const error = yield* Effect.flip(client.Render())
      assert.instanceOf(error, Shedding.Rejected)
      assert.deepStrictEqual([error.reason, error.unprocessed, error.throttled], ["CircuitOpen", true, false])
      assert.isAbove(Duration.toMillis(Transient.retryAfter(error) ?? 0), 1000)
    }).pipe(Effect.provide(guarded({ Render: () => Effect.fail(new Down()) })), Effect.scoped)
  )

  it.effect("that ends a running handler does not call it unprocessed", () =>
    Effect.gen(function* () {
      const client = yield* RpcTest.makeClient(Reports)
      const fiber = yield* Effect.forkChild(Effect.flip(client.Render()), { startImmediately: true })
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(fiber)
      assert.instanceOf(error, Shedding.Rejected)
      assert.deepStrictEqual([error.reason, error.started, error.unprocessed], ["TimedOut", true, false])
    }).pipe(Effect.provide(guarded({ Render: () => Effect.never })), Effect.scoped)
  )

  it.effect("a rejection by a client of the handler passes as it is", () =>
    Effect.gen(function* () {
      const client = yield* RpcTest.makeClient(Reports)
      const error = yield* Effect.flip(client.Render())
      assert.deepStrictEqual([error._tag, error._tag === "CircuitOpen" && error.policy], ["CircuitOpen", "bank"])
    }).pipe(
      Effect.provide(
        guarded({
          Render: () =>
            Effect.gen(function* () {
              const bank = yield* Policy.make("bank", { breaker: {} })
              yield* bank.control.isolate()
              return yield* Effect.fail(new Down()).pipe(bank.protect)
            })
        })
      ),
      Effect.scoped
    )
  )
})

describe("bad options are refused when the layer is made", () => {
  it.each([
    ["key", { key: 5 }, "key must be a string, or a function that returns one, got 5"],
    ["an unknown one", { keys: "x" }, "there is no option keys"]
  ])("%s", (_, options, message) => {
    assert.throws(
      () => Shedding.layer(Shed, Slots, options as never),
      RangeError,
      `effect-resilience/rpc/RpcServer: ${message}`
    )
  })
  it("a policy that is none", () => {
    assert.throws(() => Shedding.layer(Shed, {} as typeof Slots), RangeError, "policy must be a Bulkhead")
  })
})
