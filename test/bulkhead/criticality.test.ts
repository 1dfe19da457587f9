/** A bulkhead with calls of several criticalities: the higher first, none starves, and each class in the order of arrival. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Policy, Propagation } from "effect-resilience"
import * as Queue from "../../packages/resilience/src/machine/Queue.ts"
import { settle, start } from "../policy/support.ts"

const as = (criticality: Propagation.Criticality) => Propagation.provide({ criticality })

/** Waiters by rank, granted one after the other with one permit. */
const granted = (ranks: ReadonlyArray<number>): ReadonlyArray<readonly [rank: number, index: number]> => {
  const gate = Queue.make<readonly [number, number]>(1, 1000)
  assert.isTrue(Queue.tryAcquire(gate))
  ranks.forEach((rank, i) => {
    assert.isDefined(Queue.enqueue(gate, [rank, i], 1000, rank))
  })
  const order: Array<readonly [number, number]> = []
  for (let i = 0; i < ranks.length; i++) {
    Queue.release(gate)
    order.push(Queue.grantNext(gate)!.value)
  }
  assert.strictEqual(gate.waiting, 0)
  return order
}

const Rank = Schema.Literals([0, 1, 2, 3])
const anyRanks = Schema.Array(Rank)

describe("a queue of several classes", () => {
  it.prop("is first come, first served within each class", [anyRanks], ([ranks]) => {
    const order = granted(ranks)
    for (const rank of [0, 1, 2, 3]) {
      const indices = order.filter(([one]) => one === rank).map(([, i]) => i)
      assert.deepStrictEqual(
        indices,
        indices.toSorted((a, b) => a - b)
      )
    }
  })

  it.prop(
    "grants to a lower class once in sixteen permits at least, and otherwise to the highest",
    [anyRanks],
    ([ranks]) => {
      const waiting = [0, 0, 0, 0]
      for (const rank of ranks) waiting[rank]! += 1
      let passed = 0
      for (const [rank] of granted(ranks)) {
        const highest = waiting.findIndex((n) => n > 0)
        const isLowerWaiting = waiting.some((n, one) => n > 0 && one > highest)
        if (rank === highest) passed = isLowerWaiting ? passed + 1 : 0
        else {
          assert.strictEqual(passed, Queue.turn)
          passed = 0
        }
        assert.isAtMost(passed, Queue.turn)
        waiting[rank]! -= 1
      }
    }
  )

  it.prop(
    "conserves permits and places, whatever enters and leaves",
    [Schema.Array(Schema.Tuple([Rank, Rank]))],
    ([steps]) => {
      const gate = Queue.make<number>(4, 5)
      const waiters: Array<Queue.Waiter<number>> = []
      let running = 0
      const grant = () => {
        for (let next = Queue.grantNext(gate); next !== undefined; next = Queue.grantNext(gate)) {
          waiters.splice(waiters.indexOf(next), 1)
          running += 1
        }
      }
      for (const [act, rank] of steps) {
        if (act < 2) {
          if (Queue.tryAcquire(gate, rank)) running += 1
          else {
            const lost = gate.waiting >= 5 ? Queue.displace(gate, rank) : undefined
            if (lost !== undefined) {
              assert.isAbove(lost.rank, rank)
              waiters.splice(waiters.indexOf(lost), 1)
            }
            const waiter = Queue.enqueue(gate, 0, 5, rank)
            if (waiter !== undefined) waiters.push(waiter)
          }
        } else if (act === 2 && running > 0) {
          Queue.release(gate)
          running -= 1
          grant()
        } else if (waiters.length > 0) {
          assert.isTrue(Queue.leave(gate, waiters.shift()!))
        }
        assert.deepStrictEqual([gate.running, gate.waiting], [running, waiters.length])
        assert.isAtMost(running, 4)
      }
      while (running > 0) {
        Queue.release(gate)
        running -= 1
        grant()
      }
      assert.strictEqual(gate.waiting, 0, "no waiter is forgotten")
    }
  )
})

describe("Bulkhead: criticality", () => {
  it.effect("keeps half of the permits from sheddable calls, a quarter from sheddable-plus, none from others", () =>
    Effect.gen(function* () {
      for (const [criticality, most] of [
        ["sheddable", 4],
        ["sheddable-plus", 6],
        ["critical", 8],
        ["critical-plus", 8]
      ] as const) {
        const bulkhead = yield* Bulkhead.make(criticality, { maxConcurrent: 8 })
        const fibers = yield* Effect.forEach(Array.from({ length: 9 }), () =>
          start(Effect.exit(Effect.never.pipe(bulkhead.protect, as(criticality))))
        )
        assert.strictEqual((yield* bulkhead.state()).running, most)
        yield* Fiber.interruptAll(fibers)
        assert.strictEqual((yield* bulkhead.state()).running, 0)
      }
    })
  )

  it.effect("serves a more important call first, and gives it the place of a less important one", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1, maxQueued: 2 })
      const holder = yield* start(Effect.never.pipe(bulkhead.protect))
      const order: Array<string> = []
      const call = (criticality: Propagation.Criticality, name: string) =>
        start(Effect.exit(Effect.sync(() => order.push(name)).pipe(bulkhead.protect, as(criticality))))
      yield* call("sheddable", "s1")
      const displaced = yield* call("sheddable", "s2")
      yield* call("critical-plus", "c1")
      yield* settle
      assert.include(String(yield* Fiber.join(displaced)), "BulkheadFull")
      const refused = yield* call("sheddable", "s3")
      assert.include(String(yield* Fiber.join(refused)), "BulkheadFull")
      yield* Fiber.interrupt(holder)
      yield* settle
      assert.deepStrictEqual(order, ["c1", "s1"])
      const { running, waiting } = yield* bulkhead.state()
      assert.deepStrictEqual([running, waiting], [0, 0])
    })
  )

  it.effect("at twice its capacity of three classes answers every call of the highest, and some of the lowest", () =>
    Effect.gen(function* () {
      // Ten calls at once, of 10 ms each, and twenty arrive in that time.
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 10, maxQueued: 20 }, deadline: "100 millis" })
      const classes = ["critical-plus", "critical", "sheddable"] as const
      const offered = { "critical-plus": 0, critical: 0, sheddable: 0 }
      const answered = { "critical-plus": 0, critical: 0, sheddable: 0 }
      const fibers: Array<Fiber.Fiber<unknown>> = []
      for (let i = 0; i < 1200; i++) {
        const criticality = classes[i % 3]!
        offered[criticality] += 1
        const call = Effect.sleep("10 millis").pipe(
          policy.protect,
          Effect.tap(() =>
            Effect.sync(() => {
              answered[criticality] += 1
            })
          ),
          as(criticality)
        )
        fibers.push(yield* start(Effect.exit(call)))
        if (i % 2 === 1) yield* TestClock.adjust("1 millis")
      }
      yield* TestClock.adjust("1 second")
      yield* Effect.forEach(fibers, Fiber.join)
      assert.isAtLeast(answered["critical-plus"] / offered["critical-plus"], 0.999)
      assert.isAbove(answered.critical, 100)
      assert.isAbove(answered.sheddable, 8)
    })
  )
})
