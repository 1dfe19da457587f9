/**
 * Protects a whole `HttpClient` of `effect/http` with a policy, in one line.
 *
 * Responses with a transient status are failures inside the policy and responses again outside, so that the code behind the
 * client reads them as before. A request that must not be sent twice is repeated only when the server did nothing with the first
 * one, and a body that can be read once is never sent twice.
 *
 * Effect marks `effect/http` as unstable, so this adapter may change with it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as UrlParams from "effect/http/UrlParams"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Left from "../engine/left.ts"
import type * as Policy from "../Policy.ts"
import * as Propagation from "../Propagation.ts"
import * as Check from "../runtime/options.ts"
import { attempt, read } from "../runtime/read.ts"
import * as Transient from "../Transient.ts"
import { defaultKey } from "../Types.ts"

/**
 * Options of a protected client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Which circuit and which permits. Default: the origin of the request, such as `https://api.test:8443`. After a redirect it is
   * still the origin of the first request.
   */
  readonly key?: string | ((request: HttpClientRequest.HttpClientRequest) => string) | undefined
  /**
   * Reads the body inside the limits of the policy. The response has its body in memory, and a body that is cut off or too slow
   * is a failure. Default: `false`, where timeout and deadline end with the headers. Not for streams without an end.
   */
  readonly body?: boolean | undefined
  /**
   * Whether a request may be sent again although the server may have processed it. Default: {@link isRepeatable}. Requests for
   * which it is `false` are repeated only when the error proves that the server did nothing with them. A body that can be read
   * once is never sent twice. What the function throws counts as `false`.
   */
  readonly repeat?: ((request: HttpClientRequest.HttpClientRequest) => boolean) | undefined
  /**
   * Whether a response is a failure that another attempt may cure. Default: `HttpClient.isTransientResponse`, the statuses 408,
   * 429, 500, 502, 503 and 504. The breaker ignores 429. What the function throws counts as `false`.
   */
  readonly transient?: ((response: HttpClientResponse.HttpClientResponse) => boolean) | undefined
  /**
   * To which servers the headers of `Propagation` are sent: origins such as `"https://users.internal"`, a function of the request,
   * or `true` for all. What the function throws counts as `false`. Default: `false`, because the headers tell a third party the
   * time limits and the load of this program. They also go where a client below this one follows a redirect to.
   *
   * Each attempt carries the time that is left for it, its number, the criticality of the fiber, and the retries that the
   * receiver may make: those that the fiber inherited, or one that the budget of the policy has paid for. A policy that retries
   * without a budget sends 0; one without a retry says nothing about retries.
   */
  readonly propagate?:
    | boolean
    | ReadonlyArray<string>
    | ((request: HttpClientRequest.HttpClientRequest) => boolean)
    | undefined
}

/**
 * The errors of a client inside a policy: its own, with those of Effect that may be transient marked, and a
 * `StatusCodeError` for each transient response.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Lifted<E> = Transient.Known<E | HttpClientError.HttpClientError>

/**
 * `unknown` when the policy makes sense for a client that fails with `E`; otherwise an English sentence that says why not.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanProtect<E, P extends Policy.Part, Rules, R = never> = Policy.CanProtect<
  HttpClientResponse.HttpClientResponse,
  Lifted<E>,
  P,
  Rules,
  R
>

type Request = HttpClientRequest.HttpClientRequest
type ClientResponse = HttpClientResponse.HttpClientResponse

/** What a client executes; the errors and requirements are in the public types. */
type Execution = Effect.Effect<ClientResponse, unknown, unknown>

// ---------------------------------------------------------------------------------------------------------------------
// What may be repeated
// ---------------------------------------------------------------------------------------------------------------------

/** RFC 9110, section 9.2.2, and the safe method QUERY. */
const idempotent = new Set(["GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PUT", "DELETE"])

/**
 * Checks whether a request may be sent twice: its method is idempotent, or it has the header `idempotency-key`.
 *
 * **Example** (A payment)
 *
 * ```ts
 * import { HttpClientRequest } from "effect/http"
 * import * as Resilient from "effect-resilience/http/HttpClient"
 *
 * const pay = HttpClientRequest.post("https://pay.test/charges")
 * Resilient.isRepeatable(pay) // => false
 * Resilient.isRepeatable(pay.pipe(HttpClientRequest.setHeader("Idempotency-Key", "order-7"))) // => true
 * ```
 *
 * @category guards
 * @since 0.1.0
 */
