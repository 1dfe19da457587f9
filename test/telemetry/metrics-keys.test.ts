import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Policy, TripPolicy } from "effect-resilience"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import { down, isolated, logging, ok, read, readOne } from "./support.ts"

const make = Policy.make("p", { breaker: { trip: TripPolicy.consecutive(1) }, keys: { maxKeys: 50 } })

describe("Metrics.layer: keys", () => {
  it.effect("are no label by default", () =>
    Effect.gen(function* () {
      const policy = yield* make
      for (const key of ["eu", "us"]) yield* ok.pipe(policy.protect({ key }))
      assert.deepStrictEqual(yield* readOne("resilience.calls"), { "resilience.calls{policy=p}": 2 })
    }).pipe(Effect.provide(Metrics.layer()), isolated)
  )

  it.effect("those of the list have series of their own, all others together one", () =>
    Effect.gen(function* () {
      const policy = yield* make
      for (const key of ["eu", "us", "us", "asia", "africa"]) yield* ok.pipe(policy.protect({ key }))
      yield* policy.control.isolate({ key: "us" })
      assert.deepStrictEqual(yield* readOne("resilience.calls"), {
        "resilience.calls{key=eu,policy=p}": 1,
        "resilience.calls{key=us,policy=p}": 2,
        "resilience.calls{key=other,policy=p}": 2
      })
      assert.deepInclude(yield* read, {
        "resilience.circuits{key=us,policy=p,state=isolated}": 1,
        "resilience.circuits{key=us,policy=p,state=closed}": 0,
        "resilience.circuits{key=other,policy=p,state=closed}": 2,
        // What belongs to the policy as a whole has no key.
        "resilience.attempt.duration{policy=p}": 5
      })
    }).pipe(Effect.provide(Metrics.layer({ keys: ["eu", "us"] })), isolated)
  )

  it.effect("one that left closed gets a series, from then on, and keeps it", () =>
    Effect.gen(function* () {
      const policy = yield* make
      const calls = readOne("resilience.calls")
      yield* ok.pipe(policy.protect({ key: "eu" }))
      yield* ok.pipe(policy.protect({ key: "us" }))
      assert.deepStrictEqual(yield* calls, { "resilience.calls{key=other,policy=p}": 2 })
      yield* Effect.exit(down.pipe(policy.protect({ key: "eu" })))
      // The series is there from the next export on.
      assert.deepStrictEqual(yield* calls, { "resilience.calls{key=other,policy=p}": 3 })
      yield* Effect.exit(down.pipe(policy.protect({ key: "eu" })))
      assert.deepStrictEqual(yield* calls, {
        "resilience.calls{key=other,policy=p}": 3,
        "resilience.calls{key=eu,policy=p}": 1
      })
      yield* policy.control.reset({ key: "eu" })
      yield* ok.pipe(policy.protect({ key: "eu" }))
      assert.deepStrictEqual(yield* calls, {
        "resilience.calls{key=other,policy=p}": 3,
        "resilience.calls{key=eu,policy=p}": 2
      })
      assert.deepInclude(yield* read, {
        "resilience.circuits{key=eu,policy=p,state=closed}": 1,
        "resilience.circuits{key=other,policy=p,state=closed}": 1
      })
    }).pipe(Effect.provide(Metrics.layer({ keys: "not-closed" })), isolated)
  )

  it.effect("one that opened and closed between two exports has a series too", () =>
    Effect.gen(function* () {
      const policy = yield* make
      yield* Effect.exit(down.pipe(policy.protect({ key: "eu" })))
      yield* policy.control.close({ key: "eu" })
      yield* read
      assert.property(yield* read, "resilience.circuits{key=eu,policy=p,state=closed}")
    }).pipe(Effect.provide(Metrics.layer({ keys: "not-closed" })), isolated)
  )

  it.effect("at most 20 have one, then there is one warning", () =>
    Effect.gen(function* () {
      const { lines: all } = yield* logging(
        Effect.gen(function* () {
          const policy = yield* make
          for (let i = 0; i < 30; i++) {
            yield* Effect.exit(down.pipe(policy.protect({ key: `k${i}` })))
            yield* read
          }
          yield* Effect.yieldNow
          const open = Object.entries(yield* readOne("resilience.circuits")).filter(([series]) =>
            series.includes("state=open")
          )
          assert.strictEqual(open.length, 21)
          assert.deepInclude(Object.fromEntries(open), { "resilience.circuits{key=other,policy=p,state=open}": 10 })
        }).pipe(Effect.provide(Metrics.layer({ keys: "not-closed" })))
      )
      const lines = all.filter((line) => line.includes("Metrics"))
      assert.strictEqual(lines.length, 1)
      assert.match(
        lines[0]!,
        /^Warn Metrics: more than 20 keys of p have left closed\. Further keys are counted together/
      )
    }).pipe(isolated)
  )
})
