/**
 * Starts servers on loopback that fail by a script: an HTTP server that answers, hangs, resets, cuts bodies, redirects and
 * throttles, and a TCP proxy that cuts, delays and refuses connections. They record what they received, so that a test can
 * count duplicates.
 *
 * This module needs Node, or a runtime with `node:http` and `node:net`. It is not exported from the root of the package:
 * import it from `@effect-resilience/testing/Faulty`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Check from "./internal/check.ts"
import { HttpServer } from "./internal/faulty/http.ts"
import { freePort } from "./internal/faulty/port.ts"
import { TcpProxy } from "./internal/faulty/tcp.ts"

// ---------------------------------------------------------------------------------------------------------------------
// HTTP
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What the HTTP server does with one request.
 *
 * @category models
 * @since 0.1.0
 */
export type Behaviour =
  | {
      readonly _tag: "answer"
      readonly status: number
      readonly headers: Headers
      readonly body: string | Uint8Array
      /** The connection ends after this many bytes of the body. */
      readonly cutAfter: number | undefined
      /** Nothing is sent after this many bytes of the body, and the connection stays open. */
      readonly stallAfter: number | undefined
      /** The body is sent in pieces of `bytes`, with `every` milliseconds before each. */
      readonly pace: { readonly bytes: number; readonly every: number } | undefined
    }
  | { readonly _tag: "hang" }
  | { readonly _tag: "reset" }

/**
 * Headers of an answer. Names are not case-sensitive.
 *
 * @category models
 * @since 0.1.0
 */
export type Headers = Readonly<Record<string, string | ReadonlyArray<string>>>

/**
 * A request that the server received.
 *
 * @category models
 * @since 0.1.0
 */
export interface Received {
  /** Which request it is, counted from 1. */
  readonly n: number
  readonly method: string
  /** Path and query. */
  readonly url: string
  /** By lower-case name; values of a repeated header are joined with a comma. */
  readonly headers: Readonly<Record<string, string>>
  /** The body as UTF-8. */
  readonly body: string
  /** The length of the body in bytes. */
  readonly bytes: number
}

/**
 * The behaviours in order, the last one for all further requests; or a function of the request and its number, from 1.
 *
 * @category models
 * @since 0.1.0
 */
export type Script = ReadonlyArray<Behaviour> | ((request: Received, n: number) => Behaviour)

/**
 * What an {@link Http} server counts at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface HttpState {
  /** The requests so far, in the order in which their bodies were complete. */
  readonly requests: ReadonlyArray<Received>
  /** Connections that are open. */
  readonly connections: number
  /** Responses whose connection the client closed before they were complete. */
  readonly aborted: number
}

/**
 * An HTTP server with a script.
 *
 * @category models
 * @since 0.1.0
 */
export interface Http {
  /** `http://127.0.0.1:` and the port, without a slash at the end. */
  readonly url: string
  readonly port: number
  /** What the server counts now. */
  readonly state: Effect.Effect<HttpState>
  /** Waits until the predicate is `true` of the state. It is asked now, and after every change. */
  readonly until: (predicate: (state: HttpState) => boolean) => Effect.Effect<HttpState>
  /** Replaces the script. The numbers of requests continue; an array starts at its first behaviour. */
  readonly setScript: (script: Script) => Effect.Effect<void>
  /** Closes the port and every connection: the next connection is refused. */
  readonly refuse: Effect.Effect<void>
  /** Opens the same port again after {@link refuse}. */
  readonly accept: Effect.Effect<void>
}

/**
 * Answers with a status, headers and a body. Default: 200, no headers of its own, an empty body.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const answer = (
  options: {
    readonly status?: number | undefined
    readonly headers?: Headers | undefined
    readonly body?: string | Uint8Array | undefined
  } = {}
): Behaviour => {
  const { body = "", headers = {}, status = 200 } = options
  if (!(Number.isInteger(status) && status >= 200 && status <= 599)) {
    Check.refuse("Faulty.answer", "status", "an integer in [200, 599]", status)
  }
  return { _tag: "answer", status, headers, body, cutAfter: undefined, stallAfter: undefined, pace: undefined }
}

/**
 * Answers with a value as JSON, with status 200 if none is given.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const json = (value: unknown, status = 200): Behaviour =>
  answer({ status, headers: { "content-type": "application/json" }, body: JSON.stringify(value) })

/**
 * Receives the request, or the bytes of a connection, and never answers.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const hang: { readonly _tag: "hang" } = { _tag: "hang" }

/**
 * Receives the request and resets the connection (RST). As the behaviour of a proxy it resets a connection at once.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const reset: { readonly _tag: "reset" } = { _tag: "reset" }

/** A behaviour with a body, for the combinators below. */
const withBody = (where: string, behaviour: Behaviour): Extract<Behaviour, { readonly _tag: "answer" }> =>
  behaviour._tag === "answer" ? behaviour : Check.refuse(where, "the behaviour", "an answer", behaviour)

