/**
 * One-shot timers on Effect's `Clock`. A timer never fires before its time: `setTimeout` truncates fractions of a millisecond,
 * and Node's may fire a millisecond early.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as LinkedList from "../machine/LinkedList.ts"
import * as Time from "./clock.ts"
import * as Platform from "./platform.ts"
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
  if (clock !== Time.liveClock) return sleepThen(clock, fiber, delay, fire)
  const now = Time.liveMillis()
  // A fraction is the rest of a longer time, and no two of them are the same: a list would hold one timer.
  if (delay > longestDelay || !Number.isInteger(delay) || Platform.timersBelongToRequests())
    return single(now + delay, now, fire)
  const list = listOf(delay)
  const timer = list.add(fire, now)
  return () => list.remove(timer)
}

/** Waits for `delay` milliseconds. `Effect.sleep` may end a millisecond early. */
export const sleep = (delay: number): Effect.Effect<void> =>
  Effect.withFiber((fiber) => {
    if (delay <= 0 || delay === Infinity) return Effect.sleep(delay)
    const clock = fiber.getRef(Clock.Clock)
    if (clock !== Time.liveClock) return sleepOn(clock, delay)
    return Effect.callback((resume) => {
      const cancel = start(fiber, delay, () => resume(Effect.void))
      return Effect.sync(cancel)
    })
  })

/**
 * Calls `fire` once after `delay` milliseconds on a clock, for what no fiber waits for. It holds nothing but the clock and `fire`, and
 * does not keep the process alive.
 */
export const alarm = (clock: Clock.Clock, delay: number, fire: () => void): (() => void) => {
  if (clock !== Time.liveClock) return forkSleep(Context.make(Clock.Clock, clock), clock, delay, fire)
  const now = Time.liveMillis()
  return single(now + delay, now, fire, true)
}

const noop = (): void => {}

const sleepOn = (clock: Clock.Clock, delay: number): Effect.Effect<void> => {
  const at = Time.millisOf(clock) + delay
  const wait = (delay: number, again: number): Effect.Effect<void> =>
    Effect.flatMap(clock.sleep(Duration.millis(delay)), () => {
      const early = at - Time.millisOf(clock)
      // A clock whose time does not move with its sleeps is a stub, and is taken at its word.
      return early > 0 && early <= toleranceMs && again > 0
        ? wait(Math.max(early, leastSleepMs), again - 1)
        : Effect.void
    })
  return wait(delay, 3)
}

/** `TestClock` rounds its time down to a nanosecond. */
const leastSleepMs = 1e-3

const sleepThen = (clock: Clock.Clock, fiber: AnyFiber, delay: number, fire: () => void): (() => void) => {
  const direct = Time.directOf(clock)
  return direct === undefined ? forkSleep(fiber.context, clock, delay, fire) : waitDirectly(direct, delay, fire)
}

/** As {@link sleepOn}, without a fiber. */
const waitDirectly = (direct: Time.Direct, delay: number, fire: () => void): (() => void) => {
  const at = direct.millis() + delay
  const wait = (delay: number, again: number): { readonly cancel: () => void } =>
    // A sleep with a fraction lasts a whole number of nanoseconds.
    direct.after(Number.isInteger(delay) ? delay : Duration.toMillis(Duration.millis(delay)), () => {
      const early = at - direct.millis()
      if (early > 0 && early <= toleranceMs && again > 0) event = wait(Math.max(early, leastSleepMs), again - 1)
      else fire()
    })
  let event = wait(delay, 3)
  return () => event.cancel()
}

const forkSleep = (
  context: Context.Context<never>,
  clock: Clock.Clock,
  delay: number,
  fire: () => void
): (() => void) => {
  const sleeping = Effect.runForkWith(context)(sleepOn(clock, delay))
  let cancelled = false
  sleeping.addObserver((exit) => {
    if (!cancelled && exit._tag === "Success") fire()
  })
  return () => {
    cancelled = true
    sleeping.interruptUnsafe()
  }
}

/** A platform timer of its own, which fires at `at`; in the background, it does not keep the process alive. */
const single = (at: number, now: number, fire: () => void, background = false): (() => void) => {
  let handle: Handle
  const set = (now: number): void => {
    const delay = platformDelay(at - now)
    handle = setTimeout(() => {
      const fired = firedAt(now + delay)
      if (fired >= at) fire()
      else set(fired)
    }, delay)
    if (background) handle.unref?.()
  }
  set(now)
  return () => clearTimeout(handle)
}

/** A delay that `setTimeout` takes as it is. */
const platformDelay = (delay: number): number => Math.min(longestDelay, Math.max(1, Math.ceil(delay)))

/** Node may fire this many milliseconds early by `performance.now()`. A timer that fires earlier than that is a fake one. */
const toleranceMs = 2

/** The time at which a platform timer that was set for `at` has fired. */
const firedAt = (at: number): number => {
  const live = Time.liveMillis()
  return at - live > toleranceMs ? at : live
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

type Lists = Map<number, TimerList>

/**
 * The timers with one delay, as in Node's own timers: they end in the order in which they were added, so one platform timer,
 * set for the first, serves all. Nearly every timer is cancelled before its time, which changes a few links here.
 */
class TimerList {
  private readonly delay: number
  private readonly lists: Lists
  private readonly timers: LinkedList.LinkedList<Timer> = LinkedList.make()
  private handle: Handle | undefined
  /** The time for which the platform timer is set. */
  private at: number

  constructor(delay: number, lists: Lists) {
    this.delay = delay
    this.lists = lists
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
    this.lists.delete(this.delay)
  }

  private fire(): void {
    const now = firedAt(this.at)
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
        else this.set(first.at, platformDelay(first.at - now))
      }
    }
  }
}

/** The lists whose platform timers were set with `setBy`: a list must not wait for a timer of another, fake or real, platform. */
let lists: Lists = new Map()
let setBy = setTimeout

const listOf = (delay: number): TimerList => {
  if (setBy !== setTimeout) {
    setBy = setTimeout
    lists = new Map()
  }
  const found = lists.get(delay)
  if (found !== undefined) return found
  const list = new TimerList(delay, lists)
  lists.set(delay, list)
  return list
}
