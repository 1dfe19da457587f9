import { assert, describe, it } from "@effect/vitest"
import { Engine } from "@effect-resilience/lab"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"

const trace = (seed: number): ReadonlyArray<string> => {
  const world = Engine.make({ seed })
  const seen: Array<string> = []
  const sleeper = (name: string) =>
    Effect.gen(function* () {
      for (let i = 0; i < 20; i++) {
        yield* Effect.sleep(Math.floor((yield* Random.next) * 10))
        seen.push(`${name} ${yield* Clock.currentTimeMillis}`)
        yield* Effect.yieldNow
      }
    })
  for (const name of ["a", "b", "c"]) world.fork(sleeper(name))
  world.runUntil(1000)
  return seen
}

describe("a world", () => {
  it("has events in the order of time, and of asking within a moment", () => {
    const world = Engine.make({ seed: 1 })
    const seen: Array<string> = []
    const note = (what: string) => () => {
      seen.push(`${what} ${world.now}`)
    }
    world.after(5, note("late"))
    world.after(2, note("first"))
    world.after(2, () => {
      note("second")()
      world.after(0, note("after all of that moment"))
    })
    world.after(2, note("third"))
    world.after(1, note("never")).cancel()
    assert.isTrue(world.runUntil(4))
    assert.deepStrictEqual(seen, ["first 2", "second 2", "third 2", "after all of that moment 2"])
    assert.strictEqual(world.now, 4)
    assert.isFalse(world.runUntil(5))
    assert.strictEqual(seen.at(-1), "late 5")
  })

  it("keeps the order with ten thousand events", () => {
    const world = Engine.make({ seed: 1 })
    const random = world.random("times")
    const seen: Array<readonly [number, number]> = []
    for (let i = 0; i < 10_000; i++) {
      const at = Math.floor(random() * 500)
      world.after(at, () => seen.push([at, i]))
    }
    world.runUntil(500)
    assert.deepStrictEqual(
      seen,
      [...seen].sort(([a, i], [b, j]) => a - b || i - j)
    )
    assert.strictEqual(seen.length, 10_000)
  })

  it("is the clock of its fibers, monotonic and wall", () => {
    const world = Engine.make({ seed: 1, epoch: 1_000_000 })
    const fiber = world.fork(
      Effect.gen(function* () {
        const begin = yield* Clock.monotonicTimeNanos
        yield* Effect.sleep("1500 micros")
        return [yield* Clock.currentTimeMillis, Number((yield* Clock.monotonicTimeNanos) - begin)]
      })
    )
    world.runUntil(10)
    assert.deepStrictEqual(fiber.pollUnsafe(), Exit.succeed([1_000_001.5, 1_500_000]))
  })

  it("forgets the sleep of a fiber that is interrupted", () => {
    const world = Engine.make({ seed: 1 })
    let woke = false
    const sleeping = world.fork(
      Effect.andThen(
        Effect.sleep("1 hour"),
        Effect.sync(() => {
          woke = true
        })
      )
    )
    world.fork(Effect.delay(Fiber.interrupt(sleeping), "1 second"))
    world.runUntil(2000)
    assert.isTrue(Exit.hasInterrupts(sleeping.pollUnsafe() ?? Exit.void))
    world.runUntil(4_000_000)
    assert.isFalse(woke)
  })

  it("goes on within the moment when a fiber yields, and serves many in turn", () => {
    const world = Engine.make({ seed: 1 })
    const seen: Array<string> = []
    const turns = (name: string) =>
      Effect.repeat(
        Effect.andThen(
          Effect.sync(() => seen.push(name)),
          Effect.yieldNow
        ),
        { times: 2 }
      )
    world.fork(turns("a"))
    world.fork(turns("b"))
    world.runUntil(0)
    assert.deepStrictEqual(seen, ["a", "b", "a", "b", "a", "b"])
  })

  it("is the same for the same seed, and another for another", () => {
    assert.deepStrictEqual(trace(7), trace(7))
    assert.notDeepEqual(trace(7), trace(8))
  })

  it("has streams of chance that do not disturb each other", () => {
    const draw = (world: Engine.Engine, name: string) => Array.from({ length: 5 }, world.random(name))
    const one = Engine.make({ seed: 1 })
    draw(one, "other")
    assert.deepStrictEqual(draw(one, "this"), draw(Engine.make({ seed: 1 }), "this"))
    assert.notDeepEqual(draw(one, "this"), draw(one, "that"))
    const next = one.random("mean")
    const mean = Array.from({ length: 100_000 }, next).reduce((sum, x) => sum + x, 0) / 100_000
    assert.closeTo(mean, 0.5, 0.003)
  })

  it("refuses a seed that is no integer", () => {
    assert.throws(() => Engine.make({ seed: 0.5 }), /Engine.make: seed must be an integer, got 0.5/)
  })
})
