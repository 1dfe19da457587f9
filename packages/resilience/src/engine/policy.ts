/** A whole policy at run time: a call through deadline, retry and budget, circuit, permits and timeout, as one frame. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { howOf } from "../ConcurrencyLimit.ts"
import type * as Event from "../Event.ts"
import * as Circuit from "../machine/Circuit.ts"
import type { Pool, Rate } from "../machine/Member.ts"
import * as Decision from "../machine/Retry.ts"
import type { Outcome } from "../Outcome.ts"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import { Frame, type Service } from "../runtime/frame.ts"
import { retainHiddenClass } from "../runtime/hiddenClass.ts"
import * as Check from "../runtime/options.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import type * as Shared from "../Shared.ts"
import type * as Stats from "../Stats.ts"
import * as Transient from "../Transient.ts"
import type * as TripPolicy from "../TripPolicy.ts"
import { defaultKey } from "../Types.ts"
import * as Adaptive from "./adaptive.ts"
import { Watch } from "./admitted.ts"
import { retryAfterOf } from "./asked.ts"
import { Budget, type BudgetSettings, type BudgetSnapshot } from "./budget.ts"
import type { Desk, Override, Plug } from "./changes.ts"
import * as Circuits from "./circuits.ts"
import * as Counters from "./counters.ts"
import * as Deadline from "./deadline.ts"
import { Fleet } from "./fleet.ts"
import { type CircuitFollower, FollowedChanges } from "./followedChanges.ts"
import { Keyed, type KeySettings } from "./keyed.ts"
import * as Left from "./left.ts"
import { type ModeSettings, Modes } from "./modes.ts"
import * as Permits from "./permits.ts"
import * as Protect from "./protect.ts"
import { type RateCell, type RateHolder, type RateSettings, Rates, type RatesSnapshot, viewOf } from "./rates.ts"
import type { Reporter } from "./reporter.ts"
import { type RetryHost, RetryLoop, type RetrySettings } from "./retry.ts"
import type { Moment, Sliced } from "./slices.ts"
import type { Ages } from "./snapshots.ts"
import type { Select, Summable } from "./sums.ts"
import { runWithin } from "./timeLimit.ts"

/** The parts of a policy; a part that was not configured is `undefined`. */
export interface PolicySettings extends ModeSettings {
  readonly classify: Protect.Classify
  readonly breaker: Circuits.CircuitSettings | undefined
  readonly bulkhead: Permits.BulkheadSettings | undefined
  readonly rateLimit: RateSettings | undefined
  /** In place of a breaker, a bulkhead and a budget. */
  readonly adaptive: Adaptive.AdaptiveSettings | undefined
  readonly retry: RetrySettings | undefined
  /** Whether a successful value asks for another try. */
  readonly retryWhen: ((value: unknown) => boolean) | undefined
  /** The policy's own budget; a shared one is given to the engine. */
  readonly budget: BudgetSettings | undefined
  /** Milliseconds; `Infinity` without one. */
  readonly timeout: number
  readonly deadline: number
  /** Absent without a hedge. */
  readonly hedge?: HedgeSettings
  readonly keys: KeySettings
  /** Milliseconds over which recent attempts are reported. */
  readonly window: number
  /** What the fleet shares; absent when nothing is shared. */
  readonly shared?: Shared.Settings
}

export interface HedgeSettings {
  /** Milliseconds, or the name of a quantile such as `"p95"`. */
  readonly after: number | string
  /** Whether calls that do not say so may be hedged. */
  readonly idempotent: boolean
}

/** What makes a second attempt beside the first one of a call. */
export interface Hedging {
  /** What runs in place of the first attempt; `undefined` for a call that is not hedged. */
  begin(call: PolicyCall, entry: Entry, fiber: AnyFiber): AnyEffect | undefined
}

/** What a snapshot has of the parts of a policy. */
export interface PolicyPartsSnapshot {
  readonly breaker?: Circuits.CircuitsSnapshot
  readonly budget?: BudgetSnapshot
  readonly bulkhead?: Permits.PermitsSnapshot
  readonly rateLimit?: RatesSnapshot
  readonly adaptive?: Adaptive.AdaptiveSnapshot
}

interface Origin {
  readonly policy: string
  readonly key: string
}

/** Creates the error of a timeout, which belongs to the module `Timeout`. */
export type TimedOut = (fields: Origin & { readonly after: Duration.Duration }) => unknown

/** What decides about the calls of a policy in place of the policy alone, or beside it. */
export interface Steering {
  /** What runs in place of a call that is not simply enforced; `undefined` if it is. */
  begin(call: PolicyCall, fiber: AnyFiber): AnyEffect | undefined
}

/** What a policy would have done, and what its candidates would have. */
export interface Beside extends CircuitFollower {
  retuned(settings: PolicySettings, now: number): void
  would(key: string, now: number, fiber: AnyFiber): Stats.Would | undefined
  /** Adds what the policy would have done. */
  sum(select: Select, now: number): void
  /** Permits were changed, as given by all such commands in force. */
  resized(inForce: ReadonlyArray<Override>, now: number, fiber: AnyFiber): void
}

