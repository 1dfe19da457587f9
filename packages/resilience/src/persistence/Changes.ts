/**
 * Keeps the record of changes in a store, so that overrides hold again after a restart, for the time that is left.
 *
 * This is an adapter: it depends on Effect's `KeyValueStore`, a module that Effect marks as unstable, and may change with it.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Change from "../Change.ts"
import { isPlausible, type Ledger } from "../engine/changes.ts"
import * as Instances from "../engine/instances.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The key in the store. Each process needs one of its own. Default: `"effect-resilience/changes"`. */
  readonly key?: string | undefined
  /** How long after a failure of the store it is tried again; a finite duration above zero. Default: `"10 seconds"`. */
  readonly retryAfter?: Duration.Input | undefined
}

const where = "Changes.layer"

/** How long the end of the program waits for the store. */
const lastWait = "5 seconds"

const File = Schema.fromJsonString(
  Schema.Struct({
    format: Schema.Literal("effect-resilience/changes"),
    version: Schema.Literal(1),
    lines: Schema.Array(Change.Change),
    inForce: Schema.Array(Schema.Int)
  })
)

const decode = Schema.decodeUnknownResult(File)

type Store = KeyValueStore.KeyValueStore

class Keeper {
  private readonly store: Store
  private readonly key: string
  private readonly retryAfter: number
  private readonly instances: Instances.Instances
  private readonly latch = Latch.makeUnsafe()
  private dirty = false

  constructor(store: Store, key: string, retryAfter: number, instances: Instances.Instances) {
    this.store = store
    this.key = key
    this.retryAfter = retryAfter
    this.instances = instances
  }

  private get ledger(): Ledger {
    return this.instances.ledger
  }

  /** Reads the record; `false` if what the store has is not one. */
  readonly load: Effect.Effect<boolean, KeyValueStore.KeyValueStoreError> = Effect.suspend(() =>
    Effect.flatMap(this.store.get(this.key), (text) => {
      if (text === undefined) return Effect.succeed(true)
      const decoded = decode(text)
      const problem = Result.isFailure(decoded)
        ? decoded.failure.message
        : decoded.success.lines.every(isPlausible)
          ? undefined
          : "a text in it is longer than a command may have, or no single line"
      if (problem !== undefined) return Effect.as(this.refuse(problem), false)
      const { inForce, lines } = Result.getOrThrow(decoded)
      return Effect.as(this.takeUp(lines, new Set(inForce)), true)
    })
  )

  private refuse(problem: string): Effect.Effect<void> {
    return Effect.logWarning(
      `Changes: what the store has under ${JSON.stringify(this.key)} is damaged, or no record of this library. No change holds again, ` +
        "and it is left as it is: the changes of this process are not kept. Remove it, or choose another key, and start again. " +
        problem
    )
  }

  private takeUp(lines: ReadonlyArray<Change.Change>, inForce: ReadonlySet<number>): Effect.Effect<void> {
    return Effect.flatMap(
      Time.withNow((now, fiber) => {
        this.ledger.load(lines, inForce)
        return this.instances.all.flatMap(({ desk }) => {
          const at = desk()
          return at === undefined ? [] : this.ledger.arrive(at, now, fiber)
        })
      }),
      Instances.logArrivals
    )
  }

  /** From now on each line asks for a save. */
  readonly watch: Effect.Effect<void> = Effect.sync(() => {
    this.ledger.onAdded = () => {
      this.dirty = true
      this.latch.openUnsafe()
    }
    this.ledger.onAdded()
  })

  private readonly save: Effect.Effect<void, KeyValueStore.KeyValueStoreError> = Effect.suspend(() =>
    Effect.flatMap(
      Time.withNow((now) => this.ledger.kept(now)),
      ({ inForce, lines }) => {
        this.dirty = false
        this.latch.closeUnsafe()
        const text = JSON.stringify({ format: "effect-resilience/changes", version: 1, lines, inForce })
        return Effect.onExit(this.store.set(this.key, text), (exit) =>
          Effect.sync(() => {
            if (exit._tag === "Failure") this.dirty = true
          })
        )
      }
    )
  )

  /** Saves whenever it is asked for, and again as long as the store fails: a call and a command wait for none of it. */
  readonly run: Effect.Effect<never> = Effect.forever(
    Effect.andThen(
      this.latch.await,
      Effect.suspend(() => this.again(this.save, "kept"))
    )
  )

