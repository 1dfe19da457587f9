import { Model } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Policy } from "effect-resilience"
import { type Admission, Circuit, type Said } from "./circuit.ts"
import { type Command, type Mode, options, sets, settingsOf } from "./settings.ts"
import { InForce, type Lasts, lasts, type Operator, operated, whyOf } from "./steer.ts"
import {
  type CallerView,
  circuitView,
  controls,
  describe,
  type Ending,
  endings,
  exitOf,
  idle,
  pause,
  saidBy,
  time,
  type WorkError,
  wallTime
} from "./work.ts"

const count = 5
interface Attempt {
  readonly caller: number
  readonly admission: Admission
  readonly until: number
}

/** The order of the layers, read off the page: circuit, queue, circuit again, timeout, work. */
class World {
  now = 0
  readonly inForce = new InForce<Command>()
  private settings = settingsOf([])
  /** Calls that began when the policy did not enforce: nothing but their counts is the policy's. */
  private readonly free = new Map<number, "observe" | "off">()
  readonly circuit = new Circuit(this.settings, 0)
  readonly queue: Array<{ readonly caller: number; readonly until: number }> = []
  readonly running: Array<Attempt> = []
  readonly callers: Array<CallerView> = Array.from({ length: count }, idle)
  readonly totals = {
    calls: 0,
    successes: 0,
    failures: 0,
    ignored: 0,
    timeouts: 0,
    rejections: { CircuitOpen: 0, BulkheadFull: 0, RateLimited: 0, DeadlineExceeded: 0 }
  }

  private over(caller: number, last: string): void {
    this.callers[caller] = { doing: "idle", last, attempts: this.callers[caller]?.attempts ?? 0 }
  }

  private refuse(caller: number, tag: "CircuitOpen" | "BulkheadFull", reason?: string): void {
    this.totals.rejections[tag] += 1
    this.over(caller, reason === undefined ? tag : `${tag}: ${reason}`)
  }

  get limit(): number {
    return this.settings.maxConcurrent
  }

  /** The mode of the last command for the key, else of the last one for every key. */
  get mode(): Mode {
    const modes = this.inForce.commands.flatMap((one) => ("mode" in one ? [one] : []))
    return (modes.findLast(({ key }) => key !== undefined) ?? modes.at(-1))?.mode ?? "enforce"
  }

  get runningOrObserved(): number {
    return this.running.length + Array.from(this.free.values()).filter((mode) => mode === "observe").length
  }

  begin(caller: number): void {
    const { mode } = this
    if (mode !== "off") this.totals.calls += 1
    if (mode !== "enforce") {
      this.free.set(caller, mode)
      this.callers[caller] = { doing: "working", last: undefined, attempts: 1 }
      return
    }
    const { maxConcurrent, maxQueued, maxWait } = this.settings
    this.callers[caller] = { doing: "waiting", last: undefined, attempts: 0 }
    if (!this.circuit.admits(this.now)) this.refuse(caller, "CircuitOpen")
    else if (this.running.length < maxConcurrent && this.queue.length === 0) this.start(caller)
    else if (this.queue.length < maxQueued) this.queue.push({ caller, until: this.now + maxWait })
    else this.refuse(caller, "BulkheadFull", "full")
  }

  private start(caller: number): void {
    const admission = this.circuit.admit(this.now)
    if (admission === undefined) this.refuse(caller, "CircuitOpen")
    else {
      this.running.push({ caller, admission, until: this.now + this.settings.timeout })
      this.callers[caller] = { doing: "working", last: undefined, attempts: 1 }
    }
  }

  private admitWaiting(): void {
    while (this.running.length < this.limit) {
      const next = this.queue.shift()
      if (next === undefined) return
      this.start(next.caller)
    }
  }

