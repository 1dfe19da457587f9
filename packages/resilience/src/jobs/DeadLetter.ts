/**
 * Keeps messages whose work could not be done, and replays them later: the strategy "queue for later" of a fallback.
 *
 * A letter is a message with its idempotency key, the error, and the number of attempts. It is in the store when `put` succeeds, and
 * leaves it when a replay succeeds or an operator drops it. Between the two a process may be killed at any moment: a letter is then
 * replayed again, so its handler must be idempotent.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as SecureRandom from "effect/crypto/SecureRandom"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Formatter from "effect/Formatter"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as Protecting from "../engine/protect.ts"
import { rejectionIn } from "../engine/rejectionIn.ts"
import type * as Rejection from "../Rejection.ts"
import * as Broadcast from "../runtime/broadcast.ts"
import * as Check from "../runtime/options.ts"
import { attempt, read } from "../runtime/read.ts"
import type * as Types from "../Types.ts"

const module = "DeadLetter"

// ---------------------------------------------------------------------------------------------------------------------
// Models
// ---------------------------------------------------------------------------------------------------------------------

/**
 * Where a letter is.
 *
 * - `"waiting"`: it is replayed when it is due.
 * - `"replaying"`: a process has claimed it, until its lease ends.
 * - `"parked"`: it is not replayed until an operator retries it.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = "waiting" | "replaying" | "parked"

/**
 * A letter as a store has it. Times are milliseconds since 1970.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  /** The idempotency key. A store has one letter of an id. */
  readonly id: string
  /** The encoded message. */
  readonly message: Schema.Json
  readonly putAt: number
  /** Why the work was not done, when the letter was put. */
  readonly error: string
  /** The attempts that were made before the letter was put. */
  readonly attempts: number
  readonly status: Status
  /** The replays that were begun, since the letter was put or an operator retried it. */
  readonly replays: number
  /**
   * When it is due, if it waits; when its lease ends, if it is being replayed; when it was parked, if it is parked. In milliseconds
   * since 1970.
   */
  readonly at: number
  /** Why the last replay failed, or why the letter is parked; empty before the first replay. */
  readonly reason: string
}

/**
 * What becomes of a letter after a replay.
 *
 * @category models
 * @since 0.1.0
 */
export type Settlement =
  | { readonly _tag: "Done" }
  | { readonly _tag: "Waiting"; readonly at: number; readonly replays: number; readonly reason: string }
  | { readonly _tag: "Parked"; readonly at: number; readonly reason: string }

/**
 * Where letters are kept. `jobs/Spool` keeps them in a directory, {@link layerMemory} in memory.
 *
 * **Details** For a store of your own: each operation is atomic, also when the process is killed in it, and `put` succeeds only when
 * the letter survives that. Two claims of a letter never hold at once before the end of the lease. A store may fail with anything.
 *
 * @category services
 * @since 0.1.0
 */
export class Store extends Context.Service<
  Store,
  {
    /** Adds a waiting letter; `false` when there is one of its id, which stays as it is. */
    readonly put: (
      letters: string,
      letter: Pick<Entry, "id" | "message" | "putAt" | "error" | "attempts">
    ) => Effect.Effect<boolean, unknown>
    /** All letters, in any order. */
    readonly list: (letters: string) => Effect.Effect<ReadonlyArray<Entry>, unknown>
    readonly get: (letters: string, id: string) => Effect.Effect<Entry | undefined, unknown>
    /**
     * Claims a letter that waits and is due, or whose lease has ended, and counts a replay. `undefined` when it is gone, parked, not due
     * or claimed. `until` is the end of the lease.
     */
    readonly claim: (
      letters: string,
      id: string,
      claim: { readonly token: string; readonly now: number; readonly until: number }
    ) => Effect.Effect<Entry | undefined, unknown>
    /** Extends the lease; `false` when the claim is lost. */
    readonly renew: (letters: string, id: string, token: string, until: number) => Effect.Effect<boolean, unknown>
    /** Ends the claim; `false` when it is lost. */
    readonly settle: (letters: string, id: string, token: string, to: Settlement) => Effect.Effect<boolean, unknown>
    /** Makes a letter that is not being replayed due at once, with no replays; `false` when there is none. */
    readonly retry: (letters: string, id: string) => Effect.Effect<boolean, unknown>
    /** Removes a letter; `false` when there is none. */
    readonly drop: (letters: string, id: string) => Effect.Effect<boolean, unknown>
    /** The names of which there may be letters. */
    readonly names: Effect.Effect<ReadonlyArray<string>, unknown>
  }
