import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer } from "effect"
import * as TestClock from "effect/testing/TestClock"
import { Fuse, Policy, Retry, Shared, TripPolicy } from "effect-resilience"
import * as Metrics from "effect-resilience/telemetry/Metrics"
import { cuttable } from "../support/board.ts"
import { down, isolated, read } from "./support.ts"

const breaker = { trip: TripPolicy.consecutive(1000), openFor: { initial: "1 second", jitter: 0 } } as const
const fleetSeries = Effect.map(read, (all) =>
  Object.fromEntries(Object.entries(all).filter(([series]) => series.startsWith("resilience.fleet.")))
)

const measured = Layer.merge(Metrics.layer(), Shared.layerMemory)

describe("Metrics.layer: the fleet", () => {
  it.effect("a policy that shares nothing has no series of a fleet", () =>
    Effect.gen(function* () {
      yield* Policy.make("alone", { breaker: {}, bulkhead: { maxConcurrent: 5 }, timeout: "1 second" })
      assert.deepStrictEqual(yield* fleetSeries, {})
    }).pipe(Effect.provide(measured), Effect.scoped, isolated)
  )

  it.effect("a policy has the series of what it shares, and the members are told", () =>
    Effect.gen(function* () {
      // Held, so that none is collected.
      const floor = yield* Policy.make("floor", {
        retry: Retry.backoff(),
        budget: { minPerSecond: 10 },
        shared: { budget: true }
      })
      const circuits = yield* Policy.make("circuits", { breaker, shared: { breaker: {} } })
      const permits = yield* Policy.make("permits", {
        timeout: "1 second",
        bulkhead: { maxConcurrent: 20 },
        shared: { bulkhead: { fleet: 8 } }
      })
      const rate = yield* Policy.make("rate", {
        rateLimit: { limit: 5, window: "100 millis" },
        shared: { rateLimit: { fleet: 8 } }
      })
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* fleetSeries, {
        "resilience.fleet.members{policy=floor}": 1,
        "resilience.fleet.in_touch{policy=floor}": 1,
        "resilience.fleet.members{policy=circuits}": 1,
        "resilience.fleet.in_touch{policy=circuits}": 1,
        "resilience.fleet.circuits{policy=circuits,state=open}": 0,
        "resilience.fleet.circuits{policy=circuits,state=probing}": 0,
        "resilience.fleet.members{policy=permits}": 1,
        "resilience.fleet.in_touch{policy=permits}": 1,
        "resilience.fleet.permits{policy=permits}": 0,
        "resilience.fleet.members{policy=rate}": 1,
        "resilience.fleet.in_touch{policy=rate}": 1,
        "resilience.fleet.rate{policy=rate}": 0
      })
      for (const { fleet } of [floor, circuits, permits, rate]) assert.isTrue((yield* fleet)?.inTouch)
    }).pipe(Effect.provide(measured), Effect.scoped, isolated)
  )

  it.effect("a fuse has its shorts and trips, and one that is shared has those of its fleet", () =>
    Effect.gen(function* () {
      const alone = yield* Fuse.make("alone", { shorts: 1, pause: "10 seconds", jitter: 0 })
      const options = { shorts: 3, pause: 0, reset: "manual", shared: true } as const
      const [here, there] = yield* Effect.all([Fuse.make("disk", options), Fuse.make("disk", options)])
      const series = Effect.map(read, (all) =>
        Object.fromEntries(Object.entries(all).filter(([series]) => /^resilience\.(fuse|fleet)\./.test(series)))
      )
      alone.shortSync()
      yield* here.short()
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* series, {
        "resilience.fuse.shorts{policy=alone}": 1,
        "resilience.fuse.trips{policy=alone}": 1,
        "resilience.fuse.tripped{policy=alone}": 1,
        "resilience.fuse.broken{policy=alone}": 0,
        "resilience.fuse.shorts{policy=disk}": 1,
        "resilience.fuse.trips{policy=disk}": 0,
        "resilience.fuse.tripped{policy=disk}": 0,
        "resilience.fuse.broken{policy=disk}": 0,
        "resilience.fleet.members{policy=disk}": 2,
        "resilience.fleet.in_touch{policy=disk}": 1
      })
      yield* there.trip()
      yield* TestClock.adjust("10 seconds")
      assert.deepInclude(yield* series, {
        "resilience.fuse.tripped{policy=alone}": 0,
        // Both are of this process.
        "resilience.fuse.trips{policy=disk}": 2,
        "resilience.fuse.tripped{policy=disk}": 2,
        "resilience.fuse.broken{policy=disk}": 2
      })
      assert.isTrue((yield* here.state).broken)
    }).pipe(Effect.provide(measured), Effect.scoped, isolated)
  )

  it.effect("counts the circuits that the fleet has open, and those that a member probes", () =>
    Effect.gen(function* () {
      const make = Policy.make("payments", { breaker, shared: { breaker: { rejoin: "close" } } })
      const [late, ...all] = yield* Effect.all([make, make, make])
      for (const { protect } of all) yield* Effect.repeat(Effect.exit(protect(down)), { times: 5 })
      yield* TestClock.adjust("200 millis")
      assert.deepInclude(yield* fleetSeries, {
        "resilience.fleet.members{policy=payments}": 3,
        "resilience.fleet.circuits{policy=payments,state=open}": 1,
        "resilience.fleet.circuits{policy=payments,state=probing}": 0
      })
      yield* TestClock.adjust("1200 millis")
      const probe = yield* Effect.forkChild(Effect.exit(late.protect(Effect.andThen(Effect.never, down))))
      yield* TestClock.adjust("120 millis")
      assert.deepInclude(yield* fleetSeries, {
        "resilience.fleet.circuits{policy=payments,state=open}": 0,
        "resilience.fleet.circuits{policy=payments,state=probing}": 1
      })
      for (const { fleet } of all) assert.strictEqual((yield* fleet)?.circuits[0]?.state, "probing")
      yield* Fiber.interrupt(probe)
    }).pipe(Effect.provide(measured), Effect.scoped, isolated)
  )

  it.effect("says that the board is out of touch, and counts no opening that binds no more", () =>
    Effect.gen(function* () {
      const { board, state } = yield* cuttable
      const make = Effect.provideService(
        Policy.make("payments", { breaker, shared: { breaker: {} } }),
        Shared.Board,
        board
      )
      const all = yield* Effect.all([make, make])
      for (const { protect } of all) yield* Effect.repeat(Effect.exit(protect(down)), { times: 5 })
      yield* TestClock.adjust("200 millis")
      assert.deepInclude(yield* fleetSeries, {
        "resilience.fleet.in_touch{policy=payments}": 1,
        "resilience.fleet.circuits{policy=payments,state=open}": 1
      })
      state.isUp = false
      yield* TestClock.adjust("5 seconds")
      assert.deepInclude(yield* fleetSeries, {
        "resilience.fleet.in_touch{policy=payments}": 0,
        "resilience.fleet.circuits{policy=payments,state=open}": 0
      })
      for (const { fleet } of all) assert.isFalse((yield* fleet)?.inTouch)
    }).pipe(Effect.provide(measured), Effect.scoped, isolated)
  )

  it.effect("adds up the permits that this process may use of those of the fleet", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("payments", {
        timeout: "10 seconds",
        bulkhead: { maxConcurrent: 20 },
        shared: { bulkhead: { fleet: 8 } }
      })
      const running = yield* Effect.forkChild(
        Effect.all(
          ["eu", "eu", "us"].map((key) => policy.protect({ key })(Effect.never)),
          { concurrency: "unbounded" }
        )
      )
      yield* TestClock.adjust("500 millis")
      const permits = (yield* policy.fleet)?.permits ?? []
      const held = permits.reduce((sum, { here }) => sum + here, 0)
      assert.isAtLeast(held, 3)
      assert.deepInclude(yield* fleetSeries, { "resilience.fleet.permits{policy=payments}": held })
      yield* Fiber.interrupt(running)
    }).pipe(Effect.provide(measured), Effect.scoped, isolated)
  )
})