/** The rule of a policy without a breaker: its circuit is not asked. */
const neverTrips: TripPolicy.TripPolicy = {
  name: "none",
  initial: () => undefined,
  record: () => {},
  trips: () => false,
  figures: () => ({})
}

/** The state of one key: its circuit with all else, as one object. */
export class Entry
  extends Circuits.CircuitCell
  implements Permits.PermitCell, Adaptive.AdaptiveCell, Decision.Answered, RateCell
{
  declare lastUsed: number
  declare readonly queue: Permits.PermitCell["queue"]
  declare calls: number
  declare successes: number
  /** Attempts running. */
  declare running: number
  /** Nothing until the first attempt. */
  declare recent: Counters.Recent | undefined
  declare answeredFrom: number
  /** What the fleet leaves to it; set for a policy that shares its permits, and absent otherwise. */
  declare pool: Pool | undefined
  /** Its tokens; set in a policy with a rate limit, and absent otherwise. */
  declare rate: RateCell["rate"]
  /** What the fleet leaves to it of its tokens; set for a policy that shares its rate limit, and absent otherwise. */
  declare share: RateCell["share"]
  declare adaptive: Adaptive.AdaptiveState | undefined

  constructor(key: string, trip: TripPolicy.TripPolicy, queue: Permits.PermitCell["queue"], now: number) {
    super(key, trip, now)
    this.lastUsed = Math.floor(now)
    this.queue = queue
    this.calls = 0
    this.successes = 0
    this.running = 0
    this.recent = undefined
    this.answeredFrom = Decision.neverAnswered
    this.adaptive = undefined
  }
}

/** The circuit of an adaptive policy, which opens for an operator only. */
const operated: Circuits.CircuitSettings = {
  trip: neverTrips,
  openFor: { initial: 1000, factor: 1, max: 1000, jitter: 0 },
  maxRetryAfter: 60_000,
  probes: { permitted: 1, successes: 1, lease: 60_000 }
}

/** What the rules of an adaptive policy are told. Without a deadline a call has as long as two attempts. */
const limitsOf = ({ deadline, timeout }: PolicySettings): { readonly timeout: number; readonly deadline: number } => ({
  timeout,
  deadline: deadline === Infinity ? 2 * timeout : deadline
})

/** One attempt: what it was admitted with, what it holds, and when it started. */
class Attempt implements Circuits.Admission, Permits.PermitHolder, Adaptive.AdaptiveHolder, RateHolder {
  declare generation: number
  declare probe: number
  declare held: boolean
  declare waiter: Permits.PermitHolder["waiter"]
  declare wake: Permits.PermitHolder["wake"]
  declare ticket: Adaptive.Ticket | undefined
  /** The work has started and not ended. */
  declare running: boolean
  /** The work has started, and may have ended. */
  declare started: boolean
  /** The deadline ended the work. */
  declare deadlineHit: boolean
  /** When it started, or asked for a permit. */
  declare startedAt: number
  /** What the work can read of the retry; `undefined` on the first attempt. */
  declare metadata: Schedule.Metadata | undefined
  /** Set by a rate limit, and absent without one. */
  declare token: number | undefined
  declare turn: RateHolder["turn"]

  constructor() {
    this.generation = 0
    this.probe = 0
    this.held = false
    this.waiter = undefined
    this.wake = undefined
    this.ticket = undefined
    this.running = false
    this.started = false
    this.deadlineHit = false
    this.startedAt = NaN
    this.metadata = undefined
  }
}

/** In place of the number of attempts before the first one, of a call that asks the board first. */
const firstAsks = -2

/** One call: the frame of its attempts, which follow each other and use one `Attempt`. */
export class PolicyCall extends Frame<PolicyEngine, Protect.CallOptions> implements RetryHost {
  declare protected readonly attempt: Attempt
  /** Set from the start of a run to its end. */
  declare protected entry: Entry | undefined
  declare startedAt: number
  /** What {@link Left.recorded} returned at the start. */
  declare private since: number
  /** The monotonic time of the policy's own deadline, or of the one around it if that is earlier. */
  declare deadline: number
  declare protected attempts: number
  declare protected loop: RetryLoop | undefined

  constructor(
    engine: PolicyEngine | undefined,
    service: Service | undefined,
    self: AnyEffect,
    options: Protect.CallOptions
  ) {
    super(engine, service, self, options)
    this.attempt = new Attempt()
    this.entry = undefined
    this.startedAt = NaN
    this.since = 0
    this.deadline = Infinity
    this.attempts = 0
    this.loop = undefined
  }

  protected copy(): PolicyCall {
    return new PolicyCall(this.engine, this.service, this.self, this.options)
  }

  /** The protected effect. */
  get work(): AnyEffect {
    return this.self
  }

  get given(): Protect.CallOptions {
    return this.options
  }

  /** May a second attempt run beside the first one? */
  get canHedge(): boolean {
    return true
  }

