/** The least that a circuit breaker can cost: yardsticks, not code to ship. */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import type * as Exit from "effect/Exit"
import { type AnyEffect, evaluate, onCause, onValue, type RunningFiber } from "./internals.ts"

/** A tagged error that is never constructed: its instances are made without a stack trace. */
export class Open {
  readonly _tag = "CircuitOpen"
  declare readonly retryAfter: number
}

export interface State {
  open: boolean
  streak: number
  successes: number
  failures: number
  openUntil: number
}

export const makeState = (): State => ({ open: false, streak: 0, successes: 0, failures: 0, openUntil: 0 })

const limit = 5
const openFor = 30_000

const isInterruption = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.every((reason) => reason._tag === "Interrupt")

const failed = (state: State, cause: Cause.Cause<unknown>): void => {
  if (isInterruption(cause)) return
  state.failures += 1
  state.streak += 1
  if (state.streak >= limit) trip(state, openFor)
}

export const trip = (state: State, millis: number): void => {
  state.open = true
  state.openUntil = Date.now() + millis
}

const rejection = (state: State): Open =>
  Object.assign(Object.create(Open.prototype), { _tag: "CircuitOpen", retryAfter: state.openUntil - Date.now() })

const reject = (state: State): Effect.Effect<never, Open> => Effect.fail(rejection(state))

/** Public API: one branch, one `onExit` frame, a failure streak. */
export const plainPublic = (state: State) => {
  const settle = (exit: Exit.Exit<unknown, unknown>): undefined => {
    if (exit._tag === "Success") {
      state.streak = 0
      state.successes += 1
    } else failed(state, exit.cause)
    return undefined
  }
  return <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | Open> =>
    Effect.suspend(() => (state.open ? reject(state) : Effect.onExitPrimitive(self, settle)))
}

/** Own primitive: the effect is its own frame. */
class Plain<A, E> extends Effectable.Class<A, E | Open> {
  private readonly state: State
  private readonly self: Effect.Effect<A, E>

  constructor(state: State, self: Effect.Effect<A, E>) {
    super()
    this.state = state
    this.self = self
  }

  asEffect(): Effect.Effect<A, E | Open> {
    return plainPublic(this.state)(this.self)
  }

  [evaluate](fiber: RunningFiber): Effect.Effect<A, E | Open> {
    if (this.state.open) return reject(this.state)
    fiber._stack.push(this)
    return this.self
  }

  [onValue](value: unknown, fiber: RunningFiber): AnyEffect {
    const state = this.state
    state.streak = 0
    state.successes += 1
    return fiber.succeedWith(value)
  }

  [onCause](cause: Cause.Cause<E>, _fiber: RunningFiber, exit: Exit.Exit<A, E> | undefined): Effect.Effect<A, E> {
    failed(this.state, cause)
    return exit ?? Effect.failCause(cause)
  }
}

export const plainOwn =
  (state: State) =>
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | Open> =>
    new Plain(state, self)

// ---------------------------------------------------------------------------------------------------------------------
// With what a service in production wants to know: ten buckets of a second, slow calls, latencies
// ---------------------------------------------------------------------------------------------------------------------

const buckets = 10
const bucketMillis = 1000
const slowAfter = 1000
const minimumCalls = 20
const threshold = 0.5

export class Window {
  open = false
  openUntil = 0
  streak = 0
  successes = 0
  failures = 0
  slow = 0
  private newest = 0
  private readonly succeeded = new Uint32Array(buckets)
  private readonly failed = new Uint32Array(buckets)
  private readonly slowed = new Uint32Array(buckets)
  private readonly latencies = new Uint32Array(32)

  private rotate(bucket: number): void {
    const steps = Math.min(bucket - this.newest, buckets)
    for (let step = 1; step <= steps; step++) {
      const at = (this.newest + step) % buckets
      this.successes -= this.succeeded[at] ?? 0
      this.failures -= this.failed[at] ?? 0
      this.slow -= this.slowed[at] ?? 0
      this.succeeded[at] = 0
      this.failed[at] = 0
      this.slowed[at] = 0
    }
    this.newest = bucket
  }

  record(succeeded: boolean, started: number, now: number): void {
    const bucket = Math.floor(now / bucketMillis)
    if (bucket > this.newest) this.rotate(bucket)
    const at = this.newest % buckets
    const took = now - started
    const latency = took <= 0 ? 0 : 32 - Math.clz32(took)
    this.latencies[latency] = (this.latencies[latency] ?? 0) + 1
    if (took >= slowAfter) {
      this.slowed[at] = (this.slowed[at] ?? 0) + 1
      this.slow += 1
    }
    if (succeeded) {
      this.succeeded[at] = (this.succeeded[at] ?? 0) + 1
      this.successes += 1
      return
    }
    this.failed[at] = (this.failed[at] ?? 0) + 1
    this.failures += 1
    const calls = this.successes + this.failures
    if (calls >= minimumCalls && this.failures >= threshold * calls) {
      this.open = true
      this.openUntil = now + openFor
    }
  }
}

/** Public API: the fiber's clock at both ends, one `onExit` frame. */
export const windowPublic =
  (window: Window) =>
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | Open> =>
    Effect.withFiber((fiber): Effect.Effect<A, E | Open> => {
      if (window.open) return reject(window)
      const clock = fiber.getRef(Clock.Clock)
      const started = clock.currentTimeMillisUnsafe()
      return Effect.onExitPrimitive(self, (exit) => {
        if (exit._tag === "Success") window.record(true, started, clock.currentTimeMillisUnsafe())
        else if (!isInterruption(exit.cause)) window.record(false, started, clock.currentTimeMillisUnsafe())
        return undefined
      })
    })

/** The frame of one call, which carries when it began. */
class Timed {
  private readonly window: Window
  private readonly clock: Clock.Clock
  private readonly started: number

  constructor(window: Window, clock: Clock.Clock, started: number) {
    this.window = window
    this.clock = clock
    this.started = started
  }

  [onValue](value: unknown, fiber: RunningFiber): AnyEffect {
    this.window.record(true, this.started, this.clock.currentTimeMillisUnsafe())
    return fiber.succeedWith(value)
  }

  [onCause](
    cause: Cause.Cause<unknown>,
    _fiber: RunningFiber,
    exit: Exit.Exit<unknown, unknown> | undefined
  ): Effect.Effect<unknown, unknown> {
    if (!isInterruption(cause)) this.window.record(false, this.started, this.clock.currentTimeMillisUnsafe())
    return exit ?? Effect.failCause(cause)
  }
}

class Windowed<A, E> extends Effectable.Class<A, E | Open> {
  private readonly window: Window
  private readonly self: Effect.Effect<A, E>

  constructor(window: Window, self: Effect.Effect<A, E>) {
    super()
    this.window = window
    this.self = self
  }

  asEffect(): Effect.Effect<A, E | Open> {
    return windowPublic(this.window)(this.self)
  }

  [evaluate](fiber: RunningFiber): Effect.Effect<A, E | Open> {
    if (this.window.open) return reject(this.window)
    const clock = fiber.getRef(Clock.Clock)
    fiber._stack.push(new Timed(this.window, clock, clock.currentTimeMillisUnsafe()))
    return this.self
  }
}

export const windowOwn =
  (window: Window) =>
  <A, E>(self: Effect.Effect<A, E>): Effect.Effect<A, E | Open> =>
    new Windowed(window, self)
