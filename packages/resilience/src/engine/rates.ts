/** The tokens of a rate limit at run time, with the callers that wait for one. For rate limits and policies. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { calm, patience, type Rate, type RateGate, rateOf } from "../machine/Member.ts"
import * as Machine from "../machine/RateLimit.ts"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import type * as Counters from "./counters.ts"
import * as Deadline from "./deadline.ts"
import type { Reporter } from "./reporter.ts"
import * as Slices from "./slices.ts"
import * as Snapshots from "./snapshots.ts"

export interface RateSettings extends Machine.Limits {
  /** Milliseconds. */
  readonly maxWait: number
}

/** The tokens of the keys that have not all of theirs. */
export interface RatesSnapshot {
  readonly keys: ReadonlyArray<{ readonly key: string; readonly tokens: number }>
}

/** How a caller that waits goes on: with its token, or with a rejection. */
type Refusal = Effect.Effect<never, Rejection.CircuitOpen | Rejection.RateLimited>

/** The wait of one caller. */
export interface Turn {
  readonly holder: RateHolder
  readonly fiber: AnyFiber
  /** What limits the wait. */
  readonly reason: "limit" | "wait" | "deadline"
  /** Set when the wait has ended with a rejection. */
  refusal: Refusal | undefined
  /** Continues the caller; set while its fiber waits. */
  proceed: ((then: Effect.Effect<void> | Refusal) => void) | undefined
}

/** A call or an attempt as its rate limit sees it. Neither field is there before the first use. */
export interface RateHolder {
  /** It holds a token, and its work has not started: what returning the token asks for. */
  token?: number | undefined
  turn?: Machine.Waiter<Turn> | undefined
}

/** The tokens of one key. */
export interface RateCell {
  readonly key: string
  readonly history: Counters.Past
  /** Set in a policy with a rate limit, and absent otherwise. */
  readonly rate?: Machine.Bucket<Turn> | undefined
  /** What the fleet leaves to it; set for a policy that shares its rate limit, and absent otherwise. */
  share?: Share | undefined
}

/** What the fleet leaves to one key. */
export interface Share {
  readonly rate: Rate
  /** Until then the calls that wait for an answer of the board wait; `Infinity` if none does. */
  askedUntil: number
}

/** The fleet of which the tokens are. */
export interface RateLender {
  readonly rate: (key: string, gate: RateGate, now: number) => Rate
  /** Sets what the lease of the rate allows now. */
  readonly settle: (rate: Rate, now: number) => void
  /** No token is left; returns whether the answer of the board may bring one. */
  readonly refuse: (rate: Rate, now: number) => boolean
  /** May the answer of the board bring one? */
  readonly mayGrow: (rate: Rate, now: number) => boolean
  readonly close: (rate: Rate) => void
  /** Calls per window. */
  readonly callsOf: (rate: number) => number
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
  /** Set when the policy shares its rate limit with a fleet. */
  private lender: RateLender | undefined

  constructor(settings: RateSettings, reporter: Reporter) {
    this.settings = settings
    this.reporter = reporter
    this.onFree = undefined
    this.lender = undefined
  }

  /** Shares the tokens of the keys to come. */
  join(lender: RateLender): void {
    this.lender = lender
  }

  /** A key was created, and will be called. */
  attach(cell: RateCell, now: number): void {
    const { lender } = this
    const { rate } = cell
    if (lender === undefined || rate === undefined) return
    const limit = (): number => rateOf(this.settings.limit, this.settings.window)
    const gate: RateGate = {
      get waiting() {
        return rate.waiting
      },
      get limit() {
        return limit()
      }
    }
    const share = lender.rate(cell.key, gate, now)
    rate.share = share.bucket
    cell.share = { rate: share, askedUntil: Infinity }
  }

  /** A key was dropped. */
  detach({ share }: RateCell): void {
    if (share !== undefined) this.lender?.close(share.rate)
  }

  /** The lease of what the fleet leaves to a key may be over. */
  private settle({ share }: RateCell, now: number): void {
    if (share !== undefined && now > share.rate.freshUntil) this.lender?.settle(share.rate, now)
  }

