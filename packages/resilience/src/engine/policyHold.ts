/** A call of a policy that lasts as long as a scope or a stream. */
import type * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { howOf } from "../ConcurrencyLimit.ts"
import * as Decision from "../machine/Retry.ts"
import type { Outcome } from "../Outcome.ts"
import * as Time from "../runtime/clock.ts"
import * as Check from "../runtime/options.ts"
import type { AnyEffect, AnyFiber } from "../runtime/types.ts"
import { causeOf, type Hold } from "./acquire.ts"
import { retryAfterOf } from "./asked.ts"
import * as Left from "./left.ts"
import { type Entry, PolicyCall, type PolicyEngine } from "./policy.ts"
import * as Protect from "./protect.ts"

/** An outcome as the adaptive part takes it. */
const hows = { success: "ok", failure: "failed", ignored: "unknown" } as const

/** What follows a call that is held, to decide beside it or in its place. */
export interface HoldFollower {
  responded(fiber: AnyFiber): void
  report(outcome: Outcome, retryAfter: Duration.Duration | undefined, fiber: AnyFiber): void
  /** The call has ended; only the first end counts. */
  end(exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber): void
}

export class PolicyHold extends PolicyCall implements Hold {
  follower: HoldFollower | undefined = undefined
  /** When the dependency responded, or the outcome was reported. */
  private respondedAt = NaN
  private reported: Outcome | undefined = undefined
  /** The circuit has taken an outcome before the end. */
  private settled = false

  /** Others decide beside this call; `work` is then what records the protected effect. */
  follow(follower: HoldFollower, work?: AnyEffect): void {
    this.follower = follower
    if (work !== undefined) this.self = work
  }

  protected override copy(): PolicyHold {
    return new PolicyHold(this.engine, this.service, this.self, this.options)
  }

  /** What is acquired is no work that could be done twice. */
  override get canHedge(): boolean {
    return false
  }

  override succeeded(): undefined {
    this.loop = undefined
    this.attempt.metadata = undefined
  }

  responded(fiber: AnyFiber): void {
    this.follower?.responded(fiber)
    const { attempt, entry } = this
    if (entry === undefined || !attempt.running) return
    this.respondedAt = Time.monotonicMillis(fiber)
    Decision.answered(entry, attempt.startedAt)
    this.answered(entry, "success", fiber)
    if (attempt.probe !== 0) this.settleCircuit(entry, "success", undefined, fiber)
  }

  /** The outcome, in place of that of the end. Only the first report counts. */
  report(outcome: Outcome, retryAfter: Duration.Duration | undefined, fiber: AnyFiber): void {
    this.follower?.report(outcome, retryAfter, fiber)
    const { attempt, entry } = this
    if (entry === undefined || !attempt.running || this.reported !== undefined) return
    this.reported = outcome
    this.respondedAt = Time.monotonicMillis(fiber)
    this.answered(entry, outcome, fiber)
    this.settleCircuit(entry, outcome, retryAfter, fiber)
  }

  /** To the adaptive part this is the end: a call that goes on would take a place of its limit, or that of a probe, for hours. */
  private answered(entry: Entry, outcome: Outcome, fiber: AnyFiber): void {
    const { attempt, engine, respondedAt } = this
    engine?.adaptive?.end(entry, attempt, hows[outcome], respondedAt, respondedAt, fiber)
  }

  /** Settles the circuit, at most once, with the time until the dependency responded or until now. */
  private settleCircuit(
    entry: Entry,
    outcome: Outcome,
    retryAfter: Duration.Duration | undefined,
    fiber: AnyFiber
  ): void {
    const circuits = this.engine?.circuits
    if (this.settled || circuits === undefined) return
    this.settled = true
    const { attempt, respondedAt } = this
    const now = Time.monotonicMillis(fiber)
    const startedAt = Number.isNaN(respondedAt) ? attempt.startedAt : now - (respondedAt - attempt.startedAt)
    circuits.settle(entry, attempt, outcome, startedAt, now, fiber, retryAfter)
  }

  end(exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber): void {
    this.follower?.end(exit, fiber)
    const { attempt, engine, entry } = this
    if (entry === undefined || engine === undefined || !attempt.running) return
    this.entry = undefined
    // First what is held: the user's functions below may throw.
    engine.permits?.release(entry, attempt)
    const cause = causeOf(exit)
    const { defect, outcome, threw } = this.judge(engine, cause, fiber)
    const now = Time.monotonicMillis(fiber)
    const endedAt = Number.isNaN(this.respondedAt) ? now : this.respondedAt
    engine.adaptive?.end(entry, attempt, howOf(outcome, cause, false), endedAt, now, fiber)
    attempt.running = false
    entry.lastUsed = Math.floor(now)
    entry.running -= 1
    engine.record(entry, outcome, cause, endedAt - attempt.startedAt, now)
    if (outcome === "success") Decision.answered(entry, attempt.startedAt)
    const retryAfter = cause !== undefined && outcome === "failure" ? retryAfterOf(cause) : undefined
    this.settleCircuit(entry, outcome, retryAfter, fiber)
    if (cause !== undefined && outcome === "ignored") engine.reporter.ignored(entry.key, cause, fiber)
    if (threw) throw defect
  }

  private judge(engine: PolicyEngine, cause: Cause.Cause<unknown> | undefined, fiber: AnyFiber): Protect.Classified {
    if (this.reported !== undefined) return Protect.plain[this.reported]
    if (cause === undefined) return Protect.success
    // A deadline that ends a call whose dependency has responded says nothing about the dependency.
    return Number.isNaN(this.respondedAt)
      ? this.classify(engine, cause, fiber)
      : Protect.classifySafely(this.options.classify ?? engine.settings.classify, Exit.failCause(cause))
  }

  /** As after a retry: what fails later is not repeated, and its type says so. */
  left(cause: Cause.Cause<unknown>, fiber: AnyFiber): Cause.Cause<unknown> {
    const retries = this.engine?.settings.retry !== undefined && this.options.retry !== false
    return retries ? Left.record(cause, true, fiber) : cause
  }
}

/** The reports of a permit of a policy. */
export const permitOf = (where: string, hold: PolicyHold) => {
  const report = (outcome: Outcome, retryAfter?: Duration.Input): Effect.Effect<void> =>
    Effect.withFiber((fiber) => {
      const requested =
        retryAfter === undefined
          ? undefined
          : Duration.millis(Check.millis(where, "retryAfter", retryAfter, { zero: true }))
      hold.report(outcome, requested, fiber)
      return Effect.void
    })
  return {
    succeed: report("success"),
    fail: (options?: { readonly retryAfter?: Duration.Input | undefined }) => report("failure", options?.retryAfter),
    ignore: report("ignored")
  }
}
