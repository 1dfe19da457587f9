import { assert, describe, it } from "@effect/vitest"
import { day, growth } from "./memory.ts"

/** A whole day, with collections: `npx tool soak --memory`. */
describe("the soak of the memory", () => {
  it("makes calls, trips circuits and carries out commands", () => {
    let collections = 0
    const [first] = day(1, () => {
      collections += 1
    })
    assert.strictEqual(collections, 1)
    assert.isAbove(first!.calls, 15_000)
    assert.isAbove(first!.events, 1000)
  })

  it("compares the medians of the second and the last quarter", () => {
    assert.strictEqual(growth([9, 9, 9, 1, 2, 9, 3, 3, 3, 5, 4, 9]), 3)
  })
})
