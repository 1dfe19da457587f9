/**
 * A call of a policy: an effect that is its own frame, one between the caller and the work, seen from the fiber.
 *
 * Everything that a policy takes (a permit, a probe, a place in a queue) it takes in `enter`, which runs when the frame is
 * already in place, and gives back in `succeeded` or `failed`, of which exactly one runs, exactly once, however the call
 * ends: success, failure, defect or interruption, at any yield point. Taking anything before the frame is in place would
 * lose it when the fiber is interrupted in between; that is how semaphores leak.
 *
 * An effect may be run many times, also at the same time. Most run once: so the effect itself is the frame of a run, and
 * only who runs it while it is on its way gets a copy.
 *
 * There are two ways to put a frame in place, which do the same: on the run loop's own terms (`primitive.ts`), or inside
 * frames that Effect's public API makes.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"
import * as Primitive from "./primitive.ts"
import type { AnyEffect, AnyFiber } from "./types.ts"

interface Begins {
  begin(fiber: AnyFiber): AnyEffect
}

const prototype = Effectable.Prototype<AnyEffect & Begins>({
  label: "Protected",
  evaluate(fiber) {
    return this.begin(fiber)
  }
})

/** What {@link Protected} inherits from: a class whose instances are effects. */
const Base = class {} as unknown as abstract new () => AnyEffect
Object.setPrototypeOf(Base.prototype, prototype)

// In this class and those that extend it fields are declared, not defined: a field that begins as `undefined` can never
// hold a number without a box.
export abstract class Protected extends Base implements Begins {
  /**
   * On its way, from `begin` to its end. One whose end was lost (an interruption in a pause, a judgement that threw) stays
   * so: it is never again used as itself, and what it left in its fields is nobody's.
   */
  declare private busy: boolean

  constructor() {
    super()
    this.busy = false
  }

  /** The same effect, for a run while this one is on its way. */
  protected abstract copy(): Protected
  /**
   * Prepares a run: finds what it needs and forgets the run before. Answers with what happens instead of the call, if
   * anything does: a rejection, which needs no frame. Takes nothing; `enter` follows at once.
   */
  protected abstract prepare(fiber: AnyFiber): AnyEffect | undefined
  /** Takes what the call needs and answers with the work. */
  abstract enter(fiber: AnyFiber): AnyEffect
  /** The work succeeded. An effect goes on in its place; `undefined` succeeds with the value. */
  abstract succeeded(value: unknown, fiber: AnyFiber): AnyEffect | undefined
  /** The work failed or was interrupted. An effect goes on in its place; `undefined` fails with the cause. */
  abstract failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined

  begin(fiber: AnyFiber): AnyEffect {
    if (this.busy) return this.copy().begin(fiber)
    this.busy = true
    if (!own) return byPublicApi(this, fiber, () => this.prepare(fiber) ?? this.enter(fiber))
    const instead = this.prepare(fiber)
    if (instead === undefined) return onItsOwn(this, fiber)
    this.busy = false
    return instead
  }

  /** Puts the frame in place once more, for the next attempt of the same call. */
  protected again(): AnyEffect {
    return Effect.withFiber((fiber) =>
      own ? onItsOwn(this, fiber) : byPublicApi(this, fiber, () => this.enter(fiber))
    )
  }

  afterSuccess(value: unknown, fiber: AnyFiber): AnyEffect | undefined {
    const next = this.succeeded(value, fiber)
    if (next === undefined) this.busy = false
    return next
  }

  afterFailure(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined {
    const next = this.failed(cause, fiber)
    if (next === undefined) this.busy = false
    return next
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

/** Work must not run unprotected because something was not found. */
export const unprepared: AnyEffect = Effect.die(
  new Error("effect-resilience: a call was entered before it was prepared")
)

const onItsOwn = (call: Protected, fiber: AnyFiber): AnyEffect => {
  Primitive.push(call, fiber)
  return call.enter(fiber)
}

const byPublicApi = (call: Protected, fiber: AnyFiber, enter: () => AnyEffect): AnyEffect => {
  let next: AnyEffect | undefined
  const work = Effect.onExitPrimitive(Effect.suspend(enter), (exit) => {
    next = exit._tag === "Success" ? call.afterSuccess(exit.value, fiber) : call.afterFailure(exit.cause, fiber)
    return undefined
  })
  return Effect.matchCauseEffect(work, {
    onSuccess: (value) => next ?? Effect.succeed(value),
    onFailure: (cause) => next ?? Effect.failCause(cause)
  })
}

/** How frames are put in place: a branch, not a function that varies, so that V8 can inline it. */
let own = false

// ---------------------------------------------------------------------------------------------------------------------
// The check at start
// ---------------------------------------------------------------------------------------------------------------------

/** Notes how its call ended. */
class Witness extends Protected {
  readonly saw: Array<string> = []
  private readonly work: AnyEffect
  private readonly next: AnyEffect | undefined

  constructor(work: AnyEffect, next?: AnyEffect) {
    super()
    this.work = work
    this.next = next
  }

  copy(): Witness {
    return new Witness(this.work, this.next)
  }

  prepare(): undefined {}

  enter(): AnyEffect {
    return this.work
  }

  succeeded(): AnyEffect | undefined {
    this.saw.push("success")
    return this.next
  }

  failed(cause: Cause.Cause<unknown>): AnyEffect | undefined {
    this.saw.push(Cause.hasInterruptsOnly(cause) ? "interrupt" : "failure")
    return this.next
  }
}

/** Runs a call to its end, or to where it waits and is interrupted. */
const ends = (witness: AnyEffect): Exit.Exit<unknown, unknown> | undefined => {
  // A witness asks for no services.
  const fiber = Effect.runFork(witness as Effect.Effect<unknown, unknown>)
  fiber.interruptUnsafe()
  return fiber.pollUnsafe()
}

const works = (): boolean => {
  const cases: ReadonlyArray<readonly [Witness, string, (exit: Exit.Exit<unknown, unknown>) => boolean]> = [
    [new Witness(Effect.succeed(1)), "success", (exit) => Exit.isSuccess(exit) && exit.value === 1],
    [new Witness(Effect.succeed(1), Effect.succeed(2)), "success", (exit) => Exit.isSuccess(exit) && exit.value === 2],
    [new Witness(Effect.fail(1)), "failure", Exit.hasFails],
    [new Witness(Effect.fail(1), Effect.succeed(2)), "failure", (exit) => Exit.isSuccess(exit) && exit.value === 2],
    [new Witness(Effect.die(1)), "failure", Exit.hasDies],
    [new Witness(Effect.suspend(() => Effect.flatMap(Effect.void, () => Effect.fail(1)))), "failure", Exit.hasFails],
    [new Witness(Effect.never), "interrupt", Exit.hasInterrupts],
    [
      new Witness(
        Effect.flatMap(Effect.void, () => Effect.never),
        Effect.succeed(2)
      ),
      "interrupt",
      Exit.hasInterrupts
    ]
  ]
  return cases.every(([witness, saw, holds]) => {
    const exit = ends(witness)
    return exit !== undefined && holds(exit) && witness.saw.length === 1 && witness.saw[0] === saw
  })
}

/** Chooses how frames are put in place; for tests, which run on both. */
export const use = (variant: "own" | "public"): void => {
  own = variant === "own"
}

/** Does the run loop take frames of our own? A loop that has changed may do anything with one, so nothing may escape. */
const check = (): boolean => {
  use("own")
  const exit = Effect.runSyncExit(Effect.sync(works))
  return Exit.isSuccess(exit) && exit.value
}

export const ownFramesWork = check()

use(ownFramesWork ? "own" : "public")
