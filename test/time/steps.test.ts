/** Work that is a sequence of uninterruptible steps: a limit ends it at the end of the current step. */
import { assert, describe, it } from "@effect/vitest"
import { Sweep } from "@effect-resilience/testing"
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import { Deadline, Policy, Timeout } from "effect-resilience"
import type { Busy } from "../support/errors.ts"
import { ended, start } from "../support/observe.ts"

type Work<A> = Effect.Effect<A, Busy>

/** The four time limits, of 50 milliseconds. */
const limits: ReadonlyArray<readonly [string, Effect.Effect<<A>(work: Work<A>) => Effect.Effect<A, unknown>>]> = [
  ["Timeout.after", Effect.succeed(Timeout.after("50 millis"))],
  ["Deadline.within", Effect.succeed(Deadline.within("50 millis"))],
  ["the timeout of a policy", Effect.map(Policy.make("p", { timeout: "50 millis" }), (policy) => policy.protect)],
  ["the deadline of a policy", Effect.map(Policy.make("p", { deadline: "50 millis" }), (policy) => policy.protect)]
]

const step = Effect.uninterruptible(Effect.sleep("7 millis"))

/** The resources of a call, and what it was interrupted in. */
const makeLog = () => {
  const log = { acquired: 0, released: 0, committed: 0 }
  return {
    log,
    resource: Effect.acquireUseRelease(
      Effect.andThen(
        step,
        Effect.sync(() => (log.acquired += 1))
      ),
      () => Effect.uninterruptible(Effect.sleep("3 millis")),
      () =>
        Effect.andThen(
          step,
          Effect.sync(() => (log.released += 1))
        )
    ),
    transaction: Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        yield* step
        yield* restore(Effect.void)
        yield* step
        log.committed += 1
      })
    ),
    acknowledged: Effect.scoped(
      Effect.andThen(
        Effect.acquireRelease(step, () => step),
        Effect.uninterruptible(Effect.sleep("3 millis"))
      )
    )
  }
}

const errorOf = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? (Cause.squash(exit.cause) as { readonly _tag: string })._tag : "success"

