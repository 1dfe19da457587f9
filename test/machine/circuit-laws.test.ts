import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"

/** Opens on three failures in a row. */
const trip: Circuit.TripRule<{ row: number }> = {
  initial: () => ({ row: 0 }),
  record: (evidence, failed) => {
    evidence.row = failed ? evidence.row + 1 : 0
  },
  trips: (evidence) => evidence.row >= 3
}

const openFor = 500
const lease = 1000

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum), Schema.isLessThanOrEqualTo(maximum))

const Command = Schema.Struct({
  op: Schema.Literals(["call", "call", "success", "failure", "ignored", "wait"]),
  which: between(0, 50)
})

interface Running {
  readonly generation: number
  readonly ticket: number
  readonly admittedAt: number
}

/** A circuit under traffic: who runs is known here, independently of what the machine keeps. */
class World {
  now = 0
  readonly circuit = Circuit.make(trip, 0)
  readonly running: Array<Running> = []
  /** Probes that were counted in this half-open generation. */
  decided = 0
  generation = 0
  readonly settings: Circuit.ProbeRule

  constructor(settings: Circuit.ProbeRule) {
    this.settings = settings
  }

  call(): void {
    const ticket = Circuit.admit(this.circuit, this.settings, this.now)
    if (this.circuit.generation !== this.generation) {
      this.generation = this.circuit.generation
      this.decided = 0
    }
    if (ticket !== Circuit.Rejected)
      this.running.push({ generation: this.circuit.generation, ticket, admittedAt: this.now })
  }

  end(which: number, said: Circuit.OutcomeCode): void {
    if (this.running.length === 0) return
    const [call] = this.running.splice(which % this.running.length, 1)
    const { circuit } = this
    const probing = circuit.phase === Circuit.HalfOpen && call!.generation === circuit.generation
    const verdict = Circuit.settle(
      circuit,
      trip,
      this.settings,
      { generation: call!.generation, probe: call!.ticket },
      { outcome: said, duration: 1 },
      this.now
    )
    if (probing && said !== Circuit.Ignored) this.decided += 1
    if (verdict === Circuit.Tripped) Circuit.open(circuit, openFor, this.now)
    if (verdict === Circuit.Recovered) Circuit.close(circuit, trip, this.now)
  }

  run({ op, which }: typeof Command.Type): void {
    if (op === "call") this.call()
    else if (op === "wait") this.now += which * 40
    else this.end(which, op === "success" ? Circuit.Success : op === "failure" ? Circuit.Failure : Circuit.Ignored)
  }

  /** Probes of this generation that hold a place. */
  get live(): number {
    const { circuit, now, running } = this
    return running.filter((one) => one.generation === circuit.generation && one.admittedAt + lease > now).length
  }
}

const Case = {
  permitted: between(1, 5),
  successes: between(1, 5),
  commands: Schema.Array(Command).check(Schema.isMinLength(20), Schema.isMaxLength(120))
}

const options = { arbitrary: { runs: 300, size: 120, seed: 1 } }

const worldOf = (permitted: number, successes: number): World =>
  new World({ permitted, successes: Math.min(successes, permitted), lease })

describe("a half-open circuit admits at most `permitted` probes", () => {
  it.prop(
    "running and counted probes never exceed `permitted` at an admission",
    Case,
    ({ commands, permitted, successes }) => {
      const world = worldOf(permitted, successes)
      for (const command of commands) {
        const before = world.live
        world.run(command)
        const probing = world.circuit.phase === Circuit.HalfOpen
        if (probing && world.live > before) assert.isAtMost(world.live + world.decided, permitted)
      }
    },
    options
  )
})

