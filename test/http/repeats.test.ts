/** Which requests a protected client sends again, and when. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { HttpBody, HttpClientRequest } from "effect/http"
import type { HttpMethod } from "effect/http/HttpMethod"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry, Transient, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import { type Answer, refused, reset, serverOf, status, told } from "./support.ts"

const retrying = Policy.make("api", {
  retry: Retry.backoff({ base: "1 second", times: 2, jitter: "none" }),
  breaker: { trip: TripPolicy.consecutive(50) },
  timeout: "1 minute"
})

/** Runs a call to its end in virtual time. */
const ended = <A, E, R>(call: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(call, { startImmediately: true })
    for (let i = 0; i < 8; i++) yield* TestClock.adjust("1 minute")
    return yield* Fiber.join(fiber)
  })

type Change = (request: HttpClientRequest.HttpClientRequest) => HttpClientRequest.HttpClientRequest

const stream: Change = HttpClientRequest.bodyStream(Stream.make(new Uint8Array([1])))
const raw = (body: unknown): Change => HttpClientRequest.setBody(HttpBody.raw(body))
const none: Change = (request) => request
const withKey = HttpClientRequest.setHeader("Idempotency-Key", "order-7")
const onceWithRetryAfter = status(503, { "retry-after": "1" })
const hang = Effect.never

