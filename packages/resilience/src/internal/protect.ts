/** What the `protect` and `fn` of every policy have in common. */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Outcome from "../Outcome.ts"
import * as Rejection from "../Rejection.ts"
import * as Transient from "../Transient.ts"
import { Protected } from "./frame.ts"
import * as Options from "./options.ts"
import type { AnyEffect, AnyFiber } from "./types.ts"

/** `protect(effect, options?)` and `protect(options)(effect)` in one. */
export type Protecting<Options> = (
  arg: AnyEffect | Options,
  options?: Options
) => AnyEffect | ((self: AnyEffect) => AnyEffect)

export const protect =
  <Options>(apply: (self: AnyEffect, options: Options | undefined) => AnyEffect): Protecting<Options> =>
  (arg, options) =>
    Effect.isEffect(arg) ? apply(arg, options) : (self) => apply(self, arg as Options)

/**
 * Both forms of a combinator: `combinator(...options)(effect)` and `combinator(effect, ...options)`. Options are checked
 * when they are given, not when the effect comes. The overloads of the caller say what the types are.
 */
export const dual =
  (make: (...options: ReadonlyArray<any>) => (self: AnyEffect) => AnyEffect): any =>
  (first: unknown, ...rest: ReadonlyArray<unknown>) =>
    Effect.isEffect(first) ? make(...rest)(first) : make(first, ...rest)

