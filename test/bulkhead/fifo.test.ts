import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead } from "effect-resilience"
import { start } from "../support/observe.ts"

const small = (least: number, most: number) => Schema.Int.check(Schema.isBetween({ minimum: least, maximum: most }))

const Command = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("call"), millis: small(0, 20) }),
  Schema.Struct({ _tag: Schema.Literal("interrupt"), who: small(0, 40) }),
  Schema.Struct({ _tag: Schema.Literal("resize"), to: small(1, 5) }),
  Schema.Struct({ _tag: Schema.Literal("wait"), millis: small(1, 10) })
])

describe("Bulkhead, first come first served", () => {
  it.effect.prop(
    "a later caller never overtakes, and no permit is free while a call waits",
    [Schema.Array(Command)],
    ([commands]) =>
      Effect.gen(function* () {
        let limit = 2
        const bulkhead = yield* Bulkhead.make("fifo", { maxConcurrent: limit, maxQueued: 1000 })
        const waiting = new Set<number>()
        let inside = 0
        const fibers: Array<Fiber.Fiber<unknown, unknown>> = []
        const work = (who: number, millis: number) =>
          Effect.acquireUseRelease(
            Effect.sync(() => {
              for (const other of waiting) assert.isAtLeast(other, who, `${who} overtook ${other}`)
              waiting.delete(who)
              inside += 1
            }),
            () => Effect.sleep(millis),
            () =>
              Effect.sync(() => {
                inside -= 1
              })
          )
        for (const command of commands) {
          switch (command._tag) {
            case "call": {
              const who = fibers.length
              waiting.add(who)
              const call = bulkhead.protect(work(who, command.millis))
              fibers.push(
                yield* start(
                  Effect.ensuring(
                    call,
                    Effect.sync(() => waiting.delete(who))
                  )
                )
              )
              break
            }
            case "interrupt": {
              const fiber = fibers[command.who]
              if (fiber !== undefined) yield* Fiber.interrupt(fiber)
              break
            }
            case "resize":
              limit = command.to
              yield* bulkhead.resize(limit)
              break
            case "wait":
              yield* TestClock.adjust(command.millis)
          }
          // A caller that ends at once hands its permit on: the row settles in at most one step per caller.
          for (let step = 0; step <= fibers.length; step++) yield* TestClock.adjust(0)
          const state = yield* bulkhead.state()
          assert.deepStrictEqual(state, { running: inside, waiting: waiting.size, maxConcurrent: limit })
          assert.isTrue(waiting.size === 0 || inside >= limit, `${waiting.size} wait beside a free permit`)
        }
        yield* TestClock.adjust("1 hour")
        for (const fiber of fibers) assert.isDefined(fiber.pollUnsafe())
        assert.deepStrictEqual(yield* bulkhead.state(), { running: 0, waiting: 0, maxConcurrent: limit })
      }),
    { arbitrary: { runs: 60, size: 40, seed: 1 } }
  )

  it.effect("a call that arrives while a permit is released queues behind those that wait", () =>
    Effect.gen(function* () {
      const order: Array<string> = []
      const bulkhead = yield* Bulkhead.make("one", { maxConcurrent: 1, maxQueued: 9 })
      const call = (name: string) => bulkhead.protect(Effect.sync(() => order.push(name)))
      const first = yield* start(bulkhead.protect(Effect.sleep("1 second")))
      const second = yield* start(call("second"))
      // Runs in the very step in which the first gives its permit back.
      first.addObserver(() => {
        Effect.runFork(call("third"))
      })
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(second)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(order, ["second", "third"])
    })
  )

  it.effect("resize admits the first waiters up to the new limit, and interrupts no call", () =>
    Effect.gen(function* () {
      const order: Array<number> = []
      const bulkhead = yield* Bulkhead.make("resized", { maxConcurrent: 1, maxQueued: 9 })
      const call = (who: number) =>
        bulkhead.protect(
          Effect.andThen(
            Effect.sync(() => order.push(who)),
            Effect.sleep("1 second")
          )
        )
      for (const who of [1, 2, 3, 4, 5, 6]) yield* start(call(who))
      yield* bulkhead.resize(3)
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(order, [1, 2, 3])
      yield* bulkhead.resize(1)
      assert.deepStrictEqual(yield* bulkhead.state(), { running: 3, waiting: 3, maxConcurrent: 1 })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(order, [1, 2, 3, 4])
      assert.deepStrictEqual(yield* bulkhead.state(), { running: 1, waiting: 2, maxConcurrent: 1 })
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(order, [1, 2, 3, 4, 5, 6])
    })
  )

  it.effect("twenty thousand waiters that end at once are woken in order, without recursion", () =>
    Effect.gen(function* () {
      const n = 20_000
      const bulkhead = yield* Bulkhead.make("many", { maxConcurrent: 1, maxQueued: n })
      let next = 0
      let deepest = 0
      let depth = 0
      const holder = yield* start(bulkhead.protect(Effect.sleep("1 second")))
      const fibers: Array<Fiber.Fiber<void>> = []
      for (let i = 0; i < n; i++) {
        const work = Effect.sync(() => {
          depth += 1
          deepest = Math.max(deepest, depth)
          assert.strictEqual(next, i)
          next += 1
        })
        const fiber = yield* start(Effect.orDie(bulkhead.protect(work)))
        // An observer runs when its fiber has ended: later than that of a fiber that was woken inside it.
        fiber.addObserver(() => {
          depth -= 1
        })
        fibers.push(fiber)
      }
      yield* TestClock.adjust("1 second")
      yield* Fiber.awaitAll([holder, ...fibers])
      assert.strictEqual(next, n)
      assert.strictEqual(deepest, 1)
    })
  )
})
