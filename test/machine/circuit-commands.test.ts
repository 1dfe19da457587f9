/** What commands make of a circuit, and what it is again when they are taken back. */
import { assert, describe, it } from "@effect/vitest"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"

const trip: Circuit.TripRule<{ failures: number }> = {
  initial: () => ({ failures: 0 }),
  record: (state, failed) => {
    if (failed) state.failures += 1
  },
  trips: (state) => state.failures >= 2
}

const rule: Circuit.ProbeRule = { permitted: 3, successes: 2, lease: 1000 }
const evidence = { trip: "control", figures: {} }

const { Closed, Disabled, HalfOpen, Isolated, Open } = Circuit
const times = (circuit: Circuit.Circuit<unknown>, now: number) => Circuit.timeIn(circuit, now)

/** Open from 100 to 200, and half-open with a running probe since 250. */
const halfOpen = () => {
  const circuit = Circuit.make(trip, 0)
  Circuit.open(circuit, 100, 100, ["consecutive"])
  const probe = Circuit.admit(circuit, rule, 250)
  return { circuit, probe }
}

const settle = (circuit: Circuit.Circuit<{ failures: number }>, probe: number, outcome: Circuit.OutcomeCode) =>
  Circuit.settle(circuit, trip, rule, { generation: circuit.generation, probe }, { outcome, duration: 1 }, 300)

describe("forceOpen", () => {
  it.each([
    ["closed", Closed],
    ["isolated", Isolated],
    ["disabled", Disabled]
  ] as const)("a %s circuit is a new opening, with the evidence of the command and no parts", (_, phase) => {
    const circuit = Circuit.make(trip, 0)
    if (phase === Isolated) Circuit.isolate(circuit, 10)
    if (phase === Disabled) Circuit.disable(circuit, 10)
    const { generation } = circuit
    Circuit.forceOpen(circuit, 500, 40.5, evidence)
    assert.deepInclude(circuit.openings, {
      until: 540.5,
      length: 500,
      count: 1,
      unhealthySince: 40,
      openedBy: [],
      evidence
    })
    assert.deepStrictEqual([circuit.phase, circuit.since, circuit.past?.openings], [Open, 40, 1])
    assert.isAbove(circuit.generation, generation)
  })

  it("an open circuit stays in the same opening, with another end, and the time before stays what it was", () => {
    const circuit = Circuit.make(trip, 0)
    Circuit.open(circuit, 100, 100, ["consecutive"])
    Circuit.openingsOf(circuit).evidence = { trip: "consecutive", figures: { failures: 2 } }
    // Due for 50 since 200, which counts as half-open also after its end was moved.
    Circuit.forceOpen(circuit, 1000, 250, evidence)
    assert.deepInclude(circuit.openings, { until: 1250, length: 1000, count: 1, unhealthySince: 100 })
    assert.deepInclude(circuit.openings, { openedBy: ["consecutive"] })
    assert.strictEqual(circuit.openings?.evidence?.trip, "consecutive")
    assert.deepStrictEqual([circuit.phase, circuit.since, circuit.past?.openings], [Open, 250, 1])
    assert.deepStrictEqual(times(circuit, 300), [100, 150, 50, 0, 0])
  })

  it("a half-open circuit is open again, and its running probe changes nothing", () => {
    const { circuit, probe } = halfOpen()
    const { generation } = circuit
    Circuit.forceOpen(circuit, 1000, 260, evidence)
    assert.strictEqual(circuit.phase, Open)
    assert.deepInclude(circuit.openings, { until: 1260, count: 1, unhealthySince: 100, probes: [] })
    const sample = { outcome: Circuit.Success, duration: 1 } as const
    assert.strictEqual(Circuit.settle(circuit, trip, rule, { generation, probe }, sample, 300), Circuit.Nothing)
  })
})

