import { assert, describe, it } from "@effect/vitest"
import { Distribution, Frontier, Lab, References, Scenario, type Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import { inPart, share } from "../support/share.ts"

const trigger = (name: string): Frontier.Trigger => Frontier.triggers.find((one) => one.name === name)!

const healed = (sender: Sender.Sender, name: string, load: number, base?: Frontier.Settings["base"]): boolean =>
  Frontier.cell({ sender, trigger: trigger(name), load, seeds: 1, base }).healed === 1

/** Two workers and a short warm-up: quick, with the same loads. */
const small = { name: "small", clients: 5, workers: 2, queue: 200, warmUp: "5 seconds" } as const

describe("the frontier of the base model", () => {
  // What an independent simulation of the same model found: the largest load that heals, and one that does not. Of `aws` it says
  // 0.95, where one of three seeds does not heal here.
  const rows: ReadonlyArray<readonly [string, string, number, number]> = [
    ["naive", "slow", 0.2, 0.3],
    ["naive", "hang", 0.4, 0.6],
    ["finagle", "slow", 0.85, 0.95],
    ["google", "slow", 0.9, Infinity],
    ["aws", "slow", 0.9, Infinity],
    ["none", "slow", 0.95, Infinity]
  ]
  // In the part is what bounds a load from both sides, and what heals at any.
  it.each(share(rows, (_, index) => index === 0 || index === 5))(
    "is where it was found elsewhere: %s, %s",
    (name, trigger, below, above) => {
      const sender = References.all.find((one) => one.name === name)!
      assert.isTrue(healed(sender, trigger, below))
      if (above < Infinity) assert.isFalse(healed(sender, trigger, above))
    }
  )
})

describe.runIf(inPart)("a cell", () => {
  it("has the times of whole runs, though its own end as soon as they have healed", () => {
    const { service } = Scenario.make(small)
    const scenario = Scenario.make({
      ...small,
      rate: (0.5 * 2000) / Distribution.cut(service, Infinity).mean,
      after: "33 seconds",
      faults: trigger("slow").faults
    })
    const recovery = (seed: number): number => Lab.run({ scenario, sender: References.none, seed }).metrics.recovery
    const moments: Array<number> = []
    const noting: Sender.Sender = {
      ...References.none,
      make: (client) =>
        Effect.map(References.none.make(client), (send) => (call) => {
          moments.push(client.now())
          return send(call)
        })
    }
    const { healed, time, times } = Frontier.cell({
      sender: noting,
      trigger: trigger("slow"),
      load: 0.5,
      first: 4,
      seeds: 2,
      base: small
    })
    assert.deepStrictEqual(times, [recovery(4), recovery(5)])
    assert.deepStrictEqual([healed, time], [1, (recovery(4) + recovery(5)) / 2])
    // Faults until second 8; three good seconds, and one more until the last call of these is known.
    assert.isAtMost(Math.max(...moments), 1000 * (8 + Math.max(...times) + 3 + 1 + 1))
  })

  it("has not healed when nothing ever ends, or when it was never well", () => {
    const lazy: Sender.Sender = { name: "lazy", title: "", make: () => Effect.succeed(() => Effect.never) }
    assert.deepStrictEqual(
      Frontier.cell({ sender: lazy, trigger: trigger("down"), load: 0.3, seeds: 1, base: small }),
      { sender: "lazy", trigger: "down", load: 0.3, times: [Infinity], healed: 0, time: Infinity }
    )
    assert.isFalse(healed(References.none, "down", 1.5, small))
  })

  it("refuses a load and seeds that make no sense", () => {
    const settings = { sender: References.none, trigger: trigger("down"), base: small }
    assert.throws(() => Frontier.cell({ ...settings, load: 0 }), RangeError, /rate/)
    assert.throws(() => Frontier.cell({ ...settings, load: 0.5, seeds: 0 }), RangeError, /Frontier.cell: seeds must be/)
  })
})

describe.runIf(inPart)("a grid", () => {
  it("has every cell, the loads rising, and tells of each", () => {
    const told: Array<string> = []
    const grid = Frontier.of({
      senders: [References.none, References.naive],
      triggers: [trigger("down"), trigger("slow")],
      loads: [0.5, 0.2],
      seeds: 1,
      base: small,
      progress: ({ load, sender, trigger }, done) => told.push(`${sender} ${trigger} ${load} ${done}`)
    })
    assert.deepStrictEqual(grid.loads, [0.2, 0.5])
    assert.deepStrictEqual(told, [
      "none down 0.2 0.125",
      "none down 0.5 0.25",
      "none slow 0.2 0.375",
      "none slow 0.5 0.5",
      "naive down 0.2 0.625",
      "naive down 0.5 0.75",
      "naive slow 0.2 0.875",
      "naive slow 0.5 1"
    ])
    assert.deepStrictEqual(
      grid.cells.map(({ healed }) => healed),
      [1, 1, 1, 1, 1, 1, 1, 0]
    )
  })

  const cell = (sender: string, load: number, ...times: ReadonlyArray<number>): Frontier.Cell => ({
    sender,
    trigger: "slow",
    load,
    times,
    healed: times.filter((time) => time < Infinity).length / times.length,
    time: times.toSorted((a, b) => a - b)[1] ?? NaN
  })
  const grid: Frontier.Frontier = {
    senders: ["all", "some", "never"],
    triggers: [{ name: "slow", title: "slow for a while" }],
    loads: [0.2, 0.5, 0.95],
    seeds: 3,
    cells: [
      ...[0.2, 0.5, 0.95].map((load) => cell("all", load, 1, 3, 2)),
      cell("some", 0.2, 0, 0, 0),
      cell("some", 0.5, 4, Infinity, 30),
      cell("some", 0.95, 9, 9, 9),
      ...[0.2, 0.5, 0.95].map((load) => cell("never", load, Infinity, Infinity, Infinity))
    ]
  }

  it("has its edge below the first load at which a seed does not heal", () => {
    assert.deepStrictEqual(
      grid.senders.map((sender) => Frontier.edge(grid, sender, "slow")),
      [0.95, 0.2, 0]
    )
    assert.strictEqual(Frontier.edge(grid, "nobody", "slow"), 0)
  })

  it("is a table per trigger", () => {
    assert.strictEqual(
      Frontier.render(grid),
      [
        "slow  slow for a while  (3 seeds)",
        "sender  0.20  0.50  0.95  heals up to",
        "all        2     2     2  0.95",
        "some       0   67%     9  0.20",
        "never      -     -     -  none"
      ].join("\n")
    )
  })
})
