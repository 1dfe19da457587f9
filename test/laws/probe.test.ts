import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { hang, ok } from "../policy/support.ts"
import { halfOpen } from "./subjects.ts"

describe("the half-open subject of the laws", () => {
  it.effect("is one: a first call is a probe, and a second one waits for it", () =>
    Effect.gen(function* () {
      const breaker = yield* halfOpen
      const probe = yield* Effect.forkChild(breaker.protect(hang), { startImmediately: true })
      assert.strictEqual((yield* breaker.state())._tag, "half-open")
      const refused = yield* Effect.flip(breaker.protect(ok))
      assert.strictEqual(refused._tag, "CircuitOpen")
      assert.isUndefined(probe.pollUnsafe())
    })
  )
})
