/** What the `protect` and `fn` of every policy have in common. */
import "../runtime/frameCheck.ts"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Outcome from "../Outcome.ts"
import { isEffect, returned } from "../runtime/dual.ts"
import * as Check from "../runtime/options.ts"
import type { AnyEffect } from "../runtime/types.ts"
import { defaultKey } from "../Types.ts"

export type Classify = (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome

/** The options of one call, checked: its key, and a classification in place of the policy's. */
export interface CallOptions {
  readonly key: string
  readonly classify: Classify | undefined
  /** `false` makes one attempt, `"unprocessed"` repeats only what was surely not processed. */
  readonly retry: false | "unprocessed" | undefined
  /** Whether the work may run twice at the same time; `undefined` as the policy says. */
  readonly idempotent: boolean | undefined
  /** Whose turn it is in a queue for a permit. */
  readonly tenant: string | undefined
}

export const defaultOptions: CallOptions = {
  key: defaultKey,
  classify: undefined,
  retry: undefined,
  idempotent: undefined,
  tenant: undefined
}

interface GivenOptions extends Outcome.Classification<unknown, unknown> {
  readonly key?: string | undefined
  readonly retry?: CallOptions["retry"]
  readonly idempotent?: CallOptions["idempotent"]
  readonly tenant?: CallOptions["tenant"]
}

export const isOptions = (arg: unknown): arg is GivenOptions =>
  typeof arg === "object" && arg !== null && Object.getPrototypeOf(arg) === Object.prototype

/** Checks the options of one call; `where` names the module and the member. */
export const resolve = (where: string, options: GivenOptions, names: ReadonlyArray<string>): CallOptions => {
  Check.noUnknown(where, options, names)
  const { idempotent, retry, tenant } = options
  const key = Check.key(where, Check.orDefault(options.key, defaultKey))
  if (retry !== undefined && retry !== false && retry !== "unprocessed") {
    Check.invalid(where, "retry", `false or "unprocessed"`, retry)
  }
  if (idempotent !== undefined && typeof idempotent !== "boolean") {
    Check.invalid(where, "idempotent", "true or false", idempotent)
  }
  if (tenant !== undefined && typeof tenant !== "string") Check.invalid(where, "tenant", "a string", tenant)
  if (!Outcome.isClassification(options)) {
    const isDefault = key === defaultKey && retry === undefined && idempotent === undefined && tenant === undefined
    return isDefault ? defaultOptions : { key, classify: undefined, retry, idempotent, tenant }
  }
  Check.classification(where, options)
  return { key, classify: Outcome.classifier(options), retry, idempotent, tenant }
}

/** The key among options that have no other. */
export const keyOf = (where: string, member: string, options: { readonly key?: string | undefined } = {}): string => {
  const here = Check.inside(where, member)
  Check.noUnknown(here, options, ["key"])
  return Check.key(here, Check.orDefault(options.key, defaultKey))
}

/** The options of one call through a breaker. */
export const callOptionNames: ReadonlyArray<string> = ["key", ...Check.classificationNames]

/** `protect(effect)` and `protect(options)(effect)` in one. */
export type Protect = (arg: unknown) => AnyEffect | ((self: AnyEffect) => AnyEffect)

/**
 * The `protect` of a policy; `guard` creates the call of an effect. Further arguments are ignored, so that it is a transformer
 * of `Effect.fn`, which passes the arguments of the function on.
 */
export const protectWith = (
  where: string,
  guard: (self: AnyEffect, options: CallOptions) => AnyEffect,
  names: ReadonlyArray<string> = callOptionNames
): Protect => {
  const here = Check.inside(where, "protect")
  return (arg) => {
    if (isEffect(arg)) return guard(arg, defaultOptions)
    if (!isOptions(arg)) return Check.invalid(here, "the argument", "an Effect or options", arg)
    const options = resolve(here, arg, names)
    return (self) => {
      if (!isEffect(self)) Check.invalid(here, "the argument", "an Effect", self)
      return guard(self, options)
    }
  }
}

interface FnOptions {
  readonly key?: ((...args: ReadonlyArray<unknown>) => string) | undefined
}

export const fnWith = (where: string, protect: Protect) => {
  const here = Check.inside(where, "fn")
  const protectWithKey = (key: string, self: AnyEffect): AnyEffect =>
    (protect({ key }) as (self: AnyEffect) => AnyEffect)(self)
  return (f: (...args: ReadonlyArray<unknown>) => AnyEffect, options?: FnOptions) => {
    Check.callback(here, "the argument", "a function that returns an Effect", f)
    if (options !== undefined) Check.noUnknown(here, options, ["key"])
    const keyOf = options?.key
    if (keyOf !== undefined) Check.callback(here, "key", "a function that returns a string", keyOf)
    const work = (args: ReadonlyArray<unknown>): AnyEffect => returned(here, "the argument", f(...args))
    // Suspended, so that what the functions throw is a defect of the call.
    return keyOf === undefined
      ? (...args: ReadonlyArray<unknown>) => protect(Effect.suspend(() => work(args)))
      : (...args: ReadonlyArray<unknown>) => Effect.suspend(() => protectWithKey(keyOf(...args), work(args)))
  }
}

/** The statics of a service class: members of the policy that is found in the fiber's context when they are used. */
export const inContext = <Self, Shape extends object>(service: Context.Service<Self, Shape>) => ({
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

export interface Classified {
  readonly outcome: Outcome.Outcome
  readonly threw: boolean
  readonly defect: unknown
}

export const success: Classified = { outcome: "success", threw: false, defect: undefined }
export const failure: Classified = { outcome: "failure", threw: false, defect: undefined }
export const ignored: Classified = { outcome: "ignored", threw: false, defect: undefined }

export const plain: Readonly<Record<Outcome.Outcome, Classified>> = { success, failure, ignored }

/**
 * Classifies an exit. A classification of the user's that throws is a defect, which must wait until everything that the call
 * holds is released; the call counts as ignored.
 */
export const classifySafely = (classify: Classify, exit: Exit.Exit<unknown, unknown>): Classified => {
  const result = Result.try(() => classify(exit))
  if (Result.isFailure(result)) return { outcome: "ignored", threw: true, defect: result.failure }
  // Any value may be returned in plain JavaScript, and `["success"]` is the same property name as `"success"`.
  const outcome: unknown = result.success
  const classified = typeof outcome === "string" && Object.hasOwn(plain, outcome) ? plain[result.success] : undefined
  return classified ?? { outcome: "ignored", threw: true, defect: noOutcome(result.success) }
}

/** Classifies a success; the default needs no exit for it. */
export const classifySuccess = (classify: Classify, value: unknown): Classified =>
  classify === Outcome.classify ? success : classifySafely(classify, Exit.succeed(value))

const noOutcome = (value: unknown): TypeError =>
  new TypeError(`classify must return "success", "failure" or "ignored", got ${Formatter.format(value)}`)
