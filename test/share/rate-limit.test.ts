import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Option, Result, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type Event, Policy, type Rejection, Shared } from "effect-resilience"
import { cut, cuttable } from "../support/board.ts"
import { refusal } from "../support/refusal.ts"

const options = {
  rateLimit: { limit: 100, window: "1 second", burst: 10 },
  shared: { rateLimit: { fleet: 20, alone: 2 } }
} as const

type Member = Policy.Policy<"rateLimit">

const members = (n: number) => Effect.all(Array.from({ length: n }, () => Policy.make("payments", options)))

const inFleet = <A, E, R>(self: Effect.Effect<A, E, R>) => self.pipe(Effect.scoped, Effect.provide(Shared.layerMemory))

/** Lets every member try to start a call every 10 milliseconds. Returns how many of each started. */
const hammer = Effect.fnUntraced(function* (all: ReadonlyArray<Member>, millis: number) {
  const started = all.map(() => 0)
  for (let i = 0; i < millis; i += 10) {
    for (const [at, member] of all.entries()) {
      const call = Effect.sync(() => {
        started[at]! += 1
      })
      yield* Effect.forkChild(Effect.exit(call.pipe(member.protect)), { startImmediately: true })
    }
    yield* TestClock.adjust("10 millis")
  }
  return started
})

const sum = (counts: ReadonlyArray<number>): number => counts.reduce((all, count) => all + count, 0)

