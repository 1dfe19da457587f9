/**
 * A discrete-event simulation: one queue of events, a virtual clock, and seeded random numbers.
 *
 * Events run in the order of their time, and events of one moment in the order in which they were scheduled. Fibers run
 * unchanged: their sleeps are events, and so are the tasks of their scheduler. One seed gives one run, and a virtual
 * hour takes as long as its events take to run.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Scheduler from "effect/Scheduler"
import * as Check from "./internal/check.ts"
import { Heap } from "./internal/heap.ts"
import { streamOf } from "./internal/random.ts"

/**
 * A scheduled event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Event {
  /** When, in milliseconds since the world began. */
  readonly at: number
  /** Cancels the event in constant time: it stays in the queue and does nothing. */
  readonly cancel: () => void
}

/**
 * A world: its virtual time, its events, and the fibers that run in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Engine {
  /** Milliseconds since the world began. */
  readonly now: number
  /** Events that have run. */
  readonly events: number
  /** Runs `what` after `delay` milliseconds. */
  readonly after: (delay: number, what: () => void) => Event
  /** An independent stream of random numbers in [0, 1), the same for the same seed and name. */
  readonly random: (name: string) => () => number
  /** The services of fibers in this world: its `Clock`, `Random` and `Scheduler`. */
  readonly context: Context.Context<never>
  /** Starts an effect in this world now. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** Runs a synchronous effect, such as one that makes a policy. */
  readonly runSync: <A, E>(effect: Effect.Effect<A, E>) => Exit.Exit<A, E>
  /** Runs all events up to and including `end`. Returns whether further events are scheduled. */
  readonly runUntil: (end: number) => boolean
}

/**
 * Options of {@link make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** An integer. The same seed gives the same run. */
  readonly seed: number
  /** The most events at one virtual moment, after which {@link Livelock} is thrown. Default: 10,000,000. */
  readonly maxEvents?: number | undefined
  /** Wall time at the beginning, in milliseconds since 1970. Default: 0. */
  readonly epoch?: number | undefined
}

/**
 * Virtual time stands still: fibers go on without ever sleeping, such as `Effect.forever` of a sleep of 0. Thrown by
 * `runUntil`.
 *
 * @category errors
 * @since 0.1.0
 */
export class Livelock extends Error {
  override readonly name = "Livelock"
  /** Milliseconds since the world began. */
  readonly moment: number

  constructor(moment: number, what: string) {
    super(`virtual time stands still at ${moment} ms: ${what}`)
    this.moment = moment
  }
}

/**
 * Makes a world.
 *
 * **When to use** To run thousands of fibers through hours of virtual time in a short real time. For one fiber and a
 * few steps `TestClock` is simpler.
 *
 * **Details** Intervals and sleeps are exact to the nanosecond. Fibers that yield continue at the same virtual moment.
 *
 * **Gotchas** Real asynchronous work (a promise, a socket) is not part of the simulation: `runUntil` does not wait for
 * it. A fiber that never sleeps ends the run with a {@link Livelock}, but plain JavaScript in an endless loop never ends.
 * Throws a `RangeError` if the seed is not an integer, or if `maxEvents` is not a positive integer.
 *
 * **Example** (An hour in no time)
 *
 * ```ts
 * import { Clock, Effect, Exit } from "effect"
 * import { Engine } from "@effect-resilience/lab"
 *
 * const world = Engine.make({ seed: 1 })
 * const fiber = world.fork(Effect.andThen(Effect.sleep("1 hour"), Clock.currentTimeMillis))
 * world.runUntil(3_600_000)
 * fiber.pollUnsafe() // => Exit.succeed(3_600_000)
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Engine =>
  new World(
    Check.seed("Engine.make", options.seed),
    options.epoch ?? 0,
    Check.integer("Engine.make", "maxEvents", options.maxEvents ?? 10_000_000, 1)
  )

/**
 * How often fibers may run at one moment until they must yield, which is after 2,048 operations. A fiber that yields so
 * often is in an endless loop or recursion, whose frames would fill the memory long before `maxEvents`.
 */
const mostYields = 500

class Planned implements Event {
  readonly at: number
  readonly order: number
  what: () => void

  constructor(at: number, order: number, what: () => void) {
    this.at = at
    this.order = order
    this.what = what
  }

