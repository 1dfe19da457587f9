import { assert, describe, it } from "@effect/vitest"
import { markPure } from "../../packages/tools/src/chunks.ts"

describe("the chunks of the build", () => {
  it("mark the calls that set a constant or a class as pure, so that a bundler may leave them out", () => {
    assert.strictEqual(markPure("a.ts", "const a = f(g())"), "const a = /* @__PURE__ */ f(/* @__PURE__ */ g())")
    assert.strictEqual(
      markPure("a.ts", "export class A extends f()<A>('a') {}"),
      "export class A extends /* @__PURE__ */ /* @__PURE__ */ f()<A>('a') {}"
    )
    assert.strictEqual(markPure("a.ts", "const a = new Map()"), "const a = /* @__PURE__ */ new Map()")
  })

  it("mark no call that runs later, and no statement that is made for its effect", () => {
    for (const text of [
      "const a = () => f()",
      "function a() { return f() }",
      "f(g())",
      "const a = function () { f() }"
    ]) {
      assert.strictEqual(markPure("a.ts", text), text)
    }
  })
})
