/** A bulkhead whose limit finds out what its dependency can take. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, ConcurrencyLimit, Policies, Policy, Propagation, Rejection, Transient } from "effect-resilience"
import * as Adaptive from "../../packages/resilience/src/machine/Adaptive.ts"
import { settle, start, takes } from "../policy/support.ts"

class Refused extends Transient.TaggedError<Refused>()("Refused", { throttled: Schema.Boolean }) {}

const limit = ConcurrencyLimit.adaptive({ timeout: "1 second" })

/** Calls one after the other, `each` milliseconds apart, until all have ended. */
const calls = (bulkhead: Bulkhead.Bulkhead, count: number, each: number, takesFor: string) =>
  Effect.gen(function* () {
    const fibers: Array<Fiber.Fiber<Result.Result<string, unknown>>> = []
    for (let i = 0; i < count; i++) {
      fibers.push(yield* start(Effect.result(takes(takesFor as "1 second").pipe(bulkhead.protect))))
      yield* TestClock.adjust(each)
    }
    yield* TestClock.adjust("2 seconds")
    return yield* Effect.forEach(fibers, Fiber.join)
  })

describe("Bulkhead: limit", () => {
  it.effect("begins at what is usual when answers are late in a row, rejects beyond it, and is lifted again", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 100, limit })
      const events: Array<unknown> = []
      yield* bulkhead.events.pipe(
        Stream.runForEach((event) =>
          Effect.sync(() => {
            if (event._tag === "LimitChanged") events.push([event.before !== undefined, event.limit !== undefined])
          })
        ),
        Effect.forkChild
      )
      yield* settle
      yield* calls(bulkhead, 200, 5, "10 millis")
      const well = yield* bulkhead.stats()
      assert.strictEqual(well.adaptive?.state, "free")
      assert.strictEqual(well.adaptive?.limit, undefined)
      // Each takes more than a quarter of the timeout, and more arrive than end.
      const results = yield* calls(bulkhead, 200, 5, "600 millis")
      const { adaptive, maxConcurrent, totals } = yield* bulkhead.stats()
      assert.strictEqual(adaptive?.state, "limited")
      assert.isBelow(adaptive?.limit ?? 100, 20)
      assert.strictEqual(adaptive?.why?.trip, "adaptive.late")
      assert.strictEqual(maxConcurrent, 100)
      assert.isAbove(totals.rejections.BulkheadFull, 100)
      const last = results.at(-1)
      assert.isTrue(last !== undefined && Result.isFailure(last) && last.failure instanceof Rejection.BulkheadFull)
      assert.include(JSON.stringify(last), '"adaptive.late"')
      yield* calls(bulkhead, 40, 100, "10 millis")
      yield* settle
      assert.strictEqual((yield* bulkhead.stats()).adaptive?.state, "free")
      assert.deepStrictEqual(events[0], [false, true])
      assert.deepStrictEqual(events.at(-1), [true, false])
    })
  )

  it.effect("serves those that wait in the order of arrival as the limit leaves room, and loses no permit", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 50, maxQueued: 100, limit })
      yield* calls(bulkhead, 100, 5, "10 millis")
      yield* calls(bulkhead, 20, 5, "600 millis")
      const most = (yield* bulkhead.stats()).adaptive?.limit ?? 50
      assert.isBelow(most, 20)
      const order: Array<number> = []
      const fibers = yield* Effect.forEach(Array.from({ length: 60 }), (_, i) =>
        start(takes("10 millis").pipe(Effect.tap(Effect.sync(() => order.push(i))), bulkhead.protect))
      )
      assert.isAtMost((yield* bulkhead.state()).running, most)
      yield* Effect.forEach(
        fibers.filter((_, i) => i % 7 === 6),
        Fiber.interrupt
      )
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(
        order,
        Array.from({ length: 60 }, (_, i) => i).filter((i) => i % 7 !== 6)
      )
      assert.deepStrictEqual(yield* bulkhead.state(), { running: 0, waiting: 0, maxConcurrent: 50 })
      assert.strictEqual((yield* bulkhead.stats()).adaptive?.inFlight, 0)
    })
  )

  it.effect("is not filled by calls that hang: others are admitted beside them, and it grows again", () =>
    Effect.gen(function* () {
      const limit = ConcurrencyLimit.adaptive({ timeout: "400 millis" })
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 100, limit })
      const together = (count: number, millis: number) =>
        Effect.gen(function* () {
          const work = Effect.result(Effect.sleep(millis).pipe(bulkhead.protect))
          const fibers = yield* Effect.forEach(Array.from({ length: count }), () => start(work))
          yield* TestClock.adjust(millis)
          return (yield* Effect.forEach(fibers, Fiber.join)).filter(Result.isSuccess).length
        })
      for (let round = 0; round < 30; round++) yield* together(20, 4)
      for (let hung = 0; hung < 12; hung++) yield* start(Effect.never.pipe(bulkhead.protect))
      // The first of these rounds follow a silence, so they may be late because the caller stood still.
      for (let round = 0; round < 5; round++) yield* together(8, 150)
      const { adaptive } = yield* bulkhead.stats()
      assert.strictEqual(adaptive?.state, "limited")
      assert.isAtMost(adaptive?.limit ?? 100, 12)
      for (let round = 0; round < 12; round++) {
        yield* together(8, 4)
        yield* TestClock.adjust("100 millis")
      }
      assert.strictEqual(yield* together(8, 4), 8)
      assert.strictEqual((yield* bulkhead.stats()).running, 12)
    })
  )

  it.effect("is reached also by calls of a class that may use a share of it", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 100, limit })
      const sheddable = Propagation.provide({ criticality: "sheddable" })
      yield* calls(bulkhead, 200, 5, "20 millis")
      yield* calls(bulkhead, 60, 5, "600 millis")
      const { adaptive } = yield* bulkhead.stats()
      assert.strictEqual(adaptive?.state, "limited")
      for (let i = 0; i < 40; i++) {
        for (let n = 0; n < 20; n++) yield* start(Effect.exit(takes("10 millis").pipe(bulkhead.protect, sheddable)))
        yield* TestClock.adjust("100 millis")
      }
      const { adaptive: then } = yield* bulkhead.stats()
      assert.strictEqual(then?.state, "limited")
      assert.isAbove(then?.limit ?? 0, adaptive?.limit ?? 0)
    })
  )

  it.effect("takes an answer that asks for fewer calls for a late one, and no other failure", () =>
    Effect.gen(function* () {
      for (const [error, state] of [
        [new Refused({ throttled: true }), "limited"],
        [new Refused({ throttled: false }), "free"]
      ] as const) {
        const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 10, limit })
        yield* calls(bulkhead, 50, 5, "1 millis")
        for (let i = 0; i < 20; i++) yield* Effect.exit(Effect.fail(error).pipe(bulkhead.protect))
        assert.strictEqual((yield* bulkhead.stats()).adaptive?.state, state)
      }
    })
  )

  it.effect("takes what is held for a scope or a stream for no late call", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 20, limit })
      yield* calls(bulkhead, 50, 5, "10 millis")
      const holders = yield* Effect.forEach(Array.from({ length: 10 }), () =>
        start(Effect.scoped(Effect.andThen(bulkhead.acquire(), takes("5 seconds"))))
      )
      yield* calls(bulkhead, 10, 5, "10 millis")
      yield* Effect.forEach(holders, (fiber) => Effect.andThen(TestClock.adjust("5 seconds"), Fiber.join(fiber)))
      const { adaptive, running } = yield* bulkhead.stats()
      assert.deepStrictEqual([adaptive?.state, adaptive?.inFlight, running], ["free", 0, 0])
    })
  )

  it.effect("keeps maxConcurrent above it: resize holds, and the limit is in the settings", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("limited", { maxConcurrent: 2, limit })
      yield* bulkhead.resize(1)
      const one = yield* start(Effect.never.pipe(bulkhead.protect))
      assert.include(String(yield* Effect.exit(Effect.void.pipe(bulkhead.protect))), "BulkheadFull")
      yield* Fiber.interrupt(one)
      const all = yield* Policies.all
      const settings = all.find(({ name }) => name === "limited")?.settings
      assert.deepStrictEqual(settings?.["limit"], { name: "adaptive", timeout: 1000 })
    })
  )

  it("refuses what is no limit, and a limit inside of a policy", () => {
    // @ts-expect-error: a number is `maxConcurrent`
    const numeric = () => Bulkhead.make("b", { maxConcurrent: 1, limit: 10 })
    assert.throws(numeric, "Bulkhead b: limit must be a limit such as")
    assert.throws(() => ConcurrencyLimit.adaptive({ timeout: 0 }), "ConcurrencyLimit.adaptive: timeout must be")
    // @ts-expect-error: the limit of a policy is `adaptive`
    const inside = () => Policy.make("p", { bulkhead: { maxConcurrent: 1, limit } })
    assert.throws(inside, "there is no option limit")
  })
})

