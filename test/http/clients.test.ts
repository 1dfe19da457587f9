/** Protected clients on fetch, undici and node:http, against a real server that misbehaves. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Faulty from "@effect-resilience/testing/Faulty"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { FetchHttpClient, HttpClient, HttpClientRequest, type HttpClientResponse } from "effect/http"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import { told } from "./support.ts"

const clients = {
  fetch: Layer.fresh(FetchHttpClient.layer),
  undici: NodeHttpClient.layerUndici,
  node: NodeHttpClient.layerNodeHttp
}

const well = Faulty.answer({ body: "well" })
const busy = Faulty.answer({ status: 503, body: "busy" })

/** A body that can be read once, as `fetch` gives one. */
const oneShot = () => {
  const body = new Blob(["payload"]).stream()
  const stream = Stream.fromReadableStream({ evaluate: () => body, onError: (cause) => cause })
  return HttpClientRequest.bodyStream(stream, { contentType: "text/plain" })
}

const requestsOf = (server: Faulty.Http) =>
  Effect.map(server.state, ({ requests }) => requests.map(({ body, method }) => `${method} ${body}`.trim()))

describe.each(Object.entries(clients))("on %s", (name, client) => {
  const retry = Retry.backoff({ base: "1 millis", cap: "1 millis", times: 3 })
  const retrying = Effect.gen(function* () {
    const policy = yield* Policy.make("api", { retry, breaker: {} })
    const plain = yield* HttpClient.HttpClient
    return { policy, plain, api: plain.pipe(Resilient.protect(policy)) }
  })

  it.live("an answer is an answer", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [well] })
      const { api } = yield* retrying
      const request = HttpClientRequest.post(server.url).pipe(HttpClientRequest.bodyJsonUnsafe({ id: 7 }))
      const response = yield* api.execute(request)
      assert.strictEqual(yield* response.text, "well")
      assert.deepStrictEqual(yield* requestsOf(server), ['POST {"id":7}'])
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live("a GET is sent again after resets and 503, a POST is not", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [Faulty.reset, busy, Faulty.reset, well] })
      const { api } = yield* retrying
      assert.strictEqual(yield* told(api.get(server.url)), 200)
      yield* server.setScript([Faulty.reset, well])
      assert.strictEqual(yield* told(api.post(server.url)), "HttpClientError")
      yield* server.setScript([busy, well])
      assert.strictEqual(yield* told(api.post(server.url)), 503)
      assert.deepStrictEqual(yield* requestsOf(server), ["GET", "GET", "GET", "GET", "POST", "POST"])
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live("a POST is sent again when it was throttled, with its whole body", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({
        script: [
          Faulty.throttle({ headers: { "retry-after-ms": "1" } }),
          Faulty.throttle({ status: 503, retryAfter: "0" }),
          well
        ]
      })
      const { api, policy } = yield* retrying
      const request = HttpClientRequest.post(server.url).pipe(HttpClientRequest.bodyText("payload"))
      assert.strictEqual(yield* told(api.execute(request)), 200)
      assert.deepStrictEqual(yield* requestsOf(server), ["POST payload", "POST payload", "POST payload"])
      const { totals } = yield* policy.stats(server.url)
      assert.deepStrictEqual([totals.ignored, totals.failures, totals.successes], [1, 1, 1])
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live("a POST whose connection is refused is sent when the server is there, once", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [well] })
      yield* server.refuse
      const tried = yield* Deferred.make<void>()
      const policy = yield* Policy.make("api", {
        retry: {
          schedule: Retry.backoff({ base: "2 millis", cap: "2 millis", times: 100_000 }),
          onRetry: () => Deferred.succeed(tried, undefined)
        }
      })
      const api = (yield* HttpClient.HttpClient).pipe(Resilient.protect(policy))
      const call = yield* Effect.forkChild(told(api.post(server.url)))
      yield* Deferred.await(tried)
      yield* server.accept
      assert.strictEqual(yield* Fiber.join(call), 200)
      assert.deepStrictEqual(yield* requestsOf(server), ["POST"])
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live(
    "with `body` a body that is cut is a failure, and read again; without it the policy ends with the headers",
    () =>
      Effect.gen(function* () {
        const cut = Faulty.cut(Faulty.answer({ body: "0123456789" }), 4)
        const server = yield* Faulty.http({ script: [cut, cut, well] })
        const { api, plain, policy } = yield* retrying
        const whole = yield* plain.pipe(Resilient.protect(policy, { body: true, key: "body" })).get(server.url)
        assert.strictEqual(yield* whole.text, "well")
        assert.strictEqual((yield* policy.stats("body")).totals.failures, 2)
        yield* server.setScript([cut, well])
        const headers = yield* api.get(server.url)
        const error = yield* Effect.flip(headers.text)
        assert.deepStrictEqual([headers.status, error.reason._tag], [200, "DecodeError"])
        assert.strictEqual((yield* policy.stats(server.url)).totals.failures, 0)
      }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live("a redirect that is followed below the policy has the key of the first origin", () =>
    Effect.gen(function* () {
      const target = yield* Faulty.http({ script: [busy, well] })
      const server = yield* Faulty.http({ script: [Faulty.redirect(`${target.url}/there`)] })
      const { plain, policy } = yield* retrying
      const api = plain.pipe(HttpClient.followRedirects(3), Resilient.protect(policy))
      assert.strictEqual(yield* told(api.get(server.url)), 200)
      assert.deepStrictEqual(
        [yield* requestsOf(server), yield* requestsOf(target)],
        [
          ["GET", "GET"],
          ["GET", "GET"]
        ]
      )
      assert.deepStrictEqual(
        (yield* policy.allStats).map(({ key }) => key),
        [server.url]
      )
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.effect("a request that hangs ends with the timeout, and its connection is closed; only a GET is sent again", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [Faulty.hang] })
      const policy = yield* Policy.make("api", {
        retry: Retry.backoff({ base: "1 second", times: 1, jitter: "none" }),
        timeout: "10 seconds"
      })
      const api = (yield* HttpClient.HttpClient).pipe(Resilient.protect(policy))
      const get = yield* Effect.forkChild(told(api.get(server.url)))
      yield* server.until(({ requests }) => requests.length === 1)
      yield* TestClock.adjust("10 seconds")
      yield* server.until(({ aborted }) => aborted === 1)
      yield* TestClock.adjust("1 second")
      yield* server.until(({ requests }) => requests.length === 2)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(yield* Fiber.join(get), "TimedOut")

      const post = yield* Effect.forkChild(told(api.post(server.url)))
      yield* server.until(({ requests }) => requests.length === 3)
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* Fiber.join(post), "TimedOut")
      yield* server.until(({ aborted, connections }) => aborted === 3 && connections === 0)
      assert.deepStrictEqual(yield* requestsOf(server), ["GET", "GET", "POST"])
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live("a 503 whose body never comes does not delay the next attempt, and its connection is closed", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [Faulty.stall(busy, 0), Faulty.stall(busy, 2), well] })
      const { api } = yield* retrying
      const response = yield* api.get(server.url)
      assert.strictEqual(yield* response.text, "well")
      yield* server.until(({ aborted }) => aborted === 2)
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.effect("the connection of a response is released when the caller is interrupted during the delay", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [Faulty.stall(busy, 2)] })
      const delayed = yield* Deferred.make<void>()
      const policy = yield* Policy.make("api", {
        retry: { schedule: Schedule.spaced("1 hour"), onRetry: () => Deferred.succeed(delayed, undefined) }
      })
      const call = yield* Effect.forkChild(
        (yield* HttpClient.HttpClient).pipe(Resilient.protect(policy)).get(server.url)
      )
      yield* Deferred.await(delayed)
      yield* Fiber.interrupt(call)
      yield* server.until(({ aborted }) => aborted === 1)
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live("a body that can be read once is never sent twice: Effect's own retry sends it empty, and gets a 200", () =>
    Effect.gen(function* () {
      const server = yield* Faulty.http({ script: [busy, well] })
      const { api, plain } = yield* retrying
      const put = HttpClientRequest.put(server.url)
      const naive = plain.pipe(HttpClient.retryTransient({ times: 3 }))
      assert.strictEqual(yield* told(naive.execute(put.pipe(oneShot()))), 200)
      assert.deepStrictEqual(yield* requestsOf(server), ["PUT payload", "PUT"], "data is lost, and nothing says so")

      yield* server.setScript([busy, well])
      assert.strictEqual(yield* told(api.execute(put.pipe(oneShot()))), 503)
      assert.deepStrictEqual((yield* requestsOf(server)).slice(2), ["PUT payload"])
    }).pipe(Effect.scoped, Effect.provide(client))
  )

  it.live("a response that is replaced keeps no connection: with Effect's own retry each of them does", () =>
    Effect.gen(function* () {
      const callers = 5
      const big = Faulty.answer({ status: 503, body: "x".repeat(2_000_000) })
      // Responses that are collected as garbage are closed too, at some time: these are not.
      const kept: Array<HttpClientResponse.HttpClientResponse> = []
      const plain = yield* HttpClient.HttpClient
      // No breaker: on a busy machine ten failures in a row take the two seconds that open one.
      const policy = yield* Policy.make("api", { retry })
      const keeping = plain.pipe(HttpClient.tap((response) => Effect.sync(() => kept.push(response))))
      const left = <E>(api: HttpClient.HttpClient.With<E>, settled: (connections: number) => boolean) =>
        Effect.gen(function* () {
          const server = yield* Faulty.http({ script: [big] })
          yield* Effect.all(
            Array.from({ length: callers }, () => Effect.exit(api.get(server.url))),
            {
              concurrency: "unbounded"
            }
          )
          assert.strictEqual((yield* server.state).requests.length, callers * 4)
          return (yield* server.until(({ connections }) => settled(connections))).connections
        }).pipe(Effect.scoped)
      const naive = keeping.pipe(HttpClient.retryTransient({ times: 3 }))
      // node:http is the exception.
      if (name !== "node") assert.strictEqual(yield* left(naive, () => true), callers * 4)
      // The last response of each call is for the caller to read.
      assert.isAtMost(
        yield* left(keeping.pipe(Resilient.protect(policy)), (connections) => connections <= callers),
        callers
      )
    }).pipe(Effect.scoped, Effect.provide(client))
  )
})
