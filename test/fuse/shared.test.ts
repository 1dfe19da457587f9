/** A fuse that the processes of a fleet share, over a board in memory: each `make` is a process. */
import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Fuse, Shared } from "effect-resilience"

const fleetOf = (count: number, options: Omit<Fuse.Options, "shared">) =>
  Effect.forEach(Array.from({ length: count }), () => Fuse.make("fleet", { ...options, shared: true }))

const test = (title: string, run: () => Effect.Effect<void, unknown, any>) =>
  it.effect(title, () => run().pipe(Effect.scoped, Effect.provide(Shared.layerMemory)) as Effect.Effect<void>)

const beat = TestClock.adjust("2 seconds")

const leftOf = (fuse: Fuse.Fuse) => Effect.map(fuse.state, ({ left }) => Duration.toSeconds(left))

describe("a fuse of a fleet", () => {
  test("adds up the shorts of all, and pauses all of them", () =>
    Effect.gen(function* () {
      const fuses = yield* fleetOf(3, { shorts: 6, pause: "1 minute", jitter: 0 })
      for (const fuse of fuses) {
        yield* fuse.short()
        yield* fuse.short()
      }
      yield* beat
      const states = yield* Effect.forEach(fuses, (fuse) => fuse.state)
      assert.deepStrictEqual(
        states.map(({ trips }) => trips),
        [1, 1, 1]
      )
      for (const { left } of states) assert.isAbove(Duration.toSeconds(left), 55)
    }))

  test("pauses all when one trips, once, for the same time; and counts again after the pause", () =>
    Effect.gen(function* () {
      const fuses = yield* fleetOf(3, { shorts: 3, pause: "1 minute", jitter: 0 })
      const [first, second] = fuses
      yield* Effect.forkChild(first!.trip(), { startImmediately: true })
      yield* beat
      for (const fuse of fuses) {
        assert.isAtMost(Math.abs((yield* leftOf(fuse)) - 58), 1)
        assert.strictEqual((yield* fuse.state).trips, 1)
      }
      yield* TestClock.adjust("65 seconds")
      for (const fuse of fuses) assert.strictEqual(yield* leftOf(fuse), 0)
      yield* first!.short()
      yield* first!.short()
      yield* second!.short()
      yield* beat
      for (const fuse of fuses) assert.strictEqual((yield* fuse.state).trips, 2)
    }))

  test("that is reset by hand breaks in all, also in one that comes later, and is reset in all", () =>
    Effect.gen(function* () {
      const options = { shorts: 3, pause: 0, reset: "manual" } as const
      const fuses = yield* fleetOf(2, options)
      yield* fuses[0]!.trip()
      yield* beat
      const [late] = yield* fleetOf(1, options)
      yield* beat
      for (const fuse of [...fuses, late!]) assert.isTrue((yield* fuse.state).broken)
      yield* TestClock.adjust("10 minutes")
      for (const fuse of [...fuses, late!]) assert.isTrue((yield* fuse.state).broken)
      yield* late!.reset
      yield* beat
      for (const fuse of [...fuses, late!]) assert.isFalse((yield* fuse.state).broken)
      yield* fuses[1]!.trip()
      yield* beat
      for (const fuse of [...fuses, late!]) assert.isTrue((yield* fuse.state).broken)
    }))

  it.effect("does as well as alone without its board", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("alone", { shorts: 2, pause: "10 seconds", jitter: 0, shared: true })
      assert.isFalse(yield* fuse.short())
      yield* Effect.forkChild(fuse.short(), { startImmediately: true })
      assert.strictEqual(yield* leftOf(fuse), 10)
      yield* TestClock.adjust("11 seconds")
      assert.isFalse(yield* fuse.short())
    }).pipe(
      Effect.scoped,
      Effect.provideService(Shared.Board, {
        name: "gone",
        sync: () => Effect.fail(new Shared.BoardError({ cause: "gone" })),
        pushes: () => Effect.void
      })
    )
  )
})
