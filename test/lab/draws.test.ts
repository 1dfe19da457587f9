import { assert, describe, it } from "@effect/vitest"
import { Distribution, Draws, Lab, References, Scenario } from "@effect-resilience/lab"

const drawn = Draws.scenarios({ count: 60, seed: 3 })

describe("drawn scenarios", () => {
  it("are the same for the same seed, and others for another", () => {
    assert.deepStrictEqual(Draws.scenarios({ count: 60, seed: 3 }), drawn)
    assert.deepStrictEqual(Draws.scenarios({ count: 5, seed: 3 }), drawn.slice(0, 5))
    assert.notDeepEqual(Draws.scenarios({ count: 5, seed: 4 }), drawn.slice(0, 5))
  })

  it("have the kinds of fault in turn, and names of their own", () => {
    assert.deepStrictEqual(
      drawn.map(({ name }): string | undefined => Draws.kindOf(name)),
      drawn.map((_, index): string | undefined => Draws.kinds[index % Draws.kinds.length])
    )
    assert.strictEqual(new Set(drawn.map(({ name }) => name)).size, 60)
  })

  it("are scenarios in the ranges that the page promises", () => {
    for (const scenario of drawn.map(Scenario.make)) {
      const { deadline, name, rate, service, shards, timeout, workers } = scenario
      const { mean } = Distribution.cut(service, Infinity)
      assert.isTrue(workers >= 2 && workers <= 200 && workers % shards === 0, name)
      assert.isAtMost(((rate * mean) / 1000 / workers) * 0.97, 0.95, name)
      assert.isTrue(timeout < deadline && deadline <= 6.1 * timeout, name)
      const { from, until } = Scenario.span(scenario)
      assert.strictEqual(from, 15_000)
      assert.isAtMost((until / 1000) * rate, 165_000, name)
    }
  })

  it.each([0, 1.5, NaN])("are at least one (%d)", (count) => {
    assert.throws(
      () => Draws.scenarios({ count, seed: 1 }),
      RangeError,
      /Draws.scenarios: count must be an integer >= 1/
    )
  })
})

describe("a summary of many scenarios", () => {
  const scenario = (name: string) =>
    Scenario.make({ name, rate: 20, warmUp: "1 second", after: "1 second", window: "1 second" })
  const base = Lab.run({ scenario: scenario("base"), sender: References.none, seed: 1 })
  const row = (sender: string, shortfalls: ReadonlyArray<number>) => ({
    sender,
    runs: shortfalls.map((shortfall, seed) => {
      const regret = Math.max(0, shortfall)
      return { ...base, seed, metrics: { ...base.metrics, shortfall, regret, faultRegret: regret, timeToFail: NaN } }
    })
  })
  const compared = (name: string, ours: ReadonlyArray<number>, none: ReadonlyArray<number>) =>
    Lab.gather(scenario(name), [row("ours", ours), row("none", none)])
  const comparisons = [
    compared("down-0", [0.3, -0.1], [0, 0]),
    compared("hang-1", [0, 0], [-0.2, -0.2]),
    compared("down-2", [0.004, 0.004], [0, 0]),
    compared("hang-3", [NaN, NaN], [NaN, NaN])
  ]
  const groups = Draws.summarize(comparisons)

  it("has a group of all, and one of each kind", () => {
    assert.deepStrictEqual(
      groups.map(({ kind, scenarios }) => [kind, scenarios]),
      [
        ["all", 4],
        ["down", 2],
        ["hang", 2]
      ]
    )
  })

  it("clips the regret of each seed before it takes the mean", () => {
    const [ours, none] = groups[0]!.rows
    assert.closeTo(ours!.mean, (0.15 + 0 + 0.004) / 3, 1e-9)
    assert.deepStrictEqual([ours!.worst, ours!.worstIn, ours!.scenarios], [0.15, "down-0", 3])
    assert.closeTo(ours!.p50, 0.004, 1e-9)
    assert.closeTo(ours!.p90, 0.004 + 0.8 * (0.15 - 0.004), 1e-9)
    assert.strictEqual(none!.mean, 0)
  })

  it("counts where a sender is worse than none, by the regret with its sign", () => {
    assert.deepStrictEqual(
      groups.map(({ rows }) => rows.map(({ worse }) => worse)),
      [
        [2, 0],
        [1, 0],
        [1, 0]
      ]
    )
    assert.isNaN(Draws.summarize(comparisons, "absent")[0]!.rows[0]!.worse)
  })

  it("is a table of means by kind, and one of all figures for each kind", () => {
    const text = Draws.render(groups)
    assert.match(
      text,
      /^mean regret in % +scenarios +ours +none\nall +4 +5\.1 +0\.0\ndown +2 +7\.7 +0\.0\nhang +2 +0\.0 +0\.0\n/
    )
    assert.match(
      text,
      /\ndown {2}2 scenarios, regret in percent\nsender +mean +p50 +p90 +worst .*worse than none\nours +7\.7 /
    )
    assert.strictEqual(Draws.render([]), "mean regret in %  scenarios")
  })
})