  /** The board has answered, or not: what the fleet leaves to a key may have changed. */
  rated(cell: RateCell): void {
    const { rate, share } = cell
    if (rate === undefined || share === undefined) return
    const fiber = rate.first?.value.fiber
    if (fiber === undefined) {
      this.onFree?.(cell)
      return
    }
    // A call that has asked since the report waits for the next answer.
    const now = Time.monotonicMillis(fiber)
    if (share.rate.refused > 0 && now < share.askedUntil) this.proceed(cell, rate, now)
    else this.changed(cell, rate, now)
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
    const { share } = cell
    share?.rate.count(now)
    this.settle(cell, now)
    if (Machine.tryTake(rate, now)) {
      holder.token = Machine.hold(rate, now)
      return undefined
    }
    const { maxWait } = this.settings
    const left = Math.min(deadline, Deadline.instant(fiber)) - now
    const asks = share !== undefined && left > 0 && this.asks(rate, share, now)
    const longest = asks ? Math.max(maxWait, patience) : maxWait
    const inTime = maxWait === 0 ? "limit" : "wait"
    const reason = longest > 0 && left < longest ? "deadline" : inTime
    const turn: Turn = { holder, fiber, reason, refusal: undefined, proceed: undefined }
    const most = Math.min(longest, left)
    const isFirst = asks && share.askedUntil === Infinity
    if (isFirst) share.askedUntil = now + patience
    const waiter = asks ? Machine.enqueue(rate, turn, most, now) : Machine.join(rate, turn, most, now)
    if (waiter === undefined) return this.reject(cell, this.reasonOf(cell, reason, most, now), now, fiber)
    holder.turn = waiter
    if (rate.waiting === 1 || isFirst) this.arm(cell, rate, now)
    return wait(turn)
  }

  /** Of a call that its own limit would admit, or let wait: may the answer of the board bring a token for it? */
  private asks(rate: Machine.Bucket<Turn>, share: Share, now: number): boolean {
    if (Machine.ownTurnIn(rate, now) > this.settings.maxWait || Machine.turnIn(rate, now) <= 0) return false
    return this.lender?.refuse(share.rate, now) === true
  }

  /** Why a call has no token within `most` milliseconds: its own limit would have had one if it is because of the fleet. */
  private reasonOf(
    { rate, share }: RateCell,
    reason: Rejection.RateLimited["reason"],
    most: number,
    now: number
  ): Rejection.RateLimited["reason"] {
    if (rate === undefined || share === undefined || reason === "deadline") return reason
    return Machine.ownTurnIn(rate, now) <= most ? "fleet" : reason
  }

  /** The work of a call starts: its token is used. */
  started(cell: RateCell, holder: RateHolder): void {
    if (holder.token === undefined) return
    holder.token = undefined
    Machine.use(cell.rate!)
  }

  /** Ends what a call holds whose work has not started: returns its token, or leaves the queue. */
  release(cell: RateCell, holder: RateHolder, fiber: AnyFiber): void {
    const { token, turn } = holder
    const { rate } = cell
    if (rate === undefined) return
    holder.turn = undefined
    if (token !== undefined) {
      holder.token = undefined
      const now = Time.monotonicMillis(fiber)
      this.settle(cell, now)
      Machine.giveBack(rate, token, now)
      this.proceed(cell, rate, now)
    } else if (turn !== undefined && Machine.leave(rate, turn)) {
      if (rate.waiting === 0) this.rest(cell)
      // The turn of the next call has come nearer.
      this.onFree?.(cell)
    }
  }

  private arm(cell: RateCell, rate: Machine.Bucket<Turn>, now: number): void {
    const { first } = rate
    if (first === undefined) {
      this.rest(cell)
      return
    }
    this.disarm(cell)
    const { fiber } = first.value
    const asked = (cell.share?.askedUntil ?? Infinity) - now
    const next = () => {
      const now = Time.monotonicMillis(fiber)
      // No answer has come in time.
      if (now >= (cell.share?.askedUntil ?? Infinity)) this.changed(cell, rate, now)
      else this.proceed(cell, rate, now)
    }
    this.timers.set(cell, Timer.start(fiber, Math.min(asked, Machine.nextIn(rate, now)), next))
  }

  /** No call waits any more. */
  private rest(cell: RateCell): void {
    this.disarm(cell)
    if (cell.share !== undefined) cell.share.askedUntil = Infinity
  }