  /** The first attempt of a race has started, or the exit of another one that has is the result: a retry pays by that one. */
  raced({ attempt: { started, startedAt, ticket } }: PolicyCall): void {
    if (!started) return
    const { attempt } = this
    attempt.started = true
    attempt.startedAt = startedAt
    attempt.ticket = ticket
  }

  /** When the last attempt started. */
  get attemptAt(): number {
    return this.attempt.startedAt
  }

  protected prepare(engine: PolicyEngine, fiber: AnyFiber): AnyEffect | undefined {
    if (engine.steering !== undefined) {
      const instead = engine.steering.begin(this, fiber)
      if (instead !== undefined) return instead
    }
    const { deadline } = engine.settings
    const now = Time.monotonicMillis(fiber)
    const entry = engine.entries.get(this.options.key, fiber)
    entry.calls += 1
    const asks = engine.circuits?.asks(entry, now) === true
    const rejection = asks ? undefined : engine.circuits?.check(entry, now, fiber)
    if (rejection !== undefined) {
      entry.lastUsed = Math.floor(now)
      entry.history.CircuitOpen += 1
      return rejection
    }
    this.entry = entry
    this.startedAt = now
    this.since = Left.recorded()
    this.attempt.startedAt = now
    this.attempt.started = false
    this.attempt.metadata = undefined
    // Without a deadline of its own a policy leaves the one around it to its owner.
    this.deadline = deadline === Infinity ? Infinity : Math.min(now + deadline, Deadline.instant(fiber))
    this.attempts = asks ? firstAsks : 0
    this.loop = undefined
    return undefined
  }

  enter(fiber: AnyFiber): AnyEffect {
    // `prepare` has set both before the first attempt.
    const engine = this.engine!
    this.attempts += 1
    if (this.attempts === 1) {
      const { hedging } = engine
      const entry = this.entry!
      if (hedging === undefined) return this.acquire(entry, engine, fiber)
      return hedging.begin(this, entry, fiber) ?? this.acquire(entry, engine, fiber)
    }
    if (this.attempts === firstAsks + 1) return this.askFirst(this.entry!, engine, fiber)
    const now = Time.monotonicMillis(fiber)
    // Looked up for each attempt: during a delay the entry may have been dropped, and other calls use a new one.
    const entry = engine.entries.get(this.options.key, fiber)
    this.entry = entry
    this.attempt.startedAt = now
    this.attempt.started = false
    return engine.circuits?.check(entry, now, fiber) ?? this.acquire(entry, engine, fiber)
  }

  /** The fleet's opening is over: the answer of the board says whether this call is its probe. */
  private askFirst(entry: Entry, engine: PolicyEngine, fiber: AnyFiber): AnyEffect {
    this.attempts = 1
    // Asked by `prepare`, so there are circuits.
    return Effect.flatMap(engine.circuits!.answerFor(entry), () => {
      const now = Time.monotonicMillis(fiber)
      this.attempt.startedAt = now
      return engine.circuits?.check(entry, now, fiber) ?? this.acquire(entry, engine, fiber)
    })
  }

  /** The circuit has been checked, and nothing of it reserved: no probe waits in a queue. */
  protected acquire(entry: Entry, engine: PolicyEngine, fiber: AnyFiber): AnyEffect {
    const { rates } = engine
    if (rates === undefined) return this.acquirePermit(entry, engine, fiber)
    const { attempt } = this
    const wait = rates.acquire(entry, attempt, attempt.startedAt, fiber, this.deadline)
    if (wait === undefined) return this.acquirePermit(entry, engine, fiber)
    return Effect.flatMap(wait, () => {
      attempt.startedAt = Time.monotonicMillis(fiber)
      return this.acquirePermit(entry, engine, fiber)
    })
  }

  private acquirePermit(entry: Entry, engine: PolicyEngine, fiber: AnyFiber): AnyEffect {
    const { attempt } = this
    const { adaptive } = engine
    const { pool } = entry
    if (pool !== undefined && attempt.startedAt > pool.freshUntil) engine.permits?.settle(entry)
    const wait =
      adaptive === undefined
        ? engine.permits?.acquire(entry, attempt, fiber, this.deadline, this.options.tenant)
        : adaptive.acquire(entry, attempt, this.attempts === 1, this.dueOf(adaptive, fiber), fiber)
    if (pool !== undefined && entry.queue.running > pool.peak) pool.peak = entry.queue.running
    if (wait === undefined) return this.start(entry, engine, fiber)
    return Effect.flatMap(wait, () => {
      attempt.startedAt = Time.monotonicMillis(fiber)
      return this.start(entry, engine, fiber)
    })
  }

  private dueOf(adaptive: Adaptive.Adaptive, fiber: AnyFiber): number {
    const { deadline } = this
    return adaptive.due(this.startedAt, deadline === Infinity ? Deadline.instant(fiber) : deadline)
  }

