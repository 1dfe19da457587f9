import { assert, describe, it } from "@effect/vitest"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"

/** Opens on the second failure in all, and remembers what it was told. */
const trip: Circuit.TripRule<{ failures: number; told: Array<boolean> }> = {
  initial: () => ({ failures: 0, told: [] }),
  record: (evidence, failed) => {
    evidence.told.push(failed)
    if (failed) evidence.failures += 1
  },
  trips: (evidence) => evidence.failures >= 2
}

const settings: Circuit.ProbeRule = { permitted: 2, successes: 1, lease: 1000 }

const closed = () => Circuit.make(trip, 0)

const open = () => {
  const circuit = closed()
  Circuit.open(circuit, 100, 0)
  return circuit
}

/** Half-open at 100, with its first probe running. */
const halfOpen = () => {
  const circuit = open()
  const probe = Circuit.admit(circuit, settings, 100)
  return { circuit, probe }
}

const settle = (
  circuit: ReturnType<typeof closed>,
  generation: number,
  probe: number,
  said: Circuit.OutcomeCode,
  now = 200
): Circuit.Verdict =>
  Circuit.settle(circuit, trip, settings, { generation, probe }, { outcome: said, duration: 1 }, now)

const said = { success: Circuit.Success, failure: Circuit.Failure, ignored: Circuit.Ignored } as const

describe("results by state and generation", () => {
  describe("closed", () => {
    it.each<{ what: keyof typeof said; told: Array<boolean> }>([
      { what: "success", told: [false] },
      { what: "failure", told: [true] },
      { what: "ignored", told: [] }
    ])("$what is evidence $told", ({ told, what }) => {
      const circuit = closed()
      assert.strictEqual(settle(circuit, circuit.generation, Circuit.Admitted, said[what]), Circuit.Nothing)
      assert.deepStrictEqual(circuit.tripState.told, told)
      assert.strictEqual(circuit.phase, Circuit.Closed)
    })

    it("the failure that trips the policy asks for an opening", () => {
      const circuit = closed()
      settle(circuit, circuit.generation, Circuit.Admitted, Circuit.Failure)
      assert.strictEqual(settle(circuit, circuit.generation, Circuit.Admitted, Circuit.Failure), Circuit.Tripped)
    })
  })

  describe("open", () => {
    it.each(Object.keys(said) as Array<keyof typeof said>)("%s changes nothing", (what) => {
      const circuit = open()
      const before = structuredClone(circuit)
      assert.strictEqual(settle(circuit, circuit.generation, Circuit.Admitted, said[what]), Circuit.Nothing)
      assert.deepStrictEqual(circuit, before)
    })
  })

  describe("half-open", () => {
    it.each([
      { what: "success", verdict: Circuit.Recovered, successes: 1, failures: 0 },
      { what: "failure", verdict: Circuit.Nothing, successes: 0, failures: 1 },
      { what: "ignored", verdict: Circuit.Nothing, successes: 0, failures: 0 }
    ] as const)("$what of a probe counts once and frees its place", ({ failures, successes, verdict, what }) => {
      const { circuit, probe } = halfOpen()
      assert.strictEqual(settle(circuit, circuit.generation, probe, said[what]), verdict)
      assert.deepStrictEqual(
        [circuit.openings?.probes.length, circuit.openings?.probeSuccesses, circuit.openings?.probeFailures],
        [0, successes, failures]
      )
    })

    it("the failure after which `successes` of `permitted` is out of reach asks for an opening", () => {
      const { circuit, probe } = halfOpen()
      const second = Circuit.admit(circuit, settings, 100)
      assert.strictEqual(settle(circuit, circuit.generation, probe, Circuit.Failure), Circuit.Nothing)
      assert.strictEqual(settle(circuit, circuit.generation, second, Circuit.Failure), Circuit.Tripped)
    })
  })

  const phases = {
    closed: () => {
      const { circuit } = halfOpen()
      Circuit.close(circuit, trip, 150)
      return circuit
    },
    open,
    "half-open": () => halfOpen().circuit,
    isolated: () => {
      const circuit = closed()
      Circuit.isolate(circuit, 100)
      return circuit
    },
    disabled: () => {
      const circuit = closed()
      Circuit.disable(circuit, 100)
      return circuit
    }
  }
  for (const [phase, make] of Object.entries(phases)) {
    it.each(Object.keys(said) as Array<keyof typeof said>)(`stale %s changes nothing while ${phase}`, (what) => {
      const circuit = make()
      const before = structuredClone(circuit)
      for (let generation = 0; generation < circuit.generation; generation++) {
        for (const ticket of [Circuit.Admitted, 1, 2]) {
          assert.strictEqual(settle(circuit, generation, ticket, said[what]), Circuit.Nothing)
        }
      }
      assert.deepStrictEqual(circuit, before)
    })
  }

  it("every change of state starts a new generation", () => {
    const circuit = closed()
    const eras = [circuit.generation]
    const then = (change: () => void) => {
      change()
      eras.push(circuit.generation)
    }
    then(() => Circuit.open(circuit, 100, 0))
    then(() => Circuit.admit(circuit, settings, 100))
    then(() => Circuit.close(circuit, trip, 200))
    then(() => Circuit.isolate(circuit, 300))
    then(() => Circuit.disable(circuit, 400))
    then(() => Circuit.reset(circuit, trip, 500))
    assert.deepStrictEqual(eras, [0, 1, 2, 3, 4, 5, 6])
  })
})

