import { assert, describe, it } from "@effect/vitest"
import { Lab, Oracle, References, Scenario, Sender } from "@effect-resilience/lab"
import * as Effect from "effect/Effect"
import { Policy, TripPolicy } from "effect-resilience"

const run = (input: Scenario.Input, sender: Sender.Sender, seed = 1) =>
  Lab.run({ scenario: Scenario.make(input), sender, seed }).metrics

describe("permits", () => {
  it("of recorded calls are those of the recording, not of a base model that nobody asked for", () => {
    // A thousand calls a second of 300 ms: 60 in flight per client.
    const calls = Array.from({ length: 2000 }, (_, index) => ({ time: index, latency: 300, outcome: "ok" as const }))
    const input: Scenario.Input = {
      name: "recorded",
      clients: 5,
      timeout: "1 second",
      deadline: "3 seconds",
      warmUp: "0 seconds",
      window: "2 seconds",
      after: "0 seconds",
      arrivals: { times: calls.map(({ time }) => time) },
      replay: { calls }
    }
    assert.isAtLeast(Sender.permits(Scenario.make(input)), 60)
    assert.isAbove(run(input, Sender.ours).goodput, 0.999)
  })

  it("are the same for whoever has them: a bulkhead alone sheds as much as ours", () => {
    const input: Scenario.Input = {
      name: "overload",
      rate: 350,
      clients: 5,
      workers: 5,
      warmUp: "2 seconds",
      after: "0 seconds",
      faults: [{ kind: "surge", factor: 3, lasts: "4 seconds" }]
    }
    assert.closeTo(run(input, References.bulkhead).goodput, run(input, Sender.ours).goodput, 0.02)
  })
})

describe("a sender with a bug", () => {
  it("fails the run, and says who, where and what", () => {
    const buggy: Sender.Sender = {
      name: "buggy",
      title: "",
      make: () => Effect.succeed(() => Effect.die(new Error("no such property")))
    }
    assert.throws(
      () => run({ name: "small", rate: 10, warmUp: "1 second", after: "0 seconds" }, buggy, 7),
      /buggy died in small, seed 7:\n[\s\S]*no such property/
    )
  })
})

describe("figures at the edges", () => {
  it("TTR is of no sense where nothing was healthy before", () => {
    const mute: Sender.Sender = { name: "mute", title: "", make: () => Effect.succeed(() => Effect.fail("no")) }
    const { recovery } = run(
      {
        name: "mute",
        rate: 100,
        warmUp: "2 seconds",
        after: "5 seconds",
        faults: [{ kind: "down", lasts: "1 second" }]
      },
      mute
    )
    assert.isNaN(recovery)
  })

  it("seconds without calls are no reason not to have recovered", () => {
    const { lost, recovery } = run(
      {
        name: "rare",
        rate: 0.3,
        clients: 1,
        warmUp: "60 seconds",
        after: "120 seconds",
        faults: [{ kind: "down", lasts: "5 seconds" }]
      },
      References.none
    )
    assert.isAtMost(recovery, 5)
    assert.closeTo(lost, 0, 0.001)
  })

  it("do not depend on whether the faults begin at a full tenth of a second", () => {
    const input = (warmUp: "20 seconds" | "20040 millis"): Scenario.Input => ({
      name: "outage",
      rate: 280,
      clients: 10,
      workers: 4,
      warmUp,
      after: "10 seconds",
      faults: [{ kind: "down", lasts: "20 seconds" }]
    })
    // It probes once a second, so that the attempts fall below the bound of TTD with its first opening.
    const steady = Sender.policy("steady", "", ({ scenario }) =>
      Policy.make("steady", {
        breaker: { trip: TripPolicy.consecutive(10, { minDuration: "500 millis" }), openFor: "1 second" },
        timeout: scenario.timeout
      })
    )
    const [even, odd] = [run(input("20 seconds"), steady), run(input("20040 millis"), steady)]
    assert.closeTo(odd.detection, even.detection, 200)
    assert.closeTo(odd.lost, even.lost, 0.4)
    assert.closeTo(odd.leak, even.leak, 0.03)
  })

  it("waste is work of which the caller has gone, whether or not its client hung up", () => {
    const patient: Sender.Sender = { name: "patient", title: "", make: () => Effect.succeed((call) => call.attempt) }
    const { waste } = run(
      {
        name: "long",
        rate: 2,
        service: { kind: "constant", value: "3 seconds" },
        timeout: "1 second",
        warmUp: "0 seconds",
        window: "20 seconds",
        after: "0 seconds"
      },
      patient
    )
    assert.closeTo(waste, 2 / 3, 0.02)
  })

  it("what comes back has ended with its last time", () => {
    const down = { kind: "down", lasts: "1 second" } as const
    const base = { name: "flaps", rate: 140, clients: 5, workers: 2, warmUp: "5 seconds", after: "5 seconds" } as const
    const twice: Scenario.Input = { ...base, faults: [{ ...down, every: "3 seconds", times: 2 }] }
    const written: Scenario.Input = { ...base, faults: [down, { ...down, at: "3 seconds" }] }
    assert.deepStrictEqual(run(twice, Sender.ours), run(written, Sender.ours))
  })
})

