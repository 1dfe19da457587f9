/**
 * Protects a whole client of an `RpcGroup` with a policy, in one line.
 *
 * The client object is wrapped, procedure by procedure, because a middleware of a client cannot carry a policy: its `next` sends
 * the request and succeeds although the call fails. A procedure that must not run twice is repeated only when the server surely
 * did nothing.
 *
 * Effect marks `effect/rpc` as unstable, so this adapter may change with it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import type * as Queue from "effect/Queue"
import type * as Rpc from "effect/rpc/Rpc"
import type * as RpcClient from "effect/rpc/RpcClient"
import type * as RpcClientError from "effect/rpc/RpcClientError"
import type * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcSchema from "effect/rpc/RpcSchema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Policy from "../Policy.ts"
import * as Propagation from "../Propagation.ts"
import * as Check from "../runtime/options.ts"
import { attempt, isObject, read } from "../runtime/read.ts"
import type { AnyEffect } from "../runtime/types.ts"
import * as Transient from "../Transient.ts"
import type * as Types from "../Types.ts"

/**
 * Options of a protected client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Rpcs extends Rpc.Any> {
  /** Which circuit and which permits: a string, or a function of the call. Default: the tag of the procedure. */
  readonly key?: string | ((call: Call<Rpcs>) => string) | undefined
  /**
   * The tags of procedures that may run again although the server may have processed the first call, in addition to those
   * annotated with {@link Repeatable}. Default: none. The others are repeated only when the error proves that the server did
   * nothing.
   */
  readonly repeat?: ReadonlyArray<Rpcs["_tag"]> | undefined
  /**
   * Whether the headers of `Propagation` are sent: `true`, or a function of the call. What the function throws counts as `false`. Default:
   * `false`, because the headers tell a third party the time limits and the load of this program.
   *
   * Each attempt carries the time that is left for it, its number, the criticality of the fiber, and the retries that the server may
   * make. `effect-resilience/rpc/RpcServer` reads them. Headers of the same name that the caller gave are replaced.
   */
  readonly propagate?: boolean | ((call: Call<Rpcs>) => boolean) | undefined
}

/**
 * A call of a procedure: its tag, and the payload that the caller gave.
 *
 * @category models
 * @since 0.1.0
 */
export type Call<Rpcs extends Rpc.Any> = Rpcs extends Rpc.Any
  ? { readonly tag: Rpcs["_tag"]; readonly payload: Rpc.PayloadConstructor<Rpcs> }
  : never

/**
 * Annotates a procedure, or all procedures of a group, that may run twice for one call.
 *
 * **Example** (A procedure that reads)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Rpc } from "effect/rpc"
 * import * as Resilient from "effect-resilience/rpc/RpcClient"
 *
 * const GetUser = Rpc.make("GetUser", { payload: { id: Schema.Number }, success: Schema.String }).annotate(
 *   Resilient.Repeatable,
 *   true
 * )
 * ```
 *
 * @category annotations
 * @since 0.1.0
 */
export const Repeatable: Context.Reference<boolean> = Context.Reference<boolean>(
  "effect-resilience/rpc/RpcClient/Repeatable",
  { defaultValue: () => false }
)

// ---------------------------------------------------------------------------------------------------------------------
// What the types say
// ---------------------------------------------------------------------------------------------------------------------

type Errors<R> =
  R extends Rpc.Rpc<infer _Tag, infer _Payload, infer Success, infer Error, infer Middleware, infer _Requires>
    ?
        | Rpc.ErrorExitSchema<Rpc.Rpc<_Tag, _Payload, Success, Error, Middleware, _Requires>>["Type"]
        | Middleware["error"]["Type"]
        | Middleware["~ClientError"]
        | RpcClientError.RpcClientError
    : never

/** What calls of procedures without a stream succeed with. */
type Values<R> = Rpc.Success<R> extends infer A ? (A extends Types.AnyStream ? never : A) : never

/**
 * `unknown` when the policy makes sense for a client of these procedures; otherwise an English sentence that says why not.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanProtect<Rpcs extends Rpc.Any, P extends Policy.Part, Rules> = Policy.CanProtect<
  Values<Rpcs>,
  Transient.Known<Errors<Rpcs>>,
  P,
  Rules
>

/**
 * Options of one call, as `effect/rpc/RpcClient` has them.
 *
 * @category models
 * @since 0.1.0
 */
export type CallOptions<Current, AsQueue, Discard> =
  Rpc.Success<Current> extends Types.AnyStream
    ? {
        readonly asQueue?: AsQueue | undefined
        readonly streamBufferSize?: number | undefined
        readonly headers?: Headers.Input | undefined
        readonly context?: Context.Context<never> | undefined
      }
    : {
        readonly headers?: Headers.Input | undefined
        readonly context?: Context.Context<never> | undefined
        readonly discard?: Discard | undefined
      }

