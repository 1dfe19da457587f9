/**
 * Protects functions that return promises, for code without Effect.
 *
 * The errors are those that were thrown, an abort rejects with the reason of the signal, and a call inside another call has
 * the deadline of that call where the platform has `AsyncLocalStorage`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Change from "../Change.ts"
import type * as Event from "../Event.ts"
import * as Deadline from "../engine/deadline.ts"
import * as Policy from "../Policy.ts"
import * as Check from "../runtime/options.ts"
import * as Platform from "../runtime/platform.ts"
import { isObject } from "../runtime/read.ts"
import type * as Stats from "../Stats.ts"
import * as Transient from "../Transient.ts"
import { defaultKey } from "../Types.ts"

/**
 * Says which errors another attempt may cure, and where the policy lives.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorOptions extends Transient.LiftOptions<unknown> {
  /**
   * Whether another attempt may cure an error: a function, or the classes of such errors. It is required, because the
   * type of a promise does not name its errors. Only such errors are retried, and only they are failures of the breaker
   * unless `failures` or `classify` says otherwise.
   */
  readonly transient: ((error: unknown) => boolean) | ReadonlyArray<ErrorClass>
  /**
   * What the policy finds in its context: a shared `RetryBudget`, a hub of events, a registry. Default: the context of
   * `Effect.runPromise`.
   */
  readonly context?: Context.Context<never> | undefined
}

/**
 * A class of errors.
 *
 * @category models
 * @since 0.1.0
 */
export type ErrorClass = abstract new (...args: never) => unknown

/**
 * Options of one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunOptions {
  /** Which circuit and which permits. Default: `"default"`. */
  readonly key?: string | undefined
  /** Ends the call, in a delay between attempts too, and rejects it with the reason of the signal. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Commands of an operator, each for one key, or for all keys when none is given: see `Policy.Control`. Each returns the change that it
 * has added to the record.
 *
 * @category models
 * @since 0.1.0
 */
export interface Control {
  readonly isolate: (target?: Change.Target) => Change.Change
  readonly open: (target?: Change.Target) => Change.Change
  readonly close: (target?: Change.Target) => Change.Change
  readonly reset: (target?: Change.Target) => Change.Change
  readonly disable: (target?: Change.Target) => Change.Change
  readonly enable: (target?: Change.Target) => Change.Change
  readonly resize: (maxConcurrent: number, target?: Change.Target) => Change.Change
  /** Changes settings for the calls to come; values have the names of those of `layerConfig`. */
  readonly set: (values: Policy.Values, why?: Change.Why) => Change.Change
}

/**
 * A policy for functions that return promises.
 *
 * @category models
 * @since 0.1.0
 */
