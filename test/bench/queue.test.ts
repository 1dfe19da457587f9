import { assert, describe, it } from "@effect/vitest"
import * as Queue from "../../packages/resilience/src/machine/Queue.ts"

/** Counts every look at a field and every change of one, of an object and of all objects that are reached through it. */
class Meter {
  operations = 0
  private readonly seen = new WeakMap<object, object>()
  private readonly originals = new WeakMap<object, object>()

  watch<A extends object>(object: A): A {
    if (this.originals.has(object)) return object
    const known = this.seen.get(object)
    if (known !== undefined) return known as A
    const proxy = new Proxy(object, {
      get: (target, key, receiver) => {
        this.operations += 1
        const value: unknown = Reflect.get(target, key, receiver)
        return typeof value === "object" && value !== null ? this.watch(value) : value
      },
      set: (target, key, value) => {
        this.operations += 1
        return Reflect.set(target, key, this.original(value))
      }
    })
    this.seen.set(object, proxy)
    this.originals.set(proxy, object)
    return proxy
  }

  /** Operations that a function takes. */
  of(f: () => unknown): number {
    const before = this.operations
    f()
    return this.operations - before
  }

  private original(value: unknown): unknown {
    return typeof value === "object" && value !== null ? (this.originals.get(value) ?? value) : value
  }
}

/** Operations of each move at a gate where so many wait, in the middle of the queue where that matters. */
const movesAmong = (waiting: number) => {
  const meter = new Meter()
  const gate = meter.watch(Queue.make<number>(1, waiting + 1))
  assert.isTrue(Queue.tryAcquire(gate))
  const places = Array.from({ length: waiting }, (_, i) => Queue.enqueue(gate, i))
  const middle = meter.watch(places[waiting >> 1]!)
  const moves = {
    refuse: meter.of(() => Queue.tryAcquire(gate)),
    enqueue: meter.of(() => Queue.enqueue(gate, waiting)),
    leaveFromTheMiddle: meter.of(() => Queue.leave(gate, middle)),
    exit: meter.of(() => Queue.release(gate)),
    admitNext: meter.of(() => Queue.grantNext(gate)),
    admitNobody: meter.of(() => Queue.grantNext(gate))
  }
  assert.strictEqual(gate.waiting, waiting - 1)
  assert.strictEqual(gate.running, 1)
  return moves
}

describe("the queue of a bulkhead", () => {
  it("takes as many operations per move with 10,000 waiting as with 10", () => {
    const few = movesAmong(10)
    assert.deepStrictEqual(movesAmong(10_000), few)
    for (const [move, operations] of Object.entries(few)) assert.isAbove(operations, 0, move)
  })

  it("is emptied in time that grows with its length, not faster", () => {
    const emptying = (waiting: number) => {
      const meter = new Meter()
      const gate = meter.watch(Queue.make<number>(1, waiting))
      Queue.tryAcquire(gate)
      for (let i = 0; i < waiting; i++) Queue.enqueue(gate, i)
      const operations = meter.of(() => {
        for (let i = 0; i < waiting; i++) {
          Queue.release(gate)
          Queue.grantNext(gate)
        }
      })
      assert.strictEqual(gate.waiting, 0)
      return operations
    }
    assert.isAtMost(emptying(10_000), 100 * emptying(100) + 100)
  })

  it("would be seen to walk if it did", () => {
    const walking = (waiting: number) => {
      const meter = new Meter()
      const gate = meter.watch(Queue.make<number>(1, waiting))
      Queue.tryAcquire(gate)
      for (let i = 0; i < waiting; i++) Queue.enqueue(gate, i)
      return meter.of(() => {
        let at = gate.first
        while (at !== undefined) at = at.next
      })
    }
    assert.isAbove(walking(1000), 9 * walking(100))
  })
})
