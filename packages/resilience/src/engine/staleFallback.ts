/** A stale fallback at run time: the last good value of each key, and the frame of a call. */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Time from "../runtime/clock.ts"
import { Frame, type Service } from "../runtime/frame.ts"
import { retainHiddenClass } from "../runtime/hiddenClass.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import type { Desk, Plug } from "./changes.ts"
import { Evicted, Past, stats, totals } from "./counters.ts"
import { examine, report, type When } from "./fallback.ts"
import { Keyed, type KeySettings } from "./keyed.ts"
import * as Left from "./left.ts"
import type { Reporter } from "./reporter.ts"
import type { Select, Summable } from "./sums.ts"

export interface StaleSettings {
  readonly name: string
  /** Milliseconds. */
  readonly maxAge: number
  readonly when: When
  readonly keys: KeySettings
}

interface Stored {
  readonly key: string
  lastUsed: number
  value: unknown
  /** When the value was stored; `-Infinity` before there is one. */
  at: number
  /** The number of the call that asked for the value. */
  call: number
  /** Calls that have ended since the key has a value. */
  calls: number
  /** Errors that were replaced; nothing until the first. */
  past: Past | undefined
}

/** The stored values. Calls are numbered in the order in which they begin. */
export class StaleEngine implements Summable {
  private settings: StaleSettings
  /** Held, so that its alarms work as long as a call may come. */
  desk: Desk | undefined = undefined
  private readonly store: Keyed<Stored>
  private calls = 0
  /** The last call of a key that began before the key was forgotten: it and those before it store nothing. */
  private readonly forgotten = new Map<string, number>()
  /** The same for all keys. */
  private forgottenAll = 0
  private readonly evicted = new Evicted()

  constructor(settings: StaleSettings) {
    this.settings = settings
    const make = (key: string, now: number): Stored => ({
      key,
      lastUsed: Math.floor(now),
      value: undefined,
      at: -Infinity,
      call: 0,
      calls: 0,
      past: undefined
    })
    this.store = new Keyed<Stored>(
      settings.keys,
      make,
      () => false,
      (stored) => this.evicted.add(stored)
    )
  }

  /** Sets another age; values that are too old by it are not used, and may be used again when it is raised. */
  retune(settings: StaleSettings): void {
    this.settings = settings
    this.store.retune(settings.keys)
  }

  /** Lets a desk change the settings. */
  operate(desk: Desk, reporter: Reporter, set: Plug): Desk {
    this.desk = desk
    return desk.operate({
      reporter,
      hasKey: (key) => this.store.peek(key) !== undefined,
      circuits: undefined,
      plugs: { set }
    })
  }

  /** The number of a call that begins now. */
  begin(): number {
    this.calls += 1
    return this.calls
  }

  put(key: string, call: number, value: unknown, fiber: AnyFiber): void {
    const forgotten = this.forgotten.size === 0 ? undefined : this.forgotten.get(key)
    if (call <= this.forgottenAll || (forgotten !== undefined && call <= forgotten)) {
      this.evicted.countCall()
      return
    }
    const stored = this.store.get(key, fiber)
    stored.calls += 1
    if (call < stored.call) return
    const now = Time.monotonicMillis(fiber)
    stored.lastUsed = Math.floor(now)
    stored.value = value
    stored.at = now
    stored.call = call
  }

  /** What replaces the failure of a call; `undefined` when it stays. */
  replace(key: string, cause: Cause.Cause<unknown>, since: number, fiber: AnyFiber): AnyEffect | undefined {
    const { maxAge, name, when } = this.settings
    const stored = this.store.peek(key)
    if (stored === undefined) {
      this.evicted.countCall()
      return undefined
    }
    stored.calls += 1
    const verdict = examine(cause, when, since, fiber)
    if ("remaining" in verdict || Time.monotonicMillis(fiber) - stored.at > maxAge) return undefined
    stored.past ??= new Past(0)
    stored.past.fallbacks += 1
    report(name, key, verdict.error, fiber)
    return Effect.succeed(stored.value)
  }

  /** Reading the stats of a key neither creates nor keeps it. */
  stats(key: string): Stats.Stats {
    const stored = this.store.peek(key)
    return this.statsOf(key, stored?.calls ?? 0, stored?.past)
  }

  allStats(): ReadonlyArray<Stats.Stats> {
    const kept = Array.from(this.store.all(), ({ calls, key, past }) => this.statsOf(key, calls, past))
    return [...kept, ...this.evicted.stats(this.settings.name)]
  }

  sum(select: Select): void {
    for (const stored of this.store.all()) select(stored.key, false).addCounted(stored)
    this.evicted.sum(select)
  }

  private statsOf(key: string, calls: number, past: Past | undefined): Stats.Stats {
    return stats(this.settings.name, key, { totals: totals(calls, 0, past) })
  }

  forget(key: string): void {
    this.store.delete(key, 0)
    if (this.forgotten.size >= this.settings.keys.maxKeys) {
      // Bounded: the calls of all keys that are on their way store nothing, which forgets too much rather than too little.
      this.forgotten.clear()
      this.forgottenAll = this.calls
    }
    this.forgotten.set(key, this.calls)
  }
}

export interface StaleOptions {
  readonly key: string
}

/** One call with a fallback to the last good value. */
export class StaleCall extends Frame<StaleEngine, StaleOptions> {
  declare private call: number
  declare private since: number

  constructor(engine: StaleEngine | undefined, service: Service | undefined, self: AnyEffect, options: StaleOptions) {
    super(engine, service, self, options)
    this.call = 0
    this.since = 0
  }

  protected copy(): StaleCall {
    return new StaleCall(this.engine, this.service, this.self, this.options)
  }

  protected prepare(engine: StaleEngine): undefined {
    this.call = engine.begin()
    this.since = Left.recorded()
  }

  enter(): AnyEffect {
    return this.self
  }

  succeeded(value: unknown, fiber: AnyFiber): undefined {
    this.engine!.put(this.options.key, this.call, value, fiber)
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const next = this.engine!.replace(this.options.key, cause, this.since, fiber)
    if (next !== undefined) this.free()
    return next
  }
}

retainHiddenClass(new StaleCall(undefined, undefined, Effect.void, { key: "" }))
