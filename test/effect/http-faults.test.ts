/** What goes wrong between Effect's HTTP clients and a server on loopback, and what `Transient.known` makes of it. */
import { createServer, type Server, type Socket } from "node:net"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import {
  FetchHttpClient,
  HttpBody,
  HttpClient,
  type HttpClientError,
  HttpClientRequest,
  type HttpClientResponse
} from "effect/http"
import type { HttpMethod } from "effect/http/HttpMethod"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Retry, Transient, TripPolicy } from "effect-resilience"

const clients = {
  fetch: Layer.fresh(FetchHttpClient.layer),
  undici: NodeHttpClient.layerUndici,
  node: NodeHttpClient.layerNodeHttp
}

const json = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json\r\n"

const ok = `${json}content-length: 2\r\n\r\n{}`

/** By path, all that the server sends before it closes the connection. */
const answers: Readonly<Record<string, string>> = {
  "/length": `${json}content-length: 100\r\n\r\n{"a":`,
  "/chunked": `${json}transfer-encoding: chunked\r\n\r\n5\r\n{"a":\r\n`,
  "/no-json": `${json}content-length: 5\r\n\r\n{"a":`,
  "/garbage": "what?\r\n\r\n",
  "/nothing": ""
}

const answer = (socket: Socket): void => {
  socket.on("error", () => {})
  socket.once("data", (data) => socket.end(answers[String(data).split(" ")[1] ?? ""] ?? ok))
}

const listening = Effect.acquireRelease(
  Effect.callback<Server>((resume) => {
    const server = createServer(answer).listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) => Effect.callback<void>((resume) => void server.close(() => resume(Effect.void)))
)

const url = Effect.map(listening, (server) => {
  const address = server.address()
  return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`
})

type Response = HttpClientResponse.HttpClientResponse
type Read = (response: Response) => Effect.Effect<unknown, HttpClientError.HttpClientError>

const reads: Readonly<Record<string, Read>> = {
  text: (response) => response.text,
  json: (response) => response.json,
  arrayBuffer: (response) => response.arrayBuffer,
  stream: (response) => Stream.runDrain(response.stream)
}

describe.each(Object.entries(clients))("the client on %s", (name, client) => {
  const fails = (error: HttpClientError.HttpClientError) => ({
    reason: error.reason._tag,
    transient: Transient.is(error),
    unprocessed: Transient.isUnprocessed(error)
  })

  it.effect.each(["/length", "/chunked"].flatMap((path) => Object.keys(reads).map((read) => [path, read] as const)))(
    "a body that is cut off (%s, read as %s) is transient, and a failure of the breaker",
    ([path, read]) =>
      Effect.gen(function* () {
        const base = yield* url
        const breaker = yield* CircuitBreaker.make("http", { trip: TripPolicy.consecutive(1) })
        const call = HttpClient.get(base + path).pipe(Effect.flatMap(reads[read]!), Transient.known)
        const error = yield* call.pipe(breaker.protect, Effect.flip)
        assert.strictEqual(error._tag, "HttpClientError")
        if (error._tag !== "HttpClientError") return
        assert.deepStrictEqual(fails(error), { reason: "DecodeError", transient: true, unprocessed: false })
        assert.strictEqual((yield* breaker.state())._tag, "open")
      }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.effect("a body that arrived whole and is no JSON is permanent: the dependency has responded", () =>
    Effect.gen(function* () {
      const base = yield* url
      const breaker = yield* CircuitBreaker.make("http", { trip: TripPolicy.consecutive(1) })
      const call = HttpClient.get(`${base}/no-json`).pipe(Effect.flatMap(reads.json!), Transient.known)
      const error = yield* call.pipe(breaker.protect, Effect.flip)
      assert.isFalse(Transient.is(error))
      assert.strictEqual((yield* breaker.state())._tag, "closed")
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.effect.each(["/garbage", "/nothing"])("a response that is none (%s) is transient", (path) =>
    Effect.gen(function* () {
      const error = yield* HttpClient.get((yield* url) + path).pipe(Transient.known, Effect.flip)
      assert.deepStrictEqual(fails(error), { reason: "TransportError", transient: true, unprocessed: false })
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.effect("a connection that nobody accepts is transient and unprocessed, and so is a name that is not found", () =>
    Effect.gen(function* () {
      const closed = yield* Effect.scoped(url)
      for (const target of [closed, "http://no-such-host.invalid/"]) {
        const error = yield* HttpClient.get(target).pipe(Transient.known, Effect.flip)
        assert.deepStrictEqual(fails(error), { reason: "TransportError", transient: true, unprocessed: true }, target)
      }
    }).pipe(Effect.provide(client))
  )

  const request = (change: (request: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest) =>
    Effect.map(url, (base) => change(HttpClientRequest.post(`${base}/ok`)))
  const locked = () => {
    const body = new ReadableStream({ pull: (controller) => controller.close() })
    body.getReader()
    return body
  }
  const refused: Readonly<
    Record<string, (base: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest>
  > = {
    "an invalid URL": () => HttpClientRequest.get("no url"),
    "an unknown scheme": () => HttpClientRequest.get("gopher://127.0.0.1/"),
    "a header value with a line break": HttpClientRequest.setHeader("x-user", "a\r\nb"),
    "a header value with a letter that is no byte": HttpClientRequest.setHeader("x-user", "\u0436"),
    "a header name with a space": HttpClientRequest.setHeader("x user", "a"),
    "a method that is none": HttpClientRequest.setMethod("A B" as HttpMethod),
    "a locked body": HttpClientRequest.setBody(HttpBody.raw(locked())),
    ...(name === "fetch"
      ? {
          "a method that fetch refuses": HttpClientRequest.setMethod("TRACE"),
          "a port that fetch refuses": () => HttpClientRequest.get("http://127.0.0.1:6000/"),
          "an upgrade": HttpClientRequest.setHeader("upgrade", "websocket")
        }
      : {})
  }
  it.effect.each(Object.entries(refused))(
    "%s is not retried, opens no circuit and closes none: the client refuses to send it",
    ([, change]) =>
      Effect.gen(function* () {
        const breaker = yield* CircuitBreaker.make("http", { trip: TripPolicy.consecutive(1) })
        let attempts = 0
        const call = Effect.flatMap(request(change), (request) => {
          attempts += 1
          return HttpClient.execute(request)
        }).pipe(Transient.known)
        yield* Effect.exit(call.pipe(breaker.protect, Retry.transient(Schedule.recurs(2))))
        assert.strictEqual(attempts, 1)
        assert.strictEqual((yield* breaker.state())._tag, "closed")
        // As a probe it is neutral.
        yield* breaker.acquire().pipe(Effect.flatMap((permit) => permit.fail()))
        yield* TestClock.adjust("2 seconds")
        yield* Effect.exit(call.pipe(breaker.protect))
        assert.deepInclude(yield* breaker.state(), { _tag: "half-open", probing: 0, successes: 0 })
      }).pipe(Effect.scoped, Effect.provide(client))
  )
})
