/** What no sender can know: the queue and the condition of the dependency. For a sender that is a bound. */
import * as Effect from "effect/Effect"
import type { Engine, Event } from "../Engine.ts"

/** The dependency of a world as a bound sees it. */
export interface Seen {
  /** Milliseconds until a worker would take an attempt that is sent now; `Infinity` if none would. */
  readonly wait: (shard: number) => number
}

class Waiter {
  readonly end: (isReady: boolean) => void
  timer: Event | undefined = undefined
  isGone = false

  constructor(end: (isReady: boolean) => void) {
    this.end = end
  }

  leave(): void {
    this.isGone = true
    this.timer?.cancel()
  }
}

export class Insight {
  private readonly engine: Engine
  private readonly seen: Seen
  private readonly most: number
  private readonly lines = new Map<number, Array<Waiter>>()
  private isPlanned = false

  /** An attempt is worth sending while it would wait for less than `most` milliseconds. */
  constructor(engine: Engine, seen: Seen, most: number) {
    this.engine = engine
    this.seen = seen
    this.most = most
  }

  /** Whether an attempt should be sent now. */
  isReady(shard: number): boolean {
    return this.seen.wait(shard) < this.most
  }

  /** Waits until an attempt should be sent; those that came last go first. `false` after `limit` milliseconds. */
  wait(shard: number, limit: number): Effect.Effect<boolean> {
    return Effect.callback((resume) => {
      const waiter = new Waiter((isReady) => {
        waiter.leave()
        resume(Effect.succeed(isReady))
      })
      waiter.timer = this.engine.after(limit, () => waiter.end(false))
      const line = this.lines.get(shard)
      if (line === undefined) this.lines.set(shard, [waiter])
      else line.push(waiter)
      return Effect.sync(() => waiter.leave())
    })
  }

  /** Called when the dependency has changed. */
  changed(): void {
    if (this.isPlanned || this.lines.size === 0) return
    this.isPlanned = true
    this.engine.after(0, () => {
      this.isPlanned = false
      for (const [shard, line] of this.lines) this.release(shard, line)
    })
  }

  /** A call sends its attempt at once, so that the next one sees the queue with it. */
  private release(shard: number, line: Array<Waiter>): void {
    for (let last = line.at(-1); last !== undefined; last = line.at(-1)) {
      if (!last.isGone && !this.isReady(shard)) return
      line.pop()
      if (!last.isGone) last.end(true)
    }
    this.lines.delete(shard)
  }
}

const insights = new WeakMap<Engine, Insight>()

export const reveal = (engine: Engine, insight: Insight): void => {
  insights.set(engine, insight)
}

export const insightOf = (engine: Engine | undefined): Insight => {
  const found = engine === undefined ? undefined : insights.get(engine)
  if (found === undefined) throw new Error("this sender needs a simulated dependency, which it sees")
  return found
}
