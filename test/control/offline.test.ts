import { it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Twins from "./twins.ts"

it.effect(
  "offline",
  () =>
    Effect.gen(function* () {
      const from = Number(process.env.FROM),
        n = Number(process.env.N)
      for (let seed = from; seed < from + n; seed++) {
        yield* Twins.run(seed, 10)
        if (seed % 500 === 0) console.log(seed)
      }
    }),
  1e8
)