>()("effect-resilience/jobs/DeadLetter/Store") {}

/**
 * A letter as its reader sees it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Letter<out A> extends Entry {
  /** The message; `None` when the schema does not decode it any more. */
  readonly decoded: Option.Option<A>
}

/**
 * The result of `put`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Receipt {
  readonly id: string
  /** `false` when a letter of this id is there: nothing was added. */
  readonly added: boolean
}

/**
 * The result of a pass of `replay`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Replayed {
  /** Letters whose handler succeeded. */
  readonly done: number
  /** Letters whose handler failed, and that wait again. */
  readonly failed: number
  readonly parked: number
  /** Letters that the pass did not replay: not due, claimed by another process, or left when the pass stopped. */
  readonly left: number
  /** Why the pass stopped before its end: a rejection of a policy, or the failure of a letter with `ordered`. */
  readonly stopped: "rejected" | "failed" | undefined
  /** The rejection that stopped the pass. */
  readonly rejection: Rejection.Rejection | undefined
}

/**
 * Letters of a name: how many there are now, and what this process did with them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly waiting: number
  readonly replaying: number
  readonly parked: number
  /** When the oldest letter was put, in milliseconds since 1970. */
  readonly oldest: number | undefined
  /** Counted in this process since the policy was created. */
  readonly totals: {
    readonly put: number
    /** Of those, the ones whose id was there already. */
    readonly repeated: number
    readonly done: number
    readonly failed: number
    readonly parked: number
    readonly retried: number
    readonly dropped: number
  }
}

/**
 * What happens to a letter in this process.
 *
 * @category models
 * @since 0.1.0
 */
export interface Event {
  readonly _tag: "Put" | "Repeated" | "Done" | "Failed" | "Returned" | "Parked" | "Retried" | "Dropped"
  /** The name of the letters. */
  readonly letters: string
  readonly id: string
  /** Milliseconds since 1970. */
  readonly at: number
  /** The error of `Put`, the reason of `Failed`, `Returned` and `Parked`; otherwise empty. */
  readonly reason: string
}

/**
 * The store failed, or the message cannot be encoded. The letter of a failed `put` is not kept.
 *
 * @category errors
 * @since 0.1.0
 */
export class DeadLetterError extends Schema.TaggedError<DeadLetterError>("effect-resilience/DeadLetterError")(
  "DeadLetterError",
  { letters: Schema.String, operation: Schema.String, cause: Schema.Defect() }
) {
  override get message(): string {
    return `DeadLetter ${this.letters}: ${this.operation} failed: ${describe(this.cause)}`
  }
}

/**
 * Options of {@link make} and {@link Service}.
 *
 * | option | range | default |
 * |---|---|---|
 * | `message` | a schema without services | required |
 * | `key` | a function that returns a string that is not empty | a random id |
 * | `maxReplays` | an integer >= 1 | 5 |
 * | `delay` | a duration of zero or more, or a function of the replays so far that returns one; the default where it returns none | 1 minute, doubled up to 1 hour |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<A> {
  /** Encodes messages to JSON. Keep it able to decode older messages: one that it does not decode is parked. */
  readonly message: Schema.Codec<A, unknown>
  /** The idempotency key of a message: a letter whose key is there already is not added again. Default: a random id. */
  readonly key?: ((message: A) => string) | undefined
  /** Failed replays after which a letter is parked. A replay whose process is killed counts. Default: 5. */
  readonly maxReplays?: number | undefined
  /** The time from a failed replay to the next. Default: 1 minute after the first, doubled up to 1 hour. */
  readonly delay?: Duration.Input | ((replays: number) => Duration.Input) | undefined
}

/**
 * Options of `put`.
 *
 * @category models
 * @since 0.1.0
 */