/**
 * Ends the connection after `bytes` bytes of the body of an answer. The header announces the whole length.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const cut = (behaviour: Behaviour, bytes: number): Behaviour => ({
  ...withBody("Faulty.cut", behaviour),
  cutAfter: Check.integer("Faulty.cut", "bytes", bytes, 0)
})

/**
 * Sends the headers and `bytes` bytes of the body of an answer, then nothing: the connection stays open.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const stall = (behaviour: Behaviour, bytes: number): Behaviour => ({
  ...withBody("Faulty.stall", behaviour),
  stallAfter: Check.integer("Faulty.stall", "bytes", bytes, 0)
})

/**
 * Sends the body of an answer in pieces of `bytes` bytes, with a pause of `every` before each. The pauses are real time.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const slow = (
  behaviour: Behaviour,
  pace: { readonly bytes: number; readonly every: Duration.Input }
): Behaviour => ({
  ...withBody("Faulty.slow", behaviour),
  pace: {
    bytes: Check.integer("Faulty.slow", "bytes", pace.bytes, 1),
    every: Check.millis("Faulty.slow", "every", pace.every)
  }
})

/**
 * Redirects to another location. Default status: 302.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const redirect = (location: string, status = 302): Behaviour => answer({ status, headers: { location } })

/**
 * Asks the client to send fewer requests: status 429, or the status given, with `Retry-After` if one is given. A duration is
 * sent in whole seconds, rounded up; a string is sent as it is, for a date.
 *
 * @category behaviours
 * @since 0.1.0
 */
export const throttle = (
  options: {
    readonly status?: number | undefined
    readonly retryAfter?: Duration.Duration | string | undefined
    readonly headers?: Headers | undefined
  } = {}
): Behaviour => {
  const { headers = {}, retryAfter, status = 429 } = options
  const wait = Duration.isDuration(retryAfter) ? String(Math.ceil(Duration.toSeconds(retryAfter))) : retryAfter
  return answer({ status, headers: wait === undefined ? headers : { ...headers, "retry-after": wait } })
}

const scriptIn = <A, F extends (...args: never) => A>(where: string, script: ReadonlyArray<A> | F) => {
  if (typeof script !== "function" && !(Array.isArray(script) && script.length > 0)) {
    Check.refuse(where, "script", "at least one behaviour, or a function that returns one", script)
  }
  return script
}

/**
 * Starts an HTTP server on a free port of `127.0.0.1`, until the scope closes.
 *
 * **Details** A request is recorded when its body is complete, and before it is answered. What the script throws resets the
 * connection. When the scope closes, every connection is closed too.
 *
 * **Example** (A server that fails once)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { FetchHttpClient, HttpClient } from "effect/http"
 * import * as Faulty from "@effect-resilience/testing/Faulty"
 *
 * const program = Effect.gen(function*() {
 *   const server = yield* Faulty.http({ script: [Faulty.answer({ status: 503 }), Faulty.answer({ body: "well" })] })
 *   const first = yield* HttpClient.get(server.url)
 *   const second = yield* HttpClient.get(server.url)
 *   const { requests } = yield* server.state
 *   return [first.status, second.status, requests.length]
 * })
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer))) // => [503, 200, 2]
 * ```
 *
 * @category servers
 * @since 0.1.0
 */
export const http = (options: { readonly script: Script }): Effect.Effect<Http, never, Scope.Scope> => {
  const script = scriptIn("Faulty.http", options.script)
  return Effect.map(
    Effect.acquireRelease(HttpServer.start(script), (server) => server.stop),
    (server) => ({
      url: `http://127.0.0.1:${server.port}`,
      port: server.port,
      state: Effect.sync(() => server.board.state),
      until: server.board.until,
      setScript: (script) => {
        const next = scriptIn("Faulty.setScript", script)
        return Effect.sync(() => server.script.replace(next))
      },
      refuse: server.refuse,
      accept: server.accept
    })
  )
}

/**
 * The URL of a port on which nothing listens: every connection to it is refused.
 *
 * @category servers
 * @since 0.1.0
 */
export const refused: Effect.Effect<string> = Effect.map(freePort, (port) => `http://127.0.0.1:${port}`)

// ---------------------------------------------------------------------------------------------------------------------
// TCP
// ---------------------------------------------------------------------------------------------------------------------

/**
 * What the proxy does with one connection.
 *
 * @category models
 * @since 0.1.0
 */
export type Connection =
  | { readonly _tag: "pass" }
  | { readonly _tag: "hang" }
  | { readonly _tag: "reset" }
  | { readonly _tag: "delay"; readonly by: number }
  | { readonly _tag: "cut"; readonly when: (chunk: Chunk) => boolean; readonly forward: boolean }

