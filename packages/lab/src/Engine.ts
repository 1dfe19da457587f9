/**
 * A world of its own time: one queue of events, a clock that stands still between them, and one source of chance.
 *
 * Everything that happens, happens because its event is the next in the queue, ordered by time and then by when it was
 * asked for. Fibers run in it as they are: their sleeps are events, and so are the tasks they leave to the scheduler. So
 * one seed is one world, and an hour takes as long as its events do.
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
 * Something that will happen.
 *
 * @category models
 * @since 0.1.0
 */
export interface Event {
  /** When, in milliseconds since the world began. */
  readonly at: number
  /** Takes it back. It costs nothing: the event stays in the queue and does nothing. */
  readonly cancel: () => void
}

/**
 * A world: its time, its events, and fibers that live in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Engine {
  /** Milliseconds since the world began. */
  readonly now: number
  /** Events that have happened. */
  readonly events: number
  /** Has `what` happen after `delay` milliseconds. */
  readonly after: (delay: number, what: () => void) => Event
  /** A stream of chance of its own, the same for the same seed and name: numbers from 0 to below 1. */
  readonly random: (name: string) => () => number
  /** What fibers of this world see: its clock, its chance, its scheduler. */
  readonly context: Context.Context<never>
  /** Runs an effect in this world, from now on. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** Runs an effect that ends at once, such as one that makes a policy. */
  readonly runSync: <A, E>(effect: Effect.Effect<A, E>) => Exit.Exit<A, E>
  /** Lets everything happen up to a moment, that moment included; answers whether anything is left. */
  readonly runUntil: (end: number) => boolean
}

/**
 * Options of {@link make}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** An integer. The same seed gives the same world. */
  readonly seed: number
  /** Wall time at the beginning, in milliseconds since 1970. Default: 0. */
  readonly epoch?: number | undefined
}

/**
 * Makes a world.
 *
 * **When to use** To run effects, policies among them, through hours of virtual time in milliseconds of real time, with
 * thousands of fibers. For one fiber and a few steps `TestClock` is simpler.
 *
 * **Details** Intervals and sleeps are exact to the nanosecond. Fibers that yield go on at the same virtual moment.
 *
 * **Gotchas** Real asynchronous work (a promise, a socket) is not part of this world: a fiber that waits for it is not
 * waited for. Throws a `RangeError` when the seed is no integer.
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
export const make = (options: Options): Engine => new World(Check.seed("Engine.make", options.seed), options.epoch ?? 0)

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
  private readonly seed: number
  private readonly epoch: number
  private readonly queue = new Heap<Planned>()
  private order = 0
  /** The moment in nanoseconds: asked for several times in one event. */
  private nanos = 0n
  private nanosAt = 0

  constructor(seed: number, epoch: number) {
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
    ) as Context.Context<never> // references are no requirements
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
      this.now = next.at
      this.events += 1
      next.what()
    }
    this.now = Math.max(this.now, end)
    return this.queue.size > 0
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
    return fiber.currentOpCount >= fiber.cache.maxOpsBeforeYield
  }

  makeDispatcher(): Scheduler.SchedulerDispatcher {
    return this
  }

  scheduleTask(task: () => void): void {
    this.after(0, task)
  }

  /** Asked for by `runSync`, which will not wait: everything that is due now. */
  flush(): void {
    this.runUntil(this.now)
  }
}
