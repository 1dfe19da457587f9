/** One run: a scenario, a sender, a seed. */
import type * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Engine from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import type { Circuits, Sender } from "../Sender.ts"
import { nextCall } from "./arrivals.ts"
import { Errand, type Target } from "./attempt.ts"
import { Books } from "./books.ts"
import { Dependency, type Work } from "./dependency.ts"
import { Moments } from "./recording.ts"
import { Replay } from "./replay.ts"
import { Fleet, Tier } from "./tier.ts"
import { type Piece, pieceAt, timelineOf } from "./timeline.ts"

/** Virtual time between two looks of whoever watches, in milliseconds. */
const stride = 1000

/** A sender that has not ended a call so long after its deadline, in deadlines, never will. */
const patience = 10

export class World {
  readonly books: Books
  readonly engine: Engine.Engine
  private readonly scenario: Scenario
  private readonly timeline: ReadonlyArray<Piece>
  private readonly dependency: Dependency | Replay
  private readonly callers: Fleet
  private readonly chance: () => number
  private readonly spread: () => number
  private readonly shardAt: (share: number) => number
  private readonly fleets: Array<Fleet> = []
  /** The first bug of the sender that came to light. */
  defect: Cause.Cause<unknown> | undefined = undefined

  constructor(scenario: Scenario, sender: Sender, seed: number) {
    this.scenario = scenario
    this.engine = Engine.make({ seed })
    this.books = new Books(scenario)
    this.timeline = timelineOf(scenario)
    const first = this.timeline[0]!
    this.chance = this.engine.random("arrivals")
    this.spread = this.engine.random("spread")
    const { books, engine } = this
    const work: Work = {
      sent: () => books.add(books.attempts, engine.now),
      waited: (millis) => {
        books.waits += 1
        books.waited += millis
      },
      worked: (total, wasted) => {
        if (engine.now < books.from) return
        books.worked += total
        books.wasted += wasted
      }
    }
    this.dependency =
      scenario.replay === undefined
        ? new Dependency(engine, scenario, first, work)
        : new Replay(engine, scenario, scenario.replay, first, work)
    let target: Target = this.dependency
    for (let tier = scenario.tiers; tier > 1; tier--) {
      const fleet = new Fleet(engine, scenario, sender, tier, target)
      this.fleets.push(fleet)
      target = new Tier(engine, scenario, tier, fleet)
    }
    this.callers = new Fleet(engine, scenario, sender, 1, target)
    this.fleets.push(this.callers)
    this.shardAt = shardsOf(scenario)
  }

  /** Lets the world happen; `watch` is told how far it has come, once a second of its time, and may say that it is over. */
  run(watch: (now: number) => boolean): void {
    const { books, engine } = this
    for (const piece of this.timeline) {
      engine.after(piece.at, () => this.dependency.change(piece))
    }
    if (this.scenario.arrivals === undefined) this.arrive(0)
    else this.follow(this.scenario.arrivals.factor, new Moments(this.scenario.arrivals.times), 0)
    const last = books.until + patience * this.scenario.deadline
    for (let end = stride; ; end += stride) {
      const goesOn = engine.runUntil(Math.min(end, last))
      const isOver = watch(engine.now)
      if (isOver || !goesOn || end >= last || (engine.now > books.until && books.ended === books.calls)) return
    }
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

  /** The next call, from a moment at which one came. */
  private arrive(from: number): void {
    const at = nextCall(this.timeline, from, this.chance())
    if (at >= this.books.until) return
    this.engine.after(at - this.engine.now, () => {
      this.arrive(at)
      this.call(at)
    })
  }

  /** The next call that was recorded: so many times as many, on average. Copies come before the one after it. */
  private follow(factor: number, moments: Moments, index: number): void {
    const { books, engine } = this
    const at = moments.nth(index)
    if (at >= books.until) return
    const gap = Math.min(books.until, moments.nth(index + 1)) - at
    engine.after(at - engine.now, () => {
      this.follow(factor, moments, index + 1)
      const calls = Math.floor(factor * pieceAt(this.timeline, at).surge + this.chance())
      for (let copy = 0; copy < calls; copy++) {
        if (copy === 0) this.call(at)
        else engine.after(this.chance() * gap, () => this.call(engine.now))
      }
    })
  }

  private call(at: number): void {
    const { books, scenario } = this
    const process = this.callers.at(this.spread())
    books.calls += 1
    books.add(books.offered, at)
    const call = new Parts(scenario.fanOut)
    for (let part = 0; part < scenario.fanOut; part++) {
      const errand = new Errand(scenario.shards === 1 ? 0 : this.shardAt(this.spread()), at + scenario.deadline)
      const fiber = process.call(errand, errand.over)
      fiber.addObserver((exit) => {
        if (this.defect === undefined && Exit.isFailure(exit) && Exit.hasDies(exit)) this.defect = exit.cause
        this.ended(at, call, errand, Exit.isSuccess(exit))
      })
    }
  }

  private ended(at: number, call: Parts, errand: Errand, isAnswered: boolean): void {
    const { books, engine, scenario } = this
    errand.over = Math.min(errand.over, engine.now)
    const latency = engine.now - at
    const isGood = isAnswered && latency <= scenario.deadline
    books.part(at, errand.shard, isGood)
    if (!isGood) call.areGood = false
    if (!isAnswered && errand.sent === 0) {
      call.isRejected = true
      if (this.dependency.serves(errand.shard)) call.isFalselyRejected = true
    }
    call.left -= 1
    if (call.left > 0) return
    books.ended += 1
    if (call.areGood) {
      books.add(books.good, at)
      if (at >= books.from && at < books.clear) books.latencies.push(latency)
    } else if (call.isRejected) {
      books.add(books.rejected, at)
      if (call.isFalselyRejected) books.add(books.falselyRejected, at)
    }
  }
}

/** What has become of the parts of a call. */
class Parts {
  left: number
  areGood = true
  isRejected = false
  isFalselyRejected = false

  constructor(left: number) {
    this.left = left
  }
}

/** The shard at a number from 0 to below 1. */
const shardsOf = ({ shards, weights }: Scenario): ((share: number) => number) => {
  if (weights === undefined) return (share) => Math.floor(share * shards)
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  let sum = 0
  const ends = weights.slice(0, -1).map((weight) => {
    sum += weight
    return sum / total
  })
  return (share) => {
    const shard = ends.findIndex((end) => share < end)
    return shard === -1 ? shards - 1 : shard
  }
}