  cancel(): void {
    this.what = nothing
  }
}

const nothing = (): void => {}

class World implements Engine, Clock.Clock, Scheduler.Scheduler, Scheduler.SchedulerDispatcher {
  now = 0
  events = 0
  readonly executionMode = "sync"
  readonly context: Context.Context<never>
  readonly fork: Engine["fork"]
  readonly currentTimeMillis = Effect.sync(() => this.currentTimeMillisUnsafe())
  readonly currentTimeNanos = Effect.sync(() => this.currentTimeNanosUnsafe())
  readonly monotonicTimeNanos = Effect.sync(() => this.monotonicTimeNanosUnsafe())
  /** What `effect-resilience` reads in place of the members below: its timers need no fibers then. */
  readonly "~effect-resilience/Clock/direct" = {
    millis: () => Math.round(this.now * 1e6) / 1e6,
    after: (delay: number, what: () => void) => this.after(delay, what)
  }
  private readonly seed: number
  private readonly epoch: number
  private readonly maxEvents: number
  private readonly queue = new Heap<Planned>()
  /** Of the current moment. */
  private eventsNow = 0
  private yieldsNow = 0
  private order = 0
  /** The time in nanoseconds, cached because it is read several times per event. */
  private nanos = 0n
  private nanosAt = 0

  constructor(seed: number, epoch: number, maxEvents: number) {
    this.maxEvents = maxEvents
    this.seed = seed
    this.epoch = epoch
    const random = this.random("fibers")
    this.context = Context.empty().pipe(
      Context.add(Clock.Clock, this),
      Context.add(Scheduler.Scheduler, this),
      Context.add(Random.Random, {
        nextDoubleUnsafe: random,
        nextIntUnsafe: () => Math.floor((random() * 2 - 1) * Number.MAX_SAFE_INTEGER)
      })
    ) as Context.Context<never> // references add no requirements
    this.fork = Effect.runForkWith(this.context)
  }

  after(delay: number, what: () => void): Planned {
    const event = new Planned(this.now + Math.max(0, delay), this.order++, what)
    this.queue.push(event)
    return event
  }

  random(name: string): () => number {
    return streamOf(this.seed, name)
  }

  runSync<A, E>(effect: Effect.Effect<A, E>): Exit.Exit<A, E> {
    return Effect.runSyncExitWith(this.context)(effect)
  }

  runUntil(end: number): boolean {
    for (let next = this.queue.peek(); next !== undefined && next.at <= end; next = this.queue.peek()) {
      this.queue.pop()
      if (next.at === this.now) this.stay()
      else this.move(next.at)
      this.events += 1
      next.what()
    }
    if (end > this.now) this.move(end)
    return this.queue.size > 0
  }

  private move(to: number): void {
    this.now = to
    this.eventsNow = 0
    this.yieldsNow = 0
  }

  /** A further event of the same moment. */
  private stay(): void {
    this.eventsNow += 1
    if (this.eventsNow > this.maxEvents) {
      throw new Livelock(this.now, `more than ${this.maxEvents.toLocaleString("en")} events at this moment`)
    }
    if (this.yieldsNow > mostYields) throw new Livelock(this.now, "a fiber runs on and on without sleeping")
  }

  // The clock

  currentTimeMillisUnsafe(): number {
    return this.epoch + this.now
  }

  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round((this.epoch + this.now) * 1e6))
  }

  monotonicTimeNanosUnsafe(): bigint {
    if (this.nanosAt !== this.now) {
      this.nanosAt = this.now
      this.nanos = BigInt(Math.round(this.now * 1e6))
    }
    return this.nanos
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const millis = Duration.toMillis(duration)
    if (millis === Infinity) return Effect.never
    return Effect.callback((resume) => {
      const event = this.after(millis, () => resume(Effect.void))
      return Effect.sync(() => event.cancel())
    })
  }

  // The scheduler

  shouldYield(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    if (fiber.currentOpCount < fiber.cache.maxOpsBeforeYield) return false
    this.yieldsNow += 1
    return true
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return this
  }

  scheduleTask(task: () => void): void {
    this.after(0, task)
  }

  /** Called by `runSync`, which cannot wait: runs all events that are due now. */
  flush(): void {
    this.runUntil(this.now)
  }
}
