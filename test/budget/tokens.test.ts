import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Tokens from "../../packages/resilience/src/machine/Tokens.ts"

const between = (least: number, most: number) => Schema.Int.check(Schema.isBetween({ minimum: least, maximum: most }))

/** Steps of time in tenths of a millisecond; a burst of first tries; a burst of retries asked for. */
const Step = Schema.Struct({ wait: between(0, 3000), firsts: between(0, 40), asked: between(0, 12) })

const window = 1000

const inLast = (times: ReadonlyArray<number>, span: number, now: number): number =>
  times.filter((at) => at > now - span && at <= now).length

/** Hundredths, so that what is compared is exact. */
const allowed = (percent: number, firsts: number, minimum: number): number => percent * firsts + 100 * minimum

describe("the tokens of a retry budget", () => {
  it.prop(
    "retries in the last window never exceed ratio x first attempts + minimum, and a refusal is due to at most one bucket of time",
    [between(1, 100), between(0, 5), Schema.Array(Step)],
    ([percent, minimum, steps]) => {
      const tokens = Tokens.make({ ratio: percent / 100, minimum, window })
      const firsts: Array<number> = []
      const retries: Array<number> = []
      let now = 0
      for (const step of steps) {
        now += step.wait / 10
        for (let i = 0; i < step.firsts; i++) {
          Tokens.deposit(tokens, now)
          firsts.push(now)
        }
        for (let i = 0; i < step.asked; i++) {
          const taken = Tokens.tryWithdraw(tokens, now)
          if (taken) {
            retries.push(now)
            const most = allowed(percent, inLast(firsts, window, now), minimum)
            assert.isAtMost(100 * inLast(retries, window, now), most, `at ${now}`)
          } else {
            // A tenth of the window each way is all that the buckets may cost.
            const least = allowed(percent, inLast(firsts, 0.9 * window, now), minimum)
            assert.isBelow(least, 100 * (inLast(retries, 1.1 * window, now) + 1), `too timid at ${now}`)
          }
          assert.isAtLeast(Tokens.balance(tokens, now), 0)
        }
      }
    },
    { arbitrary: { runs: 150, size: 60, seed: 1 } }
  )

  for (let percent = 1; percent <= 100; percent++) {
    const ratio = percent / 100
    it(`is exact for the ratio ${ratio} (tower: 0.6 behaved as 1.0)`, () => {
      for (const firsts of [0, 1, 7, 10, 50, 100, 1000]) {
        const tokens = Tokens.make({ ratio, minimum: 0, window })
        for (let i = 0; i < firsts; i++) Tokens.deposit(tokens, 500)
        const expected = Math.floor((percent * firsts) / 100)
        let taken = 0
        while (Tokens.tryWithdraw(tokens, 500)) taken += 1
        assert.strictEqual(taken, expected, `${firsts} first tries`)
      }
    })
  }

  it("is exact for the minimum also where binary fractions are not", () => {
    for (const [perSecond, millis, expected] of [
      [0.29, 100_000, 29],
      [0.57, 100_000, 57],
      [1.1, 10_000, 11],
      [0.07, 100_000, 7],
      [0.5, 1000, 0]
    ] as const) {
      const tokens = Tokens.make({ ratio: 0, minimum: (perSecond * millis) / 1000, window: millis })
      let taken = 0
      while (Tokens.tryWithdraw(tokens, 0)) taken += 1
      assert.strictEqual(taken, expected, `${perSecond} a second for ${millis} ms`)
    }
  })

  for (const minimum of [0.01, 0.1, 0.4, 0.8, 0.999, 1.5, 2.25]) {
    it(`a minimum of ${minimum} per window pays out in the long run, whatever the fraction`, () => {
      const tokens = Tokens.make({ ratio: 0, minimum, window })
      const windows = 2000
      const retries: Array<number> = []
      for (let now = 0; now < windows * window; now += window / 10) {
        if (Tokens.tryWithdraw(tokens, now)) retries.push(now)
        assert.isBelow(inLast(retries, window, now), minimum + 2)
      }
      // A whole retry leaves the window that its bucket touches after 11 buckets.
      const whole = Math.floor(minimum)
      const fraction = minimum - whole
      assert.isAtLeast(retries.length, Math.floor((whole * windows) / 1.1 + fraction * windows) - 2)
      assert.isAtMost(retries.length, Math.ceil(minimum * windows) + 1)
    })
  }

  it.prop(
    "retries in the last window never exceed ratio x first attempts + minimum by two, if the minimum has a fraction",
    [between(1, 100), between(1, 299), Schema.Array(Step)],
    ([percent, hundredths, steps]) => {
      const tokens = Tokens.make({ ratio: percent / 100, minimum: hundredths / 100, window })
      const firsts: Array<number> = []
      const retries: Array<number> = []
      let now = 0
      for (const step of steps) {
        now += step.wait / 10
        for (let i = 0; i < step.firsts; i++) {
          Tokens.deposit(tokens, now)
          firsts.push(now)
        }
        for (let i = 0; i < step.asked; i++) {
          if (!Tokens.tryWithdraw(tokens, now)) continue
          retries.push(now)
          const most = percent * inLast(firsts, window, now) + hundredths + 100 + (hundredths % 100)
          assert.isAtMost(100 * inLast(retries, window, now), most, `at ${now}`)
        }
      }
    },
    { arbitrary: { runs: 150, size: 60, seed: 1 } }
  )

  it("a fraction that was not used is kept for one retry and the next fraction, and no more", () => {
    const tokens = Tokens.make({ ratio: 0, minimum: 0.25, window })
    assert.strictEqual(Tokens.balance(tokens, 0), 0.25)
    assert.strictEqual(Tokens.balance(tokens, 2000), 0.75)
    assert.isFalse(Tokens.tryWithdraw(tokens, 2999))
    assert.strictEqual(Tokens.balance(tokens, 1e9), 1.25)
    assert.isTrue(Tokens.tryWithdraw(tokens, 1e9))
    assert.isFalse(Tokens.tryWithdraw(tokens, 1e9))
    assert.strictEqual(Tokens.balance(tokens, 1e9 + 1000), 0.5, "what was paid from it does not come back")
  })

  it("begins with its minimum at whatever time it is used first", () => {
    for (const now of [0, 1e3, 1e9]) {
      assert.strictEqual(Tokens.balance(Tokens.make({ ratio: 0, minimum: 0.4, window }), now), 0.4)
    }
  })

  it("is exact for a ratio of six digits, of a million first tries", () => {
    const tokens = Tokens.make({ ratio: 0.000249, minimum: 0, window })
    for (let i = 0; i < 1_000_000; i++) Tokens.deposit(tokens, 0)
    assert.strictEqual(Tokens.balance(tokens, 0), 249)
  })

  it("withdraws a whole token or nothing", () => {
    const tokens = Tokens.make({ ratio: 0.3, minimum: 0, window })
    for (let i = 0; i < 3; i++) Tokens.deposit(tokens, 0)
    assert.strictEqual(Tokens.balance(tokens, 0), 0.9)
    assert.isFalse(Tokens.tryWithdraw(tokens, 0))
    assert.strictEqual(Tokens.balance(tokens, 0), 0.9)
    Tokens.deposit(tokens, 0)
    assert.isTrue(Tokens.tryWithdraw(tokens, 0))
    assert.closeTo(Tokens.balance(tokens, 0), 0.2, 1e-9)
  })

  it("forgets attempts that have left the window, and no attempt sooner", () => {
    const tokens = Tokens.make({ ratio: 1, minimum: 0, window })
    Tokens.deposit(tokens, 50)
    assert.strictEqual(Tokens.balance(tokens, 949), 1)
    assert.strictEqual(Tokens.balance(tokens, 1050), 0)
    Tokens.deposit(tokens, 1050)
    assert.isTrue(Tokens.tryWithdraw(tokens, 1050))
    Tokens.deposit(tokens, 1950)
    assert.strictEqual(
      Tokens.balance(tokens, 2051),
      0,
      "the retry of 1050 is still in the window that its bucket touches"
    )
    Tokens.deposit(tokens, 2151)
    assert.strictEqual(Tokens.balance(tokens, 2199), 2)
  })

  it("counts a first attempt until its bucket leaves the window of ten buckets", () => {
    for (const [at, until] of [
      [0, 1000],
      [99, 1000],
      [100, 1100]
    ] as const) {
      const tokens = Tokens.make({ ratio: 1, minimum: 0, window })
      Tokens.deposit(tokens, at)
      assert.strictEqual(Tokens.balance(tokens, until - 1), 1, `of ${at}, just before`)
      assert.strictEqual(Tokens.balance(tokens, until), 0, `of ${at}, then`)
    }
  })

  it("earns nothing from a clock that is set back, and starts anew after a pause of any length", () => {
    const tokens = Tokens.make({ ratio: 0, minimum: 2, window })
    assert.isTrue(Tokens.tryWithdraw(tokens, 10_000))
    assert.isTrue(Tokens.tryWithdraw(tokens, 9000))
    assert.isFalse(Tokens.tryWithdraw(tokens, 0))
    assert.isFalse(Tokens.tryWithdraw(tokens, 10_000))
    assert.strictEqual(Tokens.balance(tokens, 1e12), 2)
    for (const buckets of [tokens.deposits, tokens.withdrawals]) assert.isTrue(buckets.every((count) => count === 0))
  })

  it("keeps its totals equal to its buckets over a long and uneven run", () => {
    const tokens = Tokens.make({ ratio: 0.2, minimum: 1, window: 7 })
    const sum = (counts: ReadonlyArray<number>) => counts.reduce((a, b) => a + b, 0)
    let now = 0
    for (let i = 0; i < 5000; i++) {
      now += (i * 7919) % 13 === 0 ? 20 : ((i * 31) % 17) / 10
      Tokens.deposit(tokens, now)
      Tokens.tryWithdraw(tokens, now)
      assert.strictEqual(tokens.totalDeposits, sum(tokens.deposits))
      assert.strictEqual(tokens.totalWithdrawals, sum(tokens.withdrawals))
    }
  })
})
