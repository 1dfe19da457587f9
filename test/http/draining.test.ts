/** A server that stops: running requests finish, new ones go elsewhere, and nothing waits longer than it may. */
import { Agent, request as httpRequest } from "node:http"
import { NodeHttpClient } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { HttpRouter, HttpServerResponse } from "effect/http"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import * as HttpServer from "effect-resilience/http/HttpServer"
import { get, problemOf, serving } from "./serving.ts"

const readiness = HttpRouter.add(
  "GET",
  "/ready",
  Effect.map(HttpServer.isDraining, (draining) => HttpServerResponse.text(draining ? "no" : "yes"))
)

/** A server with a handler that waits for a gate, and the scope that stops it. */
const starting = (within: "1 hour" | "20 millis") =>
  Effect.gen(function* () {
    const gate = yield* Deferred.make<void>()
    const begun = yield* Deferred.make<void>()
    const interrupted = yield* Deferred.make<void>()
    const slow = Effect.andThen(Deferred.succeed(begun, undefined), Deferred.await(gate)).pipe(
      Effect.as(HttpServerResponse.text("done")),
      Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
    )
    const scope = yield* Scope.make()
    const url = yield* serving(
      Layer.mergeAll(
        HttpRouter.add("GET", "/slow", slow),
        readiness,
        HttpServer.layer({ exempt: ({ url }) => url === "/ready", retryAfter: "2 seconds" })
      ),
      HttpServer.drain(within)
    ).pipe(Scope.provide(scope))
    return { url, scope, gate, begun, interrupted }
  })

/** A request over a connection that is kept alive: its status, and what the server says about the connection. */
const over = (agent: Agent, url: string): Effect.Effect<{ readonly status: number; readonly connection: string }> =>
  Effect.callback((resume) => {
    httpRequest(url, { agent }, (response) => {
      response.resume()
      response.on("end", () =>
        resume(Effect.succeed({ status: response.statusCode ?? 0, connection: String(response.headers.connection) }))
      )
    }).end()
  })

describe("draining a server", () => {
  it.live("running requests finish, new ones get 503 and a closed connection, readiness says so", () =>
    Effect.gen(function* () {
      const { begun, gate, scope, url } = yield* starting("1 hour")
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      assert.deepInclude(yield* over(agent, `${url}/ready`), { status: 200, connection: "keep-alive" })
      const running = yield* Effect.forkChild(Effect.flatMap(get(`${url}/slow`), (response) => response.text))
      yield* Deferred.await(begun)
      const stopping = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      assert.deepStrictEqual(yield* over(agent, `${url}/slow`), { status: 503, connection: "close" })
      assert.deepInclude(yield* Effect.flatMap(get(`${url}/slow`), problemOf), {
        status: 503,
        code: "Draining",
        retryAfter: "2"
      })
      assert.strictEqual(yield* Effect.flatMap(get(`${url}/ready`), (response) => response.text), "no")
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(running), "done")
      yield* Fiber.join(stopping)
      agent.destroy()
      assert.deepInclude(yield* Effect.flip(get(`${url}/ready`)), { _tag: "HttpClientError" })
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("what still runs when the time is over is interrupted", () =>
    Effect.gen(function* () {
      const { begun, interrupted, scope, url } = yield* starting("20 millis")
      const running = yield* Effect.forkChild(Effect.exit(get(`${url}/slow`)))
      yield* Deferred.await(begun)
      yield* Scope.close(scope, Exit.void)
      yield* Deferred.await(interrupted)
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("an idle server stops at once", () =>
    Effect.gen(function* () {
      const { scope } = yield* starting("1 hour")
      yield* Scope.close(scope, Exit.void)
    })
  )
})
