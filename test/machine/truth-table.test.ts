/** The truth table of results, of the machine alone: {success, failure, ignored, and each of them stale} x {closed, open, half-open}. */
import { assert, describe, it } from "@effect/vitest"
import * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"

/** Opens at the first failure, and remembers what it was told. */
const trip: Circuit.TripRule<Array<"failure" | "success">> = {
  initial: () => [],
  record: (told, failed) => {
    told.push(failed ? "failure" : "success")
  },
  trips: (told) => told.includes("failure")
}
const settings: Circuit.ProbeRule = { permitted: 1, successes: 1, lease: 1000 }

const results = {
  "a success": Circuit.Success,
  "a failure": Circuit.Failure,
  "an ignored result": Circuit.Ignored,
  "a stale success": Circuit.Success,
  "a stale failure": Circuit.Failure,
  "a stale ignored result": Circuit.Ignored
} as const

interface Cell {
  readonly result: keyof typeof results
  readonly state: "closed" | "open" | "half-open"
  readonly does: string
  readonly verdict: Circuit.Verdict
  /** What the evidence has been told. */
  readonly evidence?: ReadonlyArray<"failure" | "success">
  /** May another call come in now? */
  readonly admits: boolean
}

const nothing = Circuit.Nothing

const table: ReadonlyArray<Cell> = [
  { result: "a success", state: "closed", does: "is evidence", verdict: nothing, evidence: ["success"], admits: true },
  {
    result: "a failure",
    state: "closed",
    does: "that is enough asks for an opening",
    verdict: Circuit.Tripped,
    evidence: ["failure"],
    admits: true
  },
  {
    result: "an ignored result",
    state: "closed",
    does: "changes nothing",
    verdict: nothing,
    evidence: [],
    admits: true
  },
  { result: "a stale success", state: "closed", does: "changes nothing", verdict: nothing, evidence: [], admits: true },
  { result: "a stale failure", state: "closed", does: "changes nothing", verdict: nothing, evidence: [], admits: true },
  {
    result: "a stale ignored result",
    state: "closed",
    does: "changes nothing",
    verdict: nothing,
    evidence: [],
    admits: true
  },

  { result: "a success", state: "open", does: "changes nothing", verdict: nothing, admits: false },
  { result: "a failure", state: "open", does: "changes nothing", verdict: nothing, admits: false },
  { result: "an ignored result", state: "open", does: "changes nothing", verdict: nothing, admits: false },
  { result: "a stale success", state: "open", does: "changes nothing", verdict: nothing, admits: false },
  { result: "a stale failure", state: "open", does: "changes nothing", verdict: nothing, admits: false },
  { result: "a stale ignored result", state: "open", does: "changes nothing", verdict: nothing, admits: false },

  {
    result: "a success",
    state: "half-open",
    does: "that is enough asks for a closing",
    verdict: Circuit.Recovered,
    admits: false
  },
  {
    result: "a failure",
    state: "half-open",
    does: "after which too few can succeed asks for an opening",
    verdict: Circuit.Tripped,
    admits: false
  },
  {
    result: "an ignored result",
    state: "half-open",
    does: "gives the probe's place back",
    verdict: nothing,
    admits: true
  },
  {
    result: "a stale success",
    state: "half-open",
    does: "changes nothing, and the probe keeps its place",
    verdict: nothing,
    admits: false
  },
  {
    result: "a stale failure",
    state: "half-open",
    does: "changes nothing, and the probe keeps its place",
    verdict: nothing,
    admits: false
  },
  {
    result: "a stale ignored result",
    state: "half-open",
    does: "changes nothing, and the probe keeps its place",
    verdict: nothing,
    admits: false
  }
]

/** A circuit in a state, with the call whose result comes: one of now, and one of the generation before. */
const prepared = (state: Cell["state"]) => {
  const circuit = Circuit.make(trip, 0)
  const old = { generation: circuit.generation, ticket: Circuit.admit(circuit, settings, 0) }
  Circuit.open(circuit, 100, 0)
  if (state === "open") return { circuit, old, fresh: { generation: circuit.generation, ticket: Circuit.Admitted } }
  const probe = { generation: circuit.generation + 1, ticket: Circuit.admit(circuit, settings, 100) }
  if (state === "half-open") return { circuit, old, fresh: probe }
  Circuit.close(circuit, trip, 100)
  // The stale call of a closed circuit is the most dangerous one: a probe of the half-open generation just before.
  return {
    circuit,
    old: probe,
    fresh: { generation: circuit.generation, ticket: Circuit.admit(circuit, settings, 100) }
  }
}

describe("the truth table of results, of the machine", () => {
  it("has each result in each state once", () => {
    const cells = table.map(({ result, state }) => `${result}, ${state}`)
    assert.strictEqual(new Set(cells).size, Object.keys(results).length * 3)
    assert.strictEqual(cells.length, 18)
  })

  for (const { admits, does, evidence, result, state, verdict } of table) {
    it(`${state}: ${result} ${does}`, () => {
      const { circuit, fresh, old } = prepared(state)
      const isStale = result.includes("stale")
      const { generation, ticket } = isStale ? old : fresh
      const before = structuredClone(circuit)
      const { phase } = circuit
      assert.strictEqual(
        Circuit.settle(
          circuit,
          trip,
          settings,
          { generation, probe: ticket },
          { outcome: results[result], duration: 1 },
          150
        ),
        verdict
      )
      assert.strictEqual(circuit.phase, phase, "a verdict is carried out by the caller")
      if (evidence !== undefined) assert.deepStrictEqual(circuit.tripState, evidence)
      assert.strictEqual(Circuit.admits(circuit, settings, state === "open" ? 99 : 150), admits)
      if (isStale || state === "open") assert.deepStrictEqual(circuit, before, "not a trace of it")
    })
  }
})
