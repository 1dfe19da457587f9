/**
 * What decides beside a call without acting: a policy that observes, and candidates.
 *
 * A shadow is a second engine with the ordinary code of enforcement. Beside each call it runs a call of its own, in a fiber of its
 * own, whose work is the recording of what really happens. So its decisions are those of enforcement by construction, and the call
 * itself is untouched: it runs on its own fiber, and the shadow learns of its end, synchronously, before the caller does.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scheduler from "effect/Scheduler"
import * as Circuit from "../machine/Circuit.ts"
import * as Decision from "../machine/Retry.ts"
import type { Outcome } from "../Outcome.ts"
import * as Time from "../runtime/clock.ts"
import { Frame } from "../runtime/frame.ts"
import { quietly } from "../runtime/quietClock.ts"
import { attempt } from "../runtime/read.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import { defaultKey } from "../Types.ts"
import { causeOf } from "./acquire.ts"
import type { Budget } from "./budget.ts"
import type { Override } from "./changes.ts"
import type { Command } from "./circuits.ts"
import * as Deadline from "./deadline.ts"
import * as Left from "./left.ts"
import {
  type Beside,
  classifyFailure,
  type Entry,
  PolicyCall,
  PolicyEngine,
  type PolicySettings,
  rejectionIn,
  type Steering
} from "./policy.ts"
import { Hedger } from "./policyHedge.ts"
import { type HoldFollower, PolicyHold } from "./policyHold.ts"
import { type Allowance, CurrentAllowance } from "./propagated.ts"
import * as Protect from "./protect.ts"
import { Recording } from "./recording.ts"
import { ObservingReporter } from "./reporter.ts"
import { type Counts, everyCount, noCounts, type Select, Sums } from "./sums.ts"

// ---------------------------------------------------------------------------------------------------------------------
// Shadows
// ---------------------------------------------------------------------------------------------------------------------

/** Nothing of the user's runs twice. Schedules and predicates do: they decide. */
const withoutHooks = (settings: PolicySettings): PolicySettings =>
  settings.retry === undefined ? settings : { ...settings, retry: { ...settings.retry, onRetry: undefined } }

/** Has an operator set the state of this circuit? */
const isOverride = ({ phase }: Entry): boolean => phase === Circuit.Isolated || phase === Circuit.Disabled

/** One call of a shadow. */
interface Follower {
  readonly shadow: Shadow
  readonly fiber: AnyFiber
}

export class Shadow {
  readonly engine: PolicyEngine
  /** Calls that it has followed. */
  calls = 0
  /** Calls that the live policy rejected before an attempt. */
  unknown = 0
  /** Whether it spends of what a request may repeat as the live policy would, or has that for itself. */
  private readonly isCandidate: boolean
  private readonly fibers = new Set<AnyFiber>()
  private isClosed = false

  constructor(live: PolicyEngine, settings: PolicySettings, budget: Budget | undefined, candidate: string | undefined) {
    const reporter = new ObservingReporter(live.reporter, candidate)
    this.isCandidate = candidate !== undefined
    this.engine = new PolicyEngine(live.where, reporter, withoutHooks(settings), budget, live.timedOut)
    if (settings.hedge !== undefined) this.engine.hedging = new Hedger(this.engine, true)
  }

  /** Takes over what an operator has set: the overrides of circuits. */
  sync(live: PolicyEngine, now: number, fiber: AnyFiber): void {
    const { circuits, entries } = this.engine
    if (circuits === undefined || live.circuits === undefined) return
    circuits.base = live.circuits.base
    for (const entry of live.entries.values()) {
      if (isOverride(entry)) {
        const command = entry.phase === Circuit.Isolated ? "isolate" : "disable"
        circuits.command(entries.ensure(entry.key, now), command, 0, now, fiber)
      }
    }
    for (const entry of entries.values()) {
      const isSet = live.entries.peek(entry.key)
      if (isOverride(entry) && isSet !== undefined && !isOverride(isSet))
        circuits.command(entry, "close", 0, now, fiber)
    }
  }

