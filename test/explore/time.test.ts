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
  /** Halves of a token. */
  halves: number
  last: "paid" | "refused" | "other"
}

const capacity = 3
/** A first attempt earns half a token, and a second another half. */
const ratio = 0.5
const perSecond = 0.5

const budget = (bug?: "adds above its capacity"): Explore.Machine<Budget> => {
  const change = (name: string, f: (state: Budget) => void): Explore.Action<Budget> => ({
    name,
    next: (state) => {
      state.last = "other"
      f(state)
      return state
    }
  })
  const earn = (state: Budget, halves: number) => {
    state.halves = Math.min(2 * capacity, state.halves + halves)
  }
  const actions = [
    change("first attempt", (state) => {
      Tokens.deposit(state.tokens, state.now)
      if (bug !== undefined) state.tokens.balance += 0.5e6 - (state.halves < 2 * capacity ? 0.5e6 : 0)
      earn(state, 1)
    }),
    ...[1, 2].map((price) =>
      change(`retry for ${price}`, (state) => {
        const paid = Tokens.tryWithdraw(state.tokens, price, state.now)
        state.last = paid ? "paid" : "refused"
        if (paid) state.halves -= 2 * price
      })
    ),
    ...[1, 2, 100].map((seconds) =>
      change(`${seconds} s pass`, (state) => {
        state.now += 1000 * seconds
        // The time is added when the budget is next asked.
        earn(state, seconds)
      })
    ),
    change("the clock is set back and comes again", ({ now, tokens }) => {
      Tokens.balance(tokens, now)
      Tokens.balance(tokens, now - 5000)
    })
  ]
  return {
    name: "retry budget",
    initial: () => {
      const tokens = Tokens.make({ ratio, capacity, initial: 1, perSecond })
      Tokens.balance(tokens, 0)
      return { tokens, now: 0, halves: 2, last: "other" }
    },
    actions: () => actions,
    key: ({ halves, last, now, tokens }) => ({ halves, last, balance: Tokens.balance(structuredClone(tokens), now) }),
    steps: {
      "I2: a retry is paid for exactly when the balance covers its price": ({ action, after, before }) => {
        const price = Number(/^retry for (\d)/.exec(action)?.[1] ?? 0)
        return price === 0 || after.last === (before.halves >= 2 * price ? "paid" : "refused")
      }
    },
    invariants: {
      "the balance is what first attempts and time earn, up to the capacity, less what retries cost": ({
        halves,
        now,
        tokens
      }) => Tokens.balance(structuredClone(tokens), now) === halves / 2
    },
    goals: { "a spent budget is full again": { reached: ({ halves }) => halves === 2 * capacity } }
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
        // Without buckets the newest has all calls.
        (window.calls ?? [window.totalCalls]).reduce((a, b) => a + b) === window.totalCalls &&
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
  it.effect("in the account of a retry budget", () => explore(budget()))
  it.effect("in a window of time", () => explore(timeWindow(4)))
  it.effect("in small ones, with the key verified", () =>
    Effect.all([explore(budget(), { verifyKey: true }), explore(timeWindow(3), { verifyKey: true })])
  )

  it.effect("a budget that saves more than its capacity is found", () =>
    Effect.gen(function* () {
      const found = yield* violation(budget("adds above its capacity"))
      assert.strictEqual(
        found?.law,
        "the balance is what first attempts and time earn, up to the capacity, less what retries cost"
      )
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
