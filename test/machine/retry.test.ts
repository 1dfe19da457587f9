import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Retry from "../../packages/resilience/src/machine/Retry.ts"

const limits: Retry.Limits = { maxRetryAfter: Infinity, remaining: Infinity, rejectedFor: 0 }
const half = () => 0.5
const notDrawn = () => assert.fail("a random number was drawn")

const millis = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1e9 }))
const share = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 - 2 ** -53 }))

describe("a time that was asked for, spread out", () => {
  it("is longer by the random share of a fifth", () => {
    assert.strictEqual(Retry.spreadOut(1000, 0), 1000)
    assert.strictEqual(Retry.spreadOut(1000, 0.5), 1100)
    assert.strictEqual(Retry.spreadOut(1000, 0.75), 1150)
  })

  it("is longer by the random share of what the caller allows", () => {
    assert.strictEqual(Retry.spreadOut(1000, 0.5, Infinity, 0.5), 1250)
    assert.strictEqual(Retry.spreadOut(1000, 0.5, Infinity, 0), 1000)
  })

  it("stays below the limit, if the limit leaves room", () => {
    assert.strictEqual(Retry.spreadOut(1000, 0.5, 1100), 1050)
    assert.strictEqual(Retry.spreadOut(1000, 0.5, 2000), 1100)
  })

  it("is never shorter than the time that was asked for, whatever the limit", () => {
    assert.strictEqual(Retry.spreadOut(1000, 0.5, 1000), 1000)
    assert.strictEqual(Retry.spreadOut(1000, 0.5, 10), 1000)
    assert.strictEqual(Retry.spreadOut(0, 0.5), 0)
  })

  it("is infinite for an infinite time, with a limit or without", () => {
    for (const random of [0, 0.5]) {
      assert.strictEqual(Retry.spreadOut(Infinity, random), Infinity)
      assert.strictEqual(Retry.spreadOut(Infinity, random, 1000), Infinity)
    }
  })
})

describe("the delay before a retry", () => {
  it.prop(
    "is never less than the schedule proposes or the dependency asks, nor a fifth more than the longer of them",
    [millis, millis, share],
    ([delay, retryAfter, random]) => {
      const wait = Retry.decide({ delay, retryAfter }, limits, () => random) as number
      assert.isAtLeast(wait, Math.max(delay, retryAfter))
      assert.isAtMost(wait, Math.max(delay, retryAfter * 1.2000001))
    }
  )

  it("of the schedule is taken as it is, without a random number, if it is as long as the dependency asks", () => {
    assert.strictEqual(Retry.decide({ delay: 1001, retryAfter: 1000 }, limits, notDrawn), 1001)
    assert.strictEqual(Retry.decide({ delay: 1000, retryAfter: 1000 }, limits, notDrawn), 1000)
    assert.strictEqual(Retry.decide({ delay: 0, retryAfter: 0 }, limits, notDrawn), 0)
  })

  it("that the dependency asks for is spread out if the schedule proposes less", () => {
    assert.strictEqual(Retry.decide({ delay: 999, retryAfter: 1000 }, limits, half), 1100)
  })

  it("is spread below the deadline, if the deadline leaves room", () => {
    const proposal = { delay: 0, retryAfter: 1000 }
    assert.strictEqual(Retry.decide(proposal, { ...limits, remaining: 1100 }, half), 1050)
    assert.strictEqual(Retry.decide(proposal, { ...limits, remaining: 1000 }, half), "deadline")
  })

  it("is that of the circuit that opened for the same time with a longer spread, not of one that is open longer", () => {
    const asked = { delay: 0, retryAfter: 1000 }
    assert.strictEqual(Retry.decide(asked, { ...limits, rejectedFor: 1050 }, half), 1100)
    assert.strictEqual(Retry.decide(asked, { ...limits, rejectedFor: 1150 }, half), 1150)
    assert.strictEqual(Retry.decide(asked, { ...limits, rejectedFor: 1200 }, half), 1200)
    assert.strictEqual(Retry.decide(asked, { ...limits, rejectedFor: 1201 }, half), "rejected")
    assert.strictEqual(Retry.decide({ delay: 5, retryAfter: 0 }, { ...limits, rejectedFor: 6 }, half), "rejected")
    assert.strictEqual(Retry.decide(asked, { ...limits, rejectedFor: 1150, remaining: 1150 }, half), "deadline")
  })

  it("may end at the moment at which the circuit can admit a call", () => {
    assert.strictEqual(Retry.decide({ delay: 6, retryAfter: 0 }, { ...limits, rejectedFor: 6 }, half), 6)
  })
})