export interface PutOptions {
  /** The idempotency key, in place of the option `key` of the letters. */
  readonly key?: string | undefined
  /** Why the work was not done; its tag and message are kept. Default: none. */
  readonly error?: unknown
  /** The attempts that were made, an integer >= 0. Default: 0. */
  readonly attempts?: number | undefined
}

/**
 * Options of `replay`.
 *
 * | option | range | default |
 * |---|---|---|
 * | `concurrency` | an integer >= 1 | 1 |
 * | `ordered` | | `false` |
 * | `limit` | an integer >= 1 | no limit |
 * | `lease` | a finite duration above zero | 1 minute |
 *
 * @category models
 * @since 0.1.0
 */
export interface ReplayOptions {
  /** Letters that are replayed at once. Default: 1. */
  readonly concurrency?: number | undefined
  /** Stops at the first letter that fails, waits, or is being replayed, so that none overtakes an older one. Needs `concurrency: 1`. */
  readonly ordered?: boolean | undefined
  /** The most letters of one pass. Default: all that are due. */
  readonly limit?: number | undefined
  /** How long after its process was killed a letter is claimed again. A replay that runs longer renews it. Default: 1 minute. */
  readonly lease?: Duration.Input | undefined
}

/**
 * The letters of one name. `R` is what the members require: nothing after {@link make}, the service for the statics of a
 * {@link Service} class.
 *
 * @category models
 * @since 0.1.0
 */
export interface DeadLetter<A, R = never> {
  /**
   * Keeps a message. When it succeeds, the letter survives the process. It is not interrupted halfway.
   */
  readonly put: (message: A, options?: PutOptions) => Effect.Effect<Receipt, DeadLetterError, R>
  /**
   * Replays once every letter that is due, the oldest first. Each is removed when its handler succeeds; one whose handler fails waits
   * for its `delay`, and is parked after `maxReplays`. A handler that is rejected by a policy of its own before it started (an open
   * circuit, a full bulkhead) stops the pass, and its letter waits with the replay not counted; so does an interruption.
   */
  readonly replay: <E, R2>(
    handler: (message: A, letter: Letter<A>) => Effect.Effect<unknown, E, R2>,
    options?: ReplayOptions
  ) => Effect.Effect<Replayed, DeadLetterError, R | R2>
  /** All letters, the oldest first. */
  readonly list: Effect.Effect<ReadonlyArray<Letter<A>>, DeadLetterError, R>
  readonly show: (id: string) => Effect.Effect<Option.Option<Letter<A>>, DeadLetterError, R>
  /** Makes a letter due at once, also a parked one, with no replays. `false` when it is gone, or being replayed. */
  readonly retry: (id: string) => Effect.Effect<boolean, DeadLetterError, R>
  /** Removes a letter for good. `false` when it is gone. */
  readonly drop: (id: string) => Effect.Effect<boolean, DeadLetterError, R>
  readonly stats: Effect.Effect<Stats, DeadLetterError, R>
  /** What happens to letters in this process. A listener that falls behind by 1,024 events loses the oldest. */
  readonly events: Stream.Stream<Event, never, R>
}

// ---------------------------------------------------------------------------------------------------------------------
// Words for errors
// ---------------------------------------------------------------------------------------------------------------------

/** The longest text of an error that is kept, in characters. */
const longest = 2000

const describeAny = (error: unknown): string => {
  if (typeof error === "string") return error
  if (Cause.isCause(error)) return describe(Cause.squash(error))
  const tag = read(error, "_tag") ?? read(error, "name")
  const message = read(error, "message")
  const parts = [tag, message].filter((part): part is string => typeof part === "string" && part !== "")
  return parts.length > 0 ? parts.join(": ") : Formatter.format(error)
}

const describe = (error: unknown): string =>
  attempt(() => describeAny(error), "an error that cannot be read").slice(0, longest)

// ---------------------------------------------------------------------------------------------------------------------
// Settings
// ---------------------------------------------------------------------------------------------------------------------

interface Settings<A> {
  readonly name: string
  readonly where: string
  readonly encode: (message: A) => Effect.Effect<Schema.Json, unknown>
  readonly decode: (json: Schema.Json) => Result.Result<A, unknown>
  readonly key: ((message: A) => string) | undefined
  readonly maxReplays: number
  readonly delay: (replays: number) => number
}

