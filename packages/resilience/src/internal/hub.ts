/** How a policy reports: to its own listeners and to the program's, and at no cost when there are none. */

import type * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Event from "../Event.ts"
import * as Rejection from "../Rejection.ts"
import * as Listeners from "./listeners.ts"
import * as Time from "./time.ts"
import type { AnyFiber } from "./types.ts"

export class Reporter {
  readonly policy: string
  readonly own: Event.Hub
  private readonly here: ReadonlySet<(event: Event.Event) => void>
  private readonly everywhere: ReadonlySet<(event: Event.Event) => void>

  constructor(policy: string, own: Event.Hub, program: Event.Hub) {
    this.policy = policy
    this.own = own
    this.here = Listeners.of(own)
    this.everywhere = Listeners.of(program)
  }

  /** Ask before making an event. */
  get heard(): boolean {
    return this.here.size > 0 || this.everywhere.size > 0
  }

  report(event: Event.Event): void {
    for (const listener of this.here) listener(event)
    for (const listener of this.everywhere) listener(event)
  }

  rejected(key: string, rejection: Rejection.Rejection, fiber: AnyFiber): void {
    if (!this.heard) return
    this.report({ _tag: "Rejected", policy: this.policy, key, at: Time.epochMillis(fiber), rejection })
  }

  /** A failure that was not counted; interruption and rejections are nobody's failure. */
  ignored(key: string, cause: Cause.Cause<unknown>, fiber: AnyFiber): void {
    if (!this.heard) return
    if (!cause.reasons.some((reason) => reason._tag === "Fail" && !Rejection.is(reason.error))) return
    this.report({ _tag: "FailureIgnored", policy: this.policy, key, at: Time.epochMillis(fiber), failure: cause })
  }

  timeoutFired(key: string, after: Duration.Duration, fiber: AnyFiber): void {
    if (!this.heard) return
    this.report({ _tag: "TimeoutFired", policy: this.policy, key, at: Time.epochMillis(fiber), after })
  }
}

/** For a policy that has no listeners of its own: it reports to the program's. */
export const reporterOf = (policy: string, fiber: AnyFiber): Reporter =>
  new Reporter(policy, Event.makeHub(), fiber.getRef(Event.CurrentHub))
