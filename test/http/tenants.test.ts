/** Requests of several tenants that wait for a permit of a server take turns. */
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { Bulkhead } from "effect-resilience"
import * as HttpServer from "effect-resilience/http/HttpServer"
import { get, serving } from "./serving.ts"

describe("tenants of a server", () => {
  it.live("take turns, whoever came first, and a function that throws means no tenant", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const one = yield* Bulkhead.make("one", { maxConcurrent: 1, maxQueued: 10 })
      const order: Array<string> = []
      const handler = Effect.gen(function* () {
        const request = yield* HttpServerRequest.HttpServerRequest
        order.push(request.url)
        yield* Deferred.await(gate)
        return HttpServerResponse.text("done")
      })
      const tenant = ({ url }: HttpServerRequest.HttpServerRequest) => {
        if (url.startsWith("/none")) throw new Error("no tenant")
        return url.split("-")[0]
      }
      const url = yield* serving(
        Layer.mergeAll(HttpRouter.add("*", "/*", handler), HttpServer.layer({ bulkhead: one, tenant }))
      )
      const waiting = (count: number) =>
        one
          .state()
          .pipe(Effect.repeat({ schedule: Schedule.spaced("2 millis"), until: ({ waiting }) => waiting === count }))
      const paths = ["/large-0", "/large-1", "/large-2", "/large-3", "/small-1", "/none-1"]
      const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
      for (const [i, path] of paths.entries()) {
        fibers.push(yield* Effect.forkChild(Effect.flatMap(get(url + path), (response) => response.text)))
        if (i === 0)
          yield* Effect.repeat(one.state(), {
            schedule: Schedule.spaced("2 millis"),
            until: (state) => state.running === 1
          })
        else yield* waiting(i)
      }
      yield* Deferred.succeed(gate, undefined)
      yield* Effect.forEach(fibers, Fiber.join)
      assert.deepStrictEqual(order, ["/large-0", "/large-1", "/small-1", "/none-1", "/large-2", "/large-3"])
    }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
  )

  it("refuses a tenant that is no function", () => {
    // @ts-expect-error: a tenant is a function of the request
    const named = () => HttpServer.layer({ tenant: "me" })
    assert.throws(
      named,
      "effect-resilience/http/HttpServer: tenant must be a function that returns a string or undefined"
    )
  })
})
