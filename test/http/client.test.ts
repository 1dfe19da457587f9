/** What a protected client returns, counts, and is refused for. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { HttpClient, HttpClientRequest } from "effect/http"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry, type Stats, Transient, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import { type Answer, serverOf, soon, status, told } from "./support.ts"

const url = "http://api.test/"
const retry = Retry.backoff({ base: "1 millis", times: 2, jitter: "none" })

describe("responses", () => {
  it.effect("the last response of a retry that gave up is readable", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("api", { retry })
      const { client, requests } = serverOf(
        status(503, {}, "first"),
        status(503, {}, "second"),
        status(502, { a: "b" }, "third")
      )
      const response = yield* soon(client.pipe(Resilient.protect(policy)).get(url))
      assert.deepStrictEqual(
        [response.status, response.headers.a, yield* response.text, requests.length],
        [502, "b", "third", 3]
      )
    })
  )

  it.effect("a response is readable when the next attempt was rejected", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("api", {
        retry: Retry.backoff({ base: "1 millis", times: 5, jitter: "none" }),
        breaker: { trip: TripPolicy.consecutive(1) }
      })
      const { client, requests } = serverOf(status(503, {}, "why"))
      const response = yield* soon(client.pipe(Resilient.protect(policy)).get(url))
      assert.deepStrictEqual([response.status, yield* response.text, requests.length], [503, "why", 1])
    })
  )

  it.effect("a response is readable when the next attempt was cut by the deadline, if its body is short", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("api", { retry, deadline: "10 seconds" })
      for (const [body, readable] of [
        ["why", true],
        ["x".repeat(100_000), false]
      ] as const) {
        const { client, requests } = serverOf(status(503, {}, body), Effect.never)
        const response = yield* soon(client.pipe(Resilient.protect(policy)).get(url))
        assert.deepStrictEqual([response.status, requests.length], [503, 2])
        const text = yield* Effect.option(response.text)
        assert.deepStrictEqual(Option.getOrUndefined(text), readable ? body : undefined)
      }
    })
  )

  it.effect("`transient` says which responses are failures, and `Retry-After` counts for them too", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("api", { retry, breaker: {} })
      const options: Resilient.Options = { transient: (response) => response.status === 409 }
      const { client, requests } = serverOf(status(409, { "retry-after": "30" }), status(500))
      const protectedClient = client.pipe(Resilient.protect(policy, options))
      const fiber = yield* Effect.forkChild(protectedClient.get(url), { startImmediately: true })
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(requests.length, 1)
      yield* TestClock.adjust("8 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).status, 500)
      const { totals } = yield* policy.stats("http://api.test")
      assert.deepStrictEqual([totals.failures, totals.successes], [1, 1])
    })
  )

  it.effect("with `body` every way to read a body works, again and again", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("api", { breaker: {} })
      const form = "content-type"
      const { client } = serverOf(status(200, { [form]: "application/x-www-form-urlencoded" }, "a=1"))
      const response = yield* client.pipe(Resilient.protect(policy, { body: true })).get(url)
      for (let i = 0; i < 2; i++) {
        assert.strictEqual(yield* response.text, "a=1")
        assert.strictEqual(yield* Stream.mkString(Stream.decodeText(response.stream)), "a=1")
        assert.strictEqual((yield* response.formData).get("a"), "1")
        assert.deepStrictEqual(Array.from((yield* response.urlParamsBody).params), [["a", "1"]] as never)
        assert.strictEqual((yield* response.arrayBuffer).byteLength, 3)
        assert.strictEqual((yield* Effect.flip(response.json)).reason._tag, "DecodeError")
      }
      assert.deepStrictEqual([response.status, response.headers[form]], [200, "application/x-www-form-urlencoded"])
      const empty = yield* serverOf(status(204))
        .client.pipe(Resilient.protect(policy, { body: true }))
        .get(url)
      assert.strictEqual(yield* Stream.mkString(Stream.decodeText(empty.stream)), "")
    })
  )

  it.effect("with `body` the timeout is one of the body too", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("api", { timeout: "1 second" })
      const slow = Effect.sync(() => new Response(new ReadableStream({ pull: () => new Promise(() => {}) })))
      const { client } = serverOf(slow)
      assert.strictEqual(yield* soon(told(client.pipe(Resilient.protect(policy)).get(url))), 200)
      assert.strictEqual(yield* soon(told(client.pipe(Resilient.protect(policy, { body: true })).get(url))), "TimedOut")
    })
  )
})

describe("the breaker", () => {
  it.effect("counts transient responses, ignores 429 and what the client refuses, and takes 404 for a success", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("api", { breaker: {} })
      const count = (answer: Answer, target = url) =>
        Effect.gen(function* () {
          const before = (yield* policy.stats("http://api.test")).totals
          const { client } = serverOf(answer)
          yield* Effect.exit(client.pipe(Resilient.protect(policy, { key: "http://api.test" })).get(target))
          const after = (yield* policy.stats("http://api.test")).totals
          return [after.failures - before.failures, after.successes - before.successes, after.ignored - before.ignored]
        })
      assert.deepStrictEqual(yield* count(status(503)), [1, 0, 0])
      assert.deepStrictEqual(yield* count(status(429)), [0, 0, 1])
      assert.deepStrictEqual(yield* count(status(404)), [0, 1, 0])
      assert.deepStrictEqual(yield* count(status(200), "no url"), [0, 0, 1])
    })
  )

  it.effect("has a circuit for each origin, or by `key`; the keys are bounded", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("api", { breaker: {}, keys: { maxKeys: 3 } })
      const { client } = serverOf(status(200))
      const byOrigin = client.pipe(Resilient.protect(policy))
      yield* byOrigin.get("https://a.test:8443/x?y=1")
      yield* byOrigin.get(new URL("http://user:pass@b.test/x"))
      yield* byOrigin.pipe(HttpClient.mapRequest(HttpClientRequest.prependUrl("http://c.test"))).get("/x")
      const keys = (all: ReadonlyArray<Stats.Stats>) => all.map((stats) => stats.key).sort()
      assert.deepStrictEqual(keys(yield* policy.allStats), ["http://b.test", "http://c.test", "https://a.test:8443"])
      for (let i = 0; i < 100; i++) yield* byOrigin.get(`http://host-${i}.test/`)
      assert.isAtMost((yield* policy.allStats).length, 4)
      const byTenant = yield* Policy.make("tenants", { breaker: {} })
      yield* client.pipe(Resilient.protect(byTenant, { key: (request) => request.headers.tenant ?? "" })).get(url, {
        headers: { tenant: "eu" }
      })
      yield* client.pipe(Resilient.protect(byTenant, { key: "all" })).get(url)
      assert.deepStrictEqual(keys(yield* byTenant.allStats), ["all", "eu"])
    })
  )
})

describe("spans", () => {
  it.effect("of an attempt after the first have the number of the resend", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const policy = yield* Policy.make("api", { retry })
      const { client } = serverOf(status(503))
      yield* soon(client.pipe(Resilient.protect(policy)).get(url)).pipe(Effect.withTracer(tracer))
      const counts = spans.map((span) => span.attributes.get("http.request.resend_count"))
      assert.deepStrictEqual(counts, [undefined, 1, 2])
    })
  )
})

it.effect("a retry around a protected client repeats nothing that the policy gave up on", () =>
  Effect.gen(function* () {
    const policy = yield* Policy.make("api", { retry, timeout: "1 second" })
    const { client, requests } = serverOf(Effect.fail({ code: "ECONNRESET" }))
    const call = client.pipe(Resilient.protect(policy)).get(url)
    yield* soon(call.pipe(Transient.known, Retry.transient(Schedule.recurs(3)), Effect.exit))
    assert.strictEqual(requests.length, 3)
  })
)

it.effect("of what `repeat` and `transient` return only `true` counts, and what they throw hides no response", () =>
  Effect.gen(function* () {
    const policy = yield* Policy.make("api", { retry })
    const wrong: ReadonlyArray<() => boolean> = [
      () => Promise.resolve(true) as never,
      () => 1 as never,
      () => {
        throw new Error("a bug")
      }
    ]
    for (const predicate of wrong) {
      for (const option of ["repeat", "transient"]) {
        const { client, requests } = serverOf(status(503))
        const result = yield* soon(told(client.pipe(Resilient.protect(policy, { [option]: predicate })).get(url)))
        assert.deepStrictEqual([result, requests.length], [503, 1])
      }
    }
  })
)

describe("bad options are refused when the client is made", () => {
  const policy = Effect.runSync(Policy.make("api", { breaker: {} }))
  it.each([
    ["key", { key: 5 }, "key must be a string, or a function that returns one, got 5"],
    ["body", { body: "yes" }, 'body must be true or false, got "yes"'],
    ["repeat", { repeat: true }, "repeat must be a function that returns true or false, got true"],
    ["transient", { transient: [503] }, "transient must be a function that returns true or false, got [503]"],
    [
      "an async one",
      { repeat: async () => false },
      "repeat must be a function that returns true or false, got an async"
    ],
    ["an unknown one", { statuses: [503] }, "there is no option statuses"]
  ])("%s", (_, options, message) => {
    const where = "effect-resilience/http/HttpClient: "
    const given = options as Resilient.Options
    assert.throws(() => Resilient.protect(policy, given), RangeError, where + message)
    assert.throws(() => Resilient.layer(policy, given), RangeError, where + message)
  })
  it("a policy that is none", () => {
    for (const wrong of [undefined, null, {}, "api", Effect.void]) {
      assert.throws(
        () => Resilient.protect(wrong as typeof policy),
        RangeError,
        "policy must be a class made by Policy.Service"
      )
    }
  })
  it("a key of a middleware", () => {
    assert.throws(
      () => Resilient.middleware(policy, { key: "x" as never }),
      RangeError,
      "key must be a function that returns a string"
    )
  })
})
