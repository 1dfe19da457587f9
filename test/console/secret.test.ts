import { assert, describe, it } from "@effect/vitest"
import { bytesOf, isEqual } from "../../packages/console/src/internal/secret.ts"

/** Bytes that count how often they are read. */
const counting = (bytes: Uint8Array) => {
  let reads = 0
  const proxy = new Proxy(bytes, {
    get(target, name) {
      if (typeof name === "string" && /^\d+$/.test(name)) reads += 1
      return Reflect.get(target, name)
    }
  })
  return { bytes: proxy as ArrayLike<number>, reads: () => reads }
}

describe("the comparison of tokens", () => {
  it("is that of strings: no beginning, repetition or neighbour of the token is the token", () => {
    const texts = [
      "a",
      "b",
      "aa",
      "ab",
      "ba",
      "abab",
      "token",
      "tokem",
      "tokeN",
      "toke",
      "tokentoken",
      "tökén",
      "\u{1F600}",
      ""
    ]
    for (const a of texts.filter((text) => text !== "")) {
      for (const b of texts) assert.strictEqual(isEqual(bytesOf(a), bytesOf(b)), a === b, `${a}, ${b}`)
    }
  })

  it("reads every byte that was given, wherever the first difference is", () => {
    const known = bytesOf("a-token-of-a-console")
    for (let i = 0; i < known.length; i++) {
      const given = known.slice()
      given[i] = 0
      const a = counting(known)
      const b = counting(given)
      assert.isFalse(isEqual(a.bytes, b.bytes))
      assert.strictEqual(a.reads(), known.length)
      assert.strictEqual(b.reads(), known.length)
    }
  })
})
