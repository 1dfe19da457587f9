/** A dependency that behaves as recorded: without workers and queue, each attempt independent of the others. */
import type { Engine } from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import { Failure } from "../Sender.ts"
import type { Call } from "../Trace.ts"
import type { Attempt, Target } from "./attempt.ts"
import type { Dependency, Work } from "./dependency.ts"
import { Moments } from "./recording.ts"
import { type Condition, type Segment, unreachable } from "./timeline.ts"

type Settings = NonNullable<Scenario["replay"]>

/** The recorded calls around each moment. */
export class Recording {
  private readonly calls: ReadonlyArray<Call>
  private readonly moments: Moments
  private readonly nearest: number
  private readonly within: number

  constructor({ calls, nearest, within }: Settings) {
    this.calls = calls
    this.moments = new Moments(calls.map(({ time }) => time))
    this.nearest = nearest
    this.within = within
  }

  /** A random call around a moment. */
  draw(moment: number, random: number): Call {
    const [begin, end] = this.moments.around(moment, this.nearest, this.within)
    return this.calls[begin + Math.floor(random * (end - begin))]!
  }

  /** The calls around a moment with a limit of `limit` milliseconds: the share that succeeds, and the mean time. */
  cut(moment: number, limit: number): { readonly done: number; readonly held: number } {
    const [begin, end] = this.moments.around(moment, this.nearest, this.within)
    let done = 0
    let held = 0
    for (let index = begin; index < end; index++) {
      const call = this.calls[index]!
      if (isGood(call, limit)) done += 1
      held += call.outcome === "timeout" ? limit : Math.min(call.latency, limit)
    }
    return { done: done / (end - begin), held: held / (end - begin) }
  }
}

const isGood = ({ latency, outcome }: Call, limit: number): boolean => outcome === "ok" && latency <= limit

/** How long the client waits for an attempt, in milliseconds. */
export const attemptLimitOf = ({ deadline, timeout }: Scenario): number => Math.min(timeout, deadline)

export class Replay implements Target, Pick<Dependency, "change" | "serves" | "wait"> {
  private readonly engine: Engine
  private readonly scenario: Scenario
  private readonly work: Work
  private readonly recording: Recording
  private readonly calls: () => number
  private readonly errors: () => number
  private readonly guesses: () => number
  private readonly running = new Set<Attempt>()
  private shards: ReadonlyArray<Condition>
  /** Attempts that wait. */
  readonly queued = 0

  constructor(engine: Engine, scenario: Scenario, replay: Settings, first: Segment, work: Work) {
    this.engine = engine
    this.scenario = scenario
    this.work = work
    this.recording = new Recording(replay)
    this.calls = engine.random("replay")
    this.errors = engine.random("errors")
    this.guesses = engine.random("guesses")
    this.shards = first.shards
  }

  send(attempt: Attempt): void {
    const { shard } = attempt.part
    const condition = this.shards[shard]!
    attempt.part.sent += 1
    this.work.sent()
    if (condition.hangs) return
    if (condition.down) {
      this.reply(attempt, new Failure("refused"), this.scenario.rtt)
      return
    }
    const { latency, outcome } = this.recording.draw(this.engine.now, this.calls())
    const luck = this.errors()
    // Its latency is unknown, so the attempt never ends.
    if (outcome === "timeout") return
    attempt.started = this.engine.now
    this.running.add(attempt)
    attempt.done = this.engine.after(latency * condition.slow, () => {
      this.end(attempt)
      const failed = outcome === "error" || luck < this.shards[shard]!.errors
      this.reply(attempt, failed ? new Failure("failed") : undefined, 0)
    })
  }

  abandon(attempt: Attempt): void {
    attempt.abandoned = this.engine.now
    if (!this.scenario.cancels) return
    attempt.done?.cancel()
    this.end(attempt)
  }

  /** Draws a recorded call to decide. */
  serves(shard: number): boolean {
    const condition = this.shards[shard]!
    if (unreachable(condition)) return false
    return isGood(this.recording.draw(this.engine.now, this.guesses()), attemptLimitOf(this.scenario) / condition.slow)
  }

  /** It has no queue. */
  wait(shard: number): number {
    return unreachable(this.shards[shard]!) ? Infinity : 0
  }

  change({ shards }: Segment): void {
    const before = this.shards
    this.shards = shards
    for (const attempt of this.running) {
      const { shard } = attempt.part
      if (!shards[shard]!.down || before[shard]!.down) continue
      attempt.done?.cancel()
      this.end(attempt)
      this.reply(attempt, new Failure("refused"), this.scenario.rtt)
    }
    this.work.changed()
  }

  private end(attempt: Attempt): void {
    if (!this.running.delete(attempt)) return
    const { now } = this.engine
    const total = now - attempt.started
    this.work.worked(total, Math.min(total, Math.max(0, now - attempt.forgotten)))
  }

  private reply(attempt: Attempt, failure: Failure | undefined, delay: number): void {
    if (this.shards[attempt.part.shard]!.hangs || attempt.abandoned < Infinity) return
    this.engine.after(delay, () => attempt.answer(failure))
  }
}
