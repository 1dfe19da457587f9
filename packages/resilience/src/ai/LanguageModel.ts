/**
 * Protects a language model of `effect/ai` with a policy, in one line.
 *
 * The policy stands around the hooks of the provider: the functions that `LanguageModel.make` takes, of which each run is one
 * request. A policy around `generateText` itself would repeat the tools that ran inside it.
 *
 * Effect marks `effect/ai` as unstable, so this adapter may change with it.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import type * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import type * as Policy from "../Policy.ts"
import * as Rejection from "../Rejection.ts"
import * as Check from "../runtime/options.ts"
import { attempt, read } from "../runtime/read.ts"
import * as Transient from "../Transient.ts"
import { defaultKey } from "../Types.ts"
import * as TokenBudget from "./TokenBudget.ts"

/**
 * The hooks of a provider: what `LanguageModel.make` takes.
 *
 * @category models
 * @since 0.1.0
 */
export type Hooks = Parameters<typeof LanguageModel.make>[0]

/**
 * Options of a protected model.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Budget = never> {
  /**
   * Which circuit and which permits. Default: `provider/model`, from `Model.ProviderName` and `Model.ModelName` of the caller,
   * which `Model.make` provides; without them `"default"`.
   */
  readonly key?: string | ((options: LanguageModel.ProviderOptions) => string) | undefined
  /**
   * Whether a request may be sent again although the provider may have processed it. Default: {@link isRepeatable}. Requests for
   * which it is `false` are repeated only when the error proves that the provider did nothing. What the function throws counts
   * as `false`.
   */
  readonly repeat?: ((options: LanguageModel.ProviderOptions) => boolean) | undefined
  /**
   * Limits tokens or money: a class made by `TokenBudget.Service`, or a budget made by `TokenBudget.make`. Each attempt reserves its estimate under the key of the call, inside the policy, and fails with
   * `BudgetExhausted` if too little is left, which is neither retried nor counted. Default: no limit.
   */
  readonly budget?: TokenBudget.TokenBudget<Budget> | undefined
}

/**
 * `unknown` when the policy makes sense for a language model; otherwise an English sentence that says why not.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanProtect<P extends Policy.Part, Rules> = Policy.CanProtect<
  Array<Response.PartEncoded>,
  Transient.Known<AiError.AiError>,
  P,
  Rules,
  IdGenerator.IdGenerator
>

/**
 * Checks whether a request may be sent twice: it has no tool that the provider itself runs, unless the tool is annotated as
 * `Tool.Readonly` or `Tool.Idempotent`. Tools with a handler run in this program, after the request.
 *
 * @category guards
 * @since 0.1.0
 */
export const isRepeatable = (options: LanguageModel.ProviderOptions): boolean =>
  options.tools.every((tool) => {
    if (!Tool.isProviderDefined(tool) || tool.requiresHandler) return true
    const { annotations } = tool as Tool.Any
    return Context.get(annotations, Tool.Readonly) || Context.get(annotations, Tool.Idempotent)
  })

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

type ProviderOptions = LanguageModel.ProviderOptions
type Content = Effect.Effect<Array<Response.PartEncoded>, unknown, IdGenerator.IdGenerator>
type Parts = Stream.Stream<Response.StreamPartEncoded, unknown, IdGenerator.IdGenerator>

/** A policy whose types were checked by the public signatures. */
interface AnyPolicy {
  readonly protect: (options: Policy.ProtectOptions) => (self: Content) => Content
  readonly protectStream: (options: Policy.ProtectOptions) => (self: Parts) => Parts
}

interface Settings {
  readonly key: (options: ProviderOptions, context: Context.Context<never>) => string
  readonly repeat: (options: ProviderOptions) => boolean
  /** The budget of a program: of a class the one that its layer provides. */
  readonly budget: Effect.Effect<TokenBudget.TokenBudget, never, unknown> | undefined
}

const where = "effect-resilience/ai/LanguageModel"

const optionNames = ["key", "repeat", "budget"]

/** The key of a model: its provider and its name. */
const modelOf = (context: Context.Context<never>): string => {
  const provider = Context.getOrUndefined(context, Model.ProviderName)
  const model = Context.getOrUndefined(context, Model.ModelName)
  return provider === undefined ? (model ?? defaultKey) : model === undefined ? provider : `${provider}/${model}`
}

