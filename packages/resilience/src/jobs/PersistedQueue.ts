/**
 * Keeps the elements of Effect's `PersistedQueue` as letters, in a spool or any other store of them: what a queue of Effect cannot do with
 * elements that failed for good, an operator can do with letters.
 *
 * Effect marks `effect/persistence/PersistedQueue` as unstable, so this adapter may change with it.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as PersistedQueue from "effect/persistence/PersistedQueue"
import * as Schedule from "effect/Schedule"
import type * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Check from "../runtime/options.ts"
import { read } from "../runtime/read.ts"
import * as DeadLetter from "./DeadLetter.ts"

const where = "PersistedQueue.layerStore"

/**
 * Options of {@link layerStore}.
 *
 * | option | range | default |
 * |---|---|---|
 * | `pollInterval` | a finite duration above zero | 1 second |
 * | `lease` | a finite duration above zero | 1 minute |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How often an empty queue is looked at for elements of other processes, and for those that are due again. Default: 1 second. */
  readonly pollInterval?: Duration.Input | undefined
  /** How long after its process was killed an element is taken again. One that is being handled renews it. Default: 1 minute. */
  readonly lease?: Duration.Input | undefined
}

/** What was completed is remembered beside the queue, so that its id is not queued again. */
const doneOf = (name: string): string => `${name} done`

const suffix = doneOf("")

/** The factory of Effect fails with it when an element cannot be decoded. */
const cannotDecode = "~effect/persistence/PersistedQueue/DeadLetter"

/** The longest reason that is kept, in characters. */
const longest = 2000

interface Queue {
  /** Ids that were due when the letters were listed, the oldest first. */
  readonly due: Array<string>
  /** Opens when an element was offered or given back in this process. */
  readonly nudge: Latch.Latch
}

type Take = Parameters<PersistedQueue.PersistedQueueStore["Service"]["take"]>[0]

class Elements {
  private readonly store: DeadLetter.Store["Service"]
  private readonly pollInterval: number
  private readonly lease: number
  private readonly queues = new Map<string, Queue>()

  constructor(store: DeadLetter.Store["Service"], pollInterval: number, lease: number) {
    this.store = store
    this.pollInterval = pollInterval
    this.lease = lease
  }

  private queue(name: string): Queue {
    const found = this.queues.get(name) ?? { due: [], nudge: Latch.makeUnsafe(false) }
    this.queues.set(name, found)
    return found
  }

  private claim(name: string, token: string): Effect.Effect<DeadLetter.Entry | undefined, unknown> {
    return Effect.gen({ self: this }, function* () {
      const { due } = this.queue(name)
      const now = yield* Clock.currentTimeMillis
      if (due.length === 0) {
        const entries = yield* this.store.list(name)
        const ready = entries.filter(({ at, status }) => status !== "parked" && at <= now)
        due.push(...ready.toSorted((a, b) => a.at - b.at || a.putAt - b.putAt).map(({ id }) => id))
      }
      for (let id = due.shift(); id !== undefined; id = due.shift()) {
        const entry = yield* this.store.claim(name, id, { token, now, until: now + this.lease })
        if (entry !== undefined) return entry
      }
      return undefined
    })
  }

  /** An element that may be handled; those that may not are put where they belong. */
  private next(
    { maxAttempts, name }: Take,
    token: string,
    wait: (effect: Effect.Effect<void>) => Effect.Effect<void>
  ): Effect.Effect<DeadLetter.Entry, unknown> {
    return Effect.gen({ self: this }, function* () {
      const { nudge } = this.queue(name)
      while (true) {
        nudge.closeUnsafe()
        const entry = yield* this.claim(name, token)
        if (entry === undefined) yield* wait(Effect.race(Effect.sleep(this.pollInterval), nudge.await))
        else if ((yield* this.store.get(doneOf(name), entry.id)) !== undefined) {
          // Its process was killed between the note that it is done and its removal, or it was offered again just then.
          yield* this.store.settle(name, entry.id, token, { _tag: "Done" })
        } else if (entry.replays > maxAttempts) {
          const at = yield* Clock.currentTimeMillis
          const reason = `its process was killed at attempt ${maxAttempts}${entry.reason && `; before that: ${entry.reason}`}`
          yield* this.store.settle(name, entry.id, token, { _tag: "Parked", at, reason })
        } else return entry
      }
    })
  }