  /** With the permit held: is admitted by the circuit, and starts the work. */
  protected start(entry: Entry, engine: PolicyEngine, fiber: AnyFiber): AnyEffect {
    const { attempt } = this
    const { hedge, retry, timeout } = engine.settings
    // Read from the field: as an argument the number may need a box.
    const now = attempt.startedAt
    const remaining = this.deadline - now
    if (remaining <= 0) return Effect.fail(this.deadlineExceeded(entry, engine, false, fiber))
    const rejection = engine.circuits?.admit(entry, attempt, now, fiber)
    if (rejection !== undefined) return rejection
    // Only a call that reaches the dependency earns retries.
    if (this.attempts === 1 && (retry !== undefined || hedge !== undefined))
      engine.budget?.deposit(entry.key, now, fiber)
    attempt.running = true
    attempt.started = true
    engine.rates?.started(entry, attempt)
    entry.running += 1
    const work =
      attempt.metadata === undefined
        ? this.self
        : Effect.provideService(this.self, Schedule.CurrentMetadata, attempt.metadata)
    const limit = Math.min(timeout, remaining)
    if (limit === Infinity) return work
    const { policy } = engine.reporter
    return runWithin<unknown, unknown>(work, limit, Deadline.nested(fiber, now + limit), fiber, policy, () =>
      timeout <= remaining ? this.timedOut(timeout, entry, engine, fiber) : this.onDeadline(entry, engine, fiber)
    )
  }

  /** After the `timeout` that held when the attempt started. */
  private timedOut(
    timeout: number,
    { history, key }: Entry,
    engine: PolicyEngine,
    fiber: AnyFiber
  ): Exit.Exit<never, unknown> {
    const { reporter } = engine
    const after = Duration.millis(timeout)
    history.timeouts += 1
    reporter.timedOut(key, after, fiber)
    return Exit.fail(engine.timedOut({ policy: reporter.policy, key, after }))
  }

  private onDeadline(entry: Entry, engine: PolicyEngine, fiber: AnyFiber): Exit.Exit<never, unknown> {
    this.attempt.deadlineHit = true
    return Exit.fail(this.deadlineExceeded(entry, engine, true, fiber))
  }

  /** With the time that this call had in all: a deadline around it may have left less than the policy's own. */
  protected deadlineExceeded(
    { key }: Entry,
    { reporter }: PolicyEngine,
    started: boolean,
    fiber: AnyFiber
  ): Rejection.DeadlineExceeded {
    const deadline = Duration.millis(Math.max(0, this.deadline - this.startedAt))
    const rejection = Rejection.deadlineExceeded({ policy: reporter.policy, key, deadline, started })
    reporter.rejected(key, rejection, fiber)
    return rejection
  }

  succeeded(value: unknown, fiber: AnyFiber): AnyEffect | undefined {
    const { engine, entry } = this
    if (entry === undefined || engine === undefined) return undefined
    const { settings } = engine
    this.entry = undefined
    // The attempts of a race have settled themselves.
    if (this.attempt.running) {
      engine.permits?.release(entry, this.attempt)
      const classify = this.options.classify ?? settings.classify
      this.settle(entry, engine, Protect.classifySuccess(classify, value), undefined, fiber)
    }
    if (settings.retryWhen !== undefined && this.isUnwanted(settings, value)) {
      // The retry reads it.
      this.entry = entry
      return this.retryLoop(engine, fiber)?.onUnwantedValue(value, fiber)
    }
    this.loop = undefined
    this.attempt.metadata = undefined
    return undefined
  }

  /** Does this value ask for another try that the call may make? */
  protected isUnwanted({ retry, retryWhen }: PolicySettings, value: unknown): boolean {
    const ofCall = this.options.retry
    if (ofCall === false) return false
    const unprocessedOnly = ofCall === "unprocessed" || retry?.unprocessedOnly === true
    return (!unprocessedOnly || Transient.isUnprocessed(value)) && retryWhen?.(value) === true
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const { attempt, engine, entry } = this
    if (entry === undefined || engine === undefined) return undefined
    // First what is held: the user's functions below may throw.
    engine.permits?.release(entry, attempt)
    engine.rates?.release(entry, attempt, fiber)
    if (attempt.running) {
      if (attempt.deadlineHit) entry.history.DeadlineExceeded += 1
      this.settle(entry, engine, this.classify(engine, cause, fiber), cause, fiber)
    } else {
      if (engine.adaptive !== undefined) {
        const now = Time.monotonicMillis(fiber)
        engine.adaptive.end(entry, attempt, "unknown", now, now, fiber)
      }
      // The attempts of a race have counted theirs.
      const rejection = attempt.started ? undefined : rejectionIn(cause)
      // The permits and the rate limit have counted theirs.
      if (rejection !== undefined && rejection._tag !== "BulkheadFull" && rejection._tag !== "RateLimited")
        entry.history[rejection._tag] += 1
    }
    const next = this.retry(engine, cause, fiber)
    if (next === undefined) this.entry = undefined
    return next
  }

