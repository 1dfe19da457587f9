import { assert, describe, it } from "@effect/vitest"
import { callers, keys } from "./scale.ts"

/** With a million keys, a hundred thousand callers and collections: `npx tool soak --scale`. */
describe("the soak of scale", () => {
  it("keeps the newest keys, and takes their snapshot in slices of 2,048", async () => {
    const { kept, turns } = await keys(3000, () => {})
    assert.strictEqual(kept, 3000)
    // Two lists of keys, circuits and permits, have a pause each.
    assert.isAtLeast(turns, 2)
  })

  it("serves every caller in the order of arrival, and never more at once than there are permits", async () => {
    const { most, overtaken, served } = await callers(2000, () => {})
    assert.deepStrictEqual([served, most, overtaken], [6000, 10, 0])
  })
})
