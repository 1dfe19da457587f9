/** The dependency of a world: shards, each with workers, a queue and its faults. */
import * as Duration from "effect/Duration"
import * as Distribution from "../Distribution.ts"
import type { Engine } from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import { Failure } from "../Sender.ts"
import type { Attempt, Target } from "./attempt.ts"
import { Cache } from "./cache.ts"
import { type WaitQueue, waitQueueOf } from "./discipline.ts"
import { type Condition, type Segment, unreachable } from "./timeline.ts"

/** Receives the measurements of the dependency, in milliseconds of its workers. */
export interface Work {
  readonly sent: () => void
  readonly waited: (millis: number) => void
  readonly worked: (total: number, wasted: number) => void
  /** A worker is free, or the condition has changed. */
  readonly changed: () => void
}

export class Dependency implements Target {
  private readonly work: Work
  private readonly shards: ReadonlyArray<Shard>
  private readonly engine: Engine
  private readonly rtt: number
  private readonly quota: Quota | undefined

  constructor(engine: Engine, scenario: Scenario, first: Segment, work: Work) {
    this.engine = engine
    this.rtt = scenario.rtt
    this.quota = scenario.quota === undefined ? undefined : new Quota(scenario.quota)
    const random = {
      service: engine.random("service"),
      errors: engine.random("errors"),
      keys: engine.random("keys")
    }
    this.work = work
    this.shards = first.shards.map((condition) => new Shard(engine, scenario, condition, work, random))
  }

  send(attempt: Attempt): void {
    const { part } = attempt
    part.sent += 1
    this.work.sent()
    const { engine, quota } = this
    if (quota === undefined || quota.take(engine.now)) this.shards[part.shard]!.send(attempt)
    else engine.after(this.rtt, () => attempt.abandoned === Infinity && attempt.answer(quota.refusal(engine.now)))
  }

  abandon(attempt: Attempt): void {
    this.shards[attempt.part.shard]!.abandon(attempt)
  }

  /** Whether an attempt sent now would be served before its timeout. */
  serves(shard: number): boolean {
    return this.shards[shard]!.serves()
  }

  /** Milliseconds until a worker would take an attempt that is sent now; `Infinity` if none would. */
  wait(shard: number): number {
    return this.shards[shard]!.wait()
  }

  /** Attempts that wait. */
  get queued(): number {
    return this.shards.reduce((sum, shard) => sum + shard.queued, 0)
  }

  change(segment: Segment): void {
    this.shards.forEach((shard, index) => {
      shard.change(segment.shards[index]!)
    })
  }
}

/** The calls of a second that are accepted. */
class Quota {
  private readonly perSecond: number
  private second = -1
  private left = 0

  constructor(perSecond: number) {
    this.perSecond = perSecond
  }

  take(now: number): boolean {
    const second = Math.floor(now / 1000)
    // What is not used is not saved, but a fraction of a call is.
    this.left = Math.min(Math.ceil(this.perSecond), this.left + this.perSecond * (second - this.second))
    this.second = second
    if (this.left < 1 - 1e-9) return false
    this.left -= 1
    return true
  }

  refusal(now: number): Failure {
    return new Failure("quota", Duration.millis(1000 - (now % 1000)))
  }
}

/** A stream of random numbers in [0, 1) for each random decision. */
type Random = Readonly<Record<"service" | "errors" | "keys", () => number>>

class Shard {
  private readonly engine: Engine
  private readonly scenario: Scenario
  private readonly report: Work
  private readonly random: Random
  private readonly workers: number
  private readonly room: number
  private readonly mean: number
  private readonly waiting: WaitQueue
  private readonly working = new Set<Attempt>()
  /** Abandoned attempts in the queue. If hanging up cancels work, they do not count against its length. */
  private gone = 0
  private condition: Condition
  private cache: Cache | undefined = undefined

  constructor(engine: Engine, scenario: Scenario, condition: Condition, work: Work, random: Random) {
    this.engine = engine
    this.scenario = scenario
    this.condition = condition
    this.report = work
    this.random = random
    this.workers = scenario.workers / scenario.shards
    this.room = Math.floor(scenario.queue / scenario.shards)
    this.waiting = waitQueueOf(scenario.discipline, (attempt) => this.reply(this.left(attempt), new Failure("dropped")))
    this.mean = Distribution.cut(scenario.service, Infinity).mean
  }

