import { assert, describe, it } from "@effect/vitest"
import { Lab, References, Scenario, Scenarios, Sender } from "@effect-resilience/lab"
import { Policy, Retry } from "effect-resilience"
import { sample } from "../support/sample.ts"

const run = (input: Scenario.Input, sender: Sender.Sender) =>
  Lab.run({ scenario: Scenario.make(input), sender, seed: 11 })

const times = (attempts: number, isAllowed: (client: Sender.Client) => boolean = () => true) =>
  Sender.policy(`${attempts}`, "", (client) =>
    Policy.make("retries", {
      retry: Retry.backoff({ base: "1 millis", cap: "1 millis", times: isAllowed(client) ? attempts - 1 : 0 }),
      timeout: client.scenario.timeout
    })
  )

const budgeted = (ratio: number) =>
  Sender.policy(`${ratio}`, "", ({ scenario }) =>
    Policy.make("budgeted", {
      retry: Retry.backoff({ base: "1 millis", cap: "1 millis", times: 3 }),
      budget: { ratio, capacity: 2, initial: 0 },
      timeout: scenario.timeout
    })
  )

describe("attempts at the last of three tiers that is down (S10)", () => {
  const scenario = { ...Scenarios.all.S10, warmUp: "2 seconds", after: "0 seconds" }
  const short = { ...scenario, faults: [{ kind: "down", lasts: "5 seconds" }] } as const

  it.each<readonly [string, Sender.Sender, number, number]>([
    ["4 at each: 4³", References.naive, 64, 0.5],
    ["3 at each: 3³", times(3), 27, 0.3],
    ["one at each", References.none, 1, 0.01],
    ["4 at the last alone", times(4, ({ tier }) => tier === 3), 4, 0.05]
  ])("%s", (_, sender, amplification, tolerance) => {
    const { calls, ended, metrics } = run(short, sender)
    assert.closeTo(metrics.leak, amplification, tolerance)
    assert.strictEqual(ended, calls)
  })

  it.each([
    [0.2, 1.2 ** 3],
    [0.1, 1.1 ** 3]
  ])("a budget of %s at each: %s", (ratio, amplification) => {
    // With one client in each, so that no parts of a retry are left over; what its window had saved up, it also keeps.
    const { leak } = run({ ...scenario, clients: 1, warmUp: "10 seconds" }, budgeted(ratio)).metrics
    assert.closeTo(leak, amplification, 0.015)
  })

  const propagated = (ratio: number) =>
    Sender.propagating(`${ratio}`, "", ({ scenario }) =>
      Policy.make("propagated", {
        deadline: scenario.deadline,
        retry: Retry.backoff({ base: "1 millis", cap: "1 millis", times: 3 }),
        budget: { ratio, capacity: 2, initial: 0 },
        timeout: scenario.timeout
      })
    )

  it.each(sample([3], [3, 5]))("with propagation and budgets of a tenth, in %i tiers with 4 at each: 1.1", (tiers) => {
    const { calls, ended, metrics } = run({ ...scenario, tiers, clients: 1, warmUp: "10 seconds" }, propagated(0.1))
    // The capacity of two tokens comes on top, which is 0.0005 of a call.
    assert.closeTo(metrics.leak, 1.1, 0.001)
    assert.strictEqual(ended, calls)
  })

  it("with propagation and without budgets the first tier alone retries: 4", () => {
    const sender = Sender.propagating("4", "", ({ scenario }) =>
      Policy.make("alone", {
        retry: Retry.backoff({ base: "1 millis", cap: "1 millis", times: 3 }),
        timeout: scenario.timeout
      })
    )
    assert.closeTo(run(short, sender).metrics.leak, 4, 0.05)
  })

  it.runIf(sample(false, true))("of five, with 3 at each: 3⁵", () => {
    const five = { ...short, rate: 10, tiers: 5, timeout: "1 second" } as const
    assert.closeTo(run({ ...five, faults: [{ kind: "down", lasts: "10 seconds" }] }, times(3)).metrics.leak, 243, 8)
  })
})

describe("services in a row", () => {
  const constant = { kind: "constant", value: "150 millis" } as const
  const idle = { name: "idle", rate: 20, clients: 2, workers: 1000, warmUp: "0 seconds", after: "0 seconds" } as const

  it("add their way there and back to every call", () => {
    const { goodput, p99, p999 } = run(
      { ...idle, tiers: 4, rtt: "5 millis", service: constant, window: "10 seconds" },
      References.none
    ).metrics
    assert.deepStrictEqual([goodput, Math.round(p99), Math.round(p999)], [1, 170, 170])
  })

  it.each([false, true])("work on for a caller who has gone, unless they learn of it (cancels: %s)", (cancels) => {
    // Four attempts of 150 ms each, of which the first is waited for, the second for 50 ms, and the others not at all.
    const { waste } = run(
      {
        ...idle,
        cancels,
        tiers: 2,
        rtt: "0 millis",
        service: constant,
        faults: [{ kind: "errors", rate: 1, lasts: "20 seconds" }]
      },
      References.naive
    ).metrics
    assert.closeTo(waste, cancels ? 0 : 400 / 600, 0.01)
  })

  it("have no call fail while all is well, whatever its parts and the slots", () => {
    const { goodput } = run(
      { ...idle, tiers: 3, fanOut: 5, pool: { slots: 50 }, window: "10 seconds" },
      Sender.oursWithoutBreaker
    ).metrics
    assert.strictEqual(goodput, 1)
  })
})