  /**
   * Classifies a failure. Work that a deadline ended, this policy's or one around it, counts as a failure of the dependency
   * only if it had a fair share of the time that this policy gives to an attempt: otherwise a dependency that never responds
   * would never open the circuit when calls have a deadline.
   */
  protected classify(engine: PolicyEngine, cause: Cause.Cause<unknown>, fiber: AnyFiber): Protect.Classified {
    const { deadlineHit, startedAt } = this.attempt
    return classifyFailure(engine.settings, this.options, startedAt, deadlineHit, cause, fiber)
  }

  protected settle(
    entry: Entry,
    engine: PolicyEngine,
    { defect, outcome, threw }: Protect.Classified,
    cause: Cause.Cause<unknown> | undefined,
    fiber: AnyFiber
  ): void {
    const { attempt } = this
    const { adaptive, circuits, reporter } = engine
    const now = Time.monotonicMillis(fiber)
    if (adaptive !== undefined) {
      adaptive.end(entry, attempt, howOf(outcome, cause, attempt.deadlineHit), now, now, fiber)
    }
    attempt.running = false
    attempt.deadlineHit = false
    entry.lastUsed = Math.floor(now)
    entry.running -= 1
    engine.record(entry, outcome, cause, now - attempt.startedAt, now)
    if (cause === undefined && outcome === "success") Decision.answered(entry, attempt.startedAt)
    if (circuits !== undefined) {
      const retryAfter = cause !== undefined && outcome === "failure" ? retryAfterOf(cause) : undefined
      circuits.settle(entry, attempt, outcome, attempt.startedAt, now, fiber, retryAfter)
    }
    if (cause !== undefined && outcome === "ignored") reporter.ignored(entry.key, cause, fiber)
    if (threw) throw defect
  }

  private retry(engine: PolicyEngine, cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    return this.retryLoop(engine, fiber)?.onFailure(cause, fiber)
  }

  /** The retries of this call; `undefined` when it makes one attempt. */
  private retryLoop(engine: PolicyEngine, fiber: AnyFiber): RetryLoop | undefined {
    const settings = engine.settings.retry
    const ofCall = this.options.retry
    if (settings === undefined || ofCall === false) return undefined
    const retry = ofCall === "unprocessed" ? { ...settings, unprocessedOnly: true } : settings
    this.loop ??= new RetryLoop(retry, this, engine.reporter, this.startedAt, this.since, fiber)
    return this.loop
  }

  get retryKey(): string {
    return this.entry?.key ?? this.options.key
  }

  pays(timedOut: boolean, fiber: AnyFiber): boolean {
    const { attempt, engine, entry } = this
    if (engine?.adaptive !== undefined && entry !== undefined) return engine.adaptive.tryRetry(entry, attempt, fiber)
    const budget = engine?.budget
    return budget === undefined || budget.tryRetry(timedOut, this.overtaken, this.retryKey, fiber)
  }

  get needs(): number {
    const { engine, entry } = this
    return engine?.adaptive === undefined || entry === undefined ? 0 : engine.adaptive.needs(entry)
  }

  get mayHaveRun(): boolean {
    return this.attempt.started
  }

  private get overtaken(): boolean {
    return this.entry !== undefined && Decision.isOvertaken(this.entry, this.attempt.startedAt)
  }

  rejectedFor(fiber: AnyFiber): number {
    const circuits = this.engine?.circuits
    return circuits === undefined ? 0 : circuits.rejectsFor(this.entry!, Time.monotonicMillis(fiber))
  }

  onRetryScheduled(): void {
    if (this.entry !== undefined) this.entry.history.retries += 1
  }

  onGaveUp(reason: Event.GiveUpReason): void {
    if (this.entry !== undefined) this.entry.history.gaveUp(reason)
  }

  nextAttempt(metadata: Schedule.Metadata): AnyEffect {
    this.attempt.metadata = metadata
    return this.reenter()
  }
}

retainHiddenClass(new PolicyCall(undefined, undefined, Effect.void, Protect.defaultOptions))

/** As {@link PolicyCall.classify}, of an attempt that started at `startedAt`. */
export const classifyFailure = (
  { classify, deadline, timeout }: PolicySettings,
  options: Protect.CallOptions,
  startedAt: number,
  deadlineHit: boolean,
  cause: Cause.Cause<unknown>,
  fiber: AnyFiber
): Protect.Classified => {
  if (deadlineHit || (Cause.hasInterruptsOnly(cause) && Deadline.remaining(fiber) <= 0)) {
    const duration = Time.monotonicMillis(fiber) - startedAt
    return duration >= fairShare * Math.min(deadline, timeout) ? Protect.failure : Protect.ignored
  }
  return Protect.classifySafely(options.classify ?? classify, Exit.failCause(cause))
}

/** The share of the time for one attempt from which on ended work counts as a failure. */
const fairShare = 0.5

export const rejectionIn = (cause: Cause.Cause<unknown>): Rejection.Rejection | undefined => {
  const reason = cause.reasons.find(Cause.isFailReason)
  return reason !== undefined && Rejection.is(reason.error) ? reason.error : undefined
}

