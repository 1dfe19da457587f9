/** A call of a breaker that lasts as long as a stream. */
import type * as Cause from "effect/Cause"
import type * as Exit from "effect/Exit"
import * as Time from "../runtime/clock.ts"
import type { AnyFiber } from "../runtime/types.ts"
import { causeOf, type Hold } from "./acquire.ts"
import { retryAfterOf } from "./asked.ts"
import { BreakerCall } from "./breaker.ts"
import * as Protect from "./protect.ts"

export class BreakerHold extends BreakerCall implements Hold {
  /** When the dependency responded. */
  private respondedAt = NaN
  /** A probe is settled when the dependency responds. */
  private settled = false

  protected override copy(): BreakerHold {
    return new BreakerHold(this.engine, this.service, this.self, this.options)
  }

  override succeeded(): undefined {}

  responded(fiber: AnyFiber): void {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return
    const now = Time.monotonicMillis(fiber)
    this.respondedAt = now
    if (this.probe === 0) return
    this.settled = true
    engine.circuits.settle(cell, this, "success", this.startedAt, now, fiber)
  }

  end(exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber): void {
    const { cell, engine } = this
    if (cell === undefined || engine === undefined) return
    const { circuits, reporter } = engine
    this.cell = undefined
    const cause = causeOf(exit)
    const { defect, outcome, threw } =
      exit._tag === "Success" ? Protect.success : Protect.classifySafely(this.options.classify ?? engine.classify, exit)
    const now = Time.monotonicMillis(fiber)
    cell.end(outcome, cause, now)
    if (!this.settled) {
      const retryAfter = cause !== undefined && outcome === "failure" ? retryAfterOf(cause) : undefined
      const duration = (Number.isNaN(this.respondedAt) ? now : this.respondedAt) - this.startedAt
      circuits.settle(cell, this, outcome, now - duration, now, fiber, retryAfter)
    }
    if (cause !== undefined && outcome === "ignored") reporter.ignored(cell.key, cause, fiber)
    if (threw) throw defect
  }

  left(cause: Cause.Cause<unknown>): Cause.Cause<unknown> {
    return cause
  }
}
