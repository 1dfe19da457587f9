import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { Policies } from "effect-resilience"
import { sample } from "../support/sample.ts"
import { chaos, chaosLaws } from "./chaos.ts"

const seeds = Array.from({ length: sample(4, 10) }, (_, i) => 1000 + i)

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
        const { policy, seen } = yield* chaos(seed)
        sum["off"] = (sum["off"] ?? 0) + seen.off
        sum["undone"] = (sum["undone"] ?? 0) + seen.undone
        for (const { totals, would } of yield* policy.allStats) {
          sum["observed"] = (sum["observed"] ?? 0) + (would?.calls ?? 0)
          const { fallbacks: _, giveUps, rejections, timeIn: __, ...counts } = totals
          for (const [name, n] of Object.entries({ ...counts, ...giveUps, ...rejections })) {
            sum[name] = (sum[name] ?? 0) + n
          }
        }
      }
      // No error has a `retryAfter`, and no policy a hedge or a rate limit: test/hedge/sweeps.test.ts and test/rate-limit have those.
      const never = Object.keys(sum).filter((name) => sum[name] === 0)
      assert.deepStrictEqual(never, ["hedges", "hedgeWins", "retryAfter", "RateLimited"])
    }).pipe(Effect.provide(Policies.layer))
  )
})
