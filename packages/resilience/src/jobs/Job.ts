/**
 * Runs work on a schedule in a program that goes on, such as cron jobs of a service: it says what happens when a run is still under way
 * at the next tick, ends runs in order when the program stops, and hands on what failed for good.
 *
 * For jobs that are processes of their own see the command `resilience run`.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Pull from "effect/Pull"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import { rejectionIn } from "../engine/rejectionIn.ts"
import type * as Policy from "../Policy.ts"
import * as Broadcast from "../runtime/broadcast.ts"
import * as Check from "../runtime/options.ts"
import { attempt } from "../runtime/read.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyEffect } from "../runtime/types.ts"

const module = "Job"

/**
 * What a tick does while a run of the job is under way.
 *
 * - `"forbid"`: it is skipped.
 * - `"allow"`: another run begins, up to `concurrency` at once.
 * - `"wait"`: a run begins when one ends; up to `maxQueued` wait.
 * - `"replace"`: the run is interrupted, and another begins when it has ended.
 *
 * @category models
 * @since 0.1.0
 */
export type Overlap = "forbid" | "allow" | "wait" | "replace"

/**
 * One run of a job.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  readonly job: string
  /** The number of the run, from 1. */
  readonly number: number
  /** The tick that it belongs to, in milliseconds since 1970; of a run by hand when it was asked for. */
  readonly tick: number
}

/**
 * Why a tick has no run.
 *
 * - `"running"`: a run is under way, or as many as `concurrency` allows.
 * - `"queue"`: `maxQueued` runs wait.
 * - `"late"`: the program stood still, and the tick was longer ago than `startWithin`.
 * - `"stopping"`: the program stops.
 *
 * @category models
 * @since 0.1.0
 */
export type SkipReason = "running" | "queue" | "late" | "stopping"

/**
 * How a run ended. `Rejected`: by a policy, before the work has started, as by an open circuit. `Interrupted`: by a replacement or a
 * shutdown.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome = "Succeeded" | "Failed" | "Rejected" | "Interrupted"

/**
 * What happens to a job.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | ({ readonly _tag: "Started"; readonly at: number } & Run)
  | ({
      readonly _tag: Outcome
      readonly at: number
      /** Milliseconds. */
      readonly duration: number
      readonly cause: Cause.Cause<unknown> | undefined
    } & Run)
  | {
      readonly _tag: "Skipped"
      readonly job: string
      readonly at: number
      readonly tick: number
      readonly reason: SkipReason
    }

/**
 * What a job has done since it was created.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stats {
  readonly running: number
  readonly waiting: number
  /** Failed runs in a row. */
  readonly failures: number
  /** The next tick, in milliseconds since 1970; `undefined` when the schedule has ended, or there is none. */
  readonly next: number | undefined
  /** The last run that ended. */
  readonly last: { readonly outcome: Outcome; readonly at: number; readonly duration: number } | undefined
  readonly totals: {
    readonly started: number
    readonly succeeded: number
    readonly failed: number
    readonly rejected: number
    readonly interrupted: number
    readonly skipped: number
  }
}

/**
 * What a run by hand came to.
 *
 * @category models
 * @since 0.1.0
 */
export type Ran<A, E> =
  | { readonly _tag: "Ran"; readonly exit: Exit.Exit<A, E> }
  | { readonly _tag: "Skipped"; readonly reason: SkipReason }

