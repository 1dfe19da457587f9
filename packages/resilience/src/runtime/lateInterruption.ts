/**
 * Interrupts a fiber whose time is over, without losing the result of work that completes all the same.
 *
 * Effect delivers an interruption at the end of an uninterruptible region, and the result of the region is lost: a committed
 * transaction would count as timed out, and would be repeated. Here the fiber goes on from the end of a region as long as it only
 * finishes (the rest of the computation, finalizers). It is interrupted as soon as it waits in an interruptible state, has run a
 * finalizer that was not there at the end of the region, enters another uninterruptible region, or enters an interruptible part of a region, before anything of that runs. So work that is a
 * sequence of uninterruptible regions ends at the end of the current one.
 *
 * Only a fiber that is late and in a region at that moment is watched. This module and `primitive.ts` know how Effect's run loop
 * is made: `FiberImpl` reads and sets `interruptible` on itself, keeps its frames on `_stack`, and leaves them through `getCont`. On a fiber without them the
 * interruption is Effect's own.
 */
import type { AnyFiber } from "./types.ts"

const WatchKey: unique symbol = Symbol.for("effect-resilience/lateInterruption")

/** What the run loop keeps on a fiber, as far as it is used here. */
interface Loop extends AnyFiber {
  interruptible: boolean
  getCont(this: Loop, symbol: unknown): unknown
  /** The frames that the loop goes on with. */
  readonly _stack: { readonly length: number }
  [WatchKey]: Watch
}

/** Thrown to abandon the operation that enters a region; the loop replaces it by the interruption. */
const abandoned = "effect-resilience: the time is over"

class Watch {
  private readonly fiber: Loop
  private readonly interruptor: number
  private readonly onInterrupt: () => void
  /** The state that `FiberImpl` believes to hold itself. */
  interruptible = false
  /** The loop takes frames off the stack: what changes then is the end of a region, or the start of a finalizer. */
  leaving = false
  /** Of the frames that were there when the region ended, those that are left. */
  private left = Infinity
  /** The fiber is in a finalizer that was added after the end of the region, so it does not only finish. */
  private renewed = false
  private waiting = false
  private over = false

  constructor(fiber: Loop, interruptor: number, onInterrupt: () => void) {
    this.fiber = fiber
    this.interruptor = interruptor
    this.onInterrupt = onInterrupt
    fiber[WatchKey] = this
    Object.defineProperty(fiber, "interruptible", accessor)
    fiber.getCont = watchedGetCont
  }

  set(value: boolean): void {
    if (value === this.interruptible) return
    if (this.leaving || value) this.interruptible = value
    if (!this.leaving) {
      this.interrupt()
      if (!value) throw abandoned
    } else if (!value) {
      // A finalizer has put one frame, which ends its region, in the place of its own.
      this.renewed ||= this.fiber._stack.length > this.left
    } else if (this.renewed) {
      this.interrupt()
    } else {
      if (this.left === Infinity) this.left = this.fiber._stack.length
      this.lookAtNextTurn()
    }
  }

  /** After frames were taken off the stack. */
  shrink(): void {
    if (this.left < Infinity) this.left = Math.min(this.left, this.fiber._stack.length)
  }

  /** The fiber runs until it has ended or waits: one that is interruptible at its next turn waits. */
  private lookAtNextTurn(): void {
    if (this.waiting) return
    this.waiting = true
    this.fiber.currentDispatcher.scheduleTask(() => {
      this.waiting = false
      if (!this.over && this.interruptible && this.fiber.pollUnsafe() === undefined) this.interrupt()
    }, 0)
  }

  private interrupt(): void {
    this.stop()
    this.onInterrupt()
    this.fiber.interruptUnsafe(this.interruptor)
  }

  /** Makes the fiber an ordinary one again. */
  stop(): void {
    if (this.over) return
    this.over = true
    Object.defineProperty(this.fiber, "interruptible", {
      configurable: true,
      enumerable: true,
      writable: true,
      value: this.interruptible
    })
    Reflect.deleteProperty(this.fiber, "getCont")
  }
}

const accessor = {
  configurable: true,
  enumerable: true,
  get(this: Loop): boolean {
    return this[WatchKey].interruptible
  },
  set(this: Loop, value: boolean): void {
    this[WatchKey].set(value)
  }
}

function watchedGetCont(this: Loop, symbol: unknown): unknown {
  const watch = this[WatchKey]
  const getCont: Loop["getCont"] = Object.getPrototypeOf(this).getCont
  watch.leaving = true
  // biome-ignore lint/plugin: no effect; a frame that throws must not leave the watch in the wrong state
  try {
    return getCont.call(this, symbol)
  } finally {
    watch.leaving = false
    watch.shrink()
  }
}

const isLoop = (fiber: AnyFiber): fiber is Loop =>
  typeof (fiber as Loop).interruptible === "boolean" &&
  typeof (fiber as Loop).getCont === "function" &&
  Array.isArray((fiber as Loop)._stack)

/**
 * Interrupts a fiber, at the latest when it does something new. `onInterrupt` runs just before the interruption, and not at all
 * if the fiber completes. The returned function takes the request back.
 */
export const interruptLate = (fiber: AnyFiber, interruptor: number, onInterrupt: () => void): (() => void) => {
  if (isLoop(fiber) && !fiber.interruptible) {
    const watch = new Watch(fiber, interruptor, onInterrupt)
    return () => watch.stop()
  }
  onInterrupt()
  fiber.interruptUnsafe(interruptor)
  return () => {}
}
