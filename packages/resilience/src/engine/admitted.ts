/**
 * Waits until a key would admit a call. Who waits here holds nothing: no permit, no probe, no place in a queue.
 *
 * Of all that watch one key only the first checks it: when its timer ends, and after a change of the key. When it is admitted or
 * interrupted, the next one checks, in a later task, so that the first has had its turn: a change wakes those that can be
 * admitted and one more, however many watch.
 */
import * as Effect from "effect/Effect"
import * as LinkedList from "../machine/LinkedList.ts"
import * as Time from "../runtime/clock.ts"
import * as Timer from "../runtime/timer.ts"
import type { AnyFiber } from "../runtime/types.ts"
import type { Adaptive } from "./adaptive.ts"
import type { Circuits } from "./circuits.ts"
import type { Permits } from "./permits.ts"
import type { Rates } from "./rates.ts"

interface Watcher extends LinkedList.Node<Watcher> {
  readonly fiber: AnyFiber
  readonly resume: () => void
  /** Cancels its timer. */
  cancel: () => void
}

/** Those that watch one key, in the order of their arrival. */
interface Line<Cell> {
  readonly cell: Cell
  readonly watchers: LinkedList.LinkedList<Watcher>
  /** A check is scheduled. */
  scheduled: boolean
}

const noTimer = (): void => {}

export class Watch<Cell extends object> {
  private readonly lines = new Map<object, Line<Cell>>()
  private readonly admitsIn: (cell: Cell, now: number) => number

  /**
   * `admitsIn` returns the milliseconds before the key would admit a call: zero now, `Infinity` if only a change can tell.
   */
  constructor(
    {
      adaptive,
      circuits,
      permits,
      rates
    }: {
      readonly circuits?: Circuits | undefined
      readonly permits?: Permits | undefined
      readonly rates?: Rates | undefined
      readonly adaptive?: Adaptive | undefined
    },
    admitsIn: (cell: Cell, now: number) => number
  ) {
    this.admitsIn = admitsIn
    const changed = (cell: object): void => {
      const line = this.lines.get(cell)
      if (line !== undefined) this.schedule(line)
    }
    if (circuits !== undefined) circuits.onChange = changed
    if (permits !== undefined) permits.onFree = changed
    if (rates !== undefined) rates.onFree = changed
    if (adaptive !== undefined) adaptive.onFree = changed
  }

  /** Does a call watch this key? It must not be dropped then: its changes would be those of another entry. */
  isWatched(cell: Cell): boolean {
    return this.lines.has(cell)
  }

  /** Returns when the key would admit a call. */
  admitted(find: (fiber: AnyFiber) => Cell): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      const cell = find(fiber)
      if (this.admitsIn(cell, Time.monotonicMillis(fiber)) <= 0) return Effect.void
      return Effect.callback((resume) => {
        const line = this.lineOf(cell)
        const watcher: Watcher = {
          fiber,
          resume: () => resume(Effect.void),
          cancel: noTimer,
          linked: false,
          previous: undefined,
          next: undefined
        }
        LinkedList.append(line.watchers, watcher)
        if (line.watchers.first === watcher) this.check(line)
        return Effect.sync(() => this.leave(line, watcher))
      })
    })
  }

  /** Checks every key: what they admit may have changed without a change of their circuits and permits. */
  recheck(): void {
    for (const line of this.lines.values()) this.schedule(line)
  }

  private lineOf(cell: Cell): Line<Cell> {
    const found = this.lines.get(cell)
    if (found !== undefined) return found
    const line: Line<Cell> = { cell, watchers: LinkedList.make(), scheduled: false }
    this.lines.set(cell, line)
    return line
  }

  private check(line: Line<Cell>): void {
    const { first } = line.watchers
    if (first === undefined) return
    first.cancel()
    const wait = this.admitsIn(line.cell, Time.monotonicMillis(first.fiber))
    if (wait > 0) {
      first.cancel = Timer.start(first.fiber, wait, () => this.check(line))
      return
    }
    this.leave(line, first)
    first.resume()
  }

  private leave(line: Line<Cell>, watcher: Watcher): void {
    const wasFirst = line.watchers.first === watcher
    if (!LinkedList.remove(line.watchers, watcher)) return
    watcher.cancel()
    if (line.watchers.first === undefined) this.lines.delete(line.cell)
    else if (wasFirst) this.schedule(line)
  }

  /** In a task of its own: a change is reported in the middle of it, and several that come together take one check. */
  private schedule(line: Line<Cell>): void {
    const { first } = line.watchers
    if (line.scheduled || first === undefined) return
    line.scheduled = true
    first.fiber.currentDispatcher.scheduleTask(() => {
      line.scheduled = false
      this.check(line)
    }, 0)
  }
}
