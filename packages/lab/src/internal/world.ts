/** One run: a scenario, a sender, a seed. */
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Formatter from "effect/Formatter"
import * as Result from "effect/Result"
import * as Engine from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import type { Circuits, Sender } from "../Sender.ts"
import { nextCall } from "./arrivals.ts"
import { CallPart, type Target } from "./attempt.ts"
import { Dependency, type Work } from "./dependency.ts"
import { globalsOf } from "./globals.ts"
import { Insight, reveal } from "./insight.ts"
import { Ledger } from "./ledger.ts"
import { Errand } from "./process.ts"
import { Moments } from "./recording.ts"
import { Replay } from "./replay.ts"
import { indexBy } from "./shares.ts"
import { Fleet, Tier } from "./tier.ts"
import { type Segment, segmentAt, timelineOf } from "./timeline.ts"

/** Virtual time between two calls of `watch`, in milliseconds. */
const pollMs = 1000

/** A sender that has not ended a call this many deadlines after the run has lost it. */
const graceFactor = 10

/**
 * The most events of one moment. When a dependency goes down, it answers everyone in its queue at the same moment, and
 * each answer may be a dozen events.
 */
const maxEventsOf = ({ clients, fanOut, queue, workers }: Scenario): number =>
  100_000 + 50 * (queue + workers + clients * fanOut)

export class World {
  readonly ledger: Ledger
  readonly engine: Engine.Engine
  private readonly scenario: Scenario
  private readonly sender: Sender
  private readonly seed: number
  /** Runs synchronous code with the globals of the world. */
  private readonly withGlobals: ReturnType<typeof globalsOf>
  private readonly timeline: ReadonlyArray<Segment>
  private readonly dependency: Dependency | Replay
  private readonly callers: Fleet
  private readonly randomArrival: () => number
  private readonly randomRoute: () => number
  private readonly shardAt: (share: number) => number
  private readonly randomClass: () => number
  private readonly classAt: ((share: number) => number) | undefined
  private readonly fleets: Array<Fleet> = []
  /** The first defect of the sender. */
  private defect: Cause.Cause<unknown> | undefined = undefined

  constructor(scenario: Scenario, sender: Sender, seed: number) {
    this.scenario = scenario
    this.engine = Engine.make({ seed, maxEvents: maxEventsOf(scenario) })
    this.sender = sender
    this.seed = seed
    this.withGlobals = globalsOf(this.engine)
    this.ledger = new Ledger(scenario)
    this.timeline = timelineOf(scenario)
    const first = this.timeline[0]!
    this.randomArrival = this.engine.random("arrivals")
    this.randomRoute = this.engine.random("spread") // the name decides the numbers, so it never changes
    const { ledger, engine } = this
    const work: Work = {
      sent: () => ledger.add(ledger.attempts, engine.now),
      waited: (millis) => {
        ledger.waits += 1
        ledger.waited += millis
      },
      worked: (total, wasted) => {
        if (engine.now < ledger.from) return
        ledger.worked += total
        ledger.wasted += wasted
      },
      changed: () => insight.changed()
    }
    this.dependency =
      scenario.replay === undefined
        ? new Dependency(engine, scenario, first, work)
        : new Replay(engine, scenario, scenario.replay, first, work)
    const { dependency } = this
    const insight = new Insight(engine, dependency, scenario.timeout / 4)
    reveal(engine, insight)
    let target: Target = dependency
    for (let tier = scenario.tiers; tier > 1; tier--) {
      const [number, next] = [tier, target]
      const fleet = this.within(() => new Fleet(engine, scenario, sender, number, next))
      this.fleets.push(fleet)
      target = new Tier(engine, scenario, tier, fleet)
    }
    const last = target
    this.callers = this.within(() => new Fleet(engine, scenario, sender, 1, last))
    this.fleets.push(this.callers)
    this.shardAt = shardsOf(scenario)
    this.randomClass = this.engine.random("classes")
    this.classAt = scenario.classes && indexBy(Object.values(scenario.classes))
  }

  /**
   * Runs the world. `watch` is called with the virtual time once a virtual second, and ends the run by returning
   * `true`. Throws what the sender throws, and its first defect.
   */
  run(watch: (now: number) => boolean): void {
    const { ledger, engine } = this
    for (const segment of this.timeline) {
      engine.after(segment.at, () => this.dependency.change(segment))
    }
    if (this.scenario.arrivals === undefined) this.arrive(0)
    else this.follow(this.scenario.arrivals.factor, new Moments(this.scenario.arrivals.times), 0)
    const last = ledger.until + graceFactor * this.scenario.deadline
    for (let end = pollMs; ; end += pollMs) {
      const goesOn = this.within(() => engine.runUntil(Math.min(end, last)))
      if (this.defect !== undefined) {
        throw this.named("died", Cause.pretty(this.defect), Cause.squash(this.defect))
      }
      const isOver = watch(engine.now)
      if (isOver || !goesOn || end >= last || (engine.now > ledger.until && ledger.ended === ledger.calls)) return
    }
  }