/** Milliseconds for which an attempt may hold a permit. */
const longestHold = ({ deadline, timeout }: PolicySettings): number => Math.min(deadline, timeout)

export class PolicyEngine implements Summable {
  settings: PolicySettings
  readonly reporter: Reporter
  readonly circuits: Circuits.Circuits | undefined
  readonly permits: Permits.Permits | undefined
  readonly rates: Rates | undefined
  readonly adaptive: Adaptive.Adaptive | undefined
  readonly budget: Budget | undefined
  readonly entries: Keyed<Entry>
  private readonly histogram = new Counters.Durations()
  private readonly evicted = new Counters.Evicted()
  readonly timedOut: TimedOut
  readonly where: string
  readonly modes: Modes
  /** Set while calls are not simply enforced: the only thing of modes, candidates and rollouts that every call reads. */
  steering: Steering | undefined
  /** Set once the policy has not simply enforced. */
  beside: Beside | undefined
  /** Set for a policy with a hedge. */
  hedging: Hedging | undefined
  private watch: Watch<Entry> | undefined
  /** The commands that changed the permits and are in force. */
  resizes: ReadonlyArray<Override> = []
  /** Held, so that its alarms work as long as a call may come. */
  desk: Desk | undefined
  /** Set when the policy joins its fleet. */
  private fleet: Fleet | undefined

  constructor(
    where: string,
    reporter: Reporter,
    settings: PolicySettings,
    sharedBudget: Budget | undefined,
    timedOut: TimedOut,
    instance = ""
  ) {
    const { budget, bulkhead } = settings
    // The circuit of an adaptive policy is for operators: it never trips.
    const breaker = settings.breaker ?? (settings.adaptive && operated)
    this.where = where
    this.settings = settings
    this.modes = new Modes(reporter.policy, settings, instance)
    this.steering = undefined
    this.beside = undefined
    this.hedging = undefined
    this.reporter = reporter
    this.circuits =
      breaker &&
      new Circuits.Circuits(Check.inside(where, "breaker"), breaker, reporter, (circuit, now, fiber) =>
        this.rejectWaiting(circuit, now, fiber)
      )
    this.permits = bulkhead && new Permits.Permits(bulkhead, reporter)
    this.rates = settings.rateLimit && new Rates(settings.rateLimit, reporter)
    this.adaptive = settings.adaptive && new Adaptive.Adaptive(settings.adaptive, limitsOf(settings), reporter)
    const { adaptive, circuits } = this
    if (adaptive !== undefined && circuits !== undefined) {
      circuits.onRestart = (key, forgets, now, fiber) => {
        for (const entry of [this.entries.peek(key), this.entries.shared]) {
          if (entry?.key === key) adaptive.reset(entry, forgets, now, fiber)
        }
      }
      circuits.onDisabled = (circuit) => {
        for (const entry of [this.entries.peek(circuit.key), this.entries.shared]) {
          if (entry === circuit) adaptive.passWaiting(entry)
        }
      }
    }
    this.budget = sharedBudget ?? (budget && new Budget(budget, reporter))
    this.entries = new Keyed<Entry>(
      settings.keys,
      (key, now) => {
        const entry = this.make(key, now)
        this.permits?.attach(entry)
        this.rates?.attach(entry, now)
        return this.circuits?.attach(entry, now) ?? entry
      },
      (entry, now) => this.pinned(entry, now),
      (entry, now) => {
        this.evicted.add(entry, this.timeIn(entry, now))
        this.circuits?.detach(entry)
        this.permits?.detach(entry)
        this.rates?.detach(entry)
      }
    )
    this.timedOut = timedOut
    this.watch = undefined
    this.desk = undefined
    this.fleet = undefined
  }

  /** Joins the fleet of the policy until the scope closes. */
  join(settings: Shared.Settings, board: Shared.Board["Service"], id: string): Effect.Effect<void, never, Scope.Scope> {
    return Effect.withFiber((fiber) => {
      const { budget, circuits, permits, rates, reporter } = this
      const { rateLimit } = this.settings
      const local = {
        circuits,
        desk: () => this.desk,
        freed: (pool: Pool) => this.freed(pool),
        rated: (rate: Rate) => this.rated(rate),
        reporter,
        rateLimit
      }
      const fleet = new Fleet(id, settings, board, local, fiber)
      this.fleet = fleet
      if (settings.bulkhead !== undefined) permits?.join(fleet.lender(settings.bulkhead))
      const { rateLender } = fleet
      if (rateLender !== undefined) rates?.join(rateLender)
      fleet.holdFor(longestHold(this.settings))
      const floor = this.settings.budget
      if (settings.budget && floor !== undefined) budget?.share(fleet.floor(floor.minPerSecond))
      return fleet.run
    })
  }

  /** The fleet leaves more permits to a key. */
  private freed(pool: Pool): void {
    const { entries, permits } = this
    for (const entry of [entries.peek(pool.name), entries.shared]) {
      if (entry?.pool === pool) permits?.freed(entry)
    }
  }