describe("admission", () => {
  it("asking whether a call would be admitted takes no permit and changes no state", () => {
    const circuit = open()
    assert.isFalse(Circuit.admits(circuit, settings, 99))
    for (let i = 0; i < 5; i++) assert.isTrue(Circuit.admits(circuit, settings, 100))
    assert.strictEqual(circuit.phase, Circuit.Open)
    assert.deepStrictEqual(circuit.openings?.probes, [])
  })

  it("an open circuit admits at the very end of its open time, not before", () => {
    const circuit = open()
    assert.strictEqual(Circuit.admit(circuit, settings, 99.999), Circuit.Rejected)
    assert.isAbove(Circuit.admit(circuit, settings, 100), 0)
    assert.strictEqual(circuit.phase, Circuit.HalfOpen)
  })

  it("an isolated circuit admits no call, a disabled one every call", () => {
    const circuit = closed()
    Circuit.isolate(circuit, 0)
    assert.strictEqual(Circuit.admit(circuit, settings, 1e12), Circuit.Rejected)
    Circuit.disable(circuit, 0)
    assert.strictEqual(Circuit.admit(circuit, settings, 0), Circuit.Admitted)
  })

  it("retryAfter is the rest of the open time, the rest of the first lease, or infinite while isolated", () => {
    const circuit = open()
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 30), 70)
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 130), 0)
    Circuit.admit(circuit, settings, 100)
    Circuit.admit(circuit, settings, 400)
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 400), 700)
    Circuit.isolate(circuit, 400)
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 400), Number.POSITIVE_INFINITY)
    Circuit.close(circuit, trip, 400)
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 400), 0)
  })

  it("retryAfter counts the leases that must end before a permit is free after late results", () => {
    const circuit = open()
    const late = Circuit.admit(circuit, settings, 100)
    Circuit.admit(circuit, settings, 400)
    // The lease of the first is over, and its place has gone to another, when its result comes after all.
    Circuit.admit(circuit, settings, 1100)
    settle(circuit, circuit.generation, late, Circuit.Failure, 1100)
    assert.strictEqual(Circuit.retryAfter(circuit, settings, 1100), 1000)
    assert.strictEqual(Circuit.admit(circuit, settings, 1400), Circuit.Rejected)
    assert.isAbove(Circuit.admit(circuit, settings, 2100), 0)
  })
})

describe("leases of probes", () => {
  it("a probe that does not end loses its permit when its lease ends", () => {
    const { circuit } = halfOpen()
    Circuit.admit(circuit, settings, 100)
    assert.strictEqual(Circuit.admit(circuit, settings, 1099), Circuit.Rejected)
    assert.isAbove(Circuit.admit(circuit, settings, 1100), 0)
  })

  it("a probe that succeeds after its lease still counts: a slow dependency can close its circuit", () => {
    const { circuit, probe } = halfOpen()
    assert.strictEqual(settle(circuit, circuit.generation, probe, Circuit.Success, 5000), Circuit.Recovered)
  })

  it("a probe that fails after its lease still counts: a hanging dependency opens its circuit again", () => {
    const { circuit, probe } = halfOpen()
    assert.strictEqual(settle(circuit, circuit.generation, probe, Circuit.Failure, 5000), Circuit.Nothing)
    const second = Circuit.admit(circuit, settings, 5000)
    assert.strictEqual(settle(circuit, circuit.generation, second, Circuit.Failure, 9000), Circuit.Tripped)
  })

  it("a probe that ends after its lease does not release the permit of the probe that took its own", () => {
    const { circuit, probe } = halfOpen()
    Circuit.admit(circuit, settings, 100)
    const third = Circuit.admit(circuit, settings, 1100)
    Circuit.admit(circuit, settings, 1100)
    settle(circuit, circuit.generation, probe, Circuit.Ignored, 1200)
    assert.include(circuit.openings?.probes.map((one) => one.id) ?? [], third)
    assert.strictEqual(Circuit.admit(circuit, settings, 1200), Circuit.Rejected)
  })
})

describe("permits of probes", () => {
  it("probes that still run when the circuit closes take no permits of the next half-open generation", () => {
    const { circuit, probe } = halfOpen()
    Circuit.admit(circuit, settings, 100)
    assert.strictEqual(settle(circuit, circuit.generation, probe, Circuit.Success), Circuit.Recovered)
    Circuit.close(circuit, trip, 200)
    Circuit.open(circuit, 100, 200)
    const admitted = [300, 300, 300].map((now) => Circuit.admit(circuit, settings, now) > 0)
    assert.deepStrictEqual(admitted, [true, true, false])
  })
})

describe("openings in a row", () => {
  it("the count continues across closed times shorter than the last open time, and restarts after one as long", () => {
    const circuit = closed()
    Circuit.open(circuit, 100, 0)
    assert.strictEqual(circuit.openings?.count, 1)
    Circuit.close(circuit, trip, 100)
    assert.strictEqual(Circuit.nextOpening(circuit, 199), 2)
    assert.strictEqual(Circuit.nextOpening(circuit, 200), 1)
    Circuit.open(circuit, 300, 150)
    Circuit.admit(circuit, settings, 450)
    assert.strictEqual(Circuit.nextOpening(circuit, 1e9), 3)
  })

  it("closing keeps the count, resetting clears it", () => {
    const circuit = open()
    Circuit.close(circuit, trip, 50)
    assert.deepStrictEqual([circuit.openings?.count, circuit.openings?.length], [1, 100])
    Circuit.reset(circuit, trip, 60)
    assert.isUndefined(circuit.openings)
  })

  it("closing begins with fresh evidence", () => {
    const circuit = closed()
    settle(circuit, circuit.generation, Circuit.Admitted, Circuit.Failure)
    Circuit.open(circuit, 100, 0)
    Circuit.close(circuit, trip, 100)
    assert.deepStrictEqual(circuit.tripState, trip.initial())
  })
})
