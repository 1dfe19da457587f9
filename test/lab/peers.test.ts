import { assert, describe, it } from "@effect/vitest"
import { Lab, type Metrics, References, Scenario, Scenarios, type Sender } from "@effect-resilience/lab"
import { sample } from "../support/sample.ts"
import { inPart, inRest, share } from "../support/share.ts"

// What others have published or measured of these rules on the same model, to within what one run can say.

type Expected = readonly [
  scenario: keyof typeof Scenarios.all,
  sender: Sender.Sender,
  figure: keyof Metrics.Metrics,
  value: number,
  tolerance: number
]

const all: ReadonlyArray<Expected> = [
  ["S1", References.none, "amplification", 1, 0.01],
  ["S1", References.naive, "amplification", 4, 0.02],
  ["S1", References.naive, "recovery", 0, 0],
  ["S1", References.jitter, "amplification", 3.99, 0.03],
  ["S1", References.grpc, "amplification", 1, 0.02],
  ["S1", References.grpc, "peak", 1.14, 0.05],
  ["S1", References.finagle, "amplification", 1.56, 0.03],
  ["S1", References.aws, "amplification", 1.12, 0.02],
  ["S1", References.resilience4j, "amplification", 0.06, 0.01],
  ["S1", References.resilience4j, "recovery", 31, 1],
  ["S2", References.none, "goodput", 0.902, 0.005],
  ["S2", References.naive, "goodput", 1, 0.001],
  ["S2b", References.none, "goodput", 0.603, 0.01],
  ["S2b", References.naive, "recovery", Infinity, 0],
  ["S4", References.none, "goodput", 0.9, 0.005],
  ["S5", References.none, "goodput", 0.02, 0.01],
  ["S6", References.none, "goodput", 5 / 11, 0.01],
  ["S7", References.none, "goodput", 0.009, 0.005]
]

/** These take as long as all others; the quick set of `npm run golden` has them too. */
const long: ReadonlyArray<readonly [string, Sender.Sender]> = [
  ["S1", References.jitter],
  ["S1", References.resilience4j],
  ["S2b", References.naive]
]

const expected = all.filter(([scenario, sender]) =>
  sample(!long.some((one) => one[0] === scenario && one[1] === sender), true)
)

const runs = new Map<string, Metrics.Metrics>()

/** Only resilience4j takes longer to recover, if a sender does at all. */
const afterFor = (sender: Sender.Sender) => (sender === References.resilience4j ? "40 seconds" : "5 seconds")

/** Senders whose calls know nothing of those before: they need no time to warm up. */
const forgetful: ReadonlyArray<Sender.Sender> = [References.none, References.naive, References.jitter]

const metricsOf = (scenario: keyof typeof Scenarios.all, sender: Sender.Sender): Metrics.Metrics => {
  const key = `${scenario} ${sender.name}`
  const found =
    runs.get(key) ??
    Lab.run({
      scenario: Scenario.make({
        ...Scenarios.all[scenario],
        ...(forgetful.includes(sender) ? { warmUp: "2 seconds" } : {}),
        after: afterFor(sender)
      }),
      sender,
      seed: 11
    }).metrics
  runs.set(key, found)
  return found
}

describe("a known figure", () => {
  for (const [scenario, sender, figure, value, tolerance] of share(expected, (_, index) => index % 3 === 0)) {
    it(`${scenario} ${sender.name}: ${figure} ${value} ± ${tolerance}`, () => {
      const found = metricsOf(scenario, sender)[figure]
      assert.isTrue(found === value || Math.abs(found - value) <= tolerance, `got ${found}`)
    })
  }

  it.runIf(inPart)("S1 Finagle with one client: 1.21", () => {
    const scenario = Scenario.make({ ...Scenarios.all.S1, clients: 1, after: "0 seconds" })
    assert.closeTo(Lab.run({ scenario, sender: References.finagle, seed: 11 }).metrics.amplification, 1.21, 0.02)
  })

  it.runIf(inRest)("S1 Finagle with a thousand clients: 3.99", () => {
    const scenario = Scenario.make({ ...Scenarios.all.S11, after: "0 seconds" })
    assert.closeTo(Lab.run({ scenario, sender: References.finagle, seed: 11 }).metrics.amplification, 3.99, 0.02)
  })
})

describe.runIf(inPart)("resilience4j with other settings", () => {
  it("is the default one when nothing is said", () => {
    const scenario = Scenario.make({ ...Scenarios.all.S1, clients: 5, rate: 140, workers: 2, after: "0 seconds" })
    const metrics = (sender: Sender.Sender) => Lab.run({ scenario, sender, seed: 1 }).metrics
    assert.deepStrictEqual(metrics(References.resilience4jWith("r4j", "", {})), metrics(References.resilience4j))
  })

  it.each([
    [{ window: 0 }, "References.resilience4jWith: window must be an integer >= 1, got 0"],
    [{ window: 10, minimum: 11 }, "References.resilience4jWith: minimum must be <= window (10), got 11"],
    [{ rate: 1.1 }, "References.resilience4jWith: rate must be > 0 and <= 1, got 1.1"],
    [{ open: NaN }, "References.resilience4jWith: open must be >= 0, got NaN"],
    [{ retries: -1 }, "References.resilience4jWith: retries must be an integer >= 0, got -1"],
    [{ wait: -5 }, "References.resilience4jWith: wait must be >= 0, got -5"]
  ])("refuses %o", (options, message) => {
    assert.throws(() => References.resilience4jWith("bad", "", options), message)
  })
})
