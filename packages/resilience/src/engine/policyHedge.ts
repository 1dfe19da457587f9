/** The hedges of a policy at run time: the attempts of one call as a race, each with its own permit and its own outcome. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Machine from "../machine/Hedge.ts"
import * as Decision from "../machine/Retry.ts"
import * as Rejection from "../Rejection.ts"
import * as Time from "../runtime/clock.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import * as Deadline from "./deadline.ts"
import { allows, report, spend } from "./hedge.ts"
import { type Entry, type Hedging, PolicyCall, type PolicyEngine } from "./policy.ts"
import * as Protect from "./protect.ts"
import { type Lane, type Plan, Race, type Result } from "./race.ts"

/** What makes the hedges of a policy. */
export class Hedger implements Hedging {
  private readonly engine: PolicyEngine
  /** Whether the hedges do nothing: how they would end is not known. */
  private readonly isObserving: boolean
  private readonly states = new WeakMap<Entry, Machine.Hedge>()

  constructor(engine: PolicyEngine, isObserving: boolean) {
    this.engine = engine
    this.isObserving = isObserving
  }

  begin(call: PolicyCall, entry: Entry, fiber: AnyFiber): AnyEffect | undefined {
    const { hedge } = this.engine.settings
    const { idempotent, retry } = call.given
    // One that must not be repeated after a failure must not be repeated beside a success.
    if (hedge === undefined || !call.canHedge || retry !== undefined || !(idempotent ?? hedge.idempotent)) {
      return undefined
    }
    const race = new CallRace(this.engine, call, entry, this.stateOf(entry, hedge.after), this.isObserving, fiber)
    return new Race(race, fiber).run
  }

  private stateOf(entry: Entry, after: number | string): Machine.Hedge {
    const known = this.states.get(entry)
    if (known !== undefined) return known
    const state = Machine.make(after)
    this.states.set(entry, state)
    return state
  }
}

/** The share of the rest of the time in which a hedge may start, after which an attempt is looked at for the last time. */
const lastLook = 0.9

/** The attempts of one call. */
class CallRace implements Plan {
  readonly engine: PolicyEngine
  readonly call: PolicyCall
  readonly entry: Entry
  readonly state: Machine.Hedge
  private readonly isObserving: boolean
  private readonly fiber: AnyFiber
  private attempt: SingleAttempt | undefined = undefined
  private hedged: SingleAttempt | undefined = undefined
  /** The delay of this call. */
  delay = Infinity
  private hedgedAfter = 0
  /** No other look comes before the limit. */
  private isLastLook = false

  constructor(
    engine: PolicyEngine,
    call: PolicyCall,
    entry: Entry,
    state: Machine.Hedge,
    isObserving: boolean,
    fiber: AnyFiber
  ) {
    this.engine = engine
    this.call = call
    this.entry = entry
    this.state = state
    this.isObserving = isObserving
    this.fiber = fiber
  }

  readonly first = (race: Race, lane: Lane): AnyEffect => {
    this.attempt = new SingleAttempt(this, lane, race, this.call.work)
    return this.attempt
  }

  readonly hedge = (lane: Lane): AnyEffect => {
    this.hedged = new SingleAttempt(this, lane, undefined, this.isObserving ? Effect.never : this.call.work)
    return this.hedged
  }

  /** The work of the first attempt starts now. */
  arm(race: Race, now: number): void {
    const { hedge } = this.engine.settings
    if (hedge === undefined) return
    this.delay = Machine.delayAt(this.state, hedge.after, now)
    if (this.delay < this.limit(now)) race.arm(this.delay)
  }

  /** Milliseconds in which a hedge may start: it must have as much of the timeout as the first attempt has had. */
  private limit(now: number): number {
    const { call, engine } = this
    const startedAt = this.attempt?.attemptAt ?? now
    return Math.min(startedAt + engine.settings.timeout / 2, call.deadline, Deadline.instant(this.fiber)) - now
  }

  readonly wait = (): number | undefined => {
    const { attempt, delay, engine, entry, fiber, state } = this
    if (attempt === undefined) return Infinity
    const now = Time.monotonicMillis(fiber)
    const left = this.limit(now)
    if (left <= 0) return Infinity
    const again = attempt.isLate() && !this.isLastLook
    const { hedge } = engine.settings
    const mayStart =
      hedge !== undefined &&
      Machine.mayStart(state, hedge.after, Decision.isOvertaken(entry, attempt.attemptAt), again) &&
      engine.circuits?.isClosed(entry) !== false &&
      engine.permits?.isFree(entry) !== false &&
      (engine.rates?.admitsIn(entry, now) ?? 0) <= 0 &&
      allows(fiber) &&
      engine.budget?.tryHedge(entry.key, fiber) !== false &&
      engine.adaptive?.tryHedge(entry) !== false
    if (!mayStart) {
      if (delay < left) return delay
      if (this.isLastLook) return Infinity
      // Until then it may be overtaken.
      this.isLastLook = true
      return lastLook * left
    }
    spend(fiber)
    this.hedgedAfter = now - attempt.attemptAt
    entry.history.hedges += 1
    return undefined
  }