  command(command: Command, key: string | undefined, openFor: number | undefined, now: number, fiber: AnyFiber): void {
    const { circuits, entries } = this.engine
    for (const entry of key === undefined ? entries.all() : [entries.ensure(key, now)]) {
      // An open time comes from a schedule of the user's, which may throw.
      const open =
        command === "open" ? attempt(() => openFor ?? circuits?.ordinaryOpenTime(entry, now, fiber) ?? 0, 0) : 0
      attempt(() => circuits?.command(entry, command, open, now, fiber), undefined)
    }
  }

  resize(inForce: ReadonlyArray<Override>, now: number, fiber: AnyFiber): void {
    const { entries, permits } = this.engine
    permits?.plug("", entries).apply(inForce, now, fiber)
  }

  /** A call beside one that starts now. */
  follow(recording: Recording, options: Protect.CallOptions, fiber: AnyFiber): Follower | undefined {
    return this.run(recording, new PolicyCall(this.engine, undefined, this.workOf(recording), options), fiber)
  }

  /** A call that is held, beside one that starts now. */
  hold(recording: Recording, timeline: Timeline, options: Protect.CallOptions, fiber: AnyFiber): Follower | undefined {
    let isAligned = false
    const work = this.workOf(recording, (aligned) => {
      isAligned = aligned
    })
    const hold = new PolicyHold(this.engine, undefined, work, options)
    // Uninterruptible in between, so that no interruption comes when it is admitted and its end is not yet seen to.
    const held = Effect.uninterruptibleMask((restore) =>
      Effect.onExit(Effect.andThen(restore(hold), restore(timeline.replay(hold, () => isAligned))), (exit) =>
        Effect.withFiber((fiber) => {
          if (exit._tag === "Failure") hold.end(exit, fiber)
          return Effect.void
        })
      )
    )
    return this.run(recording, held, fiber)
  }

  /** Ends every call of it, and begins no other. */
  close(): void {
    this.isClosed = true
    for (const fiber of Array.from(this.fibers)) fiber.interruptUnsafe()
  }

  private workOf(recording: Recording, onStart?: (aligned: boolean) => void): AnyEffect {
    const { reporter, settings, timedOut } = this.engine
    const limit = Math.min(settings.timeout, settings.deadline)
    const { policy } = reporter
    const after = Duration.zero
    // What has a limit of its own is ended by it.
    const fail = () => Exit.fail(timedOut({ policy, key: defaultKey, after }))
    return recording.replay(limit < Infinity ? undefined : fail, onStart)
  }

  private run(recording: Recording, self: AnyEffect, parent: AnyFiber): Follower | undefined {
    if (this.isClosed) return undefined
    this.calls += 1
    recording.isStarting = true
    // The context holds all that the shadow needs: it decides where the call runs.
    const fiber = Effect.runForkWith(this.contextOf(parent) as Context.Context<any>)(Effect.exit(self))
    recording.isStarting = false
    if (fiber.pollUnsafe() !== undefined) return undefined
    this.fibers.add(fiber)
    fiber.addObserver(() => this.fibers.delete(fiber))
    return { shadow: this, fiber }
  }

  /** The context of the caller, with copies of what a call would spend. */
  private contextOf(parent: AnyFiber): Context.Context<never> {
    let context = Context.add(quietly(parent), Left.Observing, true)
    // It goes on before the caller does, and takes few steps.
    context = Context.add(context, Scheduler.PreventSchedulerYield, true)
    const allowance = parent.getRef(CurrentAllowance)
    if (allowance !== undefined) {
      context = Context.add(context, CurrentAllowance, this.isCandidate ? { left: allowance.left } : beside(allowance))
    }
    const at = Deadline.instant(parent)
    // A copy: the owner stops waiting when the real call ends.
    return at === Infinity ? context : Context.add(context, Deadline.Current, { at, outer: undefined, over: false })
  }
}