export interface Promises {
  readonly name: string
  /**
   * Calls `f`, once for each attempt, and resolves with its value. The signal that `f` gets is aborted when a timeout or the
   * deadline ends the attempt, and when the signal of the options is aborted.
   *
   * **Details** Rejects with the error that `f` threw or rejected with; with a rejection of the policy (`CircuitOpen`,
   * `BulkheadFull`, `DeadlineExceeded`) or `TimedOut`, which are errors with a `_tag`; or with the reason of `signal`.
   */
  readonly run: <A>(f: (signal: AbortSignal) => PromiseLike<A> | A, options?: RunOptions) => Promise<A>
  /** Wraps a function, so that each call is protected. `key` computes the key from the arguments. */
  readonly wrap: <Args extends ReadonlyArray<unknown>, A>(
    f: (...args: Args) => PromiseLike<A> | A,
    options?: { readonly key?: ((...args: Parameters<(...args: Args) => unknown>) => string) | undefined }
  ) => (...args: Args) => Promise<A>
  /** The stats of one key. */
  readonly stats: (key?: string) => Stats.Stats
  /** The stats of every key that is kept. */
  readonly allStats: () => ReadonlyArray<Stats.Stats>
  /** Commands of an operator. */
  readonly control: Control
  /** Calls `listener` for each event of the policy, until the returned function is called. What it throws is ignored. */
  readonly subscribe: (listener: (event: Event.Event) => void) => () => void
  /** Aborts running calls, rejects later ones, and removes the policy from the registry. */
  readonly dispose: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/**
 * The error of a call after `dispose`.
 *
 * @category errors
 * @since 0.1.0
 */
export class Disposed extends Error {
  override readonly name = "Disposed"
  constructor(policy: string) {
    super(`${policy}: the policy has been disposed of, and calls nothing any more`)
  }
}

const module = "Promises"

/** A primitive that was thrown: only an object can be marked as transient. */
class Thrown {
  readonly value: unknown
  constructor(value: unknown) {
    this.value = value
  }
}

const unwrap = (error: unknown): unknown => (error instanceof Thrown ? error.value : error)

/** The deadline of the call in whose function this code runs. */
const deadlines = Platform.makeAsyncLocal<Deadline.Deadline>()

/** What a policy does with an effect, without the types that only effects have. */
type Protect = (self: Effect.Effect<unknown, unknown>) => Effect.Effect<unknown, unknown>

type Work = (signal: AbortSignal) => unknown

/** One attempt. Only a function that takes a signal costs one. */
const attemptOf = (f: Work, fail: (error: unknown) => Effect.Effect<never, unknown>) => {
  const start = (
    resume: (effect: Effect.Effect<unknown, unknown>) => void,
    deadline: Deadline.Deadline | undefined,
    signal: AbortSignal
  ): void => {
    // biome-ignore lint/plugin: no effect yet; a function may throw instead of returning a promise
    try {
      const result =
        deadlines === undefined || deadline === undefined ? f(signal) : deadlines.run(deadline, () => f(signal))
      Promise.resolve(result).then(
        (value) => resume(Effect.succeed(value)),
        (error) => resume(fail(error))
      )
    } catch (error) {
      resume(fail(error))
    }
  }
  return Effect.withFiber((fiber) => {
    const deadline = fiber.getRef(Deadline.Current)
    return f.length === 0
      ? Effect.callback<unknown, unknown>((resume) => start(resume, deadline, unused))
      : Effect.callback<unknown, unknown>((resume, signal) => start(resume, deadline, signal))
  })
}

/** For a function that takes no signal. */
const unused = new AbortController().signal

const checkFunction = (where: string, f: unknown): void => {
  if (typeof f !== "function") Check.invalid(where, "the argument", "a function that returns a promise", f)
}

const predicateOf = (where: string, transient: unknown): ((error: unknown) => boolean) => {
  if (Array.isArray(transient) && transient.every((one) => typeof one === "function")) {
    const classes: ReadonlyArray<ErrorClass> = transient
    return (error) => classes.some((one) => error instanceof one)
  }
  Check.callback(where, "transient", "an array of error classes, or a function that returns true or false", transient)
  return transient as (error: unknown) => boolean
}

/** Functions of the user's get what was thrown. */
const unwrapping = (options: Transient.LiftOptions<unknown>): Transient.LiftOptions<unknown> =>
  Object.fromEntries(
    Object.entries(options).map(([name, option]) => [
      name,
      typeof option === "function" ? (error: unknown) => option(unwrap(error)) : option
    ])
  )

/** What the promise of a call that failed rejects with. A defect beside the error of the call does not replace it. */
const errorOf = (
  { cause }: Exit.Failure<unknown, unknown>,
  signal: AbortSignal | undefined,
  disposed: string | undefined
): unknown => {
  const failed = cause.reasons.find(Cause.isFailReason)
  if (failed !== undefined) return unwrap(failed.error)
  if (!Cause.hasInterruptsOnly(cause)) return Cause.squash(cause)
  if (signal?.aborted === true) return signal.reason
  return disposed === undefined ? Cause.squash(cause) : new Disposed(disposed)
}

/**
 * Creates a policy for functions that return promises.
 *
 * **When to use** In code without Effect, or at its border. With Effect use `Policy`, whose types say which errors are
 * retried.
 *
 * **Details** For the options of the policy see `Policy.Options`. Throws a `RangeError` when an option is out of range.
 *
 * **Gotchas** A promise cannot be interrupted: pass the signal on, or a timed out attempt goes on beside the next one.
 *
 * **Example** (A payment provider)
 *
 * ```ts
 * import { Retry } from "effect-resilience"
 * import * as Promises from "effect-resilience/promise/Promises"
 *
 * class Busy extends Error {}
 *
 * const payments = Promises.make(
 *   "payments",
 *   { retry: Retry.backoff({ base: "1 millis" }), breaker: {}, timeout: "1 second" },
 *   { transient: [Busy] }
 * )
 *
 * let tries = 0
 * const charge = async (_signal: AbortSignal) => {
 *   tries += 1
 *   if (tries < 3) throw new Busy()
 *   return "receipt"
 * }
 * await payments.run((signal) => charge(signal), { key: "eu" }) // => "receipt"
 * await payments.dispose()
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends Policy.Options>(
  name: string,
  options: O & Policy.Options & Policy.Sensible<O>,
  errors: ErrorOptions
): Promises => {
  const where = Check.named(module, Check.nonEmpty(module, "name", name))
  Check.noUnknown(where, errors, ["transient", "context", "retryAfter", "unprocessed", "throttled"])
  const { context = Context.empty(), transient, ...lifting } = errors
  const isTransient = predicateOf(where, transient)
  const lift = Transient.when((error: unknown) => isTransient(unwrap(error)), unwrapping(lifting))
  const fail = (error: unknown): Effect.Effect<never, unknown> =>
    lift(Effect.fail(isObject(error) ? error : new Thrown(error)))

  const scope = Scope.makeUnsafe()
  const run = Effect.runSyncWith(Context.add(context, Scope.Scope, scope) as Context.Context<unknown>)
  // `make` has checked these options for a policy of exactly their type, which promises do not need.
  const create = Policy.make as unknown as (name: string, options: Policy.Options) => Effect.Effect<Policy.Policy>
  const policy = run(create(name, options))
  // A policy of any parts and any effects: what a promise fails with is unknown.
  const protect = policy.protect as unknown as Protect & ((options: { readonly key: string }) => Protect)
  const running = new Set<Fiber.Fiber<unknown, unknown>>()
  let disposed = false

  const start = (f: Work, { key, signal }: RunOptions): Promise<unknown> => {
    if (disposed) return Promise.reject(new Disposed(name))
    if (signal?.aborted === true) return Promise.reject(signal.reason)
    const work = attemptOf(f, fail)
    const outer = deadlines?.getStore()
    const call = key === undefined || key === defaultKey ? protect(work) : protect({ key })(work)
    const fiber = Effect.runForkWith(outer === undefined ? context : Context.add(context, Deadline.Current, outer))(
      call
    )
    const { promise, reject, resolve } = Promise.withResolvers<unknown>()
    const settle = (exit: Exit.Exit<unknown, unknown>): void => {
      if (exit._tag === "Success") resolve(exit.value)
      else reject(errorOf(exit, signal, disposed ? name : undefined))
    }
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) {
      settle(exit)
      return promise
    }
    const abort = (): void => fiber.interruptUnsafe()
    signal?.addEventListener("abort", abort, { once: true })
    running.add(fiber)
    fiber.addObserver((exit) => {
      running.delete(fiber)
      signal?.removeEventListener("abort", abort)
      settle(exit)
    })
    return promise
  }

  const dispose = (): Promise<void> => {
    if (disposed) return Promise.resolve()
    disposed = true
    for (const fiber of running) fiber.interruptUnsafe()
    return Effect.runPromise(Scope.close(scope, Exit.void))
  }

  return {
    name,
    run: (f, options = {}) => {
      const inRun = Check.inside(where, "run")
      checkFunction(inRun, f)
      Check.noUnknown(inRun, options, ["key", "signal"])
      return start(f, options) as Promise<never>
    },
    wrap: (f, options = {}) => {
      const inWrap = Check.inside(where, "wrap")
      checkFunction(inWrap, f)
      Check.noUnknown(inWrap, options, ["key"])
      // It takes the arguments of `f`, which the compiler does not see while `Args` is any tuple.
      const key = options.key as ((...args: ReadonlyArray<unknown>) => string) | undefined
      return (...args) => {
        const work = (): unknown => f(...args)
        if (key === undefined) return start(work, {}) as Promise<never>
        // What `key` throws rejects the promise.
        return Promise.resolve().then(() => start(work, { key: key(...args) }) as Promise<never>)
      }
    },
    stats: (key) => run(policy.stats(key)),
    allStats: () => run(policy.allStats),
    control: {
      isolate: (target) => run(policy.control.isolate(target)),
      open: (target) => run(policy.control.open(target)),
      close: (target) => run(policy.control.close(target)),
      reset: (target) => run(policy.control.reset(target)),
      disable: (target) => run(policy.control.disable(target)),
      enable: (target) => run(policy.control.enable(target)),
      resize: (maxConcurrent, target) => run(policy.control.resize(maxConcurrent, target)),
      set: (values, why) => run(policy.control.set(values, why))
    },
    subscribe: (listener) => {
      const listening = Effect.runForkWith(context)(
        Stream.runForEach(policy.events, (event) => Effect.ignoreCause(Effect.sync(() => listener(event))))
      )
      return () => listening.interruptUnsafe()
    },
    dispose,
    [Symbol.asyncDispose]: dispose
  }
}
