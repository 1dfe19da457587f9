import { Model } from "@effect-resilience/testing"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { Policy, TripPolicy } from "effect-resilience"
import { type Admission, Circuit } from "./circuit.ts"
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
const maxQueued = 2
const timeout = 1000
/** Half a millisecond, so that no wait ends at the same instant as an attempt. */
const maxWait = 600.5

interface Attempt {
  readonly caller: number
  readonly admission: Admission
  readonly until: number
}

/** The order of the layers, read off the page: circuit, queue, circuit again, timeout, work. */
class World {
  now = 0
  limit = 2
  readonly circuit = new Circuit(
    {
      trips: (outcomes) => outcomes.length >= 2 && outcomes.slice(-2).every((failed) => failed),
      initial: 2000,
      factor: 2,
      max: 8000,
      maxRetryAfter: 600_000,
      permitted: 2,
      successes: 1,
      lease: 5000
    },
    0
  )
  readonly queue: Array<{ readonly caller: number; readonly until: number }> = []
  readonly running: Array<Attempt> = []
  readonly callers: Array<CallerView> = Array.from({ length: count }, idle)
  readonly totals = {
    calls: 0,
    successes: 0,
    failures: 0,
    ignored: 0,
    timeouts: 0,
    rejections: { CircuitOpen: 0, BulkheadFull: 0, DeadlineExceeded: 0 }
  }

  private over(caller: number, last: string): void {
    this.callers[caller] = { doing: "idle", last, attempts: this.callers[caller]?.attempts ?? 0 }
  }

  private refuse(caller: number, tag: "CircuitOpen" | "BulkheadFull", reason?: string): void {
    this.totals.rejections[tag] += 1
    this.over(caller, reason === undefined ? tag : `${tag}: ${reason}`)
  }

  begin(caller: number): void {
    this.totals.calls += 1
    this.callers[caller] = { doing: "waiting", last: undefined, attempts: 0 }
    if (!this.circuit.admits(this.now)) this.refuse(caller, "CircuitOpen")
    else if (this.running.length < this.limit && this.queue.length === 0) this.start(caller)
    else if (this.queue.length < maxQueued) this.queue.push({ caller, until: this.now + maxWait })
    else this.refuse(caller, "BulkheadFull", "full")
  }

  private start(caller: number): void {
    const admission = this.circuit.admit(this.now)
    if (admission === undefined) this.refuse(caller, "CircuitOpen")
    else {
      this.running.push({ caller, admission, until: this.now + timeout })
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
    const at = this.running.findIndex((one) => one.caller === caller)
    const [attempt] = this.running.splice(at, 1)
    if (attempt === undefined) return
    const said = how === "interrupted" ? "ignored" : how === "TimedOut" ? "failure" : saidBy[how]
    this.circuit.settle(attempt.admission, said, this.now, how === "Later" ? pause : 0)
    if (how === "TimedOut") this.totals.timeouts += 1
    if (said === "success") this.totals.successes += 1
    if (said === "failure") this.totals.failures += 1
    if (said === "ignored") this.totals.ignored += 1
    this.over(caller, how)
    this.refuseShut()
    this.admitWaiting()
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

  resize(limit: number): void {
    this.limit = limit
    this.admitWaiting()
  }

  /** Whatever is due until then happens at its own instant, the earliest first. */
  forward(millis: number): void {
    const end = this.now + millis
    for (;;) {
      const due = [...this.running, ...this.queue].sort((a, b) => a.until - b.until)[0]
      if (due === undefined || due.until > end) break
      this.now = due.until
      if ("admission" in due) this.end(due.caller, "TimedOut")
      else {
        this.queue.splice(this.queue.indexOf(due), 1)
        this.refuse(due.caller, "BulkheadFull", "wait")
      }
    }
    this.now = end
  }
}

export const options = {
  breaker: {
    trip: TripPolicy.consecutive(2),
    openFor: { initial: 2000, factor: 2, max: 8000, jitter: 0 },
    probes: { permitted: 2, successes: 1, lease: 5000 }
  },
  bulkhead: { maxConcurrent: 2, maxQueued, maxWait },
  timeout
} as const

type Real = {
  readonly policy: Policy.Policy<Policy.PartsOf<typeof options>, Policy.RulesOf<typeof options>>
  readonly callers: Model.Callers<string, WorkError>
  readonly wall: Model.Wall
}

const command = Model.command<World, Real>()
const caller = Model.integer(0, count - 1)

const commands: Model.Model<World, Real>["commands"] = {
  begin: command({
    input: caller,
    weight: 8,
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
    weight: 3,
    next: (world, millis) => world.forward(millis),
    run: (_, millis) => TestClock.adjust(millis)
  }),
  // One more at a time: two that are let in at once would time out at the same instant.
  resize: command({
    input: Model.integer(1, 3),
    when: ({ limit }, to) => to <= limit + 1,
    next: (world, limit) => world.resize(limit),
    run: ({ policy }, limit) => Effect.asVoid(policy.control.resize(limit))
  }),
  control: command({
    input: controls,
    next: (world, command) => world.control(command),
    run: ({ policy, wall }, command) => Effect.asVoid(wall.within(policy.control[command]()))
  }),
  setWall: command({ input: wallTime, next: () => undefined, run: ({ wall }, millis) => wall.set(millis) })
}

export const policy = (
  make: Effect.Effect<Policy.Policy<Policy.PartsOf<typeof options>, Policy.RulesOf<typeof options>>> = Policy.make(
    "policy",
    options
  )
): Model.Model<World, Real> => ({
  name: "policy",
  initial: () => new World(),
  real: Effect.gen(function* () {
    const policy = yield* make
    // Made now, as in the model: a circuit is as old as its key.
    yield* policy.control.enable({ key: "default" })
    return { policy, callers: Model.callers<string, WorkError>(count, describe), wall: yield* Model.wall }
  }),
  commands,
  expected: ({ callers, circuit, limit, now, queue, running, totals }) => ({
    circuit: circuit.view(now),
    running: running.length,
    waiting: queue.length,
    maxConcurrent: limit,
    totals,
    callers
  }),
  actual: ({ callers, policy, wall }) =>
    Effect.map(wall.within(policy.stats()), ({ circuit, maxConcurrent, running, totals, waiting }) => {
      const { calls, failures, ignored, rejections, successes, timeouts } = totals
      return {
        circuit: circuit && circuitView(circuit),
        running,
        waiting,
        maxConcurrent,
        totals: { calls, successes, failures, ignored, timeouts, rejections },
        callers: callers.view
      }
    })
})