  /** The fleet may leave other tokens to a key. */
  private rated(rate: Rate): void {
    const { entries, rates } = this
    for (const entry of [entries.peek(rate.name), entries.shared]) {
      if (entry?.share?.rate === rate) rates?.rated(entry)
    }
  }

  fleetView(now: number): Stats.Fleet | undefined {
    return this.fleet?.view(now)
  }

  /**
   * Sets other settings for the calls and attempts to come: those that run keep their timeout and their deadline. It has the parts of
   * the settings before, and the same `keys` and `window`. What a trip policy of the user's throws is thrown before anything is
   * changed.
   */
  retune(settings: PolicySettings, now: number): void {
    const { adaptive, breaker, budget, bulkhead, rateLimit } = settings
    const retuneCircuits = breaker && this.circuits?.retune(this.entries.all(), breaker)
    this.settings = settings
    this.fleet?.holdFor(longestHold(settings))
    if (budget !== undefined) this.budget?.retune(budget, now)
    if (bulkhead !== undefined) this.permits?.retune(this.entries, bulkhead, now)
    if (rateLimit !== undefined) this.rates?.retune(this.entries, rateLimit, now)
    if (adaptive !== undefined) this.adaptive?.retune(adaptive, limitsOf(settings))
    retuneCircuits?.()
    this.modes.configure(settings)
    this.beside?.retuned(settings, now)
  }

  /** Returns when the circuit of a key would admit a call, and a permit is free for it. */
  admitted(key: string): Effect.Effect<void> {
    this.watch ??= new Watch<Entry>(this, (entry, now) => {
      if (this.modes.of(entry.key) !== "enforce") return 0
      const wait = Math.max(this.circuits?.admitsIn(entry, now) ?? 0, this.rates?.admitsIn(entry, now) ?? 0)
      if (wait > 0 || this.permits?.isFree(entry) === false) return wait > 0 ? wait : Infinity
      return this.adaptive?.admitsIn(entry, now) ?? 0
    })
    return this.watch.admitted((fiber) => this.entries.get(key, fiber))
  }

  /** The mode of some calls has changed. */
  modeChanged(): void {
    this.watch?.recheck()
  }

  private make(key: string, now: number): Entry {
    const { circuits, permits, rates, settings } = this
    const entry = new Entry(key, settings.breaker?.trip ?? neverTrips, permits?.makeQueue() ?? Permits.noQueue, now)
    if (rates !== undefined) entry.rate = rates.make(now)
    return circuits === undefined ? entry : circuits.begin(entry)
  }

  /** Counts the end of an attempt. */
  record(entry: Entry, outcome: Outcome, cause: Cause.Cause<unknown> | undefined, duration: number, now: number): void {
    if (outcome === "success") entry.successes += 1
    else Counters.recordFailure(entry.history, outcome, cause, now)
    if (outcome === "ignored") return
    entry.recent ??= new Counters.Recent(this.settings.window)
    entry.recent.record(outcome === "failure", duration, now)
    this.histogram.record(duration)
  }

  /** The calls that wait for a permit of a circuit that has become one that rejects every call. */
  private rejectWaiting(circuit: Circuits.CircuitCell, now: number, fiber: AnyFiber): void {
    const { adaptive, circuits, entries, permits, rates } = this
    if (circuits === undefined || (permits === undefined && adaptive === undefined && rates === undefined)) return
    for (const entry of [entries.peek(circuit.key), entries.shared]) {
      if (entry !== circuit) continue
      const rejection = () => circuits.check(circuit, now, fiber)
      permits?.rejectWaiting(entry, rejection)
      rates?.rejectWaiting(entry, rejection)
      adaptive?.rejectWaiting(entry, rejection)
    }
  }

  private pinned(entry: Entry, now: number): boolean {
    return (
      entry.running > 0 ||
      this.circuits?.pinned(entry, now) === true ||
      this.permits?.pinned(entry) === true ||
      this.rates?.pinned(entry, now) === true ||
      this.adaptive?.pinned(entry) === true ||
      this.watch?.isWatched(entry) === true
    )
  }

  /** Lets a desk command the circuits, and change the permits and the settings. */
  operate(desk: Desk, set: Plug): Desk {
    this.desk = desk
    const { circuits, entries, permits, reporter } = this
    return desk.operate({
      reporter,
      hasKey: (key) => entries.peek(key) !== undefined,
      circuits:
        circuits &&
        new FollowedChanges(
          circuits,
          (now) => Circuits.circuitCells(entries, now),
          () => this.beside
        ),
      colleague: () => this.fleet,
      plugs: { set, mode: this.modes.plug, ...(permits && { resize: this.resizing(permits) }) }
    })
  }

