import { assert, describe, it } from "@effect/vitest"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"

/** Opens at the first failure. */
const trip: Circuit.TripRule<{ failed: boolean }> = {
  initial: () => ({ failed: false }),
  record: (evidence, failed) => {
    evidence.failed = failed
  },
  trips: (evidence) => evidence.failed
}

const settings: Circuit.ProbeRule = { permitted: 3, successes: 2, lease: 1000 }

const halfOpen = (of = settings) => {
  const circuit = Circuit.make(trip, 0)
  Circuit.open(circuit, 100, 0)
  const probe = Circuit.admit(circuit, of, 100)
  return { circuit, probe }
}

const settle = (circuit: Circuit.Circuit<{ failed: boolean }>, probe: number, said: Circuit.OutcomeCode, now = 200) =>
  Circuit.settle(
    circuit,
    trip,
    settings,
    { generation: circuit.generation, probe },
    { outcome: said, duration: 1 },
    now
  )

describe("the numbers of a circuit", () => {
  it("phases are indexes of a list of names", () => {
    const { Closed, Disabled, HalfOpen, Isolated, Open } = Circuit
    assert.deepStrictEqual([Closed, Open, HalfOpen, Isolated, Disabled], [0, 1, 2, 3, 4])
  })

  it.each([
    ["results", [Circuit.Success, Circuit.Failure, Circuit.Ignored]],
    ["verdicts", [Circuit.Nothing, Circuit.Tripped, Circuit.Recovered]],
    ["answers", [Circuit.Rejected, Circuit.Admitted]]
  ])("no two %s are the same", (_, numbers) => {
    assert.strictEqual(new Set<number>(numbers).size, numbers.length)
  })

  it("only identities of probes are positive", () => {
    assert.isAtMost(Circuit.Admitted, 0)
    assert.isBelow(Circuit.Rejected, 0)
    assert.isAbove(halfOpen().probe, 0)
  })
})

describe("a rule that gives its circuit a command", () => {
  /** Isolates the circuit from one of its functions. */
  const commanding = (from: "record" | "trips" | "probeFailed", say: boolean) => {
    const circuit = Circuit.make(trip, 0)
    const isolating = (name: string): boolean => {
      if (name === from) Circuit.isolate(circuit, 150)
      return say
    }
    const rule: Circuit.TripRule<{ failed: boolean }> = {
      initial: trip.initial,
      record: () => void isolating("record"),
      trips: () => isolating("trips"),
      probeFailed: () => isolating("probeFailed")
    }
    return { circuit, rule }
  }

  it.each([
    ["record", true],
    ["trips", true]
  ] as const)("in %s, of a closed circuit: the command stands", (from, say) => {
    const { circuit, rule } = commanding(from, say)
    const admission = { generation: circuit.generation, probe: Circuit.Admitted }
    const sample = { outcome: Circuit.Failure, duration: 1 } as const
    assert.strictEqual(Circuit.settle(circuit, rule, settings, admission, sample, 200), Circuit.Nothing)
    assert.strictEqual(circuit.phase, Circuit.Isolated)
  })

  it.each([true, false])("in probeFailed, which says %s: the command stands", (say) => {
    const { circuit, rule } = commanding("probeFailed", say)
    const one = { permitted: 1, successes: 1, lease: 1000 }
    Circuit.open(circuit, 100, 0)
    const admission = { probe: Circuit.admit(circuit, one, 100), generation: circuit.generation }
    const sample = { outcome: Circuit.Success, duration: 1 } as const
    assert.strictEqual(Circuit.settle(circuit, rule, one, admission, sample, 200), Circuit.Nothing)
    assert.strictEqual(circuit.phase, Circuit.Isolated)
  })
})