/**
 * Options of {@link make}.
 *
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `schedule` | a `Schedule` | none: runs by hand only |
 * | `overlap` | {@link Overlap} | `"forbid"` |
 * | `concurrency` | an integer >= 1; with `"allow"` and `"wait"` | no limit with `"allow"`, 1 with `"wait"` |
 * | `maxQueued` | an integer >= 1; with `"wait"` | 1 |
 * | `startWithin` | a duration above zero | infinity |
 * | `stopWithin` | a duration of zero or more | 30 seconds |
 * | `policy` | a `Policy` | none |
 * | `key` | a non-empty string; with `policy` | `"default"` |
 * | `onExhausted` | | none |
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  E = never,
  SE = never,
  SR = never,
  R = never,
  P extends Policy.Part = never,
  Rules = {},
  Self = never
> {
  /** When the job runs: `Schedule.cron("0 3 * * *")`, or any other. Default: only by hand. */
  readonly schedule?: Schedule.Schedule<unknown, unknown, SE, SR> | undefined
  /** What a tick does while a run is under way. Default: `"forbid"`. */
  readonly overlap?: Overlap | undefined
  /** Runs at once. Default: no limit with `"allow"`, 1 with `"wait"`. */
  readonly concurrency?: number | undefined
  /** Runs that wait. Default: 1. */
  readonly maxQueued?: number | undefined
  /** A tick that the program is later for is skipped: it stood still, or the machine slept. Default: infinity. */
  readonly startWithin?: Duration.Input | undefined
  /** How long the end of the program waits for runs before it interrupts them. Default: 30 seconds. */
  readonly stopWithin?: Duration.Input | undefined
  /** The policy of every run, from its retries to its timeout: `policy: Feed` is as `() => work.pipe(Feed.protect)`. Default: none. */
  readonly policy?: Policy.Policy<P, Rules, Self> | undefined
  /** Which circuit and which permits of the policy, for jobs that share one. Default: `"default"`. */
  readonly key?: string | undefined
  /** What follows a run that failed, after all its retries: keep it as a dead letter, alert. Rejections and interruptions are no failures. */
  readonly onExhausted?: ((cause: Cause.Cause<E>, run: Run) => Effect.Effect<unknown, never, R>) | undefined
}

/**
 * A job.
 *
 * @category models
 * @since 0.1.0
 */
export interface Job<A, E> {
  readonly name: string
  /** A run by hand, under the same rules as a tick. It returns when the run has ended. */
  readonly run: Effect.Effect<Ran<A, E>>
  readonly stats: Effect.Effect<Stats>
  /** A listener that falls behind by 1,024 events loses the oldest. */
  readonly events: Stream.Stream<Event>
  /** Returns when no run is under way and none waits. */
  readonly awaitIdle: Effect.Effect<void>
}

interface Settings {
  readonly overlap: Overlap
  readonly concurrency: number
  readonly maxQueued: number
  /** Milliseconds. */
  readonly startWithin: number
  readonly stopWithin: number
}

const overlaps: ReadonlyArray<unknown> = ["forbid", "allow", "wait", "replace"] satisfies Array<Overlap>

const optionNames = [
  "schedule",
  "overlap",
  "concurrency",
  "maxQueued",
  "startWithin",
  "stopWithin",
  "policy",
  "key",
  "onExhausted"
]

/** Options of any job. */
type AnyOptions = Options<never, unknown, unknown, unknown, Policy.Part, {}, unknown>

