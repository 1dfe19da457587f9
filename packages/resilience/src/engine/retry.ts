/** A retry at run time: it steps the schedule, decides, sleeps and reports; `Retry` and `Policy` bring the attempts. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Event from "../Event.ts"
import * as Decision from "../machine/Retry.ts"
import * as Rejection from "../Rejection.ts"
import { beside } from "../runtime/beside.ts"
import * as Time from "../runtime/clock.ts"
import * as EffectErrors from "../runtime/effectErrors.ts"
import { Frame } from "../runtime/frame.ts"
import { retainHiddenClass } from "../runtime/hiddenClass.ts"
import * as Check from "../runtime/options.ts"
import { attempt } from "../runtime/read.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyEffect, AnyFiber, AnySchedule } from "../runtime/types.ts"
import * as Transient from "../Transient.ts"
import { defaultKey } from "../Types.ts"
import { askedMillis } from "./asked.ts"
import type { Budget, GatedSchedule } from "./budget.ts"
import * as Deadline from "./deadline.ts"
import * as Left from "./left.ts"
import { inOwnFiber } from "./ownFiber.ts"
import { CurrentAllowance } from "./propagated.ts"
import { type Reporter, reporterOf } from "./reporter.ts"
import { runWithin } from "./timeLimit.ts"

/** An attempt that was followed by a retry, or was the last. */
interface EndedAttempt {
  readonly attempt: number
  readonly error: unknown
  readonly elapsed: Duration.Duration
  readonly delay: Duration.Duration | undefined
}

/** The annotation on the cause of the error that a retry gave up on. */
interface GiveUp {
  readonly reason: Event.GiveUpReason
  /** The error it gave up on. */
  readonly error: unknown
  readonly attempts: number
  readonly elapsed: Duration.Duration
  readonly history: ReadonlyArray<EndedAttempt>
}

export class GaveUp extends Context.Service<GaveUp, GiveUp>()("effect-resilience/Retry/GaveUp") {}

export interface RetrySettings {
  /** The module and the option, for the defect of a function that returns no effect. */
  readonly where: string
  readonly schedule: AnySchedule
  /** The options of a schedule of this package, whose steps are known to be effects; durations in milliseconds. */
  readonly backoff: object | undefined
  readonly unprocessedOnly: boolean
  /** Milliseconds. */
  readonly maxRetryAfter: number
  /** Attempts that are kept for the history. */
  readonly history: number
  readonly onRetry: ((attempt: EndedAttempt) => Effect.Effect<unknown>) | undefined
}

/** The call whose attempts a loop repeats. */
export interface RetryHost {
  readonly retryKey: string
  /** Charges a retry; `false` if there is not enough for it. */
  pays(timedOut: boolean, fiber: AnyFiber): boolean
  /** Milliseconds that an attempt takes at least, as far as is known. */
  readonly needs: number
  /** The policy's own deadline, a monotonic time in milliseconds; the deadline in the fiber's context applies too. */
  readonly deadline: number
  /** Milliseconds for which an attempt would surely be rejected: waiting and paying for it would be in vain. */
  rejectedFor(fiber: AnyFiber): number
  /** The last attempt may have done some work, also if it ended with a rejection: that of a policy inside it. */
  readonly mayHaveRun: boolean
  /** Called for each retry that was decided, and at the end. */
  onRetryScheduled(): void
  onGaveUp(reason: Event.GiveUpReason): void
  /** The next attempt; the work can read the metadata. */
  nextAttempt(metadata: Schedule.Metadata): AnyEffect
}

/** What a step of the schedule ends with that the deadline has interrupted. */
const cutByDeadline = Symbol()

type Step = (now: number, input: unknown) => Pull.Pull<[unknown, Duration.Duration], unknown, unknown, unknown>

