/** A fuse at run time: the fibers that pause, those that wait until it breaks, and the listeners to its changes. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type * as Stream from "effect/Stream"
import * as Machine from "../machine/Fuse.ts"
import * as Broadcast from "../runtime/broadcast.ts"
import * as Time from "../runtime/clock.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type * as Stats from "../Stats.ts"
import { defaultKey } from "../Types.ts"
import type { Select } from "./sums.ts"

export interface FuseState {
  readonly shorts: number
  readonly totalShorts: number
  readonly trips: number
  readonly pause: Duration.Duration
  readonly left: Duration.Duration
  readonly broken: boolean
}

export interface FuseSettings extends Machine.Settings {
  /** Whether its board tells other processes. */
  readonly shared: boolean
}

/** What tells other processes of a fuse. */
export interface Teller {
  /** Something was counted. */
  readonly shorted: () => void
  readonly tripped: () => void
  readonly reset: (what: "fuse" | "pause") => void
  /** What this member knows of the others. */
  readonly view: (now: number) => Stats.Fleet
}

export class FuseEngine {
  readonly name: string
  readonly fuse: Machine.Fuse
  teller: Teller | undefined = undefined
  private readonly listeners = new Set<Broadcast.Listener<FuseState>>()
  /** Callers that pause, and fibers that wait for a break: each looks again. */
  private readonly waiting = new Set<() => void>()

  constructor(name: string, settings: Machine.Settings) {
    this.name = name
    this.fuse = Machine.make(settings)
  }

  readonly changes: Stream.Stream<FuseState> = Broadcast.subscribe<FuseState, FuseState>(this.listeners, {
    capacity: 1024,
    select: (state) => state
  })

  /** It has one key. */
  sum(select: Select, now: number): void {
    select(defaultKey, false).addFuse(this.fuse, now)
  }

  fleetView(now: number): Stats.Fleet | undefined {
    return this.teller?.view(now)
  }

  state(now: number): FuseState {
    const { broken, pause, shorts, totalShorts, trips } = this.fuse
    const left = Duration.millis(Machine.left(this.fuse, now))
    return { shorts, totalShorts, trips, pause: Duration.millis(pause), left, broken }
  }

  private changed(now: number): void {
    if (this.listeners.size > 0) {
      const state = this.state(now)
      for (const listener of this.listeners) listener(state)
    }
    for (const look of Array.from(this.waiting)) look()
  }

  /** Counts a short; returns milliseconds to pause. */
  short(now: number, random: number, time: number | undefined): number {
    const { trips } = this.fuse
    const pause = Machine.short(this.fuse, now, random, time)
    if (this.fuse.trips > trips) {
      this.changed(now)
      this.teller?.tripped()
    } else if (pause === 0) this.teller?.shorted()
    return pause
  }

  trip(now: number, random: number, time: number | undefined): number {
    const pause = Machine.trip(this.fuse, now, random, time)
    this.changed(now)
    this.teller?.tripped()
    return pause
  }

  /** Another process has tripped the fuse, or knows of a longer pause. */
  tripElsewhere(now: number, left: number): void {
    if (Machine.isTripped(this.fuse, now)) this.fuse.until = Math.max(this.fuse.until, now + left)
    else Machine.trip(this.fuse, now, 0, left)
    this.changed(now)
  }

  reset(now: number, isElsewhere = false): void {
    Machine.reset(this.fuse)
    this.changed(now)
    if (!isElsewhere) this.teller?.reset("fuse")
  }

  resetBackoff(isElsewhere = false): void {
    Machine.resetBackoff(this.fuse)
    if (!isElsewhere) this.teller?.reset("pause")
  }

  /** Waits until `isOver`, which is asked again after a change and after `wait` milliseconds. */
  private until(isOver: (now: number) => boolean, wait: (now: number) => number): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      const now = Time.monotonicMillis(fiber)
      if (isOver(now)) return Effect.void
      return Effect.callback<void>((resume) => {
        const millis = wait(now)
        const cancel = millis === Infinity ? () => {} : Timer.start(fiber, Math.ceil(millis), () => look(true))
        const look = (isLate: boolean) => {
          if (!isLate && !isOver(Time.monotonicMillis(fiber))) return
          end()
          // Asked again: the pause may have become longer.
          resume(this.until(isOver, wait))
        }
        const again = () => look(false)
        const end = () => {
          this.waiting.delete(again)
          cancel()
        }
        this.waiting.add(again)
        return Effect.sync(end)
      })
    })
  }

  /** Pauses as long as the fuse says. `false` when there is no pause. */
  private paused(pause: number): Effect.Effect<boolean> {
    if (pause === 0) return Effect.succeed(this.fuse.broken)
    const isOver = (now: number) => Machine.left(this.fuse, now) <= 0
    return Effect.as(
      this.until(isOver, (now) => Machine.left(this.fuse, now)),
      true
    )
  }

  count(what: "short" | "trip", time: number | undefined): Effect.Effect<boolean> {
    return Effect.withFiber((fiber) => this.paused(this[what](Time.monotonicMillis(fiber), randomOf(fiber), time)))
  }

  /** Returns when the fuse is broken, or at the next trip of one that resets itself. */
  get broke(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { trips } = this.fuse
      const { manual } = this.fuse.settings
      const isOver = () => (manual ? this.fuse.broken : this.fuse.trips > trips)
      return this.until(isOver, () => Infinity)
    })
  }
}

const randomOf = (fiber: AnyFiber): number => fiber.getRef(Random.Random).nextDoubleUnsafe()
