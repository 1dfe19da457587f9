/** What really happens to a call while others decide beside it: its attempts, and what they make of them. */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Time from "../runtime/clock.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyEffect } from "../runtime/types.ts"

/** One attempt that was really made. Times are monotonic, in milliseconds. */
interface RealAttempt {
  readonly startedAt: number
  /** `NaN` while it runs. */
  endedAt: number
  exit: Exit.Exit<unknown, unknown> | undefined
  /** A limit of the live policy ended it: how it would have ended is not known. */
  cut: boolean
}

/** One attempt of those who decide beside the call. */
interface Replayed {
  /** From 0. */
  readonly number: number
  readonly startedAt: number
  /** It started with the call, a moment before or after the real one. */
  readonly aligned: boolean
  readonly timedOut: (() => Exit.Exit<never, unknown>) | undefined
}

/** Attempts beyond those that were really made. */
const mostRepeats = 100

/** Milliseconds that a repeat waits for the real one, which may start at the same moment. */
const leastWait = 1

export class Recording {
  readonly attempts: Array<RealAttempt> = []
  /** Whether the call may make another attempt after one that has ended. */
  readonly repeats: boolean
  /** The call has ended. */
  isOver = false
  /** What decides beside the call is being started, at the moment at which the call starts. */
  isStarting = false
  private readonly waiting = new Set<() => void>()

  constructor(repeats: boolean) {
    this.repeats = repeats
  }

  start(now: number): void {
    this.attempts.push({ startedAt: now, endedAt: NaN, exit: undefined, cut: false })
    this.wake()
  }

  end(exit: Exit.Exit<unknown, unknown>, now: number): void {
    const last = this.running
    if (last === undefined) return
    last.endedAt = now
    last.exit = exit
    this.wake()
  }

  /** The attempt was interrupted. Whether by its caller or by a limit of the live policy is known when the call goes on, or ends. */
  cut(exit: Exit.Exit<unknown, unknown>, now: number): void {
    const last = this.running
    if (last === undefined) return
    last.endedAt = now
    last.exit = exit
    last.cut = true
  }

  over(): void {
    this.isOver = true
    this.wake()
  }

  private get running(): RealAttempt | undefined {
    const last = this.attempts.at(-1)
    return last?.exit === undefined ? last : undefined
  }

  /** Waits for the next change, at most `limit` milliseconds. What waits goes on at once, before the call does. */
  changed(limit: number): Effect.Effect<void> {
    return Effect.withFiber((fiber) =>
      Effect.callback((resume) => {
        const stop = (): void => {
          this.waiting.delete(wake)
          cancel()
        }
        const wake = (): void => {
          stop()
          resume(Effect.void)
        }
        this.waiting.add(wake)
        const cancel = Timer.start(fiber, limit, wake)
        return Effect.sync(stop)
      })
    )
  }

  /** Lets what waits look again. */
  wake(): void {
    for (const wake of Array.from(this.waiting)) wake()
  }

  /**
   * The work as one of those who decide beside the call sees it. Its attempts end as the real ones with the same number end, and take
   * as long. `onStart` is called for each with whether it started with the call. `timedOut` is what an attempt fails with that the live policy has cut; `undefined` when a limit of its own ends it.
   */
  replay(timedOut: (() => Exit.Exit<never, unknown>) | undefined, onStart?: (aligned: boolean) => void): AnyEffect {
    let count = 0
    return Effect.withFiber((fiber) => {
      const number = count++
      // A retry without an end would go on for ever, although its call is over.
      if (number >= this.attempts.length + mostRepeats) return Effect.interrupt
      const startedAt = Time.monotonicMillis(fiber)
      const aligned = this.isStarting
      onStart?.(aligned)
      return this.attempt({ number, startedAt, aligned, timedOut }, true)
    })
  }

  private attempt(replayed: Replayed, isPatient: boolean): AnyEffect {
    return Effect.withFiber((fiber) => {
      const { attempts } = this
      const { aligned, number, startedAt, timedOut } = replayed
      const now = Time.monotonicMillis(fiber)
      const last = attempts.at(-1)
      let real = attempts[number]
      if (real === undefined) {
        // An attempt that is not made ends like the one before it.
        if (last === undefined) return this.isOver ? Effect.interrupt : this.again(replayed, true, Infinity)
        const isDone = this.isOver || !this.repeats || (!isPatient && last.exit !== undefined)
        if (!isDone) {
          const wait = last.exit === undefined ? Infinity : startedAt + last.endedAt - last.startedAt - now
          return this.again(replayed, false, Math.max(wait, leastWait))
        }
        real = last
      }
      const { cut, endedAt, exit } = real
      if (exit === undefined) return this.again(replayed, isPatient, Infinity)
      if (cut) {
        if (timedOut === undefined) return Effect.never
        return this.isOver || real !== last ? timedOut() : this.again(replayed, isPatient, Infinity)
      }
      const left = aligned ? 0 : startedAt + (endedAt - real.startedAt) - now
      return left > 0 ? Effect.flatMap(Timer.sleep(left), () => exit) : exit
    })
  }

  private again(replayed: Replayed, isPatient: boolean, limit: number): AnyEffect {
    return Effect.flatMap(this.changed(limit), () => this.attempt(replayed, isPatient))
  }
}
