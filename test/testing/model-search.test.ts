import { assert, describe, it } from "@effect/vitest"
import { Model } from "@effect-resilience/testing"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

interface Lift {
  floor: number
  doors: "open" | "closed"
}

const command = Model.command<Lift, Lift>()

/** A lift whose real one misses the top floor. */
const lift = (top: number): Model.Model<Lift, Lift> => ({
  name: "lift",
  initial: () => ({ floor: 0, doors: "closed" }),
  real: Effect.sync((): Lift => ({ floor: 0, doors: "closed" })),
  commands: {
    close: command({
      input: Model.none,
      when: ({ doors }) => doors === "open",
      next: (model) => void Object.assign(model, { doors: "closed" }),
      run: (real) => Effect.sync(() => void Object.assign(real, { doors: "closed" }))
    }),
    open: command({
      input: Model.none,
      when: ({ doors }) => doors === "closed",
      next: (model) => void Object.assign(model, { doors: "open" }),
      run: (real) => Effect.sync(() => void Object.assign(real, { doors: "open" }))
    }),
    move: command({
      input: Model.oneOf(1, -1),
      when: ({ doors, floor }, by) => doors === "closed" && floor + by >= 0,
      next: (model, by) => void Object.assign(model, { floor: model.floor + by }),
      run: (real, by) => Effect.sync(() => void Object.assign(real, { floor: Math.min(top, real.floor + by) }))
    })
  },
  expected: (model) => ({ ...model }),
  actual: (real) => Effect.succeed({ ...real })
})

const refusal = (check: Effect.Effect<unknown, unknown>): Effect.Effect<string> =>
  Effect.map(Effect.exit(check), (exit) => (Exit.isFailure(exit) ? String(Cause.squash(exit.cause)) : "passed"))

describe("the search of a model", () => {
  it.effect("runs what `when` allows, reaches what is seldom, and shrinks to the least", () =>
    Effect.gen(function* () {
      const found = yield* Effect.flip(Model.check(lift(6), { runs: 1000 }))
      assert.deepStrictEqual(
        found.calls,
        Array.from({ length: 7 }, () => ["move", 1])
      )
    })
  )

  it.effect("the seed shows the same with any number of runs", () =>
    Effect.gen(function* () {
      const first = yield* Effect.flip(Model.check(lift(3), { seed: 5, length: 20 }))
      assert.include(first.message, "Model.check(model, { seed: 5, length: 20 })")
      for (const runs of [first.runs, 150, 1000]) {
        const again = yield* Effect.flip(Model.check(lift(3), { seed: 5, length: 20, runs }))
        assert.deepStrictEqual([again.runs, again.calls], [first.runs, first.calls])
      }
    })
  )

  it.effect("prints inputs that JSON has no form for", () =>
    Effect.gen(function* () {
      const dates = Model.oneOf(new Date(0), new Date(1))
      const model: Model.Model<null, null> = {
        name: "dates",
        initial: () => null,
        real: Effect.succeed(null),
        commands: {
          at: Model.command<null, null>()({ input: dates, next: () => 0, run: () => Effect.succeed(1) })
        },
        expected: () => null,
        actual: () => Effect.succeed(null)
      }
      assert.include((yield* Effect.flip(Model.check(model))).message, 'Model.replay(model, [["at", new Date(0)]])')
    })
  )

  it.effect("a program that does not end is found, with the command that it belongs to", () =>
    Effect.gen(function* () {
      const hangs: Model.Model<Lift, Lift> = {
        ...lift(Infinity),
        commands: {
          ...lift(Infinity).commands,
          open: command({
            input: Model.none,
            next: (model) => void Object.assign(model, { doors: "open" }),
            run: () => Effect.uninterruptible(Effect.never)
          })
        }
      }
      const found = yield* Effect.flip(Model.check(hangs, { timeLimit: "200 millis" }))
      assert.deepStrictEqual([found.where, found.calls], ["time", [["open"]]])
      assert.include(found.message, '`run` of "open" had not ended after 200ms, and was stopped')
      const again = yield* Effect.flip(Model.replay(hangs, found.calls, { timeLimit: "20 millis" }))
      assert.strictEqual(again.where, "time")
      const actual = yield* Effect.flip(
        Model.check({ ...lift(9), actual: () => Effect.sleep(1) }, { timeLimit: "200 millis" })
      )
      assert.include(actual.message, "`actual` had not ended after 200ms")
    })
  )

  it.effect("refuses what checks nothing", () =>
    Effect.gen(function* () {
      const never: Model.Model<Lift, Lift> = {
        ...lift(Infinity),
        commands: {
          ...lift(Infinity).commands,
          fly: command({ input: Model.none, when: () => false, next: () => 0, run: () => Effect.succeed(0) })
        }
      }
      assert.include(yield* refusal(Model.check(never)), 'Model: lift: nothing was checked of "fly"')
      const { fly } = never.commands
      assert.include(
        yield* refusal(Model.check({ ...never, commands: { fly: fly as Model.Command<Lift, Lift, unknown> } })),
        "nothing was checked"
      )
      assert.include(yield* refusal(Model.replay(never, [["fly"]])), "nothing was replayed")
      assert.include(yield* refusal(Model.replay(never, [["dive"]])), "there is no command dive; there are close, open")
    })
  )

  it("refuses options that make no sense", () => {
    assert.throws(
      () => Model.integer(5, 1),
      "Model.integer: maximum must be an integer >= 5, which is its minimum, got 1"
    )
    assert.throws(() => Model.integer(0.5, 1), "Model.integer: minimum must be an integer, got 0.5")
    assert.throws(() => Model.check(lift(1), { runs: 0 }), "Model: lift: runs must be an integer >= 1, got 0")
    assert.throws(() => Model.check(lift(1), { length: 0 }), "Model: lift: length must be an integer >= 1, got 0")
    assert.throws(() => Model.check(lift(1), { timeLimit: 0 }), "Model: lift: timeLimit must be above zero")
  })
})
