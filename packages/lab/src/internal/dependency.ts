/** The dependency of a world: shards, each with workers and a queue, and whatever is wrong with them. */
import * as Distribution from "../Distribution.ts"
import type { Engine, Event } from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import { Failure } from "../Sender.ts"
import { Queue } from "./queue.ts"
import { type Condition, type Piece, unreachable } from "./timeline.ts"

/** One attempt, from when it is sent to when nobody waits for it any more. */
export class Attempt {
  readonly sent: number
  /** Is told how it ended, after the way back: with a failure, or well. */
  readonly answer: (failure: Failure | undefined) => void
  /** When work on it began, or -1. */
  started = -1
  /** When nobody waited for it any more. */
  abandoned = Infinity
  done: Event | undefined = undefined

  constructor(sent: number, answer: (failure: Failure | undefined) => void) {
    this.sent = sent
    this.answer = answer
  }
}

/** What the dependency notes down, in milliseconds of its workers. */
export interface Work {
  readonly waited: (millis: number) => void
  readonly worked: (total: number, wasted: number) => void
}

export class Dependency {
  private readonly shards: ReadonlyArray<Shard>

  constructor(engine: Engine, scenario: Scenario, first: Piece, work: Work) {
    const service = engine.random("service")
    const errors = engine.random("errors")
    this.shards = first.shards.map((condition) => new Shard(engine, scenario, condition, work, service, errors))
  }

  send(shard: number, attempt: Attempt): void {
    this.shards[shard]!.send(attempt)
  }

  abandon(shard: number, attempt: Attempt): void {
    this.shards[shard]!.abandon(attempt)
  }

  /** Would an attempt sent now be served before its client gives up? */
  serves(shard: number): boolean {
    return this.shards[shard]!.serves()
  }

  /** Attempts that wait. */
  get queued(): number {
    return this.shards.reduce((sum, shard) => sum + shard.queued, 0)
  }

  change(piece: Piece): void {
    this.shards.forEach((shard, index) => {
      shard.change(piece.shards[index]!)
    })
  }
}

class Shard {
  private readonly engine: Engine
  private readonly scenario: Scenario
  private readonly work: Work
  private readonly service: () => number
  private readonly errors: () => number
  private readonly workers: number
  private readonly room: number
  private readonly mean: number
  private readonly waiting = new Queue<Attempt>()
  private readonly working = new Set<Attempt>()
  private condition: Condition

  constructor(
    engine: Engine,
    scenario: Scenario,
    condition: Condition,
    work: Work,
    service: () => number,
    errors: () => number
  ) {
    this.engine = engine
    this.scenario = scenario
    this.condition = condition
    this.work = work
    this.service = service
    this.errors = errors
    this.workers = scenario.workers / scenario.shards
    this.room = Math.floor(scenario.queue / scenario.shards)
    this.mean = Distribution.cut(scenario.service, Infinity).mean
  }

  get queued(): number {
    return this.waiting.size
  }

  private get capacity(): number {
    return Math.round(this.workers * this.condition.capacity)
  }

  serves(): boolean {
    if (unreachable(this.condition) || this.capacity === 0) return false
    const time = this.mean * this.condition.slow
    const free = this.working.size < this.capacity
    const wait = free ? 0 : ((this.waiting.size + 1) * time) / this.capacity
    return this.waiting.size < this.room + (free ? 1 : 0) && wait + time + this.scenario.rtt <= this.scenario.timeout
  }

  send(attempt: Attempt): void {
    // A black hole: the attempt is gone, and nobody will ever say so.
    if (this.condition.hangs) return
    if (this.condition.down) this.reply(attempt, new Failure("refused"))
    else if (this.working.size < this.capacity) this.begin(attempt)
    else if (this.waiting.size < this.room) this.waiting.push(attempt)
    else this.reply(attempt, new Failure("full"))
  }

  abandon(attempt: Attempt): void {
    attempt.abandoned = this.engine.now
    if (!this.scenario.cancels || !this.working.has(attempt)) return
    attempt.done?.cancel()
    this.end(attempt)
    this.next()
  }

  change(condition: Condition): void {
    const fell = condition.down && !this.condition.down
    this.condition = condition
    if (fell) this.crash()
    this.next()
  }

  private begin(attempt: Attempt): void {
    const now = this.engine.now
    attempt.started = now
    this.work.waited(now - attempt.sent)
    this.working.add(attempt)
    const time = Distribution.quantile(this.scenario.service, this.service()) * this.condition.slow
    const fails = this.errors()
    attempt.done = this.engine.after(time, () => {
      this.end(attempt)
      this.reply(attempt, fails < this.condition.errors ? new Failure("failed") : undefined)
      this.next()
    })
  }

  private end(attempt: Attempt): void {
    this.working.delete(attempt)
    const total = this.engine.now - attempt.started
    this.work.worked(total, Math.min(total, Math.max(0, this.engine.now - attempt.abandoned)))
  }

  private next(): void {
    while (this.working.size < this.capacity) {
      const attempt = this.waiting.shift()
      if (attempt === undefined) return
      if (this.scenario.cancels && attempt.abandoned < Infinity) continue
      this.begin(attempt)
    }
  }

  private crash(): void {
    for (const attempt of this.working) {
      attempt.done?.cancel()
      this.end(attempt)
      this.reply(attempt, new Failure("refused"))
    }
    for (let attempt = this.waiting.shift(); attempt !== undefined; attempt = this.waiting.shift()) {
      this.reply(attempt, new Failure("refused"))
    }
  }

  private reply(attempt: Attempt, failure: Failure | undefined): void {
    if (this.condition.hangs || attempt.abandoned < Infinity) return
    this.engine.after(this.scenario.rtt, () => attempt.answer(failure))
  }
}