describe("work of many uninterruptible steps", () => {
  for (const [name, make] of limits) {
    for (const kind of ["step", "resource", "transaction", "acknowledged"] as const) {
      it.effect(`${name} ends it at the end of the current step: ${kind}`, () =>
        Effect.gen(function* () {
          const limited = yield* make
          const { log, ...works } = makeLog()
          const work: Work<void> = kind === "step" ? step : works[kind]
          const fiber = yield* start(Effect.exit(limited(Effect.forever(work) as Work<never>)))
          yield* TestClock.adjust("50 millis")
          // The step that runs at the limit, and the release of what it has acquired.
          yield* TestClock.adjust("14 millis")
          const exit = ended(fiber)
          assert.include(["TimedOut", "DeadlineExceeded"], errorOf(Exit.isSuccess(exit) ? exit.value : exit))
          assert.strictEqual(log.released, log.acquired)
          const { committed } = log
          yield* TestClock.adjust("1 minute")
          assert.strictEqual(log.committed, committed)
        })
      )
    }
  }

  it.effect("no step starts after the limit, and none is cut", () =>
    Effect.gen(function* () {
      const starts: Array<number> = []
      const ends: Array<number> = []
      let now = 0
      const noting = Effect.uninterruptible(
        Effect.suspend(() => {
          starts.push(now)
          return Effect.andThen(
            Effect.sleep("10 millis"),
            Effect.sync(() => ends.push(now))
          )
        })
      )
      const fiber = yield* start(Effect.exit(Effect.forever(noting).pipe(Timeout.after("45 millis"))))
      for (; now < 100; now++) {
        yield* TestClock.adjust("1 millis")
      }
      assert.strictEqual(errorOf(Effect.runSync(Effect.flatten(Effect.succeed(ended(fiber)))) as never), "TimedOut")
      assert.strictEqual(starts.length, 5)
      assert.strictEqual(ends.length, 5)
    })
  )

  it.effect("the result of work that completes in the step stands, also through what follows without waiting", () =>
    Effect.gen(function* () {
      const commit = Effect.uninterruptible(Effect.as(Effect.sleep("80 millis"), "committed"))
      const spanned = commit.pipe(
        Effect.map((said) => `${said}!`),
        Effect.ensuring(Effect.sleep("5 millis")),
        Effect.flatMap((said) => Effect.succeed(said)),
        Effect.withSpan("commit"),
        Effect.scoped
      )
      const fiber = yield* start(Timeout.after(spanned, "50 millis"))
      const inGen = yield* start(
        Timeout.after(
          Effect.gen(function* () {
            const said = yield* commit
            const service = yield* Effect.fiber
            return service === undefined ? "lost" : said
          }),
          "50 millis"
        )
      )
      const failing = yield* start(Timeout.after(Effect.andThen(commit, Effect.fail("after the commit")), "50 millis"))
      yield* TestClock.adjust("90 millis")
      assert.deepStrictEqual(ended(fiber), Exit.succeed("committed!"))
      assert.deepStrictEqual(ended(inGen), Exit.succeed("committed"))
      assert.deepStrictEqual(ended(failing), Exit.fail("after the commit"))
    })
  )

  it.effect("what waits after a step is interrupted at once", () =>
    Effect.gen(function* () {
      let after = 0
      const work = Effect.andThen(
        Effect.uninterruptible(Effect.sleep("80 millis")),
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => (after += 1)),
            Effect.sleep("1 millis")
          )
        )
      )
      const fiber = yield* start(Effect.exit(Timeout.after(work, "50 millis")))
      yield* TestClock.adjust("80 millis")
      assert.isDefined(fiber.pollUnsafe())
      assert.strictEqual(after, 1)
    })
  )

  it.effect("an interruptible part of a region does not start after the limit", () =>
    Effect.gen(function* () {
      let used = 0
      let released = 0
      const work = Effect.acquireUseRelease(
        Effect.sleep("80 millis"),
        () => Effect.sync(() => (used += 1)),
        () => Effect.sync(() => (released += 1))
      )
      const fiber = yield* start(Effect.exit(Timeout.after(work, "50 millis")))
      yield* TestClock.adjust("80 millis")
      assert.strictEqual(errorOf(yield* Fiber.join(fiber)), "TimedOut")
      assert.deepStrictEqual([used, released], [0, 1])
    })
  )

  it.effect("a scope that is closed after the limit is closed or left open, never half", () =>
    Effect.gen(function* () {
      let finalized = 0
      const scope = yield* Scope.make()
      yield* Scope.addFinalizer(
        scope,
        Effect.sync(() => (finalized += 1))
      )
      const work = Effect.andThen(Effect.uninterruptible(Effect.sleep("80 millis")), Scope.close(scope, Exit.void))
      const fiber = yield* start(Effect.exit(Timeout.after(work, "50 millis")))
      yield* TestClock.adjust("80 millis")
      assert.strictEqual(errorOf(yield* Fiber.join(fiber)), "TimedOut")
      assert.strictEqual(finalized, 0)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(finalized, 1)
    })
  )

  it.effect("the caller's interruption comes through while the limit waits for a step", () =>
    Effect.gen(function* () {
      let steps = 0
      const counted = Effect.andThen(
        step,
        Effect.sync(() => (steps += 1))
      )
      const fiber = yield* start(Effect.forever(counted).pipe(Timeout.after("45 millis")))
      yield* TestClock.adjust("46 millis")
      const interrupting = yield* start(Fiber.interrupt(fiber))
      yield* TestClock.adjust("3 millis")
      yield* Fiber.join(interrupting)
      assert.isTrue(Exit.hasInterrupts(ended(fiber)))
      yield* TestClock.adjust("1 minute")
      assert.isAtMost(steps, 7)
    })
  )

  it.effect("the permit of a policy is held to the end of the step, and not longer", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1 }, timeout: "50 millis" })
      const long = Effect.forever(Effect.uninterruptible(Effect.sleep("40 millis"))) as Work<never>
      yield* start(Effect.exit(policy.protect(long)))
      yield* TestClock.adjust("79 millis")
      assert.strictEqual((yield* policy.stats()).running, 1)
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* policy.stats()).running, 0)
    })
  )

  it.effect("nothing is left when it is interrupted at any yield point after the limit", () =>
    Effect.gen(function* () {
      const swept = yield* Sweep.run({
        setup: Effect.sync(() => ({ running: 0 })),
        program: (state) =>
          Effect.gen(function* () {
            const clock = yield* TestClock.testClockWith(Effect.succeed)
            const work = Effect.forever(
              Effect.acquireUseRelease(
                Effect.sync(() => (state.running += 1)),
                () => Effect.andThen(Effect.uninterruptible(Sweep.turns(2)), Sweep.turns(1)),
                () => Effect.sync(() => (state.running -= 1))
              )
            )
            yield* Effect.forkChild(Effect.andThen(Sweep.turns(1), clock.adjust("50 millis")))
            yield* Effect.exit(Timeout.after(work, "50 millis"))
          }),
        invariant: (state) => Effect.sync(() => assert.strictEqual(state.running, 0))
      })
      assert.isAbove(swept.interrupted, 10)
    })
  )
})