const resolveBudget = (budget: unknown): Settings["budget"] => {
  if (budget === undefined) return undefined
  // A class is a function.
  if (typeof attempt(() => Object(budget).reserve, undefined) !== "function") {
    Check.invalid(where, "budget", "a class made by TokenBudget.Service, or a budget made by TokenBudget.make", budget)
  }
  return found<TokenBudget.TokenBudget>(budget)
}

/** A service of a program: of a class what its layer provides. */
const found = <Shape>(service: unknown): Effect.Effect<Shape, never, unknown> =>
  // The public signatures have checked what it is.
  Context.isKey(service) ? Effect.service(service as Context.Key<unknown, Shape>) : Effect.succeed(service as Shape)

const resolveKey = (key: Options["key"]): Settings["key"] => {
  if (key === undefined) return (_, context) => modelOf(context)
  if (typeof key === "string") return () => key
  Check.callback(where, "key", "a string, or a function that returns one", key)
  return key
}

/** The settings; the defaults stand here. */
const resolve = (options: Options<unknown>): Settings => {
  Check.noUnknown(where, options, optionNames)
  const { budget, repeat = isRepeatable } = options
  Check.callback(where, "repeat", Check.predicate, repeat)
  return { key: resolveKey(options.key), repeat, budget: resolveBudget(budget) }
}

/** The policy of a program: of a class the one that its layer provides. */
const policyOf = (policy: unknown): Effect.Effect<AnyPolicy, never, unknown> => {
  // A class is a function.
  const { protect, protectStream } = Object(policy) as Partial<AnyPolicy>
  if (typeof protect !== "function" || typeof protectStream !== "function") {
    Check.invalid(where, "policy", "a class made by Policy.Service, or a policy made by Policy.make", policy)
  }
  return found<AnyPolicy>(policy)
}

// ---------------------------------------------------------------------------------------------------------------------
// Errors
// ---------------------------------------------------------------------------------------------------------------------

/** The errors that a model has of its own stay; those of the policy become one. */
const aiErrorOf = (error: unknown, method: string): AiError.AiError => {
  if (AiError.isAiError(error)) return error
  const message = read(error, "message")
  const description = typeof message === "string" ? message : String(error)
  const isRefusal = Rejection.is(error) || error instanceof TokenBudget.BudgetExhausted
  const reason = isRefusal
    ? new AiError.UnknownError({ description })
    : new AiError.InternalProviderError({ description })
  // As the constructor of `Error` does. The schemas of these reasons have no field for a cause.
  Object.defineProperty(reason, "cause", { value: error, enumerable: false, configurable: true })
  const wrapped = AiError.make({ module: "LanguageModel", method, reason })
  if (isRefusal) Transient.markRefused(wrapped, !Rejection.is(error) || Rejection.neverStarted(error))
  return wrapped
}

/** The errors of one attempt. */
type AttemptError = AiError.AiError | TokenBudget.BudgetExhausted

/** Marks what may be transient, in a stream. */
const markKnown = (self: Stream.Stream<Response.StreamPartEncoded, AttemptError, IdGenerator.IdGenerator>): Parts =>
  Stream.catchCause(self, (cause) => Stream.fromEffect(Transient.known(Effect.failCause(cause))))

// ---------------------------------------------------------------------------------------------------------------------
// Budgets
// ---------------------------------------------------------------------------------------------------------------------

/** Reasons with which a provider refuses a request or gives it up: it bills nothing. */
const unbilled = new Set([
  "RateLimitError",
  "QuotaExhaustedError",
  "AuthenticationError",
  "InvalidRequestError",
  "InternalProviderError"
])

/** What an attempt used that failed, as far as its error says. */
const settleFailure = (held: TokenBudget.Reservation, cause: Cause.Cause<unknown>): Effect.Effect<void> => {
  const [reason] = cause.reasons
  if (cause.reasons.length !== 1 || reason === undefined || !Cause.isFailReason(reason)) return Effect.void
  const { error } = reason
  if (!AiError.isAiError(error)) return Effect.void
  if (unbilled.has(error.reason._tag) || Transient.isUnprocessed(error)) return held.settle(0)
  const { usage } = error.reason as Partial<AiError.InvalidOutputError>
  return usage === undefined
    ? Effect.void
    : held.settleUsage({
        inputTokens: { total: usage.promptTokens },
        outputTokens: {
          total:
            usage.completionTokens ??
            (usage.totalTokens === undefined ? undefined : usage.totalTokens - (usage.promptTokens ?? 0))
        }
      })
}

