/**
 * A service with all parts on, as a process of its own: two policies in front of its upstream, a limit of its own, metrics, logs, spans, the
 * console, a state file and a board. `live.ts` starts it, calls it, and asks for its memory.
 */
import { createServer } from "node:http"
import { join } from "node:path"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { NodeFileSystem, NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { Console } from "@effect-resilience/console"
import * as Effect from "effect/Effect"
import { HttpClient, HttpRouter, HttpServerResponse, HttpServer as Server } from "effect/http"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { PrometheusMetrics } from "effect/observability"
import { Bulkhead, Policy, Retry, StaleFallback } from "effect-resilience"
import * as Client from "effect-resilience/http/HttpClient"
import * as HttpServer from "effect-resilience/http/HttpServer"
import * as Sqlite from "effect-resilience/shared/Sqlite"
import * as State from "effect-resilience/state/State"
import * as Logs from "effect-resilience/telemetry/Logs"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import * as Spans from "effect-resilience/telemetry/Spans"

export interface Memory {
  /** Heap in use after a collection, in bytes. */
  readonly heap: number
  /** Memory of the process, in bytes. */
  readonly rss: number
  /** Timers, sockets and other resources that keep the process alive. */
  readonly resources: number
}

export const token = "token-of-the-soak"

const keys = { maxKeys: 200, idleTimeToLive: "1 minute" } as const
const retry = Retry.backoff({ base: "20 millis", times: 2 })

class Inbound extends Bulkhead.Service<Inbound>()("soak/Inbound", { maxConcurrent: 200, keys }) {}

class Fixed extends Policy.Service<Fixed>()("soak/Fixed", {
  deadline: "1 second",
  timeout: "300 millis",
  retry,
  budget: { minPerSecond: 1 },
  breaker: { openFor: "2 seconds" },
  bulkhead: { maxConcurrent: 50, maxQueued: 50 },
  rateLimit: { limit: 500, window: "1 second", maxWait: "100 millis" },
  hedge: {},
  keys,
  shared: { breaker: {}, budget: true }
}) {}

class Adaptive extends Policy.Service<Adaptive>()("soak/Adaptive", {
  deadline: "1 second",
  timeout: "300 millis",
  retry,
  adaptive: {},
  keys
}) {}

class Stale extends StaleFallback.Service<Stale, string>()("soak/Stale", {
  maxAge: "1 minute",
  maxKeys: 200,
  when: "any"
}) {}

/** `/fixed/:key` and `/adaptive/:key` ask the upstream for the key. */
const routes = (upstream: string) =>
  HttpRouter.use((router) =>
    Effect.gen(function* () {
      const http = yield* HttpClient.HttpClient
      const add = <E extends { readonly _tag: string }, R>(name: string, client: HttpClient.HttpClient.With<E, R>) =>
        router.add(
          "GET",
          `/${name}/:key`,
          Effect.gen(function* () {
            const { key = "" } = yield* HttpRouter.params
            const text = client.get(`${upstream}/${key}`).pipe(
              Effect.flatMap((response) => response.text),
              Stale.protect({ key })
            )
            return yield* Effect.match(text, {
              onFailure: (error) => HttpServerResponse.text(error._tag, { status: 502 }),
              onSuccess: (text) => HttpServerResponse.text(text)
            })
          })
        )
      const options = { key: ({ url }: { readonly url: string }) => url, body: true } as const
      yield* add("fixed", http.pipe(Client.protect(Fixed, options)))
      yield* add("adaptive", http.pipe(Client.protect(Adaptive, options)))
    })
  )

const serve = (upstream: string, folder: string) =>
  HttpRouter.serve(
    Layer.mergeAll(
      routes(upstream),
      HttpServer.layer({
        bulkhead: Inbound,
        deadline: "2 seconds",
        exempt: ({ url }) => url.startsWith("/resilience")
      }),
      PrometheusMetrics.layerHttp({ path: "/metrics", metricNameMapper: Metrics.prometheusName }),
      Console.layerHttp({ path: "/resilience", token })
    ),
    { disableListenLog: true, disableLogger: true }
  ).pipe(
    Layer.provideMerge(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
    Layer.provideMerge(NodeHttpClient.layerUndici),
    Layer.provideMerge(Layer.mergeAll(Fixed.layer, Adaptive.layer, Inbound.layer, Stale.layer)),
    Layer.provideMerge(State.layerFile({ path: join(folder, "state.json"), every: "1 second" })),
    Layer.provide(Sqlite.layer({ path: join(folder, "board.db") })),
    Layer.provide(NodeFileSystem.layer),
    Layer.provideMerge(Layer.mergeAll(Metrics.layer(), Logs.layer(), Spans.layer())),
    Layer.provide(Logger.layer([]))
  )

/** The child's side: says where it listens, and answers each message with its memory. */
const main = async (upstream: string, folder: string): Promise<void> => {
  setFlagsFromString("--expose-gc")
  const collect: () => void = runInNewContext("gc")
  process.on("message", () => {
    collect()
    const { heapUsed, rss } = process.memoryUsage()
    const memory: Memory = { heap: heapUsed, rss, resources: process.getActiveResourcesInfo().length }
    process.send?.(memory)
  })
  process.on("disconnect", () => process.exit(0))
  const program = Effect.gen(function* () {
    const { address } = yield* Server.HttpServer
    process.send?.(Server.formatAddress(address))
    return yield* Effect.never
  })
  await Effect.runPromise(Effect.provide(program, serve(upstream, folder)))
}

const [upstream, folder] = process.argv.slice(2)
if (import.meta.main && upstream !== undefined && folder !== undefined) await main(upstream, folder)
