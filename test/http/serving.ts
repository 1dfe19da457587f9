/** Real servers of Effect on loopback. */
import { createServer } from "node:http"
import { NodeHttpServer } from "@effect/platform-node"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { HttpClient, HttpClientRequest, type HttpClientResponse, HttpRouter, HttpServer } from "effect/http"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"

// Any: the router keeps the errors of handlers among the requirements, by types of its own
type Routes = Layer.Layer<never, unknown, any>

/** Serves routes until the scope closes, and returns their origin. What they require comes from the test. */
export const serving = (
  routes: Routes,
  around: (server: Layer.Layer<never, unknown, HttpServer.HttpServer>) => Routes = (server) => server
): Effect.Effect<string, unknown, Scope.Scope> =>
  Layer.build(
    around(HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true })).pipe(
      Layer.provideMerge(
        NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0, gracefulShutdownTimeout: "100 millis" })
      )
    )
  ).pipe(
    Effect.map((context: Context.Context<HttpServer.HttpServer>) =>
      HttpServer.formatAddress(Context.get(context, HttpServer.HttpServer).address)
    )
  )

export const get = (url: string, headers: Record<string, string> = {}) => HttpClient.get(url, { headers })

export const post = (url: string, headers: Record<string, string> = {}) =>
  HttpClient.execute(HttpClientRequest.post(url, { headers }))

/** A problem (RFC 9457): its status, its kind, and the header `Retry-After`. */
export const problemOf = (response: HttpClientResponse.HttpClientResponse) =>
  Effect.map(response.json, (body) => ({
    type: response.headers["content-type"],
    status: response.status,
    code: (body as { readonly code: string }).code,
    text: JSON.stringify(body),
    retryAfter: response.headers["retry-after"]
  }))