  private settled(
    { maxAttempts, name, retryDelay }: Take,
    { id, reason, replays }: DeadLetter.Entry,
    token: string,
    exit: Exit.Exit<unknown, unknown>
  ): Effect.Effect<void, unknown> {
    return Effect.gen({ self: this }, function* () {
      const at = yield* Clock.currentTimeMillis
      const settle = (to: DeadLetter.Settlement) => this.store.settle(name, id, token, to)
      if (exit._tag === "Success") {
        yield* this.store.put(doneOf(name), { id, message: null, putAt: at, error: "", attempts: replays })
        yield* settle({ _tag: "Done" })
        return
      }
      const { cause } = exit
      if (Cause.hasInterruptsOnly(cause)) {
        yield* settle({ _tag: "Waiting", at, replays: replays - 1, reason })
        return
      }
      const isUndecodable = cause.reasons.some(
        (one) => Cause.isFailReason(one) && read(one.error, "_tag") === cannotDecode
      )
      const why = isUndecodable ? "the schema does not decode the element" : Cause.pretty(cause).slice(0, longest)
      if (isUndecodable || replays >= maxAttempts) yield* settle({ _tag: "Parked", at, reason: why })
      else {
        const delay = Duration.toMillis(yield* retryDelay(replays))
        yield* settle({ _tag: "Waiting", at: at + delay, replays, reason: why })
      }
    })
  }

  private tried<A, R>(what: string, effect: Effect.Effect<A, unknown, R>) {
    return Effect.mapError(
      effect,
      (cause) => new PersistedQueue.PersistedQueueError({ message: `${what} failed`, cause })
    )
  }

  readonly service: PersistedQueue.PersistedQueueStore["Service"] = {
    offer: ({ delay, element, id, name }) =>
      this.tried(
        "Offering an element to the queue",
        Effect.uninterruptible(
          Effect.gen({ self: this }, function* () {
            if ((yield* this.store.get(doneOf(name), id)) !== undefined) return
            const now = yield* Clock.currentTimeMillis
            const putAt = now + (delay === undefined ? 0 : Duration.toMillis(delay))
            // The factory has encoded it to JSON.
            const message = element as Schema.Json
            yield* this.store.put(name, { id, message, putAt, error: "", attempts: 0 })
            this.queue(name).nudge.openUnsafe()
          })
        )
      ),
    take: (options) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen({ self: this }, function* () {
          const token = SecureRandom.uuidV4Unsafe()
          const entry = yield* this.tried("Taking an element of the queue", this.next(options, token, restore))
          const { name } = options
          const scope = yield* Effect.scope
          yield* Scope.addFinalizerExit(scope, (exit) =>
            this.settled(options, entry, token, exit).pipe(
              // What is not noted is handled again when the lease has ended.
              Effect.retry(Schedule.spaced("200 millis").pipe(Schedule.upTo({ duration: this.lease }))),
              Effect.catchCause((cause) =>
                Effect.logError(`PersistedQueue ${name}: the end of ${entry.id} is not noted`, cause)
              ),
              Effect.ensuring(Effect.sync(() => this.queue(name).nudge.openUnsafe()))
            )
          )
          const renew = Effect.flatMap(Clock.currentTimeMillis, (now) =>
            Effect.ignore(this.store.renew(name, entry.id, token, now + this.lease))
          )
          const renewal = Effect.forever(Effect.andThen(Effect.sleep(this.lease / 3), Effect.uninterruptible(renew)))
          yield* Effect.forkIn(Effect.interruptible(renewal), scope)
          return { id: entry.id, attempts: entry.replays, element: entry.message }
        })
      ),
    cleanup: ({ failedTimeToLive, timeToLive }) =>
      this.tried(
        "Cleaning up the queues",
        Effect.gen({ self: this }, function* () {
          const now = yield* Clock.currentTimeMillis
          const drop = (name: string, isOld: (entry: DeadLetter.Entry) => boolean) =>
            Effect.flatMap(this.store.list(name), (entries) =>
              Effect.forEach(entries.filter(isOld), ({ id }) => this.store.drop(name, id), { discard: true })
            )
          const names = yield* this.store.names
          const queues = names.filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, -suffix.length))
          for (const name of queues)
            yield* drop(doneOf(name), ({ putAt }) => putAt <= now - Duration.toMillis(timeToLive))
          if (failedTimeToLive === undefined) return
          const until = now - Duration.toMillis(failedTimeToLive)
          for (const name of new Set([...queues, ...this.queues.keys()])) {
            yield* drop(name, ({ at, status }) => status === "parked" && at <= until)
          }
        })
      )
  }
}