/** The failure of an attempt that another try may cure: its error, of several the one that asks for the longest delay, or `undefined`. */
const retryable = (
  cause: Cause.Cause<unknown>,
  unprocessedOnly: boolean,
  since: number
): { readonly error: unknown } | undefined => {
  let found: { readonly error: unknown } | undefined
  for (const reason of cause.reasons) {
    // A defect or an interruption is never retried, also beside a failure.
    if (reason._tag !== "Fail") return undefined
    // Of failures that came together, one that cannot be cured is enough.
    if (Rejection.is(reason.error) || !Transient.is(reason.error)) return undefined
    // Already retried inside this call: retries do not multiply.
    if (Left.isExhaustedByCause(reason, since)) return undefined
    if (unprocessedOnly && !Transient.isUnprocessed(reason.error)) return undefined
    if (found === undefined || askedMillis(reason.error) > askedMillis(found.error)) found = { error: reason.error }
  }
  return found
}

/** The rejection of this program that a cause consists of, if it does. */
const rejectionOf = (cause: Cause.Cause<unknown>): Rejection.Rejection | undefined => {
  const reason = cause.reasons.length === 1 ? cause.reasons[0]! : undefined
  return reason?._tag === "Fail" && Rejection.isLocal(reason.error) ? reason.error : undefined
}

/** How the last attempt that counts ended: with a failure of the dependency, or with a value that asks for another try. */
type Last =
  | {
      readonly cause: Cause.Cause<unknown>
      readonly error: unknown
      /** An attempt before this one may have done its work. */
      readonly mayHaveRun: boolean
    }
  | { readonly value: unknown }

/** What ends a retry: its reason becomes the effect that the call continues with. */
type Stop = (reason: Event.GiveUpReason) => AnyEffect

/** The retries of one call. Created at the first failure, so that a call that succeeds pays nothing. */
export class RetryLoop {
  private readonly settings: RetrySettings
  private readonly host: RetryHost
  private readonly reporter: Reporter
  private readonly startedAt: number
  private readonly startedEpoch: number
  private previousEnd: number
  /** Attempts that have ended. */
  private attempts = 0
  /** A ring of the last attempts: shifting an array of them would cost more than the rest of a retry. */
  private readonly history: Array<EndedAttempt> = []
  private historyCount = 0
  private step: Step | undefined
  private last: Last | undefined
  /** An attempt that has ended may have done its work. */
  private mayHaveRun = false
  /** A time limit ended the last attempt, or a part of it. */
  private timedOut = false
  private readonly since: number

  /** `startedAt` is when the first attempt began, `since` what {@link Left.recorded} returned then. */
  constructor(
    settings: RetrySettings,
    host: RetryHost,
    reporter: Reporter,
    startedAt: number,
    since: number,
    fiber: AnyFiber
  ) {
    this.since = since
    this.settings = settings
    this.host = host
    this.reporter = reporter
    this.startedAt = startedAt
    this.startedEpoch = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
    this.previousEnd = startedAt
  }

  /** What follows the failure of an attempt: a delay and the next one, what the call ends with, or `undefined` for this failure. */
  onFailure(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    this.attempts += 1
    const { last, mayHaveRun } = this
    const found = retryable(cause, this.settings.unprocessedOnly, this.since)
    if (found !== undefined) {
      const failure = { cause, error: found.error, mayHaveRun }
      this.last = failure
      this.timedOut = cause.reasons.some((reason) => reason._tag === "Fail" && EffectErrors.isTimeout(reason.error))
      this.mayHaveRun ||= !Left.didNoWork(cause)
      return this.next(found.error, fiber, (reason) => this.giveUp(reason, failure, fiber))
    }
    const rejection = last === undefined ? undefined : rejectionOf(cause)
    if (rejection === undefined || last === undefined) {
      const left = Left.record(cause, mayHaveRun, fiber)
      return left === cause ? undefined : Effect.failCause(left)
    }
    const reason = rejection._tag === "DeadlineExceeded" ? "deadline" : "rejected"
    const claimsNoWork = "cause" in last && Left.didNoWork(last.cause)
    if (Rejection.neverStarted(rejection) && !(claimsNoWork && this.host.mayHaveRun)) {
      // An attempt that never started does not count.
      this.attempts -= 1
      return this.endWith(reason, last, fiber)
    }
    this.record(rejection, undefined, Time.monotonicMillis(fiber) - this.startedAt)
    // What an earlier attempt ended with does not stand for one that has started, when it says that no work was done.
    return "cause" in last && !claimsNoWork
      ? this.giveUp(reason, last, fiber)
      : this.giveUp(reason, { cause, error: rejection, mayHaveRun: mayHaveRun || this.host.mayHaveRun }, fiber)
  }

