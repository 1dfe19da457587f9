/** One run: a scenario, a sender, a seed. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Engine from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import { type Call, type Client, Failure, type Sender } from "../Sender.ts"
import { nextCall } from "./arrivals.ts"
import { Books } from "./books.ts"
import { Attempt, Dependency } from "./dependency.ts"
import { type Piece, timelineOf } from "./timeline.ts"

type Send = (call: Call) => Effect.Effect<unknown, unknown>

/** Virtual time between two looks of whoever watches, in milliseconds. */
const stride = 1000

/** A sender that has not ended a call so long after its deadline, in deadlines, never will. */
const patience = 10

export class World {
  readonly books: Books
  readonly engine: Engine.Engine
  private readonly scenario: Scenario
  private readonly timeline: ReadonlyArray<Piece>
  private readonly dependency: Dependency
  private readonly clients: ReadonlyArray<Send>
  private readonly chance: () => number
  private readonly spread: () => number

  constructor(scenario: Scenario, sender: Sender, seed: number) {
    this.scenario = scenario
    this.engine = Engine.make({ seed })
    this.books = new Books(scenario)
    this.timeline = timelineOf(scenario)
    const first = this.timeline[0]!
    this.chance = this.engine.random("arrivals")
    this.spread = this.engine.random("spread")
    const { books, engine } = this
    this.dependency = new Dependency(engine, scenario, first, {
      waited: (millis) => {
        books.waits += 1
        books.waited += millis
      },
      worked: (total, wasted) => {
        if (engine.now < books.from) return
        books.worked += total
        books.wasted += wasted
      }
    })
    this.clients = Array.from({ length: scenario.clients }, (_, index) => this.client(sender, index))
  }

  /** Lets the world happen; `watch` is told how far it has come, once a second of its time. */
  run(watch: (now: number) => void): void {
    const { books, engine } = this
    for (const piece of this.timeline) {
      engine.after(piece.at, () => this.dependency.change(piece))
    }
    this.arrive(0)
    const last = books.until + patience * this.scenario.deadline
    for (let end = stride; ; end += stride) {
      const goesOn = engine.runUntil(Math.min(end, last))
      watch(engine.now)
      if (!goesOn || end >= last || (engine.now > books.until && books.ended === books.calls)) return
    }
  }

  private client(sender: Sender, index: number): Send {
    const client: Client = {
      index,
      scenario: this.scenario,
      now: () => this.engine.now,
      random: this.engine.random(`client ${index}`)
    }
    return Effect.runSyncWith(this.engine.context)(sender.make(client))
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

  private call(at: number): void {
    const { books, engine, scenario } = this
    const send = this.clients[Math.floor(this.spread() * scenario.clients)]!
    const shard = scenario.shards === 1 ? 0 : Math.floor(this.spread() * scenario.shards)
    books.calls += 1
    Books.add(books.offered, at)
    let sent = 0
    const attempt = (limit: number): Effect.Effect<void, Failure> =>
      Effect.callback((resume) => {
        sent += 1
        Books.add(books.attempts, engine.now)
        const one = new Attempt(engine.now, (failure) => {
          timer?.cancel()
          resume(failure === undefined ? Effect.void : Effect.fail(failure))
        })
        const timer =
          limit === Infinity
            ? undefined
            : engine.after(limit, () => {
                this.dependency.abandon(shard, one)
                resume(Effect.fail(new Failure("timeout")))
              })
        this.dependency.send(shard, one)
        return Effect.sync(() => {
          timer?.cancel()
          this.dependency.abandon(shard, one)
        })
      })
    const fiber = engine.fork(
      send({
        key: scenario.shards === 1 ? "default" : `shard-${shard}`,
        due: at + scenario.deadline,
        attempt: attempt(Infinity),
        limited: attempt(scenario.timeout)
      })
    )
    fiber.addObserver((exit) => {
      books.ended += 1
      const latency = engine.now - at
      if (Exit.isSuccess(exit)) {
        if (latency > scenario.deadline) return
        Books.add(books.good, at)
        if (at >= books.from && at < books.clear) books.latencies.push(latency)
      } else if (sent === 0) {
        Books.add(books.rejected, at)
        if (this.dependency.serves(shard)) Books.add(books.falselyRejected, at)
      }
    })
  }
}
