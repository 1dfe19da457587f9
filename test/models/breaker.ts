import { Model } from "@effect-resilience/testing"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { CircuitBreaker, Policies, TripPolicy } from "effect-resilience"
import { type Admission, Circuit, type CircuitSettings, type Saved } from "./circuit.ts"
import {
  type CallerView,
  circuitView,
  controls,
  endings,
  exitOf,
  idle,
  pause,
  saidBy,
  time,
  type WorkError,
  wallTime
} from "./work.ts"

const count = 4
const keys = ["a", "b"] as const
type Key = (typeof keys)[number]

/** A command that was given, and what each circuit was that it changed. */
interface Given {
  readonly keys: ReadonlyArray<Key>
  readonly before: Map<Key, Saved>
  readonly until: number
}

interface World {
  now: number
  given: Array<Given>
  readonly circuits: Readonly<Record<Key, Circuit>>
  readonly callers: Array<CallerView>
  readonly calls: Array<{ readonly key: Key; readonly admission: Admission } | undefined>
}

interface Real {
  readonly registry: Policies.Registry
  readonly breaker: CircuitBreaker.CircuitBreaker
  readonly callers: Model.Callers<string, WorkError>
  readonly wall: Model.Wall
}

/** Each circuit is what it was before, or hands that on to the next command on it. */
const takeBack = (world: World, one: Given): void => {
  const later = world.given.slice(world.given.indexOf(one) + 1)
  world.given = world.given.filter((other) => other !== one)
  for (const [key, saved] of one.before) {
    const above = later.find(({ keys }) => keys.includes(key))
    if (above === undefined) world.circuits[key].restore(saved)
    else above.before.set(key, saved)
  }
}

const command = Model.command<World, Real>()
const caller = Model.integer(0, count - 1)

const commands: Model.Model<World, Real>["commands"] = {
  begin: command({
    input: Model.all({ caller, key: Model.oneOf(...keys) }),
    weight: 6,
    when: ({ callers }, { caller }) => callers[caller]?.doing === "idle",
    next: ({ callers, calls, circuits, now }, { caller, key }) => {
      const admission = circuits[key].admit(now)
      calls[caller] = admission && { key, admission }
      callers[caller] =
        admission === undefined
          ? { doing: "idle", last: "CircuitOpen", attempts: 0 }
          : { doing: "working", last: undefined, attempts: 1 }
    },
    run: ({ breaker, callers, wall }, { caller, key }) =>
      callers.begin(caller, (work) => wall.within(work.pipe(breaker.protect({ key }))))
  }),
  end: command({
    input: Model.all({ caller, how: Model.oneOf(...endings) }),
    weight: 6,
    when: ({ callers }, { caller }) => callers[caller]?.doing === "working",
    next: ({ callers, calls, circuits, now }, { caller, how }) => {
      const call = calls[caller]
      if (call !== undefined) {
        circuits[call.key].settle(call.admission, saidBy[how], now, how === "Later" ? pause : 0)
      }
      callers[caller] = { doing: "idle", last: how, attempts: 1 }
    },
    run: ({ callers }, { caller, how }) => callers.end(caller, exitOf[how])
  }),
  interrupt: command({
    input: caller,
    when: ({ callers }, caller) => callers[caller]?.doing === "working",
    next: ({ callers, calls, circuits, now }, caller) => {
      const call = calls[caller]
      if (call !== undefined) circuits[call.key].settle(call.admission, "ignored", now)
      callers[caller] = { doing: "idle", last: "interrupted", attempts: 1 }
    },
    run: ({ callers }, caller) => callers.interrupt(caller)
  }),
  forward: command({
    input: time,
    weight: 3,
    next: (world, millis) => {
      world.now += millis
      // Those that end first, first.
      const over = world.given.filter(({ until }) => until <= world.now).sort((a, b) => a.until - b.until)
      for (const one of over) takeBack(world, one)
    },
    run: (_, millis) => TestClock.adjust(millis)
  }),
  setWall: command({ input: wallTime, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) }),
  control: command({
    input: Model.all({ command: controls, key: Model.oneOf(...keys, "every"), seconds: Model.oneOf(0, 3, 10) }),
    next: ({ circuits, given, now }, { command, key, seconds }) => {
      const touched = key === "every" ? keys : [key]
      const before = new Map<Key, Saved>()
      for (const one of touched) {
        const saved = circuits[one].save()
        circuits[one].control(command, now)
        if (circuits[one].save().period !== saved.period) before.set(one, saved)
      }
      given.push({ keys: touched, before, until: seconds === 0 ? Infinity : now + seconds * 1000 })
    },
    run: ({ breaker, wall }, { command, key, seconds }) => {
      const end = seconds === 0 ? {} : { for: Duration.seconds(seconds) }
      return Effect.asVoid(wall.within(breaker.control[command]({ ...(key === "every" ? {} : { key }), ...end })))
    }
  }),
  undo: command({
    input: Model.integer(0, 5),
    weight: 2,
    when: ({ given }) => given.length > 0,
    next: (world, nth) => takeBack(world, world.given[nth % world.given.length]!),
    run: ({ registry }, nth) =>
      Effect.gen(function* () {
        const changes = yield* Policies.changes
        const ended = new Set(changes.map(({ ends }) => ends))
        // Without the two that have created the keys.
        const live = changes.slice(keys.length).filter(({ ends, id }) => ends === undefined && !ended.has(id))
        yield* Effect.orDie(Policies.undo(live[nth % live.length]!.id))
      }).pipe(Effect.provideService(Policies.CurrentRegistry, registry))
  })
}

