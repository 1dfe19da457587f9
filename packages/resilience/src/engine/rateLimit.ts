/** Rate limits at run time: the tokens of each key, the callers that wait for one, and the frame of one call. For rate limits and policies. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Event from "../Event.ts"
import * as Machine from "../machine/RateLimit.ts"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import { Frame, type Service } from "../runtime/frame.ts"
import { retainHiddenClass } from "../runtime/hiddenClass.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import { defaultKey } from "../Types.ts"
import type { Hold } from "./acquire.ts"
import { Watch } from "./admitted.ts"
import type { Desk, Plug } from "./changes.ts"
import * as Counters from "./counters.ts"
import * as Deadline from "./deadline.ts"
import { Keyed, type KeySettings } from "./keyed.ts"
import * as Protect from "./protect.ts"
import { Reporter } from "./reporter.ts"
import type * as Snapshots from "./snapshots.ts"
import type { Select, Summable } from "./sums.ts"

export interface RateSettings extends Machine.Limits {
  /** Milliseconds. */
  readonly maxWait: number
}

export interface RateLimitSettings extends RateSettings {
  readonly keys: KeySettings
}

/** The tokens of the keys that have not all of theirs. */
export interface RatesSnapshot {
  readonly keys: ReadonlyArray<{ readonly key: string; readonly tokens: number }>
}

/** How a caller that waits goes on: with its token, or with a rejection. */
type Refusal = Effect.Effect<never, Rejection.CircuitOpen | Rejection.RateLimited>

/** The wait of one caller. */
interface Turn {
  readonly holder: RateHolder
  readonly fiber: AnyFiber
  /** What limits the wait. */
  readonly reason: "wait" | "deadline"
  /** Set when the wait has ended with a rejection. */
  refusal: Refusal | undefined
  /** Continues the caller; set while its fiber waits. */
  proceed: ((then: Effect.Effect<void> | Refusal) => void) | undefined
}

/** A call or an attempt as its rate limit sees it. Neither field is there before the first use. */
export interface RateHolder {
  /** It has taken a token, and its work has not started. */
  hasToken?: boolean | undefined
  turn?: Machine.Waiter<Turn> | undefined
}

/** The tokens of one key. */
export interface RateCell {
  readonly key: string
  readonly history: Counters.Past
  /** Set in a policy with a rate limit, and absent otherwise. */
  readonly rate?: Machine.Bucket<Turn> | undefined
}

/** The keys that have tokens. */
interface RateCells<Cell extends RateCell> {
  readonly getDedicated: (key: string, now: number) => Cell | undefined
  readonly all: () => Iterable<Cell>
}

export class Rates {
  private settings: RateSettings
  private readonly reporter: Reporter
  /** Cancels the timer of a key for which callers wait. */
  private readonly timers = new Map<RateCell, () => void>()
  /** Called when a token may be there that no timer waits for; set while calls watch for one. */
  onFree: ((cell: RateCell) => void) | undefined

  constructor(settings: RateSettings, reporter: Reporter) {
    this.settings = settings
    this.reporter = reporter
    this.onFree = undefined
  }

  make(now: number): Machine.Bucket<Turn> {
    return Machine.make(this.settings, now)
  }

  /**
   * Takes a token. Returns `undefined` when there is one; otherwise the wait for it, or a rejection when it would come too late.
   * `deadline` is a time on the monotonic clock; the deadline in the fiber's context applies too.
   */
  acquire(
    cell: RateCell,
    holder: RateHolder,
    now: number,
    fiber: AnyFiber,
    deadline = Infinity
  ): Effect.Effect<void, Rejection.CircuitOpen | Rejection.RateLimited> | undefined {
    // Set by what has made the cell.
    const rate = cell.rate!
    if (Machine.tryTake(rate, now)) {
      holder.hasToken = true
      return undefined
    }
    const { maxWait } = this.settings
    const left = Math.min(deadline, Deadline.instant(fiber)) - now
    const reason = left < maxWait ? "deadline" : "wait"
    const turn: Turn = { holder, fiber, reason, refusal: undefined, proceed: undefined }
    const waiter = Machine.join(rate, turn, Math.min(maxWait, left), now)
    if (waiter === undefined) return this.reject(cell, maxWait === 0 ? "limit" : reason, now, fiber)
    holder.turn = waiter
    if (rate.waiting === 1) this.arm(cell, rate, now, fiber)
    return wait(turn)
  }

  /** Ends what a call holds whose work has not started: returns its token, or leaves the queue. */
  release(cell: RateCell, holder: RateHolder, fiber: AnyFiber): void {
    const { hasToken, turn } = holder
    const { rate } = cell
    if (rate === undefined) return
    holder.turn = undefined
    if (hasToken === true) {
      holder.hasToken = false
      const now = Time.monotonicMillis(fiber)
      Machine.giveBack(rate, now)
      this.proceed(cell, rate, now, fiber)
    } else if (turn !== undefined && Machine.leave(rate, turn) && rate.waiting === 0) this.disarm(cell)
  }

  private arm(cell: RateCell, rate: Machine.Bucket<Turn>, now: number, fiber: AnyFiber): void {
    this.disarm(cell)
    const delay = Machine.nextIn(rate, now)
    if (delay === Infinity) return
    this.timers.set(
      cell,
      Timer.start(fiber, delay, () => this.proceed(cell, rate, Time.monotonicMillis(fiber), fiber))
    )
  }

  private disarm(cell: RateCell): void {
    this.timers.get(cell)?.()
    this.timers.delete(cell)
  }