describe("Adaptive: a limit alone", () => {
  const Step = Schema.Struct({
    after: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 400 })),
    how: Schema.Literals(["ok", "failed", "timeout", "cut", "overloaded", "unknown"]),
    ends: Schema.Boolean
  })

  it.prop("never paces and always leaves one call, whatever the answers are", [Schema.Array(Step)], ([steps]) => {
    const state = new Adaptive.State()
    const limits = { timeout: 300, deadline: 300, paces: false } as const
    const chance = { nextDoubleUnsafe: () => assert.fail("nothing is drawn") }
    const flights: Array<Adaptive.Flight> = []
    let now = 0
    for (let round = 0; round < 4; round++) {
      for (const { after, ends, how } of steps) {
        now += after
        const first = ends ? flights.shift() : undefined
        if (first !== undefined) Adaptive.ended(state, limits, first, now, how, chance)
        else {
          Adaptive.came(state, limits, now, chance)
          if (!Adaptive.admits(state, now)) continue
          const flight = new Adaptive.Flight()
          Adaptive.sent(state, flight, now, true, true, chance)
          flights.push(flight)
        }
        assert.notStrictEqual(Adaptive.modeOf(state), Adaptive.Paced)
        assert.isTrue(flights.length > 0 || Adaptive.isFree(state, now))
        assert.strictEqual(state.inFlight, flights.length)
      }
    }
  })
})