  /** What follows an attempt whose value asks for another try: a delay and the next one, or the value. */
  onUnwantedValue(value: unknown, fiber: AnyFiber): AnyEffect {
    this.attempts += 1
    this.mayHaveRun = true
    const last = { value }
    this.last = last
    this.timedOut = EffectErrors.isTimeout(value)
    return this.next(value, fiber, (reason) => this.endWith(reason, last, fiber))
  }

  private endWith(reason: Event.GiveUpReason, last: Last, fiber: AnyFiber): AnyEffect {
    if ("cause" in last) return this.giveUp(reason, last, fiber)
    this.reportGaveUp(reason, last.value, fiber)
    return Effect.succeed(last.value)
  }

  private next(input: unknown, fiber: AnyFiber, stop: Stop): AnyEffect {
    const elapsed = Time.monotonicMillis(fiber) - this.startedAt
    // Wall time for schedules that read the calendar, advanced by the monotonic clock.
    const now = this.startedEpoch + elapsed
    return Pull.matchEffect(this.takeStep(now, input, fiber), {
      onSuccess: (decided) => {
        const read = Result.try(() => this.delayOf(decided))
        if (Result.isFailure(read)) return this.endWithDefect(Cause.die(read.failure))
        const delay = read.success
        const [output] = decided
        const decision = this.decide(input, delay, fiber)
        if (typeof decision === "string") return this.end(decision, input, elapsed, stop)
        const duration = Duration.millis(decision)
        const attempt = this.record(input, duration, elapsed)
        this.reportScheduled(attempt, duration, fiber)
        const metadata: Schedule.Metadata = {
          input,
          output,
          duration,
          attempt: this.attempts,
          start: this.startedEpoch,
          now,
          elapsed,
          elapsedSincePrevious: this.startedAt + elapsed - this.previousEnd
        }
        this.previousEnd = this.startedAt + elapsed
        const next = Effect.flatMap(Timer.sleep(decision), () => this.host.nextAttempt(metadata))
        const hook = this.settings.onRetry
        if (hook === undefined) return next
        const run = inOwnFiber(this.settings.where, "onRetry", () => hook(attempt), fiber)
        return Effect.matchCauseEffect(this.boundByDeadline(run, fiber), {
          onSuccess: () => (decision >= this.remaining(fiber) ? stop("deadline") : next),
          onFailure: (cause) => this.endWithDefect(cause)
        })
      },
      onFailure: (cause) => this.endWithDefect(cause),
      onDone: (reason) => this.end(reason === cutByDeadline ? "deadline" : "attempts", input, elapsed, stop)
    })
  }

  /** What the schedule or the hook ended with. A defect of theirs stands beside the failure that came before it, which it must not hide. */
  private endWithDefect(cause: Cause.Cause<unknown>): AnyEffect {
    const { last } = this
    return Effect.failCause(
      last !== undefined && "cause" in last && Cause.hasDies(cause) ? beside(last.cause, cause) : cause
    )
  }

  /** The delay that a step decided, in milliseconds. In plain JavaScript a step may return anything. */
  private delayOf(decided: readonly [unknown, Duration.Duration]): number {
    const { where } = this.settings
    const read = (wait: Duration.Duration): number =>
      Duration.isDuration(wait)
        ? Duration.toMillis(wait)
        : Check.millis(where, "schedule", wait, { zero: true, infinite: true })
    const delay = attempt(() => read(decided[1]), NaN)
    return Number.isNaN(delay) ? Check.invalid(where, "schedule", "steps of an output and a Duration", decided) : delay
  }

  /** An effect of the schedule. */
  private schedule<A, E>(make: () => Effect.Effect<A, E, any>, fiber: AnyFiber): Effect.Effect<A, E, any> {
    const { backoff, where } = this.settings
    return backoff !== undefined ? make() : inOwnFiber(where, "schedule", make, fiber)
  }

