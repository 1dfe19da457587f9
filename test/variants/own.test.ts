import { assert, describe, it } from "@effect/vitest"
import { nativeFramesWork } from "../../packages/resilience/src/runtime/frameCheck.ts"

describe("native frames", () => {
  // When this fails, Effect's run loop has changed: everything still works, on more frames. Look at runtime/primitive.ts.
  it("pass their check with this version of Effect", () => {
    assert.isTrue(nativeFramesWork)
  })
})
