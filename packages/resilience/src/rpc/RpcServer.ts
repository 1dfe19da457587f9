/**
 * Sheds the load of an RPC server: a middleware that rejects calls by a policy, with a typed error on the wire.
 *
 * Effect marks `effect/rpc` as unstable, so this adapter may change with it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { Headers } from "effect/http/Headers"
import * as Layer from "effect/Layer"
import type * as Rpc from "effect/rpc/Rpc"
import * as RpcMiddleware from "effect/rpc/RpcMiddleware"
import * as RpcSchema from "effect/rpc/RpcSchema"
import * as Schema from "effect/Schema"
import type * as Bulkhead from "../Bulkhead.ts"
import * as Deadline from "../Deadline.ts"
import * as Outcome from "../Outcome.ts"
import type * as Policy from "../Policy.ts"
import * as Propagation from "../Propagation.ts"
import * as Rejection from "../Rejection.ts"
import * as Check from "../runtime/options.ts"
import { attempt, has, read } from "../runtime/read.ts"
import * as Transient from "../Transient.ts"

/**
 * The server rejected the call, or a limit of its policy ended the handler.
 *
 * **Details** It is transient for the clients of the service. When `started` is `false`, the handler did not run: the error is
 * *unprocessed*, so that a client repeats also a procedure that must not run twice. `BulkheadFull` and `RateLimited` are *throttled*: the service is
 * available and asks for fewer calls, and a circuit breaker ignores it. `retryAfter` is how long the circuit stays open, or until the rate limit has a token.
 *
 * The error does not carry the name of the policy or its key.
 *
 * @category errors
 * @since 0.1.0
 */
export class Rejected extends Transient.TaggedError<Rejected>("effect-resilience/rpc/Rejected")("RpcRejected", {
  /** The tag of the procedure. */
  rpc: Schema.String,
  reason: Schema.Literals(["BulkheadFull", "CircuitOpen", "DeadlineExceeded", "RateLimited", "TimedOut"]),
  /** Whether the handler ran. */
  started: Schema.Boolean,
  retryAfter: Schema.optionalKey(Schema.Duration)
}) {
  /** Whether the call was rejected before its handler ran. */
  get unprocessed(): boolean {
    return !this.started
  }
  /** Whether the service is available and asks for fewer calls. */
  get throttled(): boolean {
    return this.reason === "BulkheadFull" || this.reason === "RateLimited"
  }
  override get message(): string {
    const { reason, rpc, started } = this
    return `${rpc}: the server rejected the call ${started ? "while it was running" : "before it started"} (${reason})`
  }
}

/**
 * Declares the middleware: a class for `.middleware(…)` of a procedure or a group, whose error is {@link Rejected}.
 *
 * **Example** (A middleware, and its layer)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Rpc, RpcGroup, RpcTest } from "effect/rpc"
 * import { Bulkhead } from "effect-resilience"
 * import * as Shedding from "effect-resilience/rpc/RpcServer"
 *
 * class Slots extends Bulkhead.Service<Slots>()("app/Slots", { maxConcurrent: 1 }) {}
 * class Shed extends Shedding.Middleware<Shed>()("app/Shed") {}
 *
 * const Reports = RpcGroup.make(Rpc.make("Render")).middleware(Shed)
 *
 * const server = Reports.toLayer({ Render: () => Effect.never }).pipe(
 *   Layer.provideMerge(Shedding.layer(Shed, Slots)),
 *   Layer.provide(Slots.layer)
 * )
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* RpcTest.makeClient(Reports)
 *   yield* Effect.forkChild(client.Render(), { startImmediately: true })
 *   yield* Effect.yieldNow
 *   return yield* Effect.flip(client.Render())
 * })
 * const error = await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(server)))
 * error.message // => "Render: the server rejected the call before it started (BulkheadFull)"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const Middleware =
  <Self>() =>
  <const Name extends string>(
    id: Name
  ): RpcMiddleware.ServiceClass<Self, Name, never, typeof Rejected, never, never, false> =>
    RpcMiddleware.Service<Self>()(id, { error: Rejected })

/**
 * What a middleware knows of a call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly rpc: Rpc.AnyWithProps
  readonly client: Rpc.ServerClient
  readonly headers: Headers
  readonly payload: unknown
}

/**
 * Options of {@link layer}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Which permits and which circuit: a string, or a function of the call, such as its tenant. Default: the tag of the procedure.
   */
  readonly key?: string | ((call: Call) => string) | undefined
  /**
   * Whether a call may claim to be more important than `"critical"`. Otherwise its header can only lower the criticality, so that a
   * stranger cannot overtake other callers. `false` and what the function throws mean no. Default: `false`.
   */
  readonly trust?: boolean | ((call: Call) => boolean) | undefined
}

const where = "effect-resilience/rpc/RpcServer"

const tagOf = ({ rpc }: Call): string => rpc._tag

/** The parts that a policy of a server may have: a handler never runs twice for one call. */
type ServerPart = Exclude<Policy.Part, "retry">

