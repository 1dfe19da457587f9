import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, Scenarios, type Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import { Attempt, CallPart } from "../../packages/lab/src/internal/attempt.ts"
import { waitQueueOf } from "../../packages/lab/src/internal/discipline.ts"

type Discipline = Scenario.Scenario["discipline"]

/** A line, and the moments at which those were sent whom it has dropped. */
const standing = (discipline: Discipline, sent: ReadonlyArray<number>) => {
  const dropped: Array<number> = []
  const line = waitQueueOf(discipline, (attempt) => dropped.push(attempt.sent))
  for (const at of sent) line.push(new Attempt(new CallPart(0, Infinity), at, () => {}, undefined))
  return { dropped, take: (now: number) => line.take(now)?.sent, line }
}

describe("a line", () => {
  it("fifo takes the oldest, lifo the newest, and neither drops", () => {
    for (const [discipline, order] of [
      ["fifo", [0, 1, 2]],
      ["lifo", [2, 1, 0]]
    ] as const) {
      const { dropped, take } = standing(discipline, [0, 1, 2])
      assert.deepStrictEqual([take(1e6), take(1e6), take(1e6), take(1e6)], [...order, undefined])
      assert.deepStrictEqual(dropped, [])
    }
  })

  it.each(["codel", "codel-lifo"] as const)("%s lets a burst wait for the interval, oldest first", (discipline) => {
    const { dropped, take } = standing(discipline, [0, 1, 2])
    assert.deepStrictEqual([take(50), take(101.5)], [0, 2])
    assert.deepStrictEqual(dropped, [1])
  })

  it("codel drops from a queue that stands whoever has waited for the target", () => {
    const { dropped, take } = standing("codel", [0, 99, 120, 124])
    assert.strictEqual(take(100), 0)
    assert.strictEqual(take(126), 99)
    assert.strictEqual(take(126), 124)
    assert.deepStrictEqual(dropped, [120])
  })

  it("codel-lifo takes the newest from a queue that stands, and drops the others behind it", () => {
    const { dropped, line, take } = standing("codel-lifo", [0, 110, 120, 124])
    assert.strictEqual(line.ahead(124), 0)
    assert.strictEqual(take(124), 124)
    assert.strictEqual(take(126), undefined)
    assert.deepStrictEqual(dropped, [0, 110, 120])
  })

  it("codel is patient again once the queue has been empty", () => {
    const { line, take } = standing("codel", [0])
    assert.strictEqual(take(200), undefined)
    assert.strictEqual(line.maxWait(200), 100)
  })
})

describe("under twice the load (S5), a sender without a policy", () => {
  const metricsOf = (discipline: Discipline) =>
    Lab.run({
      scenario: Scenario.make({ ...Scenarios.all.S5, discipline, warmUp: "2 seconds", after: "5 seconds" }),
      sender: References.none,
      seed: 11
    }).metrics

  it("gets next to nothing first in, first out", () => {
    const { goodput, waste } = metricsOf("fifo")
    assert.isBelow(goodput, 0.03)
    assert.isAbove(waste, 0.3)
  })

  it("gets half of it newest first, and works off the old ones afterwards for nobody", () => {
    const { goodput, waste } = metricsOf("lifo")
    assert.closeTo(goodput, 0.5, 0.01)
    assert.isAbove(waste, 0.01)
  })

  it.each(["codel", "codel-lifo"] as const)("gets half of it with %s, and nothing is wasted", (discipline) => {
    const { goodput, recovery, waste } = metricsOf(discipline)
    assert.closeTo(goodput, 0.5, 0.01)
    assert.isBelow(waste, 1e-3)
    assert.strictEqual(recovery, 0)
  })
})

it("has what a sender refuses judged by what could be answered besides", () => {
  const half: Sender.Sender = {
    name: "half",
    title: "",
    make: ({ random }) => Effect.succeed((call) => (random() < 0.5 ? Effect.fail("refused") : call.limited))
  }
  const falseRejects = (input: Scenario.Input, sender: Sender.Sender) =>
    Lab.run({ scenario: Scenario.make({ ...input, warmUp: "2 seconds", after: "0 seconds" }), sender, seed: 11 })
      .metrics.falseRejects
  assert.closeTo(falseRejects({ ...Scenarios.all.S0, window: "10 seconds" }, half), 0.5, 0.02)
  // Whoever answers as many as can be has refused nobody who could have been: only others in their place.
  assert.isBelow(falseRejects(Scenarios.all.S5, References.bulkhead), 0.01)
})

it("drops next to nothing while all is well", () => {
  const scenario = Scenario.make({
    ...Scenarios.all.S0,
    discipline: "codel",
    warmUp: "2 seconds",
    window: "10 seconds",
    after: "0 seconds"
  })
  assert.isAbove(Lab.run({ scenario, sender: References.none, seed: 11 }).metrics.goodput, 0.9995)
})
