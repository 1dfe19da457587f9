/** The workers of a real dependency and the queue before them, first come first served. Work is time that passes. */
import { Distribution, type Scenario } from "@effect-resilience/lab"
import { streamOf } from "../../../../lab/src/internal/random.ts"
import type { Condition } from "../../../../lab/src/internal/timeline.ts"
import { now } from "./clock.ts"
import { Lateness } from "./lateness.ts"

/** How a request ended: well, failed after the work, or without a place in the queue. */
export type Status = 200 | 503 | 429

/** A request. Moments on the clock that all processes share. */
export class Job {
  readonly came: number
  readonly answer: (status: Status) => void
  begun = -1
  due = Infinity
  /** When its client hung up. */
  abandoned = Infinity
  timer: NodeJS.Timeout | undefined

  constructor(came: number, answer: (status: Status) => void) {
    this.came = came
    this.answer = answer
  }
}

export class Workers {
  readonly lateness = new Lateness()
  worked = 0
  wasted = 0
  private readonly scenario: Scenario.Scenario
  private readonly measuredFrom: number
  private readonly service: () => number
  private readonly errors: () => number
  private readonly waiting: Array<Job> = []
  private readonly working = new Set<Job>()
  private condition: Condition

  constructor(scenario: Scenario.Scenario, seed: number, startsAt: number, condition: Condition) {
    this.scenario = scenario
    this.measuredFrom = startsAt + scenario.warmUp
    this.service = streamOf(seed, "service")
    this.errors = streamOf(seed, "errors")
    this.condition = condition
  }

  handle(job: Job): void {
    // A black hole: nobody ever hears of it.
    if (this.condition.hangs) return
    if (this.hasFree) this.begin(job, job.came)
    else if (this.waiting.length < this.scenario.queue) this.waiting.push(job)
    else job.answer(429)
  }

  hungUp(job: Job): void {
    job.abandoned = now()
    if (!this.scenario.cancels || !this.working.has(job)) return
    this.end(job, job.abandoned)
    this.next(job.abandoned)
  }

  change(condition: Condition): void {
    const falls = condition.down && !this.condition.down
    this.condition = condition
    const moment = now()
    if (falls) {
      for (const job of this.working) this.end(job, moment)
      this.waiting.length = 0
    }
    this.next(moment)
  }

  private get hasFree(): boolean {
    return this.working.size < Math.round(this.scenario.workers * this.condition.capacity)
  }

  private begin(job: Job, moment: number): void {
    job.begun = moment
    job.due = moment + Distribution.quantile(this.scenario.service, this.service()) * this.condition.slow
    const chance = this.errors()
    this.working.add(job)
    job.timer = setTimeout(
      () => {
        this.lateness.add(now() - job.due)
        this.end(job, job.due)
        if (!this.condition.hangs && job.abandoned === Infinity) job.answer(chance < this.condition.errors ? 503 : 200)
        this.next(job.due)
      },
      Math.max(0, job.due - now())
    )
  }

  private end(job: Job, moment: number): void {
    clearTimeout(job.timer)
    this.working.delete(job)
    if (moment < this.measuredFrom) return
    const total = moment - job.begun
    this.worked += total
    this.wasted += Math.min(total, Math.max(0, moment - job.abandoned))
  }

  /**
   * A worker is free since `moment`, which has passed: timers err by a millisecond or more. What waited then begins when
   * it should have, so that the error adds to an answer and never to the capacity.
   */
  private next(moment: number): void {
    while (this.hasFree) {
      const job = this.waiting.shift()
      if (job === undefined) return
      if (!this.scenario.cancels || job.abandoned === Infinity) this.begin(job, Math.max(job.came, moment))
    }
  }
}
