/**
 * Ready models of a limiter and of a circuit breaker, to check an implementation of your own with `Model.check`.
 *
 * Callers begin calls whose work runs until a command ends it, so every order of calls, results, interruptions and time
 * is a sequence of commands. The wall clock is set back and forth while monotonic time continues.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type { Transient } from "effect-resilience"
import * as Check from "./internal/check.ts"
import * as Policies from "./internal/laws/policy.ts"
import * as Circuit from "./internal/model/circuit.ts"
import * as Model from "./Model.ts"

/**
 * The error of the work in a model. It is transient, and the same as `Laws.LawError`.
 *
 * @category errors
 * @since 0.1.0
 */
export interface WorkError extends Cause.YieldableError, Transient.Transient {
  readonly _tag: "LawError"
}

/**
 * What a model calls: a function around work, such as `protect` of a policy. The work fails with a transient error.
 *
 * @category models
 * @since 0.1.0
 */
export type Protect = (work: Effect.Effect<unknown, WorkError>) => Effect.Effect<unknown, unknown>

/**
 * A limiter: at most `maxConcurrent` calls run, further ones wait in order, and the rest is rejected.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limiter {
  readonly protect: Protect
  /** What it reports of itself. Checked if it is there. */
  readonly state?: Effect.Effect<{ readonly running: number; readonly waiting: number }> | undefined
}

/**
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `maxConcurrent` | an integer >= 1 | |
 * | `maxQueued` | an integer >= 0, or `Infinity` | 0 |
 * | `maxWait` | a duration | no limit |
 *
 * @category models
 * @since 0.1.0
 */
export interface LimiterOptions {
  /** Makes a new limiter for every sequence. */
  readonly make: Effect.Effect<Limiter, unknown, Scope.Scope>
  readonly maxConcurrent: number
  /** Calls that may wait. */
  readonly maxQueued?: number | undefined
  /** The longest wait, after which a call is rejected. */
  readonly maxWait?: Duration.Input | undefined
}

/**
 * A circuit breaker.
 *
 * @category models
 * @since 0.1.0
 */
export interface Breaker {
  readonly protect: Protect
  /** Whether the circuit is closed. Checked if it is there. */
  readonly isClosed?: Effect.Effect<boolean> | undefined
  /** Calls a listener at each change of state. Used by `Laws.breaker`. */
  readonly listen?: ((listener: () => Effect.Effect<void>) => Effect.Effect<void, never, Scope.Scope>) | undefined
}

/**
 * **Details**
 *
 * | option | range | default |
 * |---|---|---|
 * | `failures` | an integer >= 1 | |
 * | `within` | a duration above zero | failures in a row, whatever time passes |
 * | `openFor` | a duration above zero | |
 * | `permitted` | an integer >= 1 | 1 |
 * | `successes` | an integer in [1, `permitted`] | 1 |
 * | `lease` | a duration above zero | none: a probe holds its place until it ends |
 *
 * @category models
 * @since 0.1.0
 */
export interface BreakerOptions {
  /** Makes a new breaker for every sequence. Its open time must have no jitter. */
  readonly make: Effect.Effect<Breaker, unknown, Scope.Scope>
  /** The failures that open the circuit: in a row, or those of `within`. */
  readonly failures: number
  /** Failures that are this old or older do not count. Successes do not matter then. */
  readonly within?: Duration.Input | undefined
  /** How long the circuit stays open. */
  readonly openFor: Duration.Input
  /** Probes that a half-open circuit admits. */
  readonly permitted?: number | undefined
  /** Probes that must succeed to close it. It opens again when too few of the permitted ones can still succeed. */
  readonly successes?: number | undefined
  /** After which a probe that has not ended loses its place. */
  readonly lease?: Duration.Input | undefined
}

type Ending = "ok" | "failed" | "defect"

const endings: readonly [Ending, ...Array<Ending>] = ["ok", "failed", "defect"]

const exitOf: Readonly<Record<Ending, Exit.Exit<string, WorkError>>> = {
  ok: Exit.succeed("ok"),
  failed: Exit.fail(new Policies.LawError()),
  defect: Exit.die("a bug")
}

/** How a call ended; an error that is not the work's is a rejection. */
const describe = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return String(exit.value)
  if (Cause.hasDies(exit.cause)) return "defect"
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  return error === undefined ? "interrupted" : error instanceof Policies.LawError ? "failed" : "rejected"
}

const idle = (last?: string, attempts = 0): Model.Caller => ({ doing: "idle", last, attempts })
const working: Model.Caller = { doing: "working", last: undefined, attempts: 1 }
const waiting: Model.Caller = { doing: "waiting", last: undefined, attempts: 0 }

const steps = (...times: ReadonlyArray<number>) => {
  const [first = 1, ...rest] = [...new Set(times)].filter((time) => time > 0)
  return Model.oneOf(first, ...rest)
}

const wallTimes = Model.oneOf(0, -3_600_000, 3_600_000)

interface Real<P> {
  readonly policy: P
  readonly callers: Model.Callers<string, WorkError>
  readonly wall: Model.Wall
}