export const isRepeatable = (request: Pick<HttpClientRequest.HttpClientRequest, "method" | "headers">): boolean =>
  idempotent.has(request.method) || request.headers["idempotency-key"] !== undefined

/** Classes of `Raw` bodies that can be read again, by the tag of their `toString`: they may come from another realm. */
const rereadable = new Set([
  "String",
  "ArrayBuffer",
  "SharedArrayBuffer",
  "URLSearchParams",
  "Blob",
  "File",
  "FormData"
])

/** Can the body be read once only? A stream of Effect may be one that can be read again, but nothing says so. */
const isOneShot = (body: HttpBody.HttpBody): boolean => {
  switch (body._tag) {
    case "Stream":
      return true
    case "Raw":
      return !(
        body.body === undefined ||
        body.body === null ||
        ArrayBuffer.isView(body.body) ||
        rereadable.has(Object.prototype.toString.call(body.body).slice("[object ".length, -1))
      )
    default:
      return false
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

interface Settings {
  readonly policy: object
  readonly protect: (options: Policy.ProtectOptions) => (self: Execution) => Execution
  readonly body: boolean
  readonly repeat: (request: Request) => boolean
  readonly transient: (response: ClientResponse) => boolean
  /** `undefined` when no request carries anything. */
  readonly propagate: ((request: Request) => boolean) | undefined
}

const where = "effect-resilience/http/HttpClient"

/** A function of the user's, or a default. */
const functionOr = <F>(field: string, what: string, value: F | undefined, otherwise: F): F => {
  if (value === undefined) return otherwise
  Check.callback(where, field, what, value)
  return value
}

/** Of what a predicate returns only `true` counts, and what it throws must not hide the response. */
const holds = <A>(predicate: (value: A) => boolean, value: A): boolean =>
  attempt(() => predicate(value), false) === true

/** The settings; the defaults stand here. */
const resolve = (policy: unknown, options: Omit<Options, "key">): Settings => {
  // A class is a function.
  const protect: unknown = Object(policy).protect
  if (typeof protect !== "function") {
    Check.invalid(where, "policy", "a class made by Policy.Service, or a policy made by Policy.make", policy)
  }
  Check.noUnknown(where, options, ["key", "body", "repeat", "transient", "propagate"])
  const body = Check.orDefault(options.body, false)
  if (typeof body !== "boolean") Check.invalid(where, "body", "true or false", body)
  return {
    policy: Object(policy),
    // The public signatures have checked that the policy makes sense for the client.
    protect: protect as Settings["protect"],
    body,
    repeat: functionOr("repeat", Check.predicate, options.repeat, isRepeatable),
    transient: functionOr("transient", Check.predicate, options.transient, HttpClient.isTransientResponse),
    propagate: resolvePropagate(options.propagate)
  }
}

const resolvePropagate = (propagate: Options["propagate"]): Settings["propagate"] => {
  const what = "true, false, an array of origins, or a function that returns true or false"
  if (propagate === undefined || propagate === false) return undefined
  if (propagate === true) return () => true
  if (typeof propagate === "function") {
    Check.callback(where, "propagate", Check.predicate, propagate)
    return propagate
  }
  if (!Array.isArray(propagate)) return Check.invalid(where, "propagate", what, propagate)
  const origins = new Set<string>(propagate)
  for (const origin of origins) {
    if (attempt(() => new URL(origin).origin, undefined) === origin && origin !== "null") continue
    Check.invalid(where, "propagate", `origins without a path, such as "https://users.internal"`, origin)
  }
  return (request) => origins.has(originOf(request))
}

const resolveKey = (key: Options["key"]): ((request: Request) => string) => {
  return typeof key === "string"
    ? () => key
    : functionOr("key", "a string, or a function that returns one", key, originOf)
}

const originOf = (request: Request): string =>
  Option.match(HttpClientRequest.toUrl(request), {
    // The client refuses it, and the breaker ignores that.
    onNone: () => defaultKey,
    onSome: ({ host, origin, protocol }) => (origin === "null" ? `${protocol}//${host}` : origin)
  })

// ---------------------------------------------------------------------------------------------------------------------
// One call
// ---------------------------------------------------------------------------------------------------------------------

/** The errors that stand for a response inside a policy. */
const lifted = new WeakMap<object, ClientResponse>()

const liftedIn = (cause: Cause.Cause<unknown>): ClientResponse | undefined => {
  const [reason] = cause.reasons
  return cause.reasons.length === 1 && reason !== undefined && Cause.isFailReason(reason)
    ? lifted.get(reason.error as object)
    : undefined
}

const lift = (response: ClientResponse): HttpClientError.HttpClientError => {
  const reason = new HttpClientError.StatusCodeError({
    request: response.request,
    response,
    description: "transient status"
  })
  const error = new HttpClientError.HttpClientError({ reason })
  lifted.set(error, response)
  Transient.markTransient(error)
  return error
}

/** Of a response that is replaced, the longest body that is kept in memory, in bytes. */
const longestKept = 65_536

/**
 * Begins to read the body of a response that is replaced. Effect's clients keep the connection if the whole body is read, and
 * close it when the reading ends before. A short body stays readable: the response may still be the result of the call, if
 * nothing better follows.
 */
const release = (
  error: HttpClientError.HttpClientError,
  response: ClientResponse
): Effect.Effect<Fiber.Fiber<unknown>> => {
  const chunks: Array<Uint8Array> = []
  let length = 0
  const reading = Stream.runForEachWhile(response.stream, (chunk) => {
    chunks.push(chunk)
    length += chunk.length
    return Effect.succeed(length <= longestKept)
  })
  const kept = Effect.andThen(
    reading,
    Effect.sync(() => {
      if (length <= longestKept) lifted.set(error, inMemory(response, concat(chunks, length)))
    })
  )
  return Effect.forkChild(Effect.exit(kept), { startImmediately: true })
}

const releaseAll = (
  errors: ReadonlyArray<HttpClientError.HttpClientError>
): Effect.Effect<ReadonlyArray<Fiber.Fiber<unknown>>> =>
  Effect.forEach(
    errors.flatMap((error) => {
      const response = lifted.get(error)
      return response === undefined ? [] : [{ error, response }]
    }),
    ({ error, response }) => release(error, response)
  )

const concat = (chunks: ReadonlyArray<Uint8Array>, length: number): ArrayBuffer => {
  const bytes = new Uint8Array(length)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.length
  }
  return bytes.buffer
}

/** The response with its body in memory. */
const inMemory = (response: ClientResponse, buffer: ArrayBuffer): ClientResponse => {
  const decoding = <A>(decode: () => A | PromiseLike<A>) =>
    Effect.tryPromise({
      // What it throws at once is a failure too.
      try: () => Promise.resolve().then(decode),
      catch: (cause) =>
        new HttpClientError.HttpClientError({
          reason: new HttpClientError.DecodeError({ request: response.request, response, cause })
        })
    })
  const text = (): string => new TextDecoder().decode(buffer)
  return Object.create(response, {
    arrayBuffer: { value: Effect.succeed(buffer) },
    stream: { get: () => (buffer.byteLength === 0 ? Stream.empty : Stream.succeed(new Uint8Array(buffer))) },
    text: { get: () => Effect.sync(text) },
    json: { get: () => decoding(() => (buffer.byteLength === 0 ? null : JSON.parse(text()))) },
    urlParamsBody: { get: () => decoding(() => UrlParams.fromInput(new URLSearchParams(text()))) },
    formData: { get: () => decoding(() => new Response(buffer, { headers: { ...response.headers } }).formData()) }
  })
}

const withBody = (response: ClientResponse): Effect.Effect<ClientResponse, HttpClientError.HttpClientError> =>
  Effect.map(response.arrayBuffer, (buffer) => inMemory(response, buffer))

/** Sends a request, each time it is run. */
type Execute = (request: Request) => Execution

/** One call of a client: its attempts, and the response of the last one. */
class Call {
  private readonly settings: Settings
  private readonly key: string
  private readonly request: Request
  private readonly execute: Execute
  /** As `Policy.ProtectOptions` has them. */
  private readonly retry: false | "unprocessed" | undefined
  private readonly idempotent: boolean
  /** How often the request was sent. */
  private sent = 0
  /** They stand for transient responses whose bodies were not read: that of the last attempt, or of two that ran together. */
  private unread: ReadonlyArray<HttpClientError.HttpClientError> = []

  constructor(settings: Settings, key: string, request: Request, execute: Execute) {
    this.settings = settings
    this.key = key
    this.request = request
    this.retry = isOneShot(request.body) ? false : holds(settings.repeat, request) ? undefined : "unprocessed"
    // A server may refuse the second of two requests at once with the same `idempotency-key`.
    this.idempotent = this.retry === undefined && idempotent.has(request.method)
    this.execute = execute
  }

  run(): Execution {
    const { idempotent, key, retry } = this
    return this.settings
      .protect({ key, retry, idempotent })(Effect.suspend(() => this.attempt()))
      .pipe(
        Effect.catchCause((cause) => {
          const response = liftedIn(cause)
          if (response !== undefined) return Effect.succeed(response)
          return this.retry === false ? failForGood(cause) : Effect.failCause(cause)
        }),
        Effect.onExit((exit) => {
          const kept = Exit.isSuccess(exit) ? exit.value : undefined
          const replaced = this.unread.filter((error) => lifted.get(error) !== kept)
          return replaced.length === 0 ? Effect.void : Effect.flatMap(releaseAll(replaced), Fiber.interruptAll)
        })
      )
  }

  private attempt(): Execution {
    const { sent, unread } = this
    this.sent += 1
    if (sent === 0) return this.send()
    const again = Effect.annotateSpans(this.send(), "http.request.resend_count", sent)
    if (unread.length === 0) return again
    this.unread = []
    return Effect.flatMap(releaseAll(unread), (reading) => Effect.ensuring(again, Fiber.interruptAll(reading)))
  }

  /** Sends the request with what it inherits; retries that were not made come back with the response. */
  private propagate(): Execution {
    const { key, request, sent, settings } = this
    return Propagation.sending(
      settings.policy,
      (headers) => markKnown(this.execute(HttpClientRequest.setHeaders(request, headers))),
      {
        key,
        attempt: sent,
        left: (exit) => (exit._tag === "Success" ? Propagation.readRetriesLeft(exit.value.headers) : undefined)
      }
    )
  }

  private send(): Execution {
    const { body, propagate, transient } = this.settings
    const execution =
      propagate !== undefined && holds(propagate, this.request) ? this.propagate() : this.execute(this.request)
    const response = body ? Effect.flatMap(execution, withBody) : execution
    return response.pipe(
      Effect.flatMap((response) => {
        if (!holds(transient, response)) return Effect.succeed(response)
        const error = lift(response)
        if (!body) this.unread = [...this.unread, error]
        return Effect.fail(error)
      }),
      markKnown
    )
  }
}

/** `Lifted` has said that there is something to mark. */
const markKnown = Transient.known as (self: Execution) => Execution

/** Fails as a retry does that gave up: a retry around the client repeats it no more than the policy has. */
const failForGood = (cause: Cause.Cause<unknown>): Effect.Effect<never, unknown> =>
  Effect.withFiber((fiber) => Effect.failCause(Left.record(cause, false, fiber)))

const runner = (policy: unknown, options: Omit<Options, "key">) => {
  const settings = resolve(policy, options)
  return (key: string, request: Request, execute: Execute): Execution => new Call(settings, key, request, execute).run()
}

// ---------------------------------------------------------------------------------------------------------------------
// The adapter
// ---------------------------------------------------------------------------------------------------------------------

const protecting = (policy: unknown, options: Options = {}) => {
  const run = runner(policy, options)
  const keyOf = resolveKey(options.key)
  return <E, R>(
    client: HttpClient.HttpClient.With<E, R>,
    outside: (execution: Execution, request: Request) => Execution
  ): HttpClient.HttpClient.With<unknown, unknown> =>
    // As `HttpClient.transform` does, which would execute the request without the headers of an attempt.
    HttpClient.makeWith(
      Effect.flatMap((request: Request) =>
        outside(
          Effect.suspend(() => run(keyOf(request), request, (request) => client.postprocess(Effect.succeed(request)))),
          request
        )
      ),
      client.preprocess
    )
}

/**
 * Protects a client. Its error type names the rejections of the policy.
 *
 * **When to use** For your own code. For libraries that know the errors of an `HttpClient` only, use {@link layer}.
 *
 * **Details** `policy` is a class made by `Policy.Service`, or a policy made by `Policy.make`.
 *
 * - A response with a transient status is an `HttpClientError` with a `StatusCodeError` inside the policy, for its retry, its
 *   breaker and its events, and the same response outside, when the retry gave up.
 * - A policy with a `hedge` hedges requests whose method is idempotent and that may be repeated, and no others.
 * - Before a request is sent again, the connection of the response that it replaces is released.
 * - `Retry-After` (seconds or a date) and `retry-after-ms` are lower bounds of the delay. 429 is retried and ignored by the breaker.
 * - A request that the client refuses to send, such as one with an invalid URL, is neither retried nor counted.
 * - Spans of an attempt after the first have the attribute `http.request.resend_count`.
 *
 * A bad option throws a `RangeError` at once.
 *
 * **Gotchas** Without `body` the limits end with the headers of the response. Do not retry around a protected client.
 *
 * **Example** (One line for every request)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { Policy, Retry } from "effect-resilience"
 * import * as Resilient from "effect-resilience/http/HttpClient"
 *
 * class Api extends Policy.Service<Api>()("app/Api", {
 *   retry: Retry.backoff({ base: "1 millis", times: 2 }),
 *   breaker: {},
 *   timeout: "5 seconds"
 * }) {}
 *
 * // A server that is well at the third request.
 * let requests = 0
 * const server = HttpClient.make((request) =>
 *   Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: ++requests < 3 ? 503 : 200 })))
 * )
 *
 * // HttpClient.With<HttpClientError | CircuitOpen | Exhausted<TimedOut>, Api>
 * const client = server.pipe(Resilient.protect(Api))
 *
 * const status = client.get("http://api.test/users").pipe(Effect.map((response) => response.status))
 * await Effect.runPromise(status.pipe(Effect.provide(Api.layer))) // => 200
 * requests // => 3
 * ```
 *
 * @category protecting
 * @since 0.1.0
 */
export const protect = <P extends Policy.Part, Rules, Self>(
  policy: Policy.Policy<P, Rules, Self>,
  options?: Options
): (<E, R>(
  client: HttpClient.HttpClient.With<E, R> & CanProtect<E, P, Rules, R>
) => HttpClient.HttpClient.With<Policy.ErrorOf<E, P>, R | Self>) => {
  const transform = protecting(policy, options)
  return <E, R>(client: HttpClient.HttpClient.With<E, R>) =>
    // The policy adds what its type says.
    transform(client, (execution) => execution) as HttpClient.HttpClient.With<Policy.ErrorOf<E, P>, R | Self>
}

/**
 * Protects the `HttpClient` of a program for all code that requires it, libraries of others included.
 *
 * **Details** Rejections, `TimedOut` and `DeadlineExceeded` arrive as `HttpClientError` with a `TransportError`, whose cause they
 * are: `Rejection.of(error)` finds a rejection. `Transient.known` does not mark such an error. For the rest see {@link protect}.
 *
 * **Gotchas** `HttpClient.retryTransient` repeats every `TransportError`, rejections included. Do not use it on this client.
 *
 * **Example** (A library that requires an HttpClient)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { Policy, Rejection, TripPolicy } from "effect-resilience"
 * import * as Resilient from "effect-resilience/http/HttpClient"
 *
 * class Api extends Policy.Service<Api>()("app/Api", {
 *   breaker: { trip: TripPolicy.consecutive(1), openFor: "1 minute" }
 * }) {}
 *
 * const server = Layer.succeed(HttpClient.HttpClient)(HttpClient.make((request) =>
 *   Effect.succeed(HttpClientResponse.fromWeb(request, new Response(null, { status: 503 })))
 * ))
 * const layer = Resilient.layer(Api).pipe(Layer.provide([server, Api.layer]))
 *
 * const twice = Effect.andThen(HttpClient.get("http://api.test/"), HttpClient.get("http://api.test/"))
 * const error = await Effect.runPromise(twice.pipe(Effect.provide(layer), Effect.flip))
 * error._tag // => "HttpClientError"
 * Rejection.of(error)?._tag // => "CircuitOpen"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <P extends Policy.Part, Rules, Self>(
  policy: Policy.Policy<P, Rules, Self> & CanProtect<never, P, Rules>,
  options?: Options
): Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient | Self> => {
  const transform = protecting(policy, options)
  return Layer.effect(
    HttpClient.HttpClient,
    Effect.contextWith((context: Context.Context<HttpClient.HttpClient | Self>) =>
      Effect.succeed(
        transform(
          Context.get(context, HttpClient.HttpClient),
          (execution, request) =>
            execution.pipe(
              Effect.mapError((error) => clientErrorOf(error, request)),
              Effect.updateContext((given: Context.Context<never>) =>
                Context.merge(context as Context.Context<unknown>, given)
              )
            )
          // Its errors are those of the client now, and it requires nothing; its requests are those of the client.
        ) as unknown as HttpClient.HttpClient
      )
    )
  )
}

/** An error of the policy as one of the client. */
const clientErrorOf = (error: unknown, request: Request): HttpClientError.HttpClientError => {
  if (HttpClientError.isHttpClientError(error)) return error
  const message = read(error, "message")
  const description = typeof message === "string" ? message : undefined
  return new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request, cause: error, ...(description && { description }) })
  })
}

