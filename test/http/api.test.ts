/** `HttpApi` over a protected client: typed errors, policies by endpoint, and rejections that the service sends. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import {
  HttpApi,
  HttpApiClient,
  HttpApiEndpoint,
  HttpApiGroup,
  HttpApiMiddleware,
  HttpApiSchema
} from "effect/http-api"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import { Policy, Rejection, Retry, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { id: Schema.String }, { httpApiStatus: 404 }) {}
class Overloaded extends Schema.TaggedError<Overloaded>()(
  "Overloaded",
  { queue: Schema.Number },
  { httpApiStatus: 503 }
) {}

const errors = [NotFound, Overloaded, Rejection.CircuitOpen.pipe(HttpApiSchema.status(503))] as const
const user = HttpApiEndpoint.get("user", "/user", { success: Schema.String, error: errors })
const order = HttpApiEndpoint.post("order", "/order", { success: Schema.String, error: errors })

const Plain = HttpApi.make("plain").add(HttpApiGroup.make("shop").add(user).add(order))

class Guard extends HttpApiMiddleware.Service<Guard, { clientError: Rejection.CircuitOpen }>()("app/Guard", {
  requiredForClient: true
}) {}
const Guarded = HttpApi.make("guarded").add(HttpApiGroup.make("shop").add(user).add(order).middleware(Guard))

class Api extends Policy.Service<Api>()("app/Api", {
  retry: Retry.backoff({ base: "1 millis", cap: "1 millis", times: 1 }),
  breaker: { trip: TripPolicy.consecutive(4), openFor: { initial: "1 hour", jitter: 0 } }
}) {}

const app = Layer.merge(NodeHttpClient.layerUndici, Api.layer)
const overloaded = Faulty.json({ _tag: "Overloaded", queue: 7 }, 503)
const ok = Faulty.json("well")

describe("a client of an HttpApi over a protected HttpClient", () => {
  it.live("typed errors arrive as such, transient statuses are retried and counted, a 404 is a success", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({
        script: [overloaded, ok, overloaded, overloaded, Faulty.json({ _tag: "NotFound", id: "u" }, 404), overloaded]
      })
      const httpClient = (yield* HttpClient.HttpClient).pipe(
        HttpClient.mapRequest(HttpClientRequest.prependUrl(server.url)),
        Resilient.protect(Api)
      )
      const client = yield* HttpApiClient.makeWith(Plain, { httpClient })
      assert.strictEqual(yield* client.shop.user(), "well")
      assert.deepInclude(yield* Effect.flip(client.shop.user()), { _tag: "Overloaded", queue: 7 })
      assert.deepInclude(yield* Effect.flip(client.shop.user()), { _tag: "NotFound", id: "u" })
      const { totals } = yield* Api.stats(server.url)
      assert.deepStrictEqual([totals.failures, totals.successes, totals.retries], [3, 2, 2])

      // A POST is not repeated; a GET is, and the circuit opens.
      assert.deepInclude(yield* Effect.flip(client.shop.order()), { _tag: "Overloaded" })
      assert.deepInclude(yield* Effect.flip(client.shop.user()), { _tag: "Overloaded" })
      assert.deepInclude(yield* Effect.flip(client.shop.user()), { _tag: "Overloaded" })
      const rejected = yield* Effect.flip(client.shop.user())
      assert.deepInclude(rejected, { _tag: "CircuitOpen", policy: "app/Api", key: server.url })
      assert.isTrue(Rejection.isLocal(rejected))
    }).pipe(Effect.scoped, Effect.provide(app))
  )

  it.live("the layer protects `HttpApiClient.make`, with `transformClient` around it", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [overloaded, ok] })
      const client = yield* HttpApiClient.make(Plain, {
        transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(server.url))
      })
      assert.strictEqual(yield* client.shop.user(), "well")
      yield* Api.control.isolate({ key: server.url })
      const error = yield* Effect.flip(client.shop.user())
      assert.deepInclude(error, { _tag: "HttpClientError" })
      assert.deepInclude(Rejection.of(error), { _tag: "CircuitOpen", state: "isolated" })
      assert.strictEqual((yield* server.state).requests.length, 2)
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(Resilient.layer(Api), app)))
  )

  it.live("middleware has a circuit for each endpoint, and rejections in the error type", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: ({ url }) => (url === "/user" ? overloaded : ok) })
      const client = yield* HttpApiClient.make(Guarded, { baseUrl: server.url })
      for (let i = 0; i < 2; i++) assert.deepInclude(yield* Effect.flip(client.shop.user()), { _tag: "Overloaded" })
      assert.deepInclude(yield* Effect.flip(client.shop.user()), { _tag: "CircuitOpen", key: "shop.user" })
      assert.strictEqual(yield* client.shop.order(), "well")
      const keys = (yield* Api.allStats).map(({ circuit, key }) => [key, circuit?._tag])
      assert.deepStrictEqual(keys, [
        ["shop.user", "open"],
        ["shop.order", "closed"]
      ])
      assert.strictEqual((yield* server.state).requests.length, 5)
    }).pipe(
      Effect.scoped,
      Effect.provide(Layer.provideMerge(HttpApiMiddleware.layerClient(Guard, Resilient.middleware(Api)), app))
    )
  )

  it.live("a rejection that the service sends is its error, and not one of a policy here", () =>
    Effect.gen(function* () {
      const local = new Rejection.CircuitOpen({
        policy: "theirs/Database",
        key: "default",
        state: "open",
        retryAfter: Duration.seconds(3)
      })
      const sent = yield* Schema.encodeEffect(Schema.toCodecJson(Rejection.CircuitOpen))(local)
      const server = yield* Faulty.http({ script: [Faulty.json(sent, 503)] })
      const client = yield* HttpApiClient.make(Plain, { baseUrl: server.url })
      const around = yield* Policy.make("around", { breaker: { failures: ["CircuitOpen"] } })
      const error = yield* client.shop.order().pipe(around.protect, Effect.flip)
      assert.deepInclude(error, { _tag: "CircuitOpen", policy: "theirs/Database" })
      assert.isTrue(Rejection.is(error))
      assert.isFalse(Rejection.isLocal(error))
      assert.isFalse(Rejection.neverStarted(error))
      assert.strictEqual((yield* around.stats()).totals.failures, 1)
    }).pipe(Effect.scoped, Effect.provide(app))
  )
})
