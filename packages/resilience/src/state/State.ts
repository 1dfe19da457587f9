/**
 * Keeps the state of the live policies over restarts: circuits with what they have counted, balances of budgets, and what
 * adaptive policies have found out.
 *
 * A policy that is created gets back what was saved under its name. It is saved in the background: after each transition, at an
 * interval, when the policy leaves and when the layer does. A call never waits for a store.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FileSystem from "effect/FileSystem"
import * as Latch from "effect/Latch"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Instances from "../engine/instances.ts"
import type { Reporter } from "../engine/reporter.ts"
import * as Slices from "../engine/slices.ts"
import * as Policies from "../Policies.ts"
import * as Time from "../runtime/clock.ts"
import { EngineKey } from "../runtime/frame.ts"
import * as Check from "../runtime/options.ts"
import { attempt, isObject, messageOf, read } from "../runtime/read.ts"
import * as Files from "./internal/file.ts"

/**
 * Where records are kept: a record is the JSON text of one policy's snapshot, under an id such as `"Policy app/Payments"`.
 *
 * **Details** A store may fail with anything, may be slow and may hang: {@link layer} limits the time, logs one warning, and goes on.
 * It may be shared by processes whose policies have different names. Of one name, the process that saved last counts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Store {
  /** All records. */
  readonly load: Effect.Effect<ReadonlyMap<string, string>, unknown>
  /** Adds or replaces some records, and leaves the others. */
  readonly save: (records: ReadonlyMap<string, string>) => Effect.Effect<void, unknown>
}

/**
 * When and what is saved.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `every` | a finite duration above zero | 5 seconds |
 * | `timeout` | a finite duration above zero | 5 seconds |
 * | `timeToLive` | a duration of zero or more | 4 days |
 * | `policies` | a predicate | all |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How often everything is saved, and so how much a process that is killed loses at most. Default: 5 seconds. */
  readonly every?: Duration.Input | undefined
  /** How long the store may take, at the start and at the end of the program too. Default: 5 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** What was not used for longer is not restored; see `Types.RestoreOptions`. Default: 4 days. */
  readonly timeToLive?: Duration.Input | undefined
  /** Which policies are kept: leave out those whose names are made up at run time, because records are never removed. Default: all. */
  readonly policies?: ((policy: { readonly name: string; readonly kind: Policies.Kind }) => boolean) | undefined
}

/**
 * The service of the layers of this module.
 *
 * @category services
 * @since 0.1.0
 */
export class State extends Context.Service<
  State,
  {
    /** Saves everything now: `true` when the store has it. For a program that ends without closing its scope. */
    readonly save: Effect.Effect<boolean>
  }
>()("effect-resilience/state/State") {}

const module = "State"

const optionNames = ["every", "timeout", "timeToLive", "policies"]

interface Settings {
  /** Milliseconds. */
  readonly every: number
  readonly timeout: number
  readonly timeToLive: Duration.Input | undefined
  readonly isKept: (policy: { readonly name: string; readonly kind: Policies.Kind }) => boolean
}

const resolve = (where: string, { every, policies, timeout, timeToLive }: Options): Settings => {
  if (policies !== undefined) Check.callback(where, "policies", Check.predicate, policies)
  if (timeToLive !== undefined) Check.millis(where, "timeToLive", timeToLive, { zero: true, infinite: true })
  return {
    every: Check.millis(where, "every", Check.orDefault(every, "5 seconds")),
    timeout: Check.millis(where, "timeout", Check.orDefault(timeout, "5 seconds")),
    timeToLive,
    isKept: (policy) => attempt(() => policies?.(policy), false) !== false
  }
}

/** Milliseconds between two saves after transitions: a circuit that flaps does not keep the store busy. */
const gap = 100

/** Looking at ten thousand keys takes some milliseconds: at the most this share of the time. */
const mostBusy = 0.02

// ---------------------------------------------------------------------------------------------------------------------
// Records
// ---------------------------------------------------------------------------------------------------------------------

interface Record {
  readonly text: string
  /** The text without the moment: one that is the same need not be saved again. */
  readonly content: string
}

const idOf = ({ kind, name }: Instances.Instance): string => `${kind} ${name}`

