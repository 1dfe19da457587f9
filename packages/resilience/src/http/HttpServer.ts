/**
 * Protects an HTTP server of Effect: sheds load, ends work that its caller no longer waits for, and stops without losing
 * requests.
 *
 * {@link layer} adds one middleware to an `HttpRouter`. A permit of a bulkhead is held from the start of a request until its
 * response has been sent, bodies included. What the request carries in its headers (see `Propagation`) is inherited by the
 * handler. Rejections and timeouts that a handler fails with answer for themselves as soon as this module is imported.
 *
 * Effect marks `effect/http` as unstable, so this adapter may change with it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as ErrorReporter from "effect/ErrorReporter"
import * as HttpEffect from "effect/http/HttpEffect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerRespondable from "effect/http/HttpServerRespondable"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type * as Bulkhead from "../Bulkhead.ts"
import * as Deadline from "../Deadline.ts"
import type { BulkheadEngine } from "../engine/bulkhead.ts"
import * as Criticality from "../engine/criticality.ts"
import * as Propagated from "../engine/propagated.ts"
import * as Propagation from "../Propagation.ts"
import * as Rejection from "../Rejection.ts"
import { EngineKey } from "../runtime/frame.ts"
import * as Check from "../runtime/options.ts"
import { attempt, read } from "../runtime/read.ts"
import * as Timer from "../runtime/timer.ts"
import * as Timeout from "../Timeout.ts"
import { defaultKey } from "../Types.ts"
import { isRepeatable } from "./HttpClient.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/**
 * Options of a protected server.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `bulkhead` | a class made by `Bulkhead.Service`, or a bulkhead | none: nothing is shed |
 * | `key` | a function | one key for all requests |
 * | `tenant` | a function | none: requests wait in the order of their arrival |
 * | `deadline` | a duration above zero | only that of the request |
 * | `status` | 503 or 429 | 503 |
 * | `retryAfter` | a duration of zero or more | 1 second |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R = never> {
  /** How many requests run at once, per key. Requests beyond its permits and its queue are rejected. Default: no limit. */
  readonly bulkhead?: Bulkhead.Bulkhead<R> | undefined
  /**
   * Which permits: a tenant, a route. `route` is `undefined` where the router has not chosen one yet: in {@link layer}. Default:
   * one key for all requests.
   */
  readonly key?: ((request: HttpServerRequest.HttpServerRequest, route: Route | undefined) => string) | undefined
  /**
   * For whom the request is, such as a customer who has signed in: requests that wait take turns by it, see `tenant` of
   * `Bulkhead.ProtectOptions`. What the function throws, and `undefined`, mean none. Default: none.
   */
  readonly tenant?: ((request: HttpServerRequest.HttpServerRequest) => string | undefined) | undefined
  /**
   * The longest time until the response begins. A request that carries a shorter time has that. A duration above zero. Default:
   * only that of the request.
   */
  readonly deadline?: Duration.Input | undefined
  /**
   * Whether a request may claim to be more important than `"critical"`. Otherwise its header can only lower the criticality, so
   * that a stranger cannot overtake other callers. `false` and what the function throws mean no. Default: `false`.
   */
  readonly trust?: boolean | ((request: HttpServerRequest.HttpServerRequest) => boolean) | undefined
  /**
   * The status of a request that was shed: 503, or 429 when a key is a caller who sends too much. Default: 503.
   */
  readonly status?: 503 | 429 | undefined
  /** `Retry-After` of a request that was shed, in whole seconds, rounded up. A duration of zero or more. Default: 1 second. */
  readonly retryAfter?: Duration.Input | undefined
  /**
   * Requests that are neither shed nor refused while the server drains, such as those of a health check. What the function throws
   * counts as `false`. Default: none.
   */
  readonly exempt?: ((request: HttpServerRequest.HttpServerRequest) => boolean) | undefined
}

/**
 * The route of a request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Route {
  readonly method: string
  /** Its pattern, such as `/users/:id`. */
  readonly path: string
}

// ---------------------------------------------------------------------------------------------------------------------
// Responses
// ---------------------------------------------------------------------------------------------------------------------

const titles = {
  429: "Too Many Requests",
  503: "Service Unavailable",
  504: "Gateway Timeout"
}

