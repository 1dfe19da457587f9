import { Model } from "@effect-resilience/testing"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Bulkhead } from "effect-resilience"
import { InForce, type Lasts, lasts, type Operator, operated, whyOf } from "./steer.ts"
import { type CallerView, describe, endings, exitOf, idle, time, type WorkError, wallTime } from "./work.ts"

const count = 6
const maxQueued = 2
const maxWait = 1000

export const options = {
  maxConcurrent: 2,
  maxQueued,
  maxWait: `${maxWait} millis` satisfies Duration.Input
} as const

/** The settings of a bulkhead; milliseconds. */
interface Limits {
  readonly maxConcurrent: number
  readonly maxQueued: number
  readonly maxWait: number
}

/** Settings to set. */
const sets = [
  { maxConcurrent: 3 },
  { maxQueued: 1 },
  { maxQueued: 4, maxWait: 300 },
  { maxConcurrent: 1, maxWait: 5000 }
] as const satisfies ReadonlyArray<Partial<Limits>>

type Command = { readonly resize: number } | { readonly set: Partial<Limits> }

/** What holds by all commands in force: every `set` over those before it, and the last `resize` over them. */
export const limitsOf = (commands: ReadonlyArray<Command>): Limits => {
  const start: Limits = { maxConcurrent: options.maxConcurrent, maxQueued, maxWait }
  const set: Limits = Object.assign(start, ...commands.flatMap((one) => ("set" in one ? [one.set] : [])))
  const resize = commands.findLast((one) => "resize" in one)
  return resize === undefined ? set : { ...set, maxConcurrent: resize.resize }
}

/** A bulkhead as it could be written if nobody were in a hurry: who is inside, and who waits until when. */
interface World {
  now: number
  readonly queue: Array<{ readonly caller: number; readonly until: number }>
  readonly callers: Array<CallerView>
  readonly inForce: InForce<Command>
}

/** What the model needs of a bulkhead, so that a broken one can stand in. */
export interface Gate extends Operator {
  readonly protect: <A, E>(work: Effect.Effect<A, E>) => Effect.Effect<A, unknown>
  readonly resize: (limit: number, lasts: Lasts) => Effect.Effect<void>
  readonly set: (values: Partial<Limits>, lasts: Lasts) => Effect.Effect<void>
  readonly state: Effect.Effect<Bulkhead.State>
}

/** The commands of a bulkhead. */
export const steered = ({ control, resize, state }: Bulkhead.Bulkhead, operator: Operator): Omit<Gate, "protect"> => ({
  resize: (limit, lasts) => Effect.asVoid(resize(limit, whyOf(lasts))),
  set: (values, lasts) => Effect.asVoid(control.set(values, whyOf(lasts))),
  state: state(),
  ...operator
})

interface Real {
  readonly gate: Gate
  readonly callers: Model.Callers<string, WorkError>
  readonly wall: Model.Wall
}

const limits = ({ inForce }: World): Limits => limitsOf(inForce.commands)

const running = ({ callers }: World): number => callers.filter(({ doing }) => doing === "working").length

const rejected = (reason: "full" | "wait"): CallerView => ({
  doing: "idle",
  last: `BulkheadFull: ${reason}`,
  attempts: 0
})
const working = (): CallerView => ({ doing: "working", last: undefined, attempts: 1 })

const admitWaiting = (world: World): void => {
  while (running(world) < limits(world).maxConcurrent) {
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
      const { callers, now, queue } = world
      const { maxConcurrent, maxQueued, maxWait } = limits(world)
      if (running(world) < maxConcurrent && queue.length === 0) callers[caller] = working()
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
      const end = world.now + millis
      const { inForce, queue } = world
      for (;;) {
        const late = queue.toSorted((a, b) => a.until - b.until)[0]
        world.now = Math.min(end, inForce.nextEnd, late?.until ?? Infinity)
        if (late?.until === world.now) {
          queue.splice(queue.indexOf(late), 1)
          world.callers[late.caller] = rejected("wait")
        } else if (inForce.nextEnd === world.now) {
          inForce.endNext()
          admitWaiting(world)
        } else break
      }
    },
    run: (_, millis) => TestClock.adjust(millis)
  }),
  resize: command({
    input: Model.all({ limit: Model.integer(1, 4), lasts }),
    weight: 2,
    next: (world, { lasts, limit }) => {
      world.inForce.give({ resize: limit }, lasts, world.now)
      admitWaiting(world)
    },
    run: ({ gate }, { lasts, limit }) => gate.resize(limit, lasts)
  }),
  set: command({
    input: Model.all({ which: Model.integer(0, sets.length - 1), lasts }),
    next: (world, { lasts, which }) => {
      world.inForce.give({ set: sets[which]! }, lasts, world.now)
      admitWaiting(world)
    },
    run: ({ gate }, { lasts, which }) => gate.set(sets[which]!, lasts)
  }),
  undo: command({
    input: Model.integer(0, 3),
    weight: 2,
    when: ({ inForce }) => inForce.commands.length > 0,
    next: (world, nth) => {
      world.inForce.undo(nth)
      admitWaiting(world)
    },
    run: ({ gate }, nth) => gate.undo(nth)
  }),
  setWall: command({ input: wallTime, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) })
}

const make: Effect.Effect<Gate> = Effect.map(operated(Bulkhead.make("bulkhead", options)), ([bulkhead, operator]) => ({
  ...steered(bulkhead, operator),
  protect: (work) => bulkhead.protect(work)
}))

export const bulkhead = (gate: Effect.Effect<Gate> = make): Model.Model<World, Real> => ({
  name: "bulkhead",
  initial: () => ({ now: 0, queue: [], callers: Array.from({ length: count }, idle), inForce: new InForce() }),
  real: Effect.all({
    gate,
    callers: Effect.sync(() => Model.callers<string, WorkError>(count, describe)),
    wall: Model.wall
  }),
  commands,
  expected: (world) => ({
    running: running(world),
    waiting: world.queue.length,
    maxConcurrent: limits(world).maxConcurrent,
    callers: world.callers,
    inForce: world.inForce.commands.length
  }),
  actual: ({ callers, gate }) =>
    Effect.map(Effect.all([gate.state, gate.inForce]), ([{ maxConcurrent, running, waiting }, inForce]) => ({
      running,
      waiting,
      maxConcurrent,
      callers: callers.view,
      inForce
    }))
})