const defaultDelay = (replays: number): number => Math.min(60_000 * 2 ** (replays - 1), 3_600_000)

const resolve = <A>(name: string, options: Options<A>): Settings<A> => {
  const where = Check.named(module, name)
  Check.nonEmpty(module, "name", name)
  Check.noUnknown(where, options, ["message", "key", "maxReplays", "delay"])
  const { delay, key, message } = options
  if (!Schema.isSchema(message)) Check.invalid(where, "message", "a Schema", message)
  if (key !== undefined) Check.callback(where, "key", "a function that returns a string", key)
  const json = Schema.toCodecJson(message)
  const decode = Schema.decodeUnknownResult(json)
  const delayOf = (): ((replays: number) => number) => {
    if (delay === undefined) return defaultDelay
    if (typeof delay === "function") {
      Check.callback(where, "delay", "a function that returns a duration", delay)
      // A failure of the handler is noted, whatever this function does.
      return (replays) =>
        attempt(() => Check.millis(where, "delay", delay(replays), { zero: true }), defaultDelay(replays))
    }
    const millis = Check.millis(where, "delay", delay, { zero: true })
    return () => millis
  }
  return {
    name,
    where,
    encode: Schema.encodeEffect(json),
    decode,
    key,
    maxReplays: Check.integer(where, "maxReplays", Check.orDefault(options.maxReplays, 5), 1),
    delay: delayOf()
  }
}

interface ReplaySettings {
  readonly concurrency: number
  readonly ordered: boolean
  readonly limit: number
  /** Milliseconds. */
  readonly lease: number
}

