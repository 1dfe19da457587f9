/**
 * Finds out how many calls a dependency can take at once, for a bulkhead that would otherwise need the number.
 *
 * It is the rule `limit` of an [adaptive](../../../docs/policies/adaptive.md) policy, alone.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Machine from "./machine/Adaptive.ts"
import * as Limit from "./machine/adaptive/Limit.ts"
import { lateAfter, need } from "./machine/adaptive/State.ts"
import * as Outcome from "./Outcome.ts"
import * as Rejection from "./Rejection.ts"
import * as EffectErrors from "./runtime/effectErrors.ts"
import * as Check from "./runtime/options.ts"
import type * as Stats from "./Stats.ts"
import * as Transient from "./Transient.ts"

/**
 * The mark of a limit.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-resilience/ConcurrencyLimit" as const

/**
 * A rule for the number of calls that run at once: the option `limit` of a bulkhead.
 *
 * @category models
 * @since 0.1.0
 */
export interface ConcurrencyLimit {
  readonly [TypeId]: unknown
  readonly name: string
  /** What it was created with; durations in milliseconds. */
  readonly settings: Readonly<Record<string, number>>
}

/**
 * Options of {@link adaptive}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The longest time for an answer, as in a `Timeout` around the work or inside it. An answer is late after a quarter of it, or after 20 mean
   * latencies if that is less; where answers usually take longer, after 3 mean latencies, up to 0.7 of it, and
   * before the first answer of a key after 0.7 of it. A duration above zero. Required.
   */
  readonly timeout: Duration.Input
}

/**
 * A limit that begins when answers are late in a row, more often than is usual for a key, and is lifted when it is not reached any more.
 *
 * **When to use** In a bulkhead whose dependency slows down under too many calls, at a number that is not known or changes.
 *
 * **Details** While nothing is wrong, up to `maxConcurrent` calls of the bulkhead run. A limit begins at what was usually in flight, and two
 * standard deviations more. Each further row of late answers multiplies it by 0.8, down to one call. Answers in time raise it while it is
 * reached, by one per round of calls. It is lifted when it was not reached for 2 seconds or 5 mean latencies, whichever is longer,
 * and few answers are late.
 *
 * A failure says nothing about a queue. An error that asks for fewer calls (throttled, or unprocessed with `retryAfter`) counts as late; so
 * does a call that was interrupted, or timed out, after an answer would have been late; before that it says nothing. A late call that a call
 * which began later has overtaken says nothing: it met one slow server.
 *
 * **Gotchas** Latencies are those of the work in the bulkhead: put a retry outside. That of a stream is the time to its first element. A
 * permit of `acquire` or of `http/HttpServer` has none. Streams after their first element and such permits take places of `maxConcurrent`,
 * and none of the limit.
 *
 * **Example** (At most 100 calls, and fewer while answers are late)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Bulkhead, ConcurrencyLimit } from "effect-resilience"
 *
 * const program = Effect.gen(function*() {
 *   const search = yield* Bulkhead.make("search", {
 *     maxConcurrent: 100,
 *     limit: ConcurrencyLimit.adaptive({ timeout: "1 second" })
 *   })
 *   yield* Effect.succeed("found").pipe(search.protect)
 *   const { adaptive } = yield* search.stats()
 *   return adaptive?.state
 * })
 * await Effect.runPromise(program) // => "free"
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const adaptive = (options: Options): ConcurrencyLimit => {
  const where = "ConcurrencyLimit.adaptive"
  Check.noUnknown(where, options, ["timeout"])
  const timeout = Check.millis(where, "timeout", options.timeout)
  return { [TypeId]: () => new Limiter(timeout), name: "adaptive", settings: { timeout } }
}

/**
 * Makes the limit of one key.
 *
 * @internal
 */
export const limiterOf = (limit: ConcurrencyLimit): Limiter =>
  // `adaptive` is the only one that makes such a value.
  (limit[TypeId] as () => Limiter)()

/** Nothing is drawn: it never paces. */
const noChance: Machine.Chance = { nextDoubleUnsafe: () => 0.5 }

/**
 * The limit of one key at run time.
 *
 * @internal
 */
export class Limiter {
  private readonly state = new Machine.State()
  private readonly flights = new Map<object, Machine.Flight>()
  /** Calls that go on after an answer. */
  private readonly held = new Set<object>()
  private readonly limits: Machine.Limits
  /** When the step that is under way began. */
  private now = 0
  /** What was reported last. */
  private reportedAt: number | undefined
  private reported = Number.POSITIVE_INFINITY

  constructor(timeout: number) {
    this.limits = { timeout, deadline: timeout, paces: false }
  }

  /** Calls that may run at once, without those that take no place of it; `Infinity` while there is no limit. */
  get limit(): number {
    const { control } = this.state
    return control === undefined ? Number.POSITIVE_INFINITY : Limit.most(control)
  }

  /** Calls that run and take no place of the limit: those that go on after an answer, and those that are late and were overtaken. */
  get beside(): number {
    return this.state.strays + this.held.size
  }

  /** A call came. */
  came(now: number): void {
    this.now = now
    Machine.came(this.state, this.limits, now, noChance)
  }

  /** It was not admitted at once, of a class that may use a share of the limit. */
  refused(share: number | undefined): void {
    Machine.admits(this.state, this.now, share)
  }

