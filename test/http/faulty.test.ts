/** The servers of `Faulty` do what their scripts say, seen by Effect's own client. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { HttpClient, type HttpClientError, HttpClientRequest, type HttpClientResponse } from "effect/http"

type Response = HttpClientResponse.HttpClientResponse
type Error = HttpClientError.HttpClientError

/** Status and body of a response, or the reason of the error. */
const told = <R>(
  call: Effect.Effect<Response, Error, R>,
  read: (response: Response) => Effect.Effect<string, Error> = (response) => response.text
) =>
  call.pipe(
    Effect.flatMap((response) => Effect.map(read(response), (body) => `${response.status} ${body}`)),
    Effect.catch((error) => Effect.succeed<string>(error.reason._tag))
  )

describe("Faulty.http", () => {
  it.live("answers, resets and cuts in the order of its script, and the last behaviour stays", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({
        script: [
          Faulty.answer({ body: "one" }),
          Faulty.reset,
          Faulty.cut(Faulty.answer({ body: "0123456789" }), 4),
          Faulty.throttle({ status: 503, retryAfter: Duration.millis(1500) }),
          Faulty.json({ last: true })
        ]
      })
      const got: Array<string> = []
      for (let i = 0; i < 6; i++) got.push(yield* told(HttpClient.get(server.url)))
      assert.deepStrictEqual(got, [
        "200 one",
        "TransportError",
        "DecodeError",
        "503 ",
        '200 {"last":true}',
        '200 {"last":true}'
      ])
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("records method, path, headers and body of every request", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: (request, n) => Faulty.answer({ body: `${n} ${request.body}` }) })
      const post = HttpClientRequest.post(`${server.url}/orders?x=1`).pipe(
        HttpClientRequest.setHeader("Idempotency-Key", "a1"),
        HttpClientRequest.bodyText("täa")
      )
      assert.strictEqual(yield* told(HttpClient.execute(post)), "200 1 täa")
      const { requests } = yield* server.state
      const [{ headers, ...request }] = requests as [Faulty.Received]
      assert.deepStrictEqual(request, { n: 1, method: "POST", url: "/orders?x=1", body: "täa", bytes: 4 })
      assert.strictEqual(headers["idempotency-key"], "a1")
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("a hanging response and a stalled body end when the client gives up, and count as aborted", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({
        script: [Faulty.hang, Faulty.stall(Faulty.answer({ body: "0123456789" }), 4)]
      })
      for (const n of [1, 2]) {
        const fiber = yield* Effect.forkChild(told(HttpClient.get(server.url)))
        yield* server.until(({ requests }) => requests.length === n)
        yield* Fiber.interrupt(fiber)
        yield* server.until(({ aborted }) => aborted === n)
      }
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("a slow body arrives whole; a redirect has its location", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({
        script: [
          Faulty.slow(Faulty.answer({ body: "0123456789" }), { bytes: 3, every: "1 millis" }),
          Faulty.redirect("/there", 307)
        ]
      })
      assert.strictEqual(yield* told(HttpClient.get(server.url)), "200 0123456789")
      const location = told(HttpClient.get(server.url), ({ headers }) => Effect.succeed(headers.location ?? ""))
      assert.strictEqual(yield* location, "307 /there")
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("refuses connections, and accepts them on the same port again", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [Faulty.answer({ body: "well" })] })
      const get = told(HttpClient.get(server.url))
      assert.strictEqual(yield* get, "200 well")
      yield* server.refuse
      assert.strictEqual(yield* get, "TransportError")
      yield* server.accept
      assert.strictEqual(yield* get, "200 well")
      yield* server.setScript([Faulty.answer({ body: "other" })])
      assert.strictEqual(yield* get, "200 other")
      assert.strictEqual(yield* told(HttpClient.get(yield* Faulty.refused)), "TransportError")
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
  )

  it("refuses a script without behaviours, and options out of range", () => {
    assert.throws(() => Faulty.http({ script: [] }), RangeError, "Faulty.http: script must be at least one behaviour")
    assert.throws(
      () => Faulty.answer({ status: 99 }),
      RangeError,
      "Faulty.answer: status must be an integer in [200, 599]"
    )
    assert.throws(() => Faulty.cut(Faulty.hang, 1), RangeError, "Faulty.cut: the behaviour must be an answer")
    assert.throws(() => Faulty.stall(Faulty.answer(), -1), RangeError, "Faulty.stall: bytes must be an integer >= 0")
    assert.throws(() => Faulty.tcp({ port: 0 }), RangeError, "Faulty.tcp: port must be an integer >= 1")
  })
})

describe("Faulty.tcp", () => {
  const behind = (script: Faulty.TcpScript) =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [Faulty.answer({ body: "well", headers: { connection: "close" } })] })
      const proxy = yield* Faulty.tcp({ port: server.port, script })
      return { server, proxy, get: told(HttpClient.get(`http://127.0.0.1:${proxy.port}/`)) }
    })

  it.live("passes, delays, resets and cuts; a cut with `forward` lets the server do its work", () =>
    Effect.gen(function* () {
      const isGet = ({ text }: Faulty.Chunk) => text.startsWith("GET ")
      const { get, proxy, server } = yield* behind([
        Faulty.pass,
        Faulty.delay("1 millis"),
        Faulty.reset,
        Faulty.cutWhen(isGet),
        Faulty.cutWhen(({ from }) => from === "server")
      ])
      const got: Array<string> = []
      for (let i = 0; i < 5; i++) got.push(yield* get)
      assert.deepStrictEqual(got, ["200 well", "200 well", "TransportError", "TransportError", "TransportError"])
      assert.strictEqual((yield* server.state).requests.length, 3, "the answer to the third was lost")
      const { accepted, cuts } = yield* proxy.state
      assert.deepStrictEqual({ accepted, cuts }, { accepted: 5, cuts: 3 })
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("holds bytes back and releases them, cuts what is open, refuses and accepts", () =>
    Effect.gen(function* () {
      const { get, proxy, server } = yield* behind([Faulty.pass])
      yield* proxy.hold
      const held = yield* Effect.forkChild(get)
      yield* proxy.until(({ connections }) => connections === 1)
      assert.strictEqual((yield* server.state).requests.length, 0)
      yield* proxy.release
      assert.strictEqual(yield* Fiber.join(held), "200 well")
      yield* server.setScript([Faulty.hang])
      const cut = yield* Effect.forkChild(get)
      yield* server.until(({ requests }) => requests.length === 2)
      yield* proxy.cut
      assert.strictEqual(yield* Fiber.join(cut), "TransportError")
      yield* proxy.refuse
      assert.strictEqual(yield* get, "TransportError")
      yield* proxy.accept
      yield* server.setScript([Faulty.answer({ body: "again" })])
      assert.strictEqual(yield* get, "200 again")
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
  )
})