/** What a request may still repeat, as all that observe in it would have spent it. */
const beside = (allowance: Allowance): Allowance => {
  const known = allowances.get(allowance)
  if (known !== undefined) return known
  let spent = 0
  const copy: Allowance = {
    get left() {
      return allowance.left - spent
    },
    set left(left) {
      spent = allowance.left - left
    }
  }
  allowances.set(allowance, copy)
  return copy
}

const allowances = new WeakMap<Allowance, Allowance>()

/** The live call has ended. What was interrupted ends beside it too; the rest ends in its own time, within the deadline of the call. */
const endBeside = (
  followers: ReadonlyArray<Follower>,
  recording: Recording,
  exit: Exit.Exit<unknown, unknown>,
  caller: AnyFiber
): void => {
  const wasInterrupted = exit._tag === "Failure" && Cause.hasInterruptsOnly(exit.cause)
  const wasRejected = recording.attempts.length === 0 && !wasInterrupted
  if (!wasInterrupted && !wasRejected) recording.over()
  recording.isOver = true
  for (const { fiber, shadow } of followers) {
    if (wasRejected) shadow.unknown += 1
    if (wasInterrupted || wasRejected) fiber.interruptUnsafe(caller.id)
    else if (fiber.pollUnsafe() === undefined) endAt(Deadline.instant(fiber), fiber)
  }
}

/** Interrupts what still decides when the deadline around the call is over: its owner has gone, because the call has ended. */
const endAt = (at: number, fiber: AnyFiber): void => {
  if (at === Infinity) return
  fiber.addObserver(Timer.start(fiber, at - Time.monotonicMillis(fiber), () => fiber.interruptUnsafe()))
}

// ---------------------------------------------------------------------------------------------------------------------
// Calls
// ---------------------------------------------------------------------------------------------------------------------

/** A call that is enforced, although others follow it. */
class EnforcedCall extends PolicyCall {
  protected override copy(): EnforcedCall {
    return new EnforcedCall(this.engine, this.service, this.self, this.options)
  }
}

/** The work of a call that is enforced: records its attempts. */
class RecordedWork extends Frame<Recording, undefined> {
  protected copy(): RecordedWork {
    return new RecordedWork(this.engine, undefined, this.self, undefined)
  }

  protected prepare(): undefined {}

  enter(fiber: AnyFiber): AnyEffect {
    this.engine?.start(Time.monotonicMillis(fiber))
    return this.self
  }

  succeeded(value: unknown, fiber: AnyFiber): undefined {
    this.engine?.end(Exit.succeed(value), Time.monotonicMillis(fiber))
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): undefined {
    const now = Time.monotonicMillis(fiber)
    if (Cause.hasInterruptsOnly(cause)) this.engine?.cut(Exit.failCause(cause), now)
    else this.engine?.end(Exit.failCause(cause), now)
  }
}

/** Counts of the live policy, of a call that it observes. */
class Observation {
  readonly entry: Entry
  readonly startedAt: number
  private readonly engine: PolicyEngine
  private readonly options: Protect.CallOptions

  constructor(engine: PolicyEngine, options: Protect.CallOptions, fiber: AnyFiber) {
    this.engine = engine
    this.options = options
    this.startedAt = Time.monotonicMillis(fiber)
    this.entry = engine.entries.get(options.key, fiber)
    this.entry.calls += 1
    this.entry.running += 1
  }