describe("no retry", () => {
  it("follows a longer retryAfter than is allowed, one as long is waited for", () => {
    const allowed = { ...limits, maxRetryAfter: 1000 }
    assert.strictEqual(Retry.decide({ delay: 0, retryAfter: 1001 }, allowed, notDrawn), "retryAfter")
    assert.strictEqual(Retry.decide({ delay: 0, retryAfter: 1000 }, allowed, half), 1100)
    assert.strictEqual(Retry.decide({ delay: 5000, retryAfter: 0 }, allowed, half), 5000)
  })

  it("starts at the deadline or after it", () => {
    assert.strictEqual(Retry.decide({ delay: 999, retryAfter: 0 }, { ...limits, remaining: 1000 }, half), 999)
    assert.strictEqual(Retry.decide({ delay: 1000, retryAfter: 0 }, { ...limits, remaining: 1000 }, half), "deadline")
    assert.strictEqual(Retry.decide({ delay: 0, retryAfter: 0 }, { ...limits, remaining: 0 }, half), "deadline")
  })

  it("is rejected by a circuit if the deadline would have ended it before", () => {
    const proposal = { delay: 1000, retryAfter: 0 }
    assert.strictEqual(Retry.decide(proposal, { ...limits, remaining: 1000, rejectedFor: 2000 }, half), "deadline")
  })

  it("follows an infinite delay: the deadline ends it if there is one, and else who asked for the delay", () => {
    assert.strictEqual(Retry.decide({ delay: Infinity, retryAfter: 0 }, limits, half), "attempts")
    assert.strictEqual(Retry.decide({ delay: Infinity, retryAfter: 5 }, limits, half), "attempts")
    assert.strictEqual(Retry.decide({ delay: 0, retryAfter: Infinity }, limits, half), "retryAfter")
    const within = { ...limits, remaining: 1000 }
    assert.strictEqual(Retry.decide({ delay: Infinity, retryAfter: 0 }, within, half), "deadline")
    assert.strictEqual(Retry.decide({ delay: 0, retryAfter: Infinity }, within, half), "deadline")
  })

  it("starts at the deadline, is surely rejected or ignores what was asked for; and one that may start does", () => {
    const moments = [0, 1, 1000, 1150, 1201, Infinity]
    const each = (f: (moment: number) => void) => moments.forEach(f)
    const check = (proposal: Retry.Proposal, limits: Retry.Limits) => {
      const { delay, retryAfter } = proposal
      const { maxRetryAfter, rejectedFor, remaining } = limits
      const longest = Math.max(delay, retryAfter)
      const mayStart = retryAfter <= maxRetryAfter && rejectedFor <= longest
      for (const random of [0, 0.5]) {
        const decided = Retry.decide(proposal, limits, () => random)
        const is = `${JSON.stringify({ proposal, limits })}: ${decided}`
        if (typeof decided === "number") {
          assert.isTrue(decided >= longest && decided >= rejectedFor && decided < remaining, is)
          assert.isTrue(retryAfter <= maxRetryAfter, is)
        } else assert.isFalse(mayStart && longest < remaining, is)
      }
    }
    each((delay) =>
      each((retryAfter) =>
        each((maxRetryAfter) =>
          each((remaining) =>
            each((rejectedFor) => check({ delay, retryAfter }, { maxRetryAfter, remaining, rejectedFor }))
          )
        )
      )
    )
  })
})

describe("an attempt is overtaken", () => {
  const key = (): Retry.Answered => ({ answeredFrom: Retry.neverAnswered })

  it("by no attempt before there was a success", () => {
    assert.isFalse(Retry.isOvertaken(key(), 0))
    assert.isFalse(Retry.isOvertaken(key(), -1e9))
  })

  it("by an attempt that started with it or later and has succeeded", () => {
    const self = key()
    Retry.answered(self, 100)
    assert.deepStrictEqual(
      [99, 100, 101].map((from) => Retry.isOvertaken(self, from)),
      [true, true, false]
    )
  })

  it.prop(
    "by the youngest of those that have succeeded, in whatever order",
    [Schema.Array(millis).check(Schema.isMinLength(1)), millis],
    ([starts, from]) => {
      const self = key()
      for (const start of starts) Retry.answered(self, start)
      assert.strictEqual(self.answeredFrom, Math.max(...starts))
      assert.strictEqual(
        Retry.isOvertaken(self, from),
        starts.some((start) => start >= from)
      )
    }
  )
})
