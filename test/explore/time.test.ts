import { assert, describe, it } from "@effect/vitest"
import type { Explore } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Tokens from "../../packages/resilience/src/machine/Tokens.ts"
import * as Window from "../../packages/resilience/src/machine/Window.ts"
import { explore, violation } from "./report.ts"

/** Ten buckets make a window; time goes by buckets, and jumps. */
const jumps = [1, 9, 10, 11]

/** Something that happened so many buckets ago. */
type Age = number

const older = (ages: ReadonlyArray<Age>, by: number, kept: number): Array<Age> =>
  ages.map((age) => age + by).filter((age) => age <= kept)

// ---------------------------------------------------------------------------------------------------------------------

interface Budget {
  readonly tokens: Tokens.Tokens
  now: number
  firsts: Array<Age>
  retries: Array<Age>
  last: "paid" | "refused" | "other"
}

const ratio = 0.5
const minimum = 1

const budget = (most: number, bug?: "spends what has left the window"): Explore.Machine<Budget> => {
  const change = (name: string, f: (state: Budget) => void): Explore.Action<Budget> => ({
    name,
    next: (state) => {
      state.last = "other"
      f(state)
      return state
    }
  })
  const pass = (by: number) =>
    change(`${by} buckets pass`, (state) => {
      state.now += by
      state.firsts = older(state.firsts, by, 10)
      state.retries = older(state.retries, by, 10)
    })
  const deposit = change("first try", (state) => {
    Tokens.deposit(state.tokens, bug === undefined ? state.now : state.now + 5)
    state.firsts.push(0)
  })
  const withdraw = change("retry", (state) => {
    const paid = Tokens.tryWithdraw(state.tokens, state.now)
    state.last = paid ? "paid" : "refused"
    if (paid) state.retries.push(0)
  })
  const within = (ages: ReadonlyArray<Age>, buckets: number): number => ages.filter((age) => age < buckets).length

  return {
    name: `retry budget, ${most} first tries at a time`,
    initial: () => ({
      tokens: Tokens.make({ ratio, minimum, window: 10 }),
      now: 0,
      firsts: [],
      retries: [],
      last: "other"
    }),
    actions: ({ firsts, retries }) => [
      ...(firsts.length < most ? [deposit] : []),
      ...(retries.length < most ? [withdraw] : []),
      ...jumps.map(pass)
    ],
    // The account remembers eleven buckets; by now they may lie anywhere on its ring.
    key: ({ firsts, last, now, retries, tokens }) => {
      const copy = structuredClone(tokens)
      return { firsts: [...firsts].sort(), retries: [...retries].sort(), last, balance: Tokens.balance(copy, now) }
    },
    steps: {
      "I2: retries in the last window are never more than ratio x firsts + floor": ({ after }) =>
        after.last !== "paid" || within(after.retries, 10) <= ratio * within(after.firsts, 10) + minimum,
      "the price of the coarse clock is one bucket: nobody is refused what all of the time before would pay": ({
        after,
        before
      }) => after.last !== "refused" || ratio * within(before.firsts, 10) + minimum < before.retries.length + 1
    },
    invariants: {
      "the balance is what first tries earn and retries cost": ({ firsts, now, retries, tokens }) =>
        Tokens.balance(structuredClone(tokens), now) ===
        Math.max(0, ratio * within(firsts, 10) + minimum - retries.length)
    },
    goals: { "the minimum comes back": { reached: ({ retries }) => retries.length === 0 } }
  }
}

// ---------------------------------------------------------------------------------------------------------------------

interface Counted {
  readonly window: Window.TimeWindow
  now: number
  calls: Array<Age>
  marked: Array<Age>
}

const timeWindow = (most: number, bug?: "keeps a bucket too long"): Explore.Machine<Counted> => {
  const kept = bug === undefined ? 9 : 10
  const change = (name: string, f: (state: Counted) => void): Explore.Action<Counted> => ({
    name,
    next: (state) => {
      f(state)
      return state
    }
  })
  const record = (marked: boolean) =>
    change(marked ? "marked call" : "call", (state) => {
      Window.recordTime(state.window, marked, state.now)
      state.calls.push(0)
      if (marked) state.marked.push(0)
    })
  return {
    name: `window of time, ${most} calls`,
    initial: () => ({ window: Window.makeTime(10), now: 0, calls: [], marked: [] }),
    actions: ({ calls }) => [
      ...(calls.length < most ? [record(true), record(false)] : []),
      ...jumps.map((by) =>
        change(`${by} buckets pass`, (state) => {
          state.now += by
          Window.advance(state.window, state.now)
          state.calls = older(state.calls, by, kept)
          state.marked = older(state.marked, by, kept)
        })
      )
    ],
    key: ({ calls, marked, window }) => ({
      calls: [...calls].sort(),
      marked: [...marked].sort(),
      totals: [window.totalCalls, window.totalMarked]
    }),
    invariants: {
      "its sums are the calls of the last ten buckets": ({ calls, marked, window }) =>
        window.totalCalls === calls.length && window.totalMarked === marked.length,
      "its sums are those of its buckets": ({ window }) =>
        window.calls.reduce((a, b) => a + b) === window.totalCalls &&
        (window.marked ?? []).reduce((a, b) => a + b, 0) === window.totalMarked,
      // A clock that goes back counts in the newest bucket.
      "time that goes back changes nothing": ({ now, window }) => {
        const copy = structuredClone(window)
        Window.advance(copy, now - 7)
        return JSON.stringify(copy) === JSON.stringify(window)
      }
    }
  }
}

describe("every interleaving of calls and time", () => {
  it.effect("in the account of a retry budget", () => explore(budget(3)))
  it.effect("in a window of time", () => explore(timeWindow(4)))
  it.effect("in small ones, with the key verified", () =>
    Effect.all([explore(budget(2), { verifyKey: true }), explore(timeWindow(3), { verifyKey: true })])
  )

  it.effect("an account that counts ahead of its time is found", () =>
    Effect.gen(function* () {
      const found = yield* violation(budget(2, "spends what has left the window"))
      assert.strictEqual(found?.law, "the balance is what first tries earn and retries cost")
      assert.deepStrictEqual(found?.trace, ["first try", "10 buckets pass"])
    })
  )

  it.effect("a window that is said to keep a bucket too long is found", () =>
    Effect.gen(function* () {
      const found = yield* violation(timeWindow(2, "keeps a bucket too long"))
      assert.strictEqual(found?.law, "its sums are the calls of the last ten buckets")
      assert.deepStrictEqual(found?.trace, ["marked call", "10 buckets pass"])
    })
  )
})