/** A circuit that is as a new one would be, or that an operator holds. */
const isLeftOut = (circuit: unknown): boolean => {
  const state = read(circuit, "state")
  const isNew = state === "closed" && read(circuit, "openings") === 0 && read(circuit, "trip") === undefined
  return isNew || state === "isolated" || state === "disabled"
}

/**
 * Leaves out the circuits that are as new ones: of ten thousand healthy keys nothing is to be kept. What an operator has set has an
 * author and an end, which the record of changes keeps, and a snapshot does not.
 */
function* withoutLeftOut(circuits: object): Slices.Sliced<object> {
  const all = read(circuits, "circuits")
  if (!Array.isArray(all)) return circuits
  const keptOf = (circuit: unknown) => (isLeftOut(circuit) ? undefined : circuit)
  return { ...circuits, base: undefined, circuits: yield* Slices.collect(all, all.length, keptOf) }
}

function* toRecord(snapshot: Policies.Snapshot): Slices.Sliced<Record> {
  const { at, ...rest } = snapshot
  const breaker = read(rest, "breaker")
  const kept = isObject(breaker) ? { ...rest, breaker: yield* withoutLeftOut(breaker) } : yield* withoutLeftOut(rest)
  const content = yield* fieldsOf({ ...kept, bulkhead: undefined })
  // Of any snapshot there is more than its moment: its version.
  return { text: `{"at":${JSON.stringify(at)},${content}}`, content }
}

/** The fields as JSON, without the braces. JSON leaves out what is undefined. */
function* fieldsOf(fields: object): Slices.Sliced<string> {
  const texts: Array<string> = []
  for (const [name, value] of Object.entries(fields)) {
    if (value !== undefined) texts.push(`${JSON.stringify(name)}:${yield* textOf(value)}`)
  }
  return texts.join(",")
}

/** JSON, of lists in slices: those of a snapshot have an element per key. */
function* textOf(value: unknown): Slices.Sliced<string> {
  if (!isObject(value)) return JSON.stringify(value)
  if (!Array.isArray(value)) return `{${yield* fieldsOf(value)}}`
  let text = ""
  for (let from = 0; from < value.length; from += Slices.keysPerSlice) {
    if (from > 0) yield
    // Without its brackets; a sum of texts is a list of them for V8, and copies none.
    const slice = JSON.stringify(value.slice(from, from + Slices.keysPerSlice)).slice(1, -1)
    text += from > 0 ? `,${slice}` : slice
  }
  return `[${text}]`
}

const reporterOf = (policy: object): Reporter | undefined => {
  // What is registered are the members that `make` returns, with their engine.
  const engine = (policy as { readonly [EngineKey]?: { readonly reporter?: Reporter } })[EngineKey]
  return engine?.reporter
}

/** The policies that are kept, and their records. */
class Keeper {
  private readonly context: Context.Context<never>
  private readonly instances: Instances.Instances
  private readonly settings: Settings
  private readonly onChange: () => void
  /** Those of living policies too, as they were when they were last looked at. */
  private readonly records: Map<string, Record>
  /** Records that the store does not have. */
  private readonly unsaved = new Set<string>()
  /** How many captures have begun, and the number of the newest of each record: one that took longer replaces no newer one. */
  private captures = 0
  private readonly captured = new Map<string, number>()
  /** Policies that leave when their scope closes, held until then: what they know is needed at that moment. */
  private readonly held = new Map<Instances.Instance, object>()
  readonly warnings: Array<string> = []

  constructor(
    context: Context.Context<never>,
    instances: Instances.Instances,
    settings: Settings,
    loaded: ReadonlyMap<string, string>,
    onChange: () => void
  ) {
    this.context = context
    this.instances = instances
    this.settings = settings
    this.onChange = onChange
    this.records = new Map(Array.from(loaded, ([id, text]) => [id, { text, content: "" }] as const))
  }

  readonly listen = ({ _tag, instance }: Instances.Change): void => {
    if (_tag === "Registered") this.join(instance)
    else this.leave(instance)
  }

  start(): void {
    this.instances.listeners.add(this.listen)
    // One that is older than the layer keeps what it has learnt.
    for (const instance of this.instances.all) {
      if (this.isUsed(instance)) this.watch(instance)
      else this.join(instance)
    }
  }

