/**
 * p-retry #37: every TypeError was taken for a fault of the network and retried, also one with which `fetch` refuses a header.
 * We promise: what the client refuses is not retried, and says nothing about the host: whoever controls a header value opens no
 * circuit with it.
 */
import { assert, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import * as Schedule from "effect/Schedule"
import { Policy, Transient, TripPolicy } from "effect-resilience"

// As undici's `fetch`, without a network: it refuses the header, and nobody answers otherwise.
const fetching = (calls: Array<string>): typeof fetch => {
  return (_, init) => {
    calls.push("fetch")
    const value = new Headers(init?.headers ?? {}).get("x-user")
    return Promise.reject(new TypeError("fetch failed", { cause: new Error(`connect ECONNREFUSED, for ${value}`) }))
  }
}

const attempts = (user: string) =>
  Effect.gen(function* () {
    const calls: Array<string> = []
    const host = yield* Policy.make("host", {
      retry: Schedule.recurs(2),
      breaker: { trip: TripPolicy.consecutive(3) }
    })
    const request = HttpClientRequest.get("http://host.example").pipe(HttpClientRequest.setHeader("x-user", user))
    const call = HttpClient.execute(request).pipe(
      Transient.known,
      host.protect,
      Effect.provide(FetchHttpClient.layer),
      Effect.provideService(FetchHttpClient.Fetch, fetching(calls))
    )
    yield* Effect.exit(call)
    const { circuit } = yield* host.stats()
    return { calls: calls.length, circuit: circuit?._tag }
  })

it.effect("a header with a line break is tried once, a network that fails three times", () =>
  Effect.gen(function* () {
    assert.deepStrictEqual(yield* attempts("ann\r\nx-admin: 1"), { calls: 1, circuit: "closed" })
    assert.deepStrictEqual(yield* attempts("ann"), { calls: 3, circuit: "open" })
  })
)