const resolve = (name: string, work: unknown, options: AnyOptions): Settings => {
  const where = Check.named(module, Check.nonEmpty(module, "name", name))
  Check.callback(where, "the work", "a function that returns an Effect", work)
  Check.noUnknown(where, options, optionNames)
  const { concurrency, key, maxQueued, onExhausted, policy, schedule } = options
  const overlap = Check.orDefault(options.overlap, "forbid")
  if (!overlaps.includes(overlap)) Check.invalid(where, "overlap", overlaps.join(", "), overlap)
  if (schedule !== undefined && !Check.isSchedule(schedule)) Check.invalid(where, "schedule", "a Schedule", schedule)
  const hasProtect = attempt(() => typeof policy?.protect === "function", false)
  if (policy !== undefined && !hasProtect) Check.invalid(where, "policy", "a Policy", policy)
  if (key !== undefined && policy === undefined) Check.invalid(where, "key", "left out without a policy", key)
  if (onExhausted !== undefined) Check.callback(where, "onExhausted", "a function that returns an Effect", onExhausted)
  const isMany = overlap === "allow" || overlap === "wait"
  if (concurrency !== undefined && !isMany)
    Check.invalid(where, "concurrency", 'left out without "allow" or "wait"', concurrency)
  if (maxQueued !== undefined && overlap !== "wait")
    Check.invalid(where, "maxQueued", 'left out without "wait"', maxQueued)
  return {
    overlap,
    concurrency:
      concurrency === undefined
        ? overlap === "allow"
          ? Infinity
          : 1
        : Check.integer(where, "concurrency", concurrency, 1),
    maxQueued:
      maxQueued === undefined
        ? overlap === "forbid" || overlap === "allow"
          ? 0
          : 1
        : Check.integer(where, "maxQueued", maxQueued, 1),
    startWithin: Check.millis(where, "startWithin", Check.orDefault<Duration.Input>(options.startWithin, Infinity), {
      infinite: true
    }),
    stopWithin: Check.millis(where, "stopWithin", Check.orDefault<Duration.Input>(options.stopWithin, "30 seconds"), {
      zero: true,
      infinite: true
    })
  }
}

/** A tick that waits for a run to end. */
interface Waiting<A, E> {
  readonly tick: number
  readonly ran: Deferred.Deferred<Ran<A, E>>
}

class Runner<A, E, R> {
  readonly name: string
  private readonly settings: Settings
  private readonly work: (run: Run) => Effect.Effect<A, E, R>
  private readonly onExhausted: Options<E, never, never, R>["onExhausted"]
  private readonly listeners = new Set<Broadcast.Listener<Event>>()
  private readonly fibers = new Set<Fiber.Fiber<unknown, unknown>>()
  private readonly queue: Array<Waiting<A, E>> = []
  private readonly idle = new Set<Deferred.Deferred<void>>()
  private readonly totals = { started: 0, succeeded: 0, failed: 0, rejected: 0, interrupted: 0, skipped: 0 }
  private failures = 0
  private last: Stats["last"] = undefined
  private isStopping = false
  next: number | undefined = undefined

  constructor(
    name: string,
    settings: Settings,
    work: (run: Run) => Effect.Effect<A, E, R>,
    onExhausted: Options<E, never, never, R>["onExhausted"]
  ) {
    this.name = name
    this.settings = settings
    this.work = work
    this.onExhausted = onExhausted
  }

  readonly events: Stream.Stream<Event> = Broadcast.subscribe<Event, Event>(this.listeners, {
    capacity: 1024,
    select: (event) => event
  })

  private emit(event: Event): void {
    for (const listener of this.listeners) listener(event)
  }

  stats(): Stats {
    const { failures, last, next } = this
    return { running: this.fibers.size, waiting: this.queue.length, failures, next, last, totals: { ...this.totals } }
  }

  private skip(tick: number, at: number, reason: SkipReason): Ran<A, E> {
    this.totals.skipped += 1
    this.emit({ _tag: "Skipped", job: this.name, at, tick, reason })
    return { _tag: "Skipped", reason }
  }

  /** A tick: begins a run, lets it wait, or skips it. Returns at once; what becomes of it is in the result. */
  tick(tick: number, isLateFor = 0): Effect.Effect<Deferred.Deferred<Ran<A, E>>, never, R> {
    return Effect.gen({ self: this }, function* () {
      const { concurrency, maxQueued, overlap, startWithin } = this.settings
      const now = yield* Clock.currentTimeMillis
      const ran = Deferred.makeUnsafe<Ran<A, E>>()
      const skip = (reason: SkipReason) => Deferred.doneUnsafe(ran, Exit.succeed(this.skip(tick, now, reason)))
      if (this.isStopping) skip("stopping")
      else if (isLateFor > startWithin) skip("late")
      else if (this.fibers.size < concurrency) yield* this.begin({ tick, ran })
      else if (this.queue.length >= maxQueued) skip(overlap === "wait" ? "queue" : "running")
      else {
        this.queue.push({ tick, ran })
        // The run ends in its own time; the next begins when it has.
        if (overlap === "replace") for (const fiber of this.fibers) fiber.interruptUnsafe()
      }
      return ran
    })
  }

