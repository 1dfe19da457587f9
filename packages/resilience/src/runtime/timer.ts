/** One-shot timers on Effect's `Clock`. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as LinkedList from "../machine/LinkedList.ts"
import * as Time from "./clock.ts"
import type { AnyFiber } from "./types.ts"

/** The longest delay that `setTimeout` takes, in milliseconds; a longer one would fire at once. */
const longestDelay = 2 ** 31 - 1

/**
 * Calls `fire` once after `delay` milliseconds, unless the returned function is called first.
 *
 * A platform timer on the live clock (a sleeping fiber costs twice as much per protected call), a sleep on any other clock,
 * so that `TestClock` and a simulator control it.
 */
export const start = (fiber: AnyFiber, delay: number, fire: () => void): (() => void) => {
  if (delay === Infinity) return noop
  const clock = fiber.getRef(Clock.Clock)
  if (clock !== Time.liveClock || delay > longestDelay) return sleep(clock, fiber, delay, fire)
  // A fraction is the rest of a longer time, and no two of them are the same: a list would hold one timer.
  if (!Number.isInteger(delay)) {
    const handle = setTimeout(fire, delay)
    return () => clearTimeout(handle)
  }
  const list = listOf(delay)
  const timer = list.add(fire, Time.liveMillis())
  return () => list.remove(timer)
}

const noop = (): void => {}

const sleep = (clock: Clock.Clock, fiber: AnyFiber, delay: number, fire: () => void): (() => void) => {
  const sleeping = Effect.runForkWith(fiber.context)(clock.sleep(Duration.millis(delay)))
  let cancelled = false
  sleeping.addObserver((exit) => {
    if (!cancelled && exit._tag === "Success") fire()
  })
  return () => {
    cancelled = true
    sleeping.interruptUnsafe()
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// Timer lists
// ---------------------------------------------------------------------------------------------------------------------

interface Timer extends LinkedList.Node<Timer> {
  readonly fire: () => void
  readonly at: number
}

/** In Node an unused timer must not keep the process alive. On other platforms a handle is a number. */
type Handle = ReturnType<typeof setTimeout> & { readonly ref?: () => void; readonly unref?: () => void }

/**
 * The platform timer of an empty list with a delay up to this is kept, without keeping the process alive; that of a longer
 * list is cleared, because its handle retains what was reachable when it was set.
 */
const unrefUpToMs = 10_000

/** Node may fire this many milliseconds early by `performance.now()`. A timer that fires earlier than that is a fake one. */
const toleranceMs = 2

/**
 * The timers with one delay, as in Node's own timers: they end in the order in which they were added, so one platform timer,
 * set for the first, serves all. Nearly every timer is cancelled before its time, which changes a few links here.
 */
class TimerList {
  private readonly delay: number
  private readonly timers: LinkedList.LinkedList<Timer> = LinkedList.make()
  private handle: Handle | undefined
  /** The time for which the platform timer is set. */
  private at: number

  constructor(delay: number) {
    this.delay = delay
    this.handle = undefined
    this.at = 0
  }

  add(fire: () => void, now: number): Timer {
    const timer: Timer = { fire, at: now + this.delay, linked: false, previous: undefined, next: undefined }
    if (this.timers.first === undefined) {
      if (this.handle === undefined) this.set(timer.at, this.delay)
      else this.handle.ref?.()
    }
    LinkedList.append(this.timers, timer)
    return timer
  }

  remove(timer: Timer): void {
    if (LinkedList.remove(this.timers, timer) && this.timers.first === undefined) this.idle()
  }

  private set(at: number, delay: number): void {
    this.at = at
    this.handle = setTimeout(() => this.fire(), delay)
  }

  private idle(): void {
    if (this.handle === undefined) return
    if (this.delay <= unrefUpToMs) {
      this.handle.unref?.()
    } else {
      clearTimeout(this.handle)
      this.dispose()
    }
  }

  private dispose(): void {
    this.handle = undefined
    lists.delete(this.delay)
  }

  private fire(): void {
    const live = Time.liveMillis()
    const now = this.at - live > toleranceMs ? this.at : live
    this.handle = undefined
    // biome-ignore lint/plugin: no effect; what one callback throws must not keep the others from being called
    try {
      // One at a time: a callback may cancel the next timer, or add others.
      for (let timer = this.timers.first; timer !== undefined && timer.at <= now; timer = this.timers.first) {
        this.remove(timer)
        timer.fire()
      }
    } finally {
      if (this.handle === undefined) {
        const { first } = this.timers
        if (first === undefined) this.dispose()
        else this.set(first.at, Math.max(1, Math.ceil(first.at - now)))
      }
    }
  }
}

const lists = new Map<number, TimerList>()

const listOf = (delay: number): TimerList => {
  const found = lists.get(delay)
  if (found !== undefined) return found
  const list = new TimerList(delay)
  lists.set(delay, list)
  return list
}
