import { assert, describe, it } from "@effect/vitest"
import { duration, list, wrap } from "../../packages/demo/src/text.ts"

describe("duration", () => {
  it("has three figures and a unit", () => {
    assert.deepStrictEqual([12.3, 999, 1000, 2345, undefined].map(duration), [
      "12 ms",
      "999 ms",
      "1.00 s",
      "2.35 s",
      "-"
    ])
  })
})

describe("list", () => {
  it("has an and before the last", () => {
    assert.deepStrictEqual([[], ["a"], ["a", "b"], ["a", "b", "c"]].map(list), ["", "a", "a and b", "a, b and c"])
  })
})

describe("wrap", () => {
  it("breaks between words, and fills the width", () => {
    assert.strictEqual(wrap("one two three", 7), "one two\nthree")
    assert.strictEqual(wrap("one two three", 13), "one two three")
  })

  it("indents all lines but the first, within the width", () => {
    assert.strictEqual(wrap("sent  one two three", 10, 6), "sent  one\n      two\n      three")
  })

  it("leaves a number with its unit, and a word that is too long whole", () => {
    assert.strictEqual(wrap("after 20 % of it", 8), "after\n20 % of\nit")
    assert.strictEqual(wrap("a incomprehensible", 5), "a\nincomprehensible")
  })
})
