/** A rate limit at run time: the tokens of each key, and the frame of one call. */
import * as Effect from "effect/Effect"
import * as Event from "../Event.ts"
import type * as Machine from "../machine/RateLimit.ts"
import * as Time from "../runtime/clock.ts"
import { Frame, type Service } from "../runtime/frame.ts"
import { retainHiddenClass } from "../runtime/hiddenClass.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import { defaultKey } from "../Types.ts"
import type { Hold } from "./acquire.ts"
import { Watch } from "./admitted.ts"
import type { Desk, Plug } from "./changes.ts"
import * as Counters from "./counters.ts"
import { Keyed, type KeySettings } from "./keyed.ts"
import * as Protect from "./protect.ts"
import {
  type RateCell,
  type RateHolder,
  type RateSettings,
  Rates,
  type RatesSnapshot,
  type Turn,
  viewOf
} from "./rates.ts"
import { Reporter } from "./reporter.ts"
import type { Moment, Sliced } from "./slices.ts"
import type * as Snapshots from "./snapshots.ts"
import type { Select, Summable } from "./sums.ts"

export interface RateLimitSettings extends RateSettings {
  readonly keys: KeySettings
}

class RateLimitCell implements RateCell {
  readonly key: string
  readonly rate: Machine.Bucket<Turn>
  lastUsed: number
  calls = 0
  /** Nothing until the first rejection. */
  past: Counters.Past | undefined = undefined

  constructor(key: string, rate: Machine.Bucket<Turn>, now: number) {
    this.key = key
    this.rate = rate
    this.lastUsed = Math.floor(now)
  }

  get history(): Counters.Past {
    this.past ??= new Counters.Past(this.lastUsed)
    return this.past
  }
}

/** One call with one token. */
export class RateLimitCall extends Frame<RateLimitEngine, Protect.CallOptions> implements RateHolder, Hold {
  declare token: number | undefined
  declare turn: RateHolder["turn"]
  /** Set from the start of a run to that of its work. */
  declare private cell: RateLimitCell | undefined

  constructor(
    engine: RateLimitEngine | undefined,
    service: Service | undefined,
    self: AnyEffect,
    options: Protect.CallOptions
  ) {
    super(engine, service, self, options)
    this.token = undefined
    this.turn = undefined
    this.cell = undefined
  }

  protected copy(): RateLimitCall {
    return new RateLimitCall(this.engine, this.service, this.self, this.options)
  }

  protected prepare(engine: RateLimitEngine, fiber: AnyFiber): undefined {
    const cell = engine.cells.get(this.options.key, fiber)
    cell.calls += 1
    this.cell = cell
  }

  enter(fiber: AnyFiber): AnyEffect {
    const now = Time.monotonicMillis(fiber)
    // `prepare` has just set both.
    const cell = this.cell!
    cell.lastUsed = Math.floor(now)
    const wait = this.engine!.rates.acquire(cell, this, now, fiber)
    return wait === undefined ? this.start() : Effect.flatMap(wait, () => this.start())
  }

  private start(): AnyEffect {
    // Set as long as the work has not started.
    this.engine!.rates.started(this.cell!, this)
    this.cell = undefined
    return this.self
  }

  succeeded(): undefined {}

  failed(_: unknown, fiber: AnyFiber): undefined {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return
    this.cell = undefined
    engine.rates.release(cell, this, fiber)
  }

  // A stream has its token from the start to the end, and holds nothing else.
  responded(): void {}

  end(): void {}

  left<C>(cause: C): C {
    return cause
  }
}

retainHiddenClass(new RateLimitCall(undefined, undefined, Effect.void, Protect.defaultOptions))

export class RateLimitEngine implements Summable {
  readonly rates: Rates
  readonly cells: Keyed<RateLimitCell>
  readonly reporter: Reporter
  private watch: Watch<RateLimitCell> | undefined
  private readonly evicted = new Counters.Evicted()
  /** Held, so that its alarms work as long as a call may come. */
  desk: Desk | undefined = undefined

  constructor(name: string, settings: RateLimitSettings, program: Event.Hub) {
    this.reporter = new Reporter(name, Event.makeHub(), program)
    this.rates = new Rates(settings, this.reporter)
    this.watch = undefined
    this.cells = new Keyed<RateLimitCell>(
      settings.keys,
      (key, now) => this.make(key, now),
      (cell, now) => this.rates.pinned(cell, now) || this.watch?.isWatched(cell) === true,
      (cell) => this.evicted.add(cell)
    )
  }

  /** Sets other limits; what it cannot change is that of its creation. */
  retune(settings: RateLimitSettings, now: number): void {
    this.rates.retune(this.cells, settings, now)
  }

  /** Returns when a call of a key would have a token without waiting. */
  admitted(key: string): Effect.Effect<void> {
    this.watch ??= new Watch<RateLimitCell>(this, (cell, now) => this.rates.admitsIn(cell, now))
    return this.watch.admitted((fiber) => this.cells.get(key, fiber))
  }

  private make(key: string, now: number): RateLimitCell {
    return new RateLimitCell(key, this.rates.make(now), now)
  }

  /** Reading the state of a key neither creates nor keeps it. */
  state(key: string, now: number): Stats.RateLimit {
    return viewOf((this.cells.peek(key) ?? this.make(key, now)).rate, now)
  }

  stats(key: string, now: number): Stats.Stats {
    return this.statsOf(this.cells.peek(key) ?? this.make(key, now), now)
  }

  allStats(now: number): ReadonlyArray<Stats.Stats> {
    const kept = Array.from(this.cells.all(), (cell) => this.statsOf(cell, now))
    return [...kept, ...this.evicted.stats(this.reporter.policy)]
  }

  sum(select: Select, now: number): void {
    for (const cell of this.cells.all()) {
      const sums = select(cell.key, false)
      sums.addCounted(cell)
      sums.addRate(viewOf(cell.rate, now))
    }
    if (this.cells.isEmpty) select(defaultKey, false).addRate(this.state(defaultKey, now))
    this.evicted.sum(select)
  }

  private statsOf(cell: RateLimitCell, now: number): Stats.Stats {
    return Counters.stats(this.reporter.policy, cell.key, {
      rateLimit: viewOf(cell.rate, now),
      totals: Counters.totals(cell.calls, 0, cell.past)
    })
  }

  snapshot(moment: Moment): Sliced<RatesSnapshot> {
    return this.rates.snapshot(this.cells, moment)
  }

  restore(snapshot: RatesSnapshot, ages: Snapshots.Ages, now: number): void {
    this.rates.restore(this.cells, snapshot, ages, now)
  }

  /** Lets a desk change the settings. */
  operate(desk: Desk, set: Plug): Desk {
    this.desk = desk
    const { cells, reporter } = this
    return desk.operate({
      reporter,
      hasKey: (key) => cells.peek(key) !== undefined,
      circuits: undefined,
      plugs: { set }
    })
  }
}
