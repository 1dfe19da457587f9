import { Model } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { RetryBudget } from "effect-resilience"
import { wallTime } from "./work.ts"

const window = 1000
const ratio = 0.3
const minPerSecond = 2

/** Every first try and every retry there ever was. */
export interface Ledger {
  now: number
  readonly firsts: Array<number>
  readonly retries: Array<number>
}

/** What the model needs of a budget, so that a broken one can stand in. */
export type Budget = Pick<RetryBudget.RetryBudget, "deposit" | "tryWithdraw" | "balance">

interface Real {
  readonly budget: Budget
  readonly wall: Model.Wall
}

/** The window moves in steps of a tenth: first tries count from its whole tenths, retries from every one it touches. */
const tenth = (at: number): number => Math.floor(at / (window / 10))

/** What is left to pay with. */
export const account = ({ firsts, now, retries }: Ledger): number => {
  const age = (at: number): number => tenth(now) - tenth(at)
  const earned = ratio * firsts.filter((at) => age(at) < 10).length + (minPerSecond * window) / 1000
  const exact = earned - retries.filter((at) => age(at) <= 10).length
  return Math.max(0, Math.round(exact * 1e6) / 1e6)
}

const command = Model.command<Ledger, Real>()

const commands: Model.Model<Ledger, Real>["commands"] = {
  withdraw: command({
    input: Model.none,
    weight: 3,
    next: (world) => {
      const pays = account(world) >= 1
      if (pays) world.retries.push(world.now)
      return pays
    },
    run: ({ budget, wall }) => wall.within(budget.tryWithdraw)
  }),
  deposit: command({
    input: Model.integer(1, 8),
    weight: 3,
    next: ({ firsts, now }, times) => {
      for (let i = 0; i < times; i++) firsts.push(now)
    },
    run: ({ budget, wall }, times) =>
      wall.within(Effect.forEach(Array.from({ length: times }), () => budget.deposit, { discard: true }))
  }),
  forward: command({
    input: Model.oneOf(1, 50, 99, 100, 101, 500, 900, 1000, 1100, 3_600_000),
    weight: 3,
    next: (world, millis) => {
      world.now += millis
    },
    run: (_, millis) => TestClock.adjust(millis)
  }),
  setWall: command({ input: wallTime, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) })
}

export const options = { ratio, minPerSecond, window: `${window} millis` } as const

export const budget = (
  make: Effect.Effect<Budget> = RetryBudget.make("budget", options)
): Model.Model<Ledger, Real> => ({
  name: "retry budget",
  initial: () => ({ now: 0, firsts: [], retries: [] }),
  real: Effect.all({ budget: make, wall: Model.wall }),
  commands,
  expected: account,
  actual: ({ budget, wall }) => wall.within(budget.balance)
})
