/** Callers of a protected effect with one call each at a time, whose work runs until a command ends it. */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"

/** A caller is idle, waits for admission, or works. */
type Doing = "idle" | "waiting" | "working"

export interface Caller {
  readonly doing: Doing
  /** How its last call ended, formatted by `Callers.describe`; `undefined` before the first call. */
  readonly last: string | undefined
  /** How often the work of the current or last call was started. */
  readonly attempts: number
}

class Slot<A, E> {
  fiber: Fiber.Fiber<unknown, unknown> | undefined
  work: Deferred.Deferred<A, E> | undefined
  last: string | undefined
  attempts = 0

  get doing(): Doing {
    return this.fiber === undefined || this.fiber.pollUnsafe() !== undefined
      ? "idle"
      : this.work === undefined
        ? "waiting"
        : "working"
  }
}

/** A short name for how a call ended: the value, the tag of the error, `"defect"` or `"interrupted"`. */
export const describe = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return String(exit.value)
  if (Cause.hasDies(exit.cause)) return "defect"
  const error = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
  if (error === undefined) return "interrupted"
  return typeof error === "object" && error !== null && "_tag" in error ? String(error._tag) : String(error)
}

export class Callers<A, E> {
  private readonly slots: ReadonlyArray<Slot<A, E>>
  private readonly describe: (exit: Exit.Exit<unknown, unknown>) => string

  constructor(count: number, describe: (exit: Exit.Exit<unknown, unknown>) => string) {
    this.slots = Array.from({ length: count }, () => new Slot<A, E>())
    this.describe = describe
  }

  private slot(caller: number): Slot<A, E> {
    const slot = this.slots[caller]
    if (slot === undefined) throw new RangeError(`there is no caller ${caller}`)
    return slot
  }

  begin(
    caller: number,
    protect: (work: Effect.Effect<A, E>) => Effect.Effect<unknown, unknown>
  ): Effect.Effect<void, never, Scope.Scope> {
    return Effect.suspend(() => {
      const slot = this.slot(caller)
      if (slot.doing !== "idle") throw new Error(`caller ${caller} has a call in progress`)
      slot.attempts = 0
      slot.last = undefined
      const work = Effect.suspend(() => {
        const mine = Deferred.makeUnsafe<A, E>()
        slot.work = mine
        slot.attempts += 1
        return Effect.onExit(Deferred.await(mine), () =>
          Effect.sync(() => {
            if (slot.work === mine) slot.work = undefined
          })
        )
      })
      const call = Effect.onExit(
        Effect.suspend(() => protect(work)),
        (exit) =>
          Effect.sync(() => {
            slot.last = this.describe(exit)
          })
      )
      const begun = Effect.acquireRelease(
        Effect.map(Effect.forkDetach(Effect.interruptible(call), { startImmediately: true }), (fiber) => {
          slot.fiber = fiber
          return fiber
        }),
        // Not awaited, because a call that cannot be interrupted would hang the run.
        (fiber) => Effect.sync(() => fiber.interruptUnsafe())
      )
      return Effect.asVoid(begun)
    })
  }

  end(caller: number, exit: Exit.Exit<A, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { work } = this.slot(caller)
      if (work === undefined) throw new Error(`caller ${caller} is not working`)
      return Effect.asVoid(Deferred.done(work, exit))
    })
  }

  interrupt(caller: number): Effect.Effect<void> {
    return Effect.sync(() => this.slot(caller).fiber?.interruptUnsafe())
  }

  get view(): ReadonlyArray<Caller> {
    return this.slots.map(({ attempts, doing, last }) => ({
      doing,
      last: doing === "idle" ? last : undefined,
      attempts
    }))
  }
}