export type Make = Effect.Effect<CircuitBreaker.CircuitBreaker>

const model = (name: string, settings: CircuitSettings, make: Make): Model.Model<World, Real> => ({
  name,
  initial: () => ({
    now: 0,
    given: [],
    circuits: { a: new Circuit(settings, 0), b: new Circuit(settings, 0) },
    callers: Array.from({ length: count }, idle),
    calls: []
  }),
  real: Effect.gen(function* () {
    const registry = Policies.makeRegistry()
    const breaker = yield* Effect.provideService(make, Policies.CurrentRegistry, registry)
    // Made now, as in the model: a circuit is as old as its key.
    for (const key of keys) yield* breaker.control.enable({ key })
    return { registry, breaker, callers: Model.callers<string, WorkError>(count), wall: yield* Model.wall }
  }),
  commands,
  expected: ({ callers, circuits, now }) => ({ a: circuits.a.view(now), b: circuits.b.view(now), callers }),
  actual: ({ breaker, callers, wall }) =>
    Effect.map(wall.within(Effect.all([breaker.state("a"), breaker.state("b")])), ([a, b]) => ({
      a: circuitView(a),
      b: circuitView(b),
      callers: callers.view
    }))
})

const openFor = { initial: 1000, factor: 2, max: 4000, jitter: 0 } as const
const common = { initial: 1000, factor: 2, max: 4000, maxRetryAfter: 2500, lease: 2000 }

export const twoInARow: Make = CircuitBreaker.make("breaker", {
  trip: TripPolicy.consecutive(2),
  openFor,
  maxRetryAfter: "2500 millis",
  probes: { permitted: 3, successes: 2, lease: "2 seconds" }
})

/** Opens on two failures in a row, closes on two good probes of three. */
export const consecutive = (make: Make = twoInARow) =>
  model(
    "breaker, consecutive",
    {
      ...common,
      permitted: 3,
      successes: 2,
      trips: (outcomes) => outcomes.length >= 2 && outcomes.slice(-2).every((failed) => failed)
    },
    make
  )

/** Opens on half of the last four, two at least; one probe decides. */
export const rate = (
  make: Make = CircuitBreaker.make("breaker", {
    trip: TripPolicy.failureRate({ threshold: 0.5, calls: 4, minimumCalls: 2 }),
    openFor,
    maxRetryAfter: "2500 millis",
    probes: { permitted: 1, successes: 1, lease: "2 seconds" }
  })
) =>
  model(
    "breaker, rate",
    {
      ...common,
      permitted: 1,
      successes: 1,
      trips: (outcomes) => {
        const last = outcomes.slice(-4)
        return last.length >= 2 && last.filter((failed) => failed).length / last.length >= 0.5
      }
    },
    make
  )
