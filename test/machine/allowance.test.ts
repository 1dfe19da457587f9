/** What may be used per window, against a list of all uses. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Allowance from "../../packages/resilience/src/machine/Allowance.ts"

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum), Schema.isLessThanOrEqualTo(maximum))

/** A request begins with an estimate, or one of those that run ends and has used `use`. */
const Steps = Schema.Array(
  Schema.Struct({ pause: between(0, 40), begins: Schema.Boolean, estimate: between(0, 60), use: between(0, 90) })
).check(Schema.isMinLength(1), Schema.isMaxLength(200))

const options = { arbitrary: { runs: 300, size: 200, seed: 1 } }

const limit = 100
const window = 600
const width = window / Allowance.buckets

const sum = (amounts: ReadonlyArray<number>): number => amounts.reduce((sum, amount) => sum + amount, 0)

interface Running {
  readonly estimate: number
}
interface Use {
  readonly at: number
  readonly use: number
  readonly over: number
}

describe("an allowance", () => {
  it.prop(
    "is exceeded by no more than what requests use above their estimates, in any window",
    { start: between(0, 1_000_000), steps: Steps },
    ({ start, steps }) => {
      const self = Allowance.make(limit, window)
      const running: Array<Running> = []
      const uses: Array<Use> = []
      let now = start
      for (const { begins, estimate, pause, use } of steps) {
        // Now and then a pause of about a window.
        now += pause === 40 ? 700 : pause > 36 ? 595 : pause
        if (begins) {
          const within = uses.filter(({ at }) => at > now - window)
          const admitted = Allowance.reserve(self, estimate, now)
          if (admitted) running.push({ estimate })
          // Nothing is admitted that does not fit, and what fits although uses count a bucket longer is admitted.
          const total = sum(within.map(({ use }) => use)) + sum(running.map(({ estimate }) => estimate))
          const kept = uses.filter(({ at }) => Math.floor(at / width) >= Math.floor(now / width) - Allowance.buckets)
          const most = sum(kept.map(({ use }) => use)) + sum(running.map(({ estimate }) => estimate))
          if (admitted && estimate > 0) assert.isAtMost(total, limit)
          if (!admitted) assert.isAbove(most + estimate, limit)
        } else {
          const ended = running.shift()
          if (ended === undefined) continue
          Allowance.settle(self, ended.estimate, use, now)
          uses.push({ at: now, use, over: Math.max(0, use - ended.estimate) })
        }
        const within = uses.filter(({ at }) => at > now - window)
        const total = sum(within.map(({ use }) => use)) + sum(running.map(({ estimate }) => estimate))
        assert.isAtMost(total, limit + sum(within.map(({ over }) => over)))
      }
    },
    options
  )

  it.prop(
    "admits an amount after `wait`, and not before, when nothing else runs",
    { start: between(0, 1_000_000), steps: Steps, amount: between(1, limit) },
    ({ amount, start, steps }) => {
      const self = Allowance.make(limit, window)
      let now = start
      for (const { estimate, pause, use } of steps) {
        now += pause
        if (Allowance.reserve(self, estimate, now)) Allowance.settle(self, estimate, use, now)
      }
      if (Allowance.reserve(self, amount, now)) return
      const wait = Allowance.wait(self, amount, now)
      assert.isAtLeast(wait, width)
      assert.isAtMost(wait, window + width)
      if (wait > width) assert.isFalse(Allowance.reserve(self, amount, now + wait - 0.5))
      assert.isTrue(Allowance.reserve(self, amount, now + wait + 1e-6))
    },
    options
  )

  it("never admits an amount above the limit, and says so", () => {
    const self = Allowance.make(limit, window)
    assert.isFalse(Allowance.reserve(self, 101, 0))
    assert.strictEqual(Allowance.wait(self, 101, 0), Infinity)
  })

  it("counts a use for a whole window, and forgets it after a sixtieth more", () => {
    const self = Allowance.make(limit, window)
    Allowance.reserve(self, 100, 5)
    Allowance.settle(self, 100, 100, 5)
    assert.isFalse(Allowance.reserve(self, 1, 5 + window))
    assert.isTrue(Allowance.reserve(self, 1, window + width))
  })

  it("is as new when its fractions were settled and have left", () => {
    const self = Allowance.make(1, window)
    for (const amount of [0.1, 0.2, 0.3]) Allowance.reserve(self, amount, 0)
    for (const amount of [0.3, 0.1, 0.2]) Allowance.settle(self, amount, amount, 0)
    assert.strictEqual(self.reserved, 0)
    assert.isFalse(Allowance.isUnused(self, window))
    assert.isTrue(Allowance.isUnused(self, window + width))
    assert.strictEqual(self.uses, undefined)
  })

  it("with all of it reserved, `wait` is a bucket", () => {
    const self = Allowance.make(limit, window)
    Allowance.reserve(self, 100, 0)
    assert.strictEqual(Allowance.wait(self, 1, 3), width)
  })
})
