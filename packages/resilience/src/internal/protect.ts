/** What the `protect` and `fn` of every policy have in common. */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Outcome from "../Outcome.ts"
import * as Transient from "../Transient.ts"

/** An effect of any type; the interfaces of the policies say which ones. */
export type AnyEffect = Effect.Effect<any, any, any>

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

interface FnOptions {
  readonly key?: ((...args: ReadonlyArray<unknown>) => string) | undefined
}

export const fn =
  (protect: Protecting<{ readonly key?: string | undefined }>) =>
  (f: (...args: ReadonlyArray<unknown>) => AnyEffect, options?: FnOptions) => {
    const keyOf = options?.key
    // Suspended, so that what `f` throws is a defect of the call.
    return keyOf === undefined
      ? (...args: ReadonlyArray<unknown>) => protect(Effect.suspend(() => f(...args)))
      : (...args: ReadonlyArray<unknown>) =>
          protect(
            Effect.suspend(() => f(...args)),
            { key: keyOf(...args) }
          )
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

/** Reads the pause that the dependency asked for off the failure of a call. */
export const retryAfterOf = (exit: Exit.Exit<unknown, unknown>): Duration.Duration | undefined => {
  if (exit._tag === "Success") return undefined
  for (const reason of exit.cause.reasons) {
    if (reason._tag === "Fail") return Transient.retryAfter(reason.error)
  }
  return undefined
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
export const judgeSafely = (
  judge: (exit: Exit.Exit<unknown, unknown>) => Outcome.Outcome,
  exit: Exit.Exit<unknown, unknown>
): Judged => {
  if (judge === Outcome.classify) return plain[Outcome.classify(exit)]
  const result = Result.try(() => judge(exit))
  if (Result.isFailure(result)) return { outcome: "ignored", threw: true, defect: result.failure }
  const judged: Judged | undefined = Object.hasOwn(plain, result.success) ? plain[result.success] : undefined
  return judged ?? { outcome: "ignored", threw: true, defect: noOutcome(result.success) }
}

const noOutcome = (value: unknown): TypeError =>
  new TypeError(`classify must return "success", "failure" or "ignored", got ${Formatter.format(value)}`)
