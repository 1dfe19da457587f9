import { assert, describe, it } from "@effect/vitest"
import { Lab, Metrics, References, Scenario, Scenarios, Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import { Policy, Retry } from "effect-resilience"

/** Everything that can go wrong, soon after each other. */
const nasty = Scenario.make({
  name: "nasty",
  rate: 130,
  clients: 3,
  workers: 2,
  shards: 2,
  queue: 20,
  warmUp: "2 seconds",
  after: "5 seconds",
  faults: [
    { kind: "down", lasts: "1 second", every: "3 seconds", times: 2 },
    { kind: "hang", at: "1500 millis", lasts: "1 second" },
    { kind: "slow", factor: 20, at: "2 seconds", lasts: "2 seconds", shards: [1] },
    { kind: "errors", rate: 0.5, at: "5 seconds", lasts: "1 second" },
    { kind: "surge", factor: 4, at: "6 seconds", lasts: "1 second" },
    { kind: "capacity", factor: 0, at: "7 seconds", lasts: "500 millis" }
  ]
})

const short = { warmUp: "2 seconds", after: "6 seconds" } as const

const brief = Scenario.make({ ...Scenarios.all.S1, ...short, faults: [{ kind: "down", lasts: "3 seconds" }] })

describe("a run", () => {
  for (const sender of Lab.senders) {
    it(`of ${sender.name} is the same for the same seed, and another for another`, () => {
      const once = Lab.run({ scenario: nasty, sender, seed: 3 })
      assert.deepStrictEqual(Lab.run({ scenario: nasty, sender, seed: 3 }), once)
      assert.notDeepEqual(Lab.run({ scenario: nasty, sender, seed: 4 }).metrics, once.metrics)
    })

    it.each([false, true])(`of ${sender.name} ends every call once (cancels: %s)`, (cancels) => {
      const run = Lab.run({ scenario: { ...nasty, cancels }, sender, seed: 5 })
      assert.strictEqual(run.ended, run.calls)
      assert.isAbove(run.good, 0)
      assert.isBelow(run.good, run.calls)
    })
  }

  it("offers all senders the same calls", () => {
    const calls = Lab.senders.map((sender) => Lab.run({ scenario: nasty, sender, seed: 1 }).calls)
    assert.strictEqual(new Set(calls).size, 1)
  })

  it("wastes nothing when the dependency stops what nobody waits for", () => {
    const slow = Scenario.make({
      ...Scenarios.all.S3,
      ...short,
      faults: [{ kind: "slow", factor: 20, lasts: "3 seconds" }]
    })
    const waste = (cancels: boolean) =>
      Lab.run({ scenario: { ...slow, cancels }, sender: References.none, seed: 1 }).metrics.waste
    assert.isAbove(waste(false), 0.2)
    assert.strictEqual(waste(true), 0)
  })
})

describe("a planted fault of a sender is seen", () => {
  it("retries without a budget: amplification", () => {
    const free = Sender.policy("free", "", ({ scenario }) =>
      Policy.make("free", { retry: Retry.backoff(), timeout: scenario.timeout })
    )
    const amplification = (sender: Sender.Sender) => Lab.run({ scenario: brief, sender, seed: 1 }).metrics.amplification
    assert.closeTo(amplification(free), 3, 0.1)
    assert.isBelow(amplification(Sender.oursWithoutBreaker), 2.5)
  })

  it("a circuit that stays open: recovery, lost seconds, false rejects and regret", () => {
    const stuck = Sender.policy("stuck", "", ({ scenario }) =>
      Policy.make("stuck", { breaker: { openFor: "1 hour" }, timeout: scenario.timeout })
    )
    const { detection, falseRejects, lost, recovery, regret } = Lab.run({
      scenario: brief,
      sender: stuck,
      seed: 1
    }).metrics
    assert.strictEqual(recovery, Infinity)
    assert.closeTo(lost, 6, 0.3)
    assert.isAbove(falseRejects, 0.5)
    assert.isAbove(regret, 0.9)
    assert.isBelow(detection, 3000)
  })

  it("calls that never end: the books do not add up", () => {
    const lazy: Sender.Sender = { name: "lazy", title: "", make: () => Effect.succeed(() => Effect.never) }
    const run = Lab.run({ scenario: brief, sender: lazy, seed: 1 })
    assert.strictEqual(run.ended, 0)
    assert.isAbove(run.calls, 0)
  })

  it("answers after the deadline: no goodput", () => {
    const late: Sender.Sender = {
      name: "late",
      title: "",
      make: () => Effect.succeed((call) => Effect.delay(call.limited, "1 second"))
    }
    assert.strictEqual(Lab.run({ scenario: brief, sender: late, seed: 1 }).good, 0)
  })
})

describe("a summary", () => {
  const figures = { ...Object.fromEntries(Metrics.names.map((name) => [name, 0])) } as unknown as Metrics.Metrics // all names

  it("has the median, where it lies, and the worst", () => {
    const runs = Array.from({ length: 30 }, (_, i) => ({
      ...figures,
      goodput: (i + 1) / 30,
      recovery: i === 29 ? Infinity : i
    }))
    const { goodput, recovery } = Metrics.summarize(runs)
    // Of 30 values, the 10th and the 21st enclose the median with 95.7 % confidence.
    assert.deepStrictEqual([goodput.low, goodput.high, goodput.worst], [10 / 30, 21 / 30, 1 / 30])
    assert.closeTo(goodput.median, 15.5 / 30, 1e-12)
    assert.strictEqual(recovery.worst, Infinity)
    assert.strictEqual(recovery.median, 14.5)
  })

  it("says nothing of what makes no sense", () => {
    assert.isNaN(Metrics.summarize([{ ...figures, leak: NaN }]).leak.median)
  })
})
