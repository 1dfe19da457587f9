import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Metric, Schema, Scope } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { Policy, Retry, TripPolicy } from "effect-resilience"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import { sample } from "../support/sample.ts"
import { down, isolated, ok, seriesOf } from "./support.ts"

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

const Command = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("Arrive"), name: Schema.Literals(["a", "b"]) }),
  Schema.Struct({ _tag: Schema.Literal("Depart"), which: between(0, 3) }),
  Schema.Struct({ _tag: Schema.Literal("Call"), which: between(0, 3), key: between(0, 5), fails: Schema.Boolean }),
  Schema.Struct({ _tag: Schema.Literal("Call"), which: between(0, 3), key: between(0, 5), fails: Schema.Boolean }),
  Schema.Struct({
    _tag: Schema.Literal("Operate"),
    which: between(0, 3),
    command: Schema.Literals(["isolate", "reset"])
  }),
  Schema.Struct({ _tag: Schema.Literal("Wait"), millis: between(1, 5000) }),
  Schema.Struct({ _tag: Schema.Literal("Export") })
])
type Command = Schema.Schema.Type<typeof Command>

const Program = Schema.Array(Command).check(Schema.isMinLength(20), Schema.isMaxLength(80))

/** Two keys at most, so that calls of six keys evict; a policy that trips at once and retries once. */
const make = (name: string) =>
  Policy.make(name, {
    retry: Retry.backoff({ base: "1 millis", cap: "1 millis", times: 1 }),
    budget: { ratio: 0.1 },
    breaker: { trip: TripPolicy.consecutive(2), openFor: "1 second" },
    keys: { maxKeys: 2, idleTimeToLive: "2 seconds" }
  })

/** What may only grow: counts, and the counts and sums of histograms. */
const counters = (metrics: ReadonlyArray<Metric.Metric.Snapshot>): Map<string, number> =>
  new Map(
    metrics.flatMap((metric): ReadonlyArray<readonly [string, number]> => {
      const series = seriesOf(metric)
      if (metric.type === "Counter") return [[series, Number(metric.state.count)]]
      if (metric.type !== "Histogram") return []
      const { buckets, count, sum } = metric.state
      return [
        [`${series} count`, count],
        [`${series} sum`, sum],
        ...buckets.map(([bound, cumulative]) => [`${series} le=${bound}`, cumulative] as const)
      ]
    })
  )

const options = { arbitrary: { runs: sample(20, 60), size: 80, seed: 1 } }

const world = (program: ReadonlyArray<Command>) =>
  Effect.gen(function* () {
    const live: Array<{ readonly policy: Effect.Success<ReturnType<typeof make>>; readonly scope: Scope.Closeable }> =
      []
    let before = new Map<string, number>()
    let made = 0
    const check = Effect.gen(function* () {
      const now = counters(yield* Metric.snapshot)
      for (const [series, value] of before) {
        assert.isTrue(now.has(series), `${series} is gone`)
        assert.isAtLeast(now.get(series)!, value, series)
      }
      before = now
    })
    const run = (command: Command) =>
      Effect.gen(function* () {
        const one = "which" in command ? live[command.which] : undefined
        switch (command._tag) {
          case "Arrive": {
            if (live.length === 4) return
            const scope = yield* Scope.make()
            live.push({ policy: yield* Scope.provide(make(command.name), scope), scope })
            return
          }
          case "Depart":
            if (one === undefined) return
            live.splice(live.indexOf(one), 1)
            return yield* Scope.close(one.scope, Exit.void)
          case "Call":
            if (one === undefined) return
            made += 1
            yield* Effect.forkChild(
              Effect.exit((command.fails ? down : ok).pipe(one.policy.protect({ key: `k${command.key}` }))),
              { startImmediately: true }
            )
            return yield* TestClock.adjust("3 millis")
          case "Operate":
            return yield* one === undefined ? Effect.void : one.policy.control[command.command]({ key: "k0" })
          case "Wait":
            return yield* TestClock.adjust(command.millis)
          case "Export":
            return yield* check
        }
      })
    for (const command of program) yield* run(command)
    yield* check
    // The series of a new label are in the export after the one that found its key.
    yield* check
    const calls = Array.from(before).filter(([series]) => series.startsWith("resilience.calls{"))
    assert.strictEqual(
      calls.reduce((sum, [, value]) => sum + value, 0),
      made
    )
    for (const { scope } of live) yield* Scope.close(scope, Exit.void)
    yield* check
  })

describe("Metrics.layer: counters never decrease and miss no call", () => {
  for (const keys of [undefined, "not-closed", ["k0", "k1"]] as const) {
    it.effect.prop(
      `whatever policies come, go and forget, with keys ${JSON.stringify(keys) ?? "added up"}`,
      [Program],
      ([program]) => world(program).pipe(Effect.provide(Layer.fresh(Metrics.layer({ keys }))), isolated),
      options
    )
  }
})