const resolveReplay = (outer: string, options: ReplayOptions): ReplaySettings => {
  const where = Check.inside(outer, "replay")
  Check.noUnknown(where, options, ["concurrency", "ordered", "limit", "lease"])
  const ordered = options.ordered === true
  const concurrency = Check.integer(where, "concurrency", Check.orDefault(options.concurrency, 1), 1)
  if (ordered && concurrency > 1) Check.invalid(where, "concurrency", "1 with ordered", concurrency)
  return {
    concurrency,
    ordered,
    limit: options.limit === undefined ? Infinity : Check.integer(where, "limit", options.limit, 1),
    lease: Check.millis(where, "lease", Check.orDefault(options.lease, "1 minute"))
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Letters
// ---------------------------------------------------------------------------------------------------------------------

const byAge = (a: Entry, b: Entry): number => a.putAt - b.putAt || (a.id < b.id ? -1 : 1)

const isDue = ({ at, status }: Entry, now: number): boolean => status !== "parked" && at <= now

/** What one pass has done. */
interface Pass {
  done: number
  failed: number
  parked: number
  /** Letters that were claimed. */
  claimed: number
  stopped: Replayed["stopped"]
  rejection: Rejection.Rejection | undefined
}

const countOf: Readonly<Record<Event["_tag"], ReadonlyArray<keyof Stats["totals"]>>> = {
  Put: ["put"],
  Repeated: ["put", "repeated"],
  Done: ["done"],
  Failed: ["failed"],
  Returned: [],
  Parked: ["parked"],
  Retried: ["retried"],
  Dropped: ["dropped"]
}

class Letters<A> implements DeadLetter<A> {
  private readonly settings: Settings<A>
  private readonly store: Store["Service"]
  private readonly listeners = new Set<Broadcast.Listener<Event>>()
  private readonly totals = { put: 0, repeated: 0, done: 0, failed: 0, parked: 0, retried: 0, dropped: 0 }

  constructor(settings: Settings<A>, store: Store["Service"]) {
    this.settings = settings
    this.store = store
  }

  readonly events = Broadcast.subscribe<Event, Event>(this.listeners, { capacity: 1024, select: (event) => event })

  private emit(_tag: Event["_tag"], id: string, at: number, reason = ""): void {
    for (const total of countOf[_tag]) this.totals[total] += 1
    if (this.listeners.size === 0) return
    const event: Event = { _tag, letters: this.settings.name, id, at, reason }
    for (const listener of this.listeners) listener(event)
  }

  private tried<B, R>(operation: string, effect: Effect.Effect<B, unknown, R>): Effect.Effect<B, DeadLetterError, R> {
    return Effect.mapError(effect, (cause) => new DeadLetterError({ letters: this.settings.name, operation, cause }))
  }

  private toLetter(entry: Entry): Letter<A> {
    return { ...entry, decoded: Result.getSuccess(this.settings.decode(entry.message)) }
  }

  readonly put = (message: A, options: PutOptions = {}): Effect.Effect<Receipt, DeadLetterError> => {
    const { encode, key, name, where } = this.settings
    const here = Check.inside(where, "put")
    Check.noUnknown(here, options, ["key", "error", "attempts"])
    const attempts = Check.integer(here, "attempts", Check.orDefault(options.attempts, 0), 0)
    const add = Effect.gen({ self: this }, function* () {
      const id = idOf(here, options.key ?? key?.(message) ?? SecureRandom.uuidV4Unsafe())
      const encoded = yield* encode(message)
      const putAt = yield* Clock.currentTimeMillis
      const error = options.error === undefined ? "" : describe(options.error)
      const added = yield* this.store.put(name, { id, message: encoded, putAt, error, attempts })
      this.emit(added ? "Put" : "Repeated", id, putAt, error)
      return { id, added }
    })
    return Effect.uninterruptible(this.tried("put", add))
  }

  readonly list: Effect.Effect<ReadonlyArray<Letter<A>>, DeadLetterError> = Effect.suspend(() =>
    Effect.map(this.tried("list", this.store.list(this.settings.name)), (entries) =>
      entries.toSorted(byAge).map((entry) => this.toLetter(entry))
    )
  )

  readonly show = (id: string): Effect.Effect<Option.Option<Letter<A>>, DeadLetterError> =>
    Effect.map(this.tried("show", this.store.get(this.settings.name, id)), (entry) =>
      Option.map(Option.fromNullishOr(entry), (entry) => this.toLetter(entry))
    )

  private operate(
    operation: "retry" | "drop",
    tag: "Retried" | "Dropped",
    id: string
  ): Effect.Effect<boolean, DeadLetterError> {
    const operated = Effect.flatMap(this.store[operation](this.settings.name, id), (isDone) =>
      Effect.map(Clock.currentTimeMillis, (at) => {
        if (isDone) this.emit(tag, id, at)
        return isDone
      })
    )
    return Effect.uninterruptible(this.tried(operation, operated))
  }

  readonly retry = (id: string): Effect.Effect<boolean, DeadLetterError> => this.operate("retry", "Retried", id)

  readonly drop = (id: string): Effect.Effect<boolean, DeadLetterError> => this.operate("drop", "Dropped", id)

  readonly stats: Effect.Effect<Stats, DeadLetterError> = Effect.suspend(() =>
    Effect.map(this.tried("stats", this.store.list(this.settings.name)), (entries) => {
      const counts = { waiting: 0, replaying: 0, parked: 0 }
      for (const { status } of entries) counts[status] += 1
      const oldest = entries.length === 0 ? undefined : Math.min(...entries.map(({ putAt }) => putAt))
      return { ...counts, oldest, totals: { ...this.totals } }
    })
  )

  readonly replay = <E, R2>(
    handler: (message: A, letter: Letter<A>) => Effect.Effect<unknown, E, R2>,
    options: ReplayOptions = {}
  ): Effect.Effect<Replayed, DeadLetterError, R2> => {
    const { where } = this.settings
    Check.callback(Check.inside(where, "replay"), "the handler", "a function that returns an Effect", handler)
    const settings = resolveReplay(where, options)
    return Effect.gen({ self: this }, function* () {
      const entries = (yield* this.tried("list", this.store.list(this.settings.name))).toSorted(byAge)
      const now = yield* Clock.currentTimeMillis
      const pass: Pass = { done: 0, failed: 0, parked: 0, claimed: 0, stopped: undefined, rejection: undefined }
      const open = entries.filter(({ status }) => status !== "parked")
      // In order, a letter that is not due yet holds those after it.
      const firstNotDue = open.findIndex((entry) => !isDue(entry, now))
      const due = settings.ordered
        ? open.slice(0, firstNotDue < 0 ? undefined : firstNotDue)
        : open.filter((entry) => isDue(entry, now))
      yield* Effect.forEach(due.slice(0, settings.limit), ({ id }) => this.one(id, handler, settings, pass), {
        concurrency: settings.concurrency,
        discard: true
      })
      const { claimed, ...rest } = pass
      return { ...rest, left: open.length - claimed }
    })
  }

  /** Replays one letter, if it can be claimed. */
  private one<E, R2>(
    id: string,
    handler: (message: A, letter: Letter<A>) => Effect.Effect<unknown, E, R2>,
    settings: ReplaySettings,
    pass: Pass
  ): Effect.Effect<void, DeadLetterError, R2> {
    const { name } = this.settings
    const { lease, ordered } = settings
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function* () {
        if (pass.stopped !== undefined) return
        const token = SecureRandom.uuidV4Unsafe()
        const now = yield* Clock.currentTimeMillis
        const entry = yield* this.tried("claim", this.store.claim(name, id, { token, now, until: now + lease }))
        if (entry === undefined) {
          if (ordered) pass.stopped = "failed"
          return
        }
        const letter = this.toLetter(entry)
        const unreplayable = this.unreplayable(letter)
        if (unreplayable !== undefined) {
          pass.claimed += 1
          return yield* this.park(id, token, unreplayable, pass)
        }
        const message = Option.getOrThrow(letter.decoded)
        const work = Effect.suspend(() => handler(message, letter))
        const exit = yield* Effect.exit(restore(this.renewing(work, id, token, lease)))
        yield* this.settle(letter, token, exit, settings, pass)
      })
    )
  }

  /** Why a letter that was claimed is not given to the handler. */
  private unreplayable({ decoded, reason, replays }: Letter<A>): string | undefined {
    const { maxReplays } = this.settings
    if (Option.isNone(decoded)) return "the schema does not decode the message"
    if (replays <= maxReplays) return undefined
    return `the process that replayed it was killed at replay ${maxReplays}${reason === "" ? "" : `; before that: ${reason}`}`
  }

  private renewing<B, E, R2>(
    work: Effect.Effect<B, E, R2>,
    id: string,
    token: string,
    lease: number
  ): Effect.Effect<B, E, R2> {
    const renew = Effect.gen({ self: this }, function* () {
      const now = yield* Clock.currentTimeMillis
      // A store that fails now is tried again; a claim that is lost means that another process replays the letter too.
      yield* Effect.ignore(this.store.renew(this.settings.name, id, token, now + lease))
    })
    const renewal = Effect.forever(Effect.andThen(Effect.sleep(lease / 3), Effect.uninterruptible(renew)))
    // The claim is settled when no renewal runs any more.
    return Effect.acquireUseRelease(Effect.forkChild(Effect.interruptible(renewal)), () => work, Fiber.interrupt)
  }

  private park(id: string, token: string, reason: string, pass: Pass): Effect.Effect<void, DeadLetterError> {
    return Effect.gen({ self: this }, function* () {
      const at = yield* Clock.currentTimeMillis
      const settlement: Settlement = { _tag: "Parked", at, reason }
      const isOurs = yield* this.tried("settle", this.store.settle(this.settings.name, id, token, settlement))
      if (!isOurs) return
      pass.parked += 1
      this.emit("Parked", id, at, reason)
    })
  }

  private settle(
    { id, reason, replays }: Letter<A>,
    token: string,
    exit: Exit.Exit<unknown, unknown>,
    { ordered }: ReplaySettings,
    pass: Pass
  ): Effect.Effect<void, DeadLetterError> {
    const { delay, maxReplays, name } = this.settings
    return Effect.gen({ self: this }, function* () {
      const now = yield* Clock.currentTimeMillis
      const settle = (to: Settlement) => this.tried("settle", this.store.settle(name, id, token, to))
      if (Exit.isSuccess(exit)) {
        pass.claimed += 1
        pass.done += 1
        // A claim that was lost to another process: the letter is replayed there too.
        if (yield* settle({ _tag: "Done" })) this.emit("Done", id, now)
        return
      }
      const { cause } = exit
      const rejection = rejectionIn(cause)
      if (rejection !== undefined || Cause.hasInterruptsOnly(cause)) {
        if (rejection !== undefined) {
          pass.stopped ??= "rejected"
          pass.rejection ??= rejection
        }
        // As it was before the claim.
        const back = yield* settle({ _tag: "Waiting", at: now, replays: replays - 1, reason })
        const why = rejection === undefined ? "interrupted" : describe(rejection)
        if (back) this.emit("Returned", id, now, why)
        if (rejection === undefined) return yield* Effect.failCause(cause as Cause.Cause<never>) // interrupts only
        return
      }
      pass.claimed += 1
      if (ordered) pass.stopped ??= "failed"
      const failure = describe(Cause.squash(cause))
      if (replays >= maxReplays) return yield* this.park(id, token, failure, pass)
      const delayed: Settlement = { _tag: "Waiting", at: now + delay(replays), replays, reason: failure }
      pass.failed += 1
      if (yield* settle(delayed)) this.emit("Failed", id, now, failure)
    })
  }
}