  /** `respondedAt` is when the dependency responded, if that was before the end. */
  end(exit: Exit.Exit<unknown, unknown>, reported: Outcome | undefined, respondedAt: number, fiber: AnyFiber): void {
    const { engine, entry, options, startedAt } = this
    const now = Time.monotonicMillis(fiber)
    const cause = causeOf(exit)
    const hasResponded = !Number.isNaN(respondedAt)
    const outcome = reported ?? outcomeOf(engine, options, exit, hasResponded ? NaN : startedAt, fiber)
    entry.running -= 1
    entry.lastUsed = Math.floor(now)
    engine.record(entry, outcome, cause, (hasResponded ? respondedAt : now) - startedAt, now)
    if (outcome === "success") Decision.answered(entry, startedAt)
    if (cause !== undefined && outcome === "ignored") engine.reporter.ignored(entry.key, cause, fiber)
  }
}

/** How an exit counts. What a function of the user's throws is no concern of a caller whose call is only observed. */
const outcomeOf = (
  engine: PolicyEngine,
  options: Protect.CallOptions,
  exit: Exit.Exit<unknown, unknown>,
  startedAt: number,
  fiber: AnyFiber
): Outcome => {
  const classify = options.classify ?? engine.settings.classify
  if (exit._tag === "Success") return Protect.classifySuccess(classify, exit.value).outcome
  return Number.isNaN(startedAt)
    ? Protect.classifySafely(classify, exit).outcome
    : classifyFailure(engine.settings, options, startedAt, false, exit.cause, fiber).outcome
}

/** Counts how a call ended for its caller. */
const countArm = (
  engine: PolicyEngine,
  mode: "enforce" | "observe",
  options: Protect.CallOptions,
  exit: Exit.Exit<unknown, unknown>,
  fiber: AnyFiber
): void => {
  if (!engine.modes.hasArms) return
  const cause = causeOf(exit)
  if (cause !== undefined && Cause.hasInterruptsOnly(cause)) return
  const isRejected = cause !== undefined && rejectionIn(cause) !== undefined
  const outcome = isRejected ? "failure" : outcomeOf(engine, options, exit, NaN, fiber)
  engine.entries.get(options.key, fiber).history.byArm.count(mode, outcome)
}

/** As after a retry that makes none: the type of the error says so, and fallbacks rely on it. */
const leaving = (
  { settings }: PolicyEngine,
  { retry }: Protect.CallOptions,
  cause: Cause.Cause<unknown>,
  fiber: AnyFiber
): AnyEffect | undefined => {
  if (settings.retry === undefined || retry === false) return undefined
  const left = Left.record(cause, false, fiber)
  return left === cause ? undefined : Effect.failCause(left)
}

/** A call with others beside it. */
class FollowedCall extends Frame<PolicyEngine, Protect.CallOptions> {
  private readonly steer: Steer
  private readonly mode: "enforce" | "observe"
  private readonly recording: Recording
  private followers: ReadonlyArray<Follower> = []
  private observation: Observation | undefined = undefined

  constructor(
    steer: Steer,
    mode: "enforce" | "observe",
    recording: Recording,
    work: AnyEffect,
    options: Protect.CallOptions
  ) {
    super(steer.live, undefined, work, options)
    this.steer = steer
    this.mode = mode
    this.recording = recording
  }

  /** It is created for one run. */
  protected copy(): FollowedCall {
    return new FollowedCall(this.steer, this.mode, this.recording, this.self, this.options)
  }

  protected prepare(): undefined {}

  enter(fiber: AnyFiber): AnyEffect {
    const { options, recording, steer } = this
    if (this.mode === "observe") {
      this.observation = new Observation(steer.live, options, fiber)
      recording.start(this.observation.startedAt)
    }
    this.followers = steer.shadows(this.mode, fiber).flatMap((shadow) => shadow.follow(recording, options, fiber) ?? [])
    return this.self
  }

  succeeded(value: unknown, fiber: AnyFiber): undefined {
    this.end(Exit.succeed(value), fiber)
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    this.end(Exit.failCause(cause), fiber)
    return this.mode === "observe" ? leaving(this.steer.live, this.options, cause, fiber) : undefined
  }