interface Problem {
  readonly status: keyof typeof titles
  readonly code: string
  readonly detail: string
  /** Whole seconds. */
  readonly retryAfter?: number | undefined
}

/** RFC 9457. It names no policy and no key: clients need not know what a service depends on. */
const problem = ({ code, detail, retryAfter, status }: Problem, headers: Record<string, string> = {}): Response =>
  HttpServerResponse.text(JSON.stringify({ title: titles[status], status, detail, code, retryAfter }), {
    status,
    contentType: "application/problem+json",
    headers
  })

const wholeSeconds = (millis: number): number | undefined =>
  Number.isFinite(millis) ? Math.max(1, Math.ceil(millis / 1000)) : undefined

type Answerable = Rejection.Rejection | Timeout.TimedOut

const problemOf = (error: Answerable): Problem => {
  const code = error._tag
  switch (error._tag) {
    case "CircuitOpen":
      return {
        code,
        status: 503,
        detail: "a service that is needed for the response is not available",
        retryAfter: wholeSeconds(Duration.toMillis(error.retryAfter))
      }
    case "BulkheadFull":
      return { code, status: 503, detail: "a service that is needed for the response is at its limit", retryAfter: 1 }
    case "RateLimited":
      return {
        code,
        status: 429,
        detail: "the rate limit for this request is reached",
        retryAfter: wholeSeconds(Duration.toMillis(error.retryAfter))
      }
    case "DeadlineExceeded":
      return { code, status: 504, detail: "there was no response before the deadline" }
    case "TimedOut":
      return { code, status: 504, detail: "a service that is needed for the response did not respond in time" }
  }
}

/**
 * Returns the response for a rejection or a timeout that a handler failed with.
 *
 * **When to use** Where errors are mapped to responses by hand. Unhandled errors answer by themselves.
 *
 * **Details** 503 for `CircuitOpen` and `BulkheadFull`, 429 for `RateLimited`, 504 for `DeadlineExceeded` and `TimedOut`, with a body of type
 * `application/problem+json` (RFC 9457), which names the kind of the error, and neither the policy nor the key. `Retry-After` is
 * sent when the request may be repeated (see `isRepeatable` of the HTTP client): the handler may have done a part of its
 * work, and clients take a 503 with `Retry-After` for one that was not processed. The body has it as `retryAfter` always.
 *
 * **Example** (An open circuit)
 *
 * ```ts
 * import { Duration, Effect } from "effect"
 * import { HttpServerRequest } from "effect/http"
 * import { Rejection } from "effect-resilience"
 * import * as HttpServer from "effect-resilience/http/HttpServer"
 *
 * const open = new Rejection.CircuitOpen({
 *   policy: "app/Users",
 *   key: "default",
 *   state: "open",
 *   retryAfter: Duration.millis(2500)
 * })
 * const request = HttpServerRequest.fromWeb(new Request("http://api.test/users"))
 * const response = await Effect.runPromise(
 *   HttpServer.toResponse(open).pipe(Effect.provideService(HttpServerRequest.HttpServerRequest, request))
 * )
 * response.status // => 503
 * response.headers["retry-after"] // => "3"
 * ```
 *
 * @category responses
 * @since 0.1.0
 */
export const toResponse = (
  error: Rejection.Rejection | Timeout.TimedOut
): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.withFiber((fiber) => {
    const found = problemOf(error)
    const request = Context.getOrUndefined(fiber.context, HttpServerRequest.HttpServerRequest)
    const sends = found.retryAfter !== undefined && request !== undefined && isRepeatable(request)
    return Effect.succeed(problem(found, sends ? { "retry-after": String(found.retryAfter) } : {}))
  })