const settlePart = (
  held: TokenBudget.Reservation,
  part: Response.PartEncoded | Response.StreamPartEncoded | undefined
): Effect.Effect<void> => (part?.type === "finish" ? held.settleUsage(part.usage) : Effect.void)

/** One call of a model. */
interface Call {
  readonly key: string
  readonly retry: "unprocessed" | undefined
  /** What each attempt reserves. */
  readonly amount: number
}

/** One attempt, within a budget. What is not settled when its scope closes counts as its estimate. */
const charged = (
  budget: TokenBudget.TokenBudget | undefined,
  { amount, key }: Call,
  attempt: ReturnType<Hooks["generateText"]>
): Effect.Effect<Array<Response.PartEncoded>, AttemptError, IdGenerator.IdGenerator> =>
  budget === undefined
    ? attempt
    : Effect.scoped(
        Effect.flatMap(budget.reserve(amount, { key }), (held) =>
          Transient.known(attempt).pipe(
            Effect.tap((parts) =>
              settlePart(
                held,
                parts.find(({ type }) => type === "finish")
              )
            ),
            Effect.tapCause((cause) => settleFailure(held, cause))
          )
        )
      )

/** The same of a stream. */
const chargedStream = (
  budget: TokenBudget.TokenBudget | undefined,
  { amount, key }: Call,
  attempt: ReturnType<Hooks["streamText"]>
): Stream.Stream<Response.StreamPartEncoded, AttemptError, IdGenerator.IdGenerator> =>
  budget === undefined
    ? attempt
    : Stream.unwrap(
        Effect.map(budget.reserve(amount, { key }), (held) =>
          attempt.pipe(
            Stream.tap((part) => settlePart(held, part)),
            Stream.onError((cause) =>
              Effect.andThen(Effect.exit(Transient.known(Effect.failCause(cause))), settleFailure(held, cause))
            )
          )
        )
      )

// ---------------------------------------------------------------------------------------------------------------------
// The adapter
// ---------------------------------------------------------------------------------------------------------------------

/** The hooks over those of a provider. */
const protectHooks = (
  policy: AnyPolicy,
  budget: TokenBudget.TokenBudget | undefined,
  { key, repeat }: Settings,
  hooks: Hooks
): Hooks => {
  const callOf = (options: ProviderOptions): Effect.Effect<Call, never, IdGenerator.IdGenerator> =>
    Effect.contextWith((context: Context.Context<IdGenerator.IdGenerator>) =>
      Effect.map(budget === undefined ? Effect.succeed(0) : budget.estimate(options), (amount) => ({
        key: key(options, context),
        amount,
        // Of a predicate only `true` counts.
        retry: attempt(() => repeat(options), false) === true ? undefined : "unprocessed"
      }))
    )
  return {
    ...hooks,
    generateText: (options) =>
      Effect.flatMap(callOf(options), (call) => {
        const request = Effect.suspend(() => hooks.generateText(options))
        return Effect.suspend(() => charged(budget, call, request)).pipe(
          Transient.known,
          policy.protect({ key: call.key, retry: call.retry }),
          Effect.mapError((error) => aiErrorOf(error, "generateText"))
        )
      }),
    streamText: (options) =>
      Stream.unwrap(
        Effect.map(callOf(options), (call) => {
          const request = Stream.suspend(() => hooks.streamText(options))
          return Stream.suspend(() => chargedStream(budget, call, request)).pipe(
            markKnown,
            policy.protectStream({ key: call.key, retry: call.retry }),
            Stream.mapError((error) => aiErrorOf(error, "streamText"))
          )
        })
      )
  }
}

