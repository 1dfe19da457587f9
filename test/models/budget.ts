import { Model } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { RetryBudget } from "effect-resilience"
import { wallTime } from "./work.ts"

const ratio = 0.3
const capacity = 4
const initial = 2
const minPerSecond = 2

/** What a budget has earned and paid, in millionths of a token, so that the sums are exact. */
export class Ledger {
  now = 0
  private balance = initial * 1e6

  private earn(millionths: number): void {
    this.balance = Math.min(capacity * 1e6, this.balance + millionths)
  }

  first(): void {
    this.earn(ratio * 1e6)
  }

  retry(): boolean {
    const pays = this.balance >= 1e6
    if (pays) this.balance -= 1e6
    return pays
  }

  forward(millis: number): void {
    this.now += millis
    this.earn(millis * minPerSecond * 1000)
  }

  get tokens(): number {
    return this.balance / 1e6
  }
}

/** What the model needs of a budget, so that a broken one can stand in. */
export type Budget = Pick<RetryBudget.RetryBudget, "deposit" | "tryWithdraw" | "balance">

interface Real {
  readonly budget: Budget
  readonly wall: Model.Wall
}

const command = Model.command<Ledger, Real>()

const commands: Model.Model<Ledger, Real>["commands"] = {
  withdraw: command({
    input: Model.none,
    weight: 3,
    next: (world) => world.retry(),
    run: ({ budget, wall }) => wall.within(budget.tryWithdraw)
  }),
  deposit: command({
    input: Model.integer(1, 8),
    weight: 3,
    next: (world, times) => {
      for (let i = 0; i < times; i++) world.first()
    },
    run: ({ budget, wall }, times) =>
      wall.within(Effect.forEach(Array.from({ length: times }), () => budget.deposit, { discard: true }))
  }),
  forward: command({
    input: Model.oneOf(1, 50, 100, 499, 500, 1000, 3_600_000),
    weight: 3,
    next: (world, millis) => world.forward(millis),
    run: (_, millis) => TestClock.adjust(millis)
  }),
  setWall: command({ input: wallTime, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) })
}

export const options = { ratio, capacity, initial, minPerSecond } as const

export const budget = (
  make: Effect.Effect<Budget> = RetryBudget.make("budget", options)
): Model.Model<Ledger, Real> => ({
  name: "retry budget",
  initial: () => new Ledger(),
  // A floor is paid from the first use.
  real: Effect.all({ budget: Effect.tap(make, ({ balance }) => balance), wall: Model.wall }),
  commands,
  expected: ({ tokens }) => tokens,
  actual: ({ budget, wall }) => wall.within(budget.balance)
})
