/**
 * A call of a policy: an effect that doubles as its own stack frame, the one frame between the caller and the work.
 *
 * Everything that a policy acquires (a permit, a probe, a place in a queue) is acquired in `enter`, which runs when the frame
 * is in place, and released in `succeeded` or `failed`, of which exactly one runs, exactly once, however the call ends:
 * success, failure, defect or interruption, at any yield point. What was acquired before the frame is in place would be lost
 * when the fiber is interrupted in between; that is how semaphores leak.
 *
 * An effect may be run many times, also concurrently. Most run once, so the effect is the frame of a run, and a concurrent
 * second run gets a copy.
 *
 * There are two equivalent ways to push a frame: natively (`primitive.ts`), or inside frames of Effect's public API.
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import { beside } from "./beside.ts"
import * as Primitive from "./primitive.ts"
import type { AnyEffect, AnyFiber } from "./types.ts"

interface Evaluated {
  begin(fiber: AnyFiber): AnyEffect
}

const prototype = Effectable.Prototype<AnyEffect & Evaluated>({
  label: "Protected",
  evaluate(fiber) {
    return this.begin(fiber)
  }
})

/** What {@link Frame} inherits from: a class whose instances are effects. */
const Base = class {} as unknown as abstract new () => AnyEffect
Object.setPrototypeOf(Base.prototype, prototype)

/** The property under which a policy holds its engine: its service class finds it there when a call runs. */
export const EngineKey = "~effect-resilience/engine" as const

/** A policy as a frame sees it. A substitute in a user's test has no engine. */
interface Holder<E, O> {
  readonly [EngineKey]?: E
  readonly protect: (options: O) => (self: AnyEffect) => AnyEffect
}

/** The key of a service that holds a policy; its members are typed in the public interfaces. */
export type Service = Context.Key<any, any>

/**
 * `E` is the engine of the policy, which is given or found in a service at run time; `O` are the options of the call.
 *
 * In this class and those that extend it fields are declared, not defined: V8 can never store a number without a box in a
 * field whose first value is `undefined`.
 */
export abstract class Frame<E, O> extends Base implements Evaluated {
  declare protected engine: E | undefined
  declare protected readonly service: Service | undefined
  declare protected self: AnyEffect
  declare protected readonly options: O
  /**
   * From `begin` to the end. A run whose end is never observed (an interruption during a delay, a classification that threw)
   * stays busy: its frame is not reused, and what its fields hold is not read again.
   */
  declare private busy: boolean

  constructor(engine: E | undefined, service: Service | undefined, self: AnyEffect, options: O) {
    super()
    this.engine = engine
    this.service = service
    this.self = self
    this.options = options
    this.busy = false
  }

  /** The same effect, for a run during a run of this one. */
  protected abstract copy(): Frame<E, O>
  /**
   * Prepares a run: looks up what it needs and clears the fields of the run before. Returns what runs in place of the call,
   * if anything: a rejection, which needs no frame. Acquires nothing; `enter` follows at once.
   */
  protected abstract prepare(engine: E, fiber: AnyFiber): AnyEffect | undefined
  /** Acquires what the call needs and returns the work. */
  abstract enter(fiber: AnyFiber): AnyEffect
  /** The work succeeded. A returned effect runs next; `undefined` succeeds with the value. */
  abstract succeeded(value: unknown, fiber: AnyFiber): AnyEffect | undefined
  /** The work failed or was interrupted. A returned effect runs next; `undefined` fails with the cause. */
  abstract failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined

  begin(fiber: AnyFiber): AnyEffect {
    if (this.busy) return this.copy().begin(fiber)
    const { service } = this
    if (service !== undefined) {
      const policy: Holder<E, O> = Context.getUnsafe(fiber.context, service)
      this.engine = policy[EngineKey]
      if (this.engine === undefined) return policy.protect(this.options)(this.self)
    }
    // Only a frame with a service leaves the engine to be found, and it has just been found.
    const engine = this.engine as E
    this.busy = true
    if (!native) return wrapWithPublicApi(this, fiber, () => this.prepare(engine, fiber) ?? this.enter(fiber))
    const instead = this.prepare(engine, fiber)
    if (instead === undefined) return pushNative(this, fiber)
    this.busy = false
    return instead
  }