  *snapshot(moment: Moment): Sliced<PolicyPartsSnapshot> {
    const { adaptive, circuits, entries, permits, rates } = this
    // A shared budget is in its own snapshot.
    const budget = this.settings.budget === undefined ? undefined : this.budget
    return {
      ...(circuits === undefined ? {} : { breaker: yield* circuits.snapshot(entries, moment) }),
      ...(budget === undefined ? {} : { budget: yield* budget.snapshot(moment) }),
      ...(permits === undefined ? {} : { bulkhead: yield* permits.snapshot(entries) }),
      ...(rates === undefined ? {} : { rateLimit: yield* rates.snapshot(entries, moment) }),
      ...(adaptive === undefined ? {} : { adaptive: yield* adaptive.snapshot(entries, moment) })
    }
  }

  /** Restores the parts that this policy has, all or none. */
  restore(where: string, snapshot: PolicyPartsSnapshot, ages: Ages, now: number, fiber: AnyFiber): void {
    const { entries } = this
    const { adaptive, breaker, budget, bulkhead, rateLimit } = snapshot
    // First: of the parts only circuits refuse what they are given, and then nothing has changed yet.
    if (breaker !== undefined) this.circuits?.restore(`${where}: breaker`, entries, breaker, ages, now, fiber)
    if (budget !== undefined && this.settings.budget !== undefined) this.budget?.restore(budget, ages, now)
    if (bulkhead !== undefined) this.permits?.restore(entries, bulkhead, now)
    if (rateLimit !== undefined) this.rates?.restore(entries, rateLimit, ages, now)
    if (adaptive !== undefined) this.adaptive?.restore(entries, adaptive, ages, now)
  }

  private resizing(permits: Permits.Permits): Plug {
    const plug = permits.plug("bulkhead.maxConcurrent", this.entries)
    return {
      ...plug,
      apply: (inForce, now, fiber) => {
        plug.apply(inForce, now, fiber)
        this.resizes = inForce
        this.beside?.resized(inForce, now, fiber)
      }
    }
  }

  private timeIn(entry: Entry, now: number): ReadonlyArray<number> {
    if (this.circuits === undefined) return Counters.noTimes
    const times = Circuit.timeIn(entry, now)
    return this.adaptive === undefined ? times : this.adaptive.correct(entry, times, now)
  }

  /** Reading the stats of a key neither creates nor keeps it. */
  stats(key: string, now: number, fiber: AnyFiber): Stats.Stats {
    const entry = this.entries.peek(key)
    if (entry !== undefined) return this.statsOf(entry, now, fiber)
    const made = this.make(key, Math.ceil(now))
    return this.statsOf(this.circuits?.foresee(made, now) ?? made, now, fiber)
  }

  allStats(now: number, fiber: AnyFiber): ReadonlyArray<Stats.Stats> {
    const kept = Array.from(this.entries.all(), (entry) => this.statsOf(entry, now, fiber))
    return [...kept, ...this.evicted.stats(this.reporter.policy)]
  }

  durations(): Stats.Durations {
    return this.histogram.view()
  }

  sum(select: Select, now: number): void {
    const { adaptive, budget, circuits, permits, rates } = this
    for (const entry of this.entries.all()) {
      const sums = select(entry.key, circuits?.isNotable(entry) === true)
      sums.addCounted(entry)
      if (permits === undefined) sums.running += entry.running
      else sums.addQueue(entry.queue)
      circuits?.sum(entry, sums, now)
      adaptive?.sum(entry, sums, now)
      const rate = rates?.view(entry, now)
      if (rate !== undefined) sums.addRate(rate)
      budget?.sumBalance(entry.key, sums, now)
    }
    if (this.entries.isEmpty) {
      const sums = select(defaultKey, false)
      permits?.sumIdle(sums)
      if (rates !== undefined) sums.addRate(viewOf(rates.make(now), now))
      budget?.sumBalance(defaultKey, sums, now)
    }
    this.evicted.sum(select)
    this.beside?.sum(select, now)
  }

  private statsOf(entry: Entry, now: number, fiber: AnyFiber): Stats.Stats {
    const { calls, key, past, recent, running, successes } = entry
    const queue = this.permits && entry.queue
    const { adaptive } = this
    const view = adaptive?.view(entry, now)
    return {
      policy: this.reporter.policy,
      key,
      circuit: adaptive?.circuitView(entry, now) ?? this.circuits?.view(entry, now),
      running,
      waiting: adaptive?.waitingOf(entry) ?? queue?.waiting ?? 0,
      maxConcurrent: view?.limit ?? queue?.limit,
      fleetPermits: entry.pool && entry.queue.room,
      maxQueued: queue?.maxQueued,
      balance: adaptive?.balance(entry) ?? this.budget?.balance(key, fiber),
      capacity: adaptive?.capacity(entry) ?? this.budget?.capacity,
      lastError: past?.lastError(now),
      totals: Counters.totals(calls, successes, past, this.timeIn(entry, now)),
      recent: recent === undefined ? Counters.noneRecent(this.settings.window) : recent.view(now),
      mode: this.modes.of(key),
      would: this.beside?.would(key, now, fiber),
      arms: this.modes.hasArms ? Counters.arms(past) : undefined,
      adaptive: view,
      rateLimit: this.rates?.view(entry, now)
    }
  }
}