describe("a dependency that cancels", () => {
  it("has room for those who wait, not for those who have gone", () => {
    // One worker that is busy for long with somebody patient; those who wait meanwhile give up, and others come.
    const input: Scenario.Input = {
      name: "full",
      rate: 20,
      clients: 1,
      workers: 1,
      queue: 15,
      cancels: true,
      service: { kind: "bimodal", fast: "1 millis", slow: "2 seconds", share: 0.1 },
      timeout: "100 millis",
      warmUp: "0 seconds",
      window: "30 seconds",
      after: "0 seconds"
    }
    const reasons = new Map<string, number>()
    const counting: Sender.Sender = {
      name: "counting",
      title: "",
      make: ({ random }) =>
        Effect.succeed((call) =>
          Effect.tapError(random() < 0.2 ? call.attempt : call.limited, ({ reason }) =>
            Effect.sync(() => void reasons.set(reason, (reasons.get(reason) ?? 0) + 1))
          )
        )
    }
    run(input, counting)
    assert.isAbove(reasons.get("timeout") ?? 0, 100)
    // Some of the patient ones find no place either; if those who have gone kept theirs, it would be hundreds.
    assert.isBelow(reasons.get("full") ?? 0, 100)
  })
})

describe("the oracle", () => {
  it("waits for nobody beyond the deadline", () => {
    const scenario = Scenario.make({ name: "hasty", rate: 100, deadline: "20 millis", window: "5 seconds" })
    // 1 - exp(-19 / 10) within the deadline, of which four attempts would make more if there were time for them.
    assert.isAbove(Oracle.of(scenario).goodput, 0.84)
    const { goodput } = Lab.run({ scenario, sender: References.none, seed: 1 }).metrics
    assert.isAtMost(goodput, Oracle.of(scenario).goodput)
  })

  it("of calls that need every shard is what the worst shard can do", () => {
    const scenario = Scenario.make({
      name: "parts",
      rate: 100,
      workers: 20,
      shards: 2,
      fanOut: 10,
      faults: [{ kind: "capacity", factor: 0.1, shards: [0], lasts: "5 seconds" }]
    })
    // A worker of 10 ms does 100 parts a second, of 500.
    assert.closeTo(Oracle.of(scenario).goodput, 0.2, 0.01)
  })
})

describe("workers are whole", () => {
  it.each([
    [1, 0.5],
    [1, 0.4],
    [2, 0.8]
  ])("of %i a share of %s is refused", (workers, factor) => {
    assert.throws(
      () => Scenario.make({ name: "half", workers, faults: [{ kind: "capacity", factor, lasts: "1 second" }] }),
      /factor/
    )
  })
})
