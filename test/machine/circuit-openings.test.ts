import { assert, describe, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"

/** Opens at the first failure. */
const trip: Circuit.TripRule<{ failed: boolean }> = {
  initial: () => ({ failed: false }),
  record: (state, failed) => {
    state.failed ||= failed
  },
  trips: (state) => state.failed
}

const rule: Circuit.ProbeRule = { permitted: 1, successes: 1, lease: 1000 }

const make = () => Circuit.make(trip, 0)

const open = (openFor = 100, openedBy?: ReadonlyArray<string>) => {
  const circuit = make()
  Circuit.open(circuit, openFor, 0, openedBy)
  return circuit
}

/** The verdict on the first probe of a circuit that `openedBy` opened. */
const probed = (
  probeFailed: Circuit.TripRule<{ failed: boolean }>["probeFailed"],
  outcome: Circuit.OutcomeCode = Circuit.Success,
  openedBy?: ReadonlyArray<string>
) => {
  const circuit = open(100, openedBy)
  const probe = Circuit.admit(circuit, rule, 100)
  const admission = { generation: circuit.generation, probe }
  return Circuit.settle(circuit, { ...trip, probeFailed }, rule, admission, { outcome, duration: 7 }, 107)
}

describe("a probe that did not fail", () => {
  it("succeeds without a rule of its own", () => {
    assert.strictEqual(probed(undefined), Circuit.Recovered)
  })

  it("succeeds or fails as the trip rule says, which is given its duration and what opened the circuit", () => {
    const given: Array<unknown> = []
    const says = (failed: boolean) =>
      probed(
        (...args) => {
          given.push(args)
          return failed
        },
        Circuit.Success,
        ["slow"]
      )
    assert.strictEqual(says(false), Circuit.Recovered)
    assert.strictEqual(says(true), Circuit.Tripped)
    assert.deepStrictEqual(given, [
      [{ duration: 7 }, ["slow"]],
      [{ duration: 7 }, ["slow"]]
    ])
  })

  it("is the only one that the trip rule is asked about", () => {
    const asked = () => assert.fail("asked about a probe that failed or is ignored")
    assert.strictEqual(probed(asked, Circuit.Failure), Circuit.Tripped)
    assert.strictEqual(probed(asked, Circuit.Ignored), Circuit.Nothing)
  })

  it("is judged without parts when it is not known what opened the circuit", () => {
    let parts: ReadonlyArray<string> | undefined
    probed((_, openedBy) => {
      parts = openedBy
      return false
    })
    assert.deepStrictEqual(parts, [])
  })
})

describe("results that come to a circuit that is neither closed nor half-open", () => {
  it.each<[string, (circuit: Circuit.Circuit<{ failed: boolean }>) => void]>([
    ["open", (circuit) => Circuit.open(circuit, 100, 10)],
    ["isolated", (circuit) => Circuit.isolate(circuit, 10)],
    ["disabled", (circuit) => Circuit.disable(circuit, 10)]
  ])("%s: change nothing, also those of this generation", (_, change) => {
    for (const outcome of [Circuit.Success, Circuit.Failure, Circuit.Ignored] as const) {
      const circuit = make()
      change(circuit)
      const before = structuredClone(circuit)
      const admission = { generation: circuit.generation, probe: Circuit.Admitted }
      assert.strictEqual(Circuit.settle(circuit, trip, rule, admission, { outcome, duration: 1 }, 20), Circuit.Nothing)
      assert.deepStrictEqual(circuit, before)
    }
  })
})

describe("what opened a circuit", () => {
  it("is kept through failed probes, and replaced when it opens for another reason", () => {
    const circuit = open(100, ["failures"])
    Circuit.admit(circuit, rule, 100)
    Circuit.open(circuit, 100, 150)
    assert.deepStrictEqual(circuit.openings!.openedBy, ["failures"])
    Circuit.close(circuit, trip, 300)
    Circuit.open(circuit, 100, 400, ["slow calls"])
    assert.deepStrictEqual(circuit.openings!.openedBy, ["slow calls"])
  })
})

describe("a circuit is unhealthy", () => {
  it("since it left closed, in whole milliseconds, whatever probes failed since then", () => {
    const circuit = make()
    Circuit.open(circuit, 100, 7.9)
    assert.strictEqual(circuit.openings!.unhealthySince, 7)
    Circuit.admit(circuit, rule, 110)
    Circuit.open(circuit, 100, 150)
    assert.strictEqual(circuit.openings!.unhealthySince, 7)
    Circuit.close(circuit, trip, 300)
    Circuit.open(circuit, 100, 400.5)
    assert.strictEqual(circuit.openings!.unhealthySince, 400)
  })
})

describe("the end of the open time", () => {
  it("is reached a microsecond early, and not two", () => {
    assert.strictEqual(Circuit.remainingOpenMs(open(1e-3), 0), 0)
    assert.strictEqual(Circuit.remainingOpenMs(open(2e-3), 0), 2e-3)
    assert.strictEqual(Circuit.remainingOpenMs(open(100), 40), 60)
  })

  it("is known to a caller half a microsecond early, and never lies in the past", () => {
    assert.closeTo(Circuit.rejectsForMs(open(100), 40), 60 - 5e-4, 1e-9)
    assert.strictEqual(Circuit.rejectsForMs(open(100), 100), 0)
    assert.strictEqual(Circuit.rejectsForMs(open(100), 1000), 0)
  })

  it.prop(
    "is reached by a caller that waits for at least as long as it surely rejects calls, in whole nanoseconds",
    [
      Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1e6 })),
      Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1e5 }))
    ],
    ([now, openFor]) => {
      const circuit = make()
      Circuit.open(circuit, openFor, now)
      const wait = Circuit.rejectsForMs(circuit, now)
      assert.isTrue(Circuit.admits(circuit, rule, Math.floor((now + wait) * 1e6) / 1e6))
      if (wait > 1) assert.isFalse(Circuit.admits(circuit, rule, now + wait - 1e-3))
    },
    { arbitrary: { runs: 200, seed: 1 } }
  )
})