/**
 * The layer of a middleware: each call of its procedures runs inside the bulkhead or the policy.
 *
 * **Details** `policy` is the service class or the instance of a `Bulkhead`, or of a `Policy` without `retry`. The permit is held
 * until the handler ends, that of a stream until the stream ends. What the headers of the call carry (see `Propagation`) is inherited by the
 * handler: criticality, attempt and retries, and the remaining time as its `Deadline`, which also ends the wait for a permit. A stream has no
 * deadline, because its caller waits for the first element only. Errors of the handler pass through as they are, rejections by
 * its own clients included. A breaker counts them as those of a protected effect.
 *
 * A bad option throws a `RangeError` at once.
 *
 * **Gotchas** The middleware wraps those that were added before it, and those added after it run first: add it last, so that a
 * rejected call costs nothing. A handler that returns a `Deferred` ends at once, and so does its permit.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Id extends RpcMiddleware.AnyId, P extends ServerPart, Rules, Self>(
  middleware: Context.Key<Id, RpcMiddleware.RpcMiddleware<never, Rejected, never>>,
  policy: Policy.Policy<P, Rules, Self> | Bulkhead.Bulkhead<Self>,
  options: Options = {}
): Layer.Layer<Id, never, Self> => {
  const { key, protect, trust } = resolve(policy, options)
  const guard = (handler: Handling, call: Call): Handling =>
    Effect.suspend(() => {
      const inherited = inheritedBy(call, trust)
      let started = false
      let own: unknown
      const work = Effect.suspend(() => {
        started = true
        return Effect.tapError(handler, (error) => Effect.sync(() => (own = error)))
      })
      return Effect.mapError(inheriting(protect({ key: key(call) })(work), call, inherited), (error) =>
        started && error === own ? error : rejectedOf(call.rpc._tag, error, started)
      )
    })
  return Layer.effect(
    middleware,
    Effect.contextWith((context: Context.Context<Self>) =>
      Effect.succeed(
        (handler: Handling, call: Call) =>
          Effect.updateContext(
            guard(handler, call),
            (given: Context.Context<never>) =>
              // What the handler is given goes before what the layer was built with.
              Context.merge(context as Context.Context<unknown>, given)
            // `guard` fails with the errors of the handler and with `Rejected`.
          ) as Effect.Effect<RpcMiddleware.SuccessValue, Rejected>
      )
    )
  )
}

/** A handler with what is around it; the errors and requirements are in the public types. */
type Handling = Effect.Effect<RpcMiddleware.SuccessValue, unknown, unknown>

/** What a call carries, as far as it is believed. */
const inheritedBy = (call: Call, trust: Settings["trust"]): Propagation.Propagated => {
  const sent = Propagation.fromHeaders(call.headers)
  const isTrusted = sent.criticality !== "critical-plus" || attempt(() => trust(call) === true, false)
  return isTrusted ? sent : { ...sent, criticality: "critical" }
}

/** Runs with what a call carries. The caller of a stream waits for its first element only, and the life of a stream is no wait. */
const inheriting = (self: Handling, { rpc }: Call, { remaining, ...inherited }: Propagation.Propagated): Handling => {
  const inside = Propagation.provide(inherited)(self)
  return remaining === undefined || RpcSchema.isStreamSchema(rpc.successSchema)
    ? inside
    : Deadline.within(inside, remaining, { name: where })
}

interface Settings {
  readonly protect: (options: { readonly key: string }) => (self: Handling) => Handling
  readonly key: (call: Call) => string
  readonly trust: (call: Call) => boolean
}

/** The settings; the defaults stand here. */
const resolve = (policy: unknown, options: Options): Settings => {
  // A class is a function.
  const { protect } = Object(policy)
  if (typeof protect !== "function") {
    Check.invalid(where, "policy", "a Bulkhead, or a Policy without retry", policy)
  }
  Check.noUnknown(where, options, ["key", "trust"])
  const key = Check.orDefault(options.key, tagOf)
  if (typeof key !== "string") Check.callback(where, "key", "a string, or a function that returns one", key)
  const trust = Check.orDefault(options.trust, false)
  if (typeof trust !== "boolean") Check.callback(where, "trust", "a boolean, or a function that returns one", trust)
  return {
    protect,
    key: typeof key === "string" ? () => key : key,
    trust: typeof trust === "boolean" ? () => trust : trust
  }
}

/** A rejection or a timeout of the server's policy as an error of the service. */
const rejectedOf = (rpc: string, error: unknown, started: boolean): unknown => {
  if (!Rejection.isLocal(error) && !has(error, Outcome.TimedOutTypeId)) return error
  const retryAfter = read(error, "retryAfter")
  return new Rejected({
    rpc,
    // The tags of those errors.
    reason: read(error, "_tag") as Rejected["reason"],
    started,
    ...(Duration.isDuration(retryAfter) && Duration.isFinite(retryAfter) && { retryAfter })
  })
}
