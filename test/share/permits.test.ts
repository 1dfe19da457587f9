import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer } from "effect"
import { TestClock } from "effect/testing"
import { Policy, type Rejection, Shared } from "effect-resilience"
import { cut, cuttable } from "../support/board.ts"
import { refusal } from "../support/refusal.ts"

const options = {
  timeout: "1 second",
  bulkhead: { maxConcurrent: 20 },
  shared: { bulkhead: { fleet: 12 } }
} as const

type Member = Policy.Policy<"bulkhead" | "timeout">

const members = (n: number) => Effect.all(Array.from({ length: n }, () => Policy.make("payments", options)))

const inFleet = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(Effect.scoped, Effect.provide(Shared.layerMemory))

/** Starts calls that take 800 ms. */
const start = (member: Member, n: number) =>
  Effect.forEach(Array.from({ length: n }), () =>
    Effect.forkChild(Effect.exit(Effect.sleep("800 millis").pipe(member.protect)), { startImmediately: true })
  )

const running = (all: ReadonlyArray<Member>) =>
  Effect.map(
    Effect.forEach(all, (member) => Effect.map(member.stats(), (stats) => stats.running)),
    (counts) => counts.reduce((sum, count) => sum + count, 0)
  )

describe("a bulkhead of a fleet", () => {
  it.effect("runs at most `fleet` calls in all processes together, and as many when they are wanted", () =>
    inFleet(
      Effect.gen(function* () {
        const all = yield* members(3)
        for (let i = 0; i < 60; i++) {
          for (const member of all) yield* start(member, 1)
          yield* TestClock.adjust("20 millis")
          assert.isAtMost(yield* running(all), 12)
        }
        assert.strictEqual(yield* running(all), 12)
        const shares = yield* Effect.forEach(all, (member) => Effect.map(member.stats(), (stats) => stats.running))
        for (const share of shares) assert.isAtLeast(share, 3)
      })
    )
  )

  it.effect("runs no more when the board in memory ends and another one takes its place", () =>
    Effect.gen(function* () {
      const memory = Effect.map(Layer.build(Shared.layerMemory), (built) => Context.get(built, Shared.Board))
      let current = yield* memory
      const board = Shared.Board.of({
        name: "memory",
        sync: (scope, report) => Effect.suspend(() => current.sync(scope, report)),
        pushes: () => Effect.void
      })
      const all = yield* Effect.provideService(members(3), Shared.Board, board)
      for (let i = 0; i < 400; i++) {
        if (i === 100) current = yield* memory
        for (const member of all) yield* start(member, 1)
        yield* TestClock.adjust("20 millis")
        assert.isAtMost(yield* running(all), 12)
      }
      // It has learnt who holds what.
      assert.strictEqual(yield* running(all), 12)
    }).pipe(Effect.scoped)
  )

  it.effect("leaves a fair part to a member that comes later, although the first uses all", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* members(2)
        for (let i = 0; i < 100; i++) {
          yield* start(here!, 1)
          if (i > 40) yield* start(there!, 1)
          yield* TestClock.adjust("30 millis")
          assert.isAtMost(yield* running([here!, there!]), 12)
        }
        assert.isAtLeast(yield* running([there!]), 5)
        assert.isAtLeast(yield* running([here!]), 5)
      })
    )
  )

  it.effect("lets a call for which the process has no permit wait for one answer of the board", () =>
    inFleet(
      Effect.gen(function* () {
        const [member] = yield* members(1)
        const call = yield* Effect.forkChild(member!.protect(Effect.succeed("done")), { startImmediately: true })
        yield* TestClock.adjust("10 millis")
        assert.strictEqual(yield* Fiber.join(call), "done")
        // Then it has some, without a wait.
        assert.strictEqual(yield* member!.protect(Effect.succeed("done")), "done")
      })
    )
  )

  it.effect("rejects with the reason `fleet`, at once when the board has said that there are none", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* members(2)
        yield* start(here!, 12)
        yield* TestClock.adjust("150 millis")
        assert.strictEqual(yield* running([here!]), 12)
        const asked = yield* Effect.forkChild(Effect.flip(there!.protect(Effect.void)), { startImmediately: true })
        yield* TestClock.adjust("60 millis")
        const rejection = (yield* Fiber.join(asked)) as Rejection.BulkheadFull
        assert.deepInclude(rejection, { _tag: "BulkheadFull", reason: "fleet", running: 0, waiting: 0 })
        assert.strictEqual(
          rejection.message,
          "payments: the bulkhead has no permit left of those of the fleet (0 running, 0 waiting)"
        )
        const next = (yield* Effect.flip(there!.protect(Effect.void))) as Rejection.BulkheadFull
        assert.strictEqual(next.reason, "fleet")
        assert.strictEqual((yield* there!.stats()).fleetPermits, 0)
        assert.strictEqual((yield* there!.stats()).maxConcurrent, 20)
        const fleet = yield* there!.fleet
        assert.deepStrictEqual(fleet?.permits, [
          { key: "default", fleet: 12, here: 0, running: 0, safe: 0, isShort: true }
        ])
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* there!.protect(Effect.succeed("free again")), "free again")
      })
    )
  )

  it.effect("does not lift `maxConcurrent` of the process", () =>
    inFleet(
      Effect.gen(function* () {
        const member = yield* Policy.make("payments", { ...options, bulkhead: { maxConcurrent: 2 } })
        yield* start(member, 2)
        yield* TestClock.adjust("20 millis")
        const rejection = (yield* Effect.flip(member.protect(Effect.void))) as Rejection.BulkheadFull
        assert.deepInclude(rejection, { reason: "full", running: 2 })
      })
    )
  )

  it.effect("has a cap for each key", () =>
    inFleet(
      Effect.gen(function* () {
        const [member] = yield* members(1)
        const open = yield* Deferred.make<void>()
        for (const key of ["a", "b"]) {
          yield* Effect.forEach(Array.from({ length: 20 }), () =>
            Effect.forkChild(Effect.exit(Deferred.await(open).pipe(member!.protect({ key }))), {
              startImmediately: true
            })
          )
        }
        yield* TestClock.adjust("200 millis")
        assert.strictEqual((yield* member!.stats("a")).running, 12)
        assert.strictEqual((yield* member!.stats("b")).running, 12)
        yield* Deferred.succeed(open, undefined)
      })
    )
  )

  it.effect("goes on with the share that is kept for it when it is cut off, and the others with the rest", () =>
    inFleet(
      Effect.gen(function* () {
        const { board, state } = yield* cuttable
        const [there] = yield* members(1)
        const here = yield* Effect.provideService(Policy.make("payments", options), Shared.Board, board)
        for (let i = 0; i < 100; i++) {
          for (const member of [here, there!]) yield* start(member, 1)
          yield* TestClock.adjust("20 millis")
          assert.isAtMost(yield* running([here, there!]), 12)
        }
        state.isUp = false
        for (let i = 0; i < 500; i++) {
          for (const member of [here, there!]) yield* start(member, 1)
          yield* TestClock.adjust("20 millis")
          assert.isAtMost(yield* running([here, there!]), 12)
        }
        assert.isFalse((yield* here.fleet)?.inTouch)
        assert.strictEqual(yield* running([here]), 3)
        assert.strictEqual(yield* running([there!]), 9)
      })
    )
  )

  it.effect("lets `alone` calls run without a board", () =>
    Effect.gen(function* () {
      const board = Shared.Board.of({ name: "broken", sync: () => cut, pushes: () => Effect.void })
      const member = yield* Effect.provideService(
        Policy.make("payments", { ...options, shared: { bulkhead: { fleet: 12, alone: 2 } } }),
        Shared.Board,
        board
      )
      yield* start(member, 3)
      assert.strictEqual((yield* member.stats()).running, 2)
      assert.strictEqual((yield* member.stats()).fleetPermits, 2)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* member.stats()).running, 0)
    }).pipe(Effect.scoped)
  )

  it.effect("gives the permits of a process that died to the others when its lease is over", () =>
    inFleet(
      Effect.gen(function* () {
        const { board, state } = yield* cuttable
        const dying = yield* Effect.provideService(Policy.make("payments", options), Shared.Board, board)
        const [there] = yield* members(1)
        yield* start(dying, 12)
        yield* TestClock.adjust("150 millis")
        assert.strictEqual(yield* running([dying]), 12)
        state.isUp = false
        yield* TestClock.adjust("4700 millis")
        yield* Effect.forEach(Array.from({ length: 12 }), () => start(there!, 1))
        yield* TestClock.adjust("250 millis")
        // What is kept for it while it is away is half of the permits.
        assert.isAtLeast(yield* running([there!]), 6)
      })
    )
  )

  it("needs a bulkhead, a time limit of a call, and numbers in range", () => {
    // @ts-expect-error The compiler refuses most of them.
    const refused = (options: object) => refusal(() => Policy.make("p", options))
    assert.deepStrictEqual(
      [
        { timeout: "1 second", shared: { bulkhead: { fleet: 3 } } },
        { bulkhead: { maxConcurrent: 2 }, shared: { bulkhead: { fleet: 3 } } },
        { ...options, shared: { bulkhead: {} } },
        { ...options, shared: { bulkhead: { fleet: 3, alone: -1 } } },
        { ...options, shared: { bulkhead: { limit: 3 } } }
      ].map(refused),
      [
        "Policy.shared p: bulkhead needs the bulkhead of the policy, got none",
        "Policy.shared p: bulkhead needs a timeout or a deadline, so that a call ends before the lease of its permit",
        "Policy.shared.bulkhead p: fleet must be an integer >= 1, got undefined",
        "Policy.shared.bulkhead p: alone must be an integer >= 0, got -1",
        "Policy.shared.bulkhead p: there is no option limit; there are fleet, alone"
      ]
    )
  })
})
