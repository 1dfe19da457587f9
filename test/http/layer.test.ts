/** The client of a program, protected for all code that requires one. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { HttpClient, HttpClientError, type HttpClientResponse } from "effect/http"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Rejection, Retry, Timeout, Transient, TripPolicy } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import { serverOf, soon, status } from "./support.ts"

const url = "http://api.test/"
const retry = Retry.backoff({ base: "1 millis", times: 2, jitter: "none" })

describe("layer", () => {
  class Api extends Policy.Service<Api>()("app/Api", {
    breaker: { trip: TripPolicy.consecutive(1) },
    timeout: "1 second",
    bulkhead: { maxConcurrent: 1, maxQueued: 0 }
  }) {}
  const over = (client: HttpClient.HttpClient) =>
    Resilient.layer(Api).pipe(Layer.provide([Layer.succeed(HttpClient.HttpClient)(client), Api.layer]))
  const failure = (
    call: Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError, HttpClient.HttpClient>
  ) => call.pipe(Transient.known, Effect.flip)

  it.effect("rejections are errors of the client, with the rejection as cause; they are not transient", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* HttpClient.get(url)).status, 503)
      const error = yield* failure(HttpClient.get(url))
      assert.instanceOf(error, HttpClientError.HttpClientError)
      assert.strictEqual(error.reason._tag, "TransportError")
      const rejection = Rejection.of(error)
      assert.deepInclude(rejection, { _tag: "CircuitOpen", policy: "app/Api", key: "http://api.test" })
      assert.include(error.message, "app/Api [http://api.test]: the circuit is open")
      assert.isFalse(Transient.is(error))
      assert.isTrue(Transient.isUnprocessed(error))
      assert.isTrue(Rejection.isLocal(rejection))
    }).pipe(Effect.provide(over(serverOf(status(503)).client)))
  )

  it.effect("a timeout is a transient error of the client; a full bulkhead a rejection", () =>
    Effect.gen(function* () {
      const hung = yield* Effect.forkChild(failure(HttpClient.get(url)), { startImmediately: true })
      const full = yield* failure(HttpClient.get(url))
      assert.strictEqual(Rejection.of(full)?._tag, "BulkheadFull")
      yield* TestClock.adjust("1 second")
      const error = yield* Fiber.join(hung)
      assert.instanceOf(error.reason.cause, Timeout.TimedOut)
      assert.isUndefined(Rejection.of(error))
      assert.isTrue(Transient.is(error))
    }).pipe(Effect.provide(over(serverOf(Effect.never).client)))
  )

  it.effect("a deadline that passed while the request ran is not unprocessed, and a policy around ignores it", () =>
    Effect.gen(function* () {
      const inner = yield* Policy.make("inner", { deadline: "1 second" })
      const outer = yield* Policy.make("outer", { retry, breaker: {} })
      const { client, requests } = serverOf(Effect.never)
      const layer = Resilient.layer(inner).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient)(client)))
      const call = HttpClient.get(url).pipe(Transient.known, outer.protect)
      const error = yield* soon(Effect.flip(call)).pipe(Effect.provide(layer))
      assert.strictEqual(Rejection.of(error)?._tag, "DeadlineExceeded")
      assert.isFalse(Transient.isUnprocessed(error))
      const { totals } = yield* outer.stats()
      assert.deepStrictEqual([totals.ignored, totals.retries, requests.length], [1, 0, 1])
    })
  )

  it.effect("the errors of the client itself stay the same", () =>
    Effect.gen(function* () {
      const reason = (yield* failure(HttpClient.get("no url"))).reason
      assert.strictEqual(reason._tag, "InvalidUrlError")
    }).pipe(Effect.provide(over(serverOf(status(200)).client)))
  )

  it.effect("a request that the client cannot encode is neither repeated nor counted", () => {
    let requests = 0
    const client = HttpClient.make((request) =>
      Effect.suspend(() => {
        requests++
        const reason = new HttpClientError.EncodeError({ request, cause: new Error("a cycle") })
        return Effect.fail(new HttpClientError.HttpClientError({ reason }))
      })
    )
    return Effect.gen(function* () {
      const policy = yield* Policy.make("encoding", { retry, breaker: {} })
      const error = yield* Effect.flip(client.pipe(Resilient.protect(policy)).get(url))
      assert.strictEqual(error instanceof HttpClientError.HttpClientError && error.reason._tag, "EncodeError")
      assert.deepStrictEqual([Transient.is(error), Transient.isUnprocessed(error)], [false, true])
      const [{ totals } = assert.fail("no key")] = yield* policy.allStats
      assert.deepStrictEqual([requests, totals.failures, totals.ignored, totals.retries], [1, 0, 1, 0])
    })
  })
})
