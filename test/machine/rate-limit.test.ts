/** The tokens of a rate limit against the list of all that were taken. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as RateLimit from "../../packages/resilience/src/machine/RateLimit.ts"

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum), Schema.isLessThanOrEqualTo(maximum))

const Limits = Schema.Struct({ limit: between(1, 7), window: between(1, 50), burst: between(1, 9) })

/** After a pause, in milliseconds, a caller takes, waits, leaves or returns. */
const Steps = Schema.Array(
  Schema.Struct({
    pause: between(0, 20),
    what: Schema.Literals(["take", "join", "leave", "return", "use"]),
    who: between(0, 9)
  })
).check(Schema.isMinLength(1), Schema.isMaxLength(150))

const options = { arbitrary: { runs: 100, size: 100, seed: 1 } }

describe("the tokens of a rate limit", () => {
  it.prop(
    "in any stretch of time no more are taken than the burst and what has come",
    { limits: Limits, steps: Steps },
    ({ limits, steps }) => {
      const self = RateLimit.make<number>(limits, 0)
      /** When each was taken, and what returning it asks for while it is held. */
      const taken: Array<{ readonly at: number; fullBy: number | undefined }> = []
      const waiters: Array<RateLimit.Waiter<number>> = []
      let now = 0
      const take = (): void => void taken.push({ at: now, fullBy: RateLimit.hold(self, now) })
      const grant = (): void => {
        while (RateLimit.grantNext(self, now) !== undefined) take()
      }
      for (const { pause, what, who } of steps) {
        now += pause
        grant()
        if (what === "take" && RateLimit.tryTake(self, now)) take()
        if (what === "join") {
          const waiter = RateLimit.join(self, who, 40, now)
          if (waiter !== undefined) waiters.push(waiter)
        }
        if (what === "leave") RateLimit.leave(self, waiters[who % Math.max(1, waiters.length)] ?? noWaiter)
        // Some are returned, some much later than they were taken, and the others are used.
        const held = taken.filter(({ fullBy }) => fullBy !== undefined)
        const one = held[(who * 7) % Math.max(1, held.length)]
        if (what === "return" && one?.fullBy !== undefined) {
          taken.splice(taken.indexOf(one), 1)
          RateLimit.giveBack(self, one.fullBy, now)
        }
        if (what === "use" && one !== undefined) {
          one.fullBy = undefined
          RateLimit.use(self)
        }
        grant()
      }
      const uses = taken.map(({ at }) => at)
      const { burst, limit, window } = limits
      for (const [first, from] of uses.entries()) {
        for (let last = first; last < uses.length; last++) {
          const most = burst + Math.floor(((uses[last]! - from) * limit) / window)
          assert.isAtMost(last - first + 1, most, `from ${from} to ${uses[last]}`)
        }
      }
    },
    options
  )

  it.prop(
    "a caller that always asks gets each one at the moment at which it comes, however long the bucket is not full",
    {
      limits: Schema.Struct({ ...Limits.fields, burst: between(2, 9) }),
      from: between(0, 1_000_000),
      skip: between(0, 100_000)
    },
    ({ from, limits, skip }) => {
      const { burst, limit, window } = limits
      const self = RateLimit.make<number>(limits, from)
      // Many windows at once: as if all their tokens had been taken in time.
      self.taken = burst + skip * limit
      for (let n = 1; n <= 20; n++) {
        const at = from + ((skip * limit + n) * window) / limit
        assert.isFalse(RateLimit.tryTake(self, at - 1e-6), `token ${n} came early`)
        assert.isTrue(RateLimit.tryTake(self, at + 1e-9), `token ${n} was late`)
      }
    },
    options
  )

  it.prop(
    "waiting callers are granted in the order of arrival, and none after its time",
    { limits: Limits, pauses: Schema.Array(between(0, 9)).check(Schema.isMinLength(2), Schema.isMaxLength(60)) },
    ({ limits, pauses }) => {
      const self = RateLimit.make<number>(limits, 0)
      const granted: Array<number> = []
      let now = 0
      for (const [caller, pause] of pauses.entries()) {
        const end = now + pause
        for (;;) {
          const wait = Math.max(0, RateLimit.nextIn(self, now))
          if (now + wait > end) break
          now += wait
          const next = RateLimit.grantNext(self, now)
          // The sum of a time and a wait may be less than what it was computed from.
          if (next === undefined) now += 1e-9
          else {
            granted.push(next.value)
            assert.isAtMost(now, next.until + 1e-6)
          }
        }
        now = end
        const due = RateLimit.turnIn(self, now)
        const waiter = RateLimit.join(self, caller, 30, now)
        assert.strictEqual(waiter === undefined, due > 30, "it waits only if its token comes in time")
      }
      assert.deepStrictEqual(
        granted,
        granted.toSorted((a, b) => a - b)
      )
    },
    options
  )

  it("a clock that is set back adds nothing and stops nothing, and one that jumps ahead fills the burst", () => {
    const self = RateLimit.make<number>({ limit: 1, window: 1000, burst: 2 }, 5_000_000)
    assert.isTrue(RateLimit.tryTake(self, 5_000_000))
    assert.isTrue(RateLimit.tryTake(self, 5_000_000))
    assert.isFalse(RateLimit.tryTake(self, 1_000_000))
    assert.isFalse(RateLimit.tryTake(self, 1_000_999))
    assert.isTrue(RateLimit.tryTake(self, 1_001_000))
    assert.strictEqual(RateLimit.tokens(self, 9e12), 2)
    assert.isTrue(RateLimit.tryTake(self, 9e12))
    assert.isTrue(RateLimit.tryTake(self, 9e12))
    assert.isFalse(RateLimit.tryTake(self, 9e12))
  })

  it.prop(
    "other limits keep what there is, at most the new burst",
    { before: Limits, after: Limits, taken: between(0, 9), pause: between(0, 60) },
    ({ after, before, pause, taken }) => {
      const self = RateLimit.make<number>(before, 0)
      for (let n = 0; n < taken; n++) RateLimit.tryTake(self, 0)
      const kept = RateLimit.tokens(self, pause)
      RateLimit.retune(self, after, pause)
      assert.approximately(RateLimit.tokens(self, pause), Math.min(kept, after.burst), 1e-9)
    },
    options
  )
})

const noWaiter: RateLimit.Waiter<number> = { value: 0, until: 0, linked: false, previous: undefined, next: undefined }