  /** A call was admitted, in the step that is under way. */
  sent(call: object): void {
    const flight = new Machine.Flight()
    this.flights.set(call, flight)
    // A timeout inside the work may be shorter than the one of the options: before it is late it says nothing.
    Machine.sent(this.state, flight, this.now, false, false, noChance)
  }

  /** A call goes on after an answer, or without having asked for one: in a limit it would keep a place for hours. */
  goesOn(call: object, isAnswered: boolean, now: number): void {
    if (this.answered(call, isAnswered ? "ok" : "unknown", now)) this.held.add(call)
  }

  /** A call has ended. Without an exit its end says nothing. */
  ended(call: object, exit: Exit.Exit<unknown, unknown> | undefined, now: number): void {
    const how = exit === undefined ? "unknown" : howOf(Outcome.classify(exit), causeOf(exit), false)
    if (!this.answered(call, how, now)) this.held.delete(call)
  }

  /** `false` of a call that is not in flight. */
  private answered(call: object, how: Machine.How, now: number): boolean {
    this.now = now
    const flight = this.flights.get(call)
    if (flight === undefined) return false
    this.flights.delete(call)
    Machine.ended(this.state, this.limits, flight, now, how, noChance)
    return true
  }

  /** A step begins in which no call ends. */
  stepped(now: number): void {
    this.now = now
  }

  /** No call waits. */
  emptied(): void {
    Machine.emptied(this.state)
  }

  /** Returns the limit before and after when, since the last read, one has begun, was lowered or was lifted. */
  changes(): { readonly limit: number; readonly before: number } | undefined {
    const { limit, reported: before } = this
    const changedAt = this.state.control?.changedAt
    // One that grows is not reported.
    if (limit === Number.POSITIVE_INFINITY ? before === limit : changedAt === this.reportedAt) return undefined
    this.reportedAt = changedAt
    this.reported = limit
    return { limit, before }
  }

  get why(): Rejection.Evidence {
    return whyOf(this.state, this.limits)
  }

  view(): Stats.Adaptive {
    return viewOf(this.state, this.limits, this.now, this.limit === Number.POSITIVE_INFINITY ? undefined : this.why)
  }
}

const causeOf = (exit: Exit.Exit<unknown, unknown>): Cause.Cause<unknown> | undefined =>
  Exit.isFailure(exit) ? exit.cause : undefined

// ---------------------------------------------------------------------------------------------------------------------
// What an adaptive policy uses too
// ---------------------------------------------------------------------------------------------------------------------

/** Does the dependency say that it is asked too much? That is no failure of it: it works as fast as it can. */
const isOverloaded = (error: unknown): boolean =>
  Rejection.is(error)
    ? !Rejection.isLocal(error) && (error as Rejection.Rejection)._tag === "BulkheadFull"
    : Transient.isThrottled(error) || (Transient.isUnprocessed(error) && Transient.retryAfter(error) !== undefined)

/**
 * What the end of an attempt says. `cause` is `undefined` after a success.
 *
 * @internal
 */
export const howOf = (
  outcome: Outcome.Outcome,
  cause: Cause.Cause<unknown> | undefined,
  deadlineHit: boolean
): Machine.How => {
  if (cause === undefined) return outcome === "success" ? "ok" : outcome === "failure" ? "failed" : "unknown"
  const errors = cause.reasons.flatMap((reason) => (Cause.isFailReason(reason) ? [reason.error] : []))
  if (!deadlineHit && errors.some(isOverloaded)) return "overloaded"
  if (outcome === "success") return "ok"
  const wasEnded = deadlineHit || Cause.hasInterruptsOnly(cause)
  if (outcome === "ignored") return wasEnded ? "cut" : "unknown"
  return wasEnded || errors.some(EffectErrors.isTimeout) ? "timeout" : "failed"
}

const round = (value: number): number => Math.round(value * 100) / 100

/**
 * Which rule holds, and on which figures.
 *
 * @internal
 */
export const whyOf = (state: Machine.State, limits: Machine.Limits): Rejection.Evidence => {
  const { control, failuresInRow, late, noAnswer } = state
  const common = { late: round(late), noAnswer: round(noAnswer), mean: Math.round(need(state)) }
  if (control?.mode === Machine.Paced && control.failing) {
    return { trip: "adaptive.failures", figures: { failures: failuresInRow, ...common } }
  }
  return {
    trip: control?.ramping === true ? "adaptive.ramp" : "adaptive.late",
    figures: { ...common, lateAfter: Math.round(lateAfter(state, limits)) }
  }
}

/**
 * A key for its stats.
 *
 * @internal
 */
export const viewOf = (
  state: Machine.State,
  limits: Machine.Limits,
  now: number,
  why: Rejection.Evidence | undefined
): Stats.Adaptive => {
  const { control } = state
  const mode = Machine.modeOf(state)
  const isPaced = control?.mode === Machine.Paced
  return {
    state: mode === Machine.Free ? "free" : mode === Machine.Limited ? "limited" : "paced",
    limit: control?.mode === Machine.Limited ? Limit.most(control) : undefined,
    inFlight: state.inFlight,
    gap: isPaced ? Duration.millis(control.gap) : undefined,
    nextProbe: isPaced ? Duration.millis(Math.max(0, control.nextAt - now)) : undefined,
    mean: Number.isNaN(state.mean) ? undefined : Duration.millis(state.mean),
    lateAfter: Duration.millis(lateAfter(state, limits)),
    late: state.late,
    why
  }
}
