import { assert, describe, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as PartitionedSemaphore from "effect/PartitionedSemaphore"
import * as Semaphore from "effect/Semaphore"
import * as TestClock from "effect/testing/TestClock"

/** A lock of one permit, whose `use` may or may not leak. */
const lock = (use: (lock: { held: number }) => (work: Effect.Effect<void>) => Effect.Effect<void>) =>
  Effect.sync(() => {
    const state = { held: 0 }
    return { state, use: use(state) }
  })

const add = (n: number) => (state: { held: number }) =>
  Effect.sync(() => {
    state.held += n
  })
const take = add(1)
const give = add(-1)

/** Takes its permit before the frame that gives it back: interruption in between loses it. */
const takesFirst = lock((state) => (work) => Effect.andThen(take(state), Effect.ensuring(work, give(state))))

/** Gives back when the work succeeds, and only then. */
const forgetsFailure = lock((state) => (work) => Effect.andThen(Effect.andThen(take(state), work), give(state)))

const sound = lock(
  (state) => (work) =>
    Effect.acquireUseRelease(
      take(state),
      () => work,
      () => give(state)
    )
)

const swept = (setup: typeof sound, work = Sweep.turns(2)) => ({
  setup,
  program: ({ use }: Effect.Success<typeof sound>) => use(work),
  invariant: ({ state }: Effect.Success<typeof sound>) =>
    Effect.sync(() => assert.strictEqual(state.held, 0, "a permit was lost"))
})

describe("Sweep", () => {
  it.effect("finds a permit taken before it can be given back, and nothing in one that is sound", () =>
    Effect.gen(function* () {
      const violation = yield* Effect.flip(Sweep.run(swept(takesFirst)))
      assert.strictEqual(violation.reason, "the invariant does not hold")
      assert.match(violation.message, /when interrupted at \{ contended: false, budget: 3, .*a permit was lost/)
      const { ended, interrupted, runs } = yield* Sweep.run(swept(sound))
      // One run per alignment came to its end: three with a budget of 3, four with 4, five with 5.
      assert.strictEqual(ended, 12)
      assert.isAbove(interrupted, 20)
      assert.strictEqual(runs, interrupted + ended)
    })
  )

  it.effect("finds each leak with one budget, at every alignment", () =>
    Effect.gen(function* () {
      for (const leak of [takesFirst, forgetsFailure]) {
        const found = yield* Effect.flip(Sweep.run({ ...swept(leak), budgets: [3] }))
        assert.strictEqual(found.reason, "the invariant does not hold")
      }
    })
  )

  it.effect("counts how wide a leak is: a step, or the whole work", () =>
    Effect.gen(function* () {
      const step = yield* Sweep.collect(swept(takesFirst))
      const work = yield* Sweep.collect(swept(forgetsFailure, Sweep.turns(20)))
      assert.isAbove(step.violations.length, 0)
      assert.isBelow(step.violations.length / step.runs, 0.3)
      assert.isAbove(work.violations.length / work.runs, 0.7)
    })
  )

  it.effect("runs the point of a violation again", () =>
    Effect.gen(function* () {
      const { violations } = yield* Sweep.collect(swept(takesFirst))
      for (const { point } of violations) {
        const again = yield* Effect.flip(Sweep.replay(swept(takesFirst), point))
        assert.deepStrictEqual(again.point, point)
        yield* Sweep.replay(swept(sound), point)
      }
    })
  )

  it.effect("interrupts before, in and after the program", () =>
    Effect.gen(function* () {
      const seen = new Set<string>()
      yield* Sweep.run({
        setup: Effect.sync(() => ({ at: "before" })),
        program: (state) =>
          Effect.gen(function* () {
            state.at = "first"
            yield* Effect.yieldNow
            state.at = "second"
            yield* Effect.yieldNow
            state.at = "end"
          }),
        invariant: (state, { exit, interrupted }) =>
          Effect.sync(() => {
            seen.add(state.at)
            assert.strictEqual(Exit.hasInterrupts(exit), interrupted)
          })
      })
      assert.deepStrictEqual([...seen].sort(), ["before", "end", "first", "second"])
    })
  )

  it.effect("runs each point alone and beside a contender, and lets the contender end", () =>
    Effect.gen(function* () {
      const semaphore = Semaphore.makeUnsafe(1)
      let waited = 0
      const { runs } = yield* Sweep.run({
        setup: Effect.sync(() => ({ held: 0 })),
        contender: (served) => semaphore.withPermits(1)(Effect.andThen(Sweep.turns(4), take(served))),
        program: () => semaphore.withPermits(1)(Sweep.turns(1)),
        invariant: (served, { contended, interrupted }) =>
          Effect.sync(() => {
            assert.strictEqual(served.held, contended ? 1 : 0)
            if (contended && interrupted) waited += 1
          })
      })
      assert.isAbove(waited, 30)
      assert.isAbove(runs, 80)
    })
  )

  it.effect("finds a contender that is never woken", () =>
    Effect.gen(function* () {
      const violation = yield* Effect.flip(
        Sweep.run({
          setup: Effect.succeed({ open: false }),
          contender: (door) => Effect.repeat(Effect.yieldNow, { until: () => door.open }),
          program: (door) =>
            Effect.onExit(Sweep.turns(1), (exit) => Effect.sync(() => (door.open = Exit.isSuccess(exit)))),
          invariant: () => Effect.void
        })
      )
      assert.strictEqual(violation.reason, "the contender does not end")
      assert.isTrue(violation.point.contended)
    })
  )

  it.effect("finds a program that cannot be interrupted, and does not hang with it", () =>
    Effect.gen(function* () {
      const hangs = {
        setup: Effect.void,
        program: () => Effect.uninterruptible(Effect.never),
        invariant: () => Effect.void
      }
      assert.strictEqual((yield* Effect.flip(Sweep.run(hangs))).reason, "the program does not end")
      const sleeps = { ...hangs, program: () => Effect.sleep("1 minute"), longest: 30 }
      const { point, reason } = yield* Effect.flip(Sweep.run(sleeps))
      assert.deepStrictEqual([reason, point.yields], ["the program does not end", 30])
      const { ended } = yield* Sweep.run({ ...sleeps, tick: TestClock.adjust("30 seconds") })
      assert.strictEqual(ended, 12)
    })
  )

  it.effect("fails as its setup fails", () =>
    Effect.gen(function* () {
      const setup: Effect.Effect<number, "no setup"> = Effect.fail("no setup")
      const options = { setup, program: () => Effect.void, invariant: () => Effect.void }
      assert.strictEqual(yield* Effect.flip(Sweep.run(options)), "no setup")
      assert.strictEqual(yield* Effect.flip(Sweep.collect(options)), "no setup")
    })
  )

  it("refuses numbers that make no sweep, at once", () => {
    const options = { setup: Effect.void, program: () => Effect.void, invariant: () => Effect.void }
    assert.throws(() => Sweep.run({ ...options, budgets: [2] }), "Sweep: budgets must be an integer >= 3, got 2")
    assert.throws(() => Sweep.run({ ...options, prefixes: 0 }), "Sweep: prefixes must be an integer >= 1, got 0")
    assert.throws(() => Sweep.collect({ ...options, longest: 0 }), "Sweep: longest must be an integer >= 1, got 0")
  })
})

describe("Effect's semaphores", () => {
  it.effect("Semaphore.withPermits and withPermitsIfAvailable give everything back", () =>
    Effect.gen(function* () {
      const options = {
        setup: Semaphore.make(1),
        contender: (semaphore: Semaphore.Semaphore) => semaphore.withPermits(1)(Sweep.turns(6)),
        invariant: (semaphore: Semaphore.Semaphore) =>
          Effect.map(semaphore.withPermitsIfAvailable(1)(Effect.void), (free) => assert.strictEqual(free._tag, "Some"))
      }
      const work = Sweep.turns(2)
      yield* Sweep.run({ ...options, program: (semaphore) => semaphore.withPermits(1)(work) })
      yield* Sweep.run({ ...options, program: (semaphore) => semaphore.withPermitsIfAvailable(1)(work) })
    })
  )

  // docs/upstream.md. When this fails, Effect has been mended: say so there.
  it.effect("PartitionedSemaphore.withPermits loses one when it is interrupted (Effect #8391)", () =>
    Effect.gen(function* () {
      const { runs, violations } = yield* Sweep.collect({
        setup: PartitionedSemaphore.make<string>({ permits: 1 }),
        program: (semaphore) => semaphore.withPermit("a")(Sweep.turns(2)),
        invariant: (semaphore) => Effect.map(semaphore.available, (free) => assert.strictEqual(free, 1))
      })
      assert.isAbove(violations.length, 0)
      assert.isBelow(violations.length, runs / 10)
      yield* Sweep.run({
        setup: PartitionedSemaphore.make<string>({ permits: 1 }),
        program: (semaphore) => semaphore.withPermitsIfAvailable(1)(Sweep.turns(2)),
        invariant: (semaphore) => Effect.map(semaphore.available, (free) => assert.strictEqual(free, 1))
      })
    })
  )
})

describe("a sweep that would prove nothing, or not end", () => {
  const options = { setup: Effect.void, program: () => Sweep.turns(1), invariant: () => Effect.void }

  it("refuses no budgets", () => {
    assert.throws(() => Sweep.run({ ...options, budgets: [] }), "Sweep: budgets must be at least one integer >= 3")
  })

  it.effect("an invariant that returns false, an effect, or what is no verdict does not hold", () =>
    Effect.gen(function* () {
      yield* Sweep.run({ ...options, invariant: () => Effect.succeed(true) })
      for (const [result, said] of [
        [false, "it returned false"],
        [Effect.fail("never run"), "returned an effect, which was not run"],
        [1, "it must return true, false or nothing, and returned 1"]
      ] as const) {
        const violation = yield* Effect.flip(Sweep.run({ ...options, invariant: () => Effect.succeed(result) }))
        assert.strictEqual(violation.reason, "the invariant does not hold")
        assert.include(violation.message, said)
      }
    })
  )

  it.effect("what does not end is stopped, and named with its point", () =>
    Effect.gen(function* () {
      const limited = { ...options, timeLimit: "20 millis" } as const
      const stuck = Effect.uninterruptible(Effect.never)
      for (const [hanging, reason] of [
        [{ ...limited, setup: Effect.never }, "the setup does not end"],
        [{ ...limited, invariant: () => stuck }, "the invariant does not end"],
        [{ ...limited, program: () => Sweep.turns(20), tick: stuck }, "the tick does not end"]
      ] as const) {
        const violation = yield* Effect.flip(Sweep.run(hanging))
        assert.strictEqual(violation.reason, reason)
        assert.match(violation.message, /^the \w+ does not end when interrupted at \{ .* \}: stopped after 20ms$/)
      }
      const { violations } = yield* Sweep.collect({ ...limited, budgets: [3], prefixes: 1, invariant: () => stuck })
      assert.isAbove(violations.length, 0)
    })
  )
})