/** The rejection of a policy of this program that proves that the handler did nothing. */
const idOf = (where: string, id: string): string =>
  typeof id === "string" && id !== "" && id.isWellFormed()
    ? id
    : Check.invalid(where, "the key", "a non-empty string of whole characters", id)

/**
 * Creates the letters of a name.
 *
 * **When to use** For scripts, tests, and letters of names that are known at run time only. Otherwise prefer {@link Service}.
 *
 * **Example** (A letter that is parked)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
 *
 * const program = Effect.gen(function*() {
 *   const mails = yield* DeadLetter.make("mails", { message: Schema.String, maxReplays: 1 })
 *   yield* mails.put("hello", { key: "mail-1", error: new Error("no route to host"), attempts: 3 })
 *   yield* mails.replay(() => Effect.fail("still no route"))
 *   return (yield* mails.list).map(({ attempts, error, id, reason, status }) => ({ attempts, error, id, reason, status }))
 * })
 * const [letter] = await Effect.runPromise(program.pipe(Effect.provide(DeadLetter.layerMemory)))
 * letter // => { attempts: 3, error: "Error: no route to host", id: "mail-1", reason: "still no route", status: "parked" }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(name: string, options: Options<A>): Effect.Effect<DeadLetter<A>, never, Store> => {
  const settings = resolve(name, options)
  return Effect.map(Store, (store) => new Letters(settings, store))
}

/**
 * The class that {@link Service} creates.
 *
 * @category services
 * @since 0.1.0
 */
