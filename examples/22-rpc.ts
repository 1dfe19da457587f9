// An RPC service over HTTP behind a bulkhead, and its client behind a policy: a burst is shed and waits, a failing procedure opens
// its own circuit and no other, and what must not run twice runs once.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, Schema } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { Rpc, RpcClient, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { Bulkhead, Policy, Retry, Transient, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/rpc/RpcClient"
import * as Shedding from "effect-resilience/rpc/RpcServer"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}

// The contract of both sides.
class Shed extends Shedding.Middleware<Shed>()("app/Shed") {}
const Shop = RpcGroup.make(
  Rpc.make("Price", { payload: { item: Schema.String }, success: Schema.Number, error: Down }).annotate(
    Resilient.Repeatable,
    true
  ),
  Rpc.make("Charge", { payload: { order: Schema.String }, success: Schema.String, error: Down })
).middleware(Shed)

// The server: one call of each procedure at a time.
class Slots extends Bulkhead.Service<Slots>()("app/Slots", { maxConcurrent: 1 }) {}
const calls = { Price: 0, Charge: 0 }
const handlers = Shop.toLayer({
  Price: () => Effect.suspend(() => (++calls.Price < 3 ? Effect.fail(new Down()) : Effect.succeed(4.2))),
  Charge: ({ order }) =>
    Effect.suspend(() => {
      calls.Charge++
      return order === "cursed" ? Effect.fail(new Down()) : Effect.as(Effect.sleep("20 millis"), `charged ${order}`)
    })
}).pipe(Layer.provideMerge(Shedding.layer(Shed, Slots)), Layer.provide(Slots.layer))

const server = HttpRouter.serve(
  RpcServer.layerHttp({ group: Shop, path: "/rpc", protocol: "http" }).pipe(Layer.provide(handlers)),
  { disableListenLog: true, disableLogger: true }
).pipe(
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
  Layer.provide(RpcSerialization.layerNdjson)
)
const protocol = Layer.unwrap(
  Effect.map(HttpServer.HttpServer, ({ address }) =>
    RpcClient.layerProtocolHttp({ url: `http://127.0.0.1:${"port" in address ? address.port : 0}/rpc` }).pipe(
      Layer.provide([NodeHttpClient.layerUndici, RpcSerialization.layerNdjson])
    )
  )
).pipe(Layer.provide(server))

// The client.
class Calls extends Policy.Service<Calls>()("app/Calls", {
  retry: Retry.backoff({ base: "15 millis", cap: "30 millis", times: 9 }),
  breaker: { trip: TripPolicy.consecutive(3), openFor: "1 minute" },
  timeout: "2 seconds"
}) {}

const program = Effect.gen(function* () {
  // The one line.
  const shop = Resilient.protect(Shop, Calls)(yield* RpcClient.make(Shop))

  // A procedure that reads is repeated.
  assert.equal(yield* shop.Price({ item: "tea" }), 4.2)
  console.log(`the price after ${calls.Price} calls`)

  // A burst: the server sheds what is above its limit before the handler runs, so the client repeats it. Each order is charged once.
  const charged = yield* Effect.forEach(["a", "b", "c"], (order) => shop.Charge({ order }), { concurrency: 3 })
  assert.deepEqual(charged, ["charged a", "charged b", "charged c"])
  assert.equal(calls.Charge, 3)
  const { retries } = (yield* Calls.stats("Charge")).totals
  assert.ok(retries > 0)
  console.log(`three orders, ${calls.Charge} charges, and calls that the server shed`)

  // A failure that may have charged is not repeated; three of them open the circuit of this procedure alone.
  const results = yield* Effect.replicateEffect(Effect.flip(shop.Charge({ order: "cursed" })), 5)
  console.log(`failing: ${results.map(({ _tag }) => _tag).join(", ")}`)
  assert.deepEqual(
    results.map(({ _tag }) => _tag),
    ["Down", "Down", "Down", "CircuitOpen", "CircuitOpen"]
  )
  assert.equal(calls.Charge, 6)
  assert.equal(yield* shop.Price({ item: "tea" }), 4.2)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([protocol, Calls.layer])))
