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

/** As `Effect.isEffect`, by reading the mark instead of asking whether it is there, which takes V8 twenty times as long. */
export const isEffect = (u: unknown): u is AnyEffect =>
  (typeof u === "object" ? u !== null : typeof u === "function") &&
  (u as { readonly [Effect.TypeId]?: unknown })[Effect.TypeId] !== undefined

/** `protect(effect, options?)` and `protect(options)(effect)` in one. */
export type Protecting<Options> = (
  arg: AnyEffect | Options,
  options?: Options
) => AnyEffect | ((self: AnyEffect) => AnyEffect)

export const protect =
  <Options>(apply: (self: AnyEffect, options: Options | undefined) => AnyEffect): Protecting<Options> =>
  (arg, options) =>
    isEffect(arg) ? apply(arg, options) : (self) => apply(self, arg as Options)

/**
 * Both forms of a combinator: `combinator(...options)(effect)` and `combinator(effect, ...options)`. Options are checked
 * when they are given, not when the effect comes. The overloads of the caller say what the types are.
 */
export const dual =
  (make: (...options: ReadonlyArray<any>) => (self: AnyEffect) => AnyEffect): any =>
  (first: unknown, ...rest: ReadonlyArray<unknown>) =>
    isEffect(first) ? make(...rest)(first) : make(first, ...rest)

export type Judge = (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome

/** What a call is told beside its effect: its key, and a judgement in place of the policy's own. */
export interface Told {
  readonly key: string
  readonly judge: Judge | undefined
}

interface CallOptions extends Outcome.Judgement<unknown, unknown> {
  readonly key?: string | undefined
}

export const nothingTold: Told = { key: Rejection.defaultKey, judge: undefined }

const told = (where: string, options: CallOptions): Told => {
  Options.known(`${where}.protect`, options, ["key", ...Options.judgementNames])
  const key = options.key ?? Rejection.defaultKey
  if (typeof key !== "string") Options.reject(`${where}.protect`, "key", "a string", key)
  if (!Outcome.isJudgement(options)) return { key, judge: undefined }
  Options.judgement(`${where}.protect`, options)
  return { key, judge: Outcome.judge(options) }
}

/** The key under which a policy keeps its engine: for its service class, which finds the policy at run time. */
export const EngineKey = "~effect-resilience/engine" as const

/** A policy as its `protect` sees it. A stand-in of the user's own, in a test for example, has no engine. */
interface Found<E> {
  readonly [EngineKey]?: E
  readonly protect: (self: AnyEffect, options: CallOptions) => AnyEffect
}

/** The key of a service that holds a policy, whose members are typed for their users. */
export type Service = Context.Key<any, any>

/** An effect that a policy protects: one that is there, or that of a service, found when the effect runs. */
export abstract class Guarded<E> extends Protected {
  declare protected engine: E | undefined
  declare protected readonly service: Service | undefined
  declare protected readonly self: AnyEffect
  declare protected readonly told: Told

  constructor(engine: E | undefined, service: Service | undefined, self: AnyEffect, told: Told) {
    super()
    this.engine = engine
    this.service = service
    this.self = self
    this.told = told
  }

  /** {@link Protected.prepare}, with the policy found. */
  protected abstract refused(engine: E, fiber: AnyFiber): AnyEffect | undefined

  protected prepare(fiber: AnyFiber): AnyEffect | undefined {
    if (this.service !== undefined) {
      const policy: Found<E> = Context.getUnsafe(fiber.context, this.service)
      this.engine = policy[EngineKey]
      if (this.engine === undefined) {
        return policy.protect(this.self, { key: this.told.key, classify: this.told.judge })
      }
    }
    // Only a service leaves the engine to be found, and it has just been.
    return this.refused(this.engine!, fiber)
  }
}

/** The `protect` of a policy; `guard` makes the call of an effect. */
export const by =
  (where: string, guard: (self: AnyEffect, told: Told) => AnyEffect): Protecting<CallOptions> =>
  (arg, options) => {
    if (isEffect(arg)) return guard(arg, options === undefined ? nothingTold : told(where, options))
    if (typeof arg !== "object" || arg === null || Object.getPrototypeOf(arg) !== Object.prototype) {
      Options.reject(`${where}.protect`, "its argument", "an Effect, or an object of options", arg)
    }
    const once = told(where, arg as CallOptions)
    return (self) => {
      if (!isEffect(self)) Options.reject(`${where}.protect`, "what it is given", "an Effect", self)
      return guard(self, once)
    }
  }

interface FnOptions {
  readonly key?: ((...args: ReadonlyArray<unknown>) => string) | undefined
}

export const fn =
  (where: string, protect: Protecting<{ readonly key?: string | undefined }>) =>
  (f: (...args: ReadonlyArray<unknown>) => AnyEffect, options?: FnOptions) => {
    if (typeof f !== "function") Options.reject(`${where}.fn`, "its argument", "a function that returns an Effect", f)
    if (options !== undefined) Options.known(`${where}.fn`, options, ["key"])
    const keyOf = options?.key
    // Effect's loop does not unwind over what is no effect: then what the call holds would be lost.
    const work = (args: ReadonlyArray<unknown>): AnyEffect => {
      const made: unknown = f(...args)
      return isEffect(made) ? made : Options.reject(`${where}.fn`, "what its function returns", "an Effect", made)
    }
    // Suspended, so that what the functions throw is a defect of the call.
    return keyOf === undefined
      ? (...args: ReadonlyArray<unknown>) => protect(Effect.suspend(() => work(args)))
      : (...args: ReadonlyArray<unknown>) =>
          Effect.suspend(() => protect(work(args), { key: keyOf(...args) }) as AnyEffect)
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