/**
 * What a protected call returns: an effect, or for a procedure with a stream a stream or a queue. Its errors are those of the
 * call, and the rejections of the policy.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Returned<Current, P extends Policy.Part, Self, AsQueue, Discard> =
  Current extends Rpc.Rpc<infer _Tag, infer _Payload, infer _Success, infer _Error, infer _Middleware, infer _Requires>
    ? [_Success] extends [RpcSchema.Stream<infer _A, infer _E>]
      ? AsQueue extends true
        ? Effect.Effect<
            Queue.Dequeue<_A["Type"], Policy.ErrorOf<Errors<Current>, P> | Cause.Done>,
            never,
            Scope.Scope | Rpc.ServicesClient<Current> | Self
          >
        : Stream.Stream<_A["Type"], Policy.ErrorOf<Errors<Current>, P>, Rpc.ServicesClient<Current> | Self>
      : Effect.Effect<
          Discard extends true ? void : _Success["Type"],
          Policy.ErrorOf<
            Discard extends true
              ? _Middleware["error"]["Type"] | _Middleware["~ClientError"] | RpcClientError.RpcClientError
              : Errors<Current>,
            P
          >,
          Rpc.ServicesClient<Current> | Self
        >
    : never

/**
 * A protected client: the methods of the client, with the errors and the requirement of the policy.
 *
 * @category models
 * @since 0.1.0
 */
export type Protected<Rpcs extends Rpc.Any, P extends Policy.Part, Self = never> = {
  readonly [Current in Rpcs as Current["_tag"]]: <const AsQueue extends boolean = false, const Discard = false>(
    input: Rpc.PayloadConstructor<Current>,
    options?: CallOptions<Current, AsQueue, Discard>
  ) => Returned<Current, P, Self, AsQueue, Discard>
}

/**
 * A protected client that is one function, made with `flatten: true`.
 *
 * @category models
 * @since 0.1.0
 */
export type ProtectedFlat<Rpcs extends Rpc.Any, P extends Policy.Part, Self = never> = <
  const Tag extends Rpcs["_tag"],
  const AsQueue extends boolean = false,
  const Discard = false
>(
  tag: Tag,
  payload: Rpc.PayloadConstructor<Rpc.ExtractTag<Rpcs, Tag>>,
  options?: CallOptions<Rpc.ExtractTag<Rpcs, Tag>, AsQueue, Discard>
) => Returned<Rpc.ExtractTag<Rpcs, Tag>, P, Self, AsQueue, Discard>

/**
 * A client of these procedures, in either form.
 *
 * @category models
 * @since 0.1.0
 */
export type Client<Rpcs extends Rpc.Any> =
  | RpcClient.RpcClient<Rpcs, RpcClientError.RpcClientError>
  | RpcClient.RpcClient.Flat<Rpcs, RpcClientError.RpcClientError>

type Wrapped<C, Rpcs extends Rpc.Any, P extends Policy.Part, Self> = C extends (...args: never) => unknown
  ? ProtectedFlat<Rpcs, P, Self>
  : Protected<Rpcs, P, Self>

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

interface AnyGroup {
  readonly requests: ReadonlyMap<string, Rpc.AnyWithProps>
}

/** The options, whose types the public signature has checked. */
type GivenOptions = { readonly [K in keyof Options<never>]?: unknown }

type AnyCall = { readonly tag: string; readonly payload: unknown }

type Returning = Types.AnyEffect | Types.AnyStream

/** One procedure of a client. */
type Method = (payload: unknown, options?: MethodOptions) => Returning

interface MethodOptions {
  readonly headers?: Headers.Input | undefined
  readonly asQueue?: boolean | undefined
  readonly streamBufferSize?: number | undefined
}

interface Settings {
  readonly policy: object
  readonly protect: (options: Policy.ProtectOptions) => (self: AnyEffect) => AnyEffect
  readonly protectStream: (options: Policy.ProtectOptions) => (self: Types.AnyStream) => Types.AnyStream
  readonly keyOf: (call: AnyCall) => string
  readonly repeat: ReadonlySet<string>
  readonly propagates: (call: AnyCall) => boolean
}

const where = "effect-resilience/rpc/RpcClient"

const tagsOf = (requests: AnyGroup["requests"]): string => `the group (${[...requests.keys()].join(", ")})`

const tagOf = ({ tag }: AnyCall): string => tag

/** A group is a class, so that a program can extend it. */
const isGroup = (value: unknown): boolean => attempt(() => Object(value).requests instanceof Map, false)

