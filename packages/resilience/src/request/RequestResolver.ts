/**
 * Protects the batches of a `RequestResolver` with a policy.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Request from "effect/Request"
import * as RequestResolver from "effect/RequestResolver"
import type * as Policy from "../Policy.ts"
import * as Check from "../runtime/options.ts"
import * as Transient from "../Transient.ts"
import * as Types from "../Types.ts"

/**
 * Options of a protected resolver.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Which circuit and which permits: a string, or a function of the key of the batch, as `RequestResolver.makeGrouped` computes
   * it. Default: `"default"`.
   */
  readonly key?: string | ((batchKey: unknown) => string) | undefined
}

/**
 * `unknown` when requests that fail with `E` can be protected by the policy; otherwise an English sentence that says why not.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CanProtect<E, P extends Policy.Part, Rules> =
  unknown extends Policy.CanProtect<void, Transient.Known<E>, P, Rules>
    ? [Policy.ErrorOf<E, P>] extends [E]
      ? unknown
      : "The error type of the request has no place for the rejections of the policy: add them to Request"
    : Policy.CanProtect<void, Transient.Known<E>, P, Rules>

const where = "effect-resilience/request/RequestResolver"

/** Entries of a batch in any form: the public types say which. */
type Entry = Request.Entry<Request.Any>

type Ended = Exit.Exit<never, never>

/** The failures of an attempt that stand for the batch: the first that another attempt may cure, or else the first. */
const worst = (failures: Iterable<Exit.Failure<unknown, unknown>>): Exit.Failure<unknown, unknown> | undefined => {
  let first: Exit.Failure<unknown, unknown> | undefined
  for (const exit of failures) {
    if (isTransient(exit)) return exit
    first ??= exit
  }
  return first
}

const isTransient = (exit: Exit.Failure<unknown, unknown>): boolean =>
  exit.cause.reasons.some((reason) => reason._tag !== "Fail" || Transient.is(reason.error))

/** The signature has looked at the errors of the request. */
const markKnown = Transient.known as unknown as (self: Effect.Effect<void, unknown>) => Effect.Effect<void, unknown>

/** One batch: its attempts, and the entries that are not complete. */
class Batch {
  private readonly pending: Set<Entry>
  private readonly failed = new Map<Entry, Exit.Failure<unknown, unknown>>()

  constructor(entries: ReadonlyArray<Entry>) {
    this.pending = new Set(entries)
  }

  /** Runs the entries that are neither complete nor failed for good. */
  attempt(run: (entries: ReadonlyArray<Entry>) => Effect.Effect<void, unknown>): Effect.Effect<void, unknown> {
    return Effect.suspend(() => {
      for (const [entry, exit] of this.failed) if (isTransient(exit)) this.failed.delete(entry)
      const todo = [...this.pending].filter((entry) => !this.failed.has(entry))
      return Effect.flatMap(
        run(todo.map((entry) => this.watched(entry))),
        () => worst(this.failed.values()) ?? Effect.void
      )
    })
  }

  /** Completes each entry that failed by itself with its own failure; the resolver completes the rest. */
  end(): void {
    for (const [entry, exit] of this.failed) entry.completeUnsafe(exit as Ended)
  }

  /** The entry as the resolver sees it: its failure waits for the end of the batch. */
  private watched(entry: Entry): Entry {
    const { failed, pending } = this
    return {
      request: entry.request,
      context: entry.context,
      get uninterruptible() {
        return entry.uninterruptible
      },
      set uninterruptible(value) {
        entry.uninterruptible = value
      },
      completeUnsafe(exit: Ended) {
        if (Exit.isFailure(exit)) {
          for (const reason of exit.cause.reasons) if (reason._tag === "Fail") Transient.markKnown(reason.error)
          if (pending.has(entry) && !failed.has(entry)) failed.set(entry, exit)
          return
        }
        failed.delete(entry)
        if (pending.delete(entry)) entry.completeUnsafe(exit)
      }
    }
  }
}