describe("limits inside each other", () => {
  const levels = 4000
  const nested = <A>(work: Effect.Effect<A>, limit: Duration.Input): Effect.Effect<A, Timeout.TimedOut> => {
    let all: Effect.Effect<A, Timeout.TimedOut> = work
    for (let i = 0; i < levels; i++) all = Timeout.after(all, limit)
    return all
  }

  // On the live clock, because `TestClock` looks through all sleeps at each of them.
  it.live("take no stack: the work completes, is interrupted, and is cut at any depth", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* nested(Effect.succeed("done"), "1 minute"), "done")
      assert.strictEqual(yield* nested(Effect.as(Effect.yieldNow, "later"), "1 minute"), "later")
      const interrupted = yield* start(nested(Effect.never, "1 minute"))
      yield* Fiber.interrupt(interrupted)
      assert.isTrue(Exit.hasInterrupts(ended(interrupted)))
      const cut = yield* Effect.exit(Timeout.after(nested(Effect.never, "1 minute"), "1 millis"))
      assert.strictEqual(errorOf(cut), "TimedOut")
    })
  )
})

describe("work of many steps with finalizers", () => {
  const step = Effect.ensuring(Effect.void, Effect.sleep("40 millis"))
  const loops: ReadonlyArray<readonly [string, Effect.Effect<unknown>]> = [
    ["forEach", Effect.forEach(Array.from({ length: 100 }), () => step)],
    [
      "a generator",
      Effect.gen(function* () {
        for (;;) yield* step
      })
    ],
    [
      "andThen, nested on the left",
      Array.from({ length: 99 }).reduce<Effect.Effect<unknown>>((w) => Effect.andThen(w, step), step)
    ]
  ]
  it.effect.each(loops)("is cut by a limit, at the latest after the finalizer of the next step: %s", ([, work]) =>
    Effect.gen(function* () {
      const limited = yield* Effect.forkDetach(Effect.exit(work.pipe(Timeout.after("55 millis"))), {
        startImmediately: true
      })
      const within = yield* Effect.forkDetach(Effect.exit(work.pipe(Deadline.within("55 millis"))), {
        startImmediately: true
      })
      yield* TestClock.adjust("119 millis")
      assert.isUndefined(limited.pollUnsafe(), "the finalizers of the steps that were begun run to their end")
      yield* TestClock.adjust("2 millis")
      assert.isTrue([limited, within].every((fiber) => fiber.pollUnsafe() !== undefined))
    })
  )
})