export type Judge = (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome

/** What a call is told beside its effect: its key, and a judgement in place of the policy's own. */
export interface Told {
  readonly key: string
  readonly judge: Judge | undefined
}

interface CallOptions extends Outcome.Judgement<unknown, unknown> {
  readonly key?: string | undefined
}

const nothingTold: Told = { key: Rejection.defaultKey, judge: undefined }

const told = (where: string, options: CallOptions | undefined): Told => {
  if (options === undefined) return nothingTold
  Options.known(`${where}.protect`, options, ["key", ...Options.judgementNames])
  const key = options.key ?? Rejection.defaultKey
  if (typeof key !== "string") Options.reject(`${where}.protect`, "key", "a string", key)
  if (!Outcome.isJudgement(options)) return { key, judge: undefined }
  Options.judgement(`${where}.protect`, options)
  return { key, judge: Outcome.judge(options) }
}

/** The key of the method that begins a call of a policy: for its service class, which finds the policy at run time. */
export const Begin = "~effect-resilience/begin" as const

/** A policy at work, as its `protect` sees it. */
export interface Beginner {
  readonly [Begin]: (self: AnyEffect, told: Told, fiber: AnyFiber) => AnyEffect
}

/** An effect that a policy protects. */
class Guarded extends Protected {
  private readonly policy: Beginner
  private readonly self: AnyEffect
  private readonly told: Told

  constructor(policy: Beginner, self: AnyEffect, told: Told) {
    super()
    this.policy = policy
    this.self = self
    this.told = told
  }

  begin(fiber: AnyFiber): AnyEffect {
    return this.policy[Begin](this.self, this.told, fiber)
  }
}

type Found = Beginner | { readonly protect: (self: AnyEffect, options: CallOptions) => AnyEffect }

/** An effect that the policy of a service protects, which is found when the effect runs. */
class GuardedByService extends Protected {
  private readonly service: Context.Key<any, Found>
  private readonly self: AnyEffect
  private readonly told: Told

  constructor(service: Context.Key<any, Found>, self: AnyEffect, told: Told) {
    super()
    this.service = service
    this.self = self
    this.told = told
  }

  begin(fiber: AnyFiber): AnyEffect {
    const policy = Context.getUnsafe(fiber.context, this.service)
    // A stand-in of the user's own, in a test for example, has only what the interface says.
    return Begin in policy
      ? policy[Begin](this.self, this.told, fiber)
      : policy.protect(this.self, { key: this.told.key, classify: this.told.judge })
  }
}

const either =
  (where: string, guard: (self: AnyEffect, told: Told) => Protected): Protecting<CallOptions> =>
  (arg, options) => {
    if (Effect.isEffect(arg)) return guard(arg, told(where, options))
    if (typeof arg !== "object" || arg === null || Object.getPrototypeOf(arg) !== Object.prototype) {
      Options.reject(`${where}.protect`, "its argument", "an Effect, or an object of options", arg)
    }
    const once = told(where, arg as CallOptions)
    return (self) => {
      if (!Effect.isEffect(self)) Options.reject(`${where}.protect`, "what it is given", "an Effect", self)
      return guard(self, once)
    }
  }

/** The `protect` of a policy. */
export const by = (where: string, policy: Beginner): Protecting<CallOptions> =>
  either(where, (self, told) => new Guarded(policy, self, told))

/** The `protect` of a service class. */
export const byService = (where: string, service: Context.Key<any, any>): Protecting<CallOptions> =>
  either(where, (self, told) => new GuardedByService(service, self, told))

interface FnOptions {
  readonly key?: ((...args: ReadonlyArray<unknown>) => string) | undefined
}

export const fn =
  (where: string, protect: Protecting<{ readonly key?: string | undefined }>) =>
  (f: (...args: ReadonlyArray<unknown>) => AnyEffect, options?: FnOptions) => {
    if (typeof f !== "function") Options.reject(`${where}.fn`, "its argument", "a function that returns an Effect", f)
    if (options !== undefined) Options.known(`${where}.fn`, options, ["key"])
    const keyOf = options?.key
    // Suspended, so that what the functions throw is a defect of the call.
    return keyOf === undefined
      ? (...args: ReadonlyArray<unknown>) => protect(Effect.suspend(() => f(...args)))
      : (...args: ReadonlyArray<unknown>) =>
          Effect.suspend(() => protect(f(...args), { key: keyOf(...args) }) as AnyEffect)
  }

/**
 * The members of a policy that is found in the fiber's context when they are used: what a service class has as statics.
 */
export const inContext = <Self, Shape extends object>(service: Context.Service<Self, Shape>) => ({
  /** A `protect` that finds its policy when the effect runs. */
  protect: <Options>(of: (policy: Shape) => unknown): Protecting<Options> =>
    protect<Options>((self, options) =>
      Effect.withFiber((fiber) => {
        const policy = Context.getUnsafe(fiber.context, service)
        return (of(policy) as (self: AnyEffect, options: Options | undefined) => AnyEffect)(self, options)
      })
    ),
  /** An effect of the policy. */
  effect: <A, E, R>(of: (policy: Shape) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R | Self> => service.use(of),
  /** A function of the policy. */
  call:
    <Args extends ReadonlyArray<unknown>, A, E, R>(of: (policy: Shape) => (...args: Args) => Effect.Effect<A, E, R>) =>
    (...args: Args): Effect.Effect<A, E, R | Self> =>
      service.use((policy) => of(policy)(...args)),
  /** A stream of the policy. */
  stream: <A>(of: (policy: Shape) => Stream.Stream<A>): Stream.Stream<A, never, Self> =>
    Stream.unwrap(service.useSync(of))
})

/**
 * Reads the pause that the dependency asked for off the failure of a call. An error of the user's may be anything, a proxy
 * or a getter that throws included; then it asked for nothing.
 */
export const retryAfterOf = (cause: Cause.Cause<unknown>): Duration.Duration | undefined => {
  const reason = cause.reasons.find((reason) => reason._tag === "Fail")
  return reason === undefined
    ? undefined
    : Result.getOrElse(
        Result.try(() => Transient.retryAfter(reason.error)),
        () => undefined
      )
}

export interface Judged {
  readonly outcome: Outcome.Outcome
  readonly threw: boolean
  readonly defect: unknown
}

export const success: Judged = { outcome: "success", threw: false, defect: undefined }
export const failure: Judged = { outcome: "failure", threw: false, defect: undefined }
export const ignored: Judged = { outcome: "ignored", threw: false, defect: undefined }

const plain: Readonly<Record<Outcome.Outcome, Judged>> = { success, failure, ignored }

/**
 * Judges an exit. A judgement of the user's that throws is a defect, but one that must wait until everything the call
 * holds is given back; until then the call counts as ignored.
 */
export const judgeSafely = (judge: Judge, exit: Exit.Exit<unknown, unknown>): Judged => {
  const result = Result.try(() => judge(exit))
  if (Result.isFailure(result)) return { outcome: "ignored", threw: true, defect: result.failure }
  const judged: Judged | undefined = Object.hasOwn(plain, result.success) ? plain[result.success] : undefined
  return judged ?? { outcome: "ignored", threw: true, defect: noOutcome(result.success) }
}

/** Judges a success; by default there is nothing to ask. */
export const judgeSuccess = (judge: Judge, value: unknown): Judged =>
  judge === Outcome.classify ? success : judgeSafely(judge, Exit.succeed(value))

const noOutcome = (value: unknown): TypeError =>
  new TypeError(`classify must return "success", "failure" or "ignored", got ${Formatter.format(value)}`)