  private end(exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber): void {
    const { mode, observation, options, recording, steer } = this
    if (mode === "observe") recording.end(exit, Time.monotonicMillis(fiber))
    endBeside(this.followers, recording, exit, fiber)
    observation?.end(exit, undefined, NaN, fiber)
    countArm(steer.live, mode, options, exit, fiber)
    this.free()
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Calls that are held
// ---------------------------------------------------------------------------------------------------------------------

type Moment = (hold: PolicyHold, fiber: AnyFiber) => void

/** What happens to a call between its admission and its end. */
class Timeline {
  private readonly moments: Array<{ readonly at: number; readonly apply: Moment }> = []
  private isOver = false
  private readonly recording: Recording

  constructor(recording: Recording) {
    this.recording = recording
  }

  add(at: number, apply: Moment): void {
    this.moments.push({ at, apply })
    this.recording.wake()
  }

  end(at: number, apply: Moment): void {
    this.isOver = true
    this.add(at, apply)
  }

  /** Lets the same happen to a call beside it, as long after its own start. */
  replay(hold: PolicyHold, isAlignedNow: () => boolean): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      const isAligned = isAlignedNow()
      const { recording } = this
      const lag = isAligned ? 0 : Math.max(0, hold.attemptAt - (recording.attempts.at(-1)?.startedAt ?? NaN))
      const from = (next: number): Effect.Effect<void> =>
        Effect.suspend(() => {
          const moment = this.moments[next]
          if (moment === undefined) {
            return this.isOver ? Effect.void : Effect.flatMap(recording.changed(Infinity), () => from(next))
          }
          const wait = isAligned ? 0 : moment.at + lag - Time.monotonicMillis(fiber)
          const then = Effect.suspend(() => {
            moment.apply(hold, fiber)
            return from(next + 1)
          })
          return wait > 0 ? Effect.flatMap(Timer.sleep(wait), () => then) : then
        })
      return from(0)
    })
  }
}

/** A call that is held, with others beside it. */
class HeldCall implements HoldFollower {
  readonly options: Protect.CallOptions
  readonly recording: Recording
  readonly live: PolicyEngine
  private readonly steer: Steer
  private readonly mode: "enforce" | "observe"
  private readonly timeline: Timeline
  private followers: ReadonlyArray<Follower> = []
  private observation: Observation | undefined = undefined
  private respondedAt = NaN
  private reported: Outcome | undefined = undefined
  private hasEnded = false

  constructor(steer: Steer, mode: "enforce" | "observe", options: Protect.CallOptions) {
    this.steer = steer
    this.live = steer.live
    this.mode = mode
    this.options = options
    this.recording = new Recording(mode === "enforce")
    this.timeline = new Timeline(this.recording)
  }

  begin(fiber: AnyFiber): void {
    const { mode, options, recording, steer, timeline } = this
    if (mode === "observe") {
      this.observation = new Observation(steer.live, options, fiber)
      recording.start(this.observation.startedAt)
    }
    this.followers = steer
      .shadows(mode, fiber)
      .flatMap((shadow) => shadow.hold(recording, timeline, options, fiber) ?? [])
  }

  /** What was to be held could not be opened, in mode observe. */
  failed(exit: Exit.Exit<never, unknown>, fiber: AnyFiber): void {
    this.recording.end(exit, Time.monotonicMillis(fiber))
    this.count(exit, fiber)
  }

  responded(fiber: AnyFiber): void {
    if (this.hasEnded || !Number.isNaN(this.respondedAt)) return
    this.respondedAt = Time.monotonicMillis(fiber)
    this.timeline.add(this.respondedAt, (hold, fiber) => hold.responded(fiber))
  }

  report(outcome: Outcome, retryAfter: Duration.Duration | undefined, fiber: AnyFiber): void {
    if (this.hasEnded || this.reported !== undefined) return
    this.reported = outcome
    this.respondedAt = Time.monotonicMillis(fiber)
    this.timeline.add(this.respondedAt, (hold, fiber) => hold.report(outcome, retryAfter, fiber))
  }

