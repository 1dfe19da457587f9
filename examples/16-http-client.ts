// A whole HTTP client behind one policy, in one line, against a real server that resets, throttles, cuts and hangs: every order
// is charged exactly once, and an outage ends in rejections that cost nothing.
import assert from "node:assert/strict"
import { NodeHttpClient } from "@effect/platform-node"
import * as Faulty from "@effect-resilience/testing/Faulty"
import { Effect } from "effect"
import { HttpClient, HttpClientRequest } from "effect/http"
import { Policy, Rejection, Retry, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"

class Shop extends Policy.Service<Shop>()("app/Shop", {
  retry: Retry.backoff({ base: "5 millis", cap: "20 millis", times: 3 }),
  breaker: { trip: TripPolicy.consecutive(4), openFor: "1 minute" },
  timeout: "5 seconds"
}) {}

const program = Effect.gen(function* () {
  const server = yield* Faulty.http({ script: [Faulty.answer()] })

  // The one line. With `body` the policy also judges how a body arrives.
  const client = (yield* HttpClient.HttpClient).pipe(Resilient.protect(Shop, { body: true }))

  const get = client.get(server.url).pipe(Effect.flatMap((response) => response.text))
  const charge = client.execute(HttpClientRequest.post(`${server.url}/charges`).pipe(HttpClientRequest.bodyText("tea")))
  const received = Effect.map(server.state, ({ requests }) => requests.map(({ method }) => method).join(" "))

  // A GET is repeated, whatever happened to it.
  const price = Faulty.answer({ body: "4.20" })
  yield* server.setScript([Faulty.reset, Faulty.answer({ status: 502 }), Faulty.cut(price, 2), price])
  assert.equal(yield* get, "4.20")
  console.log(`price found after: ${yield* received}`)

  // A POST is repeated when the server refused it before it did anything …
  yield* server.setScript([Faulty.throttle({ headers: { "retry-after-ms": "5" } }), Faulty.answer({ body: "charged" })])
  assert.equal((yield* charge).status, 200)
  // … and not when it may have charged already.
  yield* server.setScript([Faulty.reset, Faulty.answer({ body: "charged twice" })])
  const unknown = yield* Effect.flip(charge)
  assert.equal(unknown._tag, "HttpClientError")
  console.log(`charges sent: ${yield* received}`)
  assert.equal(yield* received, "GET GET GET GET POST POST POST")

  // An outage: the circuit of this origin opens, and nothing is sent any more.
  yield* server.setScript([Faulty.answer({ status: 503 })])
  const statuses = yield* Effect.replicateEffect(
    client.get(server.url).pipe(
      Effect.map((response) => String(response.status)),
      Effect.catch((error) => Effect.succeed(Rejection.is(error) ? error.message.split(" for ")[0] : error._tag))
    ),
    3
  )
  console.log(`in the outage: ${statuses.join(", ")}`)
  assert.equal(statuses[0], "503")
  assert.equal(statuses.at(-1), `app/Shop [${server.url}]: the circuit is open`)
  assert.equal((yield* server.state).requests.length, 10)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([NodeHttpClient.layerUndici, Shop.layer])))