describe("a rate limit of a fleet", () => {
  it.effect("starts `fleet` calls per window in all processes together, and as many when they are wanted", () =>
    inFleet(
      Effect.gen(function* () {
        const all = yield* members(4)
        // A tenth of a window is saved up, and one for each member and the board.
        const first = yield* hammer(all, 5000)
        assert.isAtMost(sum(first), 20 * 5 + 2 + 5)
        const second = yield* hammer(all, 5000)
        assert.isAtMost(sum(second), 20 * 5 + 2 + 5)
        assert.isAtLeast(sum(second), 95)
        for (const count of second) assert.isAtLeast(count, 20)
      })
    )
  )

  it.effect("lets a call of a process that has no token wait for one answer of the board", () =>
    inFleet(
      Effect.gen(function* () {
        const [member] = yield* members(1)
        yield* member!.protect(Effect.void)
        const call = yield* Effect.forkChild(member!.protect(Effect.succeed("done")), { startImmediately: true })
        yield* TestClock.adjust("10 millis")
        assert.strictEqual(yield* Fiber.join(call), "done")
      })
    )
  )

  it.effect("needs no report for a call that comes now and then", () =>
    inFleet(
      Effect.gen(function* () {
        const { board, state } = yield* cuttable
        const member = yield* Effect.provideService(Policy.make("payments", options), Shared.Board, board)
        for (let i = 0; i < 20; i++) {
          yield* TestClock.adjust("3 seconds")
          // Without a wait.
          assert.strictEqual(yield* member.protect(Effect.succeed("done")), "done")
        }
        assert.isAtMost(state.reports, 65)
      })
    )
  )

  it.effect("rejects with the reason `fleet` when the others use all, and shows the share", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* members(2)
        yield* hammer([here!], 3000)
        const rejected = yield* Effect.forkChild(
          Effect.flip(Effect.forever(there!.protect(Effect.void), { disableYield: true })),
          { startImmediately: true }
        )
        yield* TestClock.adjust("100 millis")
        const rejection = (yield* Fiber.join(rejected)) as Rejection.RateLimited
        assert.deepInclude(rejection, { _tag: "RateLimited", reason: "fleet", by: "fleet", limit: 100 })
        assert.match(
          rejection.message,
          /^payments: the fleet leaves no token of its rate limit; the next call can start in /
        )
        assert.strictEqual((yield* there!.stats()).rateLimit?.limit, 100)
        const fleet = yield* here!.fleet
        assert.deepInclude(fleet?.rates[0], { key: "default", fleet: 20 })
        assert.isAbove(fleet!.rates[0]!.here, 9)
        assert.approximately((yield* here!.stats()).rateLimit!.share!, fleet!.rates[0]!.here, 0.1)
      })
    )
  )

  it.effect("emits an event when a part of the rate is given back because others want some", () =>
    inFleet(
      Effect.gen(function* () {
        const [here, there] = yield* members(2)
        const heard: Array<Event.Event> = []
        yield* here!.events.pipe(
          Stream.runForEach((event) => Effect.sync(() => heard.push(event))),
          Effect.forkChild({ startImmediately: true })
        )
        yield* hammer([here!], 3000)
        yield* hammer([here!, there!], 3000)
        const [lowered] = heard.filter((event) => event._tag === "RateLowered")
        assert.deepInclude(lowered, { policy: "payments", key: "default", before: 20 })
        assert.isBelow(lowered?._tag === "RateLowered" ? lowered.limit : Infinity, 20)
      })
    )
  )

  it.effect("does not lift the limit of the process", () =>
    inFleet(
      Effect.gen(function* () {
        const member = yield* Policy.make("payments", {
          rateLimit: { limit: 5, window: "1 second" },
          shared: { rateLimit: { fleet: 1000 } }
        })
        assert.isAtMost(sum(yield* hammer([member], 4000)), 25)
        // It has one left from the last tenth of a second at most.
        const calls = yield* Effect.all([member.protect(Effect.void), member.protect(Effect.void)].map(Effect.result))
        const rejection = Option.getOrThrow(Result.getFailure(calls[1]!)) as Rejection.RateLimited
        assert.deepInclude(rejection, { reason: "limit", by: "self" })
      })
    )
  )

  it.effect("has a rate for each key", () =>
    inFleet(
      Effect.gen(function* () {
        const [member] = yield* members(1)
        const started = { a: 0, b: 0 }
        for (let i = 0; i < 200; i++) {
          for (const key of ["a", "b"] as const) {
            const call = Effect.sync(() => {
              started[key] += 1
            })
            yield* Effect.forkChild(Effect.exit(call.pipe(member!.protect({ key }))), { startImmediately: true })
          }
          yield* TestClock.adjust("20 millis")
        }
        for (const count of Object.values(started)) {
          assert.isAtMost(count, 80 + 4)
          assert.isAtLeast(count, 60)
        }
      })
    )
  )

  it.effect("serves those that wait in the order of arrival, at the rate of the fleet", () =>
    inFleet(
      Effect.gen(function* () {
        const member = yield* Policy.make("payments", {
          ...options,
          rateLimit: { ...options.rateLimit, maxWait: "10 seconds" }
        })
        const order: Array<number> = []
        for (let i = 0; i < 40; i++) {
          yield* Effect.forkChild(Effect.sync(() => order.push(i)).pipe(member.protect), { startImmediately: true })
        }
        yield* TestClock.adjust("1 second")
        assert.isAtMost(order.length, 20 + 4)
        yield* TestClock.adjust("2 seconds")
        assert.deepStrictEqual(
          order,
          Array.from({ length: 40 }, (_, i) => i)
        )
      })
    )
  )

  it.effect("goes on with the share that is kept for it when it is cut off, and the others with the rest", () =>
    inFleet(
      Effect.gen(function* () {
        const { board, state } = yield* cuttable
        const [there] = yield* members(1)
        const here = yield* Effect.provideService(Policy.make("payments", options), Shared.Board, board)
        yield* hammer([here, there!], 5000)
        state.isUp = false
        yield* hammer([here, there!], 6000)
        assert.isFalse((yield* here.fleet)?.inTouch)
        const [alone, rest] = yield* hammer([here, there!], 10_000)
        assert.isAtMost(alone! + rest!, 200 + 5)
        // A quarter is kept for it: half, shared by two.
        assert.isAtLeast(alone!, 45)
        assert.isAtMost(alone!, 52)
        assert.isAtLeast(rest!, 140)
        // It has been forgotten: then it has its rate alone, on top.
        yield* hammer([here, there!], 20_000)
        const [forgotten, all] = yield* hammer([here, there!], 10_000)
        assert.isAtMost(forgotten!, 22)
        assert.isAtLeast(all!, 190)
      })
    )
  )

  it.effect("starts `alone` calls per window without a board", () =>
    Effect.gen(function* () {
      const board = Shared.Board.of({ name: "broken", sync: () => cut, pushes: () => Effect.void })
      const member = yield* Effect.provideService(Policy.make("payments", options), Shared.Board, board)
      assert.strictEqual(yield* member.protect(Effect.succeed("done")), "done")
      const [started] = yield* hammer([member], 5000)
      assert.isAtMost(started!, 11)
      assert.isAtLeast(started!, 9)
    }).pipe(Effect.scoped)
  )

  it.effect("gives the part of a process that died to the others", () =>
    inFleet(
      Effect.gen(function* () {
        const { board, state } = yield* cuttable
        const dying = yield* Effect.provideService(Policy.make("payments", options), Shared.Board, board)
        const [there] = yield* members(1)
        yield* hammer([dying], 3000)
        state.isUp = false
        yield* hammer([there!], 6000)
        const [started] = yield* hammer([there!], 4000)
        // What is kept for the one that died is half of the rate.
        assert.isAtLeast(started!, 35)
      })
    )
  )

  it.effect("keeps no token of the fleet in a snapshot, and leaves that of its own limit in it", () =>
    inFleet(
      Effect.gen(function* () {
        const [member] = yield* members(1)
        yield* hammer([member!], 200)
        const { rateLimit } = yield* member!.snapshot
        const [key] = rateLimit!.keys
        assert.isAbove(key!.tokens, 2)
        yield* member!.restore(yield* member!.snapshot)
        assert.isAtMost(sum(yield* hammer([member!], 4000)), 80 + 4)
      })
    )
  )

  it.effect("admits a consumer when the fleet would leave it a token", () =>
    inFleet(
      Effect.gen(function* () {
        const [member] = yield* members(1)
        yield* hammer([member!], 3000)
        let taken = 0
        const consumer = Effect.forever(
          Effect.andThen(
            member!.admitted(),
            Effect.ignore(
              member!.protect(
                Effect.sync(() => {
                  taken += 1
                })
              )
            )
          )
        )
        const running = yield* Effect.forkChild(consumer, { startImmediately: true })
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.interrupt(running)
        assert.isAtLeast(taken, 30)
        assert.isAtMost(taken, 44)
      })
    )
  )

  it.effect("rejects a call for which the board has no answer within 50 milliseconds", () =>
    Effect.gen(function* () {
      const silent = yield* Deferred.make<never>()
      const memory = yield* Shared.Board
      let isSilent = false
      const board = Shared.Board.of({
        ...memory,
        sync: (scope, report) => (isSilent ? Deferred.await(silent) : memory.sync(scope, report))
      })
      const member = yield* Effect.provideService(
        Policy.make("payments", { ...options, shared: { rateLimit: { fleet: 20, alone: 0 } } }),
        Shared.Board,
        board
      )
      isSilent = true
      const call = yield* Effect.forkChild(Effect.flip(member.protect(Effect.void)), { startImmediately: true })
      yield* TestClock.adjust("49 millis")
      assert.isUndefined(call.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.deepInclude(yield* Fiber.join(call), { _tag: "RateLimited", reason: "fleet" })
      isSilent = false
    }).pipe(Effect.scoped, Effect.provide(Shared.layerMemory))
  )

  it("needs a rate limit, and numbers in range", () => {
    // @ts-expect-error The compiler refuses most of them.
    const refused = (options: object) => refusal(() => Policy.make("p", options))
    assert.deepStrictEqual(
      [
        { timeout: "1 second", shared: { rateLimit: { fleet: 3 } } },
        { ...options, shared: { rateLimit: {} } },
        { ...options, shared: { rateLimit: { fleet: 3, alone: -1 } } },
        { ...options, shared: { rateLimit: { limit: 3 } } }
      ].map(refused),
      [
        "Policy.shared p: rateLimit needs the rateLimit of the policy, got none",
        "Policy.shared.rateLimit p: fleet must be an integer >= 1, got undefined",
        "Policy.shared.rateLimit p: alone must be an integer >= 0, got -1",
        "Policy.shared.rateLimit p: there is no option limit; there are fleet, alone"
      ]
    )
  })
})