  private begin({ ran, tick }: Waiting<A, E>): Effect.Effect<void, never, R> {
    const run: Run = { job: this.name, number: ++this.totals.started, tick }
    return Effect.gen({ self: this }, function* () {
      const at = yield* Clock.currentTimeMillis
      this.emit({ _tag: "Started", at, ...run })
      // Known before the work begins, which may ask for a run of its own job.
      const work = Effect.withFiber<A, E, R>((fiber) => {
        this.fibers.add(fiber)
        return this.work(run)
      })
      const fiber = yield* Effect.forkDetach(Effect.interruptible(work), { startImmediately: true })
      // It outlives an interruption of the work.
      yield* Effect.forkDetach(Effect.uninterruptible(this.finish(run, at, fiber, ran)), { startImmediately: true })
    })
  }

  private finish(
    run: Run,
    began: number,
    fiber: Fiber.Fiber<A, E>,
    ran: Deferred.Deferred<Ran<A, E>>
  ): Effect.Effect<void, never, R> {
    return Effect.gen({ self: this }, function* () {
      const exit = yield* Fiber.await(fiber)
      const at = yield* Clock.currentTimeMillis
      const outcome = outcomeOf(exit)
      const duration = at - began
      this.totals[counts[outcome]] += 1
      if (outcome === "Succeeded") this.failures = 0
      else if (outcome === "Failed") this.failures += 1
      this.last = { outcome, at, duration }
      this.emit({ _tag: outcome, at, duration, cause: Exit.isFailure(exit) ? exit.cause : undefined, ...run })
      if (outcome === "Failed" && Exit.isFailure(exit) && this.onExhausted !== undefined) {
        const { cause } = exit
        const { onExhausted } = this
        yield* Effect.suspend(() => onExhausted(cause, run)).pipe(
          Effect.catchCause((defect) => Effect.logError(`Job ${this.name}: onExhausted failed`, defect))
        )
      }
      this.fibers.delete(fiber)
      Deferred.doneUnsafe(ran, Exit.succeed({ _tag: "Ran", exit }))
      const next = this.isStopping ? undefined : this.queue.shift()
      if (next !== undefined) yield* this.begin(next)
      if (this.fibers.size > 0) return
      for (const one of this.idle) Deferred.doneUnsafe(one, Exit.void)
      this.idle.clear()
    })
  }

  get awaitIdle(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.fibers.size === 0) return Effect.void
      const idle = Deferred.makeUnsafe<void>()
      this.idle.add(idle)
      return Effect.ensuring(
        Deferred.await(idle),
        Effect.sync(() => this.idle.delete(idle))
      )
    })
  }

  /** Begins no run any more, waits for those under way, and then interrupts them. */
  get stop(): Effect.Effect<void> {
    return Effect.gen({ self: this }, function* () {
      const now = yield* Clock.currentTimeMillis
      this.isStopping = true
      for (const { ran, tick } of this.queue.splice(0)) {
        Deferred.doneUnsafe(ran, Exit.succeed(this.skip(tick, now, "stopping")))
      }
      yield* Effect.timeoutOption(Effect.interruptible(this.awaitIdle), this.settings.stopWithin)
      for (const fiber of this.fibers) fiber.interruptUnsafe()
      yield* this.awaitIdle
    })
  }
}

const counts = {
  Succeeded: "succeeded",
  Failed: "failed",
  Rejected: "rejected",
  Interrupted: "interrupted"
} as const satisfies Readonly<Record<Outcome, keyof Stats["totals"]>>