  /** The next step of the schedule. Its own effects (`Schedule.tap`, `addDelay`) are bound by the policy's deadline too. */
  private takeStep(now: number, input: unknown, fiber: AnyFiber): ReturnType<Step> {
    const known = this.step
    const step =
      known === undefined
        ? Effect.flatMap(
            this.schedule(() => Schedule.toStep(this.settings.schedule), fiber),
            (step) => {
              this.step = step
              return this.schedule(() => step(now, input), fiber)
            }
          )
        : this.schedule(() => known(now, input), fiber)
    const remaining = this.host.deadline - Time.monotonicMillis(fiber)
    // The owner of a deadline around this retry interrupts it.
    if (remaining === Infinity) return step
    return runWithin(step, remaining, undefined, fiber, this.reporter.policy, () =>
      Exit.fail(Cause.Done(cutByDeadline))
    )
  }

  private end(reason: Event.GiveUpReason, input: unknown, elapsed: number, stop: Stop): AnyEffect {
    this.record(input, undefined, elapsed)
    return stop(reason)
  }

  /** The delay before the next attempt in milliseconds, or why there is none. The budgets come last: they are charged. */
  private decide(input: unknown, delay: number, fiber: AnyFiber): number | Event.GiveUpReason {
    const decision = Decision.decide(
      { delay, retryAfter: askedMillis(input) },
      {
        maxRetryAfter: this.settings.maxRetryAfter,
        remaining: this.remaining(fiber) - this.host.needs,
        rejectedFor: this.host.rejectedFor(fiber)
      },
      () => fiber.getRef(Random.Random).nextDoubleUnsafe()
    )
    if (typeof decision === "string") return decision
    const allowance = fiber.getRef(CurrentAllowance)
    if (allowance !== undefined && allowance.left < 1) return "budget"
    if (!this.host.pays(this.timedOut, fiber)) return "budget"
    if (allowance !== undefined) allowance.left -= 1
    return decision
  }

  /** Milliseconds before the deadline: the policy's own or the one around it. */
  private remaining(fiber: AnyFiber): number {
    return Math.min(Deadline.remaining(fiber), this.host.deadline - Time.monotonicMillis(fiber))
  }

  private boundByDeadline(hook: Effect.Effect<unknown>, fiber: AnyFiber): Effect.Effect<unknown> {
    const remaining = this.remaining(fiber)
    return remaining === Infinity
      ? hook
      : runWithin<unknown, never>(hook, remaining, undefined, fiber, this.reporter.policy, () => Exit.void)
  }

  private record(error: unknown, delay: Duration.Duration | undefined, elapsed: number): EndedAttempt {
    const attempt: EndedAttempt = { attempt: this.attempts, error, elapsed: Duration.millis(elapsed), delay }
    const limit = this.settings.history
    if (limit > 0) this.history[this.historyCount++ % limit] = attempt
    return attempt
  }

  private giveUp(
    reason: Event.GiveUpReason,
    failure: Extract<Last, { readonly cause: unknown }>,
    fiber: AnyFiber
  ): AnyEffect {
    const gaveUp = this.reportGaveUp(reason, failure.error, fiber)
    // Effect remembers annotations by error object: what only decides beside a call adds none.
    if (fiber.getRef(Left.Observing)) return Effect.failCause(failure.cause)
    const cause = Cause.annotate(failure.cause, Context.make(GaveUp, gaveUp))
    return Effect.failCause(Left.record(cause, failure.mayHaveRun, fiber))
  }

  private reportScheduled({ attempt, error }: EndedAttempt, delay: Duration.Duration, fiber: AnyFiber): void {
    this.host.onRetryScheduled()
    const { reporter } = this
    if (!reporter.hasListeners) return
    const at = Time.epochMillis(fiber)
    reporter.emit(
      {
        _tag: "RetryScheduled",
        policy: reporter.policy,
        key: this.host.retryKey,
        at,
        attempt,
        delay,
        error
      },
      fiber
    )
  }

