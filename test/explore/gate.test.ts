import { assert, describe, it } from "@effect/vitest"
import type { Explore } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as Queue from "../../packages/resilience/src/machine/Queue.ts"
import { explore, violation } from "./report.ts"

/** A gate, and beside it who is inside and who waits, in order of arrival. */
interface State {
  readonly gate: Queue.Queue<number>
  readonly waiters: Array<Queue.Waiter<number>>
  readonly arrived: Array<number>
  inside: Array<number>
  next: number
  last: "in" | "waits" | "refused" | "left" | "gave up" | "resized"
}

type Bug = "last come, first served" | "wakes one after a resize" | "gives up without a word"

const most = 3

const machine = (limit: number, maxQueued: number, bug?: Bug): Explore.Machine<State> => {
  const admit = (state: State): void => {
    for (;;) {
      if (bug === "last come, first served" && state.gate.running < state.gate.limit) {
        const newest = state.waiters.findLast(({ linked }) => linked)
        if (newest !== undefined) {
          Queue.leave(state.gate, newest)
          state.gate.running += 1
          state.inside.push(newest.value)
          continue
        }
      }
      const waiter = Queue.grantNext(state.gate)
      if (waiter === undefined) break
      state.inside.push(waiter.value)
      if (bug === "wakes one after a resize" && state.last === "resized") break
    }
    forget(state)
  }
  /** Who does not wait any more. */
  const forget = (state: State): void => {
    const queued = state.waiters.filter(({ linked }) => linked)
    state.waiters.splice(0, Infinity, ...queued)
    const still = state.arrived.filter((caller) => queued.some(({ value }) => value === caller))
    state.arrived.splice(0, Infinity, ...still)
  }

  const action = (name: string, change: (state: State) => void): Explore.Action<State> => ({
    name,
    next: (state) => {
      change(state)
      return state
    }
  })

  const arrive = action("arrive", (state) => {
    const caller = state.next++
    if (Queue.tryAcquire(state.gate)) {
      state.inside.push(caller)
      state.last = "in"
      return
    }
    const waiter = Queue.enqueue(state.gate, caller)
    state.last = waiter === undefined ? "refused" : "waits"
    if (waiter === undefined) return
    state.waiters.push(waiter)
    state.arrived.push(caller)
  })

  return {
    name: `gate of ${limit}, queue of ${maxQueued}`,
    initial: () => ({
      gate: Queue.make(limit, maxQueued),
      waiters: [],
      arrived: [],
      inside: [],
      next: 0,
      last: "left"
    }),
    actions: ({ inside, waiters }) => [
      arrive,
      ...inside.map((_, at) =>
        action(`${at} leaves`, (state) => {
          state.inside.splice(at, 1)
          state.last = "left"
          Queue.release(state.gate)
          admit(state)
        })
      ),
      ...waiters.map((_, at) =>
        action(`waiter ${at} gives up`, (state) => {
          const waiter = state.waiters[at]
          if (waiter === undefined) return
          state.last = "gave up"
          if (bug === "gives up without a word") state.waiters.splice(at, 1)
          else Queue.leave(state.gate, waiter)
          forget(state)
        })
      ),
      ...Array.from({ length: most }, (_, i) =>
        action(`resize to ${i + 1}`, (state) => {
          state.gate.limit = i + 1
          state.last = "resized"
          admit(state)
        })
      )
    ],
    // Callers only count up: their order is what matters.
    key: ({ arrived, gate, inside, last, waiters }) => {
      const order = [...inside, ...arrived].sort((a, b) => a - b)
      const rank = (caller: number) => order.indexOf(caller)
      const queue: Array<number> = []
      for (let one = gate.first; one !== undefined; one = one.next) queue.push(rank(one.value))
      return {
        limit: gate.limit,
        running: gate.running,
        waiting: gate.waiting,
        queue,
        known: waiters.map(({ value }) => rank(value)),
        inside: inside.map(rank).sort(),
        arrived: arrived.map(rank),
        last
      }
    },
    invariants: {
      "I5: running and waiting are who is inside and who waits": ({ arrived, gate, inside }) =>
        gate.running === inside.length && gate.waiting === arrived.length,
      "I5: the queue is never longer than it may be": ({ gate }) => gate.waiting <= maxQueued,
      "I5: no lost wake-up: nobody waits while there is room": ({ arrived, gate, inside }) =>
        arrived.length === 0 || inside.length >= gate.limit,
      "first come, first served: nobody inside came after one who waits": ({ arrived, inside }) =>
        inside.every((caller) => arrived.every((waiting) => caller < waiting)),
      "the queue is whole, there and back": ({ arrived, gate }) => {
        const there: Array<number> = []
        const back: Array<number> = []
        for (let one = gate.first; one !== undefined; one = one.next) there.push(one.value)
        for (let one = gate.last; one !== undefined; one = one.previous) back.unshift(one.value)
        return `${there}` === `${arrived}` && `${back}` === `${arrived}`
      }
    },
    steps: {
      "I5: nobody is let in beyond the limit": ({ after, before }) =>
        after.inside.length <= Math.max(after.gate.limit, before.inside.length),
      "nobody is refused while there is room, inside or in the queue": ({ after, before }) =>
        after.last !== "refused" || (before.gate.running >= before.gate.limit && before.gate.waiting >= maxQueued),
      "a resize sends nobody away": ({ after, before }) =>
        after.last !== "resized" || before.inside.every((caller) => after.inside.includes(caller))
    },
    goals: {
      "everybody gets in or out": { reached: ({ arrived, inside }) => arrived.length + inside.length === 0 }
    }
  }
}

describe("every interleaving of arrivals, departures, waiters that give up, and resizes", () => {
  it.effect.each([
    [1, 0],
    [1, 3],
    [2, 2],
    [3, 4]
  ] as const)("at a gate of %i with a queue of %i", ([limit, maxQueued]) =>
    Effect.gen(function* () {
      const { states } = yield* explore(machine(limit, maxQueued), { verifyKey: true })
      assert.isAbove(states, 10)
    })
  )

  it.effect.each([
    ["last come, first served", "first come, first served: nobody inside came after one who waits", 4],
    ["wakes one after a resize", "I5: no lost wake-up: nobody waits while there is room", 4],
    ["gives up without a word", "I5: running and waiting are who is inside and who waits", 3]
  ] as const)("a gate that %s is found", ([bug, law, steps]) =>
    Effect.gen(function* () {
      const found = yield* violation(machine(1, 2, bug))
      assert.strictEqual(found?.law, law)
      assert.strictEqual(found?.trace.length, steps)
    })
  )
})
