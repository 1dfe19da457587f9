/** Scopes, streams and consumers in mode observe, and with a candidate beside them. */
import { assert, describe, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Policy } from "effect-resilience"
import { type Down, down, pauses, settle, start, takes, touchy } from "../policy/support.ts"

const options = { breaker: touchy, bulkhead: { maxConcurrent: 1, maxQueued: 1 } } as const
const observing = { ...options, mode: "observe" } as const

const holding = <E>(
  policy: { readonly acquire: () => Effect.Effect<unknown, E, Scope.Scope> },
  time: Duration.Input
): Effect.Effect<void, E> => Effect.scoped(Effect.andThen(policy.acquire(), Effect.sleep(time)))

const numbers: Stream.Stream<number, Down> = Stream.make(1, 2, 3).pipe(
  Stream.rechunk(1),
  Stream.tap(() => Effect.sleep("1 second"))
)

describe("a scope in mode observe", () => {
  it.effect("holds nothing, and is told how it would have waited and been rejected", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", observing)
      const calls = yield* Effect.forEach([1, 2, 3], () => start(holding(policy, "1 second")))
      const { running, would } = yield* policy.stats()
      assert.strictEqual(running, 3)
      assert.deepInclude(would, { running: 1, waiting: 1 })
      assert.strictEqual(would?.rejections.BulkheadFull, 1)
      yield* TestClock.adjust("1 second")
      for (const call of calls) yield* Fiber.join(call)
      yield* settle
      // The second would run from now on, as long as it really did.
      assert.deepInclude((yield* policy.stats()).would, { running: 1, waiting: 0 })
      yield* TestClock.adjust("1 second")
      assert.deepInclude((yield* policy.stats()).would, { running: 0, waiting: 0 })
      assert.deepInclude((yield* policy.stats()).totals, { calls: 3, successes: 3 })
    })
  )

  it.effect("reports an outcome before its end", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", observing)
      yield* Effect.scoped(Effect.flatMap(policy.acquire(), (permit) => permit.fail()))
      const { totals, would } = yield* policy.stats()
      assert.deepInclude(totals, { failures: 1, openings: 0 })
      assert.deepInclude(would, { openings: 1 })
    })
  )

  it.effect("that is interrupted while it would wait leaves the queue", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", observing)
      yield* start(holding(policy, "1 hour"))
      const second = yield* start(holding(policy, "1 hour"))
      assert.strictEqual((yield* policy.stats()).would?.waiting, 1)
      yield* Fiber.interrupt(second)
      assert.deepInclude((yield* policy.stats()).would, { running: 1, waiting: 0 })
    })
  )
})

describe("a stream in mode observe", () => {
  it.effect("is opened once, and what would have been repeated is counted", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { retry: pauses(2), breaker: {}, mode: "observe" })
      let openings = 0
      const failing = Stream.fromEffect(
        Effect.suspend(() => {
          openings += 1
          return down
        })
      )
      yield* Effect.exit(Stream.runDrain(failing.pipe(policy.protectStream)))
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(openings, 1)
      const { totals, would } = yield* policy.stats()
      assert.deepInclude(totals, { calls: 1, failures: 1 })
      assert.deepInclude(would, { retries: 2 })
    })
  )

  it.effect("passes its elements, and holds what it would hold until it ends", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", observing)
      const run = yield* start(Stream.runCollect(numbers.pipe(policy.protectStream)))
      yield* TestClock.adjust("2 seconds")
      assert.deepInclude((yield* policy.stats()).would, { running: 1 })
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual(Array.from(yield* Fiber.join(run)), [1, 2, 3])
      assert.deepInclude((yield* policy.stats()).would, { running: 0 })
      assert.deepInclude((yield* policy.stats()).totals, { calls: 1, successes: 1 })
    })
  )
})

describe("those that wait for admission", () => {
  it.effect("go on at once in mode observe, also when the mode changes while they wait", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", options)
      yield* start(policy.protect(takes("1 hour")))
      const waiting = yield* start(policy.admitted())
      assert.strictEqual(waiting.pollUnsafe(), undefined)
      yield* policy.control.mode("observe")
      yield* settle
      yield* Fiber.join(waiting)
      yield* policy.admitted()
      assert.strictEqual(yield* takes(0).pipe(Policy.whenAdmitted(policy)), "ok")
    })
  )
})

describe("a candidate beside calls that are held", () => {
  it.effect("is told of scopes and streams", () =>
    Effect.gen(function* () {
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 10 } })
      const candidate = yield* Policy.candidate(policy, { bulkhead: { maxConcurrent: 1 } })
      const calls = yield* Effect.forEach([1, 2], () => start(holding(policy, "1 second")))
      const run = yield* start(Stream.runDrain(numbers.pipe(policy.protectStream)))
      assert.deepInclude(yield* candidate.stats(), { running: 1 })
      assert.strictEqual((yield* candidate.report).difference.rejections.BulkheadFull, 2)
      yield* TestClock.adjust("3 seconds")
      for (const call of [...calls, run]) yield* Fiber.join(call)
      assert.deepInclude(yield* candidate.stats(), { running: 0 })
      assert.deepInclude(yield* policy.stats(), { running: 0 })
    }).pipe(Effect.scoped)
  )
})
