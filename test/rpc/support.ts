/** A service over a real HTTP server on loopback, and its client. */
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import * as Effect from "effect/Effect"
import { FetchHttpClient, HttpRouter, HttpServer } from "effect/http"
import * as Layer from "effect/Layer"
import { Rpc, RpcClient, RpcGroup, RpcSchema, RpcSerialization, RpcServer } from "effect/rpc"
import * as Schema from "effect/Schema"
import { Transient } from "effect-resilience"
import * as Resilient from "effect-resilience/rpc/RpcClient"

export class Down extends Transient.TaggedError<Down>()("Down", {}) {}
export class Refused extends Transient.TaggedError<Refused>()("Refused", {}) {
  readonly unprocessed = true
}
export class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

export const Users = RpcGroup.make(
  Rpc.make("GetUser", {
    payload: { id: Schema.Natural },
    success: Schema.String,
    error: Schema.Union([Down, NotFound])
  }),
  Rpc.make("users.Rename", { payload: { id: Schema.Number }, error: Schema.Union([Down, Refused]) }),
  Rpc.make("constructor", { success: Schema.Number, error: Down }).annotate(Resilient.Repeatable, true),
  Rpc.make("Watch", { payload: { from: Schema.Natural }, success: RpcSchema.Stream(Schema.Number, Down) })
)
export type Users = RpcGroup.Rpcs<typeof Users>

/** The layer of a client's protocol, to a server of this group with these handlers. */
export const overHttp = <Rpcs extends Rpc.Any, E, R>(
  group: RpcGroup.RpcGroup<Rpcs>,
  handlers: Layer.Layer<Rpc.ToHandler<Rpcs> | Rpc.Middleware<Rpcs>, E, R>
) => {
  const http = HttpRouter.serve(
    RpcServer.layerHttp({ group, path: "/rpc", protocol: "http" }).pipe(Layer.provide(handlers)),
    { disableListenLog: true, disableLogger: true }
  ).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })),
    Layer.provide(RpcSerialization.layerNdjson)
  )
  return Layer.unwrap(
    Effect.map(HttpServer.HttpServer, ({ address }) =>
      RpcClient.layerProtocolHttp({
        url: `http://127.0.0.1:${"port" in address ? address.port : 0}/rpc`
      }).pipe(Layer.provide([FetchHttpClient.layer, RpcSerialization.layerNdjson]))
    )
  ).pipe(Layer.provide(http))
}

/** The client of a server that is not there: the port is above those that systems hand out. */
export const nowhere = RpcClient.layerProtocolHttp({ url: "http://127.0.0.1:65535/rpc" }).pipe(
  Layer.provide([FetchHttpClient.layer, RpcSerialization.layerNdjson])
)

/** What became of a call: its value, or the tag of its error. */
export const told = <A, E extends { readonly _tag: string }, R>(
  call: Effect.Effect<A, E, R>
): Effect.Effect<A | string, never, R> => Effect.catch(call, (error) => Effect.succeed(error._tag))