/**
 * Protects a resolver: each batch is one call.
 *
 * **Details** The effect captures the service of the policy, and gives a resolver of the same requests, whose error type must
 * have a place for the rejections.
 *
 * - A batch in which an entry fails by `completeUnsafe` is a failure of the call, although the resolver itself succeeds. The first
 *   transient error among those of the entries stands for the batch, or else the first error.
 * - Another attempt runs the entries that failed with a transient error or were not completed, and no other.
 * - Errors of Effect are marked as `Transient.known` does it.
 * - An entry that failed by itself gets its own error, not that of the batch.
 *
 * A bad option throws a `RangeError` at once.
 *
 * **Example** (A batch that is sent again without the entries that are complete)
 *
 * ```ts
 * import { Effect, Exit, Request, RequestResolver } from "effect"
 * import { Policy, Retry, Transient } from "effect-resilience"
 * import * as Resilient from "effect-resilience/request/RequestResolver"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 * class GetUser extends Request.TaggedClass("GetUser")<{ readonly id: number }, string, Down> {}
 *
 * const sizes: Array<number> = []
 * const users = RequestResolver.make<GetUser>((entries) =>
 *   Effect.sync(() => {
 *     sizes.push(entries.length)
 *     for (const entry of entries) {
 *       const { id } = entry.request
 *       entry.completeUnsafe(id === 2 && sizes.length === 1 ? Exit.fail(new Down()) : Exit.succeed(`user ${id}`))
 *     }
 *   })
 * )
 *
 * const program = Effect.gen(function*() {
 *   const policy = yield* Policy.make("users", { retry: Retry.backoff({ base: "1 millis" }) })
 *   const resolver = yield* Resilient.protect(policy)(users)
 *   return yield* Effect.forEach([1, 2, 3], (id) => Effect.request(new GetUser({ id }), resolver), { concurrency: "unbounded" })
 * })
 * await Effect.runPromise(program) // => ["user 1", "user 2", "user 3"]
 * sizes // => [3, 1]
 * ```
 *
 * @category protecting
 * @since 0.1.0
 */
export const protect = <P extends Policy.Part, Rules, Self>(
  policy: Policy.Policy<P, Rules, Self>,
  options: Options = {}
): (<A extends Request.Any>(
  resolver: RequestResolver.RequestResolver<A> & CanProtect<Request.Error<A>, P, Rules>
) => Effect.Effect<RequestResolver.RequestResolver<A>, never, Self>) => {
  const settings = resolve(policy, options)
  return <A extends Request.Any>(resolver: RequestResolver.RequestResolver<A>) =>
    Effect.contextWith((context: Context.Context<Self>) => Effect.succeed(protectedBy(settings, context, resolver)))
}

interface Settings {
  readonly protect: (options: {
    readonly key: string
  }) => (self: Effect.Effect<void, unknown>) => Effect.Effect<void, unknown, unknown>
  readonly keyOf: (batchKey: unknown) => string
}

/** The settings; the defaults stand here. */
const resolve = (policy: unknown, options: Options): Settings => {
  // A class is a function.
  const { protect } = Object(policy)
  if (typeof protect !== "function") {
    Check.invalid(where, "policy", "a class made by Policy.Service, or a policy made by Policy.make", policy)
  }
  Check.noUnknown(where, options, ["key"])
  const key = Check.orDefault(options.key, Types.defaultKey)
  if (typeof key !== "string") Check.callback(where, "key", "a string, or a function that returns one", key)
  return { protect, keyOf: typeof key === "string" ? () => key : key }
}

const protectedBy = <A extends Request.Any, Self>(
  { keyOf, protect }: Settings,
  context: Context.Context<Self>,
  resolver: RequestResolver.RequestResolver<A>
): RequestResolver.RequestResolver<A> =>
  RequestResolver.makeWith<A>({
    // The same function, by which Effect knows keys that are compared with `Equal`.
    batchKey: resolver.batchKey,
    preCheck: resolver.preCheck,
    delay: resolver.delay,
    collectWhile: (entries) => resolver.collectWhile(entries),
    runAll: (entries, batchKey) =>
      Effect.suspend(() => {
        const batch = new Batch(entries)
        // The entries of a batch are those of its resolver.
        const run = (todo: ReadonlyArray<Entry>) =>
          markKnown(resolver.runAll(todo as unknown as typeof entries, batchKey))
        return protect({ key: keyOf(batchKey) })(batch.attempt(run)).pipe(
          Effect.onExit(() => Effect.sync(() => batch.end())),
          Effect.updateContext((given: Context.Context<never>) =>
            Context.merge(context as Context.Context<unknown>, given)
          )
          // The signature has checked that the errors of the request have a place for those of the policy.
        ) as Effect.Effect<void, Request.Error<A>>
      })
  })