const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome =>
  Exit.isSuccess(exit)
    ? "Succeeded"
    : Cause.hasInterruptsOnly(exit.cause)
      ? "Interrupted"
      : rejectionIn(exit.cause) !== undefined
        ? "Rejected"
        : "Failed"

/**
 * Nothing more to require of the options when the policy makes sense for the work; otherwise `policy` must be an English sentence that
 * says why it does not. An `E` that is `unknown` is not checked, because the compiler looks at the options before the work.
 *
 * @category utility types
 * @since 0.1.0
 */
export type MakesSense<A, E, R, P extends Policy.Part, Rules> = [P] extends [never]
  ? unknown
  : unknown extends E
    ? unknown
    : { readonly policy?: Policy.CanProtect<A, E, P, Rules, R> | undefined }

const protectedBy = <P extends Policy.Part, Rules, Self>(
  work: (run: Run) => AnyEffect,
  policy: Policy.Policy<P, Rules, Self>,
  key: string | undefined
): ((run: Run) => AnyEffect) => {
  // The signature of `make` has checked that the policy makes sense for the work.
  const protect = policy.protect((key === undefined ? {} : { key }) as {}) as (self: AnyEffect) => AnyEffect
  return (run) => protect(Effect.suspend(() => work(run)))
}

/**
 * Creates a job, which runs on its schedule until the scope closes.
 *
 * **Details** A tick begins a run and does not wait for it, so a long run delays no tick. Ticks that passed while the program stood still
 * are not made up for: of all of them one run begins, if it is no later than `startWithin`. When the scope closes no run begins any
 * more, those that wait are skipped, and those under way have `stopWithin` to end before they are interrupted.
 *
 * With a `policy` each run is one call of it, and the compiler refuses one that makes no sense for the errors of the work; the error
 * type of a run is what the policy leaves of them. A run that is rejected before the start is `Rejected`, and no failure. Without the
 * option protect the work as any other effect: `() => sync.pipe(Users.protect)`.
 *
 * Throws a `RangeError` at once when an option is out of range; fails with the error of the schedule, such as `CronParseError`.
 *
 * **Example** (A job whose failures are kept)
 *
 * ```ts
 * import { Effect, Layer, Schedule, Schema } from "effect"
 * import { TestClock } from "effect/testing"
 * import * as DeadLetter from "effect-resilience/jobs/DeadLetter"
 * import * as Job from "effect-resilience/jobs/Job"
 *
 * const program = Effect.gen(function*() {
 *   const letters = yield* DeadLetter.make("import", { message: Schema.Number })
 *   const job = yield* Job.make("import", () => Effect.fail("no file"), {
 *     schedule: Schedule.cron("0 3 * * *"),
 *     overlap: "forbid",
 *     onExhausted: (cause, run) => Effect.orDie(letters.put(run.tick, { error: cause }))
 *   })
 *   yield* TestClock.adjust("2 days")
 *   const { totals } = yield* job.stats
 *   return [totals.failed, (yield* letters.list).length]
 * })
 * const live = Layer.merge(DeadLetter.layerMemory, TestClock.layer())
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(live))) // => [2, 2]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  A,
  E,
  R,
  SE = never,
  SR = never,
  R2 = never,
  P extends Policy.Part = never,
  Rules = {},
  Self = never
>(
  name: string,
  work: (run: Run) => Effect.Effect<A, E, R>,
  options: Options<Policy.ErrorOf<E, P>, SE, SR, R2, P, Rules, Self> &
    NoInfer<MakesSense<A, E, R, P, Rules>> = {} as never // no policy, all left out
): Effect.Effect<Job<A, Policy.ErrorOf<E, P>>, SE, R | R2 | SR | Self | Scope.Scope> => {
  // What is the same for all jobs is checked.
  const settings = resolve(name, work, options as AnyOptions)
  const { key, onExhausted, policy, schedule } = options
  const protectedWork = policy === undefined ? work : protectedBy(work, policy, key)
  return Effect.gen(function* () {
    const context = yield* Effect.context<R | R2 | Self>()
    const runner = new Runner<A, Policy.ErrorOf<E, P>, R | R2 | Self>(
      name,
      settings,
      // Without a policy its errors are those of the work.
      protectedWork as (run: Run) => Effect.Effect<A, Policy.ErrorOf<E, P>, R | Self>,
      onExhausted
    )
    // Before the fiber of the schedule, which ends first.
    yield* Effect.addFinalizer(() => runner.stop)
    if (schedule !== undefined) yield* follow(runner, schedule)
    const tick = Effect.flatMap(Clock.currentTimeMillis, (now) => runner.tick(now))
    return {
      name,
      run: Effect.provideContext(Effect.flatMap(tick, Deferred.await), context),
      stats: Effect.sync(() => runner.stats()),
      events: runner.events,
      awaitIdle: runner.awaitIdle
    }
  })
}

/** Ticks as the schedule says. The first step is made now, so that a schedule that is wrong fails here. */
const follow = <A, E, R, SE, SR>(
  runner: Runner<A, E, R>,
  schedule: Schedule.Schedule<unknown, unknown, SE, SR>
): Effect.Effect<void, SE, R | SR | Scope.Scope> =>
  Effect.gen(function* () {
    const step = yield* Schedule.toStep(schedule)
    /** Milliseconds until the next tick; `undefined` when there is none. */
    const next = Effect.flatMap(Clock.currentTimeMillis, (now) =>
      Pull.catchDone(
        Effect.map(step(now, undefined), ([, delay]): number | undefined => now + Duration.toMillis(delay)),
        () => Effect.undefined
      )
    )
    runner.next = yield* next
    const loop = Effect.gen(function* () {
      while (runner.next !== undefined) {
        const tick: number = runner.next
        yield* Timer.sleep(Math.max(0, tick - (yield* Clock.currentTimeMillis)))
        const now = yield* Clock.currentTimeMillis
        yield* runner.tick(tick, now - tick)
        runner.next = yield* next
      }
    })
    yield* Effect.forkScoped(
      Effect.catchCause(loop, (cause) => {
        runner.next = undefined
        return Cause.hasInterruptsOnly(cause)
          ? Effect.void
          : Effect.logError(`Job ${runner.name}: the schedule has failed, and the job does not run any more`, cause)
      }),
      { startImmediately: true }
    )
  })

