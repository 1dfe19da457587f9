/** The transition tables of four other breakers, run on this one. What differs does so by design, and the table says why. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { failsafeGo } from "./failsafe-go.ts"
import { gobreaker } from "./gobreaker.ts"
import { polly } from "./polly.ts"
import { resilience4j } from "./resilience4j.ts"
import { difference } from "./runner.ts"

const peers = { gobreaker, "failsafe-go": failsafeGo, resilience4j, Polly: polly }

for (const [peer, cases] of Object.entries(peers)) {
  describe(`the transitions of ${peer}`, () => {
    for (const { differs, name, options, steps } of cases) {
      it.effect(differs === undefined ? name : `${name}: not here, because ${differs.because}`, () =>
        Effect.gen(function* () {
          const found = yield* difference(options, steps)
          const at = found === undefined ? undefined : { step: found.step, shows: found.shows }
          const expected = differs === undefined ? undefined : { step: differs.step, shows: differs.shows }
          assert.deepStrictEqual(at, expected, `${found?.says} in [${steps.trim().replaceAll(/\s+/g, " ")}]`)
        })
      )
    }
  })
}

it.effect("the runner says at which step a table is wrong", () =>
  Effect.gen(function* () {
    const options = gobreaker[0]!.options
    for (const [steps, step, shows] of [
      ["fail =open", 2, "closed"],
      ["fail refused", 2, "admitted"],
      ["open! ok", 2, "refused"],
      ["open! +59s =due", 3, "open"],
      ["half-open! a( b(", 3, "refused"],
      ["isolate =closed", 2, "isolated"]
    ] as const) {
      const found = yield* difference(options, steps)
      assert.deepStrictEqual([found?.step, found?.shows], [step, shows], steps)
    }
  })
)