  get queued(): number {
    return this.waiting.size - this.gone
  }

  private get capacity(): number {
    return Math.round(this.workers * this.condition.capacity)
  }

  wait(): number {
    if (unreachable(this.condition) || this.capacity === 0) return Infinity
    if (this.working.size < this.capacity) return 0
    return this.queued < this.room ? ((this.waiting.ahead(this.engine.now) + 1) * this.work) / this.capacity : Infinity
  }

  /** Milliseconds of a worker for an attempt, on average. */
  get work(): number {
    return this.mean * this.condition.slow * (this.cache?.slowdown ?? 1)
  }

  serves(): boolean {
    if (unreachable(this.condition) || this.capacity === 0) return false
    const { now } = this.engine
    const time = this.work
    const free = this.working.size < this.capacity
    const wait = free ? 0 : ((this.waiting.ahead(now) + 1) * time) / this.capacity
    return (
      this.queued < this.room + (free ? 1 : 0) &&
      wait <= this.waiting.maxWait(now) &&
      wait + time + this.scenario.rtt <= this.scenario.timeout
    )
  }

  send(attempt: Attempt): void {
    // A black hole: the attempt is lost without a response.
    if (this.condition.hangs) return
    if (this.condition.down) this.reply(attempt, new Failure("refused"))
    else if (this.working.size < this.capacity) this.begin(attempt)
    else if (this.queued < this.room) this.queue(attempt)
    else this.reply(attempt, new Failure("full"))
  }

  abandon(attempt: Attempt): void {
    attempt.abandoned = this.engine.now
    if (!this.scenario.cancels) return
    if (attempt.waits) this.gone += 1
    if (!this.working.has(attempt)) return
    attempt.done?.cancel()
    this.end(attempt)
    this.next()
  }

  change(condition: Condition): void {
    const fell = condition.down && !this.condition.down
    this.condition = condition
    if (condition.empties !== undefined) this.cache = new Cache(condition.empties)
    if (fell) this.crash()
    this.next()
  }

  private queue(attempt: Attempt): void {
    attempt.waits = true
    this.waiting.push(attempt)
  }

  /** Marks an attempt as out of the queue. */
  private left(attempt: Attempt): Attempt {
    attempt.waits = false
    if (this.scenario.cancels && attempt.abandoned < Infinity) this.gone -= 1
    return attempt
  }

  private begin(attempt: Attempt): void {
    const now = this.engine.now
    attempt.started = now
    this.report.waited(now - attempt.sent)
    this.working.add(attempt)
    const { cache, random, condition } = this
    const missing = cache?.miss(random.keys())
    const slow = missing === undefined ? condition.slow : condition.slow * cache!.factor
    const time = Distribution.quantile(this.scenario.service, random.service()) * slow
    const luck = random.errors()
    attempt.done = this.engine.after(time, () => {
      const failed = luck < this.condition.errors
      if (missing !== undefined && !failed) cache!.put(missing)
      this.end(attempt)
      this.reply(attempt, failed ? new Failure("failed") : undefined)
      this.next()
    })
  }

  private end(attempt: Attempt): void {
    this.working.delete(attempt)
    const total = this.engine.now - attempt.started
    this.report.worked(total, Math.min(total, Math.max(0, this.engine.now - attempt.forgotten)))
  }

  private next(): void {
    while (this.working.size < this.capacity) {
      const attempt = this.waiting.take(this.engine.now)
      if (attempt === undefined) break
      this.left(attempt)
      if (this.scenario.cancels && attempt.abandoned < Infinity) continue
      this.begin(attempt)
    }
    this.report.changed()
  }

  private crash(): void {
    for (const attempt of this.working) {
      attempt.done?.cancel()
      this.end(attempt)
      this.reply(attempt, new Failure("refused"))
    }
    for (let attempt = this.waiting.shift(); attempt !== undefined; attempt = this.waiting.shift()) {
      this.reply(this.left(attempt), new Failure("refused"))
    }
  }

  private reply(attempt: Attempt, failure: Failure | undefined): void {
    if (this.condition.hangs || attempt.abandoned < Infinity) return
    this.engine.after(this.scenario.rtt, () => attempt.answer(failure))
  }
}
