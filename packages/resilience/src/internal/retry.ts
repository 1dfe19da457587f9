/** The decisions of one retried call. Used by Retry and Policy, which bring the attempts. */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type * as Event from "../Event.ts"
import * as Rejection from "../Rejection.ts"
import * as Transient from "../Transient.ts"
import type { Budget } from "./budget.ts"
import * as Deadline from "./deadline.ts"
import type { Reporter } from "./hub.ts"
import * as Options from "./options.ts"
import * as Time from "./time.ts"
import * as Limit from "./timeout.ts"
import type { AnyEffect, AnyFiber, AnySchedule } from "./types.ts"

/** One attempt that failed and was followed by a retry, or was the last. */
export interface Attempt {
  readonly attempt: number
  readonly error: unknown
  readonly elapsed: Duration.Duration
  readonly delay: Duration.Duration | undefined
}

/** What is on the cause of the error that a retry gave up on. */
export interface GiveUp {
  readonly reason: Event.GiveUpReason
  /** The error it gave up on. */
  readonly error: unknown
  readonly attempts: number
  readonly elapsed: Duration.Duration
  readonly history: ReadonlyArray<Attempt>
}

export class GaveUp extends Context.Service<GaveUp, GiveUp>()("effect-resilience/Retry/GaveUp") {}

/**
 * Transient errors that have left a retry: what the types call exhausted. The annotation says more, but is lost when
 * somebody catches such an error and fails with it again. A retry does not look here: a program may fail with the same
 * error object in many calls.
 */
const exhausted = new WeakSet<object>()

const exhaust = (cause: Cause.Cause<unknown>): void => {
  for (const reason of cause.reasons) {
    if (reason._tag === "Fail" && Transient.is(reason.error)) exhausted.add(reason.error)
  }
}

/** Is this the failure of a retry that gave up? */
export const isExhausted = (reason: Cause.Fail<unknown>): boolean =>
  reason.annotations.has(GaveUp.key) ||
  (typeof reason.error === "object" && reason.error !== null && exhausted.has(reason.error))

export interface RetryOptions {
  readonly unprocessedOnly?: boolean | undefined
  readonly maxRetryAfter?: Duration.Input | undefined
  readonly onRetry?: ((attempt: Attempt) => Effect.Effect<unknown>) | undefined
}

/** Defaults of a retry; the only place where they stand. */
export const defaults = {
  times: 2,
  base: "100 millis",
  cap: "5 seconds",
  jitter: "full",
  maxRetryAfter: "1 minute"
} as const

/** The names of a retry's options. */
export const names = ["unprocessedOnly", "maxRetryAfter", "onRetry"]

/** What does not change from call to call. */
export class Plan {
  readonly schedule: AnySchedule
  readonly unprocessedOnly: boolean
  readonly maxRetryAfter: number
  readonly onRetry: RetryOptions["onRetry"]

  constructor(where: string, schedule: AnySchedule, options: RetryOptions | undefined) {
    if (!Schedule.isSchedule(schedule)) Options.reject(where, "schedule", "a Schedule", schedule)
    this.schedule = schedule
    this.unprocessedOnly = options?.unprocessedOnly ?? false
    if (typeof this.unprocessedOnly !== "boolean") {
      Options.reject(where, "unprocessedOnly", "true or false", this.unprocessedOnly)
    }
    this.maxRetryAfter = Options.millis(where, "maxRetryAfter", options?.maxRetryAfter ?? defaults.maxRetryAfter, {
      zero: true,
      infinite: true
    })
    this.onRetry = options?.onRetry
    if (this.onRetry !== undefined && typeof this.onRetry !== "function") {
      Options.reject(where, "onRetry", "a function", this.onRetry)
    }
  }
}

/** Who retries, for events. */
export interface Who {
  readonly key: string
  readonly reporter: Reporter
  readonly budget: Budget | undefined
  /** The policy's own deadline, a monotonic instant; the one in the fiber's context holds besides. */
  readonly deadline?: number | undefined
  /** Would an attempt be refused for longer than so many milliseconds? Then there is no sense in waiting and paying for it. */
  readonly refuses?: ((delay: number, fiber: AnyFiber) => boolean) | undefined
  /** Told of each decision and of giving up, for counters. */
  readonly decided?: (() => void) | undefined
  readonly gaveUp?: ((reason: Event.GiveUpReason) => void) | undefined
}

