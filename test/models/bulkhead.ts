import { Model } from "@effect-resilience/testing"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead } from "effect-resilience"
import { type CallerView, describe, endings, exitOf, idle, time, type WorkError, wallTime } from "./work.ts"

const count = 6
const maxQueued = 2
const maxWait = 1000

/** A bulkhead as it could be written if nobody were in a hurry: who is inside, and who waits until when. */
interface World {
  now: number
  limit: number
  readonly queue: Array<{ readonly caller: number; readonly until: number }>
  readonly callers: Array<CallerView>
}

/** What the model needs of a bulkhead, so that a broken one can stand in. */
export interface Gate {
  readonly protect: <A, E>(work: Effect.Effect<A, E>) => Effect.Effect<A, unknown>
  readonly resize: (limit: number) => Effect.Effect<void>
  readonly state: Effect.Effect<Bulkhead.State>
}

interface Real {
  readonly gate: Gate
  readonly callers: Model.Callers<string, WorkError>
  readonly wall: Model.Wall
}

const running = ({ callers }: World): number => callers.filter(({ doing }) => doing === "working").length

const rejected = (reason: "full" | "wait"): CallerView => ({
  doing: "idle",
  last: `BulkheadFull: ${reason}`,
  attempts: 0
})
const working = (): CallerView => ({ doing: "working", last: undefined, attempts: 1 })

const admitWaiting = (world: World): void => {
  while (running(world) < world.limit) {
    const next = world.queue.shift()
    if (next === undefined) return
    world.callers[next.caller] = working()
  }
}

const command = Model.command<World, Real>()
const caller = Model.integer(0, count - 1)

const commands: Model.Model<World, Real>["commands"] = {
  begin: command({
    input: caller,
    weight: 8,
    when: ({ callers }, caller) => callers[caller]?.doing === "idle",
    next: (world, caller) => {
      const { callers, limit, now, queue } = world
      if (running(world) < limit && queue.length === 0) callers[caller] = working()
      else if (queue.length < maxQueued) {
        queue.push({ caller, until: now + maxWait })
        callers[caller] = { doing: "waiting", last: undefined, attempts: 0 }
      } else callers[caller] = rejected("full")
    },
    run: ({ callers, gate, wall }, caller) => callers.begin(caller, (work) => wall.within(gate.protect(work)))
  }),
  end: command({
    input: Model.all({ caller, how: Model.oneOf(...endings) }),
    weight: 4,
    when: ({ callers }, { caller }) => callers[caller]?.doing === "working",
    next: (world, { caller, how }) => {
      world.callers[caller] = { doing: "idle", last: how, attempts: 1 }
      admitWaiting(world)
    },
    run: ({ callers }, { caller, how }) => callers.end(caller, exitOf[how])
  }),
  interrupt: command({
    input: caller,
    weight: 2,
    when: ({ callers }, caller) => callers[caller]?.doing !== "idle",
    next: (world, caller) => {
      const place = world.queue.findIndex((one) => one.caller === caller)
      if (place >= 0) world.queue.splice(place, 1)
      world.callers[caller] = { doing: "idle", last: "interrupted", attempts: place >= 0 ? 0 : 1 }
      admitWaiting(world)
    },
    run: ({ callers }, caller) => callers.interrupt(caller)
  }),
  forward: command({
    input: time,
    weight: 2,
    next: (world, millis) => {
      world.now += millis
      while (world.queue[0] !== undefined && world.queue[0].until <= world.now) {
        const late = world.queue.shift()
        if (late !== undefined) world.callers[late.caller] = rejected("wait")
      }
    },
    run: (_, millis) => TestClock.adjust(millis)
  }),
  resize: command({
    input: Model.integer(1, 4),
    weight: 2,
    next: (world, limit) => {
      world.limit = limit
      admitWaiting(world)
    },
    run: ({ gate }, limit) => Effect.asVoid(gate.resize(limit))
  }),
  setWall: command({ input: wallTime, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) })
}

export const options = {
  maxConcurrent: 2,
  maxQueued,
  maxWait: `${maxWait} millis` satisfies Duration.Input
} as const

const make: Effect.Effect<Gate> = Effect.map(Bulkhead.make("bulkhead", options), ({ protect, resize, state }) => ({
  protect: (work) => protect(work),
  resize,
  state: state()
}))

export const bulkhead = (gate: Effect.Effect<Gate> = make): Model.Model<World, Real> => ({
  name: "bulkhead",
  initial: () => ({ now: 0, limit: options.maxConcurrent, queue: [], callers: Array.from({ length: count }, idle) }),
  real: Effect.all({
    gate,
    callers: Effect.sync(() => Model.callers<string, WorkError>(count, describe)),
    wall: Model.wall
  }),
  commands,
  expected: (world) => ({
    running: running(world),
    waiting: world.queue.length,
    maxConcurrent: world.limit,
    callers: world.callers
  }),
  actual: ({ callers, gate }) => Effect.map(gate.state, (state) => ({ ...state, callers: callers.view }))
})
