/** The counters of one key of a policy: the hot path increments numbers, and stats copy them. */
import * as Duration from "effect/Duration"
import type { GiveUpReason } from "../Event.ts"
import * as Histogram from "../machine/Histogram.ts"
import * as Window from "../machine/Window.ts"
import type { Outcome } from "../Outcome.ts"
import type { Rejection } from "../Rejection.ts"

/** The window of success rate and latency. */
export const window = Duration.seconds(10)
const length = Duration.toMillis(window)

export class Counters {
  calls = 0
  successes = 0
  failures = 0
  ignored = 0
  retries = 0
  timeouts = 0
  running = 0
  readonly rejections: Record<Rejection["_tag"], number> = { CircuitOpen: 0, BulkheadFull: 0, DeadlineExceeded: 0 }
  readonly giveUps: Record<GiveUpReason, number> = { attempts: 0, budget: 0, deadline: 0, rejected: 0, retryAfter: 0 }
  private readonly outcomes = Window.makeTime(length)
  private readonly latencies = Histogram.make(length)
  /** The end of the newest bucket: comparing with it costs less than computing the bucket. */
  private ends = 0

  record(outcome: Outcome, duration: number, now: number): void {
    if (outcome === "ignored") {
      this.ignored += 1
      return
    }
    const failed = outcome === "failure"
    if (failed) this.failures += 1
    else this.successes += 1
    if (now >= this.ends) this.advance(now)
    Window.count(this.outcomes, failed)
    Histogram.record(this.latencies, duration)
  }

  private advance(now: number): void {
    const { latencies, outcomes } = this
    Window.advance(outcomes, now)
    // A generation is as long as the window: it can be over only when a bucket is.
    Histogram.advance(latencies, now)
    this.ends = (outcomes.tick + 1) * outcomes.width
  }

  totals() {
    const { calls, failures, giveUps, ignored, rejections, retries, successes, timeouts } = this
    return {
      calls,
      successes,
      failures,
      ignored,
      rejections: { ...rejections },
      retries,
      giveUps: { ...giveUps },
      timeouts
    }
  }

  recent(now: number) {
    this.advance(now)
    const { totalCalls, totalMarked } = this.outcomes
    const quantile = (q: number): Duration.Duration => Duration.millis(Histogram.quantile(this.latencies, q, now) ?? 0)
    return {
      window,
      attempts: totalCalls,
      successRate: totalCalls === 0 ? undefined : (totalCalls - totalMarked) / totalCalls,
      // The histogram covers between one and two windows.
      latency: totalCalls === 0 ? undefined : { p50: quantile(0.5), p90: quantile(0.9), p99: quantile(0.99) }
    }
  }
}
