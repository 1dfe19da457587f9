import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { sample } from "../support/sample.ts"
import { fleet } from "./fleet.ts"
import { explore, violation } from "./report.ts"

describe("two members and a board, every interleaving", () => {
  it.effect.each([
    { name: "fleet, one message may be lost", actions: sample(5, 6), losses: 1, wipes: 0 },
    { name: "fleet, the board may lose all", actions: 5, losses: 0, wipes: 1 }
  ])(
    "$name: all laws hold in every state",
    (bounds) =>
      Effect.gen(function* () {
        const { states, transitions } = yield* explore(fleet(bounds), { timeLimit: "5 minutes" })
        assert.isAbove(states, 500)
        assert.isAbove(transitions, states)
      }),
    // A copy of two processes and a board takes its time.
    300_000
  )

  it.effect(
    "a board that gives a token to every member is found",
    () =>
      Effect.gen(function* () {
        const found = yield* violation(fleet({ name: "fleet", actions: 6, losses: 0, wipes: 0, bug: true }))
        assert.strictEqual(found?.law, "one member probes at a time")
      }),
    300_000
  )
})
