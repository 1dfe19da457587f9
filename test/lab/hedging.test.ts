/** What a hedge is worth against stragglers, and that it costs nothing where it cannot help. */
import { assert, describe, it } from "@effect/vitest"
import { Lab, Scenario, Scenarios, Sender } from "@effect-resilience/lab"
import { type Hedge, Policy, Retry } from "effect-resilience"

const hedged = (after: Hedge.After | undefined): Sender.Sender =>
  Sender.policy("hedged", "with a hedge", ({ scenario: { deadline, timeout } }) =>
    Policy.make("hedged", {
      deadline,
      retry: Retry.backoff(),
      budget: {},
      hedge: after === undefined ? undefined : { after, idempotent: true },
      breaker: {},
      timeout
    })
  )

const run = (scenario: Scenario.Input, after: Hedge.After | undefined, seed = 1) =>
  Lab.run({ scenario: Scenario.make(scenario), sender: hedged(after), seed }).metrics

const short = { warmUp: "8 seconds", window: "6 seconds", after: "1 second" } as const

describe("a hedge in the lab", () => {
  it("against 1 % stragglers: p99.9 of at most 34 ms for hardly more attempts, without one it is the timeout", () => {
    const idle = { ...Scenarios.all.S8, name: "idle", rate: 280, clients: 10, workers: 60, ...short } as const
    const [with_, without] = [run(idle, "p95"), run(idle, undefined)]
    assert.isAtMost(with_.p999, 34)
    // In place of the retries after a timeout.
    assert.isAtMost(with_.amplification, without.amplification + 0.005)
    assert.isAbove(without.p999, 200)
  })

  it("at 90 % load: as many calls answered as without one, and no slower", () => {
    const busy = { ...Scenarios.all.S0, name: "busy", rate: 900, clients: 25, workers: 10, ...short } as const
    // How long the queue is differs from seed to seed by more than hedges do.
    const means = (after: Hedge.After | undefined) => {
      const runs = [1, 2, 3, 4].map((seed) => run(busy, after, seed))
      const mean = (figure: "goodput" | "p99" | "amplification"): number =>
        runs.reduce((sum, metrics) => sum + metrics[figure] / runs.length, 0)
      return { goodput: mean("goodput"), p99: mean("p99"), amplification: mean("amplification") }
    }
    const [with_, without] = [means("p95"), means(undefined)]
    assert.isAtLeast(with_.goodput, without.goodput - 0.001)
    assert.isAtMost(with_.p99, 1.1 * without.p99)
    assert.isAtMost(with_.amplification, 1.015)
  })
})