  private disarm(cell: RateCell): void {
    this.timers.get(cell)?.()
    this.timers.delete(cell)
  }

  /** Continues the callers whose tokens are there. */
  private proceed(cell: RateCell, rate: Machine.Bucket<Turn>, now: number): void {
    this.settle(cell, now)
    for (let next = Machine.grantNext(rate, now); next !== undefined; next = Machine.grantNext(rate, now)) {
      const { holder, proceed } = next.value
      holder.turn = undefined
      holder.token = Machine.hold(rate, now)
      proceed?.(Effect.void)
    }
    this.arm(cell, rate, now)
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
      retryAfter: Duration.millis(Math.max(0, this.turnIn(cell, now)))
    })
    cell.history.RateLimited += 1
    this.reporter.rejected(cell.key, rejection, fiber)
    return Effect.fail(rejection)
  }

  /** Milliseconds until a call would have a token; zero or less if it would have it now. */
  admitsIn(cell: RateCell, now: number): number {
    const { rate, share } = cell
    if (rate === undefined) return 0
    const turn = this.turnIn(cell, now)
    if (turn <= 0 || share === undefined || Machine.ownTurnIn(rate, now) > 0) return turn
    // A call would ask the fleet for one.
    return this.lender?.mayGrow(share.rate, now) === true ? 0 : turn
  }

  /** Milliseconds until a call would have a token, as far as is known: the fleet may leave more by the next report. */
  private turnIn(cell: RateCell, now: number): number {
    const { rate, share } = cell
    if (rate === undefined) return 0
    if (share === undefined) return Machine.turnIn(rate, now)
    this.settle(cell, now)
    return Math.max(Machine.ownTurnIn(rate, now), Math.min(calm, Machine.turnIn(rate, now)))
  }

  /** The tokens of a key, for stats. */
  view(cell: RateCell, now: number): Stats.RateLimit | undefined {
    const { rate, share } = cell
    if (rate === undefined) return undefined
    if (share === undefined) return viewOf(rate, now)
    this.settle(cell, now)
    return { ...viewOf(rate, now), share: this.lender?.callsOf(share.rate.room) }
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
      Machine.retune(rate, settings, now)
      this.changed(cell, rate, now)
    }
  }

  /** There are other tokens: rejects the callers whose tokens would come too late, and continues those whose tokens are there. */
  private changed(cell: RateCell, rate: Machine.Bucket<Turn>, now: number): void {
    if (cell.share !== undefined) {
      cell.share.askedUntil = Infinity
      this.settle(cell, now)
    }
    for (const waiter of Machine.leaveHopeless(rate, now)) {
      const { fiber, reason } = waiter.value
      this.refuse(waiter, this.reject(cell, this.reasonOf(cell, reason, waiter.until - now, now), now, fiber))
    }
    this.proceed(cell, rate, now)
  }

  /** A key that must not be dropped: it would begin anew with all its tokens. */
  pinned({ rate }: RateCell, now: number): boolean {
    return rate !== undefined && (rate.waiting > 0 || Machine.tokens(rate, now) < rate.limits.burst)
  }

  *snapshot(cells: Snapshots.Cells<RateCell>, moment: Slices.Moment): Slices.Sliced<RatesSnapshot> {
    const keys = yield* Slices.collect(cells.values(), cells.size, (cell) => {
      const { key, rate } = cell
      if (rate === undefined || !this.pinned(cell, moment.now)) return undefined
      return { key, tokens: Snapshots.bounded(Machine.tokens(rate, moment.now)) }
    })
    return { keys }
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
      this.changed(cell, cell.rate, now)
    }
  }
}

/** The tokens of a key, for stats. */
export const viewOf = (rate: Machine.Bucket<unknown>, now: number): Stats.RateLimit => {
  const { burst, limit, window } = rate.limits
  const tokens = Machine.available(rate, now)
  return { limit, window: Duration.millis(window), burst, tokens, waiting: rate.waiting, share: undefined }
}

const wait = (turn: Turn): Effect.Effect<void, Rejection.CircuitOpen | Rejection.RateLimited> =>
  Effect.callback((resume) => {
    if (turn.holder.token !== undefined) return resume(Effect.void)
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