/** The settings; the defaults stand here. */
const resolve = (requests: AnyGroup["requests"], policy: unknown, options: GivenOptions): Settings => {
  // A class is a function.
  const { protect, protectStream } = Object(policy)
  if (typeof protect !== "function" || typeof protectStream !== "function") {
    Check.invalid(where, "policy", "a class made by Policy.Service, or a policy made by Policy.make", policy)
  }
  Check.noUnknown(where, options, ["key", "repeat", "propagate"])
  const key: unknown = Check.orDefault(options.key, tagOf)
  if (typeof key !== "string") Check.callback(where, "key", "a string, or a function that returns one", key)
  const repeat: unknown = Check.orDefault(options.repeat, [])
  if (!Array.isArray(repeat) || !repeat.every((tag) => requests.has(tag))) {
    Check.invalid(where, "repeat", `an array of tags of ${tagsOf(requests)}`, repeat)
  }
  const propagate: unknown = Check.orDefault(options.propagate, false)
  if (typeof propagate !== "boolean")
    Check.callback(where, "propagate", "a boolean, or a function that returns one", propagate)
  const annotated = [...requests.values()].filter((rpc) => Context.get(rpc.annotations, Repeatable) === true)
  return {
    // Checked above to have members.
    policy: policy as object,
    // The public signature has checked that the policy makes sense for the client.
    protect,
    protectStream,
    // Checked above; what it returns is checked by the policy.
    keyOf: typeof key === "string" ? () => key : (key as Settings["keyOf"]),
    repeat: new Set([...(repeat as ReadonlyArray<string>), ...annotated.map(({ _tag }) => _tag)]),
    // Checked above to be a function.
    propagates: typeof propagate === "boolean" ? () => propagate : (propagate as Settings["propagates"])
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// One call
// ---------------------------------------------------------------------------------------------------------------------

/** `Errors` has `RpcClientError`, so there is something to mark. */
const markKnown = Transient.known as (self: AnyEffect) => AnyEffect

/**
 * A failure of one attempt, with the errors of Effect marked. A payload that the schema of the procedure refuses is a defect of
 * the client that was never sent: it is marked as one that says nothing about the server.
 */
const examined =
  (rpc: Rpc.AnyWithProps, payload: unknown) =>
  (cause: Cause.Cause<unknown>): AnyEffect => {
    const { defect } = cause.reasons.find(Cause.isDieReason) ?? {}
    if (isObject(defect) && isRefused(rpc, payload)) Transient.markRefused(defect)
    return markKnown(Effect.failCause(cause))
  }

const isRefused = (rpc: Rpc.AnyWithProps, payload: unknown): boolean =>
  attempt(() => {
    rpc.payloadSchema.make(payload)
    return false
  }, true)

/** The procedure of a client, protected. */
const protectedMethod = (settings: Settings, rpc: Rpc.AnyWithProps, method: Method): Method => {
  const tag = rpc._tag
  const retry = settings.repeat.has(tag) ? undefined : "unprocessed"
  const optionsOf = (payload: unknown) => ({ key: settings.keyOf({ tag, payload }), retry }) as const
  const propagates = (payload: unknown): boolean => attempt(() => settings.propagates({ tag, payload }) === true, false)
  const withHeaders = (options: MethodOptions | undefined, sent: Record<string, string>): MethodOptions => ({
    ...options,
    headers: Headers.setAll(Headers.fromInput(options?.headers), sent)
  })

  if (!RpcSchema.isStreamSchema(rpc.successSchema)) {
    return (payload, options) =>
      Effect.suspend(() => {
        const protectOptions = optionsOf(payload)
        // A method without a stream returns an effect.
        const call = (options?: MethodOptions) =>
          Effect.catchCause(
            Effect.suspend(() => method(payload, options) as Types.AnyEffect),
            examined(rpc, payload)
          )
        return settings.protect(protectOptions)(
          propagates(payload)
            ? Propagation.sending(settings.policy, (sent) => call(withHeaders(options, sent)), {
                key: protectOptions.key
              })
            : call(options)
        )
      })
  }
  return (payload, options) => {
    const { asQueue, ...rest } = options ?? {}
    // A method with a stream returns a stream where no queue is asked for.
    const opened = (options: MethodOptions) => Stream.suspend(() => method(payload, options) as Types.AnyStream)
    const examine = examined(rpc, payload)
    const stream = Stream.suspend(() => {
      const protectOptions = optionsOf(payload)
      const call = propagates(payload)
        ? Propagation.sendingStream(settings.policy, (sent) => opened(withHeaders(rest, sent)), protectOptions.key)
        : opened(rest)
      return settings.protectStream(protectOptions)(
        Stream.catchCause(call, (cause) => Stream.fromEffect(examine(cause)))
      )
    })
    return asQueue === true ? Stream.toQueue(stream, { capacity: options?.streamBufferSize ?? 16 }) : stream
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// The adapter
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Protects the client of a group. The error type of each procedure names the rejections of the policy.
 *
 * **Details** `policy` is a class made by `Policy.Service`, or a policy made by `Policy.make`. `client` comes from
 * `RpcClient.make`, also with `flatten: true`, or from `RpcTest.makeClient`.
 *
 * - The key is the tag of the procedure.
 * - Errors of the transport are marked as `Transient.known` does it, so that the policy retries and counts them. Errors that the
 *   procedures declare are transient if their class is; the mark survives the wire.
 * - A procedure that is neither in `repeat` nor annotated with {@link Repeatable} is repeated only after an error that proves
 *   that the server did nothing.
 * - A stream is one call, with its permit held to its end, and is opened again only before its first element. With `asQueue`
 *   the queue is fed by such a stream.
 * - A rejection that the server sends is an error of the service, and none of this policy: `Rejection.isLocal` is `false`.
 * - A payload that the schema of the procedure refuses is neither retried nor counted.
 * - With `propagate` a server inherits the deadline, the criticality, the attempt and the retries.
 *
 * A bad option throws a `RangeError` at once.
 *
 * **Gotchas** A procedure whose payload transfers buffers to a worker must not be repeated, because the first call took them. Do
 * not retry around a protected client.
 *
 * **Example** (One line for every procedure)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Rpc, RpcGroup, RpcTest } from "effect/rpc"
 * import { Policy, Retry, Transient } from "effect-resilience"
 * import * as Resilient from "effect-resilience/rpc/RpcClient"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 *
 * const Users = RpcGroup.make(
 *   Rpc.make("GetUser", { payload: { id: Schema.Number }, success: Schema.String, error: Down })
 * )
 *
 * class Calls extends Policy.Service<Calls>()("app/Calls", {
 *   retry: Retry.backoff({ base: "1 millis", times: 2 }),
 *   breaker: {},
 *   timeout: "5 seconds"
 * }) {}
 *
 * // A server that is well at the third call.
 * let calls = 0
 * const handlers = Users.toLayer({
 *   GetUser: ({ id }) => (++calls < 3 ? Effect.fail(new Down()) : Effect.succeed(`user ${id}`))
 * })
 *
 * const program = Effect.gen(function*() {
 *   const client = Resilient.protect(Users, Calls, { repeat: ["GetUser"] })(yield* RpcTest.makeClient(Users))
 *   // Effect<string, Exhausted<Down> | Exhausted<TimedOut> | RpcClientError | CircuitOpen, Calls>
 *   return yield* client.GetUser({ id: 7 })
 * })
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide([handlers, Calls.layer]))) // => "user 7"
 * calls // => 3
 * ```
 *
 * @category protecting
 * @since 0.1.0
 */
export const protect = <Rpcs extends Rpc.Any, P extends Policy.Part, Rules, Self>(
  group: RpcGroup.RpcGroup<Rpcs>,
  policy: Policy.Policy<P, Rules, Self> & CanProtect<Rpcs, P, Rules>,
  options?: Options<Rpcs>
): (<C extends Client<Rpcs>>(client: C) => Wrapped<C, Rpcs, P, Self>) => {
  if (!isGroup(group)) Check.invalid(where, "group", "an RpcGroup", group)
  // `Rpc.Any` hides the members that every procedure has.
  const { requests } = group as unknown as AnyGroup
  const settings = resolve(requests, policy, options ?? {})
  return <C extends Client<Rpcs>>(client: C) => protectClient(settings, requests, client) as Wrapped<C, Rpcs, P, Self>
}

const protectClient = (settings: Settings, requests: AnyGroup["requests"], client: unknown): unknown => {
  const isFlat = typeof client === "function"
  const methods = new Map<string, Method>()
  for (const [tag, rpc] of requests) {
    const method: unknown = isFlat
      ? (payload: unknown, options?: MethodOptions) => client(tag, payload, options)
      : read(client, tag)
    if (typeof method !== "function") {
      return Check.invalid(where, "client", `a client of ${tagsOf(requests)}, made by RpcClient.make`, client)
    }
    // Not a method of an object: `RpcClient.make` gives functions.
    methods.set(tag, protectedMethod(settings, rpc, method as Method))
  }
  if (!isFlat) return Object.fromEntries(methods)
  return (tag: string, payload: unknown, options?: MethodOptions) => {
    const method = methods.get(tag) ?? Check.invalid(where, "tag", `one of ${tagsOf(requests)}`, tag)
    return method(payload, options)
  }
}