/**
 * A job that runs as long as the layer lives; see {@link make}.
 *
 * **Example** (A job of a service)
 *
 * ```ts no-run
 * import { Effect, Layer, Schedule } from "effect"
 * import { Policy, Retry, Transient, TripPolicy } from "effect-resilience"
 * import * as Job from "effect-resilience/jobs/Job"
 *
 * class Down extends Transient.TaggedError<Down>()("Down", {}) {}
 * class Feed extends Policy.Service<Feed>()("job/Feed", {
 *   retry: Retry.backoff({ base: "10 seconds", times: 2 }),
 *   breaker: { trip: TripPolicy.fewCalls(), openFor: "6 hours" },
 *   timeout: "10 minutes"
 * }) {}
 *
 * declare const sync: Effect.Effect<void, Down>
 * const nightly = Job.layer("nightly", () => sync, { schedule: Schedule.cron("0 3 * * *"), policy: Feed })
 * const live = nightly.pipe(Layer.provide(Feed.layer))
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <
  A,
  E,
  R,
  SE = never,
  SR = never,
  R2 = never,
  P extends Policy.Part = never,
  Rules = {},
  Self = never
>(
  name: string,
  work: (run: Run) => Effect.Effect<A, E, R>,
  options?: Options<Policy.ErrorOf<E, P>, SE, SR, R2, P, Rules, Self> & NoInfer<MakesSense<A, E, R, P, Rules>>
): Layer.Layer<never, SE, Exclude<R | R2 | SR | Self, Scope.Scope>> => Layer.effectDiscard(make(name, work, options))
