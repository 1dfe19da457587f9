import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, Sender, Series, Table } from "@effect-resilience/lab"

/** Whatever can be: outages that open circuits, errors, a surge, several shards. */
const input = {
  name: "nasty",
  rate: 150,
  clients: 5,
  workers: 4,
  shards: 2,
  warmUp: "2 seconds",
  after: "7500 millis",
  faults: [
    { kind: "down", lasts: "4 seconds" },
    { kind: "errors", rate: 0.6, at: "4 seconds", lasts: "2 seconds" },
    { kind: "surge", factor: 4, at: "7 seconds", lasts: "1 second", shards: [0] }
  ]
} satisfies Scenario.Input

const nasty = Scenario.make(input)

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((total, one) => total + one, 0)

const seriesOf = (scenario: Scenario.Scenario, sender: Sender.Sender): Series.Series => {
  const { series } = Lab.run({ scenario, sender, seed: 1, series: true })
  return series ?? assert.fail("no series")
}

describe("series", () => {
  it.each(Lab.senders.map((sender) => [sender.name, sender] as const))("of %s change nothing else", (_, sender) => {
    const { series, ...kept } = Lab.run({ scenario: nasty, sender, seed: 2, series: true })
    assert.deepStrictEqual(Lab.run({ scenario: nasty, sender, seed: 2 }), kept)
    if (series === undefined) return assert.fail("no series")
    assert.strictEqual(series.step, 1000)
    // 2 s before, 8 s of faults, 7.5 s after.
    for (const name of ["offered", "good", "rejected", "attempts", "queued"] as const) {
      assert.strictEqual(series[name].length, 18)
    }
    assert.strictEqual(sum(series.offered), kept.calls)
    assert.strictEqual(sum(series.good), kept.good)
    assert.isAtMost(sum(series.attempts), kept.attempts)
  })

  it("see the circuits of those who have some", () => {
    const { circuits } = seriesOf(nasty, Sender.ours)
    assert.strictEqual(circuits?.open[1], 0)
    assert.isAbove(Math.max(...(circuits?.open ?? [])), 0.6)
    assert.isBelow(circuits?.open.at(-1) ?? 1, 1)
    for (const [at, open] of circuits?.open.entries() ?? []) {
      assert.isAtMost(open + (circuits?.halfOpen[at] ?? 0), 1)
    }
    assert.isAbove(Math.max(...(seriesOf(nasty, References.resilience4j).circuits?.open ?? [])), 0.5)
    for (const sender of [References.none, Sender.oursWithoutBreaker]) {
      assert.isUndefined(seriesOf(nasty, sender).circuits)
    }
  })

  it("see the queue", () => {
    const crowded = Scenario.make({
      name: "crowded",
      rate: 100,
      workers: 1,
      queue: 30,
      warmUp: "3 seconds",
      after: "0 seconds"
    })
    const idle = Scenario.make({ ...input, name: "idle", faults: [], service: { kind: "constant", value: "1 millis" } })
    assert.isAbove(Math.max(...seriesOf(crowded, References.naive).queued), 5)
    assert.strictEqual(Math.max(...seriesOf(idle, References.none).queued), 0)
  })

  it("have at most 600 steps", () => {
    const long = Scenario.make({ name: "long", rate: 0.05, clients: 1, after: "1 hour" })
    const series = seriesOf(long, References.none)
    // The least power of two of seconds that fits: 3,620 s in 8 s steps.
    assert.strictEqual(series.step, 8000)
    assert.strictEqual(series.offered.length, 453)
    assert.strictEqual(series.queued.length, 453)
  })

  it("are summarized step by step", () => {
    const runs: ReadonlyArray<Series.Series> = [
      { offered: [10, 0], good: [10, 0], open: 1 },
      { offered: [20, 4], good: [10, 1], open: 0 },
      { offered: [10, 4], good: [8, 4], open: 0 }
    ].map(({ good, offered, open }) => ({
      step: 1000,
      offered,
      good,
      rejected: [1, 0],
      attempts: [30, 3],
      queued: [open, 7],
      circuits: { open: [open, 0], halfOpen: [0, 0] }
    }))
    const summary = Series.summarize(runs, 1500)
    assert.deepStrictEqual(summary, {
      step: 1000,
      // The second step lasts half a second.
      offered: [10, 8],
      goodput: [0.8, 0.625],
      low: [0.5, 0.25],
      high: [1, 1],
      rejected: [0.1, 0],
      attempts: [30, 6],
      queued: [0, 7],
      circuits: { open: [1 / 3, 0], halfOpen: [0, 0] }
    })
    assert.isUndefined(Series.summarize([], 1500))
  })

  it("become text", () => {
    assert.strictEqual(Series.spark([0, 0.05, 0.07, 0.5, 0.94, 1, 2, NaN]), "  ▁▄███·")
    const scenario = Scenario.make({ ...input, faults: [{ kind: "down", lasts: "3 seconds" }], after: "1 second" })
    const senders = [References.none, Sender.ours]
    const lines = Table.renderSeries(Lab.compare({ scenario, senders, seeds: 2, series: true })).split("\n")
    assert.deepStrictEqual(lines.slice(0, 3), ["goodput    ───", "oracle   ██   █", "none     ██   █"])
    assert.match(lines[3] ?? "", /^ours {5}██/)
    assert.strictEqual(Table.renderSeries(Lab.compare({ scenario, senders, seeds: 1 })), "")
  })
})
