/**
 * The capacity of the upstream: so many workers, and a queue in front of them. As in most servers, work goes on when the
 * caller has gone: that is what makes retries after a timeout costly.
 */
import type { Mode } from "./script.ts"
import { serviceTime } from "./settings.ts"

export type Answer = (status: 200 | 500 | 503) => void

/** Twice the workers that the load keeps busy while all is well. */
export const workersFor = (rate: number): number => Math.ceil((2 * rate * serviceTime) / 1000)

/** Two seconds of work. */
export const queueFor = (rate: number): number => 4 * rate

const slowness = 4

export class Workers {
  mode: Mode = "healthy"
  private busy = 0
  private queue: Array<Answer> = []
  private held: Array<Answer> = []
  private readonly timers = new Set<NodeJS.Timeout>()
  private readonly workers: number
  private readonly maxQueue: number
  private readonly random: () => number

  constructor(options: { readonly workers: number; readonly maxQueue: number; readonly random: () => number }) {
    this.workers = options.workers
    this.maxQueue = options.maxQueue
    this.random = options.random
  }

  get waiting(): number {
    return this.queue.length
  }

  handle(answer: Answer): void {
    if (this.busy < this.workers) this.work(answer)
    else if (this.queue.length < this.maxQueue) this.queue.push(answer)
    else answer(503)
  }

  enter(mode: Mode): void {
    this.mode = mode
    const held = this.held
    this.held = []
    for (const answer of held) {
      this.busy -= 1
      this.work(answer)
    }
  }

  /** Forgets all work, as a process that dies does. */
  crash(): void {
    for (const timer of this.timers) clearTimeout(timer)
    this.timers.clear()
    this.queue = []
    this.held = []
    this.busy = 0
  }

  private work(answer: Answer): void {
    this.busy += 1
    if (this.mode === "hanging") {
      this.held.push(answer)
      return
    }
    const fails = this.random() < 0.5 && this.mode === "errors"
    const time = serviceTime * (0.5 + this.random()) * (this.mode === "slow" ? slowness : 1)
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      this.busy -= 1
      answer(fails ? 500 : 200)
      const next = this.queue.shift()
      if (next !== undefined) this.work(next)
    }, time)
    this.timers.add(timer)
  }
}