  /** The run has ended, although an effect follows it: the frame may be used again. */
  protected free(): void {
    this.busy = false
  }

  /** Puts the frame in place once more, for the next attempt of the same call. */
  protected reenter(): AnyEffect {
    return Effect.withFiber((fiber) =>
      native ? pushNative(this, fiber) : wrapWithPublicApi(this, fiber, () => this.enter(fiber))
    )
  }

  afterSuccess(value: unknown, fiber: AnyFiber): AnyEffect | undefined {
    const next = this.succeeded(value, fiber)
    if (next === undefined) this.busy = false
    return next
  }

  afterFailure(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    // biome-ignore lint/plugin: no effect; this runs after every failure
    try {
      const next = this.failed(cause, fiber)
      if (next === undefined) this.busy = false
      return next
    } catch (defect) {
      // Thrown by a function of the user's: the caller gets the real error, with the defect beside it.
      return Effect.failCause(beside(cause, Cause.die(defect)))
    }
  }

  [Primitive.onSuccess](value: unknown, fiber: AnyFiber): AnyEffect {
    return this.afterSuccess(value, fiber) ?? Primitive.succeed(value, fiber)
  }

  [Primitive.onFailure](
    cause: Cause.Cause<unknown>,
    fiber: AnyFiber,
    exit: Exit.Exit<unknown, unknown> | undefined
  ): AnyEffect {
    return this.afterFailure(cause, fiber) ?? exit ?? Effect.failCause(cause)
  }

  [Primitive.onLeave](fiber: AnyFiber): void {
    const interruption = Primitive.interruption(fiber)
    if (interruption !== undefined) this.afterFailure(interruption, fiber)
  }
}

type AnyFrame = Frame<any, any>

/**
 * For a class of frames that do nothing after a success and on an interruption: Effect's loop passes such a frame by, which
 * costs no turn and no allocation.
 */
export const passedBy = (constructor: { readonly prototype: AnyFrame }): void => {
  Reflect.defineProperty(constructor.prototype, Primitive.onSuccess, { value: undefined })
  Reflect.defineProperty(constructor.prototype, Primitive.onLeave, {
    value(this: { busy: boolean }) {
      this.busy = false
    }
  })
}

/**
 * Runs what a function of the user's returned on the fiber of the call. If it meets a value that is no effect inside (from an
 * `async` function, say), Effect's loop ends the fiber without unwinding it: the calls around this one are ended here, and
 * release what they hold. Not for the protected work, because the observer would cost every call.
 */
export const endingCallsAround = (self: AnyEffect, fiber: AnyFiber): AnyEffect => {
  if (!native || Exit.isExit(self)) return self
  const remove = fiber.addObserver((exit) => {
    for (const frame of Primitive.left(fiber)) if (frame instanceof Frame) end(frame, exit, fiber)
  })
  return Effect.onExitPrimitive(self, () => {
    remove()
    return undefined
  })
}

/** Ends a call on a fiber that has ended: what would run next cannot. */
const end = (frame: AnyFrame, exit: Exit.Exit<unknown, unknown>, fiber: AnyFiber): void => {
  if (exit._tag === "Failure") frame.afterFailure(exit.cause, fiber)
}

const pushNative = (frame: AnyFrame, fiber: AnyFiber): AnyEffect => {
  Primitive.push(frame, fiber)
  return frame.enter(fiber)
}

const wrapWithPublicApi = (frame: AnyFrame, fiber: AnyFiber, enter: () => AnyEffect): AnyEffect => {
  let next: AnyEffect | undefined
  const remove = fiber.addObserver((exit) => end(frame, exit, fiber))
  const work = Effect.onExitPrimitive(Effect.suspend(enter), (exit) => {
    remove()
    next = exit._tag === "Success" ? frame.afterSuccess(exit.value, fiber) : frame.afterFailure(exit.cause, fiber)
    return undefined
  })
  return Effect.matchCauseEffect(work, {
    onSuccess: (value) => next ?? Effect.succeed(value),
    onFailure: (cause) => next ?? Effect.failCause(cause)
  })
}

/** How frames are pushed: a branch, not a function that varies, so that V8 can inline it. */
let native = false

/** Chooses how frames are pushed: natively when `frameCheck.ts` found that it works; tests run on both. */
export const use = (variant: "native" | "public"): void => {
  native = variant === "native"
}
