/** A fuse: it counts shorts, trips, pauses every caller, and stays broken when it is reset by hand. */
import { assert, describe, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Fuse, Policies } from "effect-resilience"

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const isDone = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.pollUnsafe() !== undefined

const exact = { shorts: 3, pause: "10 seconds", jitter: 0 } as const

describe("a fuse that resets itself", () => {
  it.effect("trips at its number of shorts, and the one that trips it pauses", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", exact)
      assert.deepStrictEqual([yield* fuse.short(), yield* fuse.short()], [false, false])
      const third = yield* fork(fuse.short())
      yield* TestClock.adjust("9999 millis")
      assert.isFalse(isDone(third))
      yield* TestClock.adjust(1)
      assert.isTrue(yield* Fiber.join(third))
      assert.deepInclude(yield* fuse.state, { shorts: 0, totalShorts: 3, trips: 1, broken: false })
      assert.isFalse(yield* fuse.short())
    })
  )

  it.effect("makes every other caller pause until the same moment, and counts none of them", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", exact)
      yield* fork(fuse.trip())
      yield* TestClock.adjust("4 seconds")
      const others = [yield* fork(fuse.short()), yield* fork(fuse.short())]
      yield* TestClock.adjust("5999 millis")
      assert.deepStrictEqual(others.map(isDone), [false, false])
      yield* TestClock.adjust(1)
      assert.deepStrictEqual(others.map(isDone), [true, true])
      assert.deepInclude(yield* fuse.state, { shorts: 0, trips: 1 })
    })
  )

  it.effect("pauses longer with each trip, up to the most, and from the beginning after resetBackoff", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", { ...exact, shorts: 1, factor: 2, maxPause: "30 seconds" })
      const pauses: Array<number> = []
      for (let trip = 0; trip < 4; trip++) {
        yield* fork(fuse.short())
        const { left } = yield* fuse.state
        pauses.push(Duration.toSeconds(left))
        yield* TestClock.adjust(left)
      }
      assert.deepStrictEqual(pauses, [10, 20, 30, 30])
      yield* fuse.resetBackoff
      assert.strictEqual(Duration.toSeconds((yield* fuse.state).pause), 10)
    })
  )

  it.effect("pauses as long as the dependency asked for, and never shorter", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", { ...exact, jitter: 0.5, shorts: 1 })
      yield* fork(fuse.short({ for: "1 minute" }))
      const left = Duration.toSeconds((yield* fuse.state).left)
      assert.isTrue(left >= 60 && left <= 90, `${left}`)
    })
  )

  it.effect("is reset by hand too: everyone that pauses goes on at once", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", exact)
      const paused = yield* fork(fuse.trip({ for: "1 hour" }))
      yield* fuse.reset
      yield* TestClock.adjust(0)
      assert.isTrue(isDone(paused))
    })
  )

  it.effect("spreads its pauses by the jitter", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", { ...exact, shorts: 1, jitter: 0.2 })
      const pauses = new Set<number>()
      for (let trip = 0; trip < 30; trip++) {
        pauses.add(Duration.toMillis(fuse.shortSync()))
        yield* fuse.reset
      }
      assert.isAbove(pauses.size, 20)
      for (const pause of pauses) assert.isTrue(pause >= 8000 && pause <= 12_000)
    })
  )

  it.effect("tells its changes, and awaitBroken returns at its next trip", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", { ...exact, shorts: 2 })
      const changes = yield* fork(Stream.runCollect(Stream.take(fuse.changes, 2)))
      const broke = yield* fork(fuse.awaitBroken)
      yield* fuse.short()
      yield* TestClock.adjust(0)
      assert.isFalse(isDone(broke))
      yield* fork(fuse.short())
      yield* TestClock.adjust(0)
      assert.isTrue(isDone(broke))
      yield* fuse.reset
      assert.deepStrictEqual(
        (yield* Fiber.join(changes)).map(({ left, trips }) => [trips, Duration.toSeconds(left)]),
        [
          [1, 10],
          [1, 0]
        ]
      )
    })
  )

  it.effect("has a form for code without Effect, which returns the pause and never blocks", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", { ...exact, shorts: 2 })
      const seconds = () => Duration.toSeconds(fuse.shortSync())
      assert.deepStrictEqual([seconds(), seconds()], [0, 10])
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(seconds(), 6)
      const broken = yield* Fuse.make("two", { shorts: 1, pause: 0, reset: "manual" })
      broken.shortSync()
      assert.strictEqual(broken.shortSync(), Duration.infinity)
    })
  )
})

