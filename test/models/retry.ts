import { Model } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Retry, RetryBudget } from "effect-resilience"
import { options as budgetOptions, Ledger } from "./budget.ts"
import { type CallerView, type Ending, endings, exitOf, idle, pause, type WorkError, wallTime } from "./work.ts"

const count = 3
const base = 100
const cap = 150
const times = 2

/** Calls that try again after a pause, if the budget that they share pays for it. */
class World {
  readonly ledger = new Ledger()
  readonly callers: Array<CallerView> = Array.from({ length: count }, idle)
  /** Until when each caller pauses. */
  readonly pauses = new Map<number, number>()

  private work(caller: number, attempts: number): void {
    this.callers[caller] = { doing: "working", last: undefined, attempts }
  }

  begin(caller: number): void {
    this.ledger.first()
    this.work(caller, 1)
  }

  end(caller: number, how: Ending): void {
    const attempts = this.callers[caller]?.attempts ?? 0
    const again = (how === "Down" || how === "Later") && attempts <= times && this.ledger.retry()
    if (!again) {
      this.callers[caller] = { doing: "idle", last: how, attempts }
      return
    }
    const delay = Math.min(cap, base * 2 ** (attempts - 1))
    this.pauses.set(caller, this.ledger.now + Math.max(delay, how === "Later" ? pause : 0))
    this.callers[caller] = { doing: "waiting", last: undefined, attempts }
  }

  interrupt(caller: number): void {
    this.pauses.delete(caller)
    this.callers[caller] = { doing: "idle", last: "interrupted", attempts: this.callers[caller]?.attempts ?? 0 }
  }

  forward(millis: number): void {
    this.ledger.forward(millis)
    for (const [caller, until] of this.pauses) {
      if (until > this.ledger.now) continue
      this.pauses.delete(caller)
      this.work(caller, (this.callers[caller]?.attempts ?? 0) + 1)
    }
  }
}

interface Real {
  readonly budget: RetryBudget.RetryBudget
  readonly schedule: ReturnType<typeof Retry.backoff>
  readonly callers: Model.Callers<string, WorkError>
  readonly wall: Model.Wall
}

const command = Model.command<World, Real>()
const caller = Model.integer(0, count - 1)

const commands: Model.Model<World, Real>["commands"] = {
  begin: command({
    input: caller,
    weight: 4,
    when: ({ callers }, caller) => callers[caller]?.doing === "idle",
    next: (world, caller) => world.begin(caller),
    run: ({ budget, callers, schedule, wall }, caller) =>
      callers.begin(caller, (work) => wall.within(Retry.transient(work, budget.gated(schedule))))
  }),
  end: command({
    input: Model.all({ caller, how: Model.oneOf(...endings) }),
    weight: 8,
    when: ({ callers }, { caller }) => callers[caller]?.doing === "working",
    next: (world, { caller, how }) => world.end(caller, how),
    run: ({ callers }, { caller, how }) => callers.end(caller, exitOf[how])
  }),
  interrupt: command({
    input: caller,
    when: ({ callers }, caller) => callers[caller]?.doing !== "idle",
    next: (world, caller) => world.interrupt(caller),
    run: ({ callers }, caller) => callers.interrupt(caller)
  }),
  forward: command({
    input: Model.oneOf(1, 99, 100, 149, 150, 1000, 3000, 3_600_000),
    weight: 4,
    next: (world, millis) => world.forward(millis),
    run: (_, millis) => TestClock.adjust(millis)
  }),
  setWall: command({ input: wallTime, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) })
}

export const options = { base, cap, times, jitter: "none" } as const

export const retry = (
  schedule: ReturnType<typeof Retry.backoff> = Retry.backoff(options),
  budget: RetryBudget.Options = budgetOptions
): Model.Model<World, Real> => ({
  name: "retry with a budget",
  initial: () => new World(),
  real: Effect.all({
    budget: Effect.tap(RetryBudget.make("budget", budget), ({ balance }) => balance),
    schedule: Effect.succeed(schedule),
    callers: Effect.sync(() => Model.callers<string, WorkError>(count)),
    wall: Model.wall
  }),
  commands,
  expected: (world) => ({ callers: world.callers, balance: world.ledger.tokens }),
  actual: ({ budget, callers, wall }) =>
    Effect.map(wall.within(budget.balance), (balance) => ({ callers: callers.view, balance }))
})