/**
 * A store of Effect's `PersistedQueue` whose elements are letters.
 *
 * **When to use** For workers that take from a `PersistedQueue`: its failed elements are parked letters, with the reason, which an
 * operator lists, retries and drops. With `jobs/Spool` the queue is a directory, and needs no server.
 *
 * **Details** An element is a letter of the name of the queue, its `id` the key and its encoded value the message. `offer`, `take` and
 * `cleanup` do what Effect says: an attempt counts when an element is claimed; an interruption gives it back without the attempt; after
 * `maxAttempts` it is parked, and at once if the schema does not decode it; an id that was completed is not queued again until
 * `PersistedQueue.layerCleanup` forgets it. `DeadLetter.retry` gives a parked one all its attempts again.
 *
 * **Gotchas** Delivery is at least once. Do not `replay` the letters of a queue while workers take from it, unless both may handle them.
 * What was completed is kept as letters of the name `NAME done`: run `PersistedQueue.layerCleanup`, as with the stores of Effect.
 *
 * **Example** (A poison message)
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { PersistedQueue } from "effect/persistence"
 * import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
 * import * as LetterQueue from "effect-resilience/jobs/PersistedQueue"
 *
 * const program = Effect.gen(function*() {
 *   const queue = yield* PersistedQueue.make({ name: "mails", schema: Schema.String, maxAttempts: 1 })
 *   const letters = yield* DeadLetter.make("mails", { message: Schema.String })
 *   yield* queue.offer("hello", { id: "mail-1" })
 *   yield* Effect.exit(queue.take(() => Effect.fail("no route")))
 *   const [letter] = yield* letters.list
 *   yield* letters.retry("mail-1")
 *   return [letter?.status, yield* queue.take((mail, { attempts }) => Effect.succeed(`${mail} at attempt ${attempts}`))]
 * })
 * const queues = PersistedQueue.layer.pipe(
 *   Layer.provide(LetterQueue.layerStore()),
 *   Layer.provideMerge(DeadLetter.layerMemory)
 * )
 * await Effect.runPromise(program.pipe(Effect.provide(queues))) // => ["parked", "hello at attempt 1"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStore = (
  options: Options = {}
): Layer.Layer<PersistedQueue.PersistedQueueStore, never, DeadLetter.Store> => {
  Check.noUnknown(where, options, ["pollInterval", "lease"])
  const pollInterval = Check.millis(where, "pollInterval", Check.orDefault(options.pollInterval, "1 second"))
  const lease = Check.millis(where, "lease", Check.orDefault(options.lease, "1 minute"))
  return Layer.effect(
    PersistedQueue.PersistedQueueStore,
    Effect.map(DeadLetter.Store, (store) => new Elements(store, pollInterval, lease).service)
  )
}