  readonly onResult = (result: Result, isOfHedge: boolean): void => {
    const { call, engine, entry, fiber, hedged, isObserving, state } = this
    if (isOfHedge && hedged !== undefined) call.raced(hedged)
    const known = isObserving ? "undecided" : result
    if (known === "won") entry.history.hedgeWins += 1
    if (known !== "undecided") Machine.decided(state, known === "won", Time.monotonicMillis(fiber))
    report(engine.reporter, entry.key, known, this.hedgedAfter, fiber)
  }
}

/** One attempt of a race, on a fiber of its own: it holds what it acquires, and settles its own outcome. */
class SingleAttempt extends PolicyCall {
  private readonly of: CallRace
  private readonly lane: Lane
  /** Set for the first attempt. */
  private readonly race: Race | undefined
  private wasLate = false

  constructor(of: CallRace, lane: Lane, race: Race | undefined, work: AnyEffect) {
    super(of.engine, undefined, lane.scoped(work), of.call.given)
    this.of = of
    this.lane = lane
    this.race = race
  }

  protected override copy(): SingleAttempt {
    return new SingleAttempt(this.of, this.lane, this.race, this.self)
  }

  protected override prepare(_: PolicyEngine, fiber: AnyFiber): undefined {
    const { call, entry } = this.of
    this.entry = entry
    this.startedAt = call.startedAt
    this.deadline = call.deadline
    this.attempt.startedAt = this.race === undefined ? Time.monotonicMillis(fiber) : call.attemptAt
    // Only the first attempt earns.
    this.attempts = this.race === undefined ? 0 : 1
  }

  override enter(fiber: AnyFiber): AnyEffect {
    return this.acquire(this.of.entry, this.of.engine, fiber)
  }

  protected override start(entry: Entry, engine: PolicyEngine, fiber: AnyFiber): AnyEffect {
    const work = super.start(entry, engine, fiber)
    const { attempt, of, race } = this
    if (attempt.running && race !== undefined) {
      of.call.raced(this)
      of.arm(race, attempt.startedAt)
    }
    return work
  }

  /** The deadline is the call's: it is reported once. */
  protected override deadlineExceeded(
    entry: Entry,
    engine: PolicyEngine,
    started: boolean,
    fiber: AnyFiber
  ): Rejection.DeadlineExceeded {
    if (this.race !== undefined) return super.deadlineExceeded(entry, engine, started, fiber)
    const deadline = Duration.millis(Math.max(0, this.deadline - this.startedAt))
    return Rejection.deadlineExceeded({ policy: engine.reporter.policy, key: entry.key, deadline, started })
  }

  /** It is late; was it so before? */
  isLate(): boolean {
    if (this.wasLate) return true
    this.wasLate = true
    Machine.becameLate(this.of.state)
    return false
  }

  override succeeded(value: unknown, fiber: AnyFiber): undefined {
    const { engine, entry, lane } = this
    if (entry === undefined || engine === undefined) return undefined
    this.entry = undefined
    engine.permits?.release(entry, this.attempt)
    const { settings } = engine
    const classified = Protect.classifySuccess(this.options.classify ?? settings.classify, value)
    const isAnswer =
      !classified.threw &&
      classified.outcome !== "failure" &&
      !(settings.retryWhen !== undefined && this.isUnwanted(settings, value))
    if (isAnswer) lane.wins()
    this.learn(entry, isAnswer ? "answered" : "failed", fiber)
    this.settle(entry, engine, classified, undefined, fiber)
    return undefined
  }

  override failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): undefined {
    const { attempt, engine, entry } = this
    if (entry === undefined || engine === undefined) return undefined
    this.entry = undefined
    // First what is held: the user's functions below may throw.
    engine.permits?.release(entry, attempt)
    engine.rates?.release(entry, attempt, fiber)
    const isCut = Cause.hasInterruptsOnly(cause)
    const { wasLate } = this
    // What never ran has no duration.
    this.learn(entry, isCut || !attempt.running ? "cut" : "failed", fiber)
    if (!attempt.running) {
      if (engine.adaptive !== undefined) {
        const now = Time.monotonicMillis(fiber)
        engine.adaptive.end(entry, attempt, "unknown", now, now, fiber)
      }
      return undefined
    }
    if (attempt.deadlineHit && this.race !== undefined) entry.history.DeadlineExceeded += 1
    // How long it would have taken is not known, but that it is longer than this.
    if (isCut && wasLate) {
      const now = Time.monotonicMillis(fiber)
      entry.recent?.cut(now - attempt.startedAt, now)
    }
    this.settle(entry, engine, this.classify(engine, cause, fiber), cause, fiber)
    return undefined
  }

  /** Ends the attempt as the hedges of its key see it. */
  private learn(entry: Entry, how: "answered" | "failed" | "cut", fiber: AnyFiber): void {
    const { delay, state } = this.of
    const { wasLate } = this
    const { startedAt } = this.attempt
    this.wasLate = false
    const now = Time.monotonicMillis(fiber)
    Machine.ended(state, how, wasLate, Decision.isOvertaken(entry, startedAt), now - startedAt, delay, now)
  }
}