const realOf = <P>(make: Effect.Effect<P, unknown, Scope.Scope>, count: number) =>
  Effect.gen(function* () {
    const wall = yield* Model.wall
    return { policy: yield* wall.within(make), callers: Model.callers<string, WorkError>(count, describe), wall }
  })

/** Users run a model and never look into it. */
const closed = <M, P>(model: Model.Model<M, Real<P>>): Model.Model<unknown, unknown> =>
  model as unknown as Model.Model<unknown, unknown>

/**
 * A model of a limiter.
 *
 * **When to use** For a bulkhead, a semaphore, a pool or a lock of your own: it finds permits that are lost or released
 * twice, waiters that are never woken, and calls that are served out of order.
 *
 * **Details** Calls are admitted first come, first served. A permit is free again when its call ends, however it ends;
 * a waiter that is interrupted or rejected leaves the queue at once.
 *
 * **Example** (A lock that forgets to unlock when its work fails)
 *
 * ```ts
 * import { Effect, Semaphore } from "effect"
 * import { Model, Models } from "@effect-resilience/testing"
 *
 * const lock = Effect.map(Semaphore.make(1), (semaphore): Models.Limiter => ({
 *   protect: (work) => semaphore.take(1).pipe(Effect.andThen(work), Effect.tap(() => semaphore.release(1)))
 * }))
 * const model = Models.limiter("lock", { make: lock, maxConcurrent: 1, maxQueued: Infinity })
 * const found = await Effect.runPromise(Effect.flip(Model.check(model)))
 * found.calls.map(([name]) => name) // => ["begin", "end", "begin"]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const limiter = (name: string, options: LimiterOptions): Model.Model<unknown, unknown> => {
  const where = `Models.limiter ${name}`
  const { make, maxConcurrent, maxQueued = 0 } = options
  Check.integer(where, "maxConcurrent", maxConcurrent, 1)
  if (maxQueued !== Infinity) Check.integer(where, "maxQueued", maxQueued, 0)
  const maxWait = options.maxWait === undefined ? Infinity : Check.millis(where, "maxWait", options.maxWait)
  // Enough callers for one that is rejected, or for two that wait behind each other.
  const count = maxConcurrent + Math.min(maxQueued, 3) + 1

  interface World {
    now: number
    readonly queue: Array<{ readonly caller: number; readonly until: number }>
    readonly callers: Array<Model.Caller>
  }
  const command = Model.command<World, Real<Limiter>>()
  const caller = Model.integer(0, count - 1)
  const running = ({ callers }: World) => callers.filter(({ doing }) => doing === "working").length
  const admit = (world: World): void => {
    while (running(world) < maxConcurrent) {
      const next = world.queue.shift()
      if (next === undefined) return
      world.callers[next.caller] = working
    }
  }
  return closed<World, Limiter>({
    name,
    initial: () => ({ now: 0, queue: [], callers: Array.from({ length: count }, () => idle()) }),
    real: realOf(make, count),
    commands: {
      begin: command({
        input: caller,
        weight: 6,
        when: ({ callers }, caller) => callers[caller]?.doing === "idle",
        next: (world, caller) => {
          const { callers, now, queue } = world
          if (running(world) < maxConcurrent && queue.length === 0) callers[caller] = working
          else if (queue.length < maxQueued && maxWait > 0) {
            queue.push({ caller, until: now + maxWait })
            callers[caller] = waiting
          } else callers[caller] = idle("rejected")
        },
        run: ({ callers, policy, wall }, caller) => callers.begin(caller, (work) => wall.within(policy.protect(work)))
      }),
      end: command({
        input: Model.all({ caller, how: Model.oneOf(...endings) }),
        weight: 4,
        when: ({ callers }, { caller }) => callers[caller]?.doing === "working",
        next: (world, { caller, how }) => {
          world.callers[caller] = idle(how, 1)
          admit(world)
        },
        run: ({ callers }, { caller, how }) => callers.end(caller, exitOf[how])
      }),
      interrupt: command({
        input: caller,
        weight: 3,
        when: ({ callers }, caller) => callers[caller]?.doing !== "idle",
        next: (world, caller) => {
          const place = world.queue.findIndex((one) => one.caller === caller)
          if (place >= 0) world.queue.splice(place, 1)
          world.callers[caller] = idle("interrupted", place >= 0 ? 0 : 1)
          admit(world)
        },
        run: ({ callers }, caller) => callers.interrupt(caller)
      }),
      forward: command({
        input: maxWait === Infinity ? steps(1, 1000) : steps(1, maxWait / 2, maxWait - 1, maxWait),
        weight: 2,
        next: (world, millis) => {
          world.now += millis
          for (const late of world.queue.filter(({ until }) => until <= world.now)) {
            world.queue.splice(world.queue.indexOf(late), 1)
            world.callers[late.caller] = idle("rejected")
          }
        },
        run: (_, millis) => TestClock.adjust(millis)
      }),
      setWall: command({ input: wallTimes, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) })
    },
    expected: (world) => ({ callers: world.callers, running: running(world), waiting: world.queue.length }),
    actual: ({ callers, policy, wall }) => {
      const { view } = callers
      const of = (doing: string) => view.filter((one) => one.doing === doing).length
      const seen = { callers: view, running: of("working"), waiting: of("waiting") }
      return policy.state === undefined
        ? Effect.succeed(seen)
        : Effect.map(wall.within(policy.state), ({ running, waiting }) => ({ ...seen, running, waiting }))
    }
  })
}

/**
 * A model of a circuit breaker.
 *
 * **When to use** For a breaker of your own: it finds a threshold that is off by one, results that come after a change
 * of state and still count, probes that are counted twice or never released, and a wall clock in place of a monotonic
 * one.
 *
 * **Details** Failures and defects count, interruptions do not. After `openFor` the next calls are probes. A result
 * belongs to the period in which its call was admitted, and changes nothing later.
 *
 * **Example** (This library's own)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { CircuitBreaker, TripPolicy } from "effect-resilience"
 * import { Model, Models } from "@effect-resilience/testing"
 *
 * const openFor = { initial: "1 second", jitter: 0 } as const
 * const make = Effect.map(
 *   CircuitBreaker.make("users", { trip: TripPolicy.consecutive(2), openFor, probes: { lease: "30 seconds" } }),
 *   (breaker): Models.Breaker => ({
 *     protect: (work) => breaker.protect(work),
 *     isClosed: Effect.map(breaker.state(), ({ _tag }) => _tag === "closed")
 *   })
 * )
 * const model = Models.breaker("users", { make, failures: 2, openFor: "1 second", lease: "30 seconds" })
 * const passed = await Effect.runPromise(Model.check(model, { runs: 50 }))
 * passed.runs // => 50
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const breaker = (name: string, options: BreakerOptions): Model.Model<unknown, unknown> => {
  const settings = Circuit.settings(`Models.breaker ${name}`, options)
  const { lease, openFor, permitted, within } = settings
  const count = permitted + 2

  interface World {
    now: number
    readonly circuit: Circuit.Circuit
    readonly callers: Array<Model.Caller>
    readonly calls: Array<Circuit.Admission | undefined>
  }
  const command = Model.command<World, Real<Breaker>>()
  const caller = Model.integer(0, count - 1)
  const settle = ({ calls, circuit, now }: World, caller: number, said: Circuit.Said): void => {
    const admission = calls[caller]
    if (admission !== undefined) circuit.settle(admission, said, now)
  }
  /** Known once a breaker was made, which is before anything is compared. */
  let reports = false
  const isWorking = ({ callers }: World, caller: number) => callers[caller]?.doing === "working"
  return closed<World, Breaker>({
    name,
    initial: () => ({
      now: 0,
      circuit: new Circuit.Circuit(settings),
      callers: Array.from({ length: count }, () => idle()),
      calls: []
    }),
    real: Effect.tap(realOf(options.make, count), ({ policy }) =>
      Effect.sync(() => {
        reports = policy.isClosed !== undefined
      })
    ),
    commands: {
      begin: command({
        input: caller,
        weight: 6,
        when: ({ callers }, caller) => callers[caller]?.doing === "idle",
        next: ({ callers, calls, circuit, now }, caller) => {
          const admission = circuit.admit(now)
          calls[caller] = admission
          callers[caller] = admission === undefined ? idle("rejected") : working
        },
        run: ({ callers, policy, wall }, caller) => callers.begin(caller, (work) => wall.within(policy.protect(work)))
      }),
      end: command({
        input: Model.all({ caller, how: Model.oneOf(...endings) }),
        weight: 6,
        when: (world, { caller }) => isWorking(world, caller),
        next: (world, { caller, how }) => {
          settle(world, caller, how === "ok" ? "success" : "failure")
          world.callers[caller] = idle(how, 1)
        },
        run: ({ callers }, { caller, how }) => callers.end(caller, exitOf[how])
      }),
      interrupt: command({
        input: caller,
        when: (world, caller) => isWorking(world, caller),
        next: (world, caller) => {
          settle(world, caller, "ignored")
          world.callers[caller] = idle("interrupted", 1)
        },
        run: ({ callers }, caller) => callers.interrupt(caller)
      }),
      forward: command({
        input: steps(
          1,
          openFor - 1,
          openFor,
          ...(within === Infinity ? [] : [within / 2, within]),
          ...(lease === Infinity ? [] : [lease - 1, lease])
        ),
        weight: 3,
        next: (world, millis) => {
          world.now += millis
        },
        run: (_, millis) => TestClock.adjust(millis)
      }),
      setWall: command({ input: wallTimes, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) })
    },
    expected: ({ callers, circuit }) => ({ callers, closed: reports ? circuit.isClosed : undefined }),
    actual: ({ callers, policy, wall }) =>
      Effect.map(
        policy.isClosed === undefined ? Effect.succeed(undefined) : wall.within(policy.isClosed),
        (isClosed) => ({ callers: callers.view, closed: isClosed })
      )
  })
}