/**
 * Bytes that a proxy received, with the side that sent them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Chunk {
  readonly from: "client" | "server"
  readonly bytes: Uint8Array
  /** The bytes as Latin-1, so that commands of text protocols can be found in them. */
  readonly text: string
}

/**
 * What a {@link Tcp} proxy counts at one moment.
 *
 * @category models
 * @since 0.1.0
 */
export interface TcpState {
  /** Connections that clients have made. */
  readonly accepted: number
  /** Connections that are open. */
  readonly connections: number
  /** Connections that the proxy cut. */
  readonly cuts: number
}

/**
 * A proxy between clients and a server.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tcp {
  readonly host: "127.0.0.1"
  readonly port: number
  /** What the proxy counts now. */
  readonly state: Effect.Effect<TcpState>
  /** Waits until the predicate is `true` of the state. It is asked now, and after every change. */
  readonly until: (predicate: (state: TcpState) => boolean) => Effect.Effect<TcpState>
  /** Replaces the script. Open connections keep their behaviour; an array starts at its first one. */
  readonly setScript: (script: TcpScript) => Effect.Effect<void>
  /** Resets every open connection. */
  readonly cut: Effect.Effect<void>
  /** Holds back all bytes of all connections until {@link release}: a network that loses everything. */
  readonly hold: Effect.Effect<void>
  /** Sends what {@link hold} held back. */
  readonly release: Effect.Effect<void>
  /** Closes the port and every connection: the next connection is refused. */
  readonly refuse: Effect.Effect<void>
  /** Opens the same port again after {@link refuse}. */
  readonly accept: Effect.Effect<void>
}

/**
 * The behaviours in order, the last one for all further connections; or a function of the number of the connection, from 1.
 *
 * @category models
 * @since 0.1.0
 */
export type TcpScript = ReadonlyArray<Connection> | ((n: number) => Connection)

/**
 * Forwards a connection unchanged.
 *
 * @category connections
 * @since 0.1.0
 */
export const pass: Connection = { _tag: "pass" }

/**
 * Forwards every chunk after a delay, in both directions. The delay is real time.
 *
 * @category connections
 * @since 0.1.0
 */
export const delay = (by: Duration.Input): Connection => ({
  _tag: "delay",
  by: Check.millis("Faulty.delay", "by", by)
})

/**
 * Resets a connection at the first chunk for which the predicate is `true`. With `forward: true` the chunk still reaches
 * the other side: a server then does its work, and its answer is lost. Default: the chunk is lost.
 *
 * **Gotchas** One message may arrive in several chunks, and several messages in one.
 *
 * @category connections
 * @since 0.1.0
 */
export const cutWhen = (
  when: (chunk: Chunk) => boolean,
  options: { readonly forward?: boolean | undefined } = {}
): Connection => ({ _tag: "cut", when, forward: options.forward === true })

/**
 * Starts a proxy on a free port of `127.0.0.1` in front of a server, until the scope closes. Default: host `127.0.0.1`, and
 * connections are forwarded unchanged.
 *
 * **Details** What the script throws resets the connection. When the scope closes, every connection is closed too.
 *
 * **Example** (A connection that is lost with the answer)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { FetchHttpClient, HttpClient } from "effect/http"
 * import * as Faulty from "@effect-resilience/testing/Faulty"
 *
 * const program = Effect.gen(function*() {
 *   const server = yield* Faulty.http({ script: [Faulty.answer({ body: "done" })] })
 *   const proxy = yield* Faulty.tcp({ port: server.port, script: [Faulty.cutWhen(({ from }) => from === "server")] })
 *   const error = yield* Effect.flip(HttpClient.get(`http://127.0.0.1:${proxy.port}/`))
 *   const { requests } = yield* server.state
 *   return [error.reason._tag, requests.length]
 * })
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(FetchHttpClient.layer))) // => ["TransportError", 1]
 * ```
 *
 * @category servers
 * @since 0.1.0
 */
export const tcp = (options: {
  readonly port: number
  readonly host?: string | undefined
  readonly script?: TcpScript | undefined
}): Effect.Effect<Tcp, never, Scope.Scope> => {
  const { host = "127.0.0.1", port } = options
  Check.integer("Faulty.tcp", "port", port, 1)
  const script = scriptIn("Faulty.tcp", options.script ?? [pass])
  return Effect.map(
    Effect.acquireRelease(TcpProxy.start({ host, port }, script), (proxy) => proxy.stop),
    (proxy) => ({
      host: "127.0.0.1",
      port: proxy.port,
      state: Effect.sync(() => proxy.board.state),
      until: proxy.board.until,
      setScript: (script) => {
        const next = scriptIn("Faulty.setScript", script)
        return Effect.sync(() => proxy.script.replace(next))
      },
      cut: Effect.sync(() => proxy.cutAll()),
      hold: Effect.sync(() => proxy.hold()),
      release: Effect.sync(() => proxy.release()),
      refuse: proxy.refuse,
      accept: proxy.accept
    })
  )
}
