import { assert, describe, it } from "@effect/vitest"
import { Lab, Oracle, References, Scenario, Sender } from "@effect-resilience/lab"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

const scenario = Scenario.make({
  name: "quota",
  rate: 200,
  clients: 4,
  quota: 150,
  warmUp: "2 seconds",
  window: "10 seconds",
  after: "1 second"
})

/** One attempt each, and what it ended with. */
const failures: Array<Sender.Failure> = []
const watching: Sender.Sender = {
  name: "watching",
  title: "one attempt",
  make: () =>
    Effect.succeed((call) =>
      Effect.tapError(call.limited, (failure) =>
        Effect.sync(() => {
          failures.push(failure)
        })
      )
    )
}

describe("a quota", () => {
  it.each([0.5, 1.5, 2.5])("of %d calls a second accepts as many, fractions over several seconds", (quota) => {
    const long = Scenario.make({ name: "quota", rate: 20, clients: 2, quota, window: "60 seconds", after: "1 second" })
    const { metrics } = Lab.run({ scenario: long, sender: watching, seed: 1 })
    assert.approximately(metrics.goodput * 20, quota, 0.1)
  })

  it("accepts so many calls of each second, and asks the others to come back in the next one", () => {
    const { metrics } = Lab.run({ scenario, sender: watching, seed: 1 })
    assert.approximately(metrics.goodput, 0.75, 0.03)
    assert.isAbove(failures.length, 300)
    for (const { reason, retryAfter, throttled } of failures) {
      assert.strictEqual(reason, "quota")
      assert.isTrue(throttled)
      assert.isTrue(
        retryAfter !== undefined && Duration.toMillis(retryAfter) > 0 && Duration.toMillis(retryAfter) <= 1000
      )
    }
  })

  it("bounds the oracle", () => {
    assert.approximately(Oracle.of(scenario).goodput, 0.75, 1e-9)
  })

  it("is not answered with a flood of retries by an adaptive policy, which loses no call for it", () => {
    const { metrics } = Lab.run({ scenario, sender: Sender.adaptive, seed: 1 })
    const none = Lab.run({ scenario, sender: References.none, seed: 1 }).metrics
    assert.isBelow(metrics.amplification, 1.3)
    assert.isAbove(metrics.goodput, none.goodput - 0.03)
  })
})
