/**
 * A call in flight, seen from the fiber: one frame on its stack between the caller and the work.
 *
 * Everything that a policy takes (a permit, a probe, a place in a queue) it takes in `enter`, which runs when the frame is
 * already in place, and gives back in `succeeded` or `failed`, of which exactly one runs, exactly once, however the call
 * ends: success, failure, defect or interruption, at any yield point. Taking anything before the frame is in place would
 * lose it when the fiber is interrupted in between; that is how semaphores leak.
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

export abstract class Frame {
  /** Takes what the call needs and answers with the work. */
  abstract enter(fiber: AnyFiber): AnyEffect
  /** The work succeeded. An effect goes on in its place; `undefined` succeeds with the value. */
  abstract succeeded(value: unknown, fiber: AnyFiber): AnyEffect | undefined
  /** The work failed or was interrupted. An effect goes on in its place; `undefined` fails with the cause. */
  abstract failed(cause: Cause.Cause<unknown>, fiber: AnyFiber): AnyEffect | undefined
}

Object.assign(Frame.prototype, Primitive.continuations)

type Place = (frame: Frame, fiber: AnyFiber) => AnyEffect

const onItsOwn: Place = (frame, fiber) => {
  Primitive.push(frame, fiber)
  return frame.enter(fiber)
}

const byPublicApi: Place = (frame, fiber) => {
  let next: AnyEffect | undefined
  const work = Effect.onExitPrimitive(
    Effect.suspend(() => frame.enter(fiber)),
    (exit) => {
      next = exit._tag === "Success" ? frame.succeeded(exit.value, fiber) : frame.failed(exit.cause, fiber)
      return undefined
    }
  )
  return Effect.matchCauseEffect(work, {
    onSuccess: (value) => next ?? Effect.succeed(value),
    onFailure: (cause) => next ?? Effect.failCause(cause)
  })
}

let placing: Place = byPublicApi

/** Puts a frame in place and begins its call. */
export const place: Place = (frame, fiber) => placing(frame, fiber)

/** An effect that puts a frame in place once more, for the next attempt of the same call. */
export const again = (frame: Frame): AnyEffect => Effect.withFiber((fiber) => place(frame, fiber))

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

/** An effect that begins something new each time it runs. */
export abstract class Protected extends Base implements Begins {
  abstract begin(fiber: AnyFiber): AnyEffect
}

// ---------------------------------------------------------------------------------------------------------------------
// The check at start
// ---------------------------------------------------------------------------------------------------------------------

/** Notes how its call ended. */
class Witness extends Frame {
  readonly saw: Array<string> = []
  private readonly work: AnyEffect
  private readonly next: AnyEffect | undefined

  constructor(work: AnyEffect, next?: AnyEffect) {
    super()
    this.work = work
    this.next = next
  }

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
const ends = (place: Place, witness: Witness): Exit.Exit<unknown, unknown> | undefined => {
  const fiber = Effect.runFork(Effect.withFiber((fiber) => place(witness, fiber) as Effect.Effect<unknown, unknown>))
  fiber.interruptUnsafe()
  return fiber.pollUnsafe()
}

const works = (place: Place): boolean => {
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
    const exit = ends(place, witness)
    return exit !== undefined && holds(exit) && witness.saw.length === 1 && witness.saw[0] === saw
  })
}

/** Chooses how frames are put in place; for tests, which run on both. */
export const use = (variant: "own" | "public"): void => {
  placing = variant === "own" ? onItsOwn : byPublicApi
}

/** Does the run loop take frames of our own? A loop that has changed may do anything with one, so nothing may escape. */
export const ownFramesWork = Effect.runSyncExit(Effect.sync(() => works(onItsOwn)))

use(Exit.isSuccess(ownFramesWork) && ownFramesWork.value ? "own" : "public")