describe("a half-open circuit always closes or opens", () => {
  it.prop(
    "calls to a healthy dependency close the circuit, whatever came before",
    Case,
    ({ commands, permitted, successes }) => {
      const world = worldOf(permitted, successes)
      for (const command of commands) world.run(command)
      // Whoever still runs never ends. From here on every call that is let through succeeds, at once.
      world.running.length = 0
      world.now += Math.max(openFor, lease)
      for (let i = 0; i <= permitted && world.circuit.phase !== Circuit.Closed; i++) {
        world.call()
        world.end(0, Circuit.Success)
      }
      assert.strictEqual(world.circuit.phase, Circuit.Closed)
    },
    options
  )

  it.prop(
    "calls to a healthy dependency that is slower than the lease also close the circuit",
    Case,
    ({ commands, permitted, successes }) => {
      const world = worldOf(permitted, successes)
      for (const command of commands) world.run(command)
      world.running.length = 0
      world.now += Math.max(openFor, lease)
      for (let i = 0; i <= permitted && world.circuit.phase !== Circuit.Closed; i++) {
        world.call()
        world.now += lease * 2
        world.end(0, Circuit.Success)
      }
      assert.strictEqual(world.circuit.phase, Circuit.Closed)
    },
    options
  )
})

describe("results of an older generation are ignored", () => {
  it.prop(
    "removing every result of an older generation leaves every state the same",
    Case,
    ({ commands, permitted, successes }) => {
      const one = worldOf(permitted, successes)
      const other = worldOf(permitted, successes)
      for (const command of commands) {
        const { op, which } = command
        const ends = op !== "call" && op !== "wait" && other.running.length > 0
        const stale = ends && other.running[which % other.running.length]!.generation !== other.circuit.generation
        one.run(command)
        if (stale) other.running.splice(which % other.running.length, 1)
        else other.run(command)
        assert.deepStrictEqual(one.circuit, other.circuit)
      }
    },
    options
  )
})

describe("the past of a circuit misses nothing", () => {
  it.prop(
    "the time in its states adds up to its age, never decreases in any, and goes to the state it was in",
    { ...Case, operated: Schema.Array(between(0, 3)).check(Schema.isMinLength(120)) },
    ({ commands, operated, permitted, successes }) => {
      const world = worldOf(permitted, successes)
      const { circuit } = world
      const expected = [0, 0, 0, 0, 0]
      let before = Circuit.timeIn(circuit, 0)
      for (const [at, command] of commands.entries()) {
        const { now, circuit } = world
        const { openings, phase } = circuit
        const until = phase === Circuit.Open ? openings!.until : Infinity
        world.run(command)
        const open = Math.min(Math.max(until - now, 0), world.now - now)
        if (phase === Circuit.Open) {
          expected[Circuit.Open]! += open
          expected[Circuit.HalfOpen]! += world.now - now - open
        } else expected[phase]! += world.now - now
        if (operated[at] === 1 && at % 7 === 0) Circuit.reset(circuit, trip, world.now)
        if (operated[at] === 2 && at % 7 === 0) Circuit.isolate(circuit, world.now)
        if (operated[at] === 3 && at % 7 === 0) Circuit.disable(circuit, world.now)
        const times = Circuit.timeIn(circuit, world.now)
        assert.deepStrictEqual(times, expected)
        assert.strictEqual(
          times.reduce((sum, time) => sum + time, 0),
          world.now
        )
        assert.isTrue(times.every((time, phase) => time >= before[phase]!))
        before = times
      }
    },
    options
  )

  it.prop(
    "every opening is counted, those by failed probes included, and no command takes one back",
    { ...Case, operated: Schema.Array(between(0, 3)).check(Schema.isMinLength(120)) },
    ({ commands, operated, permitted, successes }) => {
      const world = worldOf(permitted, successes)
      const { circuit } = world
      let openings = 0
      for (const [at, command] of commands.entries()) {
        const { phase } = circuit
        world.run(command)
        if (circuit.phase === Circuit.Open && phase !== Circuit.Open) openings += 1
        if (operated[at] === 1) Circuit.reset(circuit, trip, world.now)
        assert.strictEqual(circuit.past?.openings ?? 0, openings)
      }
    },
    options
  )
})
