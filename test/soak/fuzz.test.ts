import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { subjects } from "./subjects.ts"

/** New seeds are for `npx tool soak --only fuzz`; a failure prints the line that runs its seed again. */
const fuzzers = subjects.filter(({ name }) => name.startsWith("fuzz: "))

describe("fuzz", () => {
  it.effect.each(fuzzers.flatMap(({ name, run }) => [1, 2, 3].map((seed) => [name, seed, run] as const)))(
    "%s, seed %i",
    ([, seed, run]) => Effect.map(run(seed), (cases) => assert.isAbove(cases, 0))
  )
})