  end(caller: number, how: Ending | "interrupted" | "TimedOut"): void {
    const said = how === "interrupted" ? "ignored" : how === "TimedOut" ? "failure" : saidBy[how]
    const free = this.free.get(caller)
    if (free !== undefined) {
      this.free.delete(caller)
      if (free === "observe") this.count(said)
      this.over(caller, how)
      return
    }
    const at = this.running.findIndex((one) => one.caller === caller)
    const [attempt] = this.running.splice(at, 1)
    if (attempt === undefined) return
    this.circuit.settle(attempt.admission, said, this.now, how === "Later" ? pause : 0)
    if (how === "TimedOut") this.totals.timeouts += 1
    this.count(said)
    this.over(caller, how)
    this.refuseShut()
    this.admitWaiting()
  }

  private count(said: Said): void {
    if (said === "success") this.totals.successes += 1
    if (said === "failure") this.totals.failures += 1
    if (said === "ignored") this.totals.ignored += 1
  }

  /** Calls that wait leave the queue when the circuit rejects every call. */
  private refuseShut(): void {
    if (!this.circuit.isShut(this.now)) return
    for (const { caller } of this.queue.splice(0)) this.refuse(caller, "CircuitOpen")
  }

  control(command: Parameters<Circuit["control"]>[0]): void {
    this.circuit.control(command, this.now)
    this.refuseShut()
  }

  interrupt(caller: number): void {
    const place = this.queue.findIndex((one) => one.caller === caller)
    if (place < 0) this.end(caller, "interrupted")
    else {
      this.queue.splice(place, 1)
      this.over(caller, "interrupted")
    }
  }

  /** What holds after a command, an undo or an end. */
  retune(): void {
    const limit = this.limit
    this.settings = settingsOf(this.inForce.commands)
    this.circuit.retune(this.settings)
    if (this.limit !== limit) this.admitWaiting()
  }

  give(command: Command, lasts: Lasts): void {
    this.inForce.give(command, lasts, this.now)
    this.retune()
  }

  undo(nth: number): void {
    this.inForce.undo(nth)
    this.retune()
  }

  /** Whatever is due until then happens at its own instant, the earliest first. */
  forward(millis: number): void {
    const end = this.now + millis
    for (;;) {
      const due = [...this.running, ...this.queue].sort((a, b) => a.until - b.until)[0]
      const { nextEnd } = this.inForce
      if (Math.min(due?.until ?? Infinity, nextEnd) > end) break
      this.now = Math.min(due?.until ?? Infinity, nextEnd)
      if (due === undefined || nextEnd < due.until) {
        this.inForce.endNext()
        this.retune()
      } else if ("admission" in due) this.end(due.caller, "TimedOut")
      else {
        this.queue.splice(this.queue.indexOf(due), 1)
        this.refuse(due.caller, "BulkheadFull", "wait")
      }
    }
    this.now = end
  }
}

export type Subject = Policy.Policy<Policy.PartsOf<typeof options>, Policy.RulesOf<typeof options>>

type Real = {
  readonly policy: Subject
  readonly operator: Operator
  readonly callers: Model.Callers<string, WorkError>
  readonly wall: Model.Wall
}

const command = Model.command<World, Real>()
const caller = Model.integer(0, count - 1)

/** Sets one of the first `n` settings. */
const setOneOf = (n: number) =>
  command({
    input: Model.all({ which: Model.integer(0, n - 1), lasts }),
    weight: 2,
    next: (world, { lasts, which }) => world.give({ set: sets[which]! }, lasts),
    run: ({ policy }, { lasts, which }) => Effect.asVoid(policy.control.set(sets[which]!, whyOf(lasts)))
  })

