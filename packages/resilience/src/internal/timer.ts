/** One-shot timers on Effect's `Clock`. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Time from "./time.ts"
import type { AnyFiber } from "./types.ts"

/** The longest delay that `setTimeout` takes; a longer one would fire at once. */
const longest = 2 ** 31 - 1

/**
 * Calls `fire` once after `delay` milliseconds, unless the returned function is called first.
 *
 * A plain timer on the live clock (a sleeping fiber costs twice as much per protected call), a sleep on any other, so
 * that `TestClock` and a simulator drive it.
 */
export const start = (fiber: AnyFiber, delay: number, fire: () => void): (() => void) => {
  if (delay === Infinity) return noop
  const clock = fiber.getRef(Clock.Clock)
  if (clock !== Time.liveClock || delay > longest) return sleep(clock, fiber, delay, fire)
  // A fraction is what is left of some longer time, and no two are the same.
  if (!Number.isInteger(delay)) {
    const handle = setTimeout(fire, delay)
    return () => clearTimeout(handle)
  }
  const row = rowOf(delay)
  const timer = row.add(fire, Time.liveMillis())
  return () => row.remove(timer)
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
// Rows
// ---------------------------------------------------------------------------------------------------------------------

interface Timer {
  readonly fire: () => void
  readonly at: number
  waiting: boolean
  before: Timer | undefined
  after: Timer | undefined
}

/** In Node a timer that nobody waits for must not keep the process. Elsewhere a handle is a number. */
type Handle = ReturnType<typeof setTimeout> & { readonly ref?: () => void; readonly unref?: () => void }

/** A row that lasts longer is ended when it is empty: its timer keeps whatever was current when it was set. */
const short = 10_000

/** The platform's timers may fire so many milliseconds early, by our clock. Earlier, and somebody else moves its time. */
const early = 2

/**
 * Timers of one delay, which end in the order in which they began: one timer of the platform, for the first of them, does
 * for all. Nearly every timer is cancelled long before its time, and here that changes a few links.
 */
class Row {
  private readonly delay: number
  private first: Timer | undefined
  private last: Timer | undefined
  private handle: Handle | undefined
  /** What the platform's timer is set for. */
  private at: number

  constructor(delay: number) {
    this.delay = delay
    this.first = undefined
    this.last = undefined
    this.handle = undefined
    this.at = 0
  }

  add(fire: () => void, now: number): Timer {
    const timer: Timer = { fire, at: now + this.delay, waiting: true, before: this.last, after: undefined }
    if (this.last === undefined) {
      this.first = timer
      if (this.handle === undefined) this.set(timer.at, this.delay)
      else this.handle.ref?.()
    } else {
      this.last.after = timer
    }
    this.last = timer
    return timer
  }

  remove(timer: Timer): void {
    if (!timer.waiting) return
    timer.waiting = false
    if (timer.before === undefined) this.first = timer.after
    else timer.before.after = timer.after
    if (timer.after === undefined) this.last = timer.before
    else timer.after.before = timer.before
    // Who still holds this one must not hold its neighbours.
    timer.before = undefined
    timer.after = undefined
    if (this.first === undefined) this.rest()
  }

  private set(at: number, delay: number): void {
    this.at = at
    this.handle = setTimeout(() => this.ring(), delay)
  }

  /** Nobody waits. */
  private rest(): void {
    if (this.handle === undefined) return
    if (this.delay <= short) {
      this.handle.unref?.()
    } else {
      clearTimeout(this.handle)
      this.end()
    }
  }

  private end(): void {
    this.handle = undefined
    rows.delete(this.delay)
  }

  private ring(): void {
    const live = Time.liveMillis()
    const now = this.at - live > early ? this.at : live
    this.handle = undefined
    // biome-ignore lint/plugin: this is no effect; whatever one listener throws, the others must still be told
    try {
      // One at a time: what is fired may cancel the next, or begin others.
      for (let timer = this.first; timer !== undefined && timer.at <= now; timer = this.first) {
        this.remove(timer)
        timer.fire()
      }
    } finally {
      if (this.handle === undefined) {
        if (this.first === undefined) this.end()
        else this.set(this.first.at, Math.max(1, Math.ceil(this.first.at - now)))
      }
    }
  }
}

const rows = new Map<number, Row>()

const rowOf = (delay: number): Row => {
  const found = rows.get(delay)
  if (found !== undefined) return found
  const row = new Row(delay)
  rows.set(delay, row)
  return row
}