  stop(): void {
    this.instances.listeners.delete(this.listen)
    for (const instance of this.instances.all) this.unwatch(instance)
    this.held.clear()
  }

  private entryOf(instance: Instances.Instance): Policies.Entry | undefined {
    const [entry] = Policies.toEntry(instance)
    // Of a bulkhead a snapshot keeps only what an operator has set.
    const hasState = entry?.snapshot !== undefined && entry.kind !== "Bulkhead"
    return hasState && this.settings.isKept(instance) ? entry : undefined
  }

  private run<A>(effect: Effect.Effect<A>): Exit.Exit<A> {
    return Effect.runSyncExitWith(this.context)(effect)
  }

  private isUsed(instance: Instances.Instance): boolean {
    const stats = this.entryOf(instance)?.stats
    const exit = stats && this.run(stats)
    return exit !== undefined && Exit.isSuccess(exit) && exit.value.some(({ totals }) => totals.calls > 0)
  }

  /** The newest policy that lives of a name and a kind, apart from one. */
  private newestOf(id: string, except?: Instances.Instance): Instances.Instance | undefined {
    return this.instances.all.filter((one) => one !== except && idOf(one) === id).at(-1)
  }

  private join(instance: Instances.Instance): void {
    const entry = this.entryOf(instance)
    if (entry?.restore === undefined) return
    const id = idOf(instance)
    // What lives knows more than what was saved.
    const older = this.newestOf(id, instance)
    if (older !== undefined) this.run(this.capture(older))
    this.watch(instance)
    const record = this.records.get(id)
    if (record === undefined) return
    const { restore } = entry
    const { timeToLive } = this.settings
    const exit = this.run(
      // What it is says `restore`, which refuses what is none.
      Effect.suspend(() => restore(JSON.parse(record.text) as Policies.Snapshot, { timeToLive }))
    )
    if (Exit.isSuccess(exit)) return
    this.warnings.push(
      `${id} begins without its state, because it cannot be restored: ${messageOf(Cause.squash(exit.cause))}`
    )
    this.onChange()
  }

  private leave(instance: Instances.Instance): void {
    const newest = this.newestOf(idOf(instance))
    if (newest === undefined || newest.number < instance.number) this.run(this.capture(instance))
    this.unwatch(instance)
    this.held.delete(instance)
    this.onChange()
  }

  private watch(instance: Instances.Instance): void {
    const policy = instance.policy()
    if (policy === undefined || this.entryOf(instance) === undefined) return
    if (instance.scope !== undefined) this.held.set(instance, policy)
    const reporter = reporterOf(policy)
    if (reporter === undefined) return
    reporter.watchers ??= new Set()
    reporter.watchers.add(this.onChange)
  }

  private unwatch(instance: Instances.Instance): void {
    const policy = instance.policy()
    if (policy !== undefined) reporterOf(policy)?.watchers?.delete(this.onChange)
  }

  /** In slices; at once where it is run synchronously. */
  private capture(instance: Instances.Instance): Effect.Effect<void> {
    return Effect.suspend(() => {
      const snapshot = this.entryOf(instance)?.snapshot
      if (snapshot === undefined) return Effect.void
      this.captures += 1
      const number = this.captures
      const record = Effect.flatMap(snapshot, (taken) =>
        Slices.run(
          () => toRecord(taken),
          (record) => record
        )
      )
      return Effect.map(Effect.exit(record), (exit) => {
        const id = idOf(instance)
        if (Exit.isFailure(exit) || (this.captured.get(id) ?? 0) > number) return
        this.captured.set(id, number)
        if (this.records.get(id)?.content === exit.value.content) return
        this.records.set(id, exit.value)
        this.unsaved.add(id)
      })
    })
  }

  /** Looks at every policy. Of one name the newest counts. */
  readonly look: Effect.Effect<void> = Effect.suspend(() => {
    const newest = new Map(this.instances.all.map((instance) => [idOf(instance), instance]))
    return Effect.forEach(
      newest.entries(),
      // Between the slices of another policy it may have left, and have been captured then, or a newer one may have come.
      ([id, instance]) => Effect.suspend(() => (this.newestOf(id) === instance ? this.capture(instance) : Effect.void)),
      { discard: true }
    )
  })

