import { assert, describe, it } from "@effect/vitest"
import { Model } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as TestClock from "effect/testing/TestClock"

interface Counter {
  n: number
}

const command = Model.command<Counter, Counter>()

/** The real one wraps around at `wraps`. */
const counter = (wraps: number): Model.Model<Counter, Counter> => ({
  name: "counter",
  initial: () => ({ n: 0 }),
  real: Effect.sync(() => ({ n: 0 })),
  commands: {
    add: command({
      input: Model.integer(1, 9),
      weight: 3,
      next: (model, by) => {
        model.n += by
      },
      run: (real, by) =>
        Effect.sync(() => {
          real.n = real.n + by >= wraps ? 0 : real.n + by
        })
    }),
    read: command({
      input: Model.none,
      next: (model) => model.n,
      run: (real) => Effect.succeed(real.n)
    }),
    reset: command({
      input: Model.none,
      when: ({ n }) => n > 0,
      next: (model) => {
        model.n = 0
      },
      run: (real) =>
        Effect.sync(() => {
          real.n = 0
        })
    })
  },
  expected: ({ n }) => n,
  actual: ({ n }) => Effect.succeed(n)
})

describe("Model.check", () => {
  it.effect("finds what needs a long sequence, and leaves nothing in it that is not needed", () =>
    Effect.gen(function* () {
      const found = yield* Effect.flip(Model.check(counter(20)))
      const sum = found.calls.reduce((sum, [, by]) => sum + (by as number), 0)
      assert.isTrue(found.calls.every(([name]) => name === "add"))
      assert.strictEqual(sum, 20)
      assert.deepStrictEqual([found.where, found.expected, found.actual], ["state", 20, 0])
    })
  )

  it.effect("passes what is right, and tells what it has done", () =>
    Effect.gen(function* () {
      const passed = yield* Model.check(counter(Infinity), { runs: 50 })
      assert.strictEqual(passed.runs, 50)
      assert.deepStrictEqual(Object.keys(passed.commands).sort(), ["add", "read", "reset"])
      assert.isAbove(passed.steps, 500)
    })
  )

  it.effect("does the same again for the same seed, and something else for another", () =>
    Effect.gen(function* () {
      const check = (seed: number) => Effect.flip(Model.check(counter(20), { seed }))
      const [one, again, other] = [yield* check(7), yield* check(7), yield* check(8)]
      assert.deepStrictEqual(again.calls, one.calls)
      assert.notDeepEqual(other.calls, one.calls)
    })
  )

  it.effect("prints how to see it again, and that shows it", () =>
    Effect.gen(function* () {
      const found = yield* Effect.flip(Model.check(counter(9), { seed: 3 }))
      assert.include(found.message, "counter: the state of the real system differs from the model")
      assert.include(found.message, "0, but the model expects")
      assert.include(found.message, "Model.check(model, { seed: 3 })")
      assert.include(
        found.message,
        `Model.replay(model, [${found.calls.map(([name, by]) => `["${name}", ${by}]`).join(", ")}], { seed: 3 })`
      )
      const replayed = yield* Effect.flip(Model.replay(counter(9), found.calls))
      assert.deepStrictEqual(replayed.calls, found.calls)
      assert.strictEqual((yield* Model.replay(counter(Infinity), found.calls)).length, found.calls.length)
    })
  )

  it.effect("takes a defect, a failure and a thing that cannot be made for a divergence", () =>
    Effect.gen(function* () {
      const model = counter(Infinity)
      const failing = (run: Effect.Effect<unknown, unknown>): Model.Model<Counter, Counter> => ({
        ...model,
        commands: { read: command({ input: Model.none, next: () => undefined, run: () => run }) }
      })
      for (const run of [Effect.die("a bug"), Effect.fail("a bug")]) {
        const found = yield* Effect.flip(Model.check(failing(run)))
        assert.strictEqual(found.where, "failure")
        assert.include(String(found.actual), "a bug")
        assert.deepStrictEqual(found.calls, [["read"]])
      }
      const unmade = yield* Effect.flip(Model.check({ ...model, real: Effect.fail("no") }))
      assert.strictEqual(unmade.where, "failure")
    })
  )

  it.effect("gives each run a clock of its own, at zero, and closes what the run has opened", () =>
    Effect.gen(function* () {
      let open = 0
      let most = 0
      const clock: Model.Model<Counter, Counter> = {
        ...counter(Infinity),
        real: Effect.acquireRelease(
          Effect.sync(() => {
            most = Math.max(most, ++open)
            return { n: 0 }
          }),
          () =>
            Effect.sync(() => {
              open -= 1
            })
        ),
        commands: {
          wait: command({
            input: Model.integer(0, 1000),
            next: (model, millis) => {
              model.n += millis
            },
            run: (_, millis) => TestClock.adjust(millis)
          })
        },
        actual: () => TestClock.testClockWith((clock) => clock.currentTimeMillis)
      }
      yield* Model.check(clock, { runs: 20 })
      assert.deepStrictEqual([open, most], [0, 1])
    })
  )
})

describe("Model.callers", () => {
  it.effect("begin, end and are interrupted one by one", () =>
    Effect.gen(function* () {
      const callers = Model.callers<string, string>(3)
      const doing = () => callers.view.map(({ doing, last }) => last ?? doing)
      for (const caller of [0, 1, 2]) yield* callers.begin(caller, (work) => work)
      assert.deepStrictEqual(doing(), ["working", "working", "working"])
      yield* callers.end(1, Exit.succeed("ok"))
      yield* callers.interrupt(0)
      yield* callers.end(2, Exit.die("bug"))
      yield* Effect.yieldNow
      assert.deepStrictEqual(doing(), ["interrupted", "ok", "defect"])
      yield* callers.begin(0, (work) => Effect.andThen(Effect.sleep(5), Effect.retry(work, { times: 1 })))
      assert.strictEqual(callers.view[0]?.doing, "waiting")
      yield* TestClock.adjust(5)
      yield* callers.end(0, Exit.fail("no"))
      yield* Effect.yieldNow
      assert.deepStrictEqual(callers.view[0], { doing: "working", last: undefined, attempts: 2 })
    })
  )
})
