import { assert, describe, it } from "@effect/vitest"
import { ownFramesWork } from "../../packages/resilience/src/internal/frame.ts"

describe("frames of our own", () => {
  // When this fails, Effect's run loop has changed: everything still works, on more frames. Look at internal/primitive.ts.
  it("pass their check with this version of Effect", () => {
    assert.isTrue(ownFramesWork)
  })
})