  /** Runs code of the sender. An error says whose it is. */
  private within<A>(what: () => A): A {
    const result = Result.try({ try: () => this.withGlobals(what), catch: (error) => error })
    if (Result.isSuccess(result)) return result.success
    const { failure } = result
    const did = failure instanceof Engine.Livelock ? "goes on without end" : "threw"
    throw this.named(did, failure instanceof Error ? failure.message : Formatter.format(failure), failure)
  }

  private named(did: string, text: string, cause: unknown): Error {
    return new Error(`${this.sender.name} ${did} in ${this.scenario.name}, seed ${this.seed}:\n${text}`, { cause })
  }

  /** Attempts in the dependency's queue. */
  get queued(): number {
    return this.dependency.queued
  }

  /** The circuits of all clients, of every tier. */
  get circuits(): Circuits {
    const sum = { closed: 0, open: 0, halfOpen: 0 }
    for (const look of this.fleets.flatMap(({ looks }) => looks)) {
      const { closed, halfOpen, open } = look()
      sum.closed += closed
      sum.open += open
      sum.halfOpen += halfOpen
    }
    return sum
  }

  /** Schedules the first call after `from`. */
  private arrive(from: number): void {
    const at = nextCall(this.timeline, from, this.randomArrival())
    if (at >= this.ledger.until) return
    this.engine.after(at - this.engine.now, () => {
      this.arrive(at)
      this.call(at)
    })
  }

  /** Schedules the next recorded call, `factor` times on average. Copies arrive before the call after it. */
  private follow(factor: number, moments: Moments, index: number): void {
    const { ledger, engine } = this
    const at = moments.nth(index)
    if (at >= ledger.until) return
    const gap = Math.min(ledger.until, moments.nth(index + 1)) - at
    engine.after(at - engine.now, () => {
      this.follow(factor, moments, index + 1)
      const calls = Math.floor(factor * segmentAt(this.timeline, at).surge + this.randomArrival())
      for (let copy = 0; copy < calls; copy++) {
        if (copy === 0) this.call(at)
        else engine.after(this.randomArrival() * gap, () => this.call(engine.now))
      }
    })
  }

  private call(at: number): void {
    const { ledger, scenario } = this
    const process = this.callers.at(this.randomRoute())
    const classIndex = this.classAt?.(this.randomClass())
    const criticality = classIndex === undefined ? undefined : ledger.classes[classIndex]
    ledger.calls += 1
    ledger.add(ledger.offered, at)
    const call = new PendingCall(scenario.fanOut, classIndex)
    for (let index = 0; index < scenario.fanOut; index++) {
      const part = new CallPart(scenario.shards === 1 ? 0 : this.shardAt(this.randomRoute()), at + scenario.deadline)
      const errand = new Errand()
      const fiber = process.call(part, errand, part.over, criticality)
      fiber.addObserver((exit) => {
        if (this.defect === undefined && Exit.isFailure(exit) && Exit.hasDies(exit)) this.defect = exit.cause
        this.ended(at, call, part, Exit.isSuccess(exit), errand.isServed)
      })
    }
  }

  private ended(at: number, call: PendingCall, part: CallPart, isAnswered: boolean, isServed: boolean): void {
    const { ledger, engine, scenario } = this
    part.over = Math.min(part.over, engine.now)
    const latency = engine.now - at
    const isInTime = isAnswered && latency <= scenario.deadline
    const isGood = isInTime && isServed
    ledger.addPart(at, part.shard, isGood)
    if (!isInTime) call.areInTime = false
    if (!isServed) call.areServed = false
    if (!isAnswered && part.sent === 0) {
      call.isRejected = true
      if (this.dependency.serves(part.shard)) call.isFalselyRejected = true
    }
    call.left -= 1
    if (call.left > 0) return
    ledger.ended += 1
    const isInFault = at >= ledger.from && at < ledger.clear
    if (call.classIndex !== undefined && isInFault) {
      ledger.offeredIn[call.classIndex]! += 1
      if (call.areInTime && call.areServed) ledger.goodIn[call.classIndex]! += 1
    }
    if (call.areInTime) {
      ledger.add(call.areServed ? ledger.good : ledger.degraded, at)
      if (call.areServed && isInFault) ledger.latencies.push(latency)
      return
    }
    if (isInFault) {
      ledger.failed += 1
      ledger.failWait += Math.min(latency, scenario.deadline)
    }
    if (call.isRejected) {
      ledger.add(ledger.rejected, at)
      if (call.isFalselyRejected) ledger.add(ledger.falselyRejected, at)
    }
  }
}

/** A call whose parts have not all ended. */
class PendingCall {
  left: number
  areInTime = true
  areServed = true
  isRejected = false
  isFalselyRejected = false
  readonly classIndex: number | undefined

  constructor(left: number, classIndex: number | undefined) {
    this.left = left
    this.classIndex = classIndex
  }
}

/** The shard of a number in [0, 1). */
const shardsOf = ({ shards, weights }: Scenario): ((share: number) => number) =>
  weights === undefined ? (share) => Math.floor(share * shards) : indexBy(weights)