describe("free probes", () => {
  it("are those of `permitted` that neither run nor are decided; asking changes nothing", () => {
    const three = { permitted: 3, successes: 3, lease: 1000 }
    const circuit = open()
    const settle = (probe: number, outcome: Circuit.OutcomeCode) =>
      Circuit.settle(circuit, trip, three, { generation: circuit.generation, probe }, { outcome, duration: 1 }, 150)
    const free = (permitted: number, now = 150) => {
      const before = structuredClone(circuit)
      const has = Circuit.hasFreeProbe(circuit, { ...three, permitted }, now)
      assert.deepStrictEqual(circuit, before)
      return has
    }
    const [first, second] = [Circuit.admit(circuit, three, 100), Circuit.admit(circuit, three, 100)]
    assert.deepStrictEqual([free(2), free(3)], [false, true])
    settle(first, Circuit.Success)
    assert.deepStrictEqual([free(2), free(3)], [false, true])
    settle(second, Circuit.Failure)
    assert.deepStrictEqual([free(2), free(3)], [false, true])
    Circuit.admit(circuit, three, 150)
    assert.deepStrictEqual([free(3), free(3, 1149), free(3, 1150)], [false, false, true])
  })
})

describe("the time in each state", () => {
  const times = (circuit: ReturnType<typeof make>, now: number) => Array.from(Circuit.timeIn(circuit, now))

  it("counts an open circuit whose open time is over as half-open", () => {
    const circuit = open(100)
    assert.deepStrictEqual(times(circuit, 60), [0, 60, 0, 0, 0])
    assert.deepStrictEqual(times(circuit, 100), [0, 100, 0, 0, 0])
    assert.deepStrictEqual(times(circuit, 130), [0, 100, 30, 0, 0])
  })

  it("does not count what was due before a restored circuit was created", () => {
    const circuit = Circuit.make(trip, 1000)
    Circuit.open(circuit, -500, 1000)
    assert.deepStrictEqual(times(circuit, 1010), [0, 0, 10, 0, 0])
  })

  it("does not go back with the clock, and counts no time twice", () => {
    const circuit = make()
    assert.deepStrictEqual(times(circuit, -5), [0, 0, 0, 0, 0])
    Circuit.isolate(circuit, 100)
    Circuit.close(circuit, trip, 50)
    assert.deepStrictEqual(times(circuit, 80), [100, 0, 0, 0, 0])
    assert.deepStrictEqual(times(circuit, 150), [150, 0, 0, 0, 0])
  })

  it("is added to the times of other circuits", () => {
    const sums = [1, 1, 1, 1, 1]
    Circuit.addTimeIn(make(), 10, sums)
    Circuit.addTimeIn(open(100), 130, sums)
    assert.deepStrictEqual(sums, [11, 101, 31, 1, 1])
  })

  it("begins when the circuit was created", () => {
    const circuit = Circuit.make(trip, 1000)
    assert.deepStrictEqual(times(circuit, 1010), [10, 0, 0, 0, 0])
    Circuit.disable(circuit, 1010)
    assert.deepStrictEqual(times(circuit, 1015), [10, 0, 0, 0, 5])
  })
})