const commands = {
  begin: command({
    input: caller,
    weight: 14,
    when: ({ callers }, caller) => callers[caller]?.doing === "idle",
    // A millisecond apart, so that no two attempts time out at the same instant.
    next: (world, caller) => {
      world.forward(1)
      if (world.callers[caller]?.doing === "idle") world.begin(caller)
    },
    run: ({ callers, policy, wall }, caller) =>
      Effect.andThen(
        TestClock.adjust(1),
        callers.begin(caller, (work) => wall.within(policy.protect(work)))
      )
  }),
  end: command({
    input: Model.all({ caller, how: Model.oneOf(...endings) }),
    weight: 12,
    when: ({ callers }, { caller }) => callers[caller]?.doing === "working",
    next: (world, { caller, how }) => world.end(caller, how),
    run: ({ callers }, { caller, how }) => callers.end(caller, exitOf[how])
  }),
  interrupt: command({
    input: caller,
    weight: 2,
    when: ({ callers }, caller) => callers[caller]?.doing !== "idle",
    next: (world, caller) => world.interrupt(caller),
    run: ({ callers }, caller) => callers.interrupt(caller)
  }),
  forward: command({
    input: time,
    weight: 5,
    next: (world, millis) => world.forward(millis),
    run: (_, millis) => TestClock.adjust(millis)
  }),
  resize: command({
    input: Model.all({ limit: Model.integer(2, 3), lasts }),
    next: (world, { lasts, limit }) => world.give({ resize: limit }, lasts),
    run: ({ policy }, { lasts, limit }) => Effect.asVoid(policy.control.resize(limit, whyOf(lasts)))
  }),
  set: setOneOf(sets.length),
  mode: command({
    input: Model.all({
      mode: Model.oneOf("observe", "off", "enforce"),
      key: Model.oneOf(undefined, "default"),
      lasts
    }),
    next: (world, { lasts, ...command }) => world.give(command, lasts),
    run: ({ policy }, { key, lasts, mode }) =>
      Effect.asVoid(policy.control.mode(mode, { ...(key === undefined ? {} : { key }), ...whyOf(lasts) }))
  }),
  undo: command({
    input: Model.integer(0, 3),
    weight: 3,
    when: ({ inForce }) => inForce.commands.length > 0,
    next: (world, nth) => world.undo(nth),
    run: ({ operator }, nth) => operator.undo(nth)
  }),
  control: command({
    input: controls,
    next: (world, command) => world.control(command),
    run: ({ policy, wall }, command) => Effect.asVoid(wall.within(policy.control[command]()))
  }),
  setWall: command({ input: wallTime, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) })
}

/** A timeout that stands in the scope of a call does not follow the policy: neither its settings nor its mode. */
const { begin, control, end, forward, interrupt, resize, setWall, undo } = commands
const withFixedTimeout = {
  ...{ begin, end, interrupt, forward, resize, control, undo, setWall },
  set: setOneOf(sets.length - 1)
}

export const policy = (
  make: Effect.Effect<Subject> = Policy.make("policy", options),
  how: "whole" | "in a scope" = "whole"
): Model.Model<World, Real> => ({
  name: "policy",
  initial: () => new World(),
  real: Effect.gen(function* () {
    const [policy, operator] = yield* operated(make)
    // Made now, as in the model: a circuit is as old as its key.
    yield* policy.control.enable({ key: "default" })
    return { policy, operator, callers: Model.callers<string, WorkError>(count, describe), wall: yield* Model.wall }
  }),
  commands: how === "whole" ? commands : withFixedTimeout,
  // Without the mode that the stats have: a mode that is not that of the calls is found by what they do.
  expected: ({ callers, circuit, inForce, limit, now, queue, runningOrObserved, totals }) => ({
    circuit: circuit.view(now),
    running: runningOrObserved,
    waiting: queue.length,
    maxConcurrent: limit,
    inForce: inForce.commands.length,
    totals,
    callers
  }),
  actual: ({ callers, operator, policy, wall }) =>
    Effect.map(
      wall.within(Effect.all([policy.stats(), operator.inForce])),
      ([{ circuit, maxConcurrent, running, totals, waiting }, inForce]) => {
        const { calls, failures, ignored, rejections, successes, timeouts } = totals
        return {
          circuit: circuit && circuitView(circuit),
          running,
          waiting,
          maxConcurrent,
          inForce,
          totals: { calls, successes, failures, ignored, timeouts, rejections },
          callers: callers.view
        }
      }
    )
})