  end(exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber): void {
    if (this.hasEnded) return
    this.hasEnded = true
    const { followers, live, mode, options, recording } = this
    const now = Time.monotonicMillis(fiber)
    this.timeline.end(now, (hold, fiber) => hold.end(exit, fiber))
    endBeside(followers, recording, exit, fiber)
    this.count(exit, fiber)
    countArm(live, mode, options, this.reported === "failure" ? Exit.die(undefined) : exit, fiber)
  }

  private count(exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber): void {
    const { observation, reported, respondedAt } = this
    this.observation = undefined
    // Without a report a call that ends well is a success, whatever its value.
    const outcome = reported ?? (exit._tag === "Success" ? "success" : undefined)
    observation?.end(exit, outcome, respondedAt, fiber)
  }
}

/** The work of a call that is held and observed. */
class ObservedOpening extends Frame<HeldCall, undefined> {
  protected copy(): ObservedOpening {
    return new ObservedOpening(this.engine, undefined, this.self, undefined)
  }

  protected prepare(): undefined {}

  enter(fiber: AnyFiber): AnyEffect {
    this.engine?.begin(fiber)
    return this.self
  }

  succeeded(value: unknown, fiber: AnyFiber): undefined {
    this.engine?.recording.end(Exit.succeed(value), Time.monotonicMillis(fiber))
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const held = this.engine!
    held.failed(Exit.failCause(cause), fiber)
    const next = leaving(held.live, held.options, cause, fiber)
    this.free()
    return next
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Steering
// ---------------------------------------------------------------------------------------------------------------------

/** What one policy has beside it, and in which mode its calls run. */
export class Steer implements Steering, Beside {
  readonly live: PolicyEngine
  /** What the policy would do; created with the first call that it observes. */
  private observer: Shadow | undefined = undefined
  private readonly candidates = new Set<Shadow>()

  constructor(live: PolicyEngine) {
    this.live = live
    live.beside = this
    live.modes.onChange = () => this.update()
    this.update()
  }

  private update(): void {
    const { candidates, live } = this
    live.steering = live.modes.isPlain && candidates.size === 0 ? undefined : this
    live.modeChanged()
  }

  begin(call: PolicyCall, fiber: AnyFiber): AnyEffect | undefined {
    const { candidates, live } = this
    const { given, work } = call
    if (call instanceof EnforcedCall) return undefined
    const mode = live.modes.of(given.key)
    if (mode === "off") {
      if (live.settings.retry === undefined) return work
      return Effect.catchCause(work, (cause) =>
        Effect.withFiber((fiber) => leaving(live, given, cause, fiber) ?? Effect.failCause(cause))
      )
    }
    if (mode === "enforce" && candidates.size === 0 && !live.modes.hasArms) return undefined
    if (call instanceof PolicyHold) return this.beginHold(call, mode, fiber)
    const recording = new Recording(mode === "enforce")
    if (mode === "observe") return new FollowedCall(this, mode, recording, work, given)
    const recorded = candidates.size === 0 ? work : new RecordedWork(recording, undefined, work, undefined)
    return new FollowedCall(this, mode, recording, new EnforcedCall(live, undefined, recorded, given), given)
  }

  private beginHold(hold: PolicyHold, mode: "enforce" | "observe", fiber: AnyFiber): AnyEffect | undefined {
    const held = new HeldCall(this, mode, hold.given)
    if (mode === "observe") {
      hold.follow(held)
      return new ObservedOpening(held, undefined, hold.work, undefined)
    }
    hold.follow(held, new RecordedWork(held.recording, undefined, hold.work, undefined))
    held.begin(fiber)
    return undefined
  }

  /** Those that decide beside a call that starts now. */
  shadows(mode: "enforce" | "observe", fiber: AnyFiber): ReadonlyArray<Shadow> {
    const candidates = Array.from(this.candidates)
    return mode === "enforce" ? candidates : [this.observing(Time.monotonicMillis(fiber), fiber), ...candidates]
  }

  private observing(now: number, fiber: AnyFiber): Shadow {
    if (this.observer !== undefined) return this.observer
    const { live } = this
    // Without settings of its own the budget is a shared one.
    const budget = live.settings.budget === undefined ? live.budget?.shadow : undefined
    this.observer = new Shadow(live, live.settings, budget, undefined)
    this.observer.sync(live, now, fiber)
    this.observer.resize(live.resizes, now, fiber)
    return this.observer
  }

  would(key: string, now: number, fiber: AnyFiber): Stats.Would | undefined {
    if (this.observer === undefined && this.live.modes.of(key) !== "observe") return undefined
    const stats = this.observing(now, fiber).engine.stats(key, now, fiber)
    const { adaptive, balance, circuit, running, totals, waiting } = stats
    const { calls, giveUps, hedges, openings, rejections, retries, timeouts } = totals
    const counts = { calls, rejections, retries, giveUps, timeouts, hedges, openings }
    return { ...counts, circuit, running, waiting, balance, adaptive }
  }

  sum(select: Select, now: number): void {
    this.observer?.engine.sum((key, notable) => select(key, notable).observed, now)
  }

  commanded(
    command: Command,
    key: string | undefined,
    openFor: number | undefined,
    now: number,
    fiber: AnyFiber
  ): void {
    const { live, observer } = this
    if (observer === undefined) return
    if (key === undefined && observer.engine.circuits !== undefined && live.circuits !== undefined) {
      observer.engine.circuits.base = live.circuits.base
    }
    observer.command(command, key, openFor, now, fiber)
  }

  /** Candidates keep the settings that they were added with. */
  retuned(settings: PolicySettings, now: number): void {
    this.observer?.engine.retune(withoutHooks(settings), now)
  }

  takenBack(now: number, fiber: AnyFiber): void {
    this.observer?.sync(this.live, now, fiber)
  }

  resized(inForce: ReadonlyArray<Override>, now: number, fiber: AnyFiber): void {
    this.observer?.resize(inForce, now, fiber)
  }

  /** Lets a candidate decide beside the policy until `remove` is called. */
  add(name: string, settings: PolicySettings, now: number): Candidate {
    const { live } = this
    const budget = settings.budget === undefined ? live.budget?.copy(name) : undefined
    const shadow = new Shadow(live, settings, budget, name)
    this.candidates.add(shadow)
    this.update()
    const before = this.counts(now)
    const remove = (): void => {
      this.candidates.delete(shadow)
      shadow.close()
      this.update()
    }
    return {
      shadow,
      remove,
      report: (now) => ({ live: difference(this.counts(now), before), candidate: countsOf(shadow.engine, now) })
    }
  }

  /** What the policy has done, and would have done in place of it. */
  private counts(now: number): Counts {
    const counts = countsOf(this.live, now)
    const observed = this.observer && countsOf(this.observer.engine, now)
    for (const count of everyCount) counts[count] += observed?.[count] ?? 0
    return counts
  }

  /** The scope of the policy has closed. */
  close(): void {
    this.observer?.close()
    for (const candidate of this.candidates) candidate.close()
  }
}

export interface Candidate {
  readonly shadow: Shadow
  readonly remove: () => void
  /** What both sides have counted since the candidate was added. */
  readonly report: (now: number) => { readonly live: Counts; readonly candidate: Counts }
}

const countsOf = (engine: PolicyEngine, now: number): Counts => {
  const sums = new Sums()
  engine.sum(() => sums, now)
  return sums.counts
}

const difference = (now: Counts, before: Counts): Counts => {
  const counts = noCounts()
  for (const count of everyCount) counts[count] = now[count] - before[count]
  return counts
}