describe("a fuse that is reset by hand", () => {
  it.effect("stays broken, and callers see it at once when the pause is over", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", { ...exact, shorts: 1, reset: "manual" })
      yield* fork(fuse.short())
      yield* TestClock.adjust("1 day")
      assert.isTrue((yield* fuse.state).broken)
      assert.isTrue(yield* fuse.short())
      yield* fuse.awaitBroken
      yield* fuse.reset
      assert.isFalse((yield* fuse.state).broken)
    })
  )

  it.effect("interrupts what runs under it, with its finalizers, and refuses to begin", () =>
    Effect.gen(function* () {
      const fuse = yield* Fuse.make("one", { shorts: 1, pause: 0, reset: "manual" })
      const ended: Array<string> = []
      const work = Effect.onInterrupt(Effect.never, () => Effect.sync(() => ended.push("finalizer")))
      const fiber = yield* fork(Effect.exit(fuse.untilBroken(work)))
      yield* fuse.trip()
      assert.deepStrictEqual(yield* Fiber.join(fiber), Exit.fail(new Fuse.FuseBroken({ fuse: "one" })))
      assert.deepStrictEqual(ended, ["finalizer"])
      assert.strictEqual((yield* Effect.flip(fuse.untilBroken(Effect.never)))._tag, "FuseBroken")
    })
  )

  it.effect("stops all workers of its layer together", () =>
    Effect.gen(function* () {
      class Disk extends Fuse.Service<Disk>()("test/Disk", { shorts: 2, pause: 0, reset: "manual" }) {}
      const stopped: Array<number> = []
      const worker = (n: number) => Effect.onInterrupt(Effect.never, () => Effect.sync(() => stopped.push(n)))
      const live = Disk.layerWorkers([1, 2, 3].map(worker)).pipe(Layer.provideMerge(Disk.layer))
      yield* Effect.gen(function* () {
        yield* Disk.short()
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(stopped, [])
        yield* Disk.short()
        yield* TestClock.adjust(0)
        assert.deepStrictEqual(stopped.toSorted(), [1, 2, 3])
      }).pipe(Effect.provide(live))
    })
  )
})

describe("the service", () => {
  it.effect("has options from Config, and is listed", () =>
    Effect.gen(function* () {
      class Slow extends Fuse.Service<Slow>()("test/Slow", exact) {}
      const source = ConfigProvider.fromUnknown({ slow: { shorts: 1, pause: "5 seconds" } })
      yield* Effect.gen(function* () {
        yield* fork(Slow.short())
        assert.strictEqual(Duration.toSeconds((yield* Slow.state).left), 5)
        const [entry] = yield* Policies.all
        assert.deepInclude(entry, { kind: "Fuse", name: "test/Slow" })
        assert.deepInclude(entry?.settings, { shorts: 1, initial: 5000 })
      }).pipe(
        Effect.provide(
          Slow.layerConfig("slow").pipe(Layer.provideMerge(Policies.layer), Layer.provide(ConfigProvider.layer(source)))
        )
      )
    })
  )

  it("refuses wrong options when it is declared", () => {
    const wrong = (options: object, message: RegExp) =>
      // Wrong on purpose.
      assert.throws(() => Fuse.Service<never>()("test/Wrong", { shorts: 3, ...options } as never), message)
    wrong({ shorts: 0 }, /Fuse test\/Wrong: shorts must be an integer >= 1, got 0/)
    wrong({ pause: -1 }, /pause must be/)
    wrong({ factor: 0.5 }, /factor must be/)
    wrong({ maxPause: "1 millis" }, /at least pause/)
    wrong({ jitter: 2 }, /jitter must be/)
    wrong({ reset: "never" }, /"auto" or "manual"/)
    wrong({ trips: 1 }, /there is no option trips/)
  })
})