  /** Repeats what the store fails to do, with one warning for all failures in a row. */
  again<A>(effect: Effect.Effect<A, KeyValueStore.KeyValueStoreError>, what: "kept" | "read"): Effect.Effect<A> {
    const loop: Effect.Effect<A> = Effect.catch(effect, () => Effect.flatMap(Effect.sleep(this.retryAfter), () => loop))
    return Effect.catch(effect, (error) =>
      Effect.logWarning(
        `Changes: the store has failed, and the record of changes is not ${what}. It is tried again every ` +
          `${this.retryAfter} ms; this warning is logged once. ${error.message}`
      ).pipe(
        Effect.andThen(loop),
        Effect.tap(() => Effect.logInfo(`Changes: the store works again, and the record of changes is ${what}.`))
      )
    )
  }

  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    const last = this.dirty
      ? Effect.timeoutOrElse(Effect.exit(this.save), { duration: lastWait, orElse: () => Effect.void })
      : Effect.void
    return Effect.andThen(
      last,
      Effect.sync(() => this.ledger.release())
    )
  })
}

/**
 * Keeps the record of changes in the `KeyValueStore`, and lets those that held when the process ended hold again: each when a policy
 * of its name is created.
 *
 * **When to use** Where a circuit that was isolated must stay isolated through a deployment or a crash. Without it a restart ends
 * every change.
 *
 * **Details** Provide it beside the layers of the policies: those that are created before and after it are both found.
 *
 * - An end stays where it was on the wall clock: what is left of it counts from the restart. A change whose end has passed is recorded
 *   as expired.
 * - A change that no longer fits, because its policy no longer has the part or the value is out of range, is recorded as undone by
 *   `"restart"`, with a warning.
 * - A change keeps its id, so that `Policies.undo` ends it as before. It then leaves the circuit as a new one would be.
 * - What is damaged, or no record of this library, is refused with a warning and left as it is.
 * - A store that fails costs no call and no command: there is one warning, and it is tried again.
 *
 * `close`, `reset`, `enable`, and `open` without `for` are in the record, and take effect once: they are not repeated. Throws a
 * `RangeError` at once when an option is out of range.
 *
 * **Gotchas** The record is written as a whole after each change, up to 1,000 lines. Two processes with one key overwrite each other.
 * A process that is killed within milliseconds of a command may lose it.
 *
 * **Example** (An isolation that survives a restart)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { KeyValueStore } from "effect/persistence"
 * import { CircuitBreaker, Policies } from "effect-resilience"
 * import * as Changes from "effect-resilience/persistence/Changes"
 *
 * class Users extends CircuitBreaker.Service<Users>()("app/Users") {}
 *
 * // In a service: KeyValueStore.layerFileSystem("/var/lib/app"), from `effect/persistence`.
 * const program = Effect.gen(function*() {
 *   const store = yield* Layer.build(KeyValueStore.layerMemory)
 *   const start = Layer.mergeAll(Users.layer, Changes.layer()).pipe(Layer.provide(Layer.succeedContext(store)), Layer.provideMerge(Policies.layer))
 *   yield* Users.control.isolate({ by: "ann", reason: "INC-7", for: "30 minutes" }).pipe(Effect.provide(start))
 *   return yield* Users.state().pipe(Effect.provide(start)) // after a restart
 * })
 * const { _tag } = await Effect.runPromise(Effect.scoped(program))
 * _tag // => "isolated"
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never, never, KeyValueStore.KeyValueStore> => {
  Check.noUnknown(where, options, ["key", "retryAfter"])
  const key = Check.nonEmpty(where, "key", Check.orDefault(options.key, "effect-resilience/changes"))
  const retryAfter = Check.millis(where, "retryAfter", Check.orDefault(options.retryAfter, "10 seconds"))
  return Layer.effectDiscard(
    Effect.gen(function* () {
      const keeper = new Keeper(yield* KeyValueStore.KeyValueStore, key, retryAfter, yield* Instances.current)
      const keep = Effect.andThen(keeper.watch, keeper.run)
      const loaded = yield* Effect.result(keeper.load)
      yield* Effect.addFinalizer(() => keeper.end)
      if (Result.isSuccess(loaded)) {
        if (!loaded.success) return
        yield* Effect.forkScoped(keep, { startImmediately: true })
        return
      }
      const later = Effect.flatMap(keeper.again(keeper.load, "read"), (isRecord) => (isRecord ? keep : Effect.void))
      yield* Effect.forkScoped(later, { startImmediately: true })
    })
  )
}
