import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { sample } from "../support/sample.ts"
import * as Twins from "./twins.ts"

describe("undo and expiry, in any order", () => {
  it.effect("leave every circuit, its permits and the settings as a twin that never got a command", () =>
    Effect.gen(function* () {
      for (let seed = 1; seed <= sample(20, 60); seed++) yield* Twins.run(seed, 10)
    })
  )
})