  /** Continues the callers whose tokens are there. */
  private proceed(cell: RateCell, rate: Machine.Bucket<Turn>, now: number, fiber: AnyFiber): void {
    for (let next = Machine.grantNext(rate, now); next !== undefined; next = Machine.grantNext(rate, now)) {
      const { holder, proceed } = next.value
      holder.turn = undefined
      holder.hasToken = true
      proceed?.(Effect.void)
    }
    this.arm(cell, rate, now, rate.first?.value.fiber ?? fiber)
    this.onFree?.(cell)
  }

  private refuse({ value }: Machine.Waiter<Turn>, refusal: Refusal): void {
    value.holder.turn = undefined
    value.refusal = refusal
    value.proceed?.(refusal)
  }

  /** Rejects all callers that wait: each leaves the queue, and fails with a rejection of its own. */
  rejectWaiting(cell: RateCell, rejection: () => Refusal | undefined): void {
    const { rate } = cell
    if (rate === undefined) return
    for (let waiter = rate.first; waiter !== undefined; waiter = rate.first) {
      const refusal = rejection()
      if (refusal === undefined) return
      Machine.leave(rate, waiter)
      this.refuse(waiter, refusal)
    }
    this.disarm(cell)
  }

  private reject(
    cell: RateCell,
    reason: Rejection.RateLimited["reason"],
    now: number,
    fiber: AnyFiber
  ): Effect.Effect<never, Rejection.RateLimited> {
    const { limit, window } = this.settings
    const rejection = Rejection.rateLimited({
      policy: this.reporter.policy,
      key: cell.key,
      reason,
      limit,
      window: Duration.millis(window),
      retryAfter: Duration.millis(Math.max(0, this.admitsIn(cell, now)))
    })
    cell.history.RateLimited += 1
    this.reporter.rejected(cell.key, rejection, fiber)
    return Effect.fail(rejection)
  }

  /** Milliseconds until a call would have a token; zero or less if it would have it now. */
  admitsIn({ rate }: RateCell, now: number): number {
    return rate === undefined ? 0 : Machine.turnIn(rate, now)
  }

  /**
   * Sets other limits. Tokens are kept, at most the new `burst`. Callers that wait keep their time; those whose token would come after it
   * are rejected.
   */
  retune<Cell extends RateCell>(cells: RateCells<Cell>, settings: RateSettings, now: number): void {
    this.settings = settings
    for (const cell of cells.all()) {
      const { rate } = cell
      if (rate === undefined) continue
      const { first } = rate
      Machine.retune(rate, settings, now)
      for (const waiter of Machine.leaveHopeless(rate)) {
        const { fiber, reason } = waiter.value
        this.refuse(waiter, this.reject(cell, reason, now, fiber))
      }
      if (first === undefined) this.onFree?.(cell)
      else this.proceed(cell, rate, now, first.value.fiber)
    }
  }

  /** A key that must not be dropped: it would begin anew with all its tokens. */
  pinned({ rate }: RateCell, now: number): boolean {
    return rate !== undefined && (rate.waiting > 0 || Machine.tokens(rate, now) < rate.limits.burst)
  }

  snapshot(cells: Iterable<RateCell>, now: number): RatesSnapshot {
    const kept = Array.from(cells).filter((cell) => this.pinned(cell, now))
    return {
      keys: kept.flatMap(({ key, rate }) => (rate === undefined ? [] : [{ key, tokens: Machine.tokens(rate, now) }]))
    }
  }

  /** Sets the tokens of a snapshot, with those that have come since. */
  restore<Cell extends RateCell>(
    cells: RateCells<Cell>,
    { keys }: RatesSnapshot,
    { away }: Snapshots.Ages,
    now: number
  ): void {
    for (const { key, tokens } of keys) {
      const { burst, limit, window } = this.settings
      // It would be full by now, as a key is that begins.
      if (tokens + (away * limit) / window >= burst) continue
      const cell = cells.getDedicated(key, now)
      if (cell?.rate === undefined) continue
      Machine.restore(cell.rate, tokens, away, now)
      const { first } = cell.rate
      if (first !== undefined) this.proceed(cell, cell.rate, now, first.value.fiber)
    }
  }
}

/** The tokens of a key, for stats. */
export const viewOf = (rate: Machine.Bucket<unknown>, now: number): Stats.RateLimit => {
  const { burst, limit, window } = rate.limits
  return { limit, window: Duration.millis(window), burst, tokens: Machine.tokens(rate, now), waiting: rate.waiting }
}

const wait = (turn: Turn): Effect.Effect<void, Rejection.CircuitOpen | Rejection.RateLimited> =>
  Effect.callback((resume) => {
    if (turn.holder.hasToken === true) return resume(Effect.void)
    if (turn.refusal !== undefined) return resume(turn.refusal)
    turn.proceed = (then) => {
      turn.proceed = undefined
      // Through the scheduler: each of a chain of short calls would otherwise run inside the one before it.
      turn.fiber.currentDispatcher.scheduleTask(() => resume(then), 0)
    }
    return Effect.sync(() => {
      turn.proceed = undefined
    })
  })

// ---------------------------------------------------------------------------------------------------------------------
// A rate limit alone
// ---------------------------------------------------------------------------------------------------------------------

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
  declare hasToken: boolean
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
    this.hasToken = false
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
    this.hasToken = false
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

  snapshot(now: number): RatesSnapshot {
    return this.rates.snapshot(this.cells.values(), now)
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
