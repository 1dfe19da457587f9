/** Callers of a bulkhead that wait, by tenant: each has its turn, in its own order. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead, Policy } from "effect-resilience"
import * as Queue from "../../packages/resilience/src/machine/Queue.ts"
import { type Down, settle, start, takes } from "../policy/support.ts"

type Caller = readonly [tenant: string | undefined, index: number]

const Tenant = Schema.Literals(["a", "b", "c", "none"])
const Rank = Schema.Literals([1, 3])
const Step = Schema.Struct({ act: Schema.Literals(["call", "call", "end", "leave"]), tenant: Tenant, rank: Rank })

const nameOf = (tenant: typeof Tenant.Type): string | undefined => (tenant === "none" ? undefined : tenant)

/** One permit, which is taken. */
const full = (places: number): Queue.Queue<Caller> => {
  const queue = Queue.make<Caller>(1, places)
  assert.isTrue(Queue.tryAcquire(queue))
  return queue
}

const next = (queue: Queue.Queue<Caller>): Caller | undefined => {
  Queue.release(queue)
  const granted = Queue.grantNext(queue)
  if (granted === undefined) Queue.tryAcquire(queue)
  return granted?.value
}

/** All that wait, in the order in which they are served. */
const served = (queue: Queue.Queue<Caller>): ReadonlyArray<Caller> => {
  const order: Array<Caller> = []
  while (queue.waiting > 0) order.push(next(queue)!)
  return order
}

describe("a queue of several tenants", () => {
  it("serves tenants in turn, those without a name as one of them, from the first that came", () => {
    const queue = full(100)
    const callers = [undefined, "a", "a", "a", "b", undefined, "b", "c"]
    callers.forEach((tenant, i) => void Queue.enqueue(queue, [tenant, i], 100, Queue.usual, tenant))
    assert.deepStrictEqual(
      served(queue).map(([, i]) => i),
      [0, 1, 4, 7, 5, 2, 6, 3]
    )
    assert.strictEqual(queue.classes?.turns[Queue.usual], undefined, "nothing of them is left")
  })

  it.prop(
    "starves no tenant, keeps the order within each, and loses no permit and no place",
    [Schema.Array(Step)],
    ([steps]) => {
      const queue = full(12)
      const waiting: Array<Queue.Waiter<Caller>> = []
      /** For each waiting caller, how often each other tenant of its class was served since it was first of its own. */
      const passed = new Map<Queue.Waiter<Caller>, Map<string | undefined, number>>()
      const isFirst = (waiter: Queue.Waiter<Caller>) =>
        waiting.find((one) => one.rank === waiter.rank && one.value[0] === waiter.value[0]) === waiter
      const gone = (waiter: Queue.Waiter<Caller>) => {
        waiting.splice(waiting.indexOf(waiter), 1)
        passed.delete(waiter)
      }
      const end = () => {
        const before = [...waiting]
        Queue.release(queue)
        const granted = Queue.grantNext(queue)
        if (granted === undefined) {
          assert.strictEqual(before.filter(({ rank }) => rank === Queue.usual).length, 0)
          return
        }
        assert.isTrue(isFirst(granted), "first come, first served within a tenant")
        const [tenant] = granted.value
        gone(granted)
        for (const waiter of before) {
          if (waiter === granted || waiter.rank !== granted.rank || waiter.value[0] === tenant) continue
          if (!isFirst(waiter)) continue
          const counts = passed.get(waiter) ?? new Map<string | undefined, number>()
          counts.set(tenant, (counts.get(tenant) ?? 0) + 1)
          passed.set(waiter, counts)
          assert.isAtMost(counts.get(tenant)!, 2, "a tenant has its turn again before another one has waited for it")
        }
      }
      steps.forEach(({ act, rank, tenant }, i) => {
        const name = nameOf(tenant)
        if (act === "call") {
          const lost = queue.waiting >= 12 ? Queue.displace(queue, rank, name) : undefined
          if (lost !== undefined) {
            const own = waiting.filter((one) => one.rank === rank && one.value[0] === name).length
            const theirs = waiting.filter((one) => one.rank === lost.rank && one.value[0] === lost.value[0])
            assert.isTrue(lost.rank > rank || theirs.length >= own + 2)
            assert.strictEqual(theirs.at(-1), lost, "the newest of that tenant")
            gone(lost)
          }
          const waiter = Queue.enqueue(queue, [name, i], 12, rank, name)
          if (waiter !== undefined) waiting.push(waiter)
        } else if (act === "leave" && waiting.length > 0) {
          const leaving = waiting[i % waiting.length]!
          assert.isTrue(Queue.leave(queue, leaving))
          assert.isFalse(Queue.leave(queue, leaving))
          gone(leaving)
        } else if (act === "end" && queue.running > 0) end()
        assert.strictEqual(queue.waiting, waiting.length)
        assert.isAtMost(queue.running, 1)
      })
      while (queue.waiting > 0) {
        const left = queue.waiting
        if (queue.running > 0) end()
        else {
          const granted = Queue.grantNext(queue)
          if (granted !== undefined) gone(granted)
        }
        if (queue.waiting === left) break
      }
      assert.strictEqual(queue.waiting, 0, "no caller is forgotten")
    }
  )

  it("takes as many steps with a thousand tenants as with two", () => {
    const stepsOf = (tenants: number): number => {
      const queue = full(10_000)
      let reads = 0
      const counting: ProxyHandler<Map<unknown, unknown>> = {
        get: (map, name) => {
          reads += 1
          const value: unknown = Reflect.get(map, name)
          return typeof value === "function" ? value.bind(map) : value
        }
      }
      for (let i = 0; i < 2000; i++) {
        const tenant = `t${i % tenants}`
        Queue.enqueue(queue, [tenant, i], 10_000, Queue.usual, tenant)
      }
      const turns = queue.classes!.turns[Queue.usual]!
      Object.assign(turns, { byTenant: new Proxy(turns.byTenant, counting) })
      for (let i = 0; i < 100; i++) next(queue)
      return reads
    }
    assert.strictEqual(stepsOf(1000), stepsOf(2))
  })
})