/**
 * Protects the hooks of a provider, for `LanguageModel.make`.
 *
 * **When to use** Where a provider's model is made. {@link layer} does it in one step.
 *
 * **Details** `policy` is a class made by `Policy.Service`, or a policy made by `Policy.make`.
 *
 * - Each request is one call of the policy. Tools with a handler run outside of it: no retry repeats them.
 * - Errors are judged by `Transient.known`: a rate limit is retried after its `retryAfter` and ignored by the breaker; an output
 *   that does not decode says nothing about the provider, and the breaker ignores it.
 * - A stream is retried only before its first part. Its permit is held until it ends. `timeout` and `deadline` apply to the time
 *   before the first part.
 * - The error type of a model is fixed. Rejections arrive as `AiError` with an `UnknownError`, which is not retryable, and
 *   `TimedOut` as one with an `InternalProviderError`. Each is the `cause` of the reason: `Rejection.of(error)` finds a
 *   rejection, `TokenBudget.exhaustedIn(error)` that of a budget.
 *
 * A bad option throws a `RangeError` at once.
 *
 * **Gotchas** Do not retry around a protected model, and set no retry in the HTTP client below it. A stream that stops between two
 * parts is not ended by the policy: use `Stream.timeout`.
 *
 * **Example** (A model over hooks of your own)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { AiError, LanguageModel } from "effect/ai"
 * import { Policy, Retry } from "effect-resilience"
 * import * as Resilient from "effect-resilience/ai/LanguageModel"
 *
 * class Llm extends Policy.Service<Llm>()("app/Llm", {
 *   retry: Retry.backoff({ base: "1 millis", times: 2 }),
 *   breaker: {},
 *   timeout: "30 seconds"
 * }) {}
 *
 * // A provider that is well at the third request.
 * let requests = 0
 * const hooks: Resilient.Hooks = {
 *   generateText: () => ++requests < 3
 *     ? Effect.fail(AiError.make({
 *       module: "Provider",
 *       method: "generateText",
 *       reason: new AiError.InternalProviderError({ description: "overloaded" })
 *     }))
 *     : Effect.succeed([{ type: "text", text: "Hello!" }]),
 *   streamText: () => Stream.empty
 * }
 * const model = Effect.flatMap(Resilient.protect(Llm)(hooks), LanguageModel.make)
 *
 * const text = Effect.flatMap(model, (model) => model.generateText({ prompt: "Hello?" })).pipe(
 *   Effect.map((response) => response.text)
 * )
 * await Effect.runPromise(text.pipe(Effect.provide(Llm.layer))) // => "Hello!"
 * requests // => 3
 * ```
 *
 * @category protecting
 * @since 0.1.0
 */
export const protect = <P extends Policy.Part, Rules, Self, Budget = never>(
  policy: Policy.Policy<P, Rules, Self> & CanProtect<P, Rules>,
  options: Options<Budget> = {}
): ((hooks: Hooks) => Effect.Effect<Hooks, never, Self | Budget>) => {
  const settings = resolve(options)
  const services = Effect.all([policyOf(policy), settings.budget ?? Effect.undefined])
  return (hooks) =>
    // Classes require themselves, as the types of the policy and of the budget say.
    Effect.map(services, ([policy, budget]) => protectHooks(policy, budget, settings, hooks)) as Effect.Effect<
      Hooks,
      never,
      Self | Budget
    >
}

/**
 * The `LanguageModel` of a program over the hooks of a provider, protected. `Model.make` takes this layer.
 *
 * **Gotchas** Provide the layer of the policy once, outside of an `ExecutionPlan`: a plan builds the layers of a step for each
 * attempt, and a new policy has closed circuits. For the rest see {@link protect}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <P extends Policy.Part, Rules, Self, E = never, R = never, Budget = never>(
  policy: Policy.Policy<P, Rules, Self> & CanProtect<P, Rules>,
  hooks: Hooks | Effect.Effect<Hooks, E, R>,
  options: Options<Budget> = {}
): Layer.Layer<LanguageModel.LanguageModel, E, Self | R | Budget> => {
  const protecting = protect(policy, options)
  return Layer.effect(
    LanguageModel.LanguageModel,
    Effect.flatMap(Effect.isEffect(hooks) ? hooks : Effect.succeed(hooks), (hooks) =>
      Effect.flatMap(protecting(hooks), LanguageModel.make)
    )
  )
}
