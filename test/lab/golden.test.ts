import { readFileSync } from "node:fs"
import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, type Sender } from "@effect-resilience/lab"
import { quick } from "../../packages/lab/src/cli/options.ts"
import { changedIn, goldenOf, read, senders, worseThan } from "../../packages/tools/src/lab/golden.ts"

// `npm run golden`, a step of `.ci/run`, compares it with what the policies do now: the first seed, and all where a figure differs.
const golden = read(readFileSync(new URL("golden.json", import.meta.url), "utf8"))

describe("what was accepted", () => {
  it("has the quick set, whole", () => {
    assert.deepStrictEqual(Object.keys(golden), quick.scenarios)
    for (const rows of Object.values(golden)) {
      assert.deepStrictEqual(Object.keys(rows), senders)
    }
  })
})

const scenario = Scenario.make({
  name: "small",
  rate: 200,
  warmUp: "2 seconds",
  after: "4 seconds",
  faults: [{ kind: "errors", rate: 0.2, lasts: "4 seconds" }]
})

describe("figures have changed", () => {
  const run = (seeds: number, first: number) =>
    Lab.compare({ scenario, senders: [References.none, References.jitter], seeds, first })
  const accepted = goldenOf([run(quick.seeds, 1)])

  it("in no scenario of which any seed has been accepted", () => {
    assert.deepStrictEqual(changedIn(accepted, [run(1, 1)]), [])
    assert.deepStrictEqual(changedIn(accepted, [run(1, 2)]), [])
  })

  it("in one with a figure of no accepted seed, or with a sender that nobody has accepted", () => {
    assert.deepStrictEqual(changedIn(accepted, [run(1, 3)]), ["small"])
    const { rows, ...rest } = run(1, 1)
    assert.deepStrictEqual(changedIn(accepted, [{ ...rest, rows: [{ ...rows[0]!, sender: "other" }] }]), ["small"])
    const [row] = rows
    for (const name of ["goodput", "p99", "recovery"] as const) {
      const [first] = row!.runs
      const runs = [{ ...first!, metrics: { ...first!.metrics, [name]: first!.metrics[name] * 1.0001 + 0.0001 } }]
      assert.deepStrictEqual(changedIn(accepted, [{ ...rest, rows: [{ ...row!, runs }] }]), ["small"])
    }
    const lost = [{ ...row!.runs[0]!, metrics: { ...row!.runs[0]!.metrics, goodput: Number.NaN } }]
    assert.deepStrictEqual(changedIn(accepted, [{ ...rest, rows: [{ ...row!, runs: lost }] }]), ["small"])
  })
})

describe("worse", () => {
  const lineOf = (sender: Sender.Sender) => {
    const comparison = Lab.compare({ scenario, senders: [sender], seeds: 3 })
    return { ...comparison, rows: comparison.rows.map((row) => ({ ...row, sender: "one" })) }
  }
  const patient = lineOf(References.jitter)
  const hasty = lineOf(References.none)

  it("is nothing that is the same", () => {
    assert.deepStrictEqual(worseThan(goldenOf([patient]), [patient]), [])
  })

  it("is a figure that has lost more than its interval, by name, with both values", () => {
    const lines = worseThan(goldenOf([patient]), [hasty])
    assert.isTrue(
      lines.some((line) => /^small, one: goodput was (1|0\.99\d*) and is 0\.[78]\d*$/.test(line)),
      lines.join("\n")
    )
  })

  it("is nothing that is better", () => {
    const lines = worseThan(goldenOf([hasty]), [patient])
    assert.deepStrictEqual(
      lines.filter((line) => line.includes("goodput") || line.includes("regret")),
      []
    )
  })

  it("is what never comes about any more", () => {
    const row = patient.rows[0]!
    const lost = { ...row, summary: { ...row.summary, recovery: { ...row.summary.recovery, median: Infinity } } }
    assert.deepStrictEqual(worseThan(goldenOf([patient]), [{ ...patient, rows: [lost] }]), [
      "small, one: recovery was 0 and is never"
    ])
  })

  it("is a sender that nobody has accepted", () => {
    const row = { ...patient.rows[0]!, sender: "other" }
    assert.deepStrictEqual(worseThan(goldenOf([patient]), [{ ...patient, rows: [row] }]), [
      "small, other: nothing was ever accepted"
    ])
  })
})
