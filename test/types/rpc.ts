/** The exact types of protected clients of an `RpcGroup`, and programs that must not compile. */
import { type Cause, Effect, type Layer, type Queue, Schema, type Scope, type Stream } from "effect"
import { Rpc, RpcClient, type RpcClientError, RpcGroup, RpcMiddleware, RpcSchema, RpcTest } from "effect/rpc"
import { Bulkhead, CircuitBreaker, Policy, type Rejection, Retry, type Timeout, Transient } from "effect-resilience"
import * as Resilient from "effect-resilience/rpc/RpcClient"
import * as Shedding from "effect-resilience/rpc/RpcServer"
import { exactly } from "./exactly.ts"

class Down extends Transient.TaggedError<Down>()("Down", {}) {}
class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}
class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}) {}
class Auth extends RpcMiddleware.Service<Auth>()("test/Auth", { error: Unauthorized }) {}

const Users = RpcGroup.make(
  Rpc.make("GetUser", {
    payload: { id: Schema.Number },
    success: Schema.String,
    error: Schema.Union([Down, NotFound])
  }).middleware(Auth),
  Rpc.make("Ping"),
  Rpc.make("users.Watch", { success: RpcSchema.Stream(Schema.Number, Down), error: NotFound })
)
type Users = RpcGroup.Rpcs<typeof Users>

class Whole extends Policy.Service<Whole>()("app/Whole", {
  deadline: "3 seconds",
  retry: Retry.backoff(),
  breaker: {},
  bulkhead: { maxConcurrent: 1 },
  timeout: "1 second"
}) {}
class Circuit extends Policy.Service<Circuit>()("app/Circuit", { breaker: {} }) {}

type Rejections = Rejection.CircuitOpen | Rejection.BulkheadFull | Rejection.DeadlineExceeded
type Sent = RpcClientError.RpcClientError

export const whole = Effect.map(RpcClient.make(Users), Resilient.protect(Users, Whole, { repeat: ["GetUser"] }))
declare const client: Effect.Success<typeof whole>
declare const plain: RpcClient.RpcClient<Users, Sent>
declare const flat: RpcClient.RpcClient.Flat<Users, Sent>

export const call = client.GetUser({ id: 1 })
exactly<
  typeof call,
  Effect.Effect<
    string,
    Transient.Exhausted<Down> | Transient.Exhausted<Timeout.TimedOut> | NotFound | Unauthorized | Sent | Rejections,
    Whole
  >
>(true)

export const ping = client.Ping()
exactly<typeof ping, Effect.Effect<void, Transient.Exhausted<Timeout.TimedOut> | Sent | Rejections, Whole>>(true)

export const discarded = client.GetUser({ id: 1 }, { discard: true })
exactly<
  typeof discarded,
  Effect.Effect<void, Transient.Exhausted<Timeout.TimedOut> | Unauthorized | Sent | Rejections, Whole>
>(true)

type Watching = Transient.Exhausted<Down> | Transient.Exhausted<Timeout.TimedOut> | NotFound | Sent | Rejections
export const stream = client["users.Watch"](undefined, { streamBufferSize: 4 })
exactly<typeof stream, Stream.Stream<number, Watching, Whole>>(true)
export const queue = client["users.Watch"](undefined, { asQueue: true })
exactly<typeof queue, Effect.Effect<Queue.Dequeue<number, Watching | Cause.Done>, never, Scope.Scope | Whole>>(true)

declare const made: Effect.Success<ReturnType<typeof makeTimed>>
const makeTimed = () => Policy.make("timed", { timeout: "1 second" })
export const timed = Resilient.protect(Users, made)(plain).Ping()
exactly<typeof timed, Effect.Effect<void, Sent | Timeout.TimedOut>>(true)

const protectedFlat = Resilient.protect(Users, Circuit)(flat)
export const flatCall = protectedFlat("GetUser", { id: 1 })
exactly<typeof flatCall, Effect.Effect<string, Down | NotFound | Unauthorized | Sent | Rejection.CircuitOpen, Circuit>>(
  true
)
export const flatStream = protectedFlat("users.Watch", undefined)
exactly<typeof flatStream, Stream.Stream<number, Down | NotFound | Sent | Rejection.CircuitOpen, Circuit>>(true)

// A client of a test, whose transport cannot fail, has the type of the real one.
export const ofTest = Effect.map(RpcTest.makeClient(Users), Resilient.protect(Users, Circuit))
exactly<Effect.Success<typeof ofTest>, Resilient.Protected<Users, "breaker", Circuit>>(true)

// A key may read the payload of a procedure.
Resilient.protect(Users, Circuit, { key: (call) => (call.tag === "GetUser" ? `user ${call.payload.id}` : call.tag) })

// @ts-expect-error There is no such tag
Resilient.protect(Users, Circuit, { repeat: ["GetUsers"] })
// @ts-expect-error Unknown option
Resilient.protect(Users, Circuit, { keys: "x" })
// @ts-expect-error The payload of the procedure
client.GetUser({ id: "1" })
// @ts-expect-error A procedure without a stream has no queue
client.GetUser({ id: 1 }, { asQueue: true })

class Wrong extends Policy.Service<Wrong>()("app/Wrong", { breaker: { failures: ["GatewayTimeout"] } }) {}
// @ts-expect-error `failures` names GatewayTimeout, which is not the _tag of an error of this effect
Resilient.protect(Users, Wrong)
class Right extends Policy.Service<Right>()("app/Right", { breaker: { failures: ["Down", "RpcClientError"] } }) {}
Resilient.protect(Users, Right)

class Breaker extends CircuitBreaker.Service<Breaker>()("app/Breaker") {}
// @ts-expect-error A breaker alone is no Policy
Resilient.protect(Users, Breaker)
// @ts-expect-error The client of another group
Resilient.protect(RpcGroup.make(Rpc.make("Other")), Circuit)(plain)

class Shed extends Shedding.Middleware<Shed>()("test/Shed") {}
class Slots extends Bulkhead.Service<Slots>()("test/Slots", { maxConcurrent: 1 }) {}
export const bySlots = Shedding.layer(Shed, Slots)
exactly<typeof bySlots, Layer.Layer<Shed, never, Slots>>(true)
export const byCircuit = Shedding.layer(Shed, Circuit, { key: ({ rpc }) => rpc._tag })
exactly<typeof byCircuit, Layer.Layer<Shed, never, Circuit>>(true)
export const byTimeout = Shedding.layer(Shed, made)
exactly<typeof byTimeout, Layer.Layer<Shed>>(true)

const Shedded = RpcGroup.make(Rpc.make("Get", { success: Schema.String })).middleware(Shed)
declare const shedded: RpcClient.RpcClient<RpcGroup.Rpcs<typeof Shedded>, Sent>
export const get = Resilient.protect(Shedded, Whole)(shedded).Get()
exactly<
  typeof get,
  Effect.Effect<
    string,
    Transient.Exhausted<Shedding.Rejected> | Transient.Exhausted<Timeout.TimedOut> | Sent | Rejections,
    Whole
  >
>(true)

// @ts-expect-error A policy of a server has no retry: it would run a handler twice
Shedding.layer(Shed, Whole)
// @ts-expect-error The middleware does not declare the error
Shedding.layer(Auth, Slots)