/**
 * Options of {@link middleware}: those of a client, with a key by endpoint.
 *
 * @category models
 * @since 0.1.0
 */
export interface MiddlewareOptions extends Omit<Options, "key"> {
  /** Which circuit and which permits. Default: `group.endpoint`, their identifiers with a dot between. */
  readonly key?: ((call: EndpointCall) => string) | undefined
}

/**
 * A call of an endpoint.
 *
 * @category models
 * @since 0.1.0
 */
export interface EndpointCall {
  readonly group: { readonly identifier: string }
  readonly endpoint: { readonly identifier: string }
  readonly request: HttpClientRequest.HttpClientRequest
}

/**
 * Protects each endpoint of an `HttpApi` by a key of its own: the function that `HttpApiMiddleware.layerClient` takes.
 *
 * **Details** The middleware declares the rejections as `clientError`, so that every endpoint with it has them in its error type.
 * Typed errors of the API arrive as they are, also those with a transient status.
 *
 * **Example** (Middleware of a client)
 *
 * ```ts
 * import type { Rejection } from "effect-resilience"
 * import { HttpApiMiddleware } from "effect/http-api"
 * import { Policy } from "effect-resilience"
 * import * as Resilient from "effect-resilience/http/HttpClient"
 *
 * class Api extends Policy.Service<Api>()("app/Api", { breaker: {} }) {}
 *
 * class Guard extends HttpApiMiddleware.Service<Guard, { clientError: Rejection.CircuitOpen }>()("app/Guard", {
 *   requiredForClient: true
 * }) {}
 *
 * const GuardClient = HttpApiMiddleware.layerClient(Guard, Resilient.middleware(Api))
 * ```
 *
 * @category protecting
 * @since 0.1.0
 */
export const middleware = <P extends Policy.Part, Rules, Self>(
  policy: Policy.Policy<P, Rules, Self> & CanProtect<never, P, Rules>,
  options: MiddlewareOptions = {}
): ((
  call: EndpointCall & {
    readonly next: (
      request: HttpClientRequest.HttpClientRequest
    ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>
  }
) => Effect.Effect<
  HttpClientResponse.HttpClientResponse,
  Policy.ErrorOf<HttpClientError.HttpClientError, P>,
  Self
>) => {
  const run = runner(policy, options)
  const keyOf = functionOr(
    "key",
    "a function that returns a string",
    options.key,
    ({ endpoint, group }) => `${group.identifier}.${endpoint.identifier}`
  )
  return (call) =>
    Effect.suspend(() => run(keyOf(call), call.request, call.next)) as Effect.Effect<
      ClientResponse,
      // The policy adds what its type says.
      Policy.ErrorOf<HttpClientError.HttpClientError, P>,
      Self
    >
}