describe("a new circuit", () => {
  it("is closed since now, in whole milliseconds, with the hidden class of every other circuit", () => {
    assert.deepStrictEqual(
      { ...Circuit.make(trip, 5.9) },
      {
        phase: Circuit.Closed,
        generation: 0,
        since: 5,
        tripState: { failed: false },
        openings: undefined,
        past: undefined
      }
    )
  })

  it("remembers no opening", () => {
    const circuit = Circuit.make(trip, 0)
    assert.strictEqual(Circuit.remainingOpenMs(circuit, 0), 0)
    assert.deepStrictEqual(Circuit.openingsOf(circuit), {
      until: 0,
      length: 0,
      count: 0,
      unhealthySince: 0,
      openedBy: [],
      evidence: undefined,
      probes: [],
      lastProbe: 0,
      probeSuccesses: 0,
      probeFailures: 0
    })
  })

  it("keeps no record of the calls that it admits", () => {
    const circuit = Circuit.make(trip, 0)
    assert.strictEqual(Circuit.admit(circuit, settings, 1), Circuit.Admitted)
    assert.isUndefined(circuit.openings)
  })
})

describe("admission", () => {
  it.each<[string, (circuit: Circuit.Circuit<{ failed: boolean }>) => void, boolean, boolean]>([
    ["closed", () => {}, true, true],
    ["open", (circuit) => Circuit.open(circuit, 100, 0), false, false],
    ["isolated", (circuit) => Circuit.isolate(circuit, 0), false, false],
    ["disabled", (circuit) => Circuit.disable(circuit, 0), true, true]
  ])("%s: says so, and whether time has a say", (_, change, admits, passes) => {
    const circuit = Circuit.make(trip, 0)
    change(circuit)
    assert.strictEqual(Circuit.admits(circuit, settings, 50), admits)
    assert.strictEqual(Circuit.isPassThrough(circuit), passes)
  })

  it("a phase begins at a whole millisecond", () => {
    const circuit = Circuit.make(trip, 0)
    Circuit.open(circuit, 100, 7.9)
    assert.strictEqual(circuit.since, 7)
  })

  it("allocates nothing while no lease is over, and no phase ends with probes", () => {
    const { circuit, probe } = halfOpen()
    const { probes } = Circuit.openingsOf(circuit)
    Circuit.admits(circuit, settings, 200)
    assert.strictEqual(Circuit.openingsOf(circuit).probes, probes)
    settle(circuit, probe, Circuit.Ignored)
    Circuit.close(circuit, trip, 300)
    assert.strictEqual(Circuit.openingsOf(circuit).probes, probes)
  })
})

describe("probes", () => {
  it("probes count as running until their lease ends, also without another admission", () => {
    const circuit = Circuit.make(trip, 0)
    assert.strictEqual(Circuit.probing(circuit, 0), 0)
    Circuit.open(circuit, 100, 0)
    assert.strictEqual(Circuit.probing(circuit, 100), 0)
    Circuit.admit(circuit, settings, 100)
    Circuit.admit(circuit, settings, 600)
    for (const [now, probing] of [
      [600, 2],
      [1099, 2],
      [1100, 1],
      [1600, 0]
    ] as const) {
      assert.strictEqual(Circuit.probing(circuit, now), probing, `at ${now}`)
    }
  })

  it("two of three: one success is not enough, two are", () => {
    const { circuit, probe } = halfOpen()
    const second = Circuit.admit(circuit, settings, 100)
    assert.strictEqual(settle(circuit, probe, Circuit.Success), Circuit.Nothing)
    assert.strictEqual(settle(circuit, second, Circuit.Success), Circuit.Recovered)
  })
})

describe("when to come back to a half-open circuit", () => {
  it("at once while a permit is free", () => {
    const { circuit } = halfOpen()
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 200), 0)
    Circuit.admit(circuit, settings, 200)
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 200), 0)
  })

  it("after the first lease when all permits are taken, also by probes that succeeded", () => {
    const { circuit, probe } = halfOpen()
    Circuit.admit(circuit, settings, 300)
    Circuit.admit(circuit, settings, 400)
    settle(circuit, probe, Circuit.Success)
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 500), 800)
    // Over, though nobody has asked since.
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 1300), 0)
  })

  it("after the lease that ends first, also when leases have become shorter", () => {
    const { circuit } = halfOpen()
    Circuit.admit(circuit, settings, 100)
    Circuit.admit(circuit, { ...settings, lease: 50 }, 200)
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 200), 50)
  })

  it("at an unknown time when counted probes have taken all remaining permits", () => {
    const { circuit, probe } = halfOpen()
    settle(circuit, probe, Circuit.Failure)
    assert.strictEqual(Circuit.retryAfter(circuit, { ...settings, permitted: 1 }, 200), Infinity)
  })
})