export interface Class<Self, Id extends string, A>
  extends Context.ServiceClass<Self, Id, DeadLetter<A>>,
    DeadLetter<A, Self> {
  readonly layer: Layer.Layer<Self, never, Store>
}

/**
 * Defines letters as a service, with the members of {@link DeadLetter} as statics.
 *
 * **Details** The options are checked when the class is defined.
 *
 * **Gotchas** Delivery is at least once: give the id of the letter to the dependency as its idempotency key.
 *
 * **Example** (An order that is queued for later)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { Fallback, Policy, Transient, TripPolicy } from "effect-resilience"
 * import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
 *
 * class Order extends Schema.Class<Order>("Order")({ id: Schema.String, cents: Schema.Int }) {}
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 * class Payments extends Policy.Service<Payments>()("app/Payments", {
 *   breaker: { trip: TripPolicy.consecutive(1), openFor: "1 minute" }
 * }) {}
 * class Later extends DeadLetter.Service<Later>()("app/Later", { message: Order, key: (order) => order.id }) {}
 *
 * let isDown = true
 * const charge = (order: Order): Effect.Effect<string, Down> =>
 *   Effect.suspend(() => isDown ? Effect.fail(new Down()) : Effect.succeed(`paid ${order.cents}`))
 *
 * const pay = (order: Order) =>
 *   charge(order).pipe(
 *     Payments.protect,
 *     Fallback.orElse(
 *       (rejection) => Later.put(order, { error: rejection }).pipe(Effect.as("queued")),
 *       { when: "neverStarted" }
 *     )
 *   )
 *
 * const program = Effect.gen(function*() {
 *   yield* Effect.exit(pay(new Order({ id: "1", cents: 500 }))) // fails, and the circuit opens
 *   const second = yield* pay(new Order({ id: "2", cents: 700 })) // rejected before it started
 *   isDown = false
 *   yield* Payments.control.close() // or a minute later, by itself
 *   const { done } = yield* Later.replay((order) => charge(order).pipe(Payments.protect))
 *   return { second, done }
 * })
 * const live = Layer.merge(Payments.layer, Later.layer.pipe(Layer.provide(DeadLetter.layerMemory)))
 * await Effect.runPromise(program.pipe(Effect.provide(live))) // => { second: "queued", done: 1 }
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export const Service =
  <Self = never>() =>
  <const Id extends string, A>(
    id: Id,
    options: Options<A>
  ): Types.RequireSelf<Self, "DeadLetter", Class<Self, Id, A>> => {
    const settings = resolve(id, options)
    const service = Context.Service<Self, DeadLetter<A>>()(id)
    const inContext = Protecting.inContext(service)
    const members: Omit<Class<Self, Id, A>, keyof Context.ServiceClass<Self, Id, DeadLetter<A>>> = {
      put: inContext.call((letters) => letters.put),
      replay: (handler, options) => service.use((letters) => letters.replay(handler, options)),
      list: inContext.effect((letters) => letters.list),
      show: inContext.call((letters) => letters.show),
      retry: inContext.call((letters) => letters.retry),
      drop: inContext.call((letters) => letters.drop),
      stats: inContext.effect((letters) => letters.stats),
      events: inContext.stream((letters) => letters.events),
      layer: Layer.effect(
        service,
        Effect.map(Store, (store) => new Letters(settings, store))
      )
    }
    return Object.assign(service, members) as unknown as Types.RequireSelf<Self, "DeadLetter", Class<Self, Id, A>>
  }

// ---------------------------------------------------------------------------------------------------------------------
// Memory
// ---------------------------------------------------------------------------------------------------------------------

interface Held {
  entry: Entry
  token: string
}

/**
 * Keeps letters in memory: for tests, and for work that may be lost with the process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<Store> = Layer.sync(Store, () => {
  const all = new Map<string, Map<string, Held>>()
  const of = (letters: string): Map<string, Held> => {
    const found = all.get(letters) ?? new Map<string, Held>()
    all.set(letters, found)
    return found
  }
  const claimed = (letters: string, id: string, token: string): Held | undefined => {
    const held = of(letters).get(id)
    return held !== undefined && held.entry.status === "replaying" && held.token === token ? held : undefined
  }
  return {
    put: (letters, letter) =>
      Effect.sync(() => {
        if (of(letters).has(letter.id)) return false
        const entry: Entry = { ...letter, status: "waiting", replays: 0, at: letter.putAt, reason: "" }
        of(letters).set(letter.id, { entry, token: "" })
        return true
      }),
    list: (letters) => Effect.sync(() => Array.from(of(letters).values(), ({ entry }) => entry)),
    get: (letters, id) => Effect.sync(() => of(letters).get(id)?.entry),
    claim: (letters, id, { now, token, until }) =>
      Effect.sync(() => {
        const held = of(letters).get(id)
        if (held === undefined || !isDue(held.entry, now)) return undefined
        held.token = token
        held.entry = { ...held.entry, status: "replaying", replays: held.entry.replays + 1, at: until }
        return held.entry
      }),
    renew: (letters, id, token, until) =>
      Effect.sync(() => {
        const held = claimed(letters, id, token)
        if (held !== undefined) held.entry = { ...held.entry, at: until }
        return held !== undefined
      }),
    settle: (letters, id, token, to) =>
      Effect.sync(() => {
        const held = claimed(letters, id, token)
        if (held === undefined) return false
        if (to._tag === "Done") return of(letters).delete(id)
        const { at, reason } = to
        held.entry =
          to._tag === "Parked"
            ? { ...held.entry, status: "parked", at, reason }
            : { ...held.entry, status: "waiting", at, reason, replays: to.replays }
        return true
      }),
    retry: (letters, id) =>
      Effect.sync(() => {
        const held = of(letters).get(id)
        if (held === undefined || held.entry.status === "replaying") return false
        held.entry = { ...held.entry, status: "waiting", replays: 0, at: held.entry.putAt }
        return true
      }),
    drop: (letters, id) => Effect.sync(() => of(letters).delete(id)),
    names: Effect.sync(() => Array.from(all.keys()))
  }
})