/** Makes the next attempt; the metadata is for the work to see. */
type Again = (metadata: Schedule.Metadata) => AnyEffect

/** Attempts kept in a history: a retry without an end must not grow without one. */
const remembered = 100

type Step = (now: number, input: unknown) => Pull.Pull<[unknown, Duration.Duration], unknown, unknown, unknown>

/** The failure of an attempt that another try may cure: its error, or `undefined`. */
const retryable = (cause: Cause.Cause<unknown>, unprocessedOnly: boolean): { readonly error: unknown } | undefined => {
  let found: { readonly error: unknown } | undefined
  for (const reason of cause.reasons) {
    // A defect or an interruption is nothing to try again, whatever it comes with.
    if (reason._tag !== "Fail") return undefined
    // Of failures that came together, one that cannot be cured is enough.
    if (Rejection.is(reason.error) || !Transient.is(reason.error)) return undefined
    // Already retried and given up on: retries do not multiply. An error made of such a one is a new one.
    const gaveUp = Context.getOption(Cause.reasonAnnotations(reason), GaveUp)
    if (Option.isSome(gaveUp) && gaveUp.value.error === reason.error) return undefined
    if (unprocessedOnly && !Transient.isUnprocessed(reason.error)) return undefined
    found ??= { error: reason.error }
  }
  return found
}

/** The rejection that a cause consists of, if it does. */
const rejectionOf = (cause: Cause.Cause<unknown>): Rejection.Rejection | undefined => {
  const reason = cause.reasons.length === 1 ? cause.reasons[0]! : undefined
  return reason?._tag === "Fail" && Rejection.is(reason.error) ? reason.error : undefined
}

export class Retrying {
  private readonly plan: Plan
  private readonly who: Who
  private readonly started: number
  private readonly startedEpoch: number
  private previous: number
  /** Attempts made and ended. */
  private attempts = 0
  /** A ring of the last ones: shifting an array of them would cost more than the rest of a retry. */
  private readonly history: Array<Attempt> = []
  private remembering = 0
  private step: Step | undefined
  /** The last failure that was the dependency's own. */
  private real: Cause.Cause<unknown> | undefined

  /** Made at the first failure, so that a call that succeeds pays nothing; `started` is when its first attempt began. */
  constructor(plan: Plan, who: Who, started: number, fiber: AnyFiber) {
    this.plan = plan
    this.who = who
    this.started = started
    this.startedEpoch = fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
    this.previous = started
  }

  /** What follows the failure of an attempt: a pause and then `again`, the last real failure, or nothing new. */
  failed(cause: Cause.Cause<unknown>, fiber: AnyFiber, again: Again): AnyEffect | undefined {
    this.attempts += 1
    const found = retryable(cause, this.plan.unprocessedOnly)
    if (found !== undefined) {
      this.real = cause
      return this.decide(found.error, fiber, again, (reason) => this.giveUp(reason, cause, fiber))
    }
    exhaust(cause)
    const rejection = this.real === undefined ? undefined : rejectionOf(cause)
    if (rejection === undefined || this.real === undefined) return undefined
    // What never ran was no attempt.
    if (Rejection.neverRan(rejection)) this.attempts -= 1
    return this.giveUp(rejection._tag === "DeadlineExceeded" ? "deadline" : "rejected", this.real, fiber)
  }

  /** What follows an attempt whose value asks for another try: a pause and then `again`, or the value. */
  unsatisfied(value: unknown, fiber: AnyFiber, again: Again): AnyEffect {
    this.attempts += 1
    return this.decide(value, fiber, again, (reason) => {
      this.tellGaveUp(reason, value, fiber)
      return Effect.succeed(value)
    })
  }

  private decide(
    input: unknown,
    fiber: AnyFiber,
    again: Again,
    stop: (reason: Event.GiveUpReason) => AnyEffect
  ): AnyEffect {
    const step = this.step
    if (step !== undefined) return this.next(step, input, fiber, again, stop)
    return Effect.flatMap(Schedule.toStep(this.plan.schedule), (step) => {
      this.step = step
      return this.next(step, input, fiber, again, stop)
    })
  }

