import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TripPolicy } from "effect-resilience"
import type * as Circuit from "../../packages/resilience/src/machine/Circuit.ts"
import { inPart, inRest, share } from "../support/share.ts"
import { type Bounds, type Bug, circuit } from "./circuit.ts"
import { explore, violation } from "./report.ts"

// Evidence is the trip policy's own business, here too.
const inARow = TripPolicy.consecutive(2) as Circuit.TripRule<unknown>
const lasting = TripPolicy.consecutive(2, { minDuration: 2 }) as Circuit.TripRule<unknown>
/** How long a row has lasted, up to what it must: instants only count up. */
const row =
  (must: number) =>
  (evidence: unknown, now: number): unknown => {
    const { failures, since } = evidence as TripPolicy.ConsecutiveState
    return failures === 0 ? [] : [Math.min(failures, 2), Math.min(now - since, must)]
  }
const rate: Circuit.TripRule<unknown> = TripPolicy.failureRate({ calls: 3, minimumCalls: 2, threshold: 0.6 })

const small: Bounds = {
  name: "small circuit",
  trip: inARow,
  evidence: row(0),
  settings: { permitted: 1, successes: 1, lease: 2 },
  openFor: 2,
  calls: 2,
  operator: false
}

const bounds: ReadonlyArray<Bounds> = [
  { ...small, name: "circuit, one probe, three calls", calls: 3 },
  {
    ...small,
    name: "circuit, one of two probes, three calls",
    settings: { permitted: 2, successes: 1, lease: 2 },
    calls: 3
  },
  {
    ...small,
    name: "circuit, two of three probes, four calls",
    settings: { permitted: 3, successes: 2, lease: 2 },
    calls: 4
  },
  { ...small, name: "circuit, by rate, three calls", trip: rate, evidence: (evidence) => evidence, calls: 3 },
  { ...small, name: "circuit, by a row that lasts, three calls", trip: lasting, evidence: row(2), calls: 3 },
  { ...small, name: "circuit, with an operator, three calls", calls: 3, operator: true }
]

describe("every interleaving of admissions, results, hung calls, time and commands", () => {
  it.effect.each(share(bounds, ({ name }) => !/four calls|by rate/.test(name)))(
    "$name: all laws hold in every state",
    (bounds) =>
      Effect.gen(function* () {
        const { states, transitions } = yield* explore(circuit(bounds))
        // Not empty, and not cut off.
        assert.isAbove(states, 500)
        assert.isAbove(transitions, 5 * states)
      })
  )

  it.effect.runIf(inRest)("two states with the same key go on alike", () =>
    Effect.gen(function* () {
      const one = { ...small, name: "circuit, its key verified", calls: 2, operator: true }
      yield* explore(circuit(one), { verifyKey: true })
      yield* explore(circuit({ ...one, trip: lasting, evidence: row(2) }), { verifyKey: true })
    })
  )
})

describe.runIf(inPart)("a bug in a circuit is found, by a shortest way", () => {
  const bugs: ReadonlyArray<readonly [Bug, string, number]> = [
    ["no fencing", "I8: a result from an older generation changes nothing", 9],
    ["probes on trust", "I1: probes that hold a place are never more than n", 8],
    ["a lease without an end", "a rejected caller knows when to come back", 7],
    ["an ignored probe is forgotten", "I1: a place that is free can be had", 8]
  ]
  it.effect.each(bugs)("%s", ([bug, law, steps]) =>
    Effect.gen(function* () {
      const found = yield* violation(circuit({ ...small, bug }))
      assert.strictEqual(found?.law, law)
      assert.strictEqual(found?.trace.length, steps)
    })
  )

  it.effect("the way there reads as a story", () =>
    Effect.gen(function* () {
      const found = yield* violation(circuit({ ...small, bug: "an ignored probe is forgotten" }))
      assert.deepStrictEqual(found?.trace, [
        "call",
        "call",
        "call 0 ends: failure",
        "call 0 ends: failure",
        "tick",
        "tick",
        "call",
        "call 0 ends: ignored"
      ])
    })
  )
})
