/** Watches the configuration of a policy: a value that has changed arrives as a change, and a bad one is refused. */
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Change from "../Change.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import { messageOf } from "../runtime/read.ts"
import type { ConfigSource, WatchOptions } from "../Types.ts"
import * as FromConfig from "./config.ts"
import { type Tuned, tunedOf } from "./retune.ts"

/** Sentences that were logged and are not logged again. A source that is repaired forgets its own. */
const mostSentences = 100

/** What one watch remembers from one reading to the next. */
class Watcher<V extends object> {
  private readonly id: string
  private readonly schema: Schema.ConstraintCodec<V, unknown>
  private readonly source: ConfigSource<V>
  private readonly isOption: (option: ConfigProvider.Path) => boolean
  private readonly tuned: Tuned
  /** The values that were read last and accepted, as text. */
  private seen: string
  private change: Change.Change | undefined = undefined
  private readonly logged = new Set<string>()

  constructor(
    id: string,
    schema: Schema.ConstraintCodec<V, unknown>,
    source: ConfigSource<V>,
    isOption: (option: ConfigProvider.Path) => boolean,
    tuned: Tuned
  ) {
    this.id = id
    this.schema = schema
    this.source = source
    this.isOption = isOption
    this.tuned = tuned
    this.seen = JSON.stringify(tuned.tuner.configured)
  }

  /** Reads once. Nothing that is wrong with the source ends the watch. */
  round<E, R>(provider: Effect.Effect<ConfigProvider.ConfigProvider, E, R>): Effect.Effect<void, never, R> {
    return Effect.flatMap(
      Effect.exit(
        Effect.flatMap(provider, (found) =>
          this.reading.pipe(Effect.provideService(ConfigProvider.ConfigProvider, found))
        )
      ),
      (exit) => {
        if (Exit.isSuccess(exit)) return Effect.void
        if (Cause.hasInterrupts(exit.cause)) return Effect.interrupt
        const message = messageOf(Cause.squash(exit.cause))
        const sentence =
          message.startsWith(this.id) || message.includes(` ${this.id}:`) ? message : `${this.id}: ${message}`
        return this.warn(`${sentence}; the values before are kept`)
      }
    )
  }

  private get reading() {
    return Effect.gen({ self: this }, function* () {
      const { id, isOption, schema, source, tuned } = this
      const found = yield* FromConfig.read(id, schema, source, isOption)
      const sentences = yield* FromConfig.unread(id, found.from)
      for (const sentence of sentences) yield* this.warn(sentence)
      const values = yield* FromConfig.resolveRead(id, found, (values) => tuned.tuner.checkConfigured(values))
      for (const sentence of this.logged) if (!sentences.includes(sentence)) this.logged.delete(sentence)
      const text = JSON.stringify(values)
      if (text === this.seen) return
      const { change } = this
      const given = { key: undefined, by: Change.byConfig, reason: "", duration: undefined }
      this.change = yield* Time.withNow((now, fiber) => {
        const made = tuned.desk.give("set", values, given, now, fiber)
        // It holds in place of the one before.
        if (change !== undefined) tuned.desk.replace(change)
        return made
      })
      this.seen = text
    })
  }

  private warn(sentence: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.logged.has(sentence) || this.logged.size >= mostSentences) return Effect.void
      this.logged.add(sentence)
      return Effect.logWarning(sentence)
    })
  }
}

/** The layer that watches a source as long as its scope is open. The first reading is made when it is built. */
export const watch = <Self, Shape extends object, V extends object, E, R>(
  where: string,
  id: string,
  service: Context.Service<Self, Shape>,
  schema: Schema.ConstraintCodec<V, unknown>,
  isOption: (option: ConfigProvider.Path) => boolean,
  source: ConfigSource<V>,
  options: WatchOptions<E, R> = {}
): Layer.Layer<never, never, Self | Exclude<R, never>> => {
  const at = Check.inside(where, "watchConfig")
  Check.noUnknown(at, options, ["every", "provider"])
  const every = Check.millis(at, "every", Check.orDefault(options.every, "10 seconds"))
  return Layer.effectDiscard(
    Effect.gen(function* () {
      const context = yield* Effect.context<Self | R>()
      // Every policy of this package has it.
      const tuned = tunedOf(Context.get(context, service))
      if (tuned === undefined)
        return yield* Effect.die(new TypeError(`${at}: this policy was not made by this package`))
      const watcher = new Watcher(id, schema, source, isOption, tuned)
      const round = watcher.round<E, R>(options.provider ?? ConfigProvider.ConfigProvider)
      yield* round
      yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(every), round)))
    })
  )
}
