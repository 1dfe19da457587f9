import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Queue from "../../packages/resilience/src/machine/Queue.ts"

const small = (least: number, most: number) => Schema.Int.check(Schema.isBetween({ minimum: least, maximum: most }))

const Command = Schema.Union([
  Schema.Struct({ _tag: Schema.Literal("arrive") }),
  Schema.Struct({ _tag: Schema.Literal("giveUp"), who: small(0, 30) }),
  Schema.Struct({ _tag: Schema.Literal("finish"), who: small(0, 30) }),
  Schema.Struct({ _tag: Schema.Literal("resize"), limit: small(1, 6) })
])

/** The same gate with two arrays: plain, slow and surely right. */
class Naive {
  inside: Array<number> = []
  queue: Array<number> = []
  limit: number
  readonly maxQueued: number

  constructor(limit: number, maxQueued: number) {
    this.limit = limit
    this.maxQueued = maxQueued
  }

  arrive(who: number): "inside" | "waiting" | "refused" {
    if (this.queue.length === 0 && this.inside.length < this.limit) {
      this.inside.push(who)
      return "inside"
    }
    if (this.queue.length >= this.maxQueued) return "refused"
    this.queue.push(who)
    return "waiting"
  }

  settle(): void {
    while (this.queue.length > 0 && this.inside.length < this.limit) this.inside.push(this.queue.shift()!)
  }
}

const queueOf = (gate: Queue.Queue<number>): Array<number> => {
  const forward: Array<number> = []
  for (let at = gate.first; at !== undefined; at = at.next) forward.push(at.value)
  const backward: Array<number> = []
  for (let at = gate.last; at !== undefined; at = at.previous) backward.unshift(at.value)
  assert.deepStrictEqual(forward, backward)
  return forward
}

describe("the gate", () => {
  it.prop(
    "admits, queues and rejects as a naive model does, across resize",
    [Schema.Array(Command), small(1, 4), small(0, 6)],
    ([commands, limit, maxQueued]) => {
      const gate = Queue.make<number>(limit, maxQueued)
      const naive = new Naive(limit, maxQueued)
      const waiters = new Map<number, Queue.Waiter<number>>()
      const inside: Array<number> = []
      const settle = () => {
        for (let next = Queue.grantNext(gate); next !== undefined; next = Queue.grantNext(gate)) inside.push(next.value)
        naive.settle()
      }
      let last = 0
      for (const command of commands) {
        switch (command._tag) {
          case "arrive": {
            const who = ++last
            const expected = naive.arrive(who)
            if (Queue.tryAcquire(gate)) {
              inside.push(who)
              assert.strictEqual(expected, "inside")
            } else {
              const place = Queue.enqueue(gate, who)
              assert.strictEqual(place === undefined ? "refused" : "waiting", expected)
              if (place !== undefined) waiters.set(who, place)
            }
            break
          }
          case "giveUp": {
            const waiter = waiters.get(command.who)
            const at = naive.queue.indexOf(command.who)
            if (at >= 0) naive.queue.splice(at, 1)
            if (waiter !== undefined) assert.strictEqual(Queue.leave(gate, waiter), at >= 0)
            break
          }
          case "finish": {
            const at = naive.inside.indexOf(command.who)
            if (at < 0) break
            naive.inside.splice(at, 1)
            inside.splice(inside.indexOf(command.who), 1)
            Queue.release(gate)
            settle()
            break
          }
          case "resize":
            gate.limit = command.limit
            naive.limit = command.limit
            settle()
        }
        assert.deepStrictEqual(inside, naive.inside)
        assert.deepStrictEqual(queueOf(gate), naive.queue)
        assert.strictEqual(gate.running, naive.inside.length)
        assert.strictEqual(gate.waiting, naive.queue.length)
      }
    },
    { arbitrary: { runs: 500, size: 60, seed: 1 } }
  )

  it("does not admit a later call while a permit is free and another call waits", () => {
    const gate = Queue.make<string>(1, 9)
    assert.isTrue(Queue.tryAcquire(gate))
    Queue.enqueue(gate, "first")
    Queue.release(gate)
    assert.strictEqual(gate.running, 0)
    assert.isFalse(Queue.tryAcquire(gate))
    assert.strictEqual(Queue.grantNext(gate)?.value, "first")
  })

  it("a waiter cannot leave the queue twice, nor after it got its permit", () => {
    const gate = Queue.make<string>(1, 9)
    Queue.tryAcquire(gate)
    const one = Queue.enqueue(gate, "one")!
    const two = Queue.enqueue(gate, "two")!
    assert.isTrue(Queue.leave(gate, one))
    assert.isFalse(Queue.leave(gate, one))
    Queue.release(gate)
    Queue.grantNext(gate)
    assert.isFalse(Queue.leave(gate, two))
    assert.strictEqual(gate.waiting, 0)
  })

  it("a waiter that has left the queue keeps no reference to those still in it", () => {
    const gate = Queue.make<string>(1, 9)
    Queue.enqueue(gate, "one")
    const two = Queue.enqueue(gate, "two")!
    Queue.enqueue(gate, "three")
    Queue.leave(gate, two)
    assert.deepStrictEqual([two.previous, two.next], [undefined, undefined])
  })
})

/** A proxy of an object and of all it leads to that counts every read and write. */
const counted = () => {
  const proxies = new WeakMap<object, object>()
  const originals = new WeakMap<object, object>()
  const count = { steps: 0 }
  const unwrap = (value: unknown): unknown =>
    typeof value === "object" && value !== null ? (originals.get(value) ?? value) : value
  const wrap = <T>(value: T): T => {
    if (typeof value !== "object" || value === null) return value
    if (originals.has(value)) return value
    const known = proxies.get(value)
    if (known !== undefined) return known as T
    const proxy = new Proxy<object>(value, {
      get: (target, name) => {
        count.steps += 1
        return wrap(Reflect.get(target, name))
      },
      set: (target, name, next) => {
        count.steps += 1
        return Reflect.set(target, name, unwrap(next))
      }
    })
    proxies.set(value, proxy)
    originals.set(proxy, value)
    return proxy as T
  }
  return { count, wrap }
}

const stepsWith = (waiting: number) => {
  const { count, wrap } = counted()
  const gate = wrap(Queue.make<number>(1, waiting + 1))
  Queue.tryAcquire(gate)
  const waiters = Array.from({ length: waiting }, (_, i) => wrap(Queue.enqueue(gate, i)!))
  const steps = (operation: () => unknown) => {
    const before = count.steps
    operation()
    return count.steps - before
  }
  return {
    enter: steps(() => Queue.tryAcquire(gate)),
    join: steps(() => Queue.enqueue(gate, waiting)),
    leaveMiddle: steps(() => Queue.leave(gate, waiters[waiting / 2]!)),
    leaveFirst: steps(() => Queue.leave(gate, waiters[0]!)),
    exit: steps(() => Queue.release(gate)),
    admit: steps(() => Queue.grantNext(gate))
  }
}

describe("the gate, O(1)", () => {
  it("takes as many steps with ten thousand waiting as with ten", () => {
    const few = stepsWith(10)
    assert.deepStrictEqual(stepsWith(10_000), few)
    for (const steps of Object.values(few)) assert.isBelow(steps, 40)
  })
})
