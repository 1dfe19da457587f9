/** The adaptive machine with calls of several criticalities, and its line of calls that wait. */
import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Adaptive from "../../packages/resilience/src/machine/Adaptive.ts"
import * as RetryCost from "../../packages/resilience/src/machine/adaptive/RetryCost.ts"
import * as Waiting from "../../packages/resilience/src/machine/adaptive/Waiting.ts"

/** Of a key that is limited to `limit` calls, of which `inFlight` are sent. */
const limited = (limit: number, inFlight: number): Adaptive.State => {
  const state = new Adaptive.State()
  state.mean = 10
  state.inFlight = inFlight
  state.control = new Adaptive.Control()
  state.control.mode = Adaptive.Limited
  state.control.limit = limit
  return state
}

const paced = (failing: boolean): Adaptive.State => {
  const state = limited(1, 0)
  const control = state.control!
  control.mode = Adaptive.Paced
  control.failing = failing
  control.nextAt = 1000
  return state
}

describe("Adaptive: criticality, the machine", () => {
  it("keeps places of the limit from sheddable calls, and a quarter above it for the most important ones", () => {
    const most = (share: number, isUrgent: boolean): number => {
      let inFlight = 0
      while (Adaptive.admits(limited(8, inFlight), 0, share, isUrgent)) inFlight += 1
      return inFlight
    }
    assert.deepStrictEqual([most(0.5, false), most(0.75, false), most(1, false), most(1, true)], [4, 6, 8, 10])
    const state = limited(1, 0)
    assert.isTrue(Adaptive.admits(state, 0, 0.5), "one call always has room")
    state.inFlight = 1
    assert.isFalse(Adaptive.admits(state, 5, 0.5))
    assert.deepStrictEqual([state.control?.hit, state.control?.hitAt], [true, 5])
  })

  it("sends a more important call without a gap while answers are late, one at a time, and not while calls fail", () => {
    for (const [failing, isUrgent, probing, admits] of [
      [false, true, 0, true],
      [false, true, 1, false],
      [false, false, 0, false],
      [true, true, 0, false]
    ] as const) {
      const state = paced(failing)
      state.control!.probing = probing
      assert.strictEqual(Adaptive.admits(state, 0, 1, isUrgent), admits, `${failing} ${isUrgent} ${probing}`)
    }
  })

  it("lets a more important call wait for the limit as long as it can still make it, and others half of the timeout", () => {
    const state = limited(1, 1)
    const limits = { timeout: 1000, deadline: 3000 }
    const until = (rank?: number) => Waiting.until(state, state.control!, limits, 100, 3000, rank)
    assert.deepStrictEqual([until(0), until(1), until(), until(3)], [2990, 600, 600, 600])
  })

  it("repeats a timeout of a more important call for twenty tokens, and none of others", () => {
    const limits = { timeout: 1000, deadline: 3000 }
    const timedOut = { at: 1, latency: 1000, how: "timeout" } as const
    const state = limited(4, 4)
    state.tokens = 20
    assert.isFalse(RetryCost.pay(state, limits, timedOut))
    assert.isTrue(RetryCost.pay(state, limits, timedOut, true))
    assert.strictEqual(state.tokens, 0)
    assert.isFalse(RetryCost.pay(state, limits, timedOut, true))
    state.tokens = 5
    state.goodAt = 1
    assert.isTrue(RetryCost.pay(state, limits, timedOut, true), "an attempt that was overtaken costs one")
    assert.strictEqual(state.tokens, 4)
  })

  const Step = Schema.Struct({
    joins: Schema.Boolean,
    rank: Schema.Literals([0, 1, 2, 3]),
    patience: Schema.Literals([0, 49, 50, 99])
  })
  const limits = { timeout: 50, deadline: 100 }

  it.prop(
    "the line gives the oldest of the highest class that can have a whole timeout, else the newest, and counts those that wait",
    [Schema.Array(Step)],
    ([steps]) => {
      const line = Waiting.makeLine<number>()
      const waiting: Array<Waiting.Waiter<number>> = []
      steps.forEach(({ joins, patience, rank }, now) => {
        if (joins) {
          const waiter = Waiting.join(line, now, now + patience, rank, () => assert.fail("there is room"))
          assert.isDefined(waiter)
          waiting.push(waiter)
        } else {
          const highest = [0, 1, 2, 3].map((one) => waiting.filter((waiter) => waiter.rank === one))
          const [oldest, ...others] = highest.find((some) => some.length > 0) ?? []
          const hasTime = oldest !== undefined && oldest.due >= now + limits.timeout
          const next = Waiting.next(line, limits, now)
          assert.strictEqual(next, hasTime ? oldest : (others.at(-1) ?? oldest))
          if (next !== undefined) {
            assert.isTrue(Waiting.leave(line, next))
            assert.isFalse(Waiting.leave(line, next))
            waiting.splice(waiting.indexOf(next), 1)
          }
        }
        assert.strictEqual(line.length, waiting.length)
        assert.strictEqual(Waiting.any(line) === undefined, waiting.length === 0)
        assert.strictEqual(
          Waiting.isBehind(line, rank),
          waiting.some((waiter) => waiter.rank < rank)
        )
      })
    }
  )

  /** The names of the calls in the order in which they are served, and the share of the limit that each may use. */
  const served = (line: Waiting.Line<string>, count: number): ReadonlyArray<readonly [string, number]> =>
    Array.from({ length: count }, () => {
      const next = Waiting.next(line, limits, 0)
      assert.isDefined(next)
      const share = Waiting.shareOf(line, next)
      Waiting.serve(line, next)
      return [next.value, share] as const
    })
  const lineOf = (...ranks: ReadonlyArray<number>): Waiting.Line<string> => {
    const line = Waiting.makeLine<string>()
    for (const [i, rank] of ranks.entries()) {
      Waiting.join(line, `${rank} ${i}`, 100, rank, () => assert.fail("there is room"))
    }
    return line
  }

  it("after fifteen more important calls the less important one that has waited longest has its turn, with the whole limit", () => {
    const line = lineOf(...new Array<number>(40).fill(1), 3, 2)
    const order = served(line, 33)
    assert.deepStrictEqual(
      order.flatMap(([name, share], i) => (name.startsWith("1") ? [] : [[i, name, share]])),
      [
        [15, "3 40", 1],
        [31, "2 41", 1]
      ]
    )
    // Without a turn it may use its share.
    assert.deepStrictEqual(served(lineOf(3), 1), [["3 0", 0.5]])
  })

  it("turns are counted over calls that come and go", () => {
    const line = lineOf(...new Array<number>(30).fill(1), 3)
    served(line, 10)
    Waiting.leave(line, line.ranks[3]!.first!)
    served(line, 7)
    assert.strictEqual(line.passed, 10, "what nobody waits behind passes nobody")
    Waiting.join(line, "later", 100, 3, () => assert.fail("there is room"))
    assert.strictEqual(served(line, 6).at(-1)?.[0], "later")
    assert.strictEqual(line.passed, 0)
  })

  it("the highest class gives no turns", () => {
    const line = lineOf(...new Array<number>(40).fill(0), 1)
    assert.isTrue(served(line, 40).every(([name]) => name.startsWith("0")))
    assert.strictEqual(line.passed, 0)
  })

  it("in a full line the oldest call of the lowest class leaves for a more important one, and for no other", () => {
    const line = Waiting.makeLine<string>()
    const left: Array<string> = []
    const join = (name: string, rank: number) =>
      Waiting.join(line, name, 0, rank, ({ value }) => left.push(value)) !== undefined
    for (let i = 0; i < 10_000; i++) assert.isTrue(join(`s${i}`, i < 2 ? 3 : 2))
    assert.isFalse(join("s", 3))
    assert.isTrue(join("p", 0))
    assert.isTrue(join("q", 2))
    assert.isFalse(join("r", 2))
    assert.deepStrictEqual(left, ["s0", "s1"])
    assert.strictEqual(line.length, 10_000)
  })

  it("a waiter is new to the lists: it can leave at once", () => {
    const line = Waiting.makeLine<string>()
    const waiter = Waiting.join(line, "one", 7, 1, () => assert.fail("there is room"))
    assert.deepStrictEqual([waiter?.value, waiter?.due, waiter?.rank, line.length], ["one", 7, 1, 1])
    assert.strictEqual(Waiting.any(line), waiter)
    assert.isFalse(Waiting.isBehind(line, 1))
    assert.isTrue(Waiting.isBehind(line, 2))
  })

  it("a call that is there exactly at its deadline is not hopeless", () => {
    const state = paced(true)
    const hopeless = (due: number) => Waiting.isHopeless(state, state.control!, 0, due)
    assert.deepStrictEqual([hopeless(1009), hopeless(1010)], [true, false])
    state.control!.probing = 1
    assert.isFalse(hopeless(1009))
    state.control!.probing = 0
    state.control!.mode = Adaptive.Limited
    assert.isFalse(hopeless(1009))
  })
})