describe("a request is sent again", () => {
  const rows: ReadonlyArray<readonly [sent: number, method: HttpMethod, what: string, answer: Answer, change: Change]> =
    [
      [3, "GET", "a 503", status(503), none],
      [3, "HEAD", "a 500", status(500), none],
      [3, "OPTIONS", "a reset", reset, none],
      [3, "PUT", "a 502", status(502), HttpClientRequest.bodyText("x")],
      [3, "DELETE", "a 504", status(504), none],
      [3, "QUERY", "a 408", status(408), HttpClientRequest.bodyText("x")],
      [3, "GET", "a timeout", hang, none],
      [3, "POST", "a 503 with an idempotency key", status(503), withKey],
      [3, "POST", "a timeout with an idempotency key", hang, withKey],
      [3, "POST", "a 429", status(429), none],
      [3, "POST", "a 503 with Retry-After", onceWithRetryAfter, none],
      [3, "PATCH", "a refused connection", refused, HttpClientRequest.bodyText("x")],
      [3, "POST", "a refused connection, a raw text", refused, raw("text")],
      [3, "POST", "a 429, raw bytes", status(429), raw(new Uint8Array([1]))],
      [3, "POST", "a 429, raw parameters", status(429), raw(new URLSearchParams("a=1"))],
      [1, "GET", "a 404", status(404), none],
      [1, "GET", "a 200", status(200), none],
      [1, "POST", "a 503", status(503), HttpClientRequest.bodyText("x")],
      [1, "PATCH", "a 500", status(500), none],
      [1, "POST", "a reset", reset, none],
      [1, "POST", "a timeout", hang, none],
      [1, "PUT", "a 503, the body is a stream", status(503), stream],
      [1, "POST", "a 429, the body is a stream", status(429), stream],
      [1, "POST", "a refused connection, the body is a stream", refused, stream],
      [1, "POST", "a 503 with a key, the body is a stream", status(503), (request) => stream(withKey(request))],
      [1, "PUT", "a 503, the body is a web stream", status(503), raw(new ReadableStream())],
      [1, "PUT", "a 503, the body is an iterator", status(503), raw((function* () {})())],
      [1, "PUT", "a timeout, the body is a stream", hang, stream]
    ]
  it.effect.each(rows)("%i times in all: %s, %s", ([sent, method, what, answer, change]) =>
    Effect.gen(function* () {
      const policy = yield* retrying
      const { client, requests } = serverOf(answer)
      const request = change(HttpClientRequest.make(method)("http://api.test/"))
      const protectedClient = client.pipe(Resilient.protect(policy))
      const result = yield* ended(told(protectedClient.execute(request)))
      assert.strictEqual(requests.length, sent)
      if (what.startsWith("a timeout")) assert.strictEqual(result, "TimedOut")
      else if (/^a \d/.test(what))
        assert.strictEqual(String(result), what.slice(2, 5), "the last response is a response")
      else assert.strictEqual(result, "HttpClientError")
    })
  )

  it.effect("an attempt that must not be made is not sent, and its error is still a failure of the dependency", () =>
    Effect.gen(function* () {
      const policy = yield* retrying
      for (const answer of [status(503), reset]) {
        const { client } = serverOf(answer)
        yield* ended(Effect.exit(client.pipe(Resilient.protect(policy)).post("http://api.test/")))
      }
      const { totals } = yield* policy.stats("http://api.test")
      assert.deepStrictEqual([totals.failures, totals.successes, totals.retries], [2, 0, 0])
    })
  )

  it.effect("an unprocessed failure is repeated, and what follows may be the end of it", () =>
    Effect.gen(function* () {
      const policy = yield* retrying
      const { client, requests } = serverOf(refused, status(500), status(200))
      const post = client.pipe(Resilient.protect(policy)).post("http://api.test/")
      assert.strictEqual(yield* ended(told(post)), 500)
      assert.strictEqual(requests.length, 2)
    })
  )

  it.effect("a request that is not repeated costs one attempt: no delay, no retry, no token", () =>
    Effect.gen(function* () {
      const policy = yield* retrying
      for (const answer of [hang, reset, status(503)]) {
        const { client } = serverOf(answer)
        yield* ended(Effect.exit(client.pipe(Resilient.protect(policy)).post("http://api.test/")))
      }
      const { totals } = yield* policy.stats("http://api.test")
      assert.deepStrictEqual([totals.calls, totals.failures, totals.retries], [3, 3, 0])
    })
  )

  it.effect("a retry around a protected client sends a body that can be read once no second time", () =>
    Effect.gen(function* () {
      const policy = yield* retrying
      for (const answer of [refused, reset, hang]) {
        const { client, requests } = serverOf(answer)
        const put = client.pipe(Resilient.protect(policy)).execute(stream(HttpClientRequest.put("http://api.test/")))
        yield* ended(Effect.exit(put.pipe(Transient.known, Retry.transient(Schedule.recurs(3)))))
        assert.strictEqual(requests.length, 1)
      }
    })
  )

  it.effect("`repeat` decides what may be sent twice, and never about a stream", () =>
    Effect.gen(function* () {
      const policy = yield* retrying
      const { client, requests } = serverOf(status(503))
      const all = client.pipe(Resilient.protect(policy, { repeat: () => true }))
      yield* ended(all.post("http://api.test/"))
      assert.strictEqual(requests.length, 3)
      yield* ended(all.execute(stream(HttpClientRequest.post("http://api.test/"))))
      assert.strictEqual(requests.length, 4)
      const nothing = client.pipe(Resilient.protect(policy, { repeat: () => false }))
      yield* ended(nothing.get("http://api.test/"))
      assert.strictEqual(requests.length, 5)
    })
  )

  it.effect("a call is a call of its own each time: the same effect may run again, also at the same time", () =>
    Effect.gen(function* () {
      const policy = yield* retrying
      const { client, requests } = serverOf(refused)
      const post = told(client.pipe(Resilient.protect(policy)).post("http://api.test/"))
      yield* ended(Effect.all([post, post, post], { concurrency: "unbounded" }))
      assert.strictEqual(requests.length, 9)
    })
  )
})

describe("a delay", () => {
  it.effect.each([
    ["retry-after in seconds", { "retry-after": "7" }, 7000],
    [
      "retry-after as a date",
      { date: "Sun, 29 Nov 2026 05:00:00 GMT", "retry-after": "Sun, 29 Nov 2026 05:00:09 GMT" },
      9000
    ],
    ["retry-after-ms", { "retry-after-ms": "2500" }, 2500],
    ["retry-after-ms beside retry-after", { "retry-after-ms": "2500", "retry-after": "9" }, 2500]
  ] as const)("is at least what the server asks for: %s", ([, headers, millis]) =>
    Effect.gen(function* () {
      const policy = yield* retrying
      const { client, requests } = serverOf(status(503, headers), status(200))
      const fiber = yield* Effect.forkChild(client.pipe(Resilient.protect(policy)).get("http://api.test/"), {
        startImmediately: true
      })
      yield* TestClock.adjust(millis - 1)
      assert.strictEqual(requests.length, 1)
      // The spread is up to 20 %.
      yield* TestClock.adjust(millis * 0.2 + 1)
      assert.strictEqual((yield* Fiber.join(fiber)).status, 200)
    })
  )
})