describe("restart", () => {
  it("closes with a state of another process, forgets the openings and keeps the past", () => {
    const { circuit } = halfOpen()
    const { generation } = circuit
    Circuit.restart(circuit, { failures: 1 }, 300)
    assert.deepStrictEqual(
      [circuit.phase, circuit.since, circuit.tripState, circuit.openings],
      [Closed, 300, { failures: 1 }, undefined]
    )
    assert.isAbove(circuit.generation, generation)
    assert.deepStrictEqual(times(circuit, 310), [110, 100, 100, 0, 0])
  })

  it("counts the time of an open circuit by its own end, before that is forgotten", () => {
    const circuit = Circuit.make(trip, 0)
    Circuit.open(circuit, 100, 100)
    Circuit.restart(circuit, { failures: 0 }, 250)
    assert.deepStrictEqual(times(circuit, 260), [110, 100, 50, 0, 0])
  })
})

describe("retune", () => {
  it("leaves one decision to the next probe: neither results before nor a stricter rule end the half-open period", () => {
    for (const outcome of [Circuit.Success, Circuit.Failure] as const) {
      const { circuit, probe } = halfOpen()
      assert.strictEqual(settle(circuit, probe, outcome), Circuit.Nothing)
      const one = { permitted: 1, successes: 1, lease: 1000 }
      Circuit.retune(circuit, one)
      assert.deepInclude(circuit.openings, { probeSuccesses: 0, probeFailures: 0 })
    }
  })

  it("keeps results that the other rule still needs, and is nothing for a circuit that never opened", () => {
    const { circuit, probe } = halfOpen()
    settle(circuit, probe, Circuit.Success)
    settle(circuit, Circuit.admit(circuit, rule, 300), Circuit.Failure)
    Circuit.retune(circuit, { permitted: 9, successes: 5, lease: 1000 })
    assert.deepInclude(circuit.openings, { probeSuccesses: 1, probeFailures: 1 })
    const fresh = Circuit.make(trip, 0)
    Circuit.retune(fresh, rule)
    assert.isUndefined(fresh.openings)
  })
})

describe("capture and reinstate", () => {
  it("a circuit is what it was, at its moments, in a new generation, and its past goes on", () => {
    const { circuit, probe } = halfOpen()
    settle(circuit, probe, Circuit.Success)
    const running = Circuit.admit(circuit, rule, 300)
    const kept = Circuit.capture(circuit)
    assert.deepStrictEqual([kept.phase, kept.since, kept.tripState], [HalfOpen, 250, { failures: 0 }])
    assert.deepInclude(kept.openings, { until: 200, probeSuccesses: 1, probes: [], lastProbe: running })
    Circuit.isolate(circuit, 400)
    const { generation } = circuit
    Circuit.reinstate(circuit, kept, 700)
    assert.deepStrictEqual([circuit.phase, circuit.since, circuit.tripState], [HalfOpen, 250, { failures: 0 }])
    assert.deepInclude(circuit.openings, { until: 200, count: 1, probeSuccesses: 1, probes: [], lastProbe: running })
    assert.strictEqual(circuit.generation, generation + 1)
    assert.deepStrictEqual(times(circuit, 710), [100, 100, 210, 300, 0])
  })

  it("numbers of probes are never used twice, whichever openings have the higher one", () => {
    const { circuit } = halfOpen()
    const kept = Circuit.capture(circuit)
    const later = Circuit.admit(circuit, rule, 260)
    Circuit.reinstate(circuit, kept, 270)
    assert.strictEqual(circuit.openings?.lastProbe, later)
    Circuit.restart(circuit, { failures: 0 }, 300)
    Circuit.reinstate(circuit, kept, 310)
    assert.strictEqual(circuit.openings?.lastProbe, 1)
  })

  it("a circuit that never opened has no openings then, also if it opened meanwhile", () => {
    const circuit = Circuit.make(trip, 0)
    const kept = Circuit.capture(circuit)
    assert.isUndefined(kept.openings)
    Circuit.forceOpen(circuit, 100, 10, evidence)
    Circuit.reinstate(circuit, kept, 20)
    assert.deepStrictEqual([circuit.phase, circuit.since, circuit.openings], [Closed, 0, undefined])
    assert.strictEqual(circuit.past?.openings, 1)
  })
})
