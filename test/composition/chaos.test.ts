import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { chaos, chaosLaws } from "./chaos.ts"

const seeds = Array.from({ length: 10 }, (_, i) => 1000 + i)

describe("Policy: after chaos", () => {
  it.effect.each(chaosLaws)("%s", ([_, holds]) =>
    Effect.gen(function* () {
      for (const seed of seeds) yield* holds(seed)
    })
  )

  it.effect("the random programs reach every kind of event", () =>
    Effect.gen(function* () {
      const sum: Record<string, number> = {}
      for (const seed of seeds) {
        const { policy } = yield* chaos(seed)
        for (const { totals } of yield* policy.allStats) {
          const { fallbacks: _, giveUps, rejections, timeIn: __, ...counts } = totals
          for (const [name, n] of Object.entries({ ...counts, ...giveUps, ...rejections })) {
            sum[name] = (sum[name] ?? 0) + n
          }
        }
      }
      // Nobody asks for a longer pause here.
      const never = Object.keys(sum).filter((name) => sum[name] === 0)
      assert.deepStrictEqual(never, ["retryAfter"])
    })
  )
})