describe("Bulkhead: tenant", () => {
  it.effect("a tenant with a hundred calls in the queue delays one with a single call by one turn", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1, maxQueued: 200 })
      const policy = yield* Policy.make("p", { bulkhead: { maxConcurrent: 1, maxQueued: 200 } })
      const kinds = [
        (tenant: string, work: Effect.Effect<string, Down>) => work.pipe(bulkhead.protect({ tenant })),
        (tenant: string, work: Effect.Effect<string, Down>) => work.pipe(policy.protect({ tenant }))
      ]
      for (const protect of kinds) {
        const order: Array<string> = []
        const call = (tenant: string) =>
          start(
            protect(
              tenant,
              Effect.tap(
                takes("1 millis"),
                Effect.sync(() => order.push(tenant))
              )
            )
          )
        const fibers = yield* Effect.forEach(Array.from({ length: 100 }), () => call("large"))
        fibers.push(yield* call("small"))
        yield* TestClock.adjust("1 second")
        yield* Effect.forEach(fibers, Fiber.join)
        assert.strictEqual(order.indexOf("small"), 2)
      }
    })
  )

  it.effect("a tenant that has filled the queue loses a place to another one, and is rejected itself", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1, maxQueued: 4 })
      const holder = yield* start(Effect.never.pipe(bulkhead.protect))
      const call = (tenant: string) => start(Effect.exit(Effect.void.pipe(bulkhead.protect({ tenant }))))
      const large = yield* Effect.forEach(Array.from({ length: 4 }), () => call("large"))
      const small = yield* Effect.forEach(Array.from({ length: 2 }), () => call("small"))
      const third = yield* call("small")
      assert.include(String(yield* Fiber.join(third)), "BulkheadFull")
      for (const displaced of large.slice(2)) assert.include(String(yield* Fiber.join(displaced)), "BulkheadFull")
      yield* Fiber.interrupt(holder)
      yield* settle
      for (const fiber of [...large.slice(0, 2), ...small]) {
        assert.strictEqual((yield* Fiber.join(fiber))._tag, "Success")
      }
      const { running, waiting } = yield* bulkhead.state()
      assert.deepStrictEqual([running, waiting], [0, 0])
    })
  )

  it.effect("refuses a tenant that is no string, and takes one for a scope", () =>
    Effect.gen(function* () {
      const bulkhead = yield* Bulkhead.make("b", { maxConcurrent: 1 })
      // @ts-expect-error: a tenant is a string
      assert.throws(() => bulkhead.protect({ tenant: 1 }), "Bulkhead.protect b: tenant must be a string, got 1")
      yield* Effect.scoped(bulkhead.acquire({ tenant: "a" }))
    })
  )
})