  private reportGaveUp(reason: Event.GiveUpReason, error: unknown, fiber: AnyFiber): GiveUp {
    this.host.onGaveUp(reason)
    const { attempts } = this
    const elapsed = Duration.millis(Time.monotonicMillis(fiber) - this.startedAt)
    const { reporter } = this
    if (reporter.hasListeners) {
      const at = Time.epochMillis(fiber)
      reporter.emit(
        {
          _tag: "GaveUp",
          policy: reporter.policy,
          key: this.host.retryKey,
          at,
          reason,
          attempts,
          elapsed,
          error
        },
        fiber
      )
    }
    const oldest = this.historyCount % Math.max(1, this.history.length)
    const history = [...this.history.slice(oldest), ...this.history.slice(0, oldest)]
    return { reason, error, attempts, elapsed, history }
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// `Retry.transient`
// ---------------------------------------------------------------------------------------------------------------------

export interface RetryEffectSettings extends RetrySettings {
  readonly name: string
  /** The budget of a gated schedule. */
  readonly gated: GatedSchedule | undefined
  /** Whether a successful value asks for another try. */
  readonly while: ((value: unknown) => boolean) | undefined
}

/** A retried effect: the frame of its attempts. What only a failure needs is created at the first failure. */
class RetryCall extends Frame<RetryEffectSettings, undefined> implements RetryHost {
  declare private budget: Budget | undefined
  declare private startedAt: number
  /** When the current attempt started. */
  declare private attemptAt: number
  declare private since: number
  declare private metadata: Schedule.Metadata | undefined
  declare private loop: RetryLoop | undefined

  constructor(settings: RetryEffectSettings, self: AnyEffect) {
    super(settings, undefined, self, undefined)
    this.budget = undefined
    this.startedAt = NaN
    this.attemptAt = NaN
    this.since = 0
    this.metadata = undefined
    this.loop = undefined
  }

  protected copy(): RetryCall {
    return new RetryCall(this.engine!, this.self)
  }

  protected prepare(settings: RetryEffectSettings, fiber: AnyFiber): undefined {
    this.budget = settings.gated?.budget(fiber)
    this.startedAt = Time.monotonicMillis(fiber)
    this.attemptAt = this.startedAt
    this.since = Left.recorded()
    this.metadata = undefined
    this.loop = undefined
  }

  enter(fiber: AnyFiber): AnyEffect {
    if (this.metadata !== undefined) {
      this.attemptAt = Time.monotonicMillis(fiber)
      return Effect.provideService(this.self, Schedule.CurrentMetadata, this.metadata)
    }
    this.budget?.deposit(this.retryKey, this.startedAt, fiber)
    return this.self
  }

  succeeded(value: unknown, fiber: AnyFiber): AnyEffect | undefined {
    this.budget?.answered(this.attemptAt, this.retryKey)
    return this.engine!.while?.(value) === true ? this.retryLoop(fiber).onUnwantedValue(value, fiber) : undefined
  }

  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    return this.retryLoop(fiber).onFailure(cause, fiber)
  }

  private retryLoop(fiber: AnyFiber): RetryLoop {
    const settings = this.engine!
    this.loop ??= new RetryLoop(settings, this, reporterOf(settings.name, fiber), this.startedAt, this.since, fiber)
    return this.loop
  }

  get retryKey(): string {
    return this.engine?.gated?.key ?? defaultKey
  }

  get deadline(): number {
    return Infinity
  }

  pays(timedOut: boolean, fiber: AnyFiber): boolean {
    const { attemptAt, budget, retryKey } = this
    return budget === undefined || budget.tryRetry(timedOut, budget.isOvertaken(attemptAt, retryKey), retryKey, fiber)
  }

  get needs(): number {
    return 0
  }

  /** The rejection may be one of a policy around the work, or inside it: that cannot be told here. */
  get mayHaveRun(): boolean {
    return true
  }

  rejectedFor(): number {
    return 0
  }

  onRetryScheduled(): void {}

  onGaveUp(): void {}

  nextAttempt(metadata: Schedule.Metadata): AnyEffect {
    this.metadata = metadata
    return this.reenter()
  }
}

let retained = false

export const retry = (settings: RetryEffectSettings) => {
  // Here and not at the top level: other parts of this module are used without `Retry.transient`.
  if (!retained) retainHiddenClass(new RetryCall(settings, Effect.void))
  retained = true
  return (self: AnyEffect): AnyEffect => new RetryCall(settings, self)
}
