/** The slots of a client process (connections or threads). An attempt holds one slot while it is in progress. */
import type { Engine } from "../Engine.ts"
import type { Scenario } from "../Scenario.ts"
import { Failure } from "../Sender.ts"
import type { Attempt, Target } from "./attempt.ts"
import { Queue } from "./queue.ts"

export class Pool implements Target {
  private readonly engine: Engine
  private readonly slots: number
  private readonly wait: number
  private readonly target: Target
  private readonly holding = new Set<Attempt>()
  private readonly waiting = new Queue<Attempt>()

  constructor(engine: Engine, { slots, wait = Infinity }: NonNullable<Scenario["pool"]>, target: Target) {
    this.engine = engine
    this.slots = slots
    this.wait = wait
    this.target = target
  }

  send(attempt: Attempt): void {
    if (this.holding.size < this.slots) this.admit(attempt)
    else this.queue(attempt)
  }

  abandon(attempt: Attempt): void {
    if (this.holding.has(attempt)) {
      this.target.abandon(attempt)
      this.leave(attempt)
    } else if (attempt.abandoned === Infinity) {
      attempt.abandoned = this.engine.now
      attempt.done?.cancel()
    }
  }

  /** The attempt has its response and releases its slot. */
  leave(attempt: Attempt): void {
    if (!this.holding.delete(attempt)) return
    for (let next = this.waiting.shift(); next !== undefined; next = this.waiting.shift()) {
      if (next.abandoned < Infinity) continue
      next.done?.cancel()
      this.admit(next)
      return
    }
  }

  private queue(attempt: Attempt): void {
    this.waiting.push(attempt)
    if (this.wait === Infinity) return
    attempt.done = this.engine.after(this.wait, () => {
      attempt.abandoned = this.engine.now
      attempt.answer(new Failure("pool"))
    })
  }

  private admit(attempt: Attempt): void {
    this.holding.add(attempt)
    attempt.sent = this.engine.now
    this.target.send(attempt)
  }
}