for (const { prototype } of [
  Rejection.CircuitOpen,
  Rejection.BulkheadFull,
  Rejection.RateLimited,
  Rejection.DeadlineExceeded,
  Timeout.TimedOut
]) {
  Object.defineProperties(prototype, {
    [HttpServerRespondable.symbol]: {
      value(this: Answerable) {
        return toResponse(this)
      }
    },
    // The policies count them; a reporter of errors would report each of thousands.
    [ErrorReporter.ignore]: { value: true }
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

interface Settings {
  readonly bulkhead: Bulkhead.Bulkhead<unknown> | undefined
  readonly key: (request: Request, route: Route | undefined) => string
  readonly tenant: ((request: Request) => string | undefined) | undefined
  /** Milliseconds; `Infinity` without one. */
  readonly deadline: number
  readonly trust: (request: Request) => boolean
  readonly status: 503 | 429
  readonly retryAfter: string
  readonly exempt: (request: Request) => boolean
}

const where = "effect-resilience/http/HttpServer"
const names = ["bulkhead", "key", "tenant", "deadline", "trust", "status", "retryAfter", "exempt"]

const never = (): boolean => false

/** A function of the user's, or a default. */
const functionOr = <F>(field: string, what: string, value: F | undefined, otherwise: F): F => {
  if (value === undefined) return otherwise
  Check.callback(where, field, what, value)
  return value
}

/** The settings; the defaults stand here. */
const resolve = <R>(options: Options<R>): Settings => {
  Check.noUnknown(where, options, names)
  const { bulkhead, deadline, tenant, trust } = options
  // A class is a function.
  const resize: unknown = Object(bulkhead).resize
  if (bulkhead !== undefined && typeof resize !== "function") {
    Check.invalid(where, "bulkhead", "a class made by Bulkhead.Service, or a bulkhead made by Bulkhead.make", bulkhead)
  }
  const status = Check.orDefault<503 | 429>(options.status, 503)
  if (status !== 503 && status !== 429) Check.invalid(where, "status", "503 or 429", status)
  const retryAfter = Check.millis(where, "retryAfter", Check.orDefault(options.retryAfter, "1 second"), { zero: true })
  return {
    bulkhead,
    tenant: functionOr("tenant", "a function that returns a string or undefined", tenant, undefined),
    key: functionOr("key", "a function that returns a string", options.key, () => defaultKey),
    deadline: deadline === undefined ? Infinity : Check.millis(where, "deadline", deadline),
    trust:
      typeof trust === "boolean"
        ? () => trust
        : functionOr("trust", "true, false, or a function that returns true or false", trust, never),
    status,
    retryAfter: String(Math.ceil(retryAfter / 1000)),
    exempt: functionOr("exempt", Check.predicate, options.exempt, never)
  }
}

/** Of what a predicate returns only `true` counts, and what it throws must not fail the request. */
const holds = (predicate: (request: Request) => boolean, request: Request): boolean =>
  attempt(() => predicate(request), false) === true

// ---------------------------------------------------------------------------------------------------------------------
// Draining
// ---------------------------------------------------------------------------------------------------------------------

/** The requests of a server that may drain. */
class Requests {
  running = 0
  draining = false
  private onIdle: (() => void) | undefined

  begin(scope: Scope.Scope): Effect.Effect<void> {
    this.running += 1
    return Scope.addFinalizer(
      scope,
      Effect.sync(() => {
        this.running -= 1
        if (this.running === 0) this.onIdle?.()
      })
    )
  }

  readonly idle: Effect.Effect<void> = Effect.callback((resume) => {
    if (this.running === 0) return resume(Effect.void)
    this.onIdle = () => resume(Effect.void)
    return Effect.sync(() => {
      this.onIdle = undefined
    })
  })
}

/** A middleware around this one has read the headers of the request. */
const HasInherited = Context.Reference<boolean>("effect-resilience/http/HttpServer/HasInherited", {
  defaultValue: () => false
})

const CurrentRequests = Context.Reference<Requests | undefined>("effect-resilience/http/HttpServer/Requests", {
  defaultValue: () => undefined
})

/**
 * Returns whether the server of this fiber is draining: for the readiness check of a load balancer.
 *
 * @category draining
 * @since 0.1.0
 */
export const isDraining: Effect.Effect<boolean> = Effect.withFiber((fiber) =>
  Effect.succeed(fiber.getRef(CurrentRequests)?.draining === true)
)

/**
 * Drains a server before it stops: new requests are refused, running ones finish.
 *
 * **When to use** Around the layer of a server that has {@link layer} or {@link middleware} in it.
 *
 * **Details** When the layer is released, the server still listens for up to `within`, a duration of zero or more. Requests that
 * arrive get a 503 with `connection: close` and `Retry-After`, so that a load balancer sends them elsewhere. The server is
 * released as soon as no request is running; what still runs after `within` is left to the server, which interrupts it.
 *
 * **Gotchas** Requests are counted by the middleware: without it the server stops at once. `NodeHttpServer` waits for up to 20
 * seconds of its own after that (`gracefulShutdownTimeout`), in which it no longer listens.
 *
 * **Example** (A server that finishes what it began)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 * import * as HttpServer from "effect-resilience/http/HttpServer"
 *
 * const routes = HttpRouter.add("GET", "/", HttpServerResponse.text("well"))
 * const app = HttpRouter.serve(Layer.mergeAll(routes, HttpServer.layer())).pipe(HttpServer.drain("20 seconds"))
 * ```
 *
 * @category draining
 * @since 0.1.0
 */
export const drain = (within: Duration.Input): (<A, E, R>(server: Layer.Layer<A, E, R>) => Layer.Layer<A, E, R>) => {
  const limit = Check.millis(`${where}.drain`, "within", within, { zero: true })
  return (server) =>
    Layer.unwrap(
      Effect.sync(() => {
        const requests = new Requests()
        const close = Effect.suspend(() => {
          requests.draining = true
          return Effect.raceFirst(requests.idle, Timer.sleep(limit))
        })
        // Built after the server, so that it is released before.
        return Layer.effectDiscard(Effect.addFinalizer(() => Effect.interruptible(close))).pipe(
          Layer.provideMerge(server),
          Layer.provide(Layer.succeed(CurrentRequests)(requests))
        )
      })
    )
}

// ---------------------------------------------------------------------------------------------------------------------
// One request
// ---------------------------------------------------------------------------------------------------------------------

type App = Effect.Effect<Response, unknown, unknown>

/** The share of the permits that requests of a criticality may use. */
const shares: Readonly<Record<Propagation.Criticality, number>> = {
  "critical-plus": 1,
  critical: 1,
  "sheddable-plus": 0.75,
  sheddable: 0.5
}

/** The name of the deadline of a request in errors and events. */
const deadlineName = "HttpServer"

const isDeadline = (error: unknown): error is Rejection.DeadlineExceeded =>
  error instanceof Rejection.DeadlineExceeded && error.policy === deadlineName

class Guard {
  private readonly settings: Settings

  constructor(settings: Settings) {
    this.settings = settings
  }

  run(app: App): App {
    // The router makes a handler interruptible, or leaves it uninterruptible: here it is as it was.
    return Effect.uninterruptibleMask((restore) =>
      Effect.withFiber((fiber) => this.request(restore(app), fiber.context as Context.Context<unknown>))
    )
  }

  private request(app: App, context: Context.Context<unknown>): App {
    const { settings } = this
    const known = context as Context.Context<HttpServerRequest.HttpServerRequest | Scope.Scope>
    const request = Context.get(known, HttpServerRequest.HttpServerRequest)
    const exempt = holds(settings.exempt, request)
    const requests = Context.get(known, CurrentRequests)
    if (requests?.draining === true && !exempt) return Effect.succeed(this.drained())
    const isOutermost = !Context.get(known, HasInherited)
    const inherited = isOutermost ? this.inherited(request) : {}
    const { bulkhead } = settings
    const shed = exempt || bulkhead === undefined ? app : this.admitted(app, request, bulkhead)
    const work = this.within(isOutermost ? this.inheriting(shed, inherited, known) : shed, inherited)
    return requests === undefined ? work : Effect.andThen(requests.begin(Context.get(known, Scope.Scope)), work)
  }

  /** What the request carries, as far as it is believed. */
  private inherited(request: Request): Propagation.Propagated {
    const sent = Propagation.fromHeaders(request.headers)
    return sent.criticality === "critical-plus" && !holds(this.settings.trust, request)
      ? { ...sent, criticality: "critical" }
      : sent
  }

  /** Runs with what the request carries, and returns the retries that were not made with the response. */
  private inheriting(app: App, inherited: Propagation.Propagated, context: Context.Context<never>): App {
    const { attempt, criticality, retries } = inherited
    const inside = app.pipe(Propagation.provide({ attempt, criticality }), Effect.provideService(HasInherited, true))
    if (retries === undefined) return inside
    const allowance: Propagated.Allowance = { left: retries }
    // Before the response is sent, also if it is made from an error.
    HttpEffect.appendPreResponseHandlerUnsafe(context, (_, response) => {
      const { left } = allowance
      // The caller has them from now on.
      allowance.left = 0
      return Effect.succeed(HttpServerResponse.setHeader(response, Propagation.headerNames.retriesLeft, String(left)))
    })
    return Effect.provideService(inside, Propagated.CurrentAllowance, allowance)
  }

  /** Ends the work with the deadline, and answers for it. The work stays as interruptible as it was. */
  private within(app: App, { remaining }: Propagation.Propagated): App {
    const limit = Math.min(this.settings.deadline, remaining === undefined ? Infinity : Duration.toMillis(remaining))
    if (limit === Infinity) return app
    return Effect.uninterruptible(app).pipe(
      Deadline.within(Duration.millis(limit), { name: deadlineName }),
      Effect.interruptible,
      Effect.catchIf(isDeadline, (error) => toResponse(error))
    )
  }

  /** A tenant that is no string is none. */
  private callOf(request: Request, key: string): { readonly key: string; readonly tenant?: string } {
    const { tenant } = this.settings
    if (tenant === undefined) return { key }
    const found: unknown = attempt(() => tenant(request), undefined)
    return typeof found === "string" ? { key, tenant: found } : { key }
  }

  /** Runs with a permit, which the scope of the request holds until the response has been sent. */
  private admitted(app: App, request: Request, bulkhead: Bulkhead.Bulkhead<unknown>): App {
    return Effect.withFiber((fiber) => {
      const route = Context.getOrUndefined(
        fiber.context as Context.Context<HttpRouter.RouteContext>,
        HttpRouter.RouteContext
      )?.route
      const key = this.settings.key(request, route && { method: route.method, path: route.path })
      const criticality = fiber.getRef(Criticality.CurrentCriticality)
      return Effect.matchEffect(Effect.interruptible(acquire(bulkhead, this.callOf(request, key), criticality)), {
        onSuccess: () => app,
        onFailure: (rejection) => Effect.succeed(this.shed(rejection))
      })
    })
  }

  private shed({ _tag }: Rejection.BulkheadFull): Response {
    const { retryAfter, status } = this.settings
    const detail = status === 429 ? "too many requests at once" : "the server is at its limit of requests at once"
    return problem({ code: _tag, status, detail, retryAfter: Number(retryAfter) }, { "retry-after": retryAfter })
  }

  private drained(): Response {
    const { retryAfter } = this.settings
    const detail = "the server is stopping"
    return problem(
      { code: "Draining", status: 503, detail, retryAfter: Number(retryAfter) },
      { "retry-after": retryAfter, connection: "close" }
    )
  }
}

/** A permit for a request, from the share of its criticality. */
const acquire = (
  bulkhead: Bulkhead.Bulkhead<unknown>,
  call: { readonly key: string; readonly tenant?: string },
  criticality: Propagation.Criticality
): Effect.Effect<void, Rejection.BulkheadFull, unknown> => {
  const { key } = call
  const permit = bulkhead.acquire(call)
  const share = shares[criticality]
  if (share === 1) return permit
  return Effect.flatMap(bulkhead.state(key), ({ maxConcurrent, running, waiting }) =>
    running + waiting < Math.ceil(share * maxConcurrent)
      ? permit
      : Effect.withFiber((fiber) => engineOf(bulkhead, fiber.context)?.refuse(key, fiber) ?? permit)
  )
}

/** A bulkhead itself: the one given, or the service in a context. */
const instanceOf = <B extends Bulkhead.Bulkhead<unknown>>(bulkhead: B | undefined, context: Context.Context<never>) =>
  typeof bulkhead === "function"
    ? Context.getOrUndefined(context, bulkhead as unknown as Context.Service<never, Bulkhead.Bulkhead<unknown>>)
    : bulkhead

// Only this library puts something under this name.
const engineOf = (bulkhead: Bulkhead.Bulkhead<unknown>, context: Context.Context<never>) =>
  read(instanceOf(bulkhead, context), EngineKey) as BulkheadEngine | undefined

// ---------------------------------------------------------------------------------------------------------------------
// The adapter
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Protects the routes that it is added to: the middleware as a function.
 *
 * **When to use** For limits of single routes, as `HttpRouter.middleware(HttpServer.middleware(options)).layer`, where `key` gets the
 * route. For a whole server use {@link layer}.
 *
 * **Gotchas** As the `middleware` of `HttpRouter.serve` its deadline would include the sending of the body, and its responses would not
 * be sent where one was sent before.
 *
 * @category middleware
 * @since 0.1.0
 */
export const middleware = <R = never>(
  options: Options<R> = {}
): (<E, R2>(
  app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R2>
) => Effect.Effect<
  HttpServerResponse.HttpServerResponse,
  E,
  R | R2 | HttpServerRequest.HttpServerRequest | Scope.Scope
>) => {
  const guard = new Guard(resolve(options))
  return <E, R2>(app: Effect.Effect<HttpServerResponse.HttpServerResponse, E, R2>) =>
    // The guard handles its own errors, and requires the bulkhead and what every request has.
    guard.run(app) as Effect.Effect<Response, E, R | R2 | HttpServerRequest.HttpServerRequest | Scope.Scope>
}

/**
 * Protects all routes of a server.
 *
 * **Details** For each request, in this order:
 *
 * 1. While the server drains (see {@link drain}), it is refused with a 503.
 * 2. What its headers carry is inherited by the handler: the remaining time as its `Deadline`, criticality, attempt and retries, so
 *    that all retries of the handler together are at most those that the caller has left. See `Propagation`.
 * 3. It waits for a permit of the `bulkhead`, or is shed: 503 (or `status`) with `Retry-After`. The permit is held until the body of
 *    the response has been sent or the client has gone. Requests that are `"sheddable"` are shed when half of the permits are
 *    taken, those that are `"sheddable-plus"` when three quarters are, and neither waits in the queue then.
 * 4. When the time is over before the response begins, the handler is interrupted and the response is a 504. A body that is
 *    being sent is not cut.
 *
 * Bodies are `application/problem+json` (RFC 9457). An option out of range throws a `RangeError` at once.
 *
 * **Gotchas** In `layer` the router has not chosen a route yet, so `key` sees the request only. A body that is a stream runs without
 * what the request carries.
 *
 * **Example** (At most 200 requests at once, 20 of each tenant)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { HttpRouter, HttpServerResponse } from "effect/http"
 * import { Bulkhead } from "effect-resilience"
 * import * as HttpServer from "effect-resilience/http/HttpServer"
 *
 * class Inflight extends Bulkhead.Service<Inflight>()("app/Inflight", { maxConcurrent: 200 }) {}
 * class Tenants extends Bulkhead.Service<Tenants>()("app/Tenants", { maxConcurrent: 20 }) {}
 *
 * const routes = Layer.mergeAll(
 *   HttpRouter.add("GET", "/", HttpServerResponse.text("well")),
 *   HttpServer.layer({ bulkhead: Inflight, deadline: "10 seconds" }),
 *   HttpServer.layer({ bulkhead: Tenants, key: (request) => request.headers["x-tenant"] ?? "none", status: 429 })
 * )
 * const server = HttpRouter.toWebHandler(Layer.provide(routes, [Inflight.layer, Tenants.layer]), { disableLogger: true })
 * const response = await server.handler(new Request("http://api.test/"))
 * response.status // => 200
 * await server.dispose()
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <R = never>(options: Options<R> = {}): Layer.Layer<never, never, HttpRouter.HttpRouter | R> => {
  const settings = resolve(options)
  return Layer.effectDiscard(
    Effect.contextWith((context: Context.Context<HttpRouter.HttpRouter | R>) => {
      const guard = new Guard({ ...settings, bulkhead: instanceOf(settings.bulkhead, context) })
      const router = Context.get(context, HttpRouter.HttpRouter)
      // Its types say which errors a middleware handles and adds; this one passes every error on, and adds none.
      return router.addGlobalMiddleware(((app: App) => guard.run(app)) as never) as Effect.Effect<void>
    })
  )
}
