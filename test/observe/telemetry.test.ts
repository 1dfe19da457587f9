import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import { Event, Policies, Policy, Rollout } from "effect-resilience"
import * as Logs from "effect-resilience/telemetry/Logs"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import { down, ok, settle, touchy } from "../policy/support.ts"

/** Each test has a program of its own, so that it sees only its own policies. */
const alone = Layer.mergeAll(
  Policies.layer,
  Layer.sync(Event.CurrentHub, Event.makeHub),
  Layer.sync(Metric.MetricRegistry, () => new Map())
)

const read = (name: string, labels: Readonly<Record<string, string>> = {}) =>
  Effect.map(Metric.snapshot, (all) =>
    all.flatMap((one) => {
      const fits = Object.entries(labels).every(([label, value]) => one.attributes?.[label] === value)
      if (one.id !== name || !fits) return []
      return "count" in one.state ? [Number(one.state.count)] : "value" in one.state ? [Number(one.state.value)] : []
    })
  )

describe("metrics of what is observed", () => {
  it.effect("count what would have been, beside what was", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, mode: "observe" })
      yield* Effect.exit(policy.protect(down))
      yield* policy.protect(ok)
      assert.deepStrictEqual(yield* read("resilience.would.calls"), [2])
      assert.deepStrictEqual(yield* read("resilience.would.rejections", { reason: "CircuitOpen" }), [1])
      assert.deepStrictEqual(yield* read("resilience.would.circuit.openings"), [1])
      assert.deepStrictEqual(yield* read("resilience.would.circuits", { state: "open" }), [1])
      assert.deepStrictEqual(yield* read("resilience.rejections", { reason: "CircuitOpen" }), [0])
      assert.deepStrictEqual(yield* read("resilience.circuits", { state: "open" }), [0])
      assert.deepStrictEqual(yield* read("resilience.would.timeouts"), [])
    }).pipe(Effect.provide(Metrics.layer()), Effect.provide(alone))
  )

  it.effect("appear when a mode is changed while the policy runs", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy })
      yield* policy.protect(ok)
      assert.deepStrictEqual(yield* read("resilience.would.calls"), [])
      yield* policy.control.mode("observe")
      yield* policy.protect(ok)
      yield* read("resilience.calls")
      assert.deepStrictEqual(yield* read("resilience.would.calls"), [1])
    }).pipe(Effect.provide(Metrics.layer()), Effect.provide(alone))
  )

  it.effect("carry the arm of a rollout, for Rollout.compare", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, rollout: { percent: 50, by: "key" } })
      for (let n = 0; n < 40; n++) yield* Effect.exit(policy.protect({ key: `k${n}` })(n % 4 === 0 ? down : ok))
      const armOf = (arm: string) =>
        Effect.map(
          Effect.all([read("resilience.rollout.calls", { arm }), read("resilience.rollout.failures", { arm })]),
          ([[calls], [failures]]) => ({ calls: calls!, failures: failures! })
        )
      const enforced = yield* armOf("enforce")
      const observed = yield* armOf("observe")
      assert.strictEqual(enforced.calls + observed.calls, 40)
      assert.strictEqual(enforced.failures + observed.failures, 10)
      assert.strictEqual(Rollout.compare(enforced, observed).verdict, "unclear")
    }).pipe(Effect.provide(Metrics.layer()), Effect.provide(alone))
  )
})

describe("the log of what is observed", () => {
  it.effect("has a line for a circuit that would have opened, and none for calls", () => {
    const lines: Array<string> = []
    const logger = Logger.make(({ message }) => {
      lines.push(String(message))
    })
    return Effect.gen(function* () {
      const policy = yield* Policy.make("p", { breaker: touchy, mode: "observe" })
      yield* Effect.exit(policy.protect(down))
      yield* policy.protect(ok)
      yield* settle
      assert.strictEqual(lines.length, 1)
      assert.match(lines[0]!, /^p: the circuit would have opened for 5s \(consecutive: .*\)\. No call was rejected\.$/)
    }).pipe(Effect.provide(Logs.layer()), Effect.provide(Layer.mergeAll(alone, Logger.layer([logger]))))
  })
})
