/** What a call inherits travels with it through RPC: over a real HTTP server, and over several tiers. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Rpc, RpcClient, RpcGroup, RpcSchema, RpcTest } from "effect/rpc"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Bulkhead, Policies, Policy, Propagation, Retry } from "effect-resilience"
import * as Resilient from "effect-resilience/rpc/RpcClient"
import * as Shedding from "effect-resilience/rpc/RpcServer"
import { Down, overHttp } from "./support.ts"

class Slots extends Bulkhead.Service<Slots>()("test/propagation/Slots", { maxConcurrent: 100 }) {}
class Shed extends Shedding.Middleware<Shed>()("test/propagation/Shed") {}

const Inherited = Schema.Struct({
  remaining: Schema.optionalKey(Schema.Number),
  attempt: Schema.Number,
  criticality: Schema.String,
  retries: Schema.optionalKey(Schema.Number)
})

const Tier = RpcGroup.make(
  Rpc.make("Ask", { success: Inherited, error: Down }),
  Rpc.make("Hang", { success: Schema.Void }),
  Rpc.make("Tell", { success: RpcSchema.Stream(Inherited, Down) })
).middleware(Shed)

const inherited = Effect.map(Propagation.current, ({ attempt, criticality, remaining, retries }) => ({
  attempt,
  criticality,
  ...(remaining !== undefined && { remaining: Duration.toMillis(remaining) }),
  ...(retries !== undefined && { retries })
}))

const handlers = {
  Ask: (): Effect.Effect<typeof Inherited.Type, Down> => inherited,
  Hang: (): Effect.Effect<void> => Effect.never,
  Tell: (): Stream.Stream<typeof Inherited.Type, Down> => Stream.fromEffect(inherited)
}

const served = (some: Partial<typeof handlers> = {}, options?: Shedding.Options) =>
  Tier.toLayer({ ...handlers, ...some }).pipe(
    Layer.provideMerge(Shedding.layer(Shed, Slots, options)),
    Layer.provide(Slots.layer),
    Layer.provide(Policies.layer)
  )

const policy = Policy.make("asking", {
  deadline: "5 seconds",
  retry: Retry.backoff({ base: "1 millis", times: 3 }),
  budget: {},
  timeout: "3 seconds"
})

const sheddable = Propagation.provide({ criticality: "sheddable" })

describe("a client that propagates", () => {
  it.live("over HTTP gives the handler the time, the attempt, the criticality and the retries of its caller", () => {
    let calls = 0
    const Ask = () => Effect.suspend(() => (++calls < 3 ? Effect.fail(new Down()) : inherited))
    return Effect.gen(function* () {
      const calling = yield* policy
      const protect = Resilient.protect(Tier, calling, { repeat: ["Ask"], propagate: true })
      const client = protect(yield* RpcClient.make(Tier))
      const found = yield* client.Ask().pipe(sheddable)
      assert.deepInclude(found, { attempt: 3, criticality: "sheddable", retries: 1 })
      assert.isAtMost(found.remaining ?? Infinity, 3000)
      assert.isAbove(found.remaining ?? 0, 0)
      assert.strictEqual(calls, 3)
    }).pipe(Effect.provide(overHttp(Tier, served({ Ask }))), Effect.scoped, Effect.provide(Policies.layer))
  })

  it.live("keeps the headers of the caller, and says nothing without the option", () =>
    Effect.gen(function* () {
      const calling = yield* policy
      const plain = yield* RpcClient.make(Tier)
      const quiet = Resilient.protect(Tier, calling)(plain)
      assert.deepStrictEqual(yield* quiet.Ask().pipe(sheddable), { attempt: 1, criticality: "critical" })
      const chosen = Resilient.protect(Tier, calling, { propagate: ({ tag }) => tag === "Ask" })(plain)
      const headers = { "grpc-timeout": "50m" }
      const found = yield* chosen.Ask(undefined, { headers })
      assert.isAtMost(found.remaining ?? Infinity, 50)
      const hostile = Resilient.protect(Tier, calling, {
        propagate: () => {
          throw new Error("no")
        }
      })(plain)
      assert.deepStrictEqual(yield* hostile.Ask().pipe(sheddable), { attempt: 1, criticality: "critical" })
    }).pipe(Effect.provide(overHttp(Tier, served())), Effect.scoped, Effect.provide(Policies.layer))
  )

  it.live("a stream inherits all but the deadline, because its life is no wait", () =>
    Effect.gen(function* () {
      const client = Resilient.protect(Tier, yield* policy, { propagate: true })(yield* RpcClient.make(Tier))
      const found = yield* client.Tell().pipe(Stream.runCollect, sheddable)
      assert.deepStrictEqual(found, [{ attempt: 1, criticality: "sheddable", retries: 1 }])
    }).pipe(Effect.provide(overHttp(Tier, served())), Effect.scoped, Effect.provide(Policies.layer))
  )

  it.effect("refuses an option of another type with a sentence", () =>
    Effect.gen(function* () {
      const calling = yield* policy
      assert.throws(
        () => Resilient.protect(Tier, calling, { propagate: "yes" as never }),
        /RpcClient: propagate must be a boolean, or a function that returns one, got "yes"/
      )
      assert.throws(
        () => Shedding.layer(Shed, Slots, { trust: 1 as never }),
        /RpcServer: trust must be a boolean, or a function that returns one, got 1/
      )
    }).pipe(Effect.scoped, Effect.provide(Policies.layer))
  )
})

describe("a server", () => {
  it.live("ends a handler with the time of its caller, who gets a typed error", () =>
    Effect.gen(function* () {
      const interrupted = yield* Deferred.make<void>()
      const Hang = () => Effect.onInterrupt(Effect.never, () => Deferred.succeed(interrupted, undefined))
      yield* Effect.gen(function* () {
        const client = yield* RpcClient.make(Tier)
        const headers = Propagation.toHeaders({ remaining: Duration.millis(20) })
        const error = yield* Effect.flip(client.Hang(undefined, { headers }))
        assert.instanceOf(error, Shedding.Rejected)
        assert.deepInclude({ ...error }, { reason: "DeadlineExceeded", started: true, rpc: "Hang" })
        yield* Deferred.await(interrupted)
        const late = Propagation.toHeaders({ remaining: Duration.zero })
        const refused = yield* Effect.flip(client.Hang(undefined, { headers: late }))
        assert.deepInclude({ ...refused }, { reason: "DeadlineExceeded", started: false })
      }).pipe(Effect.provide(overHttp(Tier, served({ Hang }))), Effect.scoped)
    })
  )

  it.effect("believes that a call is critical-plus only of those that it trusts", () => {
    const headers = Propagation.toHeaders({ criticality: "critical-plus" })
    const ask = Effect.gen(function* () {
      return (yield* (yield* RpcTest.makeClient(Tier)).Ask(undefined, { headers })).criticality
    })
    const with_ = (options?: Shedding.Options) => ask.pipe(Effect.scoped, Effect.provide(served({}, options)))
    const throws = (): boolean => {
      throw new Error("no")
    }
    return Effect.gen(function* () {
      assert.strictEqual(yield* with_(), "critical")
      assert.strictEqual(yield* with_({ trust: throws }), "critical")
      assert.strictEqual(yield* with_({ trust: ({ rpc }) => rpc._tag === "Ask" }), "critical-plus")
    })
  })
})

describe("three tiers with three retries each", () => {
  it.live("send at most 1.1 attempts per call to a dead leaf", () =>
    Effect.gen(function* () {
      let leafs = 0
      const leaf = served({
        Ask: () =>
          Effect.suspend(() => {
            leafs++
            return Effect.fail(new Down())
          })
      })
      const options = { retry: Retry.backoff({ base: "1 millis", times: 3 }), budget: { ratio: 0.02, initial: 1 } }
      const tier = (name: string, below: Layer.Layer<RpcClient.Protocol, unknown>) =>
        Effect.gen(function* () {
          const calling = yield* Policy.make(name, options)
          const context = yield* Layer.build(below)
          const client = yield* Effect.provideContext(RpcClient.make(Tier), context)
          return Resilient.protect(Tier, calling, { repeat: ["Ask"], propagate: true })(client)
        })
      const middle = yield* tier("middle", overHttp(Tier, leaf))
      const front = yield* tier(
        "front",
        overHttp(Tier, served({ Ask: () => Effect.mapError(middle.Ask(), () => new Down()) }))
      )
      const calls = 200
      yield* Effect.repeat(Effect.ignore(front.Ask()), { times: calls - 1 })
      assert.isAtLeast(leafs, calls)
      assert.isAtMost(leafs / calls, 1.1)
    }).pipe(Effect.scoped, Effect.provide(Policies.layer))
  )
})