  private next(
    step: Step,
    input: unknown,
    fiber: AnyFiber,
    again: Again,
    stop: (reason: Event.GiveUpReason) => AnyEffect
  ): AnyEffect {
    const elapsed = Time.monotonicMillis(fiber) - this.started
    // Wall time for schedules that look at the calendar, moved on by a clock that nobody sets.
    const now = this.startedEpoch + elapsed
    return Pull.matchEffect(step(now, input), {
      onSuccess: ([output, wait]) => {
        const delay = this.delay(input, wait, fiber)
        if (typeof delay === "string") {
          this.remember(input, undefined, elapsed)
          return stop(delay)
        }
        const attempt = this.remember(input, Duration.millis(delay), elapsed)
        this.tellDecided(attempt, fiber)
        const metadata: Schedule.Metadata = {
          input,
          output,
          duration: Duration.millis(delay),
          attempt: this.attempts,
          start: this.startedEpoch,
          now,
          elapsed,
          elapsedSincePrevious: this.started + elapsed - this.previous
        }
        this.previous = this.started + elapsed
        const next = Effect.flatMap(Effect.sleep(delay), () => again(metadata))
        const hook = this.plan.onRetry
        if (hook === undefined) return next
        return Effect.flatMap(this.inTime(hook(attempt), fiber), () =>
          delay >= this.left(fiber) ? stop("deadline") : next
        )
      },
      onFailure: Effect.failCause,
      onDone: () => {
        this.remember(input, undefined, elapsed)
        return stop("attempts")
      }
    })
  }

  /** Milliseconds before the deadline: the policy's own or the one around it. */
  private left(fiber: AnyFiber): number {
    const { deadline = Infinity } = this.who
    return Math.min(Deadline.remaining(fiber), deadline - Time.monotonicMillis(fiber))
  }

  /** A hook is not waited for past the deadline. */
  private inTime(hook: Effect.Effect<unknown>, fiber: AnyFiber): Effect.Effect<unknown> {
    const left = this.left(fiber)
    return left === Infinity ? hook : Limit.within<unknown, never>(hook, left, undefined, fiber, () => Exit.void)
  }

  /** The pause before the next attempt in milliseconds, or why there is none. The budget is asked last: it is charged. */
  private delay(input: unknown, wait: Duration.Duration, fiber: AnyFiber): number | Event.GiveUpReason {
    const asked = Transient.retryAfter(input)
    const pause = asked === undefined ? 0 : Duration.toMillis(asked)
    if (pause > this.plan.maxRetryAfter) return "retryAfter"
    const delay = Math.max(Duration.toMillis(wait), pause)
    if (delay >= this.left(fiber)) return "deadline"
    if (this.who.refuses?.(delay, fiber) === true) return "rejected"
    if (this.who.budget !== undefined && !this.who.budget.tryWithdraw(this.who.key, fiber)) return "budget"
    return delay
  }

  private remember(error: unknown, delay: Duration.Duration | undefined, elapsed: number): Attempt {
    const attempt: Attempt = { attempt: this.attempts, error, elapsed: Duration.millis(elapsed), delay }
    this.history[this.remembering++ % remembered] = attempt
    return attempt
  }

  private giveUp(reason: Event.GiveUpReason, cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect {
    const last = this.history[(this.remembering - 1) % remembered]
    const told = this.tellGaveUp(reason, last?.error, fiber)
    exhaust(cause)
    return Effect.failCause(Cause.annotate(cause, Context.make(GaveUp, told)))
  }

  private tellDecided(attempt: Attempt, fiber: AnyFiber): void {
    this.who.decided?.()
    const { key, reporter } = this.who
    if (!reporter.heard) return
    reporter.report({
      _tag: "RetryDecided",
      policy: reporter.policy,
      key,
      at: Time.epochMillis(fiber),
      attempt: attempt.attempt,
      delay: attempt.delay!,
      error: attempt.error
    })
  }

  private tellGaveUp(reason: Event.GiveUpReason, error: unknown, fiber: AnyFiber): GiveUp {
    this.who.gaveUp?.(reason)
    const elapsed = Duration.millis(Time.monotonicMillis(fiber) - this.started)
    const { key, reporter } = this.who
    if (reporter.heard) {
      reporter.report({
        _tag: "GaveUp",
        policy: reporter.policy,
        key,
        at: Time.epochMillis(fiber),
        reason,
        attempts: this.attempts,
        elapsed,
        error
      })
    }
    const oldest = this.remembering % remembered
    const history = [...this.history.slice(oldest), ...this.history.slice(0, oldest)]
    return { reason, error, attempts: this.attempts, elapsed, history }
  }
}
