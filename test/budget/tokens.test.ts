import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Tokens from "../../packages/resilience/src/machine/Tokens.ts"

const between = (least: number, most: number) => Schema.Int.check(Schema.isBetween({ minimum: least, maximum: most }))

/** Steps of time in tenths of a millisecond; a burst of first attempts; a burst of retries asked for, each at its price. */
const Step = Schema.Struct({ wait: between(0, 30_000), firsts: between(0, 40), asked: Schema.Array(between(1, 5)) })

const bucket = (options: Partial<Parameters<typeof Tokens.make>[0]>): Tokens.Tokens =>
  Tokens.make({ ratio: 0, capacity: 1_000_000, initial: 0, perSecond: 0, ...options })

const takeAll = (tokens: Tokens.Tokens, now = 0): number => {
  let taken = 0
  while (Tokens.tryWithdraw(tokens, 1, now)) taken += 1
  return taken
}

describe("the tokens of a retry budget", () => {
  it.prop(
    "over any stretch the prices paid are at most capacity + ratio x first attempts + floor x time",
    [between(0, 100), between(1, 20), between(0, 5), Schema.Array(Step)],
    ([percent, capacity, perSecond, steps]) => {
      const tokens = Tokens.make({ ratio: percent / 100, capacity, initial: capacity, perSecond })
      /** What was earned and paid up to each moment. */
      const history = [{ earned: 0, paid: 0 }]
      let earned = 0
      let paid = 0
      let now = 0
      for (const { asked, firsts, wait } of steps) {
        now += wait / 10
        earned += (perSecond * wait) / 10_000
        for (let i = 0; i < firsts; i++) {
          Tokens.deposit(tokens, now)
          earned += percent / 100
        }
        for (const price of asked) {
          const before = Tokens.balance(tokens, now)
          const taken = Tokens.tryWithdraw(tokens, price, now)
          assert.strictEqual(taken, before >= price - 1e-9)
          if (taken) paid += price
          assert.isAtLeast(Tokens.balance(tokens, now), 0)
        }
        assert.isAtMost(Tokens.balance(tokens, now), capacity)
        for (const then of history) assert.isAtMost(paid - then.paid, capacity + earned - then.earned + 1e-6)
        history.push({ earned, paid })
      }
    },
    { arbitrary: { runs: 150, size: 60, seed: 1 } }
  )

  for (let percent = 1; percent <= 100; percent++) {
    const ratio = percent / 100
    it(`is exact for the ratio ${ratio} (tower: 0.6 behaved as 1.0)`, () => {
      for (const firsts of [0, 1, 7, 10, 50, 100, 1000]) {
        const tokens = bucket({ ratio })
        for (let i = 0; i < firsts; i++) Tokens.deposit(tokens, 500)
        assert.strictEqual(takeAll(tokens, 500), Math.floor((percent * firsts) / 100), `${firsts} first attempts`)
      }
    })
  }

  it("pays a floor exactly also where binary fractions are not", () => {
    for (const [perSecond, seconds, expected] of [
      [0.29, 100, 29],
      [0.57, 100, 57],
      [1.1, 10, 11],
      [0.07, 100, 7],
      [0.5, 1, 0]
    ] as const) {
      const tokens = bucket({ perSecond })
      Tokens.deposit(tokens, 0)
      let taken = 0
      for (let ms = 1; ms <= 1000 * seconds; ms++) taken += Tokens.tryWithdraw(tokens, 1, ms) ? 1 : 0
      assert.strictEqual(taken, expected, `${perSecond} a second for ${seconds} s`)
    }
  })

  it("is exact for a ratio of six digits, of a million first attempts", () => {
    const tokens = bucket({ ratio: 0.000249 })
    for (let i = 0; i < 1_000_000; i++) Tokens.deposit(tokens, 0)
    assert.strictEqual(Tokens.balance(tokens, 0), 249)
  })

  it("withdraws the whole price or nothing", () => {
    const tokens = bucket({ ratio: 0.3 })
    for (let i = 0; i < 3; i++) Tokens.deposit(tokens, 0)
    assert.strictEqual(Tokens.balance(tokens, 0), 0.9)
    assert.isFalse(Tokens.tryWithdraw(tokens, 1, 0))
    assert.strictEqual(Tokens.balance(tokens, 0), 0.9)
    for (let i = 0; i < 5; i++) Tokens.deposit(tokens, 0)
    assert.isFalse(Tokens.tryWithdraw(tokens, 3, 0))
    assert.isTrue(Tokens.tryWithdraw(tokens, 2, 0))
    assert.closeTo(Tokens.balance(tokens, 0), 0.4, 1e-9)
  })

  it("saves up no more than its capacity, and begins with what it is told", () => {
    const tokens = Tokens.make({ ratio: 0.5, capacity: 2, initial: 1, perSecond: 1 })
    assert.strictEqual(Tokens.balance(tokens, 0), 1)
    for (let i = 0; i < 100; i++) Tokens.deposit(tokens, 0)
    assert.strictEqual(Tokens.balance(tokens, 0), 2)
    assert.strictEqual(Tokens.balance(tokens, 1e12), 2)
  })

  it("withdraws a price of which a billionth of a token is missing, and not one of which more is missing", () => {
    assert.isTrue(Tokens.tryWithdraw(bucket({}), 1e-9, 0))
    assert.isFalse(Tokens.tryWithdraw(bucket({}), 1.001e-9, 0))
    const tokens = bucket({})
    Tokens.tryWithdraw(tokens, 1e-9, 0)
    assert.strictEqual(Tokens.balance(tokens, 0), 0, "never below zero")
  })

  it("never pays an infinite price, also out of an infinite balance", () => {
    const tokens = bucket({ capacity: Infinity, initial: Infinity })
    assert.isFalse(Tokens.tryWithdraw(tokens, Infinity, 0))
    assert.isTrue(Tokens.tryWithdraw(tokens, 1, 0))
    assert.strictEqual(Tokens.balance(tokens, 0), Infinity)
    assert.isFalse(Tokens.tryWithdraw(bucket({ initial: 5 }), Infinity, 0))
  })

  it("with an infinite floor is full as soon as time has passed, and not before", () => {
    const tokens = bucket({ capacity: 5, initial: 1, perSecond: Infinity })
    assert.strictEqual(Tokens.balance(tokens, 0), 1)
    assert.strictEqual(Tokens.balance(tokens, 0), 1)
    assert.strictEqual(Tokens.balance(tokens, 1), 5)
  })

  it("keeps no time without a floor", () => {
    const tokens = bucket({ ratio: 0.5 })
    Tokens.deposit(tokens, 1000)
    Tokens.tryWithdraw(tokens, 1, 2000)
    assert.isNaN(tokens.filledAt)
  })

  it("earns nothing from a clock that is set back, until that clock has caught up", () => {
    const tokens = Tokens.make({ ratio: 0, capacity: 9, initial: 0, perSecond: 1 })
    assert.strictEqual(Tokens.balance(tokens, 10_000), 0)
    assert.strictEqual(Tokens.balance(tokens, 0), 0)
    assert.strictEqual(Tokens.balance(tokens, 10_000), 0)
    assert.strictEqual(Tokens.balance(tokens, 12_000), 2)
  })

  it.prop(
    "a price that is returned is there again, and never more than the capacity",
    [between(0, 100), between(1, 20), Schema.Array(between(0, 40))],
    ([percent, capacity, bursts]) => {
      const lending = bucket({ ratio: percent / 100, capacity, initial: capacity })
      const other = bucket({ ratio: percent / 100, capacity, initial: capacity })
      for (const burst of bursts) {
        const lent = Tokens.tryWithdraw(lending, 1, 0)
        if (lent) Tokens.refund(lending, 1, 0)
        for (let i = 0; i < burst; i++) {
          Tokens.deposit(lending, 0)
          Tokens.deposit(other, 0)
        }
        assert.strictEqual(Tokens.balance(lending, 0), Tokens.balance(other, 0))
      }
      Tokens.refund(lending, 1, 0)
      assert.isAtMost(Tokens.balance(lending, 0), capacity)
    }
  )
})
