/** Which requests a policy with a hedge sends twice at the same time. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { HttpClientRequest } from "effect/http"
import type { HttpMethod } from "effect/http/HttpMethod"
import { Policy } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import { serverOf, soon, status, told } from "./support.ts"

const policy = Policy.make("api", {
  hedge: { after: "50 millis", idempotent: true },
  budget: { ratio: 1, capacity: 10, initial: 10 }
})

const slow = Effect.delay(status(200), "200 millis")
const withKey = HttpClientRequest.setHeader("Idempotency-Key", "order-7")
const none = (request: HttpClientRequest.HttpClientRequest) => request

describe("HttpClient: a hedge", () => {
  const rows: ReadonlyArray<readonly [sent: number, method: HttpMethod, change: typeof none, what: string]> = [
    [2, "GET", none, "a GET"],
    [2, "HEAD", none, "a HEAD"],
    [2, "PUT", HttpClientRequest.bodyText("x"), "a PUT"],
    [2, "DELETE", none, "a DELETE"],
    [1, "POST", none, "a POST"],
    [1, "PATCH", none, "a PATCH"],
    [1, "POST", withKey, "a POST with an idempotency key, which a server may refuse while the first one runs"]
  ]
  for (const [sent, method, change, what] of rows) {
    it.effect(`sends ${what} ${sent === 2 ? "twice" : "once"}`, () =>
      Effect.gen(function* () {
        const { client, requests } = serverOf(slow)
        const request = change(HttpClientRequest.make(method)("http://api.test/"))
        const call = (yield* Effect.map(policy, (policy) => client.pipe(Resilient.protect(policy)))).execute(request)
        assert.strictEqual(yield* soon(told(call)), 200)
        assert.strictEqual(requests.length, sent)
      })
    )
  }

  it.effect("sends once what the option `repeat` forbids", () =>
    Effect.gen(function* () {
      const { client, requests } = serverOf(slow)
      const once = client.pipe(Resilient.protect(yield* policy, { repeat: () => false }))
      assert.strictEqual(yield* soon(told(once.get("http://api.test/"))), 200)
      assert.strictEqual(requests.length, 1)
    })
  )

  it.effect(
    "takes a good response, although the other one is transient, and returns the last of two transient ones",
    () =>
      Effect.gen(function* () {
        const good = serverOf(Effect.delay(status(503), "60 millis"), Effect.delay(status(200), "30 millis"))
        const protect = Resilient.protect(yield* policy)
        assert.strictEqual(yield* soon(told(good.client.pipe(protect).get("http://api.test/"))), 200)
        const other = Resilient.protect(yield* policy)
        const bad = serverOf(Effect.delay(status(503), "60 millis"), Effect.delay(status(502), "30 millis"))
        assert.strictEqual(yield* soon(told(bad.client.pipe(other).get("http://api.test/"))), 502)
        assert.deepStrictEqual([good.requests.length, bad.requests.length], [2, 2])
      })
  )
})
