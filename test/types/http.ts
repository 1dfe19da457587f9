/** The exact types of protected clients, and programs that must not compile. */
import type { Effect, Layer } from "effect"
import { HttpClient, type HttpClientError, type HttpClientResponse } from "effect/http"
import { HttpApiMiddleware } from "effect/http-api"
import { CircuitBreaker, Policy, type Rejection, Retry, type Timeout, Transient } from "effect-resilience"
import * as Resilient from "effect-resilience/http/HttpClient"
import { exactly } from "./exactly.ts"

class Whole extends Policy.Service<Whole>()("app/Whole", {
  deadline: "3 seconds",
  retry: Retry.backoff(),
  breaker: {},
  bulkhead: { maxConcurrent: 1 },
  timeout: "1 second"
}) {}

class Circuit extends Policy.Service<Circuit>()("app/Circuit", { breaker: {} }) {}

class Busy extends Transient.TaggedError<Busy>()("Busy", {}) {}
declare const plain: HttpClient.HttpClient
declare const other: HttpClient.HttpClient.With<Busy | HttpClientError.HttpClientError, "db">

export const whole = plain.pipe(Resilient.protect(Whole))
exactly<
  typeof whole,
  HttpClient.HttpClient.With<
    | HttpClientError.HttpClientError
    | Transient.Exhausted<Timeout.TimedOut>
    | Rejection.CircuitOpen
    | Rejection.BulkheadFull
    | Rejection.DeadlineExceeded,
    Whole
  >
>(true)

export const circuit = Resilient.protect(Circuit)(other)
exactly<
  typeof circuit,
  HttpClient.HttpClient.With<Busy | HttpClientError.HttpClientError | Rejection.CircuitOpen, Circuit | "db">
>(true)

declare const made: Effect.Success<ReturnType<typeof makeRetrying>>
const makeRetrying = () => Policy.make("retrying", { retry: Retry.backoff() })
export const instance = Resilient.protect(made)(other)
exactly<typeof instance, HttpClient.HttpClient.With<Transient.Exhausted<Busy> | HttpClientError.HttpClientError, "db">>(
  true
)

export const layer = Resilient.layer(Whole)
exactly<typeof layer, Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient | Whole>>(true)
export const layerOfInstance = Resilient.layer(made)
exactly<typeof layerOfInstance, Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient>>(true)

// What is right after a protected client is what is right after the plain one.
const status = (response: HttpClientResponse.HttpClientResponse) => response.status
export const get = whole.get("http://api.test/")
exactly<ReturnType<typeof status>, number>(true)

class Guard extends HttpApiMiddleware.Service<Guard, { clientError: Rejection.CircuitOpen }>()("app/Guard", {
  requiredForClient: true
}) {}
export const guard = HttpApiMiddleware.layerClient(Guard, Resilient.middleware(Circuit))
exactly<typeof guard, Layer.Layer<HttpApiMiddleware.ForClient<Guard>, never, Circuit>>(true)

// @ts-expect-error The middleware does not declare that a call may be rejected by a bulkhead
HttpApiMiddleware.layerClient(Guard, Resilient.middleware(Whole))

class Wrong extends Policy.Service<Wrong>()("app/Wrong", { breaker: { failures: ["GatewayTimeout"] } }) {}
// @ts-expect-error `failures` names GatewayTimeout, which is not the _tag of an error of this effect
plain.pipe(Resilient.protect(Wrong))
// @ts-expect-error the same for all code that requires a client
Resilient.layer(Wrong)

class Right extends Policy.Service<Right>()("app/Right", { breaker: { failures: ["HttpClientError"] } }) {}
plain.pipe(Resilient.protect(Right))

class Users extends CircuitBreaker.Service<Users>()("app/Users") {}
// @ts-expect-error A breaker alone is no Policy
plain.pipe(Resilient.protect(Users))
// @ts-expect-error Unknown option
plain.pipe(Resilient.protect(Whole, { keys: "x" }))

// A protected client is one that Effect's own combinators take.
export const mapped = whole.pipe(HttpClient.filterStatusOk)