  /** The records that the store does not have. */
  changed(): ReadonlyMap<string, string> {
    const texts = new Map<string, string>()
    for (const id of this.unsaved) texts.set(id, this.records.get(id)?.text ?? "")
    return texts
  }

  /** The store has these records; one that has changed since is still to be saved. */
  saved(texts: ReadonlyMap<string, string>): void {
    for (const [id, text] of texts) if (this.records.get(id)?.text === text) this.unsaved.delete(id)
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Layer
// ---------------------------------------------------------------------------------------------------------------------

/** Waits for a step of the store, for some time: one that cannot be interrupted goes on alone. */
const limited = <A>(fiber: Fiber.Fiber<A, unknown>, millis: number): Effect.Effect<Result.Result<A, string>> =>
  Effect.map(Effect.timeoutOption(Effect.interruptible(Fiber.await(fiber)), millis), (exit) => {
    if (Option.isNone(exit)) {
      fiber.interruptUnsafe()
      return Result.fail(`it took longer than ${Duration.format(Duration.millis(millis))}`)
    }
    return Exit.isSuccess(exit.value)
      ? Result.succeed(exit.value.value)
      : Result.fail(messageOf(Cause.squash(exit.value.cause)))
  })

const begin = <A>(step: () => Effect.Effect<A, unknown>): Effect.Effect<Fiber.Fiber<A, unknown>> =>
  Effect.forkDetach(Effect.interruptible(Effect.suspend(step)), { startImmediately: true })

const run = (store: Store, settings: Settings) =>
  Effect.gen(function* () {
    const { every, timeout } = settings
    const instances = yield* Instances.current
    // What a policy restores belongs to no call.
    const context = yield* Effect.context<never>()
    const loaded = yield* limited(yield* begin(() => store.load), timeout)
    let isFailing = Result.isFailure(loaded)
    if (Result.isFailure(loaded)) {
      yield* Effect.logWarning(
        `State: the saved state of the policies cannot be read: ${loaded.failure}. They begin without it, and calls go on. ` +
          "Look at the store: this warning is logged once until a save succeeds."
      )
    }
    const due = Latch.makeUnsafe(false)
    const keeper = new Keeper(
      context,
      instances,
      settings,
      Result.getOrElse(loaded, () => new Map<string, string>()),
      () => due.openUnsafe()
    )
    /** A save that does not end keeps the next from beginning. */
    let running: Fiber.Fiber<void, unknown> | undefined
    const saveOf = (texts: ReadonlyMap<string, string>): Effect.Effect<Result.Result<void, string>> =>
      Effect.flatMap(
        begin(() => store.save(texts)),
        (fiber) => {
          running = fiber
          fiber.addObserver(() => {
            running = undefined
          })
          return limited(fiber, timeout)
        }
      )
    /** What the last look has cost: the turns of other fibers meanwhile are theirs. */
    let cost = 0
    const write: Effect.Effect<boolean> = Effect.suspend(() => {
      const texts = keeper.changed()
      const warnings = keeper.warnings.splice(0)
      const warned = Effect.forEach(warnings, (warning) => Effect.logWarning(`State: ${warning}`), { discard: true })
      if (running !== undefined) return Effect.as(warned, false)
      if (texts.size === 0) return Effect.as(warned, true)
      return Effect.andThen(
        warned,
        Effect.flatMap(saveOf(texts), (result) => {
          if (Result.isSuccess(result)) {
            keeper.saved(texts)
            const recovered = isFailing
            isFailing = false
            return Effect.as(
              recovered ? Effect.logInfo("State: the state of the policies is saved again.") : Effect.void,
              true
            )
          }
          const isFirst = !isFailing
          isFailing = true
          return Effect.as(
            isFirst
              ? Effect.logWarning(
                  `State: the state of the policies cannot be saved: ${result.failure}. Calls go on, and it is tried again. ` +
                    "Look at the store: this warning is logged once until a save succeeds."
                )
              : Effect.void,
            false
          )
        })
      )
    })
    const look = Effect.suspend(() => {
      const before = Slices.spent.millis
      return Effect.map(Effect.exit(keeper.look), () => {
        cost = Slices.spent.millis - before
      })
    })
    const save = Effect.andThen(look, write)
    /** What is newest, also while a save runs. */
    const ended = Effect.suspend(() => (running === undefined ? Effect.void : Effect.asVoid(limited(running, timeout))))
    const saveNewest = ended.pipe(Effect.andThen(look), Effect.andThen(ended), Effect.andThen(write))
    yield* Effect.acquireRelease(
      Effect.sync(() => keeper.start()),
      () =>
        Effect.andThen(
          saveNewest,
          Effect.sync(() => keeper.stop())
        )
    )
    const loop = Effect.gen(function* () {
      let waited = 0
      while (true) {
        yield* Effect.timeoutOption(due.await, every - waited)
        due.closeUnsafe()
        yield* save
        waited = Math.min(Math.max(gap, cost / mostBusy), every)
        yield* Effect.sleep(waited)
      }
    })
    yield* Effect.forkScoped(loop, { startImmediately: true })
    return State.of({ save: saveNewest })
  })

/**
 * A layer over a store; `names` are the options of the store.
 *
 * @internal
 */
export const layerWith = <R>(
  where: string,
  names: ReadonlyArray<string>,
  options: Options,
  store: () => Effect.Effect<Store, never, R>
): Layer.Layer<State, never, Exclude<R, Scope.Scope>> => {
  Check.noUnknown(where, options, [...names, ...optionNames])
  const settings = resolve(where, options)
  return Layer.effect(
    State,
    Effect.flatMap(store(), (store) => run(store, settings))
  )
}

/**
 * Keeps the state of every live policy in a store.
 *
 * **When to use** For a job that is run again and again, so that what failed in one run is known in the next, and for a service, so
 * that a deploy does not forget which dependencies are down. Processes do not share state by it: each restores what was saved last.
 *
 * **Details** Provide it below the policies, so that each gets its state back before its first call: `Users.layer.pipe(
 * Layer.provideMerge(State.layer({ store })))`. When it is built it reads the store, for at most `timeout`. A store that fails, hangs
 * or has nothing that can be read is logged, once, and the policies begin anew. A policy of which another of the same name lives gets
 * its state. Policies of other registries (`Policies.layer`) are not kept.
 *
 * What an operator has set is kept by `persistence/Changes`, with its author and its end. Not kept are stats, the values of a
 * `StaleFallback` and the uses of a `TokenBudget`. Throws a `RangeError` at once when an option is out of range.
 *
 * **Example** (A circuit that opens at the third run)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { CircuitBreaker, TripPolicy } from "effect-resilience"
 * import * as State from "effect-resilience/state/State"
 *
 * class Feed extends CircuitBreaker.Service<Feed>()("job/Feed", { trip: TripPolicy.consecutive(3), openFor: "1 hour" }) {}
 *
 * const store = State.makeMemory() // a file, SQLite or a KeyValueStore in a real program
 * const run = Effect.fail({ _tag: "Down" as const }).pipe(
 *   Feed.protect({ failures: ["Down"] }),
 *   Effect.flip,
 *   Effect.map((error) => error._tag),
 *   Effect.provide(Feed.layer.pipe(Layer.provideMerge(State.layer({ store }))))
 * )
 * const runs: Array<string> = []
 * for (let i = 0; i < 4; i++) runs.push(await Effect.runPromise(run))
 * runs // => ["Down", "Down", "Down", "CircuitOpen"]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options & { readonly store: Store }): Layer.Layer<State> => {
  const where = `${module}.layer`
  return layerWith(where, ["store"], options, () => {
    const { store } = options
    const isStore = typeof read(store, "save") === "function" && Effect.isEffect(read(store, "load"))
    return isStore ? Effect.succeed(store) : Check.invalid(where, "store", "a Store, such as State.makeMemory()", store)
  })
}

// ---------------------------------------------------------------------------------------------------------------------
// Stores
// ---------------------------------------------------------------------------------------------------------------------

/**
 * A store in memory, for tests.
 *
 * @category stores
 * @since 0.1.0
 */
export const makeMemory = (): Store => {
  const all = new Map<string, string>()
  return {
    load: Effect.sync(() => new Map(all)),
    save: (records) =>
      Effect.sync(() => {
        for (const [id, text] of records) all.set(id, text)
      })
  }
}

/**
 * Keeps each record under a key of its own, `"effect-resilience/state/Policy app/Payments"` for example, in any `KeyValueStore` of
 * Effect. `prefix` replaces what stands before the id.
 *
 * @category stores
 * @since 0.1.0
 */
export const fromKeyValueStore = (
  store: KeyValueStore.KeyValueStore,
  options: { readonly prefix?: string | undefined } = {}
): Store => {
  const where = `${module}.fromKeyValueStore`
  Check.noUnknown(where, options, ["prefix"])
  const prefix = Check.nonEmpty(where, "prefix", Check.orDefault(options.prefix, "effect-resilience/state/"))
  return {
    load: Effect.gen(function* () {
      const keys = (yield* store.keys).filter((key) => key.startsWith(prefix))
      const texts = yield* Effect.forEach(keys, (key) => store.get(key), { concurrency: 16 })
      return new Map(keys.flatMap((key, i) => (texts[i] === undefined ? [] : [[key.slice(prefix.length), texts[i]]])))
    }),
    save: (records) =>
      Effect.forEach(records, ([id, text]) => store.set(prefix + id, text), { concurrency: 16, discard: true })
  }
}

/**
 * Keeps the state in the `KeyValueStore` of Effect that it is given: files of a folder, a table of a database, the storage of a browser.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerKeyValueStore = (
  options: Options & { readonly prefix?: string | undefined } = {}
): Layer.Layer<State, never, KeyValueStore.KeyValueStore> => {
  const where = `${module}.layerKeyValueStore`
  Check.object(where, options)
  const { prefix } = options
  if (prefix !== undefined) Check.nonEmpty(where, "prefix", prefix)
  return layerWith(where, ["prefix"], options, () =>
    Effect.map(KeyValueStore.KeyValueStore, (store) => fromKeyValueStore(store, { prefix }))
  )
}

/**
 * Keeps all records in one file of JSON.
 *
 * **Details** The file is never half written: a new one is written beside it, flushed to the disk, and renamed. Its folder is created
 * when there is none, and the file can be read by its owner only. A file that is no state of this library is renamed to `….corrupted`
 * before it is replaced. Processes may share a file: each replaces the records of its own policies.
 *
 * @category stores
 * @since 0.1.0
 */
export const makeFile = (path: string): Effect.Effect<Store, never, FileSystem.FileSystem> => {
  Check.nonEmpty(`${module}.makeFile`, "path", path)
  return Effect.map(FileSystem.FileSystem, (files) => {
    // A lock is old by the time of the disk, which no test clock knows.
    const live = Effect.provideService(Clock.Clock, Time.liveClock)
    return {
      load: live(Files.load(files, path)),
      save: (records) => live(Files.save(files, path, records))
    }
  })
}

/**
 * Keeps the state in a file; see {@link makeFile}. `FileSystem` is that of `@effect/platform-node`, or of another platform.
 *
 * **Example** (A job that is run by cron)
 *
 * ```ts no-run
 * import { NodeFileSystem, NodeRuntime } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { CircuitBreaker, TripPolicy } from "effect-resilience"
 * import * as State from "effect-resilience/state/State"
 *
 * class Feed extends CircuitBreaker.Service<Feed>()("job/Feed", { trip: TripPolicy.consecutive(5), openFor: "6 hours" }) {}
 *
 * declare const sync: Effect.Effect<void, { readonly _tag: "Down" }>
 * const kept = State.layerFile({ path: "/var/lib/job/state.json" }).pipe(Layer.provide(NodeFileSystem.layer))
 * const job = sync.pipe(Feed.protect({ failures: ["Down"] }), Effect.provide(Feed.layer.pipe(Layer.provideMerge(kept))))
 * NodeRuntime.runMain(job)
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFile = (
  options: Options & { readonly path: string }
): Layer.Layer<State, never, FileSystem.FileSystem> => {
  return layerWith(`${module}.layerFile`, ["path"], options, () => makeFile(options.path))
}
