import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Metric, Scope } from "effect"
import { Event, Policies, Policy } from "effect-resilience"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import type { Instances } from "../../packages/resilience/src/engine/instances.ts"
import { collectUntil, isolated, ok, read, readOne } from "./support.ts"

class Search extends Policy.Service<Search>()("app/Search", { timeout: "1 second" }) {}

const limits = { timeout: "1 second" } as const
const calls = readOne("resilience.calls")

describe("Metrics.layer: arrivals and departures", () => {
  it.effect("exports a policy that was created before, and one that was created after", () =>
    Effect.gen(function* () {
      const before = yield* Policy.make("before", { timeout: "1 second" })
      yield* before.protect(ok)
      yield* Layer.build(Metrics.layer())
      const after = yield* Policy.make("after", { timeout: "1 second" })
      yield* after.protect(ok)
      assert.deepStrictEqual(yield* calls, {
        "resilience.calls{policy=before}": 1,
        "resilience.calls{policy=after}": 1
      })
    }).pipe(Effect.scoped, isolated)
  )

  it.effect("the counts of a policy that has gone stay, and its gauges go", () =>
    Effect.gen(function* () {
      yield* Effect.provide(Search.protect(ok), Search.layer)
      assert.deepStrictEqual(yield* calls, { "resilience.calls{policy=app/Search}": 1 })
      assert.deepStrictEqual(yield* readOne("resilience.instances"), {})
      assert.deepStrictEqual(yield* readOne("resilience.limit"), {})
      assert.deepStrictEqual(yield* readOne("resilience.attempt.duration"), {
        "resilience.attempt.duration{policy=app/Search}": 1
      })
      yield* Effect.provide(
        Effect.gen(function* () {
          yield* Search.protect(ok)
          assert.deepInclude(yield* read, {
            "resilience.calls{policy=app/Search}": 2,
            "resilience.instances{policy=app/Search}": 1,
            "resilience.attempt.duration{policy=app/Search}": 2
          })
        }),
        Search.layer
      )
    }).pipe(Effect.provide(Metrics.layer()), isolated)
  )

  it.effect("adds up the instances of one name", () =>
    Effect.gen(function* () {
      for (const policy of [yield* Policy.make("twice", limits), yield* Policy.make("twice", limits)])
        yield* policy.protect(ok)
      assert.deepInclude(yield* read, {
        "resilience.calls{policy=twice}": 2,
        "resilience.instances{policy=twice}": 2
      })
    }).pipe(Effect.provide(Metrics.layer()), Effect.scoped, isolated)
  )

  it.effect("keeps the counters of 1,000 names whose policies have gone", () =>
    Effect.gen(function* () {
      for (let i = 0; i < 1003; i++) yield* Effect.scoped(Policy.make(`tenant-${i}`, limits))
      const series = Object.keys(yield* calls)
      assert.strictEqual(series.length, 1000)
      assert.strictEqual(series[0], "resilience.calls{policy=tenant-3}")
    }).pipe(Effect.provide(Metrics.layer()), isolated)
  )
})

describe("Metrics.layer: what it leaves behind", () => {
  it.effect("no series and no listener when its scope has closed", () =>
    Effect.gen(function* () {
      const registry = yield* Policies.CurrentRegistry
      const hub = yield* Event.CurrentHub
      const policy = yield* Policy.make("kept", { breaker: {} })
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Metrics.layer({ keys: "not-closed" }), scope)
      yield* policy.control.isolate({ key: "eu" })
      yield* read
      assert.isAbove((yield* Metric.snapshot).length, 20)
      assert.strictEqual(Event.listenersOf(hub).size, 0)
      yield* Scope.close(scope, Exit.void)
      yield* Policy.make("later", limits)
      assert.deepStrictEqual(yield* Metric.snapshot, [])
      assert.strictEqual((registry as unknown as Instances).listeners.size, 0)
    }).pipe(Effect.scoped, isolated)
  )

  it("a policy that the program has dropped is collected, and what it had counted at the last export stays", async () => {
    const registry = Policies.makeRegistry()
    const metrics = new Map()
    const run = <A>(effect: Effect.Effect<A>) =>
      Effect.runPromise(
        effect.pipe(
          Effect.provideService(Policies.CurrentRegistry, registry),
          Effect.provideService(Metric.MetricRegistry, metrics)
        )
      )
    const scope = Scope.makeUnsafe()
    await run(Effect.asVoid(Layer.buildWithScope(Metrics.layer(), scope)))
    await run(
      Effect.gen(function* () {
        const policy = yield* Policy.make("dropped", { breaker: {}, timeout: "1 second" })
        yield* Effect.orDie(policy.protect(ok))
        yield* read
      })
    )
    await collectUntil(async () => (await run(Policies.all)).length === 0)
    assert.deepStrictEqual(await run(Policies.all), [])
    assert.deepStrictEqual(await run(calls), { "resilience.calls{policy=dropped}": 1 })
    await run(Scope.close(scope, Exit.void))
  })
})
