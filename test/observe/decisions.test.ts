/**
 * On recorded traces of a dependency that does not react, a policy that observes decides as one that enforces, call by call.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { seeded } from "../support/random.ts"
import { sample } from "../support/sample.ts"
import { candidateOfTrace, enforcedTrace, observedTrace } from "./trace.ts"
import { randomOptions, randomTrace } from "./traces.ts"

/** Two runs of each beside the one that enforces; the seed is printed with what fails. */
const traces = sample(75, 300)

describe("what a policy that observes would do, and a candidate beside one that never rejects", () => {
  it.effect(`is what enforcement does, on ${traces} random traces`, () =>
    Effect.gen(function* () {
      let rejected = 0
      let retried = 0
      for (let seed = 1; seed <= traces; seed++) {
        const random = seeded(seed * 0x9e3779b9)
        const options = randomOptions(random)
        const trace = randomTrace(random)
        const enforced = yield* enforcedTrace(options, trace)
        const name = `seed ${seed}: ${JSON.stringify(options)}`
        assert.deepStrictEqual(yield* observedTrace(options, trace), enforced, name)
        assert.deepStrictEqual(yield* candidateOfTrace(options, trace), enforced, `candidate, ${name}`)
        rejected += enforced.events.filter(({ _tag }) => _tag === "Rejected").length
        retried += enforced.events.filter(({ _tag }) => _tag === "RetryScheduled").length
      }
      // The traces say something.
      assert.isAbove(rejected, traces)
      assert.isAbove(retried, traces)
    })
  )
})
